/* requests.c - see requests.h. */
#include "features/auth/requests.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/verbs.h"

#define LIST_MAX 1000

static void __attribute__((format(printf, 3, 4))) refuse(struct feature_request *request, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(request->error, sizeof request->error, format, arguments);
    va_end(arguments);
    request->status = status;
}

static void answer(struct feature_request *request, json_t *value)
{
    request->status = 200;
    request->answer = json_dumps(value, JSON_COMPACT);
    CHECK(request->answer);
    json_decref(value);
}

static struct span member(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    return span_of(json_string_value(value), json_string_length(value));
}

/* ---- sources, counters, purge ---------------------------------------------------------------------------------------- */

static const char *state_of(const struct auth_source_status *status)
{
    if (status->resting) return "resting";
    return status->health == AUTH_HEALTH_UP ? "up" : status->health == AUTH_HEALTH_DOWN ? "down" : "unknown";
}

/* Messages of servers may be in any encoding. */
static json_t *text_json(const char *text)
{
    char shown[192];
    json_t *value = json_string(text);
    if (value) return value;
    size_t bytes = 0;
    for (; text[bytes] && bytes + 1 < sizeof shown; bytes++)
        shown[bytes] = text[bytes] & 0x80 ? '?' : text[bytes];
    shown[bytes] = 0;
    return json_string(shown);
}

static json_t *source_json(const struct auth_verbs_source *source)
{
    const struct auth_source_status *status = &source->status;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "name", source->name, "kind",
                     status->authorizer ? "authorization" : "authentication", "backend", status->backend, "state", state_of(status), "error",
                     *status->error ? text_json(status->error) : json_null(), "allowed", (json_int_t)status->verdicts[AUTH_ALLOW], "denied",
                     (json_int_t)status->verdicts[AUTH_DENY], "ignored", (json_int_t)status->verdicts[AUTH_NEXT], "failed", (json_int_t)status->verdicts[AUTH_DOWN],
                     "timeouts", (json_int_t)status->timeouts, "queue_full", (json_int_t)status->full, "breaker_opened", (json_int_t)status->rests, "busy_us",
                     (json_int_t)status->busy_us, "longest_us", (json_int_t)status->longest_us, "waiting", (int)status->waiting);
}

/* The same, and how long its answers took: buckets of base/spread.h that are not empty. For the metrics. */
static json_t *source_times_json(const struct auth_verbs_source *source)
{
    json_t *object = source_json(source), *buckets = json_array();
    for (int i = 0; i < SPREAD_BUCKETS; i++)
        if (source->status.times.buckets[i]) json_array_append_new(buckets, json_pack("[i, I]", i, (json_int_t)source->status.times.buckets[i]));
    json_object_set_new(object, "buckets", buckets);
    json_object_set_new(object, "sum_ns", json_integer((json_int_t)source->status.times.sum));
    json_object_set_new(object, "since_ms", json_integer((json_int_t)source->status.since_unix_ms));
    return object;
}

static void sources_times(struct feature_request *request, const json_t *body)
{
    (void)body;
    json_t *data = json_array();
    struct auth_verbs_source source;
    for (uint32_t i = 0; auth_verbs_source(i, &source); i++)
        json_array_append_new(data, source_times_json(&source));
    answer(request, json_pack("{s:o}", "data", data));
}

static void sources_list(struct feature_request *request, const json_t *body)
{
    (void)body;
    json_t *data = json_array();
    struct auth_verbs_source source;
    for (uint32_t i = 0; auth_verbs_source(i, &source); i++)
        json_array_append_new(data, source_json(&source));
    answer(request, json_pack("{s:o}", "data", data));
}

static void counters(struct feature_request *request, const json_t *body)
{
    (void)body;
    struct auth_counters all;
    if (!auth_verbs_counters(&all)) return refuse(request, 404, "there is no authentication in this process");
    answer(request, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "logins", (json_int_t)all.logins, "cached", (json_int_t)all.cached, "allowed",
                              (json_int_t)all.allowed, "denied", (json_int_t)all.denied, "unavailable", (json_int_t)all.unavailable, "busy", (json_int_t)all.busy, "throttled",
                              (json_int_t)all.throttled, "scram", (json_int_t)all.scram, "refreshed", (json_int_t)all.refreshed, "cache_entries",
                              (json_int_t)all.cache_entries));
}

static void purge(struct feature_request *request, const json_t *body)
{
    answer(request, json_pack("{s:I}", "purged", (json_int_t)auth_verbs_purge(member(body, "user_id"))));
}

/* ---- users ------------------------------------------------------------------------------------------------------------ */

struct users_work {
    struct feature_request *request;
    const json_t *body;
    bool scram;                /* the database wants keys for SCRAM */
    struct auth_user user;     /* with its new password, when there is one */
    bool has_password;
    enum auth_users_result result;
};

static json_t *user_json(const struct auth_user *user) { return json_pack("{s:o, s:b}", "user_id", text_json(user->name), "is_superuser", user->superuser); }

