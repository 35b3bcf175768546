/* protect.c - protection: a ban list, clients that come and go too often, addresses whose logins fail (docs/protection.md).
 *
 *     CONNECT ─► banned? address blocked? ─► authentication … ─┬─ accepted ─► gone again ─► flapping? ─► a ban for a while
 *                                                              └─ refused ─► failed login of its address ─► blocked for a while
 * Stands before authentication, so that who is banned costs no look into a database. */
#include "features/protect/protect.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/feature.h"
#include "features/protect/bans.h"
#include "features/protect/flapping.h"
#include "features/protect/logins.h"
#include "features/protect/requests.h"

/* ---- settings ------------------------------------------------------------------------------------------------------ */

struct protect_settings {
    bool banned, flapping, login_limit;
    char *file, *login_except;
    uint32_t flapping_count, flapping_window_ms, flapping_ban_s;
    uint32_t login_failures, login_window_ms, login_ban_s;
};

#define IN(member) SCHEMA_MEMBER(struct protect_settings, member)

static const char *check_networks(struct span text) { return cidr_list_parse(text, NULL); }

static const struct schema_key keys[] = {
    {"banned.enable", TYPE_BOOL, IN(banned), .reloadable = true, .default_text = "false",
     .documentation = "Whether the ban list is looked at when clients connect. Those on it get 0x8A (3.1.1: not authorized)."},
    {"banned.file", TYPE_STRING, IN(file), .reloadable = true, .max = 4096, .default_text = "",
     .documentation = "Where the list is kept: a line a ban (docs/protection.md has the form). Read at the start, and at a reload when it has been "
                      "changed. Empty: banned.txt in node.data_dir."},
    {"flapping_detect.enable", TYPE_BOOL, IN(flapping), .reloadable = true, .default_text = "false",
     .documentation = "Whether clients that disconnect too often are banned for a while, by their client id."},
    {"flapping_detect.max_count", TYPE_UNSIGNED, IN(flapping_count), .reloadable = true, .min = 2, .max = 1000000, .default_text = "15",
     .documentation = "Disconnects within window_time that are too many."},
    {"flapping_detect.window_time", TYPE_DURATION, IN(flapping_window_ms), .reloadable = true, .unit_us = SCHEMA_MS, .min = 100, .max = 86400000,
     .default_text = "1m", .documentation = "The time in which disconnects are counted."},
    {"flapping_detect.ban_time", TYPE_DURATION, IN(flapping_ban_s), .reloadable = true, .unit_us = SCHEMA_S, .min = 1, .max = 31536000,
     .default_text = "5m", .documentation = "How long such a client stays banned."},
    {"login_limit.enable", TYPE_BOOL, IN(login_limit), .reloadable = true, .default_text = "false",
     .documentation = "Whether addresses from which logins keep failing are refused for a while, before anybody is asked about their password. IPv6 "
                      "addresses count by their /64."},
    {"login_limit.max_failures", TYPE_UNSIGNED, IN(login_failures), .reloadable = true, .min = 1, .max = 1000000, .default_text = "10",
     .documentation = "Failed logins (CONNECTs refused with 0x86, 0x87 or 0x8C) within window_time that are too many."},
    {"login_limit.window_time", TYPE_DURATION, IN(login_window_ms), .reloadable = true, .unit_us = SCHEMA_MS, .min = 100, .max = 86400000,
     .default_text = "1m", .documentation = "The time in which failures are counted."},
    {"login_limit.ban_time", TYPE_DURATION, IN(login_ban_s), .reloadable = true, .unit_us = SCHEMA_S, .min = 1, .max = 31536000, .default_text = "5m",
     .documentation = "How long such an address is refused (0x8A)."},
    {"login_limit.except", TYPE_STRING, IN(login_except), .reloadable = true, .max = 65535, .default_text = "", .check = check_networks,
     .documentation = "Networks that are never refused: proxies without PROXY protocol, offices behind one address. \"10.0.0.0/8, 192.0.2.7\""},
};
static const struct schema_section sections[] = {
    {"banned", "Who may not connect. See docs/protection.md."},
    {"flapping_detect", "Clients that come and go. See docs/protection.md."},
    {"login_limit", "Addresses from which logins fail. See docs/protection.md."},
};
static const struct schema_part part = {.name = "protect", .keys = keys, .keys_count = SCHEMA_COUNT(keys), .sections = sections,
                                        .sections_count = SCHEMA_COUNT(sections), .settings_bytes = sizeof(struct protect_settings)};

/* ---- the node's part ----------------------------------------------------------------------------------------------- */

