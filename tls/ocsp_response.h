/* ocsp_response.h - a look at an OCSP response (RFC 6960 §4.2.1) beside the library, which verifies it but tells neither when the next
 * one is due nor "unknown" from "no answer". */
#ifndef RINGMQ_TLS_OCSP_RESPONSE_H
#define RINGMQ_TLS_OCSP_RESPONSE_H

#include "base/span.h"

struct ocsp_response {
    bool successful;       /* responseStatus 0; else nothing below is known */
    bool says_unknown;     /* certStatus of the first single response */
    int64_t next_update_s; /* the earliest nextUpdate (realtime); 0: there is none */
};

/* False: it is none. */
bool ocsp_response_read(struct span der, struct ocsp_response *ret_response);

#endif
