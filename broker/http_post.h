/* http_post.h - one POST over plain HTTP (RFC 9110, as HTTP/1.0 so that the end of the connection ends the answer), for OCSP.
 *
 * Blocks, until `deadline_ms` of CLOCK_MONOTONIC at the latest, the look-up of the name (base/resolve.h) with it: for helper
 * threads only. Ends within a tenth of a second once *given_up is true. */
#ifndef RINGMQ_BROKER_HTTP_POST_H
#define RINGMQ_BROKER_HTTP_POST_H

#include "base/span.h"

/* NULL and the body of a 200 in *ret_body (to be released with memory_release()); or a phrase that says what went wrong. */
const char *http_post(const char *url, const char *content_type, struct span body, size_t answer_bytes_max, uint64_t deadline_ms,
                      const _Atomic bool *given_up, uint8_t **ret_body, size_t *ret_body_bytes);

#endif
