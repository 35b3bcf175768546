/* The chain with sources of our own making: order, policies, breaker, queues, cache, end. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "features/auth/chain.h"

/* ---- sources: what they answer stands in the settings' url ---- */

static atomic_int asked[3], attached, detached, opened, closed, probes;
static atomic_bool down, probe_fails;
static sem_t hold; /* "wait" waits for it */

static void *fake_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    if (strcmp(settings->url, "refuse") == 0) return snprintf(ret_error, error_bytes, "not like this"), NULL;
    atomic_fetch_add(&opened, 1);
    return (void *)settings;
}
static void fake_close(void *instance) { atomic_fetch_add(&closed, 1); }
static void *fake_attach(void *instance)
{
    atomic_fetch_add(&attached, 1);
    return malloc(1);
}
static void fake_detach(void *link)
{
    atomic_fetch_add(&detached, 1);
    free(link);
}
static enum auth_verdict fake_authenticate(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    const struct auth_source_settings *settings = instance;
    atomic_fetch_add(&asked[settings->name[0] - 'a'], 1);
    if (strcmp(settings->url, "wait") == 0) sem_wait(&hold);
    if (strcmp(settings->url, "down") == 0 && atomic_load(&down)) return auth_answer_say(answer, AUTH_DOWN, "unplugged");
    if (strcmp(settings->url, "next") == 0) return auth_answer_say(answer, AUTH_NEXT, "who?");
    if (strcmp(settings->url, "odd") == 0 && query->password.bytes == 3) { /* "odd": this user's entry is broken */
        answer->of_client = true;
        return auth_answer_say(answer, AUTH_DOWN, "a hash of no known form");
    }
    if (strncmp(settings->url, "much then ", 10) == 0) { /* it says a lot before it finds that it cannot answer */
        answer->superuser = true;
        answer->expires_s = 1;
        auth_answer_attribute(answer, SPAN_LITERAL("role"), SPAN_LITERAL("admin"));
        auth_answer_rule(answer, true, AUTH_ALL, SPAN_LITERAL("#"), 7, -1);
        return auth_answer_say(answer, strcmp(settings->url, "much then down") == 0 ? AUTH_DOWN : AUTH_NEXT, "half");
    }
    bool right = query->password.bytes == 5 && memcmp(query->password.data, "right", 5) == 0;
    return right ? auth_answer_say(answer, AUTH_ALLOW, "right") : auth_answer_say(answer, AUTH_DENY, "wrong");
}
static enum auth_verdict fake_authorize(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    const struct auth_source_settings *settings = instance;
    if (strcmp(settings->url, "down") == 0) return auth_answer_say(answer, AUTH_DOWN, "unplugged");
    auth_answer_rule(answer, true, AUTH_PUBLISH, span_of_string(settings->name), 7, -1);
    if (strcmp(settings->url, "half") == 0) return auth_answer_say(answer, AUTH_DOWN, "the second row is broken");
    return AUTH_NEXT;
}
static bool fake_probe(void *instance, void *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    atomic_fetch_add(&probes, 1);
    snprintf(ret_error, error_bytes, "still unplugged");
    return !atomic_load(&probe_fails);
}
static const struct auth_source_kind fake = {.abi = AUTH_SOURCE_ABI, .name = "fake", .open = fake_open, .close = fake_close, .attach = fake_attach, .detach = fake_detach,
                                             .authenticate = fake_authenticate, .authorize = fake_authorize, .probe = fake_probe};

/* As a key set behind a URL is: nobody but a login finds out that it is back. */
static const struct auth_source_kind fake_without_probe = {.abi = AUTH_SOURCE_ABI, .name = "fake", .open = fake_open, .close = fake_close, .attach = fake_attach,
                                                           .detach = fake_detach, .authenticate = fake_authenticate, .authorize = fake_authorize};

static const struct auth_source_kind *loaded = &fake;
static const struct auth_source_kind *load(void *context, enum auth_backend backend, char *ret_error, size_t error_bytes) { return loaded; }

/* ---- settings ---- */

static struct auth_source_settings source(const char *name, const char *does)
{
    static char empty[] = "";
    struct auth_source_settings one = {.backend = AUTH_BACKEND_HTTP, .ask = AUTH_ASK_LOGIN, .enable = true, .timeout_ms = 10000, .pool_size = 2, .queue_max = 64, .breaker_failures = 2, .breaker_rest_ms = 150};
    one.name = (char *)name;
    one.url = (char *)does;
    one.listeners = one.file = one.bootstrap_file = one.jwks_url = one.secret = one.public_key = empty;
    return one;
}

