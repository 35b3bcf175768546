/* requests.c - see requests.h. */
#include "features/auth/requests.h"

#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/verbs.h"
#include "features/common/request.h"

#define LIST_MAX 1000

/* ---- sources, counters, purge ---------------------------------------------------------------------------------------- */

static const char *state_of(const struct auth_source_status *status)
{
    if (status->resting) return "resting";
    return status->health == AUTH_HEALTH_UP ? "up" : status->health == AUTH_HEALTH_DOWN ? "down" : "unknown";
}

static json_t *source_json(const struct auth_verbs_source *source)
{
    const struct auth_source_status *status = &source->status;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "name", source->name, "kind",
                     status->authorizer ? "authorization" : "authentication", "backend", status->backend, "state", state_of(status), "error",
                     *status->error ? request_text_json(span_of_string(status->error)) : json_null(), "allowed", (json_int_t)status->verdicts[AUTH_ALLOW], "denied",
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
    request_answer(request, json_pack("{s:o}", "data", data));
}

static void sources_list(struct feature_request *request, const json_t *body)
{
    (void)body;
    json_t *data = json_array();
    struct auth_verbs_source source;
    for (uint32_t i = 0; auth_verbs_source(i, &source); i++)
        json_array_append_new(data, source_json(&source));
    request_answer(request, json_pack("{s:o}", "data", data));
}

static void counters(struct feature_request *request, const json_t *body)
{
    (void)body;
    struct auth_counters all;
    if (!auth_verbs_counters(&all)) return request_refuse(request, 404, "there is no authentication in this process");
    request_answer(request, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "logins", (json_int_t)all.logins, "cached", (json_int_t)all.cached, "allowed",
                              (json_int_t)all.allowed, "denied", (json_int_t)all.denied, "unavailable", (json_int_t)all.unavailable, "busy", (json_int_t)all.busy, "throttled",
                              (json_int_t)all.throttled, "scram", (json_int_t)all.scram, "refreshed", (json_int_t)all.refreshed, "cache_entries",
                              (json_int_t)all.cache_entries));
}

static void purge(struct feature_request *request, const json_t *body)
{
    request_answer(request, json_pack("{s:I}", "purged", (json_int_t)auth_verbs_purge(request_text(body, "user_id"))));
}

/* ---- users ------------------------------------------------------------------------------------------------------------ */

struct users_work {
    struct feature_request *request;
    const json_t *body;
    struct auth_verbs_form form;
    struct auth_user user;     /* with its new password, when there is one */
    bool has_password;
    enum auth_users_result result;
};

static json_t *user_json(const struct auth_user *user) { return json_pack("{s:o, s:b}", "user_id", request_text_json(span_of_string(user->name)), "is_superuser", user->superuser); }

static void list_work(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)form;
    struct users_work *work = context;
    json_int_t limit = json_integer_value(json_object_get(work->body, "limit"));
    if (limit < 1 || limit > LIST_MAX) return request_refuse(work->request, 400, "limit must be 1 to %d", LIST_MAX);
    struct auth_user *some = memory_acquire((size_t)limit * sizeof *some);
    uint32_t count = auth_users_list(users, request_text(work->body, "after"), (uint32_t)limit, some);
    json_t *data = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(data, user_json(&some[i]));
    secret_wipe(some, (size_t)limit * sizeof *some);
    memory_release(some);
    request_answer(work->request, json_pack("{s:o}", "data", data));
}

static void form_work(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)users;
    ((struct users_work *)context)->form = *form;
}

static void add_work(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)form;
    struct users_work *work = context;
    work->result = auth_users_put(users, &work->user, AUTH_USERS_ADD);
}

/* Verbs of one database come one after the other (auth_verbs_users()), so nobody changes the user between the two. */
static void change_work(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)form;
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

static void delete_work(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)form;
    struct users_work *work = context;
    work->result = auth_users_delete(users, span_of_string(work->user.name));
}

static void no_database(const struct users_work *work)
{
    struct span name = request_text(work->body, "name");
    request_refuse(work->request, 404, "there is no built-in database authentication.%.*s; GET /authentication lists what there is", (int)(name.bytes > 64 ? 64 : name.bytes),
                   (const char *)name.data);
}

/* False: refused. */
static bool with_users(struct users_work *work, void (*run)(struct auth_users *users, const struct auth_verbs_form *form, void *context))
{
    if (auth_verbs_users(request_text(work->body, "name"), run, work)) return true;
    no_database(work);
    return false;
}

/* False: refused. */
static bool done(struct users_work *work)
{
    switch (work->result) {
    case AUTH_USERS_DONE: return true;
    case AUTH_USERS_EXISTS: request_refuse(work->request, 409, "there is a user %.100s already", work->user.name); break;
    case AUTH_USERS_UNKNOWN: request_refuse(work->request, 404, "there is no user %.100s", work->user.name); break;
    case AUTH_USERS_WRONG: request_refuse(work->request, 400, "a user has a user_id and a password"); break;
    case AUTH_USERS_FAILED: request_refuse(work->request, 500, "the user database cannot be written, see the log; nothing was changed"); break;
    }
    return false;
}

