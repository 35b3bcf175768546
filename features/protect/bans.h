/* bans.h - the ban list: who is on it, and its file.
 *
 * Owner: the feature. Threads: any; a mutex around the tables, taken by a CONNECT only while the list is not empty, and never while the file is
 * written. Times: Unix ms. */
#ifndef RINGMQ_FEATURES_PROTECT_BANS_H
#define RINGMQ_FEATURES_PROTECT_BANS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/cidr.h"
#include "base/map.h"
#include "features/protect/protect.h"

struct ban_entry;

struct bans {
    pthread_mutex_t mutex;
    struct map named[BAN_KINDS];  /* by name, of the first three kinds */
    struct ban_entry **searched;  /* the others */
    uint32_t searched_count;
    _Atomic uint32_t count;
    _Atomic bool changed;         /* since it was last written */
};

void bans_init(struct bans *bans);
void bans_release(struct bans *bans);

enum ban_answer bans_add(struct bans *bans, const struct ban *ban, uint64_t now_ms);
enum ban_answer bans_remove(struct bans *bans, enum ban_kind kind, struct span who);
void bans_each(struct bans *bans, uint64_t now_ms, void (*each)(void *context, const struct ban *ban), void *context);
void bans_clear(struct bans *bans);
/* Removes what is over. */
void bans_expire(struct bans *bans, uint64_t now_ms);

struct ban_client {
    struct span client_id, user_name;
    bool has_user_name, has_address;
    const uint8_t *address; /* sixteen bytes, as base/cidr.h has it */
};
bool bans_match(struct bans *bans, const struct ban_client *client, uint64_t now_ms);
/* One ban by itself, for those who are connected. NULL: it makes no sense. */
struct ban_entry *ban_entry_create(const struct ban *ban);
void ban_entry_release(struct ban_entry *entry);
bool ban_entry_matches(const struct ban_entry *entry, const struct ban_client *client);


/* The file: a line a ban, KIND WHO AT UNTIL BY REASON with tabs between them (times in seconds, 0: for good; bytes below 0x21, `%` and 0x7F as
 * %XX). Reading replaces the list; false with a sentence in ret_error, and nothing has changed. A file that is not there is an empty list. */
bool bans_read(struct bans *bans, const char *path, uint64_t now_ms, char *ret_error, size_t error_bytes);
bool bans_write(struct bans *bans, const char *path, uint64_t now_ms, char *ret_error, size_t error_bytes);

#endif