static struct auth_source_settings sources[3], authorizers[2];
static struct auth_settings settings;
static struct auth_cache *cache;
static struct auth_chain *chain;
static char error[400];

static void set_up(void)
{
    static char empty[] = "";
    log_configure(LOG_OFF, LOG_TEXT);
    sem_init(&hold, 0, 0);
    settings = (struct auth_settings){.chain = empty, .authorization_chain = empty, .open_listeners = empty, .timeout_ms = 20000, .hash_threads = 1, .sources = sources, .authorizers = authorizers};
    cache = auth_cache_create();
    auth_cache_configure(cache, 60000, 60000, 1000);
}

static void open_chain(uint32_t count)
{
    settings.sources_count = count;
    chain = auth_chain_open(&settings, cache, load, NULL, NULL, error, sizeof error);
    cr_assert_not_null(chain, "%s", error);
}

static void tear_down(void)
{
    auth_chain_stop(chain);
    auth_cache_release(cache);
    cr_assert_eq(attached, detached, "links: %d attached, %d detached", attached, detached);
    cr_assert_eq(opened, closed);
}

/* ---- logins ---- */

struct login {
    struct auth_job job;
    sem_t *done;
    enum auth_verdict *verdict;
    char *what, *source;
    uint32_t *rules;
    bool *unavailable;
    struct auth_answer **keep;
};

static struct auth_answer_mark beside; /* the last verdict */

static void login_done(struct auth_job *job)
{
    struct login *login = (struct login *)job;
    if (login->verdict) *login->verdict = (enum auth_verdict)job->answer->verdict;
    if (login->what) strcpy(login->what, job->answer->what);
    if (login->source) strcpy(login->source, job->answer->source);
    if (login->rules) *login->rules = job->answer->rules_count;
    if (login->unavailable) *login->unavailable = job->answer->unavailable || job->answer->busy;
    beside = auth_answer_mark(job->answer);
    if (login->keep) *login->keep = auth_answer_share(job->answer);
    sem_t *done = login->done;
    auth_job_release(job);
    sem_post(done);
}

static char what[200], who[40];
static uint32_t rules;
static bool unavailable;

static struct login *login_new(const char *password, sem_t *done)
{
    struct auth_query query = {.client_id = SPAN_LITERAL("c"), .user_name = SPAN_LITERAL("u"), .password = span_of_string(password), .has_user_name = true, .has_password = true,
                               .peer_host = SPAN_LITERAL("192.0.2.1"), .listener = SPAN_LITERAL("tcp.default")};
    struct login *login = auth_job_create(&query, sizeof *login);
    login->job.done = login_done;
    login->done = done;
    return login;
}

static enum auth_verdict login(const char *password)
{
    enum auth_verdict verdict = AUTH_VERDICTS;
    sem_t done;
    sem_init(&done, 0, 0);
    struct login *one = login_new(password, &done);
    one->verdict = &verdict;
    one->what = what;
    one->source = who;
    one->rules = &rules;
    one->unavailable = &unavailable;
    auth_chain_submit(chain, &one->job);
    sem_wait(&done);
    return verdict;
}

static void nap(long ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL); }

Test(chain, order_and_verdicts, .init = set_up, .fini = tear_down)
{
    sources[0] = source("a", "check");
    sources[1] = source("b", "next");
    settings.chain = (char *)"b, a";
    open_chain(2);
    cr_assert_eq(login("right"), AUTH_ALLOW);
    cr_assert_str_eq(who, "a");
    cr_assert_eq(asked[1], 1);
    cr_assert_eq(login("wrong"), AUTH_DENY);
    cr_assert(!unavailable);
}

Test(chain, nobody_knows, .init = set_up, .fini = tear_down)
{
    sources[0] = source("a", "next");
    sources[1] = source("b", "check");
    sources[1].listeners = (char *)"tls.*, ws.x";
    open_chain(2);
    cr_assert_eq(login("right"), AUTH_DENY);
    cr_assert_str_eq(who, "chain");
    cr_assert_eq(asked[1], 0, "a source for other listeners was asked");
    cr_assert(auth_chain_guards(chain, SPAN_LITERAL("ws.y")), "a listener that no source is for is closed");
    cr_assert(auth_listener_matches(SPAN_LITERAL("tls.*, ws.x"), SPAN_LITERAL("ws.x")) && !auth_listener_matches(SPAN_LITERAL("tls.*,ws.x"), SPAN_LITERAL("ws.xy")));
}

