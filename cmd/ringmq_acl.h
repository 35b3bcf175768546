/* ringmq_acl.h - what the files of `ringmq acl` share. */
#ifndef RINGMQ_CMD_RINGMQ_ACL_H
#define RINGMQ_CMD_RINGMQ_ACL_H

#include <stdbool.h>
#include <stddef.h>

/* The whole file ("-": standard input). False: said why. The caller releases the text. */
bool acl_file_read(const char *path, char **ret_text, size_t *ret_bytes);
/* Rules that mean what Mosquitto's acl_file means, on standard output. Returns the exit status. */
int acl_import_mosquitto(const char *path);

#endif
