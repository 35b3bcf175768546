/* chain.h - asking one source after the other: what a configuration of authentication does when it runs.
 *
 * A login is a job. It goes through the sources that are for its listener, in their order: ALLOW and DENY end it, NEXT asks the next one, DOWN does
 * what the source's on_error says. Nobody has allowed: DENY. Then the authorizers add the client's rules (one that is DOWN counts as on_error,
 * too: deny refuses the login). Authorizers with ask = topic have no part in that: each of them is asked alone, about one topic (authorize.h). Each source has threads of its own (those without a server behind them share the hash threads), so a slow
 * server keeps nobody waiting who does not need it.
 *
 * Circuit breaker: after breaker_failures failures in a row a source is not asked for breaker_rest; then one of its threads probes the server until
 * it is back. Meanwhile its answer is DOWN, at once.
 *
 *     chain_open() ─► submit(job) … ─► job->done(job) ─► chain_stop()
 * Owner:   who opened it. A job belongs to the chain from submit() to done(), which is called exactly once, on a worker thread or inside submit().
 * Threads: submit() from any, without waiting; open() and stop() block (the control thread's, or one at its side). */
#ifndef RINGMQ_FEATURES_AUTH_CHAIN_H
#define RINGMQ_FEATURES_AUTH_CHAIN_H

#include "base/spread.h"
#include "features/auth/cache.h"
#include "features/auth/source.h"
#include "features/auth/workers.h"

struct auth_chain;
struct auth_users;

struct auth_job {
    struct auth_work work;      /* work.fair: the address's hash, set by the submitter */
    struct auth_query query;    /* texts in `text` */
    struct auth_answer *answer; /* when done: what was decided (ALLOW or DENY) */
    void (*done)(struct auth_job *job);
    bool rules_only;            /* ask the authorizers alone */
    struct auth_answer *earlier; /* rules_only: the client's answer so far, whose rules of the login stay in front; a reference, given back with the job. NULL: none */
    bool asks;                  /* about a topic: of the source auth_chain_ask() is told, and nobody else */
    /* the chain's */
    struct auth_chain *chain;
    struct auth_text text;
    struct auth_attribute attributes[AUTH_ATTRIBUTES_MAX];
    uint32_t at;                /* which source is next */
    bool authorizing;           /* somebody has let the client in: now its rules. Not to be told from `at`: behind the last authenticator comes the first authorizer */
    uint64_t started_ms, deadline_ms, generation;
    bool keyed;
    uint8_t key[AUTH_KEY_BYTES];
};

/* `bytes`: of the struct whose first member is the job. Copies the query. */
void *auth_job_create(const struct auth_query *query, size_t bytes);
void auth_job_release(struct auth_job *job); /* wipes the password */

/* Loads a source's code that is no part of the broker. NULL with a sentence. */
typedef const struct auth_source_kind *auth_loader(void *context, enum auth_backend backend, char *ret_error, size_t error_bytes);

/* NULL with a sentence that names the section. The settings must outlive the chain. `cache` may be NULL. `compile` is called on a worker thread with
 * an answer that has rules, before anybody else sees it; it sets compiled. */
struct auth_chain *auth_chain_open(const struct auth_settings *settings, struct auth_cache *cache, auth_loader *loader, void *context,
                                   void (*compile)(struct auth_answer *answer), char *ret_error, size_t error_bytes);
/* About once a second, on the control thread: see auth_workers_look(). */
void auth_chain_look(struct auth_chain *chain);
/* From now on what waits is denied rather than asked: before stopping for good. */
void auth_chain_hurry(struct auth_chain *chain);
/* Works off what is under way and ends all threads; patience_ms and false as in auth_workers_end(). Nobody may submit any more. May be called before stop(). */
bool auth_chain_end(struct auth_chain *chain, uint32_t patience_ms);
/* Was it false? Then the chain and its settings stay until the process ends. Accepts NULL. */
bool auth_chain_given_up(const struct auth_chain *chain);
/* Ends it, if that has not been done, and releases it, unless it is given up. */
void auth_chain_stop(struct auth_chain *chain); /* accepts NULL */

/* Must clients of this listener be let in by a source? */
bool auth_chain_guards(const struct auth_chain *chain, struct span listener);
bool auth_chain_has_authorizers(const struct auth_chain *chain, struct span listener);
/* The job's key may be given (keyed). */
void auth_chain_submit(struct auth_chain *chain, struct auth_job *job);

/* Sources that are asked about each topic, in their order: how many; for clients of this listener; the name of one; asking one. The job's answer has a verdict (on_error and
 * on_full are applied) or, with NEXT, perhaps rules. */
uint32_t auth_chain_asked(const struct auth_chain *chain);
bool auth_chain_asked_concerns(const struct auth_chain *chain, uint32_t number, struct span listener);
const char *auth_chain_asked_name(const struct auth_chain *chain, uint32_t number);
void auth_chain_ask(struct auth_chain *chain, uint32_t number, struct auth_job *job);

/* Of the source of that name, NULL: none of a built-in database. */
struct auth_users *auth_chain_users(const struct auth_chain *chain, struct span name);
struct auth_users *auth_chain_scram_users(const struct auth_chain *chain, struct span listener, struct span method);

enum auth_health { AUTH_HEALTH_UNKNOWN, AUTH_HEALTH_UP, AUTH_HEALTH_DOWN };
struct auth_source_status {
    const char *name, *backend;
    bool authorizer;
    uint8_t health;       /* enum auth_health */
    bool resting;         /* the circuit breaker is open */
    char error[192];      /* of the last failure; "": none yet */
    uint64_t verdicts[AUTH_VERDICTS];
    uint64_t timeouts, full, rests; /* DOWN because of time; refused: queue full; times the breaker opened */
    uint64_t busy_us, longest_us;   /* time in the source's verbs */
    uint32_t waiting;
    struct spread times;  /* in the source's verbs, ns */
    uint64_t since_unix_ms; /* counted since then: the chain was opened */
};
/* False behind the last. */
bool auth_chain_status(struct auth_chain *chain, uint32_t number, struct auth_source_status *ret_status);

/* "tcp.default, wss.*" has this listener? Empty: all have. */
bool auth_listener_matches(struct span patterns, struct span listener);

#endif
