/* api_delayed.c - messages that wait for their time ($delayed/SECONDS/TOPIC; broker/delayed.h): they lie among the retained messages under names that no client
 * can write, DELAYED_NAME_PREFIX DUE/NUMBER/TOPIC, and are asked for as such. An id is DUE-NUMBER. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/api.h"
#include "admin/base64.h"
#include "base/sha1.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/delayed.h"
#include "broker/watch/inspect.h"

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static json_t *delayed_json(struct api_call *call, const void *row)
{
    const struct inspect_message *message = row;
    struct span topic;
    char id[DELAYED_ID_BYTES];
    uint64_t due_ms = delayed_name_parse(span_of(message->text, message->topic_bytes), &topic, id), now_ms = unix_ms();
    return json_pack("{s:s, s:o, s:i, s:b, s:I, s:o, s:I, s:I}", "id", id, "topic", api_string(topic), "qos", message->qos, "retain", message->retain, "payload_bytes",
                     (json_int_t)message->payload_bytes, "due_at", api_time(due_ms), "remaining_s", (json_int_t)(due_ms > now_ms ? (due_ms - now_ms + 999) / 1000 : 0), "shard",
                     (json_int_t)message->shard);
}

/* All, or the one whose DUE/NUMBER it is. */
static struct inspect *question(const char *which)
{
    struct inspect *inspect = inspect_create(INSPECT_RETAINED);
    inspect->text = memory_acquire(sizeof DELAYED_NAME_PREFIX + DELAYED_ID_BYTES + 4);
    int bytes = sprintf(inspect->text, "%s%s%s#", DELAYED_NAME_PREFIX, which, *which ? "/" : "");
    inspect->client_id = span_of(inspect->text, (size_t)bytes);
    return inspect;
}

static struct inspect *question_all(struct api_call *call) { return question(""); }

static void delayed_put(struct api_call *call, const void *row, struct http_text *out) { api_put(out, delayed_json(call, row)); }

void api_list_delayed(struct api_call *call)
{
    int64_t count = atomic_load_explicit(&admin_broker(call->admin)->delayed_count, memory_order_relaxed);
    api_page(call, question_all, delayed_put, count);
}

/* "1764105000000-0123456789abcdef" to "1764105000000/0123456789abcdef". */
static bool id_parse(const char *id, char ret_which[DELAYED_ID_BYTES])
{
    size_t digits = strspn(id, "0123456789");
    bool sound = digits > 0 && digits <= 20 && id[digits] == '-' && strlen(id + digits + 1) == 16 && strspn(id + digits + 1, "0123456789abcdef") == 16;
    if (sound) snprintf(ret_which, DELAYED_ID_BYTES, "%.*s/%s", (int)digits, id, id + digits + 1);
    return sound;
}

/* The question that has found it, with its row; NULL: answered. */
static struct inspect *find(struct api_call *call)
{
    char which[DELAYED_ID_BYTES];
    bool sound = id_parse(api_text(call, "id"), which);
    for (uint32_t shard = 0; sound && shard < admin_broker(call->admin)->shards_count; shard++) {
        struct inspect *inspect = question(which);
        inspect->shard = shard;
        if (!api_ask(call, inspect)) return NULL;
        if (inspect->rows_count) return inspect;
        inspect_release(inspect);
    }
    api_error(call, 404, "NOT_FOUND", "there is no such message; perhaps its time has come");
    return NULL;
}

/* The same about the message under this name. NULL: answered. */
static struct inspect *ask_name(struct api_call *call, enum inspect_kind kind, const struct inspect_message *message)
{
    struct inspect *inspect = inspect_create(kind);
    inspect->text = memory_acquire(message->topic_bytes + 1u);
    memcpy(inspect->text, message->text, message->topic_bytes);
    inspect->client_id = span_of(inspect->text, message->topic_bytes);
    inspect->payload_bytes_max = admin_settings_now(call->admin).payload_bytes_max;
    inspect->shard = message->shard;
    return api_ask(call, inspect) ? inspect : NULL;
}

void api_get_delayed(struct api_call *call)
{
    struct inspect *found = find(call), *whole = found ? ask_name(call, INSPECT_RETAINED_ONE, found->rows[0]) : NULL;
    if (whole && whole->rows_count) {
        const struct inspect_message *message = whole->rows[0];
        json_t *object = delayed_json(call, message), *payload = json_null();
        if (!message->payload_left_out) {
            char *text = memory_acquire(4 * ((message->payload_bytes + 2) / 3) + 1);
            base64_encode(span_of(message->text + message->topic_bytes + message->properties_bytes, message->payload_bytes), text);
            payload = json_string(text);
            memory_release(text);
        }
        json_object_set_new(object, "payload", payload);
        api_reply(call, object);
    } else if (whole) {
        api_error(call, 404, "NOT_FOUND", "its time has come just now");
    }
    inspect_release(whole);
    inspect_release(found);
}

void api_delete_delayed(struct api_call *call)
{
    struct inspect *found = find(call), *deleted = found ? ask_name(call, INSPECT_RETAINED_DELETE, found->rows[0]) : NULL;
    if (deleted && deleted->status == INSPECT_DONE)
        api_done(call);
    else if (deleted)
        api_error(call, 404, "NOT_FOUND", "its time has come just now");
    inspect_release(deleted);
    inspect_release(found);
}

#define DELETE_AT_A_TIME 500

void api_clear_delayed(struct api_call *call)
{
    uint64_t count = 0;
    for (uint32_t shard = 0; shard < admin_broker(call->admin)->shards_count; shard++) {
        struct inspect *page = question("");
        page->shard = shard;
        page->limit = DELETE_AT_A_TIME;
        do {
            inspect_rows_clear(page);
            if (!api_ask(call, page)) return;
            for (uint32_t i = 0; i < page->rows_count; i++) {
                struct inspect *deleted = ask_name(call, INSPECT_RETAINED_DELETE, page->rows[i]);
                if (!deleted) return inspect_release(page);
                count += deleted->status == INSPECT_DONE;
                inspect_release(deleted);
            }
        } while (page->status == INSPECT_MORE);
        inspect_release(page);
    }
    api_reply(call, json_pack("{s:I}", "deleted", (json_int_t)count));
}
