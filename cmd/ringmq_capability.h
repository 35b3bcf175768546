/* ringmq_capability.h - one capability of a broker and how to find out whether it has it: a table, in the order of
 * trying. */
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
    bool essential; /* the exit status depends on it */
    bool slow;      /* takes more than a second; left out with --quick */
    /* Leaves a remark in check->note, which is empty before. Time it took is measured by the caller, unless *ret_us is
     * set. */
    enum capability_verdict (*try)(struct check *check, uint64_t *ret_us);
};

extern const struct capability capabilities[];
extern const uint32_t capabilities_count;

/* ringmq_capability_basic.c */
enum capability_verdict try_version_3_1(struct check *check, uint64_t *ret_us);
enum capability_verdict try_version_3_1_1(struct check *check, uint64_t *ret_us);
enum capability_verdict try_version_5(struct check *check, uint64_t *ret_us);
enum capability_verdict try_qos_0(struct check *check, uint64_t *ret_us);
enum capability_verdict try_qos_1(struct check *check, uint64_t *ret_us);
enum capability_verdict try_qos_2(struct check *check, uint64_t *ret_us);
enum capability_verdict try_wildcard(struct check *check, uint64_t *ret_us);
enum capability_verdict try_retained(struct check *check, uint64_t *ret_us);
enum capability_verdict try_retained_once(struct check *check, uint64_t *ret_us);
enum capability_verdict try_will(struct check *check, uint64_t *ret_us);
enum capability_verdict try_session_resume(struct check *check, uint64_t *ret_us);
enum capability_verdict try_takeover(struct check *check, uint64_t *ret_us);
enum capability_verdict try_keep_alive(struct check *check, uint64_t *ret_us);
enum capability_verdict try_message_expiry(struct check *check, uint64_t *ret_us);

/* ringmq_capability_v5.c */
enum capability_verdict try_assigned_client_id(struct check *check, uint64_t *ret_us);
enum capability_verdict try_shared(struct check *check, uint64_t *ret_us);
enum capability_verdict try_subscription_ids(struct check *check, uint64_t *ret_us);
enum capability_verdict try_no_local(struct check *check, uint64_t *ret_us);
enum capability_verdict try_retain_as_published(struct check *check, uint64_t *ret_us);
enum capability_verdict try_retain_handling(struct check *check, uint64_t *ret_us);
enum capability_verdict try_topic_alias(struct check *check, uint64_t *ret_us);
enum capability_verdict try_topic_alias_out(struct check *check, uint64_t *ret_us);
enum capability_verdict try_request_response(struct check *check, uint64_t *ret_us);
enum capability_verdict try_receive_maximum(struct check *check, uint64_t *ret_us);
enum capability_verdict try_maximum_packet(struct check *check, uint64_t *ret_us);

/* note = "…"; returns FAIL, so that a check reads: if (bad) return capability_fails(check, "…"). An existing remark is
 * kept: it is nearer to the cause. */
enum capability_verdict capability_fails(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum capability_verdict capability_absent(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "prefix/name", in one of four buffers that take turns. */
const char *check_topic(const struct check *check, const char *name);
/* MQTT 5, clean start. False and a remark when it cannot connect; pair with peer_close() all the same. */
bool open_peer(struct check *check, struct peer *peer, const char *name);

#endif
