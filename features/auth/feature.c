/* feature.c - authentication as the frame knows it: opening, configuration, reload, end. What happens to a client is in login.c. */
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "features/auth/authorize.h"
#include "features/auth/compile.h"
#include "features/auth/encode.h"
#include "features/auth/keys.h"
#include "features/auth/login.h"
#include "features/auth/requests.h"
#include "features/auth/verbs.h"

/* A chain that was replaced is stopped on a thread of its own: it answers what it has begun, which may take as long as a server's time-out. */
struct retired {
    struct retired *next;
    pthread_t thread;
    struct auth_prepared *prepared;
    atomic_bool over;
};

struct feature_state {
    struct auth_state auth; /* first */
    struct auth_shard shards[SHARDS_MAX];
    _Atomic(struct auth_prepared *) applied; /* the newest that shards have */
    pthread_mutex_t lock;   /* current, for verbs of other threads; never taken by a shard */
    struct auth_prepared *current;
    struct retired *retired;
};

static struct feature_state *the_state; /* verbs.h; NULL: not open */

/* ---- our own copy of the settings ------------------------------------------------------------------------------- */

/* The frame's live no longer than the configuration; a chain that is being stopped outlives it. */
static void copy_texts(void *item, const char *group)
{
    for (size_t i = 0; i < auth_configuration.keys_count; i++) {
        const struct schema_key *key = &auth_configuration.keys[i];
        bool text = key->type == TYPE_STRING || key->type == TYPE_SECRET;
        bool ours = group ? strncmp(key->path, group, strlen(group)) == 0 : strstr(key->path, ".NAME.") == NULL;
        if (!text || !ours) continue;
        char **place = (char **)((char *)item + key->offset);
        *place = memory_copy_string(span_of_string(*place ? *place : ""));
    }
}

static void release_texts(void *item, const char *group)
{
    for (size_t i = 0; i < auth_configuration.keys_count; i++) {
        const struct schema_key *key = &auth_configuration.keys[i];
        bool text = key->type == TYPE_STRING || key->type == TYPE_SECRET;
        bool ours = group ? strncmp(key->path, group, strlen(group)) == 0 : strstr(key->path, ".NAME.") == NULL;
        if (!text || !ours) continue;
        char **place = (char **)((char *)item + key->offset);
        secret_wipe(*place, strlen(*place));
        memory_release(*place);
    }
}

/* A section of one kind has no keys of the other: their texts are empty. */
static void fill_gaps(struct auth_source_settings *source)
{
    static char empty[] = "";
    char **texts[] = {&source->listeners, &source->file, &source->bootstrap_file, &source->server, &source->database, &source->username, &source->password, &source->query,
                      &source->tls_ca_file, &source->tls_certificate_file, &source->tls_key_file, &source->url, &source->body, &source->headers, &source->secret,
                      &source->public_key, &source->jwks_url, &source->algorithms, &source->claims, &source->acl_claim, &source->base_dn, &source->filter,
                      &source->password_attribute, &source->superuser_attribute, &source->publish_attribute, &source->subscribe_attribute, &source->all_attribute};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!*texts[i]) *texts[i] = empty;
}

/* What an HTTP server is asked about a topic when nobody has said it otherwise. */
static void fill_body(struct auth_source_settings *authorizer)
{
    static const char json[] = "{\"username\":\"${username}\",\"clientid\":\"${clientid}\",\"action\":\"${action}\",\"topic\":\"${topic}\",\"qos\":\"${qos}\",\"retain\":\"${retain}\"}";
    static const char form[] = "username=${username}&clientid=${clientid}&action=${action}&topic=${topic}&qos=${qos}&retain=${retain}";
    if (authorizer->backend != AUTH_BACKEND_HTTP || *authorizer->body) return;
    memory_release(authorizer->body);
    authorizer->body = memory_copy_string(span_of_string(strcasestr(authorizer->headers, "x-www-form-urlencoded") ? form : json));
}

static struct auth_source_settings *copy_sources(const struct auth_source_settings *from, uint32_t count, const char *group)
{
    struct auth_source_settings *to = memory_acquire_zeroed((count + 1) * sizeof *to);
    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].name = memory_copy_string(span_of_string(from[i].name));
        copy_texts(&to[i], group);
        fill_gaps(&to[i]);
    }
    return to;
}

static void release_sources(struct auth_source_settings *sources, uint32_t count, const char *group)
{
    for (uint32_t i = 0; i < count; i++) {
        release_texts(&sources[i], group);
        memory_release(sources[i].name);
    }
    memory_release(sources);
}

/* The built-in database lies in the data folder unless said otherwise. */
static void place_databases(struct auth_settings *settings, const char *data_dir)
{
    char path[4300];
    bool made = false;
    for (uint32_t i = 0; i < settings->sources_count; i++) {
        struct auth_source_settings *source = &settings->sources[i];
        if (source->backend != AUTH_BACKEND_BUILT_IN || *source->file) continue;
        if (!made && mkdir(data_dir, 0750) == 0) LOG(INFO, "data folder made", "path=%s", log_quoted(span_of_string(data_dir)));
        made = true;
        snprintf(path, sizeof path, "%s/users-%s.jsonl", data_dir, source->name);
        memory_release(source->file);
        source->file = memory_copy_string(span_of_string(path));
    }
}

