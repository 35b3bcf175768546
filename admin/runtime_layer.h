/* runtime_layer.h - node.data_dir/runtime.conf: what was changed through the API, a layer above the files and below environment and --set.
 *
 *     runtime.conf              KEY = VALUE lines, written whole and atomically; people may edit it, comments are lost with the next change
 *     runtime.history/N.conf    what it was before change N; the newest RUNTIME_VERSIONS_MAX
 *
 * Threads: the control thread. Errors: sentences in ret_error. */
#ifndef RINGMQ_ADMIN_RUNTIME_LAYER_H
#define RINGMQ_ADMIN_RUNTIME_LAYER_H

#include <jansson.h>

#include "admin/http.h"

#define RUNTIME_VERSIONS_MAX 50

void runtime_path(const char *data_dir, char *ret_path, size_t bytes);
/* The file's text with these changes: `changes` has values by key, null takes a key out. False: the file is damaged, or a key is none. */
bool runtime_text(const char *data_dir, const json_t *changes, struct http_text *ret_text, char *ret_error, size_t error_bytes);
/* Puts the text in the file's place; the old one becomes a version, whose number is returned (0: there was none). Negative: it cannot be written. */
int runtime_write(const char *data_dir, struct span text, char *ret_error, size_t error_bytes);
/* Takes the last runtime_write() back, which returned `version`. */
void runtime_unwrite(const char *data_dir, int version);
/* The text of a version. False: there is no such version. */
bool runtime_version(const char *data_dir, int version, struct http_text *ret_text);
/* An array of ConfigVersion, the newest first. */
json_t *runtime_versions(const char *data_dir);

#endif
