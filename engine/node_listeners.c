/* node_listeners.c - listeners that come, go and change while the shards run. All on the control thread.
 *
 * A listener has a number in the group's table. A changed one gets a new number: what has been accepted under the old one goes on with the
 * old options, and the old number is free when the last of those connections has gone. Where the address stays, so do the sockets: they
 * are taken out of the shards' hands and given back under the new number, and who connects meanwhile waits in the kernel. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "engine/node_inside.h"

/* ---- settings of a listener's own ----------------------------------------------------------------------------------- */

static bool same_settings(const struct listener_settings *a, const struct listener_settings *b)
{
    struct listener_settings plain_a = *a, plain_b = *b;
    char **texts_a[LISTENER_TEXTS_MAX], **texts_b[LISTENER_TEXTS_MAX];
    uint32_t count = listener_texts(&plain_a, texts_a);
    listener_texts(&plain_b, texts_b);
    for (uint32_t i = 0; i < count; i++) {
        const char *text_a = *texts_a[i] ? *texts_a[i] : "", *text_b = *texts_b[i] ? *texts_b[i] : "";
        if (strcmp(text_a, text_b) != 0) return false;
        *texts_a[i] = *texts_b[i] = NULL;
    }
    return memcmp(&plain_a, &plain_b, sizeof plain_a) == 0;
}

static struct listener_settings *settings_copy(const struct listener_settings *settings)
{
    struct listener_settings *copy = memory_acquire(sizeof *copy);
    memcpy(copy, settings, sizeof *copy); /* with its padding: same_settings() */
    char **texts[LISTENER_TEXTS_MAX];
    uint32_t count = listener_texts(copy, texts);
    for (uint32_t i = 0; i < count; i++)
        *texts[i] = memory_copy_string(span_of_string(*texts[i] ? *texts[i] : ""));
    return copy;
}

static void settings_release(struct listener_settings *settings)
{
    char **texts[LISTENER_TEXTS_MAX];
    uint32_t count = listener_texts(settings, texts);
    for (uint32_t i = 0; i < count; i++)
        memory_release(*texts[i]);
    memory_release(settings);
}

/* ---- numbers --------------------------------------------------------------------------------------------------------- */

static struct listener *at(struct node *node, uint32_t number) { return &node->group.listeners[number]; }
static bool has_sockets(const struct node *node, uint32_t number) { return node->shards[0].listener_fds[number] >= 0; }

const struct listener *node_listener(const struct node *node, uint32_t number)
{
    return number < LISTENERS_MAX && has_sockets(node, number) ? &node->group.listeners[number] : NULL;
}

static void number_release(struct node *node, uint32_t number)
{
    struct listener *listener = at(node, number);
    if (node->group.handler->listener_close) node->group.handler->listener_close(listener);
    settings_release((struct listener_settings *)(uintptr_t)listener->settings);
    if (--listener->total->versions == 0) memory_release(listener->total);
    *listener = (struct listener){0};
}

/* Numbers whose sockets and connections have all gone. */
static void numbers_collect(struct node *node)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        struct listener *listener = at(node, i);
        if (listener->settings && !has_sockets(node, i) && atomic_load_explicit(&listener->connections, memory_order_acquire) == 0)
            number_release(node, i);
    }
}

/* Prepares a listener under a free number, without sockets. LISTENERS_MAX with a sentence in ret_error: impossible. */
static uint32_t number_take(struct node *node, const struct listener_settings *settings, struct listener_total *total, char *ret_error,
                            size_t error_bytes)
{
    uint32_t number = 0;
    while (number < LISTENERS_MAX && at(node, number)->settings)
        number++;
    if (number == LISTENERS_MAX) {
        snprintf(ret_error, error_bytes, "listeners.%s.%s: too many changed listeners still have connections; try again later",
                 listener_kind_names[settings->kind], settings->name);
        return LISTENERS_MAX;
    }
    struct listener *listener = at(node, number);
    *listener = (struct listener){.settings = settings_copy(settings), .version = ++node->listener_versions, .total = total ? total : memory_acquire_zeroed(sizeof *total)};
    listener->total->versions++;
    const struct shard_handler *handler = node->group.handler;
    if (handler->listener_open && !handler->listener_open(listener, ret_error, error_bytes)) {
        number_release(node, number);
        return LISTENERS_MAX;
    }
    return number;
}

