/* chain.c - the way of a login from source to source, their circuit breakers, and what can be seen of them; chain_open.c makes the chain. See chain.h. */
#include "features/auth/chain.h"

#include <fnmatch.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "features/auth/chain_inside.h"
#include "features/auth/users.h"

#define PROBE_MS 50 /* another thread is probing: look again */

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

void *auth_job_create(const struct auth_query *query, size_t bytes)
{
    struct auth_job *job = memory_acquire_zeroed(bytes);
    struct span *places[12 + 2 * AUTH_ATTRIBUTES_MAX];
    size_t count = 0, total = 0;
    job->query = *query;
    CHECK(query->attributes_count <= AUTH_ATTRIBUTES_MAX);
    for (uint32_t i = 0; i < query->attributes_count; i++) {
        job->attributes[i] = query->attributes[i];
        places[count++] = &job->attributes[i].name;
        places[count++] = &job->attributes[i].value;
    }
    job->query.attributes = job->attributes;
    places[count++] = &job->query.client_id;
    places[count++] = &job->query.user_name;
    places[count++] = &job->query.password;
    places[count++] = &job->query.peer_host;
    places[count++] = &job->query.listener;
    places[count++] = &job->query.certificate_cn;
    places[count++] = &job->query.certificate_dn;
    places[count++] = &job->query.action;
    places[count++] = &job->query.topic;
    places[count++] = &job->query.qos;
    places[count++] = &job->query.retain;
    for (size_t i = 0; i < count; i++)
        total += places[i]->bytes;
    job->text.data = memory_acquire(total + 1);
    job->text.room = total + 1;
    for (size_t i = 0; i < count; i++) {
        char *at = job->text.data + job->text.bytes;
        auth_text_add(&job->text, *places[i]);
        places[i]->data = (const uint8_t *)at;
    }
    return job;
}

void auth_job_release(struct auth_job *job)
{
    auth_answer_release(job->answer);
    auth_answer_release(job->earlier);
    auth_text_release(&job->text);
    memory_release(job);
}

/* ---- the circuit breaker ---------------------------------------------------------------------------------------- */

static void remember_error(struct auth_chain_source *source, const char *error)
{
    pthread_mutex_lock(&source->error_lock);
    snprintf(source->error, sizeof source->error, "%s", error);
    pthread_mutex_unlock(&source->error_lock);
}

static void source_works(struct auth_chain_source *source)
{
    atomic_store(&source->failures, 0);
    uint8_t before = atomic_exchange(&source->health, AUTH_HEALTH_UP);
    if (atomic_exchange(&source->rest_until_ms, 0) || before == AUTH_HEALTH_DOWN)
        LOG(NOTICE, "authentication source is back", "source=%s", source->settings->name);
}

static void source_failed(struct auth_chain_source *source, const char *error)
{
    remember_error(source, error);
    if (atomic_exchange(&source->health, AUTH_HEALTH_DOWN) != AUTH_HEALTH_DOWN)
        LOG(WARN, "authentication source fails", "source=%s error=%s", source->settings->name, log_quoted(span_of_string(error)));
    uint32_t max = source->settings->breaker_failures;
    if (source->kind->local || max == 0 || atomic_fetch_add(&source->failures, 1) + 1 < max) return;
    uint64_t closed = 0;
    if (!atomic_compare_exchange_strong(&source->rest_until_ms, &closed, auth_now_ms() + source->settings->breaker_rest_ms)) return;
    atomic_fetch_add(&source->rests, 1);
    LOG(WARN, "authentication source rests", "source=%s failures=%u for_ms=%u", source->settings->name, max, source->settings->breaker_rest_ms);
}

/* Is it not to be asked now? */
static bool source_rests(const struct auth_chain_source *source)
{
    uint64_t until_ms = atomic_load_explicit(&source->rest_until_ms, memory_order_relaxed);
    return until_ms && (source->kind->probe || auth_now_ms() < until_ms);
}

