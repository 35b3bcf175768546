/* chain_open.c - a chain comes and goes: its sources by the configuration, their threads. See chain.h. */
#include <stdio.h>
#include <unistd.h>

#include "base/memory.h"
#include "features/auth/chain_inside.h"
#include "features/auth/source_jwt.h"
#include "features/auth/users.h"

/* ---- sources ---------------------------------------------------------------------------------------------------- */

static const struct auth_source_kind *kind_of(const struct auth_source_settings *settings, auth_loader *loader, void *context, char *ret_error, size_t error_bytes)
{
    switch (settings->backend) {
    case AUTH_BACKEND_PASSWORD_FILE: return &auth_source_password_file;
    case AUTH_BACKEND_BUILT_IN: return &auth_source_built_in;
    case AUTH_BACKEND_CERTIFICATE: return &auth_source_certificate;
    case AUTH_BACKEND_JWT: return *settings->jwks_url ? &auth_source_jwks : &auth_source_jwt;
    default: return loader(context, (enum auth_backend)settings->backend, ret_error, error_bytes);
    }
}

static bool open_source(struct auth_chain *chain, const struct auth_source_settings *settings, bool authorizer, auth_loader *loader, void *context,
                        char *ret_error, size_t error_bytes)
{
    char error[400] = "";
    const struct auth_source_kind *kind = kind_of(settings, loader, context, error, sizeof error);
    void *instance = NULL;
    if (kind && kind->abi != AUTH_SOURCE_ABI) {
        snprintf(error, sizeof error, "the module for %s was built for another version of ringmqd (ABI %u, ours is %u)", kind->name, kind->abi, AUTH_SOURCE_ABI);
        kind = NULL;
    }
    bool asked = authorizer && settings->backend == AUTH_BACKEND_HTTP; /* its answer to a question about a topic has the same form as that about a login */
    if (kind && !(authorizer && !asked ? kind->authorize != NULL : kind->authenticate != NULL)) {
        snprintf(error, sizeof error, "backend %s has no rules of authorization", kind->name);
        kind = NULL;
    }
    const struct auth_source_kind *http = kind == &auth_source_jwks ? loader(context, AUTH_BACKEND_HTTP, error, sizeof error) : NULL;
    if (kind == &auth_source_jwks && !http) kind = NULL;
    if (kind) instance = kind->open(settings, &auth_tools, error, sizeof error);
    if (instance && http) auth_jwt_use(instance, http);
    if (!instance) {
        snprintf(ret_error, error_bytes, "%s.%s: %s", authorizer ? "authorization" : "authentication", settings->name, error);
        return false;
    }
    struct auth_chain_source *source = &chain->sources[chain->count++];
    source->settings = settings;
    source->kind = kind;
    source->instance = instance;
    source->chain = chain;
    source->authorizer = authorizer;
    pthread_mutex_init(&source->error_lock, NULL);
    return true;
}

static const struct auth_source_settings *section_of(const struct auth_source_settings *sections, uint32_t count, struct span name)
{
    for (uint32_t i = 0; i < count; i++)
        if (span_equal(span_of_string(sections[i].name), name)) return &sections[i];
    return NULL;
}

enum chain_list { LIST_AUTHENTICATORS, LIST_AUTHORIZERS, LIST_ASKED };

static bool wanted(const struct auth_source_settings *section, enum chain_list kind)
{
    return section->enable && (kind == LIST_AUTHENTICATORS || auth_asked_each(section) == (kind == LIST_ASKED));
}