static void list_work(struct auth_users *users, bool scram, void *context)
{
    (void)scram;
    struct users_work *work = context;
    json_int_t limit = json_integer_value(json_object_get(work->body, "limit"));
    if (limit < 1 || limit > LIST_MAX) return refuse(work->request, 400, "limit must be 1 to %d", LIST_MAX);
    struct auth_user *some = memory_acquire((size_t)limit * sizeof *some);
    uint32_t count = auth_users_list(users, member(work->body, "after"), (uint32_t)limit, some);
    json_t *data = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(data, user_json(&some[i]));
    secret_wipe(some, (size_t)limit * sizeof *some);
    memory_release(some);
    answer(work->request, json_pack("{s:o}", "data", data));
}

static void scram_work(struct auth_users *users, bool scram, void *context)
{
    (void)users;
    ((struct users_work *)context)->scram = scram;
}

static void add_work(struct auth_users *users, bool scram, void *context)
{
    (void)scram;
    struct users_work *work = context;
    work->result = auth_users_put(users, &work->user, AUTH_USERS_ADD);
}

/* Verbs of one database come one after the other (auth_verbs_users()), so nobody changes the user between the two. */
static void change_work(struct auth_users *users, bool scram, void *context)
{
    (void)scram;
    struct users_work *work = context;
    struct auth_user known;
    work->result = AUTH_USERS_UNKNOWN;
    if (!auth_users_find(users, span_of_string(work->user.name), &known)) return;
    const json_t *superuser = json_object_get(work->body, "is_superuser");
    work->user.superuser = superuser ? json_is_true(superuser) : known.superuser;
    if (work->has_password) known = work->user;
    known.superuser = work->user.superuser;
    work->result = auth_users_put(users, &known, AUTH_USERS_CHANGE);
    secret_wipe(&known, sizeof known);
}

static void delete_work(struct auth_users *users, bool scram, void *context)
{
    (void)scram;
    struct users_work *work = context;
    work->result = auth_users_delete(users, span_of_string(work->user.name));
}

/* False: refused. */
static bool with_users(struct users_work *work, void (*run)(struct auth_users *users, bool scram, void *context))
{
    struct span name = member(work->body, "name");
    if (auth_verbs_users(name, run, work)) return true;
    refuse(work->request, 404, "there is no built-in database authentication.%.*s; GET /authentication lists what there is", (int)(name.bytes > 64 ? 64 : name.bytes),
           (const char *)name.data);
    return false;
}

/* False: refused. */
static bool done(struct users_work *work)
{
    switch (work->result) {
    case AUTH_USERS_DONE: return true;
    case AUTH_USERS_EXISTS: refuse(work->request, 409, "there is a user %.100s already", work->user.name); break;
    case AUTH_USERS_UNKNOWN: refuse(work->request, 404, "there is no user %.100s", work->user.name); break;
    case AUTH_USERS_WRONG: refuse(work->request, 400, "a user has a user_id and a password"); break;
    case AUTH_USERS_FAILED: refuse(work->request, 500, "the user database cannot be written, see the log; nothing was changed"); break;
    }
    return false;
}

/* The user of the request, with its password hashed: here, for nobody may wait for that. False: refused. */
static bool take_user(struct users_work *work)
{
    struct span name = member(work->body, "user_id"), password = member(work->body, "password");
    if (name.bytes == 0 || name.bytes >= sizeof work->user.name) return refuse(work->request, 400, "user_id must have 1 to %zu bytes", sizeof work->user.name - 1), false;
    memcpy(work->user.name, name.data, name.bytes);
    work->user.superuser = json_is_true(json_object_get(work->body, "is_superuser"));
    work->has_password = json_object_get(work->body, "password") != NULL;
    if (!work->has_password) return true;
    if (!with_users(work, scram_work)) return false;
    const char *wrong = auth_user_password(&work->user, password, work->scram);
    if (wrong) refuse(work->request, 400, "password: %s", wrong);
    return !wrong;
}

static void users_list(struct feature_request *request, const json_t *body)
{
    struct users_work work = {.request = request, .body = body};
    with_users(&work, list_work);
}

static void users_put(struct feature_request *request, const json_t *body, void (*run)(struct auth_users *users, bool scram, void *context))
{
    struct users_work work = {.request = request, .body = body};
    if (take_user(&work) && with_users(&work, run) && done(&work)) answer(request, user_json(&work.user));
    secret_wipe(&work.user, sizeof work.user);
}

static void users_add(struct feature_request *request, const json_t *body) { users_put(request, body, add_work); }
static void users_change(struct feature_request *request, const json_t *body) { users_put(request, body, change_work); }

static void users_delete(struct feature_request *request, const json_t *body)
{
    struct users_work work = {.request = request, .body = body};
    if (take_user(&work) && with_users(&work, delete_work) && done(&work)) request->status = 200;
}

/* ---- verbs --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *verb;
    void (*run)(struct feature_request *request, const json_t *body);
} verbs[] = {{"sources list", sources_list}, {"sources times", sources_times}, {"counters", counters},         {"purge", purge},              {"users list", users_list},
             {"users add", users_add},       {"users change", users_change}, {"users delete", users_delete}};

void auth_request(struct feature_node *node, struct feature_request *request)
{
    (void)node;
    json_t *body = json_loadb((const char *)request->body.data, request->body.bytes, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(body)) refuse(request, 400, "the request is no JSON object");
    for (size_t i = 0; json_is_object(body) && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].verb, request->verb) == 0) verbs[i].run(request, body);
    if (!request->status) refuse(request, 404, "authentication knows no request '%s'", request->verb);
    json_decref(body);
}