static void release_prepared(struct auth_prepared *prepared)
{
    if (auth_chain_given_up(prepared->chain)) return;
    authorize_release(prepared->asked);
    auth_chain_stop(prepared->chain);
    release_sources(prepared->settings.sources, prepared->settings.sources_count, "authentication.NAME.");
    release_sources(prepared->settings.authorizers, prepared->settings.authorizers_count, "authorization.NAME.");
    release_texts(&prepared->settings, NULL);
    memory_release(prepared);
}

/* ---- the frame's calls ------------------------------------------------------------------------------------------ */

static const struct auth_source_kind *load_module(void *context, enum auth_backend backend, char *ret_error, size_t error_bytes)
{
    char name[40];
    snprintf(name, sizeof name, "auth_%s", auth_backend_names[backend]);
    return feature_library(context, name, "auth_source", ret_error, error_bytes);
}

static bool auth_open(struct feature_node *node, char *ret_error, size_t error_bytes)
{
    struct feature_state *state = memory_acquire_zeroed(sizeof *state);
    state->auth.cache = auth_cache_create();
    state->auth.throttle = auth_throttle_create();
    CHECK(getrandom(state->auth.scram_seed, sizeof state->auth.scram_seed, 0) == sizeof state->auth.scram_seed);
    pthread_mutex_init(&state->lock, NULL);
    for (uint32_t i = 0; i < SHARDS_MAX; i++)
        list_init(&state->shards[i].refreshing);
    node->state = the_state = state;
    return true;
}

static bool auth_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    struct feature_state *state = node->state;
    struct auth_prepared *prepared = memory_acquire_zeroed(sizeof *prepared);
    prepared->state = &state->auth;
    prepared->settings = *(const struct auth_settings *)settings;
    copy_texts(&prepared->settings, NULL);
    prepared->settings.sources = copy_sources(prepared->settings.sources, prepared->settings.sources_count, "authentication.NAME.");
    prepared->settings.authorizers = copy_sources(prepared->settings.authorizers, prepared->settings.authorizers_count, "authorization.NAME.");
    for (uint32_t i = 0; i < prepared->settings.authorizers_count; i++)
        fill_body(&prepared->settings.authorizers[i]);
    place_databases(&prepared->settings, node->settings->node.data_dir);
    prepared->chain = auth_chain_open(&prepared->settings, state->auth.cache, load_module, node, compile_rules, ret_error, error_bytes);
    if (!prepared->chain) {
        release_prepared(prepared);
        return false;
    }
    prepared->asked = authorize_make(prepared, ret_error, error_bytes);
    if (!prepared->asked && auth_chain_asked(prepared->chain) > 0) {
        release_prepared(prepared);
        return false;
    }
    if (prepared->asked) authorize_offer(prepared->asked);
    bool guards = auth_configuration.guards(&prepared->settings), authorizes = prepared->settings.authorizers_count > 0;
    *ret_setup = (struct feature_setup){.prepared = prepared, .authenticates = guards, .authorizes = authorizes, .brings_rules = guards || authorizes};
    if (guards || authorizes) ret_setup->moments = FEATURE_GATE(connect) | FEATURE_GATE(authenticate);
    return true;
}

static void apply_on_shard(struct feature_shard *shard)
{
    struct feature_state *state = shard->node->state;
    shard->state = &state->shards[shard->number];
    atomic_store(&state->shards[shard->number].started, true);
    atomic_store(&state->applied, (struct auth_prepared *)shard->prepared);
    const struct auth_settings *settings = &((const struct auth_prepared *)shard->prepared)->settings;
    auth_cache_configure(state->auth.cache, settings->cache_ttl_ms, settings->cache_negative_ttl_ms, settings->cache_max); /* not in prepare(): a reload may be refused after it */
}

/* Verbs work on what shards work with, from the next tick on at the latest. */
static void set_current(struct feature_state *state, const struct auth_prepared *gone)
{
    struct auth_prepared *applied = atomic_load(&state->applied);
    pthread_mutex_lock(&state->lock);
    state->current = applied == gone ? NULL : applied;
    pthread_mutex_unlock(&state->lock);
}

static void *retire(void *argument)
{
    struct retired *retired = argument;
    log_thread_attach("auth retiring");
    release_prepared(retired->prepared);
    atomic_store(&retired->over, true);
    return NULL;
}

static void auth_release(struct feature_node *node, void *prepared)
{
    if (((struct auth_prepared *)prepared)->asked) authorize_withdraw(((struct auth_prepared *)prepared)->asked);
    struct feature_state *state = node->state;
    struct retired *retired = memory_acquire_zeroed(sizeof *retired);
    set_current(state, prepared);
    auth_cache_purge(state->auth.cache, span_of(NULL, 0)); /* what it has answered need not be so any more */
    retired->prepared = prepared;
    if (pthread_create(&retired->thread, NULL, retire, retired) != 0) { /* then here, whatever it takes */
        release_prepared(prepared);
        memory_release(retired);
        return;
    }
    retired->next = state->retired;
    state->retired = retired;
}

