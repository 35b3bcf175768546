/* logins.h - addresses from which logins have failed, and those that are refused for a while because of it.
 *
 * One table a node (connections of one address come to all shards): LOGINS_ENTRIES places, eight for each hash, behind LOGINS_LOCKS
 * mutexes; taken by a CONNECT only while some address is in it. When the places of a hash are taken, the one that has been quiet longest is given
 * away, one that is blocked last. IPv6 addresses count by their /64: that is what one customer has.
 * No allocation after logins_init(). Threads: any. Units: ms, of whatever clock. */
#ifndef RINGMQ_FEATURES_PROTECT_LOGINS_H
#define RINGMQ_FEATURES_PROTECT_LOGINS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOGINS_ENTRIES (1u << 17)
#define LOGINS_WAYS    8
#define LOGINS_LOCKS   64

struct login_entry;

struct logins {
    struct login_entry *entries; /* NULL: not switched on yet */
    pthread_mutex_t locks[LOGINS_LOCKS];
    _Atomic uint32_t used, blocked;
};

struct login_rules {
    uint64_t window_ms, ban_ms;
    uint32_t max_failures;
};

void logins_init(struct logins *logins);
void logins_release(struct logins *logins);
/* Makes the table, before shards look at it. */
void logins_switch_on(struct logins *logins);
/* A login has failed. True: the address is refused from now on. */
bool logins_failed(struct logins *logins, const uint8_t address[16], const struct login_rules *rules, uint64_t now_ms);
bool logins_refused(struct logins *logins, const uint8_t address[16], uint64_t now_ms);
/* Gives back the places of blocks and windows that are over; a part of the table a call. */
void logins_sweep(struct logins *logins, const struct login_rules *rules, uint64_t now_ms, uint32_t *cursor, uint32_t count);

#endif
