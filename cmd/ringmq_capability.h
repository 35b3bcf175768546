/* ringmq_capability.h - one capability of a broker and how to find out whether it has it: a table, in the order of trying. */
#ifndef RINGMQ_CMD_CAPABILITY_H
#define RINGMQ_CMD_CAPABILITY_H

#include "cmd/ringmq_peer.h"

enum capability_verdict {
    CAPABILITY_PASS,
    CAPABILITY_FAIL,   /* it does not do what the standard asks */
    CAPABILITY_ABSENT, /* the server says that it does not offer it, or may leave it out */
};

struct capability {
    const char *name; /* for --json and --only */
    const char *title;
    bool essential;   /* the exit status depends on it */
    bool slow;        /* takes more than a second; left out with --quick */
    /* Leaves a remark in check->note, which is empty before. Time it took is measured by the caller, unless *ret_us is set. */
    enum capability_verdict (*try)(struct check *check, uint64_t *ret_us);
};

extern const struct capability capabilities[];
extern const uint32_t capabilities_count;

/* The groups, one file each: ringmq_capability_basic.c … */
#define CAPABILITY_TRIES(X)                                                                                          \
    X(version_3_1) X(version_3_1_1) X(version_5) X(qos_0) X(qos_1) X(qos_2) X(wildcard) X(retained) X(will)          \
    X(session_resume) X(takeover) X(assigned_client_id) X(keep_alive) X(message_expiry)                              \
    X(shared) X(subscription_ids) X(no_local) X(retain_as_published) X(retain_handling) X(topic_alias)               \
    X(topic_alias_out) X(request_response) X(receive_maximum) X(maximum_packet)
#define DECLARE_TRY(name) enum capability_verdict try_##name(struct check *check, uint64_t *ret_us);
CAPABILITY_TRIES(DECLARE_TRY)
#undef DECLARE_TRY

/* note = "…"; returns FAIL, so that a check reads: if (bad) return capability_fails(check, "…"). An existing remark is kept:
 * it is nearer to the cause. */
enum capability_verdict capability_fails(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum capability_verdict capability_absent(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "prefix/name", in one of four buffers that take turns. */
const char *check_topic(const struct check *check, const char *name);
/* MQTT 5, clean start: opens both; false and a remark when one cannot connect. */
bool open_peer(struct check *check, struct peer *peer, const char *name);

#endif
