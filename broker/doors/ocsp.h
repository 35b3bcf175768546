/* ocsp.h - who asks OCSP responders: a cache per listener and a few threads for all, which wait so that no shard does.
 *
 *     tls filter ─begin()─► cache ──known──► verdict at once
 *                             └─ not ─► queue ─► thread: HTTP, verification ─► cache, verdict (the parked handshake goes on)
 *
 * Bounds: QUEUE_MAX questions wait at a time, one per certificate; each is answered within its time-out, also by "nobody answered";
 * a responder that does not answer is left alone for some seconds. Cached until the answer's nextUpdate, a day at most.
 * Owner:   a door's checker is counted: each TLS context holds one. The threads begin with the first and end with door_ocsp_stop().
 * Threads: any. */
#ifndef RINGMQ_BROKER_DOORS_OCSP_H
#define RINGMQ_BROKER_DOORS_OCSP_H

#include "base/settings.h"
#include "tls/ocsp.h"
#include "tls/tls.h"

struct door_ocsp;

extern const struct tls_checker door_ocsp_checker;

/* `ca`: the PEM of who may have signed clients' certificates, copied. One reference is the caller's. */
struct door_ocsp *door_ocsp_create(const struct listener_settings *settings, struct span ca);
void door_ocsp_release(struct door_ocsp *ocsp); /* accepts NULL */

/* At the very end: waits until the threads have ended; what they were asking is given up. */
void door_ocsp_stop(void);

/* ---- staples for ours --------------------------------------------------------------------------------------------------- */

/* Fetches the response for one certificate of a context and puts it there, again and again before it is out of date. */
struct door_staple;

/* `chain`: the PEM of the certificate and its issuers, `ca`: more of them; both copied. Takes a reference of its own. */
struct door_staple *door_staple_create(const struct listener_settings *settings, struct tls_context *context, uint32_t number,
                                       struct span chain, struct span ca);
/* Every few seconds, by the control thread. */
void door_staple_tick(struct door_staple *staple);
void door_staple_release(struct door_staple *staple); /* accepts NULL; one that is being fetched ends by itself */

#endif