/* Behind the last authenticator comes the first authorizer: that one must not be taken for somebody who lets clients in. */
Test(chain, whom_nobody_knows_authorizers_do_not_let_in, .init = set_up, .fini = tear_down)
{
    static const char *const last[] = {"next", "down"};
    atomic_store(&down, true);
    atomic_store(&probe_fails, true);
    for (int i = 0; i < 4; i++) {
        sources[0] = source("a", last[i / 2]);
        sources[0].on_error = AUTH_POLICY_NEXT;
        authorizers[0] = source("x", "rules");
        settings.authorizers_count = (uint32_t)i % 2;
        open_chain(1);
        cr_assert_eq(login("right"), AUTH_DENY, "row %d: let in by %s", i, who);
        cr_assert_str_eq(who, "chain", "row %d", i);
        cr_assert_str_eq(what, "no source knows this client", "row %d", i);
        cr_assert_eq(rules, 0);
        if (i < 3) auth_chain_stop(chain);
        auth_cache_purge(cache, span_of(NULL, 0));
    }
}

Test(chain, policies_when_a_source_is_down, .init = set_up, .fini = tear_down)
{
    static const struct {
        enum auth_policy policy;
        enum auth_verdict verdict;
    } rows[] = {{AUTH_POLICY_DENY, AUTH_DENY}, {AUTH_POLICY_ALLOW, AUTH_ALLOW}, {AUTH_POLICY_NEXT, AUTH_ALLOW}};
    atomic_store(&down, true);
    atomic_store(&probe_fails, true);
    for (int i = 0; i < 3; i++) {
        sources[0] = source("a", "down");
        sources[0].on_error = (uint8_t)rows[i].policy;
        sources[1] = source("b", "check");
        open_chain(2);
        cr_assert_eq(login("right"), rows[i].verdict, "row %d", i);
        cr_assert_eq(unavailable, i == 0);
        cr_assert_eq(auth_cache_count(cache), 0, "a verdict that came from nobody was remembered");
        if (i < 2) auth_chain_stop(chain);
    }
}

Test(chain, breaker_opens_and_closes, .init = set_up, .fini = tear_down)
{
    struct auth_source_status status;
    atomic_store(&down, true);
    atomic_store(&probe_fails, true);
    sources[0] = source("a", "down");
    open_chain(1);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(login("right"), AUTH_DENY);
    cr_assert_eq(asked[0], 2, "it was asked %d times; after two failures it should rest", asked[0]);
    cr_assert(auth_chain_status(chain, 0, &status) && status.resting && status.health == AUTH_HEALTH_DOWN && status.rests == 1);
    for (int i = 0; i < 3000 && probes == 0; i++) /* the threads have the lowest priority there is */
        nap(10);
    cr_assert(probes >= 1, "nobody looked whether it is back");
    cr_assert_eq(login("right"), AUTH_DENY);
    atomic_store(&down, false);
    atomic_store(&probe_fails, false);
    for (int i = 0; i < 1000 && login("right") != AUTH_ALLOW; i++)
        nap(30);
    cr_assert_eq(login("right"), AUTH_ALLOW, "it is back, and is not asked: %s", what);
    cr_assert(auth_chain_status(chain, 0, &status) && !status.resting && status.health == AUTH_HEALTH_UP);
    cr_assert_str_eq(status.error, "still unplugged");
    cr_assert_not(auth_chain_status(chain, 1, &status));
}

Test(chain, a_source_without_a_probe_comes_back, .init = set_up, .fini = tear_down)
{
    struct auth_source_status status;
    atomic_store(&down, true);
    loaded = &fake_without_probe;
    sources[0] = source("a", "down");
    open_chain(1);
    cr_assert(login("right") == AUTH_DENY && login("right") == AUTH_DENY);
    cr_assert(auth_chain_status(chain, 0, &status) && status.rests == 1);
    int asked_before = asked[0];
    for (int i = 0; i < 300 && asked[0] == asked_before; i++) {
        nap(30);
        cr_assert_eq(login("right"), AUTH_DENY);
    }
    cr_assert_gt(asked[0], asked_before, "its rest is over, and nobody asks it");
    atomic_store(&down, false);
    for (int i = 0; i < 300 && login("right") != AUTH_ALLOW; i++)
        nap(30);
    cr_assert_eq(login("right"), AUTH_ALLOW, "it is back, and is not asked: %s", what);
    cr_assert(auth_chain_status(chain, 0, &status) && !status.resting && status.health == AUTH_HEALTH_UP);
}

