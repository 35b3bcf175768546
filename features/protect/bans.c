#include "features/protect/bans.h"

#include "base/glob.h"
#include "base/memory.h"
#include "base/regex.h"

const char *const ban_kind_names[BAN_KINDS] = {"clientid", "username", "peerhost", "peerhost_net", "clientid_pattern", "username_pattern", "clientid_re", "username_re"};

#define NAMED_KINDS 3 /* the first ones: found in a table */

struct ban_entry {
    struct ban ban;       /* its spans point into text */
    struct cidr network;  /* BAN_NETWORK */
    uint8_t address[16];  /* BAN_ADDRESS: its key */
    struct regex *regex;  /* BAN_…_REGEX */
    char text[];
};

static struct span entry_key(const void *value)
{
    const struct ban_entry *entry = value;
    return entry->ban.kind == BAN_ADDRESS ? span_of(entry->address, 16) : entry->ban.who;
}

void bans_init(struct bans *bans)
{
    *bans = (struct bans){.searched = NULL};
    pthread_mutex_init(&bans->mutex, NULL);
    for (uint32_t k = 0; k < NAMED_KINDS; k++)
        map_init(&bans->named[k], entry_key);
}

static void clear(struct bans *bans)
{
    for (uint32_t k = 0; k < NAMED_KINDS; k++) {
        uint32_t cursor = 0;
        for (void *entry; (entry = map_next(&bans->named[k], &cursor));)
            ban_entry_release(entry);
        map_free(&bans->named[k]);
        map_init(&bans->named[k], entry_key);
    }
    for (uint32_t i = 0; i < bans->searched_count; i++)
        ban_entry_release(bans->searched[i]);
    memory_release(bans->searched);
    bans->searched = NULL;
    bans->searched_count = 0;
    atomic_store(&bans->count, 0);
}

void bans_release(struct bans *bans)
{
    clear(bans);
    pthread_mutex_destroy(&bans->mutex);
}

/* ---- one ban ---------------------------------------------------------------------------------------------------- */

static bool in_network(const struct cidr *network, const uint8_t address[16])
{
    uint32_t whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address, address, whole) != 0) return false;
    return rest == 0 || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

/* A network of exactly one. */
static bool network_of(struct span text, struct cidr *ret_network)
{
    struct cidr_list list;
    if (memchr(text.data, ',', text.bytes) || cidr_list_parse(text, &list)) return false;
    bool one = list.count == 1 && !list.any_unix;
    if (one) *ret_network = list.entries[0];
    cidr_list_release(&list);
    return one;
}

bool ban_entry_matches(const struct ban_entry *entry, const struct ban_client *client)
{
    switch (entry->ban.kind) {
    case BAN_CLIENT_ID: return span_equal(entry->ban.who, client->client_id);
    case BAN_USER_NAME: return client->has_user_name && span_equal(entry->ban.who, client->user_name);
    case BAN_ADDRESS: return client->has_address && memcmp(entry->address, client->address, 16) == 0;
    case BAN_NETWORK: return client->has_address && in_network(&entry->network, client->address);
    case BAN_CLIENT_ID_PATTERN: return glob_matches(entry->ban.who, client->client_id);
    case BAN_USER_NAME_PATTERN: return client->has_user_name && glob_matches(entry->ban.who, client->user_name);
    case BAN_CLIENT_ID_REGEX: return regex_finds(entry->regex, client->client_id);
    case BAN_USER_NAME_REGEX: return client->has_user_name && regex_finds(entry->regex, client->user_name);
    case BAN_KINDS: break;
    }
    return false;
}

static char *put(char *at, struct span from, struct span *ret_span)
{
    if (from.bytes) memcpy(at, from.data, from.bytes);
    *ret_span = span_of(at, from.bytes);
    return at + from.bytes;
}

