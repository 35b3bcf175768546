/* api_configs.c - the configuration: seen, changed, brought back. The work is done on the control thread. */
#include <stdio.h>
#include <stdlib.h>

#include "admin/api.h"
#include "admin/runtime_layer.h"
#include "base/memory.h"

/* What a job on the control thread was asked and answers. */
struct job {
    struct api_call *call;
    const char *data_dir;
    json_t *data;          /* the answer, or NULL with: */
    int status;
    const char *code;
    char message[900];
    /* the question */
    const char *like_key, *layer;
    bool pending, dry_run;
    int version;           /* to go back to; 0: `changes` */
    const json_t *changes;
    /* `changes` are made on the control thread: one value, from the settings in force */
    const char *key;
    api_config_make *make;
    const void *context;
};

static void failed(struct job *job, int status, const char *code, const char *message)
{
    json_decref(job->data);
    job->data = NULL;
    job->status = status;
    job->code = code;
    snprintf(job->message, sizeof job->message, "%s", message);
}

static void run(struct api_call *call, struct job *job, void (*on_control)(const struct admin_control *control, void *argument))
{
    job->call = call;
    job->data_dir = admin_data_dir(call->admin);
    if (!admin_on_control(call->admin, on_control, job)) return api_error(call, 503, "STOPPING", "the broker stops");
    if (job->data)
        api_reply(call, job->data);
    else
        api_error(call, job->status, job->code, "%s", job->message);
}

/* ---- seeing ----------------------------------------------------------------------------------------------------- */

static const char *layer_of(const struct job *job, const struct config_origin *origin)
{
    char path[4200];
    runtime_path(job->data_dir, path, sizeof path);
    switch (origin->kind) {
    case ORIGIN_DEFAULT: return "default";
    case ORIGIN_ENVIRONMENT: return "environment";
    case ORIGIN_COMMAND_LINE: return "command_line";
    case ORIGIN_FILE: return strcmp(origin->name, path) == 0 ? "runtime" : "file";
    }
    return "default";
}

/* A layer is tried from a file beside its own (cmd/ringmqd.c): nobody should go and look for that one. */
static void without_tried(char *text)
{
    for (char *at; (at = strstr(text, ".conf.tried"));)
        memmove(at + 5, at + 11, strlen(at + 11) + 1);
}

static void add_entry(void *context, const struct config_entry *entry)
{
    struct job *job = context;
    char origin[CONFIG_ORIGIN_BYTES_MAX];
    const char *layer = layer_of(job, &entry->origin);
    if (job->like_key && !strstr(entry->path, job->like_key)) return;
    if (job->layer && strcmp(job->layer, layer) != 0) return;
    config_origin_format(&entry->origin, origin, sizeof origin);
    json_array_append_new(job->data,
                          json_pack("{s:o, s:o, s:o, s:o, s:s, s:s, s:b, s:s}", "key", api_string(span_of_string(entry->path)), "value",
                                    api_string(span_of_string(entry->text)), "default", entry->default_text ? api_string(span_of_string(entry->default_text)) : json_null(),
                                    "origin", api_string(span_of_string(origin)), "layer", layer, "type", entry->wanted, "reloadable", entry->reloadable,
                                    "documentation", entry->documentation));
}

static void list_job(const struct admin_control *control, void *argument)
{
    struct job *job = argument;
    job->data = json_array();
    config_each(control->config(control->control), add_entry, job);
    job->data = json_pack("{s:o}", "data", job->data);
}

void api_list_configs(struct api_call *call)
{
    struct job job = {.like_key = api_text(call, "like_key"), .layer = api_text(call, "layer")};
    run(call, &job, list_job);
}

/* ---- differences ------------------------------------------------------------------------------------------------ */

static json_t *difference(const char *path, const char *old_text, const char *new_text, const struct config_origin *origin, bool reloadable)
{
    char text[CONFIG_ORIGIN_BYTES_MAX];
    config_origin_format(origin, text, sizeof text);
    without_tried(text);
    return json_pack("{s:o, s:o, s:o, s:o, s:b}", "key", api_string(span_of_string(path)), "old", old_text ? api_string(span_of_string(old_text)) : json_null(), "new",
                     new_text ? api_string(span_of_string(new_text)) : json_null(), "origin", api_string(span_of_string(text)), "reloadable", reloadable);
}