Test(chain, one_clients_broken_entry_is_not_the_source, .init = set_up, .fini = tear_down)
{
    struct auth_source_status status;
    sources[0] = source("a", "odd");
    open_chain(1);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(login("odd"), AUTH_DENY);
        cr_assert(unavailable, "what cannot be checked is no wrong password");
    }
    cr_assert_eq(login("right"), AUTH_ALLOW, "one user's broken entry has locked out another: %s", what);
    cr_assert(auth_chain_status(chain, 0, &status) && status.health == AUTH_HEALTH_UP && status.rests == 0 && status.verdicts[AUTH_DOWN] == 5);
    cr_assert_str_eq(status.error, "a hash of no known form");
}

Test(chain, full_queue_and_deadlines, .init = set_up, .fini = tear_down)
{
    enum { COUNT = 40 };
    enum auth_verdict verdicts[COUNT];
    bool refused[COUNT];
    sem_t done;
    sem_init(&done, 0, 0);
    sources[0] = source("a", "wait");
    sources[0].queue_max = 16;
    settings.timeout_ms = 2000;
    open_chain(1);
    settings.timeout_ms = 60000; /* of the first two: within it both threads must have come to run, with the lowest priority there is */
    for (int i = 0; i < COUNT; i++) {
        if (i == 2) {
            for (int tries = 0; tries < 5000 && asked[0] < 2; tries++)
                nap(10);
            cr_assert_eq(asked[0], 2);
            settings.timeout_ms = 2000;
        }
        struct login *one = login_new("right", &done);
        one->verdict = &verdicts[i];
        one->unavailable = &refused[i];
        one->job.work.fair = (uint64_t)i << 8;
        auth_chain_submit(chain, &one->job);
    }
    nap(2100); /* the two that are being asked wait; the rest is too old when its turn comes */
    for (int i = 0; i < COUNT; i++)
        sem_post(&hold);
    for (int i = 0; i < COUNT; i++)
        sem_wait(&done);
    int allowed = 0, denied = 0;
    for (int i = 0; i < COUNT; i++) {
        allowed += verdicts[i] == AUTH_ALLOW;
        denied += verdicts[i] == AUTH_DENY && refused[i];
    }
    cr_assert_eq(allowed, 2, "%d", allowed);
    cr_assert_eq(denied, COUNT - 2, "%d", denied);
    struct auth_source_status status;
    auth_chain_status(chain, 0, &status);
    cr_assert(status.full >= 16 && status.timeouts >= 10, "full %llu, timeouts %llu", (unsigned long long)status.full, (unsigned long long)status.timeouts);
}

Test(chain, one_address_does_not_fill_the_queue, .init = set_up, .fini = tear_down)
{
    bool refused[40] = {0};
    sem_t done;
    sem_init(&done, 0, 0);
    sources[0] = source("a", "wait");
    sources[0].pool_size = 1;
    open_chain(1);
    for (int i = 0; i < 40; i++) { /* room for 64, of which 8 are for one address */
        struct login *one = login_new("right", &done);
        one->unavailable = &refused[i];
        one->job.work.fair = i < 39 ? 0x100 : 0x200;
        auth_chain_submit(chain, &one->job);
    }
    for (int i = 0; i < 40; i++)
        sem_post(&hold);
    for (int i = 0; i < 40; i++)
        sem_wait(&done);
    int turned_away = 0;
    for (int i = 0; i < 39; i++)
        turned_away += refused[i];
    cr_assert(turned_away >= 30, "%d", turned_away);
    cr_assert_not(refused[39], "another address found the queue full");
}

Test(chain, authorizers_add_rules, .init = set_up, .fini = tear_down)
{
    sources[0] = source("a", "check");
    authorizers[0] = source("x", "rules");
    authorizers[1] = source("y", "rules");
    settings.authorizers_count = 2;
    open_chain(1);
    cr_assert_eq(login("right"), AUTH_ALLOW);
    cr_assert_eq(rules, 2);
    cr_assert_eq(login("wrong"), AUTH_DENY);
    cr_assert_eq(rules, 0);
    auth_chain_stop(chain);
    authorizers[0].url = (char *)"down";
    open_chain(1);
    cr_assert_eq(login("right"), AUTH_DENY, "rules that cannot be had let nobody in");
    cr_assert_str_eq(who, "x", "who has refused it");
    cr_assert(unavailable);
    auth_chain_stop(chain);
    authorizers[0].on_error = AUTH_POLICY_NEXT;
    open_chain(1);
    cr_assert_eq(login("right"), AUTH_ALLOW);
    cr_assert_eq(rules, 1);
}

