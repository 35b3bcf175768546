/* otlp.h - metrics pushed to an OpenTelemetry collector: OTLP 1.x over HTTP, as protobuf, which every receiver takes (JSON not).
 *
 *     otlp thread:  every metrics.otlp.interval: metrics_walk() ─► otlp_encode() ─► otlp_http.so (libcurl) ─► what the answer means
 * otlp_http.so is loaded when an endpoint is configured for the first time, and the thread started then; a broker that pushes nothing has neither.
 *
 * What the specification ("OTLP/HTTP Response", "Failures") asks for: 429, 502, 503, 504 and connections that fail are tried again, not before Retry-After, and later
 * each time (1 s, doubled up to a minute, less a random half); other statuses are final. What is to be sent again is given up when the next is due: sums
 * count from the start, so the next holds all of it. A partial success is counted and not sent again.
 * Failure: counted (ringmq_otlp_…), logged (a line in ten seconds at most), an alarm `otlp` while what was given up last has not been followed by a success.
 * At the end: once more, for a second at most, when the last one was taken.
 *
 * Owner: struct admin. Threads: as said; otlp_counts() any. The thread waits for nobody but the collector and the control thread's answer about listeners. */
#ifndef RINGMQ_ADMIN_OTLP_H
#define RINGMQ_ADMIN_OTLP_H

#include <stdint.h>

#include "admin/otlp_wire.h"
#include "base/settings.h"

struct admin;
struct otlp;

struct otlp *otlp_create(struct admin *admin);
/* At start and after a reload; the settings are copied. */
void otlp_configure(struct otlp *otlp, const struct metrics_settings *settings);
/* Ends the thread: within about a second. */
void otlp_stop(struct otlp *otlp);
void otlp_destroy(struct otlp *otlp); /* accepts NULL */

struct otlp_counts {
    uint64_t accepted, partial, retried, given_up; /* requests; those accepted in part are in `accepted`, too */
    uint64_t points_rejected, sent_bytes;
    uint64_t last_success_unix_ms; /* 0: never */
};
void otlp_counts(struct otlp *otlp, struct otlp_counts *ret_counts);

/* otlp_encode.c: an ExportMetricsServiceRequest with all metrics. */
void otlp_encode(struct admin *admin, const struct metrics_settings *settings, struct otlp_wire *wire);

/* otlp_answer.c: what an answer says beside its status. */
struct otlp_answer {
    int64_t points_rejected;
    char message[192]; /* "": none; may be anything */
};
/* Of a 200: an ExportMetricsServiceResponse; else a google.rpc.Status. False: it is none. */
bool otlp_answer_read(struct span body, bool accepted, struct otlp_answer *ret_answer);
/* Does a status mean "try again"? 0: there was no answer. */
bool otlp_status_passes(int status);

#endif