static void add_change(void *context, const struct config_change *change)
{
    json_array_append_new(context, difference(change->path, change->old_text, change->new_text, &change->origin, change->reloadable));
}

static void add_if_not_default(void *context, const struct config_entry *entry)
{
    if (entry->default_text && strcmp(entry->default_text, entry->text) == 0) return;
    json_array_append_new(context, difference(entry->path, entry->default_text, entry->text, &entry->origin, entry->reloadable));
}

/* The errors of a load, in one text. */
static void errors_failed(struct job *job, struct config_errors *errors, int status, const char *code)
{
    char text[900] = "";
    uint32_t shown = errors->count < CONFIG_ERRORS_MAX ? errors->count : CONFIG_ERRORS_MAX;
    for (uint32_t i = 0; i < shown; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? "; " : "", errors->texts[i]);
    config_errors_clear(errors);
    without_tried(text);
    failed(job, status, code, text);
}

static void diff_job(const struct admin_control *control, void *argument)
{
    struct job *job = argument;
    const struct config *now = control->config(control->control);
    struct config_errors errors = {0};
    struct config *pending = NULL;
    if (job->pending && !control->load(control->control, NULL, &pending, &errors)) return errors_failed(job, &errors, 500, "INVALID_CONFIGURATION");
    json_t *list = json_array();
    if (pending)
        config_diff(now, pending, add_change, list);
    else
        config_each(now, add_if_not_default, list);
    config_release(pending);
    job->data = json_pack("{s:o}", "data", list);
}

void api_diff_configs(struct api_call *call)
{
    struct job job = {.pending = strcmp(api_text(call, "against"), "pending") == 0};
    run(call, &job, diff_job);
}

/* ---- changing --------------------------------------------------------------------------------------------------- */

struct changes {
    json_t *changed, *needs_restart;
};

static void count_change(void *context, const struct config_change *change)
{
    struct changes *changes = context;
    add_change(changes->changed, change);
    if (!change->reloadable) json_array_append_new(changes->needs_restart, json_string(change->path));
}

static void note_winner(void *context, const struct config_entry *entry) { *(struct config_origin *)context = entry->origin; }

/* A key that was set in the runtime layer and still comes from elsewhere: somebody would wonder. */
static bool changes_win(struct job *job, const struct config *wanted)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)job->changes, key, value)
    {
        struct config_origin origin = {0};
        char text[CONFIG_ORIGIN_BYTES_MAX], message[900];
        if (json_is_null(value) || !config_find(wanted, key, note_winner, &origin)) continue;
        if (origin.kind != ORIGIN_ENVIRONMENT && origin.kind != ORIGIN_COMMAND_LINE) continue;
        config_origin_format(&origin, text, sizeof text);
        snprintf(message, sizeof message, "%s is set by the %s, which wins over the runtime layer; change it there", key, text);
        failed(job, 409, "OVERRIDDEN", message);
        return false;
    }
    return true;
}

static void change_job(const struct admin_control *control, void *argument)
{
    struct job *job = argument;
    struct http_text text = {0};
    struct config_errors errors = {0};
    struct config *wanted = NULL;
    char error[512];
    struct changes changes = {json_array(), json_array()};
    struct admin_reload reload = {0};
    int version = 0;
    bool good = true;
    if (job->version) {
        good = runtime_version(job->data_dir, job->version, &text);
        if (!good) failed(job, 404, "NOT_FOUND", "there is no such version of the runtime layer");
    } else {
        good = runtime_text(job->data_dir, job->changes, &text, error, sizeof error);
        if (!good) failed(job, 400, "BAD_REQUEST", error);
    }
    http_text_add(&text, "", 1); /* a NUL */
    if (good && !(good = control->load(control->control, text.data, &wanted, &errors))) errors_failed(job, &errors, 400, "BAD_REQUEST");
    good = good && (job->version || changes_win(job, wanted));
    if (good) config_diff(control->config(control->control), wanted, count_change, &changes);
    if (good && !job->dry_run) {
        version = runtime_write(job->data_dir, span_of(text.data, text.bytes - 1), error, sizeof error);
        if (!(good = version >= 0)) failed(job, 500, "NOT_SAVED", error);
        if (good && !(good = control->reload(control->control, &reload))) {
            runtime_unwrite(job->data_dir, version);
            failed(job, 409, "NOT_RELOADED", "a feature refuses the new configuration, see the log; nothing was changed");
        }
    }
    if (good)
        job->data = json_pack("{s:b, s:O, s:O, s:I, s:o}", "applied", !job->dry_run, "changed", changes.changed, "needs_restart", changes.needs_restart,
                              "listeners_failed", (json_int_t)reload.listeners_failed, "version", version > 0 ? json_integer(version) : json_null());
    json_decref(changes.changed);
    json_decref(changes.needs_restart);
    config_release(wanted);
    http_text_release(&text);
}