/* As authorization.refresh does. */
Test(chain, rules_of_the_login_outlive_a_refresh, .init = set_up, .fini = tear_down)
{
    struct auth_answer *earlier = auth_answer_create();
    sem_t done;
    sem_init(&done, 0, 0);
    snprintf(earlier->source, sizeof earlier->source, "token");
    auth_answer_rule(earlier, false, AUTH_ALL, SPAN_LITERAL("secret/#"), 5, 0);
    earlier->login_rules = 1;
    earlier->has_login_rules = true;
    auth_answer_rule(earlier, true, AUTH_ALL, SPAN_LITERAL("what the database said then"), 7, -1);
    authorizers[0] = source("x", "rules");
    settings.authorizers_count = 1;
    open_chain(0);
    for (int i = 0; i < 2; i++) { /* the second time of what came out of the first */
        struct login *one = login_new("", &done);
        one->job.rules_only = true;
        one->job.earlier = earlier;
        one->keep = &earlier;
        auth_chain_submit(chain, &one->job);
        sem_wait(&done);
        cr_assert(earlier->verdict == AUTH_ALLOW && earlier->has_rules && earlier->rules_count == 2 && earlier->login_rules == 1, "%u rules", earlier->rules_count);
        cr_assert(!earlier->rules[0].allow && earlier->rules[0].qos_mask == 5 && earlier->rules[0].retain == 0 && earlier->rules[0].actions == AUTH_ALL);
        cr_assert_str_eq(earlier->rules[0].topic, "secret/#");
        cr_assert_str_eq(earlier->rules[1].topic, "x");
        cr_assert_str_eq(earlier->source, "token");
    }
    auth_answer_release(earlier);
}

Test(chain, what_was_said_in_vain_does_not_count, .init = set_up, .fini = tear_down)
{
    static const char *const rows[] = {"much then down", "much then next"};
    for (int i = 0; i < 2; i++) {
        sources[0] = source("a", rows[i]);
        sources[0].on_error = AUTH_POLICY_NEXT;
        sources[1] = source("b", "check");
        open_chain(2);
        cr_assert_eq(login("right"), AUTH_ALLOW);
        cr_assert(!beside.superuser && !beside.has_rules && !beside.rules_count && !beside.attributes_count && !beside.expires_s, "%s", rows[i]);
        if (i == 0) auth_chain_stop(chain);
        auth_cache_purge(cache, span_of(NULL, 0));
    }
    auth_chain_stop(chain);
    sources[0] = source("a", "check");
    authorizers[0] = source("x", "half"); /* half of its rules, of which the others may deny */
    authorizers[1] = source("y", "rules");
    authorizers[0].on_error = AUTH_POLICY_NEXT;
    settings.authorizers_count = 2;
    open_chain(1);
    cr_assert_eq(login("right"), AUTH_ALLOW);
    cr_assert(beside.has_rules && beside.rules_count == 1, "%u", beside.rules_count);
}

Test(chain, ends_with_work_left, .init = set_up, .fini = tear_down)
{
    sem_t done;
    sem_init(&done, 0, 0);
    sources[0] = source("a", "next");
    sources[1] = source("b", "wait");
    open_chain(2);
    for (int i = 0; i < 50; i++) {
        struct login *one = login_new("right", &done);
        one->job.work.fair = (uint64_t)i << 8;
        auth_chain_submit(chain, &one->job);
    }
    auth_chain_hurry(chain);
    for (int i = 0; i < 50; i++)
        sem_post(&hold);
    cr_assert(auth_chain_end(chain, AUTH_PATIENCE_FOREVER));
    for (int i = 0; i < 50; i++)
        cr_assert_eq(sem_trywait(&done), 0, "job %d was never answered", i);
    cr_assert_neq(sem_trywait(&done), 0, "one was answered twice");
}