/* NULL: it makes no sense. */
static struct ban_entry *entry_make(const struct ban *ban, uint64_t now_ms)
{
    bool sound = ban->kind < BAN_KINDS && ban->who.bytes && ban->who.bytes <= UINT16_MAX && ban->by.bytes <= BAN_TEXT_BYTES_MAX &&
                 ban->reason.bytes <= BAN_TEXT_BYTES_MAX;
    struct cidr network = {.bits = 0};
    uint8_t address[16] = {0};
    struct regex *regex = NULL;
    char error[160];
    if (sound && ban->kind == BAN_ADDRESS) sound = cidr_address_of_text(ban->who, address);
    if (sound && ban->kind == BAN_NETWORK) sound = network_of(ban->who, &network);
    bool expression = ban->kind == BAN_CLIENT_ID_REGEX || ban->kind == BAN_USER_NAME_REGEX;
    if (sound && expression) sound = (regex = regex_compile(ban->who, error, sizeof error)) != NULL;
    if (!sound) return NULL;
    struct ban_entry *entry = memory_acquire(sizeof *entry + ban->who.bytes + ban->by.bytes + ban->reason.bytes);
    *entry = (struct ban_entry){.ban = *ban, .network = network, .regex = regex};
    memcpy(entry->address, address, 16);
    char *at = put(entry->text, ban->who, &entry->ban.who);
    put(put(at, ban->by, &entry->ban.by), ban->reason, &entry->ban.reason);
    if (!entry->ban.at_ms) entry->ban.at_ms = now_ms;
    return entry;
}

struct ban_entry *ban_entry_create(const struct ban *ban) { return entry_make(ban, 1); }

void ban_entry_release(struct ban_entry *entry)
{
    if (entry) regex_release(entry->regex);
    memory_release(entry);
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

static bool over(const struct ban_entry *entry, uint64_t now_ms) { return entry->ban.until_ms && entry->ban.until_ms <= now_ms; }

static uint32_t searched_at(const struct bans *bans, enum ban_kind kind, struct span who)
{
    uint32_t i = 0;
    while (i < bans->searched_count && !(bans->searched[i]->ban.kind == kind && span_equal(bans->searched[i]->ban.who, who)))
        i++;
    return i;
}

static void searched_remove(struct bans *bans, uint32_t at)
{
    ban_entry_release(bans->searched[at]);
    bans->searched[at] = bans->searched[--bans->searched_count];
}

static bool take_away(struct bans *bans, const struct ban_entry *entry)
{
    void *old = NULL;
    uint32_t at = 0;
    if (entry->ban.kind < NAMED_KINDS) {
        old = map_remove(&bans->named[entry->ban.kind], entry_key(entry));
        ban_entry_release(old);
    } else if ((at = searched_at(bans, entry->ban.kind, entry->ban.who)) < bans->searched_count) {
        searched_remove(bans, at);
        old = bans;
    }
    if (old) atomic_fetch_sub(&bans->count, 1);
    return old != NULL;
}

static bool room_for(const struct bans *bans, enum ban_kind kind)
{
    return kind < NAMED_KINDS ? atomic_load(&bans->count) - bans->searched_count < BANS_MAX : bans->searched_count < BANS_SEARCHED_MAX;
}

static enum ban_answer add(struct bans *bans, struct ban_entry *entry, uint64_t now_ms)
{
    bool replaced = take_away(bans, entry);
    if (over(entry, now_ms) || !room_for(bans, entry->ban.kind)) {
        enum ban_answer answer = over(entry, now_ms) ? BAN_DONE : BAN_FULL;
        ban_entry_release(entry);
        return answer;
    }
    if (entry->ban.kind < NAMED_KINDS) {
        map_insert(&bans->named[entry->ban.kind], entry);
    } else {
        bans->searched = memory_resize(bans->searched, (bans->searched_count + 1) * sizeof *bans->searched);
        bans->searched[bans->searched_count++] = entry;
    }
    atomic_fetch_add(&bans->count, 1);
    return replaced ? BAN_REPLACED : BAN_DONE;
}

enum ban_answer bans_add(struct bans *bans, const struct ban *ban, uint64_t now_ms)
{
    struct ban_entry *entry = entry_make(ban, now_ms);
    if (!entry) return BAN_MALFORMED;
    pthread_mutex_lock(&bans->mutex);
    enum ban_answer answer = add(bans, entry, now_ms);
    pthread_mutex_unlock(&bans->mutex);
    atomic_store(&bans->changed, true);
    return answer;
}

enum ban_answer bans_remove(struct bans *bans, enum ban_kind kind, struct span who)
{
    struct ban_entry *entry = entry_make(&(struct ban){.kind = kind, .who = who}, 1);
    if (!entry) return BAN_MALFORMED;
    pthread_mutex_lock(&bans->mutex);
    bool removed = take_away(bans, entry);
    pthread_mutex_unlock(&bans->mutex);
    ban_entry_release(entry);
    if (removed) atomic_store(&bans->changed, true);
    return removed ? BAN_DONE : BAN_UNKNOWN;
}

void bans_clear(struct bans *bans)
{
    pthread_mutex_lock(&bans->mutex);
    clear(bans);
    pthread_mutex_unlock(&bans->mutex);
    atomic_store(&bans->changed, true);
}

static void each_locked(struct bans *bans, uint64_t now_ms, void (*each)(void *context, const struct ban *ban), void *context)
{
    for (uint32_t k = 0; k < NAMED_KINDS; k++) {
        uint32_t cursor = 0;
        for (struct ban_entry *entry; (entry = map_next(&bans->named[k], &cursor));)
            if (!over(entry, now_ms)) each(context, &entry->ban);
    }
    for (uint32_t i = 0; i < bans->searched_count; i++)
        if (!over(bans->searched[i], now_ms)) each(context, &bans->searched[i]->ban);
}

void bans_each(struct bans *bans, uint64_t now_ms, void (*each)(void *context, const struct ban *ban), void *context)
{
    pthread_mutex_lock(&bans->mutex);
    each_locked(bans, now_ms, each, context);
    pthread_mutex_unlock(&bans->mutex);
}

#define EXPIRE_BATCH   512
#define EXPIRE_BATCHES 256 /* of one call: more than the list may have */
_Static_assert(EXPIRE_BATCH * EXPIRE_BATCHES > BANS_MAX, "what is over is gone within a second, or it fills the list for nobody's benefit");

/* Some that are over. */
static uint32_t over_some(struct bans *bans, uint64_t now_ms, struct ban_entry *ret_some[EXPIRE_BATCH])
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < NAMED_KINDS; k++) {
        uint32_t cursor = 0;
        for (struct ban_entry *entry; count < EXPIRE_BATCH && (entry = map_next(&bans->named[k], &cursor));)
            if (over(entry, now_ms)) ret_some[count++] = entry;
    }
    return count;
}

