/* ringmq_roff.h - text for man(7): escaping, and the Markdown of our own documents turned into roff. */
#ifndef RINGMQ_CMD_ROFF_H
#define RINGMQ_CMD_ROFF_H

#include <stdio.h>

/* A line or a part of one, as it is: what roff would read as its own is escaped. */
void roff_print(const char *text, size_t bytes, FILE *out);
/* The same, with `code` bold and **strong** bold; [text](link) keeps the text, and the link if it leads outside. Line ends stay. */
void roff_print_marked(const char *text, size_t bytes, FILE *out);
/* Paragraphs; lines that begin with two spaces stay lines (.EX). */
void roff_print_paragraphs(const char *text, FILE *out);
/* A whole document of ours (docs/): headings, paragraphs, lists, tables, code between ```. Its title (#) is left out. */
void roff_print_markdown(const char *markdown, FILE *out);

#endif
