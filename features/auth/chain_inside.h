/* chain_inside.h - what chain.c (a login's way from source to source) and chain_open.c (sources and their threads come and go) share.
 *
 * Owner:   the chain has its sources; they lie in it, so that a source's place is its number.
 * Threads: everything without _Atomic is written by auth_chain_open() and auth_chain_stop() only, while no worker runs; links[thread] by that thread. */
#ifndef RINGMQ_FEATURES_AUTH_CHAIN_INSIDE_H
#define RINGMQ_FEATURES_AUTH_CHAIN_INSIDE_H

#include <pthread.h>

#include "features/auth/chain.h"

#define AUTH_SOURCES_MAX 64

struct auth_chain_source {
    const struct auth_source_settings *settings;
    const struct auth_source_kind *kind;
    void *instance;
    struct auth_chain *chain;
    bool authorizer;
    struct auth_workers *workers; /* its own, or the chain's hash threads */
    void **links;                 /* by thread; NULL: not attached yet */
    uint32_t threads;
    atomic_uint failures;         /* in a row */
    _Atomic uint64_t rest_until_ms; /* 0: the breaker is closed */
    _Atomic uint64_t probing_until_ms; /* a thread is probing, and has this long; 0: none is */
    atomic_uchar health;
    pthread_mutex_t error_lock;
    char error[192];
    _Atomic uint64_t verdicts[AUTH_VERDICTS], timeouts, full, rests, busy_us, longest_us;
    struct spread times; /* by all its threads: spread_record_shared() */
};

struct auth_chain {
    const struct auth_settings *settings;
    struct auth_cache *cache;
    void (*compile)(struct auth_answer *answer);
    struct auth_workers *hashing;
    atomic_bool stopping;
    bool given_up; /* auth_workers_end(): nothing of it may be released */
    uint64_t since_unix_ms;
    uint32_t count, authenticators, authorizers; /* where each kind ends: first authenticators, then authorizers of logins, then those that are asked about topics */
    struct auth_chain_source sources[AUTH_SOURCES_MAX];
};

/* What the threads of a source of its own do (context: the source), and those that hash for all local ones (context: the chain). */
extern const struct auth_workers_calls auth_chain_own_calls, auth_chain_shared_calls;

#endif