/* Asked right before a question is put, once: when the rest is over and there is no probe, one question is let through to see how the server is. */
static bool source_still_rests(struct auth_chain_source *source)
{
    uint64_t until_ms = atomic_load_explicit(&source->rest_until_ms, memory_order_relaxed), now_ms = auth_now_ms();
    if (until_ms == 0) return false;
    if (source->kind->probe || now_ms < until_ms) return true;
    return !atomic_compare_exchange_strong(&source->rest_until_ms, &until_ms, now_ms + source->settings->breaker_rest_ms);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* The link of this thread, attached when first wanted. */
static void *link_of(struct auth_chain_source *source, uint32_t thread)
{
    if (!source->kind->attach) return NULL;
    CHECK(thread < source->threads * AUTH_WORKERS_CREWS);
    if (!source->links[thread]) source->links[thread] = source->kind->attach(source->instance);
    return source->links[thread];
}

static void detach(struct auth_chain_source *source, uint32_t thread)
{
    if (source->links && source->links[thread] && source->kind->detach) source->kind->detach(source->links[thread]);
    if (source->links) source->links[thread] = NULL;
}

static void source_thread_end(void *context, uint32_t number) { detach(context, number); }

static void hash_thread_end(void *context, uint32_t number)
{
    struct auth_chain *chain = context;
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->sources[i].workers == chain->hashing) detach(&chain->sources[i], number);
}

#define TICK_MS 500 /* a changed password file is in force within a second */

static uint32_t hash_thread_idle_ms(void *context, uint32_t number, bool first)
{
    const struct auth_chain *chain = context;
    for (uint32_t i = 0; i < chain->count && first; i++)
        if (chain->sources[i].workers == chain->hashing && chain->sources[i].kind->tick) return TICK_MS;
    return AUTH_IDLE_NEVER;
}

static void hash_thread_idle(void *context, uint32_t number, bool first)
{
    struct auth_chain *chain = context;
    for (uint32_t i = 0; i < chain->count && first; i++)
        if (chain->sources[i].workers == chain->hashing && chain->sources[i].kind->tick) chain->sources[i].kind->tick(chain->sources[i].instance);
}

/* Whichever thread opened the breaker asks this next, so one at least waits for the end of the rest. */
static uint32_t source_thread_idle_ms(void *context, uint32_t number, bool first)
{
    const struct auth_chain_source *source = context;
    uint64_t until_ms = atomic_load(&source->rest_until_ms), now_ms = auth_now_ms();
    if (until_ms == 0 || !source->kind->probe) return AUTH_IDLE_NEVER;
    return until_ms > now_ms ? (uint32_t)(until_ms - now_ms) : PROBE_MS;
}

/* While the breaker is open one thread asks the server how it is. Another takes that over from one which is not through in time: it may get no processor
 * time (workers.h), and what it finds in the end is welcome all the same. */
static void source_thread_idle(void *context, uint32_t number, bool first)
{
    struct auth_chain_source *source = context;
    uint64_t until_ms = atomic_load(&source->rest_until_ms), now_ms = auth_now_ms();
    if (until_ms == 0 || now_ms < until_ms || !source->kind->probe || atomic_load(&source->chain->stopping)) return;
    uint64_t taken_until_ms = atomic_load(&source->probing_until_ms), mine_until_ms = now_ms + source->settings->timeout_ms + PROBE_MS;
    if (now_ms < taken_until_ms || !atomic_compare_exchange_strong(&source->probing_until_ms, &taken_until_ms, mine_until_ms)) return;
    char error[192] = "";
    void *link = link_of(source, number);
    auth_workers_away(source->workers, number);
    bool up = source->kind->probe(source->instance, link, now_ms + source->settings->timeout_ms, error, sizeof error);
    auth_workers_back(source->workers, number);
    if (up) {
        source_works(source);
    } else {
        remember_error(source, error);
        atomic_store(&source->rest_until_ms, auth_now_ms() + source->settings->breaker_rest_ms);
    }
    atomic_compare_exchange_strong(&source->probing_until_ms, &mine_until_ms, 0);
}