struct protect {
    struct feature_node *node;
    struct bans bans;
    struct logins logins;
    _Atomic bool bans_on;
    char file[4096];                  /* the list's; control thread */
    struct timespec file_time;        /* of the last reading or writing */
    bool file_read, read_once;
    struct login_rules login_rules;   /* control thread: for the sweep */
    uint32_t sweep_cursor;
    bool shard_has_bans[SHARDS_MAX];  /* each written by its shard */
};

/* What is in force: read by all shards. */
struct prepared {
    bool bans, flapping, login_limit;
    uint32_t flapping_count;
    uint64_t flapping_window_ms, flapping_ban_ms;
    struct login_rules login;
    struct cidr_list login_except;
};

static _Atomic(struct protect *) instance; /* for protect.h */

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool protect_open(struct feature_node *node, char *ret_error, size_t error_bytes)
{
    struct protect *protect = memory_acquire_zeroed(sizeof *protect);
    protect->node = node;
    bans_init(&protect->bans);
    logins_init(&protect->logins);
    node->state = protect;
    atomic_store(&instance, protect);
    return true;
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

static bool file_changed(const struct protect *protect)
{
    struct stat found;
    if (stat(protect->file, &found) != 0) return false;
    return !protect->file_read || found.st_mtim.tv_sec != protect->file_time.tv_sec || found.st_mtim.tv_nsec != protect->file_time.tv_nsec;
}

static void file_remember(struct protect *protect)
{
    struct stat found;
    protect->file_read = true;
    protect->file_time = stat(protect->file, &found) == 0 ? found.st_mtim : (struct timespec){0, 0};
}

static void file_write(struct protect *protect)
{
    char error[4400];
    if (!protect->file[0] || !atomic_exchange(&protect->bans.changed, false)) return;
    const char *directory = protect->node->settings->node.data_dir;
    if (strncmp(protect->file, directory, strlen(directory)) == 0) mkdir(directory, 0750);
    if (bans_write(&protect->bans, protect->file, unix_ms(), error, sizeof error)) return file_remember(protect);
    atomic_store(&protect->bans.changed, true); /* again in a second */
    LOG_LIMITED(ERROR, 10000, "ban list not written", "what=%s", log_quoted(span_of_string(error)));
}

static void recheck_all(struct protect *protect);

/* At the start, and at a reload when somebody has edited it. */
static bool file_read(struct protect *protect, const struct protect_settings *settings, char *ret_error, size_t error_bytes)
{
    char path[sizeof protect->file];
    const char *directory = protect->node->settings->node.data_dir;
    bool named = settings->file && settings->file[0];
    int bytes = snprintf(path, sizeof path, "%s%s", named ? settings->file : directory, named ? "" : "/banned.txt");
    if (bytes >= (int)sizeof path) return snprintf(ret_error, error_bytes, "banned.file: the path is too long"), false;
    if (strcmp(path, protect->file) != 0) {
        snprintf(protect->file, sizeof protect->file, "%s", path);
        protect->file_read = false;
    }
    if (protect->file_read && !file_changed(protect)) return true;
    if (!bans_read(&protect->bans, protect->file, unix_ms(), ret_error, error_bytes)) return false;
    atomic_store(&protect->bans.changed, false);
    bool started = protect->read_once;
    protect->read_once = true;
    file_remember(protect);
    LOG(INFO, "ban list read", "file=%s bans=%u", protect->file, atomic_load(&protect->bans.count));
    if (started) recheck_all(protect); /* at the start nobody is connected */
    return true;
}

/* ---- settings in force --------------------------------------------------------------------------------------------- */

static void protect_release(struct feature_node *node, void *old)
{
    struct prepared *prepared = old;
    cidr_list_release(&prepared->login_except);
    memory_release(prepared);
}

static bool protect_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    struct protect *protect = node->state;
    const struct protect_settings *mine = settings;
    bool bans = mine->banned || mine->flapping;
    if (bans && !file_read(protect, mine, ret_error, error_bytes)) return false;
    if (!bans && !mine->login_limit) return true; /* no moments: off */
    struct prepared *prepared = memory_acquire_zeroed(sizeof *prepared);
    *prepared = (struct prepared){.bans = bans,
                                  .flapping = mine->flapping,
                                  .login_limit = mine->login_limit,
                                  .flapping_count = mine->flapping_count,
                                  .flapping_window_ms = mine->flapping_window_ms,
                                  .flapping_ban_ms = mine->flapping_ban_s * 1000ull,
                                  .login = {.window_ms = mine->login_window_ms, .ban_ms = mine->login_ban_s * 1000ull,
                                            .max_failures = mine->login_failures}};
    const char *wrong = cidr_list_parse(span_of_string(mine->login_except), &prepared->login_except);
    if (wrong) {
        snprintf(ret_error, error_bytes, "login_limit.except: %s", wrong);
        memory_release(prepared);
        return false;
    }
    if (mine->login_limit) logins_switch_on(&protect->logins);
    protect->login_rules = prepared->login;
    ret_setup->prepared = prepared;
    ret_setup->moments = FEATURE_GATE(connect);
    return true;
}