Test(chain, refused_settings, .init = set_up)
{
    sources[0] = source("a", "check");
    sources[1] = source("b", "refuse");
    settings.sources_count = 2;
    cr_assert_null(auth_chain_open(&settings, cache, load, NULL, NULL, error, sizeof error));
    cr_assert_str_eq(error, "authentication.b: not like this");
    settings.chain = (char *)"a,c";
    cr_assert_null(auth_chain_open(&settings, cache, load, NULL, NULL, error, sizeof error));
    cr_assert(strstr(error, "there is no section authentication.c"), "%s", error);
    cr_assert_eq(opened, closed);
    auth_cache_release(cache);
}

/* ---- cache and throttle ---- */

static struct auth_query query_with(const char *user, const char *password)
{
    return (struct auth_query){.user_name = span_of_string(user), .password = span_of_string(password), .has_user_name = true, .has_password = true};
}

Test(cache, keys_tell_fields_apart, .init = set_up)
{
    uint8_t one[AUTH_KEY_BYTES], two[AUTH_KEY_BYTES];
    struct auth_query a = query_with("ab", "c"), b = query_with("a", "bc");
    auth_cache_key(cache, &a, one);
    auth_cache_key(cache, &b, two);
    cr_assert_neq(memcmp(one, two, sizeof one), 0);
    auth_cache_key(cache, &a, two);
    cr_assert_eq(memcmp(one, two, sizeof one), 0);
    a.has_password = false;
    auth_cache_key(cache, &a, two);
    cr_assert_neq(memcmp(one, two, sizeof one), 0);
    auth_cache_release(cache);
}

Test(cache, time_purge_and_room, .init = set_up)
{
    uint8_t key[AUTH_KEY_BYTES];
    struct auth_answer *answer = auth_answer_create(), *found;
    answer->verdict = AUTH_ALLOW;
    auth_cache_configure(cache, 1000, 0, 64);
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%d", i);
        struct auth_query query = query_with(name, "p");
        auth_cache_key(cache, &query, key);
        auth_cache_put(cache, key, query.user_name, answer, auth_cache_generation(cache), 5000);
    }
    cr_assert(auth_cache_count(cache) <= 64, "%u", auth_cache_count(cache));
    cr_assert_not_null(found = auth_cache_find(cache, key, 5999));
    auth_answer_release(found);
    cr_assert_null(auth_cache_find(cache, key, 6000), "it is too old");
    uint64_t before = auth_cache_generation(cache);
    auth_cache_put(cache, key, SPAN_LITERAL("u499"), answer, before, 6000);
    cr_assert_eq(auth_cache_purge(cache, SPAN_LITERAL("u499")), 1);
    auth_cache_put(cache, key, SPAN_LITERAL("u499"), answer, before, 6000);
    cr_assert_null(auth_cache_find(cache, key, 6000), "an answer that a purge has overtaken");
    auth_cache_put(cache, key, SPAN_LITERAL("u499"), answer, auth_cache_generation(cache), 6000);
    auth_answer_release(found = auth_cache_find(cache, key, 6000));
    cr_assert_not_null(found);
    auth_cache_outdate();
    cr_assert_null(auth_cache_find(cache, key, 6000), "the users have changed");
    struct auth_answer *denied = auth_answer_create();
    denied->verdict = AUTH_DENY;
    auth_cache_put(cache, key, SPAN_LITERAL("x"), denied, auth_cache_generation(cache), 6000);
    cr_assert_null(auth_cache_find(cache, key, 6000), "negative time 0");
    answer->expires_s = auth_unix_s() - 1;
    auth_cache_put(cache, key, SPAN_LITERAL("x"), answer, auth_cache_generation(cache), 6000);
    cr_assert_null(auth_cache_find(cache, key, 6000), "an answer whose own time is over");
    auth_answer_release(answer);
    auth_answer_release(denied);
    auth_cache_release(cache);
}

Test(throttle, counts_and_forgets)
{
    struct auth_throttle *throttle = auth_throttle_create();
    uint8_t v4[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 1}, other[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 2}, v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1}, same[16] = {0x20, 1, 0xd, 0xb8, [15] = 2};
    for (int i = 0; i < 10; i++) {
        cr_assert_not(auth_throttle_over(throttle, v4, 10, 60, 1000));
        auth_throttle_failed(throttle, v4, 10, 60, 1000);
    }
    cr_assert(auth_throttle_over(throttle, v4, 10, 60, 1000));
    cr_assert_not(auth_throttle_over(throttle, v4, 0, 60, 1000), "0 is no limit");
    cr_assert_not(auth_throttle_over(throttle, other, 10, 60, 1000));
    cr_assert_not(auth_throttle_over(throttle, v4, 10, 60, 8000), "some have leaked away");
    cr_assert_not(auth_throttle_over(throttle, v4, 1, 60, 62000), "all have");
    for (int i = 0; i < 5; i++)
        auth_throttle_failed(throttle, v6, 5, 60, 1000);
    cr_assert(auth_throttle_over(throttle, same, 5, 60, 1000), "a /64 is one");
    auth_throttle_release(throttle);
}