/* ---- a login's way ---------------------------------------------------------------------------------------------- */

static void go_on(struct auth_chain *chain, struct auth_job *job);

/* What an earlier answer has from the login itself, before anything else: nobody is asked for that again. On a worker, for there may be many. */
static void take_over(struct auth_job *job)
{
    const struct auth_answer *earlier = job->earlier;
    struct auth_answer *answer = job->answer;
    if (!earlier) return;
    snprintf(answer->source, sizeof answer->source, "%s", earlier->source);
    answer->has_rules = answer->has_login_rules = earlier->has_login_rules;
    for (uint32_t i = 0; i < earlier->login_rules; i++) {
        const struct auth_rule *rule = &earlier->rules[i];
        auth_answer_rule(answer, rule->allow, rule->actions, span_of_string(rule->topic), rule->qos_mask, rule->retain);
    }
    answer->login_rules = answer->rules_count;
    auth_answer_release(job->earlier);
    job->earlier = NULL;
}

static void finish(struct auth_chain *chain, struct auth_job *job)
{
    take_over(job); /* when no authorizer could be asked */
    uint8_t counts = job->asks ? AUTH_NEXT : AUTH_ALLOW; /* with which verdict rules mean something */
    if (job->answer->has_rules && chain->compile && job->answer->verdict == counts) chain->compile(job->answer);
    if (job->keyed && chain->cache)
        auth_cache_put(chain->cache, job->key, job->query.has_user_name ? job->query.user_name : span_of(NULL, 0), job->answer, job->generation, auth_now_ms());
    job->done(job);
}

static void conclude(struct auth_chain *chain, struct auth_job *job, enum auth_verdict verdict, const char *source)
{
    job->answer->verdict = (uint8_t)verdict;
    snprintf(job->answer->source, sizeof job->answer->source, "%s", source);
    if (verdict != AUTH_ALLOW || job->answer->superuser) return finish(chain, job);
    job->answer->login_rules = job->answer->rules_count;
    job->answer->has_login_rules = job->answer->has_rules;
    job->authorizing = true; /* then the rules */
    job->at = chain->authenticators;
    go_on(chain, job);
}

/* What a source's verdict means for the job. */
static void decide(struct auth_chain *chain, struct auth_job *job, struct auth_chain_source *source, enum auth_verdict verdict)
{
    struct auth_answer *answer = job->answer;
    uint8_t policy = source->settings->on_error;
    atomic_fetch_add_explicit(&source->verdicts[verdict], 1, memory_order_relaxed);
    if (verdict == AUTH_DOWN) {
        answer->cacheable = false;
        LOG_LIMITED(WARN, 1000, "authentication source not asked", "source=%s what=%s policy=%s", source->settings->name,
                    log_quoted(span_of_string(answer->what)), policy == AUTH_POLICY_DENY ? "deny" : policy == AUTH_POLICY_NEXT ? "next" : "allow");
        answer->unavailable = policy == AUTH_POLICY_DENY;
        verdict = policy == AUTH_POLICY_DENY ? AUTH_DENY : policy == AUTH_POLICY_ALLOW ? AUTH_ALLOW : AUTH_NEXT;
    }
    if (job->asks) {
        answer->verdict = (uint8_t)verdict;
        return finish(chain, job);
    }
    if (source->authorizer) {
        if (verdict == AUTH_DENY) {
            answer->verdict = AUTH_DENY;
            snprintf(answer->source, sizeof answer->source, "%s", source->settings->name);
            return finish(chain, job);
        }
        answer->verdict = AUTH_ALLOW; /* as it was: authorizers only add */
        job->at++;
        return go_on(chain, job);
    }
    if (verdict != AUTH_NEXT) return conclude(chain, job, verdict, source->settings->name);
    job->at++;
    go_on(chain, job);
}