static void protect_apply(struct feature_shard *shard)
{
    const struct prepared *prepared = shard->prepared;
    struct protect *protect = shard->node->state;
    bool bans = prepared && prepared->bans;
    if (shard->number == 0) atomic_store(&protect->bans_on, bans); /* not in prepare(): another feature may refuse the reload */
    if (prepared && prepared->flapping && !shard->state) shard->state = flapping_create();
    if (bans && !protect->shard_has_bans[shard->number]) feature_clients_find(shard); /* whoever came before the list was looked at */
    protect->shard_has_bans[shard->number] = bans;
}

static void protect_stop(struct feature_shard *shard)
{
    flapping_release(shard->state);
    shard->state = NULL;
}

static void protect_control_tick(struct feature_node *node)
{
    struct protect *protect = node->state;
    if (!atomic_load(&protect->bans_on) && !protect->logins.entries) return;
    bans_expire(&protect->bans, unix_ms());
    file_write(protect);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (protect->logins.entries)
        logins_sweep(&protect->logins, &protect->login_rules, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, &protect->sweep_cursor,
                     LOGINS_ENTRIES / LOGINS_WAYS / 32);
}

static void protect_close(struct feature_node *node)
{
    struct protect *protect = node->state;
    atomic_store(&instance, NULL);
    file_write(protect);
    bans_release(&protect->bans);
    logins_release(&protect->logins);
    memory_release(protect);
}

/* ---- who may come in ----------------------------------------------------------------------------------------------- */

static struct ban_client facts_of(const struct feature_client *client)
{
    return (struct ban_client){.client_id = client->client_id, .user_name = client->user_name, .has_user_name = client->has_user_name,
                               .has_address = client->has_address, .address = client->address};
}

static struct feature_verdict deny(const struct feature_client *client, const char *reason, const char *what)
{
    LOG_LIMITED(INFO, 1000, "client refused", "reason=%s client=%s peer=%.*s", reason, log_quoted(client->client_id), SPAN_PRINT(client->peer));
    return (struct feature_verdict){.decision = FEATURE_DENY, .reason = MQTT_REASON_BANNED, .what = what};
}

static struct feature_verdict protect_connect(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect)
{
    struct protect *protect = shard->node->state;
    const struct prepared *prepared = shard->prepared;
    struct ban_client facts = facts_of(client);
    if (prepared->bans && bans_match(&protect->bans, &facts, feature_unix_ms(shard))) return deny(client, "banned", "banned");
    bool limited = prepared->login_limit && client->has_address && logins_refused(&protect->logins, client->address, *shard->now_ms);
    if (limited && !cidr_list_has(&prepared->login_except, client->address)) /* it may have been blocked before it was an exception, or a neighbour of its /64 was */
        return deny(client, "failed_logins", "too many failed logins from this address");
    return FEATURE_VERDICT(PASS);
}

static void has_left(struct feature_shard *shard, const struct feature_client *client, const struct prepared *prepared)
{
    struct protect *protect = shard->node->state;
    if (!flapping_note(shard->state, hash_span(client->client_id), *shard->now_ms, prepared->flapping_window_ms, prepared->flapping_count)) return;
    struct ban ban = {.kind = BAN_CLIENT_ID, .who = client->client_id, .by = SPAN_LITERAL("flapping_detect"),
                      .reason = SPAN_LITERAL("disconnected too often"), .until_ms = feature_unix_ms(shard) + prepared->flapping_ban_ms};
    enum ban_answer answer = bans_add(&protect->bans, &ban, feature_unix_ms(shard));
    LOG_LIMITED(WARN, 100, answer == BAN_FULL ? "client not banned" : "client banned", "reason=%s client=%s seconds=%llu",
                answer == BAN_FULL ? "list_full" : "flapping", log_quoted(client->client_id),
                (unsigned long long)(prepared->flapping_ban_ms / 1000));
}

static bool login_failed(const struct feature_client *client)
{
    return client->refused == MQTT_REASON_BAD_USER_NAME_OR_PASSWORD || client->refused == MQTT_REASON_NOT_AUTHORIZED ||
           client->refused == MQTT_REASON_BAD_AUTHENTICATION_METHOD;
}

