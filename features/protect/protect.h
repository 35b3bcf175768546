/* protect.h - what others may ask the protection of: the ban list. For the administrator's interface (docs/protection.md).
 *
 * All functions may be called on any thread while the feature is open; they say BAN_OFF when it is not, or when banned.enable is off.
 * Additions take effect for those who connect from now on at once, and for those who are connected within a turn of their shard. The file
 * (banned.file) is written within a second. */
#ifndef RINGMQ_FEATURES_PROTECT_PROTECT_H
#define RINGMQ_FEATURES_PROTECT_PROTECT_H

#include <stdint.h>

#include "base/span.h"

/* Whom a ban is for. The names are those of EMQX's API (ban_kind_names). */
enum ban_kind {
    BAN_CLIENT_ID,          /* "clientid" */
    BAN_USER_NAME,          /* "username" */
    BAN_ADDRESS,            /* "peerhost": one address */
    BAN_NETWORK,            /* "peerhost_net": 10.0.0.0/8 */
    BAN_CLIENT_ID_PATTERN,  /* "clientid_pattern": * stands for any bytes, ? for one */
    BAN_USER_NAME_PATTERN,  /* "username_pattern" */
    BAN_CLIENT_ID_REGEX,    /* "clientid_re": a regular expression (base/regex.h) */
    BAN_USER_NAME_REGEX,    /* "username_re" */
    BAN_KINDS
};
extern const char *const ban_kind_names[BAN_KINDS];

struct ban {
    enum ban_kind kind;
    struct span who;
    struct span by, reason; /* free texts of at most 255 bytes: who has banned, and why */
    uint64_t at_ms;         /* Unix time; 0 in protect_ban_add(): now */
    uint64_t until_ms;      /* Unix time; 0: for good */
};

#define BAN_TEXT_BYTES_MAX 255
#define BANS_MAX           100000 /* of names and addresses; */
#define BANS_SEARCHED_MAX  1000   /* networks, patterns and expressions, looked at one by one with every CONNECT */

enum ban_answer { BAN_DONE, BAN_REPLACED, BAN_UNKNOWN, BAN_FULL, BAN_MALFORMED, BAN_OFF };

/* One for the same kind and name is replaced. Bans whose time is over already are taken as removal. */
enum ban_answer protect_ban_add(const struct ban *ban);
enum ban_answer protect_ban_remove(enum ban_kind kind, struct span who);
/* Each ban that is in force, in no order; texts are valid during the call, in which nothing of this header may be called. */
enum ban_answer protect_bans_each(void (*each)(void *context, const struct ban *ban), void *context);
enum ban_answer protect_bans_clear(void);
/* Addresses that are refused for their failed logins at the moment. */
uint32_t protect_login_blocks(void);

#endif