/* ---- sockets --------------------------------------------------------------------------------------------------------- */

static void tell_shards(struct node *node, uint32_t number, uint8_t kind)
{
    uint32_t shards = node->group.shards_count;
    if (kind == RECORD_LISTENER_OPEN) atomic_store_explicit(&at(node, number)->shards_open, shards, memory_order_relaxed);
    for (uint32_t s = 0; s < shards; s++) {
        struct lane_cell cell = record_first(kind, 0, NULL, number | (uint64_t)(uint32_t)node->shards[s].listener_fds[number] << 32);
        node_send(node, s, &cell, 1);
    }
}

/* Takes the sockets out of the shards' hands. */
static void shards_let_go(struct node *node, uint32_t number)
{
    tell_shards(node, number, RECORD_LISTENER_CLOSE);
    while (atomic_load_explicit(&at(node, number)->shards_open, memory_order_acquire)) /* pairs: accept.c closed() */
        usleep(200);
}

static void sockets_close(struct node *node, uint32_t number)
{
    if (!has_sockets(node, number)) return;
    for (uint32_t s = 0; s < node->group.shards_count; s++) {
        int *fd = &node->shards[s].listener_fds[number];
        shutdown(*fd, SHUT_RDWR); /* a ring keeps its files for a while after its end: without this the port would stay taken */
        close(*fd);
        *fd = -1;
    }
    if (at(node, number)->settings->kind == LISTENER_UNIX) listener_unlink_unix(at(node, number));
}

static bool sockets_open(struct node *node, uint32_t number, char *ret_error, size_t error_bytes)
{
    int fds[SHARDS_MAX];
    if (!listener_open(at(node, number), node->group.shards_count, fds, ret_error, error_bytes)) return false;
    for (uint32_t s = 0; s < node->group.shards_count; s++)
        node->shards[s].listener_fds[number] = fds[s];
    return true;
}

/* ---- the start and the end ------------------------------------------------------------------------------------------- */

bool node_listeners_open(struct node *node, const struct settings *settings, char *ret_error, size_t error_bytes)
{
    for (uint32_t i = 0; i < settings->listeners_count; i++) {
        if (!settings->listeners[i].enable) continue;
        uint32_t number = number_take(node, &settings->listeners[i], NULL, ret_error, error_bytes);
        if (number == LISTENERS_MAX || !sockets_open(node, number, ret_error, error_bytes)) return false;
        atomic_store_explicit(&at(node, number)->shards_open, node->group.shards_count, memory_order_relaxed);
        node->group.listeners_count = number + 1;
    }
    return true;
}

void node_listeners_close(struct node *node)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        sockets_close(node, i);
}

void node_stop_accepting(struct node *node) { node_listeners_close(node); }

void node_listeners_release(struct node *node)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        if (at(node, i)->settings) number_release(node, i);
}

/* ---- changes --------------------------------------------------------------------------------------------------------- */

static uint32_t find(struct node *node, const struct listener_settings *wanted)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        const struct listener_settings *settings = at(node, i)->settings;
        if (settings && has_sockets(node, i) && settings->kind == wanted->kind && strcmp(settings->name, wanted->name) == 0) return i;
    }
    return LISTENERS_MAX;
}

static void log_listener(const struct node *node, uint32_t number, const char *what)
{
    const struct listener *listener = &node->group.listeners[number];
    LOG(NOTICE, what, "listener=%s.%s bind=%s port=%u connections=%u", listener_kind_names[listener->settings->kind], listener->settings->name,
        listener->settings->bind, listener->port, atomic_load_explicit(&listener->connections, memory_order_relaxed));
}

static void remove_listener(struct node *node, uint32_t number)
{
    shards_let_go(node, number);
    log_listener(node, number, "listener closed");
    sockets_close(node, number);
}

