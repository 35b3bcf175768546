/* api_listeners.c - listeners: what the configuration wants and what is open. */
#include <stdio.h>

#include "admin/api.h"
#include "admin/listeners.h"
#include "base/memory.h"
#include "broker/broker.h"

/* ---- a picture of all, taken on the control thread ---------------------------------------------------------------- */

static const struct listener *open_listener(const struct node *node, const struct listener_settings *wanted)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        const struct listener *listener = node_listener(node, i);
        if (listener && listener->settings->kind == wanted->kind && strcmp(listener->settings->name, wanted->name) == 0) return listener;
    }
    return NULL;
}

struct picture {
    struct node *node;
    struct listener_picture *listeners;
    uint32_t count;
};

static void take_picture(const struct admin_control *control, void *argument)
{
    struct picture *picture = argument;
    const struct settings *settings = config_settings(control->config(control->control));
    picture->listeners = memory_acquire_zeroed((settings->listeners_count + 1) * sizeof *picture->listeners);
    for (uint32_t i = 0; i < settings->listeners_count; i++) {
        const struct listener_settings *wanted = &settings->listeners[i];
        struct listener_picture *one = &picture->listeners[picture->count++];
        const struct listener *open = open_listener(picture->node, wanted);
        snprintf(one->id, sizeof one->id, "%s.%s", listener_kind_names[wanted->kind], wanted->name);
        snprintf(one->bind, sizeof one->bind, "%s", wanted->bind);
        one->enable = wanted->enable;
        one->running = open != NULL;
        one->has_port = open && wanted->kind != LISTENER_UNIX;
        one->port = open ? open->port : 0;
        one->connections_max = wanted->connections_max;
        if (open) one->connections = atomic_load_explicit(open->total ? &open->total->connections : &open->connections, memory_order_relaxed);
        for (int event = 0; open && open->total && event < LISTENER_EVENTS; event++)
            one->events[event] = atomic_load_explicit(&open->total->events[event], memory_order_relaxed);
    }
}

struct listener_picture *listeners_picture(struct admin *admin, uint32_t *ret_count)
{
    struct picture picture = {.node = admin_node(admin)};
    if (!admin_on_control(admin, take_picture, &picture)) return NULL;
    *ret_count = picture.count;
    return picture.listeners;
}

static json_t *listener_json(const struct listener_picture *listener)
{
    const char *dot = strchr(listener->id, '.');
    const char *status = listener->running ? "running" : listener->enable ? "failed" : "stopped";
    return json_pack("{s:s, s:s#, s:s, s:o, s:o, s:b, s:s, s:I, s:o}", "id", listener->id, "type", listener->id, (int)(dot - listener->id), "name", dot + 1, "bind",
                     api_string(span_of_string(listener->bind)), "port", listener->has_port ? json_integer(listener->port) : json_null(), "enable", listener->enable,
                     "status", status, "current_connections", (json_int_t)listener->connections, "max_connections",
                     listener->connections_max ? json_integer((json_int_t)listener->connections_max) : json_null());
}

/* NULL: answered. */
static struct listener_picture *picture_or_answer(struct api_call *call, uint32_t *ret_count)
{
    struct listener_picture *listeners = listeners_picture(call->admin, ret_count);
    if (!listeners) api_error(call, 503, "STOPPING", "the broker stops");
    return listeners;
}

void api_list_listeners(struct api_call *call)
{
    uint32_t count;
    struct listener_picture *listeners = picture_or_answer(call, &count);
    if (!listeners) return;
    json_t *data = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(data, listener_json(&listeners[i]));
    memory_release(listeners);
    api_reply(call, json_pack("{s:o}", "data", data));
}

/* The listener of the path. NULL: answered. */
static json_t *the_listener(struct api_call *call)
{
    uint32_t count;
    struct listener_picture *listeners = picture_or_answer(call, &count);
    if (!listeners) return NULL;
    json_t *found = NULL;
    for (uint32_t i = 0; i < count && !found; i++)
        if (strcmp(listeners[i].id, api_text(call, "id")) == 0) found = listener_json(&listeners[i]);
    memory_release(listeners);
    if (!found) api_error(call, 404, "NOT_FOUND", "there is no listener %s", api_text(call, "id"));
    return found;
}

void api_get_listener(struct api_call *call)
{
    json_t *found = the_listener(call);
    if (found) api_reply(call, found);
}

/* ---- start, stop, restart ---------------------------------------------------------------------------------------- */

struct restart {
    const char *id;
    bool done;
    char error[512];
};

static void restart_job(const struct admin_control *control, void *argument)
{
    struct restart *restart = argument;
    restart->done = control->listener_restart(control->control, restart->id, restart->error, sizeof restart->error);
}

void api_act_on_listener(struct api_call *call)
{
    const char *id = api_text(call, "id"), *action = api_text(call, "action");
    json_t *found = the_listener(call);
    if (!found) return;
    json_decref(found);
    if (strcmp(action, "restart") == 0) {
        struct restart restart = {.id = id};
        if (!admin_on_control(call->admin, restart_job, &restart)) return api_error(call, 503, "STOPPING", "the broker stops");
        if (!restart.done) return api_error(call, 409, "NOT_OPENED", "%s", restart.error);
    } else {
        char key[128];
        snprintf(key, sizeof key, "listeners.%s.enable", id);
        if (!api_config_set(call, key, strcmp(action, "start") == 0 ? "true" : "false")) return;
    }
    found = the_listener(call);
    if (!found) return;
    bool wanted = strcmp(action, "start") == 0, runs = strcmp(json_string_value(json_object_get(found, "status")), "running") == 0;
    if (!wanted || runs) return api_reply(call, found);
    json_decref(found);
    api_error(call, 409, "NOT_OPENED", "the listener is enabled and could not be opened; the log says why");
}
