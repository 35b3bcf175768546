/* verbs.h - authentication for those who administer it: users, state of the sources, counters, purging. Any thread of the process, any time; what is
 * not configured answers as such. */
#ifndef RINGMQ_FEATURES_AUTH_VERBS_H
#define RINGMQ_FEATURES_AUTH_VERBS_H

#include "features/auth/chain.h"
#include "features/auth/users.h"

struct auth_counters {
    uint64_t logins, cached, allowed, denied, unavailable, busy, throttled, scram, refreshed;
    uint32_t cache_entries;
};

/* False: no authentication in this process. */
bool auth_verbs_counters(struct auth_counters *ret_counters);
/* False behind the last. The texts are copies. */
struct auth_verbs_source {
    char name[40];
    struct auth_source_status status; /* name and backend point into this struct and to constants */
};
bool auth_verbs_source(uint32_t number, struct auth_verbs_source *ret_source);
/* Remembered verdicts of a user (empty: all). Returns how many were forgotten. */
uint32_t auth_verbs_purge(struct span user_name);
/* How a built-in database wants its passwords. */
struct auth_verbs_form {
    struct password_form form; /* of hashes that do not say it themselves */
    bool scram;                /* keys for SCRAM, too */
};
/* Calls work with the users of authentication.NAME, and nobody takes them away meanwhile: it must not hash. False: there is no built-in database of that name. */
bool auth_verbs_users(struct span name, void (*work)(struct auth_users *users, const struct auth_verbs_form *form, void *context), void *context);

#endif
