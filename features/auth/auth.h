/* auth.h - what is asked about a client and what is answered: the words that chain, sources and feature share.
 *
 * Owner:   a query's texts belong to who made it; sources only read them, for as long as they are called. An answer is filled by one source
 *          at a time, then immutable and reference-counted (share, release): cache, connections and threads may hold it.
 * Threads: as said; counting is atomic.
 * Secrets: the password is in query.password alone. Nothing copies it but into buffers that are wiped (struct auth_text). */
#ifndef RINGMQ_FEATURES_AUTH_AUTH_H
#define RINGMQ_FEATURES_AUTH_AUTH_H

#include <stdatomic.h>

#include "base/span.h"

enum auth_verdict {
    AUTH_NEXT,  /* not one of this source's users: ask the next */
    AUTH_ALLOW,
    AUTH_DENY,
    AUTH_DOWN,  /* the source could not be asked, or answered nonsense: authentication.NAME.on_error decides */
    AUTH_VERDICTS
};
extern const char *const auth_verdict_names[AUTH_VERDICTS];

struct auth_attribute {
    struct span name, value;
};

struct auth_query {
    struct span client_id, user_name, password;
    bool has_user_name, has_password;
    bool certified;          /* it has shown a certificate that was verified */
    struct span peer_host;   /* "192.0.2.7", "unix" */
    struct span listener;    /* "tcp.default" */
    struct span certificate_cn, certificate_dn;
    const struct auth_attribute *attributes;
    uint32_t attributes_count;
    /* authorization that is asked about each topic; else empty */
    struct span action, topic, qos, retain; /* "publish", "subscribe"; "0"; "true" */
};

/* A rule that came with a login: features/acl/rules.h says what they mean. */
enum auth_actions { AUTH_PUBLISH = 1, AUTH_SUBSCRIBE = 2, AUTH_ALL = 3 };
struct auth_rule {
    bool allow;
    uint8_t actions;   /* enum auth_actions */
    uint8_t qos_mask;  /* a bit for each QoS; 7: all */
    int8_t retain;     /* -1: any, 0, 1 */
    char *topic;       /* a filter with placeholders; "eq " before it: word for word */
};

#define AUTH_RULES_MAX 10000
#define AUTH_ATTRIBUTES_MAX 32

struct auth_answer {
    atomic_uint references;
    uint8_t verdict;      /* enum auth_verdict */
    bool superuser;
    bool has_rules;       /* even when there are none: then everything is up to the next authorization source */
    bool cacheable;
    bool of_client;       /* set with DOWN: it is about what the source has of this client (a hash nobody can check, a row that makes no sense); the source
                             itself works, so its circuit breaker stays as it is: one client's broken entry must not lock out all the others */
    bool unavailable;     /* DENY because nobody could be asked, not because of the client */
    bool busy;            /* DENY because too many logins wait */
    uint64_t expires_s;   /* Unix time when the client must go; 0: never */
    char *names[AUTH_ATTRIBUTES_MAX], *values[AUTH_ATTRIBUTES_MAX];
    uint32_t attributes_count;
    struct auth_rule *rules;
    uint32_t rules_count;
    uint32_t login_rules; /* so many of them, the first, came with the login itself (a token, an HTTP answer): the others are asked for again from time to time */
    bool has_login_rules;
    char source[36];      /* who decided */
    char what[192];       /* why, for the log: never with a secret in it */
    const void *compiled; /* the rules, as features/acl wants them; compiled_release() gives them back */
    void (*compiled_release)(const void *compiled);
};

struct auth_answer *auth_answer_create(void); /* one reference; AUTH_NEXT */
struct auth_answer *auth_answer_share(struct auth_answer *answer);
void auth_answer_release(struct auth_answer *answer); /* accepts NULL */

/* What has been said so far beside the verdict; and back to it, when a source was asked in vain: whatever it has put into the answer before it
 * failed, or left the client to the next one, is nobody's word. */
struct auth_answer_mark {
    bool superuser, has_rules;
    uint64_t expires_s;
    uint32_t attributes_count, rules_count;
};
struct auth_answer_mark auth_answer_mark(const struct auth_answer *answer);
void auth_answer_take_back(struct auth_answer *answer, const struct auth_answer_mark *mark);

/* The verdict with its reason (printf). Returns the verdict. */
enum auth_verdict auth_answer_say(struct auth_answer *answer, enum auth_verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Only [a-z0-9_]+ after lowering; others and those beyond AUTH_ATTRIBUTES_MAX are left out. A second value replaces the first. */
void auth_answer_attribute(struct auth_answer *answer, struct span name, struct span value);
/* Words as EMQX and databases write them ("allow"/"deny", "publish"/"subscribe"/"all"/"pubsub", with any case). NULL, or what is wrong. */
const char *auth_answer_rule_words(struct auth_answer *answer, struct span permission, struct span action, struct span topic, uint8_t qos_mask, int retain);
const char *auth_answer_rule(struct auth_answer *answer, bool allow, uint8_t actions, struct span topic, uint8_t qos_mask, int retain);
/* A rule's retain flag as databases and servers write it: 1 ("1", "true", "yes" …), 0 ("0", "false", "no" …), -1 ("all" or nothing: any), -2: none of these. Taken
 * for one of them a rule that denies would leave half of what it is about. */
int auth_retain_word(struct span text);
/* "1", "t", "true", "yes", "y", "on", in any case. */
bool auth_truth(struct span text);

/* A text that grows, ends with a NUL nobody counts, and is wiped when released. */
struct auth_text {
    char *data;
    size_t bytes, room;
};
void auth_text_add(struct auth_text *text, struct span more);
void auth_text_release(struct auth_text *text);

/* CLOCK_MONOTONIC and Unix time. */
uint64_t auth_now_ms(void);
uint64_t auth_unix_s(void);

#endif