/* The sections in the order of the list; without a list, in that of their names. */
static bool open_list(struct auth_chain *chain, const char *list, const struct auth_source_settings *sections, uint32_t count, enum chain_list kind,
                      auth_loader *loader, void *context, char *ret_error, size_t error_bytes)
{
    bool authorizers = kind != LIST_AUTHENTICATORS;
    for (uint32_t i = 0; i < count && !*list; i++) {
        if (!wanted(&sections[i], kind)) continue;
        if (!open_source(chain, &sections[i], authorizers, loader, context, ret_error, error_bytes)) return false;
    }
    for (const char *at = list; *at;) {
        size_t bytes = strcspn(at, ", ");
        const struct auth_source_settings *section = section_of(sections, count, span_of(at, bytes));
        bool word = authorizers && (span_equal(span_of(at, bytes), SPAN_LITERAL("token")) || span_equal(span_of(at, bytes), SPAN_LITERAL("file")));
        if (bytes && !section && !word) {
            snprintf(ret_error, error_bytes, "%s names '%.*s', but there is no section %s.%.*s", authorizers ? "authorization.chain" : "authentication.chain", (int)bytes, at,
                     authorizers ? "authorization" : "authentication", (int)bytes, at);
            return false;
        }
        if (bytes && section && wanted(section, kind) && !open_source(chain, section, authorizers, loader, context, ret_error, error_bytes)) return false;
        at += bytes;
        at += strspn(at, ", ");
    }
    return true;
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static bool start_threads(struct auth_chain *chain, char *ret_error, size_t error_bytes)
{
    uint32_t hash_threads = chain->settings->hash_threads, queue_max = 0;
    if (hash_threads == 0) { /* half of the machine at most: shards and their caches come first */
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        hash_threads = processors > 2 ? (uint32_t)processors / 2 : 1;
        if (hash_threads > 16) hash_threads = 16;
    }
    for (uint32_t i = 0; i < chain->count; i++) {
        struct auth_chain_source *source = &chain->sources[i];
        source->threads = source->kind->local ? hash_threads : source->settings->pool_size;
        source->links = memory_acquire_zeroed(source->threads * AUTH_WORKERS_CREWS * sizeof *source->links);
        if (source->kind->local && source->settings->queue_max > queue_max) queue_max = source->settings->queue_max;
    }
    if (queue_max) {
        chain->hashing = auth_workers_start("auth hash", hash_threads, queue_max, chain->settings->timeout_ms / 2, &auth_chain_shared_calls, chain);
        if (!chain->hashing) return snprintf(ret_error, error_bytes, "authentication: the system gives no thread"), false;
    }
    for (uint32_t i = 0; i < chain->count; i++) {
        struct auth_chain_source *source = &chain->sources[i];
        char name[16];
        snprintf(name, sizeof name, "auth %.10s", source->settings->name);
        source->workers = source->kind->local ? chain->hashing
                                              : auth_workers_start(name, source->threads, source->settings->queue_max, chain->settings->timeout_ms, &auth_chain_own_calls, source);
        if (!source->workers) return snprintf(ret_error, error_bytes, "authentication.%s: the system gives no thread", source->settings->name), false;
    }
    return true;
}

/* ---- the chain -------------------------------------------------------------------------------------------------- */

struct auth_chain *auth_chain_open(const struct auth_settings *settings, struct auth_cache *cache, auth_loader *loader, void *context,
                                   void (*compile)(struct auth_answer *answer), char *ret_error, size_t error_bytes)
{
    struct auth_chain *chain = memory_acquire_zeroed(sizeof *chain);
    chain->settings = settings;
    chain->cache = cache;
    chain->compile = compile;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    chain->since_unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    bool fine = settings->sources_count + settings->authorizers_count <= AUTH_SOURCES_MAX;
    if (!fine) snprintf(ret_error, error_bytes, "more than %d sections of authentication and authorization", AUTH_SOURCES_MAX);
    fine = fine && open_list(chain, settings->chain, settings->sources, settings->sources_count, LIST_AUTHENTICATORS, loader, context, ret_error, error_bytes);
    chain->authenticators = chain->count;
    fine = fine && open_list(chain, settings->authorization_chain, settings->authorizers, settings->authorizers_count, LIST_AUTHORIZERS, loader, context, ret_error, error_bytes);
    chain->authorizers = chain->count;
    fine = fine && open_list(chain, settings->authorization_chain, settings->authorizers, settings->authorizers_count, LIST_ASKED, loader, context, ret_error, error_bytes);
    if (fine && start_threads(chain, ret_error, error_bytes)) return chain;
    auth_chain_stop(chain);
    return NULL;
}

void auth_chain_look(struct auth_chain *chain)
{
    uint64_t now_ms = auth_now_ms();
    if (chain->hashing) auth_workers_look(chain->hashing, now_ms);
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->sources[i].workers && chain->sources[i].workers != chain->hashing) auth_workers_look(chain->sources[i].workers, now_ms);
}

void auth_chain_hurry(struct auth_chain *chain) { atomic_store(&chain->stopping, true); }

bool auth_chain_end(struct auth_chain *chain, uint32_t patience_ms)
{
    if (chain->given_up) return false;
    /* A job goes from pool to pool. One that finds its next pool ended gets on_full's verdict; one that slips in at that moment is run when the
     * pools are released, when all threads are gone. So first all ends, then all releases. */
    if (chain->hashing) chain->given_up |= !auth_workers_end(chain->hashing, patience_ms);
    for (uint32_t i = 0; i < chain->count; i++) {
        struct auth_chain_source *source = &chain->sources[i];
        if (source->workers && source->workers != chain->hashing) chain->given_up |= !auth_workers_end(source->workers, patience_ms);
    }
    atomic_store(&chain->stopping, true);
    if (chain->given_up) return false;
    for (uint32_t i = 0; i < chain->count; i++) {
        struct auth_chain_source *source = &chain->sources[i];
        if (source->workers && source->workers != chain->hashing) auth_workers_release(source->workers);
        if (source->workers != chain->hashing) source->workers = NULL;
    }
    if (chain->hashing) auth_workers_release(chain->hashing);
    for (uint32_t i = 0; i < chain->count; i++)
        chain->sources[i].workers = NULL;
    chain->hashing = NULL;
    return true;
}

bool auth_chain_given_up(const struct auth_chain *chain) { return chain && chain->given_up; }

void auth_chain_stop(struct auth_chain *chain)
{
    if (!chain || !auth_chain_end(chain, AUTH_PATIENCE_FOREVER)) return;
    for (uint32_t i = 0; i < chain->count; i++) {
        struct auth_chain_source *source = &chain->sources[i];
        source->kind->close(source->instance);
        pthread_mutex_destroy(&source->error_lock);
        memory_release(source->links);
    }
    memory_release(chain);
}