void api_change_configs(struct api_call *call)
{
    struct job job = {.changes = json_object_get(call->body, "changes"), .dry_run = api_number(call, "dry_run") != 0};
    run(call, &job, change_job);
}

void api_roll_back_configs(struct api_call *call)
{
    struct job job = {.version = (int)json_integer_value(json_object_get(call->body, "version")), .dry_run = api_number(call, "dry_run") != 0};
    run(call, &job, change_job);
}

static void history_job(const struct admin_control *control, void *argument)
{
    struct job *job = argument;
    job->data = json_pack("{s:o}", "data", runtime_versions(job->data_dir));
}

void api_list_config_history(struct api_call *call)
{
    struct job job = {0};
    run(call, &job, history_job);
}

static void reload_job(const struct admin_control *control, void *argument)
{
    struct job *job = argument;
    struct config_errors errors = {0};
    struct config *wanted = NULL;
    struct changes changes = {json_array(), json_array()};
    struct admin_reload reload = {0};
    bool good = control->load(control->control, NULL, &wanted, &errors);
    if (!good) errors_failed(job, &errors, 409, "INVALID_CONFIGURATION");
    if (good) config_diff(control->config(control->control), wanted, count_change, &changes);
    if (good && !(good = control->reload(control->control, &reload))) failed(job, 500, "NOT_RELOADED", "the configuration could not be loaded; see the log");
    if (good)
        job->data = json_pack("{s:b, s:O, s:O, s:I, s:n}", "applied", 1, "changed", changes.changed, "needs_restart", changes.needs_restart, "listeners_failed",
                              (json_int_t)reload.listeners_failed, "version");
    json_decref(changes.changed);
    json_decref(changes.needs_restart);
    config_release(wanted);
}

void api_reload_configs(struct api_call *call)
{
    struct job job = {0};
    run(call, &job, reload_job);
}

/* ---- for other operations ---------------------------------------------------------------------------------------- */

/* False: answered. */
static bool set(struct job *job, void (*on_control)(const struct admin_control *control, void *argument))
{
    bool ran = admin_on_control(job->call->admin, on_control, job);
    if (!ran)
        api_error(job->call, 503, "STOPPING", "the broker stops");
    else if (!job->data)
        api_error(job->call, job->status, job->code, "%s", job->message);
    json_decref(job->data);
    return ran && !job->call->answered;
}

bool api_config_set(struct api_call *call, const char *key, const char *value)
{
    json_t *changes = json_pack("{s:s}", key, value);
    struct job job = {.call = call, .data_dir = admin_data_dir(call->admin), .changes = changes};
    bool good = set(&job, change_job);
    json_decref(changes);
    return good;
}

static void make_job(const struct admin_control *control, void *argument)
{
    struct job *job = argument;
    struct api_refusal refusal = {0};
    char *value = job->make(config_settings(control->config(control->control)), job->context, &refusal);
    if (!value) return failed(job, refusal.status, refusal.code, refusal.message);
    json_t *changes = json_pack("{s:s}", job->key, value);
    memory_release(value);
    if (!changes) return failed(job, 400, "BAD_REQUEST", "the value would not be UTF-8");
    job->changes = changes;
    change_job(control, job);
    job->changes = NULL;
    json_decref(changes);
}

bool api_config_make_set(struct api_call *call, const char *key, api_config_make *make, const void *context)
{
    struct job job = {.call = call, .data_dir = admin_data_dir(call->admin), .key = key, .make = make, .context = context};
    return set(&job, make_job);
}
