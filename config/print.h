/* print.h - pieces of printing that the sample, the manual and the effective configuration share. Private to config/. */
#ifndef RINGMQ_CONFIG_PRINT_H
#define RINGMQ_CONFIG_PRINT_H

#include "config/values.h"

/* The text in lines of about 100 columns, each behind the prefix. */
void print_wrapped(FILE *file, const char *prefix, const char *text);
/* As HOCON. of_default: NULL, or the default of the listener called default. Not for a key without that default. */
void print_default(const struct schema_key *key, const char *of_default, FILE *file);
bool print_in_section(const struct schema *schema, const struct schema_key *key, const struct schema_section *section);

#endif