/* Who takes its time is counted, too: a guess a second is far more than ten a minute. */
Test(throttle, slow_guessing_counts)
{
    static const struct {
        uint32_t max, window_s, every_ms, failures; /* over after so many at most; 0: never */
    } rows[] = {{10, 60, 1000, 13}, {10, 60, 5000, 61}, {3, 86400, 60000, 4}, {100, 60, 500, 599}, {10, 60, 6000, 0}, {10, 60, 7000, 0}, {4000, 86400, 1, 4001}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct auth_throttle *throttle = auth_throttle_create();
        uint8_t address[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 1};
        uint64_t now_ms = 5000000000;
        uint32_t failures = 0;
        while (failures < 5000 && !auth_throttle_over(throttle, address, rows[i].max, rows[i].window_s, now_ms)) {
            auth_throttle_failed(throttle, address, rows[i].max, rows[i].window_s, now_ms);
            failures++;
            now_ms += rows[i].every_ms;
        }
        cr_assert(rows[i].failures ? failures >= rows[i].max && failures <= rows[i].failures : failures == 5000, "row %zu: %u failures", i, failures);
        if (rows[i].failures) cr_assert_not(auth_throttle_over(throttle, address, rows[i].max, rows[i].window_s, now_ms + rows[i].window_s * 1000ull / rows[i].max + 1), "row %zu", i);
        auth_throttle_release(throttle);
    }
}

/* ---- templates ---- */