static bool add_listener(struct node *node, const struct listener_settings *settings, struct listener_total *total, char *ret_error,
                         size_t error_bytes)
{
    uint32_t number = number_take(node, settings, total, ret_error, error_bytes);
    if (number == LISTENERS_MAX) return false;
    if (!sockets_open(node, number, ret_error, error_bytes)) {
        number_release(node, number);
        return false;
    }
    tell_shards(node, number, RECORD_LISTENER_OPEN);
    log_listener(node, number, "listening");
    return true;
}

/* The same address: the sockets go from the old number to the new one. */
static bool hand_over(struct node *node, uint32_t old, const struct listener_settings *settings, char *ret_error, size_t error_bytes)
{
    uint32_t number = number_take(node, settings, at(node, old)->total, ret_error, error_bytes);
    if (number == LISTENERS_MAX) return false;
    int fds[SHARDS_MAX];
    for (uint32_t s = 0; s < node->group.shards_count; s++)
        fds[s] = node->shards[s].listener_fds[old];
    if (!listener_change(at(node, number), node->group.shards_count, fds, ret_error, error_bytes)) {
        number_release(node, number);
        return false;
    }
    shards_let_go(node, old);
    for (uint32_t s = 0; s < node->group.shards_count; s++) {
        node->shards[s].listener_fds[number] = fds[s];
        node->shards[s].listener_fds[old] = -1;
    }
    at(node, number)->port = at(node, old)->port;
    at(node, number)->file_device = at(node, old)->file_device;
    at(node, number)->file_inode = at(node, old)->file_inode;
    tell_shards(node, number, RECORD_LISTENER_OPEN);
    log_listener(node, number, "listener changed");
    return true;
}

static bool change_listener(struct node *node, uint32_t old, const struct listener_settings *settings, char *ret_error, size_t error_bytes)
{
    const struct listener_settings *before = at(node, old)->settings;
    bool same_file = before->kind != LISTENER_UNIX || (strcmp(before->owner, settings->owner) == 0 && strcmp(before->group, settings->group) == 0 &&
                                                       strcmp(before->mode, settings->mode) == 0);
    if (strcmp(before->bind, settings->bind) == 0 && before->ipv6_only == settings->ipv6_only && same_file)
        return hand_over(node, old, settings, ret_error, error_bytes);
    bool same_path = strcmp(before->bind, settings->bind) == 0; /* cannot be open twice: the old one must go first */
    if (same_path) remove_listener(node, old);
    if (!add_listener(node, settings, at(node, old)->total, ret_error, error_bytes)) return false;
    if (!same_path) remove_listener(node, old);
    return true;
}

static bool still_wanted(const struct settings *settings, const struct listener_settings *listener)
{
    for (uint32_t i = 0; i < settings->listeners_count; i++) {
        const struct listener_settings *wanted = &settings->listeners[i];
        if (wanted->enable && wanted->kind == listener->kind && strcmp(wanted->name, listener->name) == 0) return true;
    }
    return false;
}

uint32_t node_listeners_change(struct node *node, const struct settings *settings)
{
    uint32_t failures = 0;
    numbers_collect(node);
    /* Those that go make room for those that come: they may have had the address. */
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        if (at(node, i)->settings && has_sockets(node, i) && !still_wanted(settings, at(node, i)->settings)) remove_listener(node, i);
    for (uint32_t i = 0; i < settings->listeners_count; i++) {
        const struct listener_settings *wanted = &settings->listeners[i];
        char error[512];
        if (!wanted->enable) continue;
        uint32_t number = find(node, wanted);
        if (number < LISTENERS_MAX && same_settings(at(node, number)->settings, wanted)) continue;
        bool done = number < LISTENERS_MAX ? change_listener(node, number, wanted, error, sizeof error)
                                           : add_listener(node, wanted, NULL, error, sizeof error);
        if (done) continue;
        failures++;
        LOG(ERROR, "listener not changed", "listener=%s.%s what=%s", listener_kind_names[wanted->kind], wanted->name,
            log_quoted(span_of_string(error)));
    }
    numbers_collect(node);
    return failures;
}