/* False: none was left. The mutex is free between two calls: CONNECTs wait for it. */
static bool expire_named(struct bans *bans, uint64_t now_ms)
{
    struct ban_entry *some[EXPIRE_BATCH];
    pthread_mutex_lock(&bans->mutex);
    uint32_t count = over_some(bans, now_ms, some);
    for (uint32_t i = 0; i < count; i++)
        take_away(bans, some[i]);
    pthread_mutex_unlock(&bans->mutex);
    return count == EXPIRE_BATCH;
}

void bans_expire(struct bans *bans, uint64_t now_ms)
{
    if (atomic_load(&bans->count) == 0) return;
    for (int i = 0; i < EXPIRE_BATCHES && expire_named(bans, now_ms); i++) {}
    pthread_mutex_lock(&bans->mutex);
    for (uint32_t i = bans->searched_count; i-- > 0;) {
        if (!over(bans->searched[i], now_ms)) continue;
        searched_remove(bans, i);
        atomic_fetch_sub(&bans->count, 1);
    }
    pthread_mutex_unlock(&bans->mutex);
}

static bool named_match(const struct bans *bans, enum ban_kind kind, struct span key, uint64_t now_ms)
{
    if (bans->named[kind].count == 0) return false;
    const struct ban_entry *entry = map_find(&bans->named[kind], key);
    return entry && !over(entry, now_ms);
}

bool bans_match(struct bans *bans, const struct ban_client *client, uint64_t now_ms)
{
    if (atomic_load_explicit(&bans->count, memory_order_relaxed) == 0) return false;
    pthread_mutex_lock(&bans->mutex);
    bool banned = named_match(bans, BAN_CLIENT_ID, client->client_id, now_ms) ||
                  (client->has_user_name && named_match(bans, BAN_USER_NAME, client->user_name, now_ms)) ||
                  (client->has_address && named_match(bans, BAN_ADDRESS, span_of(client->address, 16), now_ms));
    for (uint32_t i = 0; !banned && i < bans->searched_count; i++)
        banned = !over(bans->searched[i], now_ms) && ban_entry_matches(bans->searched[i], client);
    pthread_mutex_unlock(&bans->mutex);
    return banned;
}