Test(templates, escapes_and_sql)
{
    struct auth_attribute attribute = {SPAN_LITERAL("role"), SPAN_LITERAL("x y")};
    struct auth_query query = {.user_name = SPAN_LITERAL("a\"\\*(),=\x01\xc3\xbc b"), .has_user_name = true, .client_id = SPAN_LITERAL("#c "), .attributes = &attribute, .attributes_count = 1};
    static const struct {
        const char *template;
        enum template_escape escape;
        const char *text;
    } rows[] = {
        {"u=${username}", TEMPLATE_PLAIN, "u=a\"\\*(),=\x01\xc3\xbc b"},
        {"u=${username}&r=${client_attrs.role}${attribute.role}", TEMPLATE_URL, "u=a%22%5C%2A%28%29%2C%3D%01%C3%BC%20b&r=x%20yx%20y"},
        {"\"${username}\"", TEMPLATE_JSON, "\"a\\\"\\\\*(),=\\u0001\xc3\xbc b\""},
        {"(uid=${username})", TEMPLATE_LDAP_FILTER, "(uid=a\"\\5c\\2a\\28\\29,=\x01\\c3\\bc b)"},
        {"uid=${clientid},dc=x", TEMPLATE_LDAP_DN, "uid=\\23c\\20,dc=x"},
        {"$${username}${password}|", TEMPLATE_PLAIN, "${username}|"},
        {"$5 {x} $", TEMPLATE_PLAIN, "$5 {x} $"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct auth_text text = {0};
        struct template *template = template_compile(span_of_string(rows[i].template), error, sizeof error);
        cr_assert_not_null(template, "%s", error);
        template_render(template, &query, rows[i].escape, &text);
        cr_assert_str_eq(text.data, rows[i].text);
        auth_text_release(&text);
        template_release(template);
    }
    cr_assert_null(template_compile(SPAN_LITERAL("${user}"), error, sizeof error));
    cr_assert(strstr(error, "there is no placeholder ${user}"), "%s", error);
    cr_assert_null(template_compile(SPAN_LITERAL("${username"), error, sizeof error));
    static const char *const quoted[] = {"SELECT 'a${username}'", "SELECT '%${username}%'", "SELECT \"x ${username}\"", "SELECT ${clientid} || 'it''s ${username}'"};
    struct auth_text sql = {0};
    for (size_t i = 0; i < sizeof quoted / sizeof quoted[0]; i++) {
        struct template *one = template_compile(span_of_string(quoted[i]), error, sizeof error);
        cr_assert_not(template_sql(one, TEMPLATE_MARKS_DOLLAR, &sql, error, sizeof error), "%s", quoted[i]);
        cr_assert(strstr(error, "within quotes"), "%s", error);
        auth_text_release(&sql);
        template_release(one);
    }
    struct template *template = template_compile(SPAN_LITERAL("SELECT '${username}', ${clientid}, 'it''s' || ${username}, \"c\" WHERE p = '${password}'"), error, sizeof error);
    struct span values[TEMPLATE_PARAMETERS_MAX];
    cr_assert(template_sql(template, TEMPLATE_MARKS_DOLLAR, &sql, error, sizeof error));
    cr_assert_str_eq(sql.data, "SELECT $1, $2, 'it''s' || $3, \"c\" WHERE p = $4");
    cr_assert_eq(template_parameters(template, &query, values), 4);
    cr_assert(span_equal(values[0], query.user_name) && span_equal(values[1], query.client_id) && values[3].data == NULL);
    auth_text_release(&sql);
    template_release(template);
}

/* ---- asked about topics ---- */

static enum auth_verdict ask_about(uint32_t number, uint32_t *ret_rules, bool *ret_keeps);

struct topic_question {
    struct auth_job job;
    sem_t *done;
    enum auth_verdict *verdict;
    uint32_t *rules;
    bool *keeps;
};

static void topic_done(struct auth_job *job)
{
    struct topic_question *question = (struct topic_question *)job;
    *question->verdict = (enum auth_verdict)job->answer->verdict;
    *question->rules = job->answer->rules_count;
    *question->keeps = job->answer->cacheable;
    sem_t *done = question->done;
    auth_job_release(job);
    sem_post(done);
}

static enum auth_verdict ask_about(uint32_t number, uint32_t *ret_rules, bool *ret_keeps)
{
    sem_t done;
    enum auth_verdict verdict;
    sem_init(&done, 0, 0);
    struct auth_query query = {.client_id = SPAN_LITERAL("c"), .user_name = SPAN_LITERAL("u"), .has_user_name = true, .listener = SPAN_LITERAL("tcp.default"),
                               .action = SPAN_LITERAL("publish"), .topic = SPAN_LITERAL("a/b"), .qos = SPAN_LITERAL("1"), .retain = SPAN_LITERAL("false")};
    struct topic_question *question = auth_job_create(&query, sizeof *question);
    cr_assert(span_equal(question->job.query.topic, query.topic) && question->job.query.topic.data != query.topic.data, "the texts are copied");
    question->job.done = topic_done;
    question->done = &done;
    question->verdict = &verdict;
    question->rules = ret_rules;
    question->keeps = ret_keeps;
    auth_chain_ask(chain, number, &question->job);
    sem_wait(&done);
    return verdict;
}

Test(chain, sources_that_are_asked_about_topics, .init = set_up, .fini = tear_down)
{
    uint32_t found;
    bool keeps;
    authorizers[0] = source("x", "rules");
    authorizers[1] = source("y", "down");
    authorizers[0].ask = authorizers[1].ask = AUTH_ASK_TOPIC;
    authorizers[1].listeners = (char *)"ws.*";
    settings.authorizers_count = 2;
    settings.authorization_chain = (char *)"token, y, file, x";
    open_chain(0);
    cr_assert_eq(auth_chain_asked(chain), 2);
    cr_assert_str_eq(auth_chain_asked_name(chain, 0), "y");
    cr_assert(!auth_chain_has_authorizers(chain, SPAN_LITERAL("tcp.default")), "they have no part in logins");
    cr_assert(!auth_chain_asked_concerns(chain, 0, SPAN_LITERAL("tcp.default")) && auth_chain_asked_concerns(chain, 0, SPAN_LITERAL("ws.default")));
    cr_assert_eq(ask_about(1, &found, &keeps), AUTH_NEXT);
    cr_assert(found == 1 && keeps);
    cr_assert_eq(ask_about(0, &found, &keeps), AUTH_DENY, "on_error");
    cr_assert_not(keeps, "what could not be asked is not remembered");
    authorizers[1].on_error = AUTH_POLICY_NEXT;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ask_about(0, &found, &keeps), AUTH_NEXT);
    struct auth_source_status status;
    cr_assert(auth_chain_status(chain, 0, &status) && status.authorizer && status.resting, "the breaker is open");
}