static void count_time(struct auth_chain_source *source, uint64_t ns)
{
    uint64_t us = ns / 1000;
    spread_record_shared(&source->times, ns);
    atomic_fetch_add_explicit(&source->busy_us, us, memory_order_relaxed);
    uint64_t longest = atomic_load_explicit(&source->longest_us, memory_order_relaxed);
    while (us > longest && !atomic_compare_exchange_weak(&source->longest_us, &longest, us)) {}
}

static enum auth_verdict ask(struct auth_chain_source *source, uint32_t thread, struct auth_job *job)
{
    struct auth_answer *answer = job->answer;
    uint64_t now_ms = auth_now_ms(), deadline_ms = now_ms + source->settings->timeout_ms;
    if (job->deadline_ms < deadline_ms) deadline_ms = job->deadline_ms;
    if (now_ms >= job->deadline_ms) {
        atomic_fetch_add(&source->timeouts, 1);
        return auth_answer_say(answer, AUTH_DOWN, "timed out while it waited for a free thread");
    }
    if (source_still_rests(source)) return auth_answer_say(answer, AUTH_DOWN, "resting after failures");
    void *link = link_of(source, thread);
    struct auth_answer_mark before = auth_answer_mark(answer);
    answer->of_client = false;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    auth_workers_away(source->workers, thread);
    enum auth_verdict verdict = source->authorizer && source->kind->authorize ? source->kind->authorize(source->instance, link, &job->query, deadline_ms, answer)
                                                   : source->kind->authenticate(source->instance, link, &job->query, deadline_ms, answer);
    auth_workers_back(source->workers, thread);
    clock_gettime(CLOCK_MONOTONIC, &to);
    count_time(source, (uint64_t)((to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec)));
    bool rules_wanted = source->authorizer; /* NEXT of those is "that is all" */
    if (verdict == AUTH_DOWN || (verdict == AUTH_NEXT && !rules_wanted)) auth_answer_take_back(answer, &before);
    if (verdict == AUTH_DOWN && auth_now_ms() >= deadline_ms) atomic_fetch_add(&source->timeouts, 1);
    if (verdict == AUTH_DOWN && answer->of_client) remember_error(source, answer->what);
    if (verdict == AUTH_DOWN && !answer->of_client)
        source_failed(source, answer->what);
    else
        source_works(source);
    return verdict;
}

static void run_job(struct auth_chain *chain, uint32_t thread, struct auth_work *work)
{
    struct auth_job *job = (struct auth_job *)work;
    struct auth_chain_source *source = &chain->sources[job->at];
    if (atomic_load(&chain->stopping)) {
        auth_answer_say(job->answer, AUTH_DENY, "the server is stopping");
        job->answer->cacheable = false;
        return finish(chain, job);
    }
    if (job->at == 0 && job->keyed && chain->cache) { /* it may have been answered while we waited; the shard did not wait for the lock */
        struct auth_answer *known = auth_cache_find(chain->cache, job->key, auth_now_ms());
        if (known) {
            auth_answer_release(job->answer);
            job->answer = known;
            return job->done(job);
        }
    }
    take_over(job);
    decide(chain, job, source, ask(source, thread, job));
}

static void source_run(void *context, uint32_t thread, struct auth_work *work) { run_job(((struct auth_chain_source *)context)->chain, thread, work); }
static void hash_run(void *context, uint32_t thread, struct auth_work *work) { run_job(context, thread, work); }

static bool concerns(const struct auth_chain_source *source, const struct auth_job *job)
{
    if (!auth_listener_matches(span_of_string(source->settings->listeners), job->query.listener)) return false;
    if (source->settings->mechanism == AUTH_MECHANISM_SCRAM) return false; /* its clients come another way */
    return source->authorizer || !source->kind->closed || job->query.has_password;
}