static void join_retired(struct feature_state *state, bool all)
{
    for (struct retired **place = &state->retired; *place;) {
        struct retired *retired = *place;
        if (!all && !atomic_load(&retired->over)) {
            place = &retired->next;
            continue;
        }
        pthread_join(retired->thread, NULL);
        *place = retired->next;
        memory_release(retired);
    }
}

static void auth_control_tick(struct feature_node *node)
{
    struct feature_state *state = node->state;
    join_retired(state, false);
    set_current(state, NULL);
    const struct auth_prepared *current = state->current; /* written on this thread alone */
    if (current) auth_chain_look(current->chain);
    if (!current || !current->settings.rules_ttl_ms || current->settings.authorizers_count == 0) return;
    for (uint32_t i = 0; i < node->shards_count; i++)
        if (state->shards[i].started) login_look_for_old(node, i, &state->shards[i]);
}

#define HALT_PATIENCE_MS 5000 /* for the last question of each thread */

/* No shard turns any more: what waits need not be asked. The threads end here, so that all answers are under way as posts. */
static void auth_halt(struct feature_node *node)
{
    struct feature_state *state = node->state;
    struct auth_prepared *applied = atomic_load(&state->applied);
    if (applied) auth_chain_hurry(applied->chain);
    if (applied) auth_chain_end(applied->chain, HALT_PATIENCE_MS);
    join_retired(state, true);
}

static void auth_close(struct feature_node *node)
{
    struct feature_state *state = node->state;
    join_retired(state, true);
    the_state = NULL;
    auth_cache_release(state->auth.cache);
    auth_throttle_release(state->auth.throttle);
    pthread_mutex_destroy(&state->lock);
    secret_wipe(state->auth.scram_seed, sizeof state->auth.scram_seed);
    memory_release(state);
}

const struct feature feature_auth = {
    .abi = FEATURE_ABI,
    .name = "auth",
    .version = RINGMQ_VERSION,
    .documentation = "Authentication: password files, a built-in user database, HTTP, JWT, PostgreSQL, MySQL, Redis, LDAP, certificates and SCRAM.",
    .stage = FEATURE_STAGE_AUTHENTICATION,
    .configuration = &auth_configuration,
    .open = auth_open,
    .halt = auth_halt,
    .close = auth_close,
    .prepare = auth_prepare,
    .release = auth_release,
    .control_tick = auth_control_tick,
    .request = auth_request,
    .apply = apply_on_shard,
    .connect = login_connect,
    .authenticate = login_authenticate,
    .describe = login_describe,
    .client_gone = login_gone,
};

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

bool auth_verbs_counters(struct auth_counters *ret_counters)
{
    struct feature_state *state = the_state;
    if (!state) return false;
    const struct auth_state *auth = &state->auth;
    *ret_counters = (struct auth_counters){.logins = auth->logins, .cached = auth->cached, .allowed = auth->allowed, .denied = auth->denied,
                                           .unavailable = auth->unavailable, .busy = auth->busy, .throttled = auth->throttled, .scram = auth->scram,
                                           .refreshed = auth->refreshed, .cache_entries = auth_cache_count(auth->cache)};
    return true;
}

bool auth_verbs_source(uint32_t number, struct auth_verbs_source *ret_source)
{
    struct feature_state *state = the_state;
    if (!state) return false;
    pthread_mutex_lock(&state->lock);
    bool found = state->current && auth_chain_status(state->current->chain, number, &ret_source->status);
    if (found) {
        snprintf(ret_source->name, sizeof ret_source->name, "%s", ret_source->status.name);
        ret_source->status.name = ret_source->name;
    }
    pthread_mutex_unlock(&state->lock);
    return found;
}

uint32_t auth_verbs_purge(struct span user_name) { return the_state ? auth_cache_purge(the_state->auth.cache, user_name) : 0; }

bool auth_verbs_users(struct span name, void (*work)(struct auth_users *users, const struct auth_verbs_form *form, void *context), void *context)
{
    struct feature_state *state = the_state;
    if (!state) return false;
    pthread_mutex_lock(&state->lock);
    const struct auth_prepared *current = state->current;
    struct auth_users *users = current ? auth_chain_users(current->chain, name) : NULL;
    struct auth_verbs_form form = {0};
    for (uint32_t i = 0; users && i < current->settings.sources_count; i++) {
        const struct auth_source_settings *source = &current->settings.sources[i];
        if (!span_equal(span_of_string(source->name), name)) continue;
        form = (struct auth_verbs_form){.form = auth_password_form(source), .scram = source->mechanism == AUTH_MECHANISM_SCRAM};
    }
    if (users) work(users, &form, context);
    pthread_mutex_unlock(&state->lock);
    return users != NULL;
}