/* The user of the request, with its password hashed: here, for nobody may wait for that. False: refused. */
static bool take_user(struct users_work *work)
{
    struct span name = request_text(work->body, "user_id"), password = request_text(work->body, "password");
    if (name.bytes == 0 || name.bytes >= sizeof work->user.name) return request_refuse(work->request, 400, "user_id must have 1 to %zu bytes", sizeof work->user.name - 1), false;
    memcpy(work->user.name, name.data, name.bytes);
    work->user.superuser = json_is_true(json_object_get(work->body, "is_superuser"));
    work->has_password = json_object_get(work->body, "password") != NULL;
    if (!work->has_password) return true;
    if (!with_users(work, form_work)) return false;
    const char *wrong = auth_user_password(&work->user, password, work->form.scram);
    if (wrong) request_refuse(work->request, 400, "password: %s", wrong);
    return !wrong;
}

static void users_list(struct feature_request *request, const json_t *body)
{
    struct users_work work = {.request = request, .body = body};
    with_users(&work, list_work);
}

static void users_put(struct feature_request *request, const json_t *body, void (*run)(struct auth_users *users, const struct auth_verbs_form *form, void *context))
{
    struct users_work work = {.request = request, .body = body};
    if (take_user(&work) && with_users(&work, run) && done(&work)) request_answer(request, user_json(&work.user));
    secret_wipe(&work.user, sizeof work.user);
}

static void users_add(struct feature_request *request, const json_t *body) { users_put(request, body, add_work); }
static void users_change(struct feature_request *request, const json_t *body) { users_put(request, body, change_work); }

static void users_delete(struct feature_request *request, const json_t *body)
{
    struct users_work work = {.request = request, .body = body};
    if (take_user(&work) && with_users(&work, delete_work) && done(&work)) request->status = 200;
}

/* ---- import, export ---------------------------------------------------------------------------------------------- */

#define IMPORT_PLAIN_MAX 500    /* passwords to hash: some 20 seconds */
#define EXPORT_MAX       100000 /* users: some 25 MB */

struct exchange {
    struct feature_request *request;
    const json_t *body;
    struct auth_verbs_form form;
    struct auth_batch *batch;
    enum auth_users_result result;
    struct auth_import done;
};

static void exchange_form(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)users;
    ((struct exchange *)context)->form = *form;
}

static void import_work(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)form;
    struct exchange *exchange = context;
    exchange->result = auth_batch_put(users, exchange->batch, json_is_true(json_object_get(exchange->body, "override")), &exchange->done);
}

/* Reading and hashing first, without anybody waiting for it. */
static void users_import(struct feature_request *request, const json_t *body)
{
    struct exchange exchange = {.request = request, .body = body};
    struct users_work named = {.request = request, .body = body};
    char error[200];
    struct span text = request_text(body, "users");
    if (!auth_verbs_users(request_text(body, "name"), exchange_form, &exchange)) return no_database(&named);
    exchange.batch = auth_batch_read(text, &exchange.form.form, exchange.form.scram, IMPORT_PLAIN_MAX, error, sizeof error);
    if (!exchange.batch) return request_refuse(request, 400, "%s; nothing was imported", error);
    bool there = auth_verbs_users(request_text(body, "name"), import_work, &exchange);
    auth_batch_release(exchange.batch);
    if (!there) return no_database(&named);
    if (exchange.result != AUTH_USERS_DONE)
        return request_refuse(request, 500, "the user database cannot be written, or would be too large, see the log; nothing was imported");
    request_answer(request, json_pack("{s:i, s:i, s:i}", "added", (int)exchange.done.added, "changed", (int)exchange.done.changed, "skipped", (int)exchange.done.skipped));
}

static void export_work(struct auth_users *users, const struct auth_verbs_form *form, void *context)
{
    (void)form;
    struct exchange *exchange = context;
    struct feature_request *request = exchange->request;
    bool csv = span_equal(request_text(exchange->body, "format"), SPAN_LITERAL("csv"));
    char *text = NULL;
    size_t bytes = 0;
    if (auth_users_count(users) > EXPORT_MAX)
        return request_refuse(request, 409, "it has more than %d users; copy its file (JSON lines) instead", EXPORT_MAX);
    FILE *out = open_memstream(&text, &bytes);
    bool fine = out && auth_users_export(users, csv, out);
    if (out) fclose(out);
    if (fine)
        request_answer(request, json_pack("{s:o}", "users", request_text_json(span_of(text, bytes))));
    else
        request_refuse(request, 500, "there is no memory for that many users");
    if (text) secret_wipe(text, bytes);
    free(text);
}

static void users_export(struct feature_request *request, const json_t *body)
{
    struct exchange exchange = {.request = request, .body = body};
    struct users_work named = {.request = request, .body = body};
    if (!auth_verbs_users(request_text(body, "name"), export_work, &exchange)) no_database(&named);
}

/* ---- verbs --------------------------------------------------------------------------------------------------------- */

void auth_request(struct feature_node *node, struct feature_request *request)
{
    static const struct request_verb verbs[] = {{"sources list", sources_list}, {"sources times", sources_times}, {"counters", counters},         {"purge", purge},
                                                {"users list", users_list},     {"users add", users_add},       {"users change", users_change},
                                                {"users delete", users_delete}, {"users import", users_import}, {"users export", users_export}};
    (void)node;
    request_run(request, "authentication", verbs, sizeof verbs / sizeof *verbs);
}