/* Into its queue, unless it rests or the queue is full. */
static void to_source(struct auth_chain *chain, struct auth_job *job, struct auth_chain_source *source)
{
    if (source_rests(source)) {
        auth_answer_say(job->answer, AUTH_DOWN, "resting after failures");
        return decide(chain, job, source, AUTH_DOWN);
    }
    if (source->workers && auth_workers_put(source->workers, &job->work)) return;
    atomic_fetch_add(&source->full, 1);
    job->answer->cacheable = false;
    auth_answer_say(job->answer, AUTH_DOWN, "too many questions wait");
    LOG_LIMITED(WARN, 1000, "authentication queue full", "source=%s", source->settings->name);
    uint8_t policy = source->settings->on_full;
    job->answer->busy = policy == AUTH_POLICY_DENY;
    decide(chain, job, source, policy == AUTH_POLICY_DENY ? AUTH_DENY : policy == AUTH_POLICY_ALLOW ? AUTH_ALLOW : AUTH_NEXT);
}

/* To the next source that is for this client. */
static void go_on(struct auth_chain *chain, struct auth_job *job)
{
    uint32_t end = job->authorizing ? chain->authorizers : chain->authenticators;
    while (job->at < end && !concerns(&chain->sources[job->at], job))
        job->at++;
    if (job->at == end && job->authorizing) return finish(chain, job);
    if (job->at == end) {
        if (!job->query.has_password) job->answer->cacheable = false; /* nobody was asked, perhaps: remembering it would take a lock on a shard */
        auth_answer_say(job->answer, AUTH_DENY, job->query.has_password ? "no source knows this client" : "no source knows this client, which gives no password");
        return conclude(chain, job, AUTH_DENY, "chain");
    }
    to_source(chain, job, &chain->sources[job->at]);
}

static void begin(struct auth_chain *chain, struct auth_job *job, uint32_t time_ms)
{
    job->chain = chain;
    job->answer = auth_answer_create();
    job->started_ms = auth_now_ms();
    job->deadline_ms = job->started_ms + time_ms;
    job->generation = chain->cache ? auth_cache_generation(chain->cache) : 0;
}

void auth_chain_submit(struct auth_chain *chain, struct auth_job *job)
{
    begin(chain, job, chain->settings->timeout_ms);
    job->authorizing = job->rules_only;
    job->at = job->rules_only ? chain->authenticators : 0;
    if (job->rules_only) job->answer->verdict = AUTH_ALLOW;
    go_on(chain, job);
}

uint32_t auth_chain_asked(const struct auth_chain *chain) { return chain->count - chain->authorizers; }
const char *auth_chain_asked_name(const struct auth_chain *chain, uint32_t number) { return chain->sources[chain->authorizers + number].settings->name; }

bool auth_chain_asked_concerns(const struct auth_chain *chain, uint32_t number, struct span listener)
{
    return auth_listener_matches(span_of_string(chain->sources[chain->authorizers + number].settings->listeners), listener);
}

void auth_chain_ask(struct auth_chain *chain, uint32_t number, struct auth_job *job)
{
    struct auth_chain_source *source = &chain->sources[chain->authorizers + number];
    begin(chain, job, source->settings->timeout_ms);
    job->asks = true;
    job->at = chain->authorizers + number;
    to_source(chain, job, source);
}

/* ---- for chain_open.c ------------------------------------------------------------------------------------------- */

const struct auth_workers_calls auth_chain_own_calls = {source_run, source_thread_idle_ms, source_thread_idle, source_thread_end};
const struct auth_workers_calls auth_chain_shared_calls = {hash_run, hash_thread_idle_ms, hash_thread_idle, hash_thread_end};

/* ---- looking at it ---------------------------------------------------------------------------------------------- */

