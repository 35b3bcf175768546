/* ringmq_ctl.h - what the files of `ringmq ctl` share. */
#ifndef RINGMQ_CMD_CTL_H
#define RINGMQ_CMD_CTL_H

#include <jansson.h>

#include "admin/routes.h"
#include "cmd/ringmq_http.h"

/* ringmq_ctl_print.c: an answer for people: a table for lists, KEY VALUE lines for objects. wide: all columns, however long the lines. */
void ctl_print(const struct api_route *route, const json_t *answer, bool wide);
/* ringmq_ctl_help.c */
void ctl_help(void);
void ctl_help_command(const struct api_route *route);
/* All commands as Markdown, for docs/cli.md. */
void ctl_help_markdown(void);

/* ringmq_ctl_manual.c: --help=man, --help=bash, --help=zsh (ringmq_manual.h). */
void ctl_manual(void);
void ctl_complete_bash(void);
void ctl_complete_zsh(void);

/* A client of the API as `ringmq ctl` would be: NULL for url and key takes the environment's, else the last login's. False: it has complained. */
bool ctl_client(struct http_client *ret_client, const char *url, const char *key, const struct http_trust *trust);
/* Tells people what an answer that is no success says; the exit status. */
int ctl_complain(const struct http_reply *reply);

/* The command's words are the first of these; NULL: there is no such command. ret_words: how many they are. */
const struct api_route *ctl_find(int count, char **words, int *ret_words);
/* "clients get" without its positionals. */
bool ctl_is_map(const struct api_route *route);   /* the body is KEY=VALUE pairs */
bool ctl_is_list(const struct api_route *route);  /* the body is a list of words */

/* ringmq_ctl_request.c */
struct ctl_request {
    const struct api_route *route;
    char target[8192];
    json_t *body;
};
/* From what follows the command's words, for request->route; the body is the caller's to release. False: it has complained. */
bool ctl_request_make(struct ctl_request *request, int argc, char **argv);

#endif
