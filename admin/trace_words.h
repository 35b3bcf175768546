/* trace_words.h - trace records (broker/watch/trace.h) in words: a line for people and an object for programs, made by one pass.
 *
 * Everything that comes from clients is escaped in the line: no control character, no byte that is not UTF-8. Passwords and authentication data were
 * overwritten before they came here, and are not shown either. Threads: any. */
#ifndef RINGMQ_ADMIN_TRACE_WORDS_H
#define RINGMQ_ADMIN_TRACE_WORDS_H

#include <jansson.h>

#include "admin/http.h"
#include "broker/watch/trace.h"

enum trace_payload { TRACE_PAYLOAD_HIDDEN, TRACE_PAYLOAD_TEXT, TRACE_PAYLOAD_HEX };
extern const char *const trace_payload_names[]; /* "hidden", "text", "hex" */

struct trace_wording {
    enum trace_payload payload;
    uint32_t payload_bytes; /* at most so many of it */
};

/* Appends words to `text` and gives the record's `details` (json_decref). */
json_t *trace_words(const struct trace_record *record, const struct trace_wording *wording, struct http_text *text);
/* "2026-11-25T21:30:00.123456Z" */
#define TRACE_TIME_BYTES 40
void trace_time(uint64_t at_ns, char ret_text[TRACE_TIME_BYTES]);
/* In quotes, escaped: \" \\ \xNN. */
void trace_quote(struct http_text *text, struct span bytes);

#endif