bool auth_listener_matches(struct span patterns, struct span listener)
{
    char pattern[128], name[128];
    if (patterns.bytes == 0) return true;
    snprintf(name, sizeof name, "%.*s", SPAN_PRINT(listener));
    while (patterns.bytes) {
        const uint8_t *comma = memchr(patterns.data, ',', patterns.bytes);
        struct span one = span_of(patterns.data, comma ? (size_t)(comma - patterns.data) : patterns.bytes);
        patterns = span_skip(patterns, one.bytes + (comma != NULL));
        while (one.bytes && one.data[0] == ' ')
            one = span_skip(one, 1);
        while (one.bytes && one.data[one.bytes - 1] == ' ')
            one.bytes--;
        snprintf(pattern, sizeof pattern, "%.*s", SPAN_PRINT(one));
        if (fnmatch(pattern, name, 0) == 0) return true;
    }
    return false;
}

/* As soon as one section is there, a listener that none is for is closed rather than open. */
bool auth_chain_guards(const struct auth_chain *chain, struct span listener)
{
    const struct auth_settings *settings = chain->settings;
    if (*settings->open_listeners && auth_listener_matches(span_of_string(settings->open_listeners), listener)) return false;
    for (uint32_t i = 0; i < settings->sources_count; i++)
        if (settings->sources[i].enable) return true;
    return false;
}

bool auth_chain_has_authorizers(const struct auth_chain *chain, struct span listener)
{
    for (uint32_t i = chain->authenticators; i < chain->authorizers; i++)
        if (auth_listener_matches(span_of_string(chain->sources[i].settings->listeners), listener)) return true;
    return false;
}

struct auth_users *auth_chain_users(const struct auth_chain *chain, struct span name)
{
    for (uint32_t i = 0; i < chain->authenticators; i++) {
        const struct auth_chain_source *source = &chain->sources[i];
        if (source->kind == &auth_source_built_in && span_equal(span_of_string(source->settings->name), name)) return auth_source_users(source->instance);
    }
    return NULL;
}

struct auth_users *auth_chain_scram_users(const struct auth_chain *chain, struct span listener, struct span method)
{
    if (!span_equal(method, SPAN_LITERAL("SCRAM-SHA-256"))) return NULL;
    for (uint32_t i = 0; i < chain->authenticators; i++) {
        const struct auth_chain_source *source = &chain->sources[i];
        if (source->kind != &auth_source_built_in || source->settings->mechanism != AUTH_MECHANISM_SCRAM) continue;
        if (auth_listener_matches(span_of_string(source->settings->listeners), listener)) return auth_source_users(source->instance);
    }
    return NULL;
}

bool auth_chain_status(struct auth_chain *chain, uint32_t number, struct auth_source_status *ret_status)
{
    if (number >= chain->count) return false;
    struct auth_chain_source *source = &chain->sources[number];
    *ret_status = (struct auth_source_status){
        .name = source->settings->name, .backend = auth_backend_names[source->settings->backend], .authorizer = source->authorizer,
        .health = atomic_load(&source->health), .resting = atomic_load(&source->rest_until_ms) != 0, .timeouts = atomic_load(&source->timeouts),
        .full = atomic_load(&source->full), .rests = atomic_load(&source->rests), .busy_us = atomic_load(&source->busy_us),
        .longest_us = atomic_load(&source->longest_us), .waiting = source->workers ? auth_workers_waiting(source->workers) : 0};
    ret_status->since_unix_ms = chain->since_unix_ms;
    spread_add(&ret_status->times, &source->times);
    for (int i = 0; i < AUTH_VERDICTS; i++)
        ret_status->verdicts[i] = atomic_load(&source->verdicts[i]);
    pthread_mutex_lock(&source->error_lock);
    snprintf(ret_status->error, sizeof ret_status->error, "%s", source->error);
    pthread_mutex_unlock(&source->error_lock);
    return true;
}
