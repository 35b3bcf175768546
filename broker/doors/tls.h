/* tls.h - the TLS of one listener: the files its settings name, read, watched, and made into a tls_context.
 *
 * The files are read at the start, on SIGHUP, and when they change (looked at every DOOR_TLS_TICK_S; what has changed must have stayed the
 * same for one more look, so that a file half written is not read). Files that are no good leave the old ones in force and are logged
 * with file and reason. Keys for session tickets outlive a changed listener, so that its clients still resume.
 *
 * Threads: door_tls_filter() on any shard; all else on the control thread, which may block on a disk. */
#ifndef RINGMQ_BROKER_DOORS_TLS_H
#define RINGMQ_BROKER_DOORS_TLS_H

#include "base/filter.h"
#include "base/settings.h"
#include "base/stats.h"

struct door_tls;

#define DOOR_TLS_TICK_S 2

/* NULL with a sentence that names key, file and reason. */
struct door_tls *door_tls_open(const struct listener_settings *settings, char *ret_error, size_t error_bytes);
void door_tls_close(struct door_tls *door); /* accepts NULL */
/* `stats`: of the shard, for what the handshake finds out. */
struct filter *door_tls_filter(struct door_tls *door, struct stats *stats);
/* Looks at the files, and whether it is time for new ticket keys. `forced`: reads the files in any case. */
void door_tls_tick(struct door_tls *door, bool forced);
/* At the end of the process, when no listener is left: wipes the ticket keys, ends the threads that ask OCSP responders. */
void door_tls_forget(void);

#endif