static void protect_client_gone(struct feature_shard *shard, struct feature_client *client)
{
    struct protect *protect = shard->node->state;
    const struct prepared *prepared = shard->prepared;
    if (!prepared) return;
    if (client->connected && prepared->flapping && shard->state) has_left(shard, client, prepared);
    if (!prepared->login_limit || !client->has_address || !login_failed(client) || cidr_list_has(&prepared->login_except, client->address)) return;
    if (logins_failed(&protect->logins, client->address, &prepared->login, *shard->now_ms))
        LOG_LIMITED(WARN, 100, "address blocked", "reason=failed_logins peer=%.*s seconds=%llu", SPAN_PRINT(client->peer),
                    (unsigned long long)(prepared->login.ban_ms / 1000));
}

/* ---- those who are in already -------------------------------------------------------------------------------------- */

/* To one shard: whom this ban is for goes; without one, whom any ban of the list is for. */
struct kick {
    struct feature_post post; /* first */
    struct ban_entry *ban;    /* NULL: the whole list */
};

static _Thread_local const struct ban_entry *running; /* feature_clients_each() has no context */

static void kick_one(struct feature_shard *shard, struct feature_client *client)
{
    struct ban_client facts = facts_of(client);
    if (client->connected && ban_entry_matches(running, &facts)) feature_disconnect(shard, client->conn, MQTT_REASON_ADMINISTRATIVE_ACTION);
}

static void protect_client_found(struct feature_shard *shard, struct feature_client *client)
{
    struct protect *protect = shard->node->state;
    struct ban_client facts = facts_of(client);
    bool looked_at = shard->prepared && ((const struct prepared *)shard->prepared)->bans && client->connected; /* else its gate is still to come */
    if (looked_at && bans_match(&protect->bans, &facts, feature_unix_ms(shard))) feature_disconnect(shard, client->conn, MQTT_REASON_ADMINISTRATIVE_ACTION);
}

static void kick_run(struct feature_shard *shard, struct feature_post *post)
{
    struct kick *kick = (struct kick *)post;
    running = kick->ban;
    if (running)
        feature_clients_each(shard, kick_one);
    else
        feature_clients_find(shard);
    ban_entry_release(kick->ban);
    running = NULL;
    memory_release(kick);
}

static void kick_send(struct protect *protect, const struct ban *ban)
{
    for (uint32_t s = 0; s < protect->node->shards_count; s++) {
        struct kick *kick = memory_acquire_zeroed(sizeof *kick);
        kick->post.run = kick_run;
        kick->ban = ban ? ban_entry_create(ban) : NULL;
        feature_post(protect->node, s, &kick->post);
    }
}

static void recheck_all(struct protect *protect)
{
    if (atomic_load(&protect->bans.count)) kick_send(protect, NULL);
}

/* ---- protect.h ----------------------------------------------------------------------------------------------------- */

static struct protect *with_bans(void)
{
    struct protect *protect = atomic_load(&instance);
    return protect && atomic_load(&protect->bans_on) ? protect : NULL;
}

enum ban_answer protect_ban_add(const struct ban *ban)
{
    struct protect *protect = with_bans();
    if (!protect) return BAN_OFF;
    enum ban_answer answer = bans_add(&protect->bans, ban, unix_ms());
    bool holds = (answer == BAN_DONE || answer == BAN_REPLACED) && !(ban->until_ms && ban->until_ms <= unix_ms());
    if (holds) kick_send(protect, ban);
    return answer;
}

enum ban_answer protect_ban_remove(enum ban_kind kind, struct span who)
{
    struct protect *protect = with_bans();
    return protect ? bans_remove(&protect->bans, kind, who) : BAN_OFF;
}

enum ban_answer protect_bans_each(void (*each)(void *context, const struct ban *ban), void *context)
{
    struct protect *protect = with_bans();
    if (!protect) return BAN_OFF;
    bans_each(&protect->bans, unix_ms(), each, context);
    return BAN_DONE;
}

enum ban_answer protect_bans_clear(void)
{
    struct protect *protect = with_bans();
    if (!protect) return BAN_OFF;
    bans_clear(&protect->bans);
    return BAN_DONE;
}

uint32_t protect_login_blocks(void)
{
    struct protect *protect = atomic_load(&instance);
    return protect ? atomic_load(&protect->logins.blocked) : 0;
}

/* ---- the feature --------------------------------------------------------------------------------------------------- */

const struct feature feature_protect = {
    .abi = FEATURE_ABI,
    .name = "protect",
    .version = RINGMQ_VERSION,
    .documentation = "Ban list, clients that come and go too often, addresses whose logins fail.",
    .stage = FEATURE_STAGE_PROTECTION,
    .configuration = &part,
    .open = protect_open,
    .close = protect_close,
    .prepare = protect_prepare,
    .release = protect_release,
    .control_tick = protect_control_tick,
    .request = protect_request,
    .apply = protect_apply,
    .stop = protect_stop,
    .connect = protect_connect,
    .client_gone = protect_client_gone,
    .client_found = protect_client_found,
};
