/* api_store.c - the store of the running broker, and a copy of it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/api.h"
#include "admin/numbers.h"
#include "broker/durable/report.h"

static void last_backup(const struct admin_control *control, void *argument) { control->last_backup(control->control, argument); }

static json_t *backup_json(const struct admin_backup *backup)
{
    static const char *const states[] = {[BACKUP_NONE] = "none", [BACKUP_RUNNING] = "running", [BACKUP_DONE] = "done", [BACKUP_FAILED] = "failed"};
    bool any = backup->state != BACKUP_NONE, done = backup->state == BACKUP_DONE;
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "state", states[backup->state], "begun_at", api_time(backup->unix_ms), "path",
                     any && backup->path[0] ? api_string(span_of_string(backup->path)) : json_null(), "bytes", done ? json_integer((json_int_t)backup->bytes) : json_null(),
                     "ms", done ? json_integer((json_int_t)backup->ms) : json_null(), "error",
                     backup->state == BACKUP_FAILED ? api_string(span_of_string(backup->error)) : json_null());
}

static json_t *quantile_ms(const struct spread *spread, double share)
{
    return spread_total(spread) ? json_real(spread_quantile(spread, share) * 1e-6) : json_null();
}

static json_t *errno_json(int error) { return error ? json_string(strerror(error)) : json_null(); }

static json_t *shards_json(const struct broker *broker, const struct durable_report *report)
{
    json_t *shards = json_array();
    struct stats stats;
    for (uint32_t s = 0; report->enabled && s < report->shards_count; s++) {
        const struct durable_report_shard *shard = &report->shards[s];
        if (!shard_numbers(broker, s, &stats)) continue;
        json_array_append_new(shards, json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:o, s:b, s:b}", "shard", (int)s, "commits", (json_int_t)stats.durable_commits,
                                                "written_bytes", (json_int_t)stats.durable_bytes, "waiting_bytes", (json_int_t)shard->waiting_bytes, "waits",
                                                (json_int_t)stats.durable_waits, "checkpoints", (json_int_t)stats.durable_checkpoints, "checkpoint_age_s",
                                                shard->checkpoint_age_ms == UINT64_MAX ? json_null() : json_real((double)shard->checkpoint_age_ms / 1000),
                                                "checkpointing", shard->checkpointing, "refuses", shard->refuses));
    }
    return shards;
}

void api_get_store(struct api_call *call)
{
    const struct broker *broker = admin_broker(call->admin);
    struct durable_report report;
    struct stats sum;
    struct spread gather, write;
    struct timespec now;
    struct admin_backup backup = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    durable_report_make(broker, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, &report);
    node_numbers(broker, &sum);
    node_spread(broker, SPREAD_commit_gather, &gather);
    node_spread(broker, SPREAD_commit_write, &write);
    if (!admin_on_control(call->admin, last_backup, &backup)) return api_error(call, 503, "STOPPING", "the broker stops");
    char path[4300];
    snprintf(path, sizeof path, "%s/store", admin_data_dir(call->admin));
    uint64_t half_bytes = report.enabled ? broker->settings->durability.memory_bytes / 2 : 0; /* not a shard's: a reload releases those */
    json_t *reply = json_object();
    json_object_set_new(reply, "state", json_string(!report.enabled ? "off" : report.refuses ? "refusing" : report.room.full ? "full" : "working"));
    json_object_set_new(reply, "log_error", errno_json(report.log_error));
    json_object_set_new(reply, "shelf_error", errno_json(report.shelf_error));
    json_object_set_new(reply, "path", report.enabled ? api_string(span_of_string(path)) : json_null());
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"epoch", report.epoch}, {"log_bytes", report.log_bytes}, {"shelf_bytes", report.shelf_bytes},
                   {"disk_free_bytes", report.room.free_bytes}, {"disk_reserve_bytes", report.room.reserve_bytes},
                   {"queue_memory_limit_bytes", half_bytes}, {"queue_memory_bytes", report.queue_memory_bytes},
                   {"shelf_memory_limit_bytes", report.has_shelf ? half_bytes : 0}, {"shelf_memory_bytes", report.shelf_memory_bytes},
                   {"queued_messages", sum.queued_messages}, {"queued_bytes", sum.queued_bytes}, {"shelf_queues", sum.queues_spilled},
                   {"shelf_messages", sum.spilled_messages}, {"retained_messages", sum.retained_messages},
                   {"shelf_retained_messages", sum.retained_shelved_messages}, {"shelf_retained_bytes", sum.retained_shelved_bytes}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(reply, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    json_object_set_new(reply, "commit_gather_p50_ms", quantile_ms(&gather, 0.5));
    json_object_set_new(reply, "commit_gather_p99_ms", quantile_ms(&gather, 0.99));
    json_object_set_new(reply, "commit_write_p50_ms", quantile_ms(&write, 0.5));
    json_object_set_new(reply, "commit_write_p99_ms", quantile_ms(&write, 0.99));
    json_object_set_new(reply, "shards", shards_json(broker, &report));
    json_object_set_new(reply, "backup", backup_json(&backup));
    api_reply(call, reply);
}

/* ---- a backup ---------------------------------------------------------------------------------------------------- */

struct backup_begin {
    bool begun;
    char error[200];
};

static void backup_begin(const struct admin_control *control, void *argument)
{
    struct backup_begin *begin = argument;
    begin->begun = control->backup(control->control, begin->error, sizeof begin->error);
}

#define PATIENCE_MS 10000
#define LOOK_MS     20

void api_backup_store(struct api_call *call)
{
    struct backup_begin begin = {0};
    struct admin_backup backup = {0};
    if (!admin_on_control(call->admin, backup_begin, &begin)) return api_error(call, 503, "STOPPING", "the broker stops");
    if (!begin.begun) return api_error(call, 409, "CONFLICT", "%s", begin.error);
    for (uint32_t waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += LOOK_MS) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
        if (!admin_on_control(call->admin, last_backup, &backup)) return api_error(call, 503, "STOPPING", "the broker stops; the backup is in its log");
        if (backup.state != BACKUP_RUNNING) break;
    }
    if (backup.state == BACKUP_FAILED) return api_error(call, 500, "NO_BACKUP", "%s", backup.error);
    api_reply(call, backup_json(&backup));
}
