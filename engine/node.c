#include "engine/node.h"

#include "engine/node_inside.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"

uint32_t node_cores(void)
{
    cpu_set_t mask;
    CHECK(sched_getaffinity(0, sizeof mask, &mask) == 0);
    uint32_t cores = (uint32_t)CPU_COUNT(&mask);
    return cores < SHARDS_MAX ? cores : SHARDS_MAX;
}

struct node *node_create(const struct settings *settings, uint32_t shards_count, const struct shard_handler *handler,
                         const struct kernel_verbs *verbs, struct qsbr *qsbr, char *ret_error, size_t error_bytes)
{
    CHECK(shards_count > 0 && shards_count <= SHARDS_MAX);
    struct node *node = memory_acquire_zeroed(sizeof *node);
    node->settings = settings;
    qsbr_init(qsbr, shards_count);
    node->group = (struct shard_group){.shards_count = shards_count, .verbs = verbs, .handler = handler, .qsbr = qsbr,
                                       .mesh = mesh_create(shards_count, LANE_SLOTS)};
    node->group.listeners = memory_acquire_zeroed(LISTENERS_MAX * sizeof *node->group.listeners);
    node->group.connections = &node->connections;
    for (uint32_t s = 0; s < shards_count; s++) {
        for (uint32_t i = 0; i < LISTENERS_MAX; i++)
            node->shards[s].listener_fds[i] = -1;
        node->shards[s].node = node;
        node->shards[s].number = s;
        snprintf(node->shards[s].name, sizeof node->shards[s].name, "shard %u", s);
    }
    if (node_listeners_open(node, settings, ret_error, error_bytes)) return node;
    node_destroy(node);
    return NULL;
}

/* The n-th core of our affinity mask. */
static void pin_to_core(uint32_t number)
{
    cpu_set_t mask, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof mask, &mask) != 0 || CPU_COUNT(&mask) == 0) return;
    uint32_t wanted = number % (uint32_t)CPU_COUNT(&mask);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &mask) || wanted--) continue;
        CPU_SET(core, &one);
        break;
    }
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        LOG(WARN, "cannot pin the shard to its core", "error=\"%s\"", strerror(errno));
}

/* Waits until it is known whether all shards have a thread: the barriers want all of them. */
static bool launched(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    while (node->launch == LAUNCH_WAITS)
        pthread_cond_wait(&node->launched, &node->lock);
    bool all = node->launch == LAUNCH_ALL;
    pthread_mutex_unlock(&node->lock);
    return all;
}

static void *shard_thread(void *argument)
{
    struct node_shard *mine = argument;
    struct node *node = mine->node;
    log_thread_attach(mine->name);
    pthread_setname_np(pthread_self(), mine->name);
    if (node->settings->node.pin) pin_to_core(mine->number);
    uint64_t seed;
    if (!launched(node)) return NULL;
    CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    mine->shard = shard_create(mine->number, &node->group, node->settings, mine->listener_fds, seed, mine->above,
                               mine->error, sizeof mine->error);
    pthread_barrier_wait(&node->opened);
    pthread_barrier_wait(&node->decided);
    if (!node->go) { /* another shard could not be opened */
        if (mine->shard) shard_destroy(mine->shard);
        return NULL;
    }
    shard_start(mine->shard);
    pthread_barrier_wait(&node->started); /* from here on shards may look at each other's counters */
    shard_run(mine->shard);
    return NULL;
}

static bool threads_start(struct node *node, void *const *aboves, char *ret_error, size_t error_bytes)
{
    uint32_t count = 0;
    int error = 0;
    pthread_mutex_init(&node->lock, NULL);
    pthread_cond_init(&node->launched, NULL);
    for (; count < node->group.shards_count && !error; count += !error) {
        node->shards[count].above = aboves[count];
        error = pthread_create(&node->shards[count].thread, NULL, shard_thread, &node->shards[count]);
    }
    pthread_mutex_lock(&node->lock);
    node->launch = error ? LAUNCH_NONE : LAUNCH_ALL;
    pthread_cond_broadcast(&node->launched);
    pthread_mutex_unlock(&node->lock);
    if (!error) return true;
    snprintf(ret_error, error_bytes, "cannot start the thread of shard %u: %s", count, strerror(error));
    while (count-- > 0)
        pthread_join(node->shards[count].thread, NULL);
    return false;
}

bool node_start(struct node *node, void *const *aboves, char *ret_error, size_t error_bytes)
{
    uint32_t count = node->group.shards_count;
    pthread_barrier_init(&node->opened, NULL, count + 1);
    pthread_barrier_init(&node->decided, NULL, count + 1);
    pthread_barrier_init(&node->started, NULL, count + 1);
    if (!threads_start(node, aboves, ret_error, error_bytes)) return false;
    pthread_barrier_wait(&node->opened);
    node->go = true;
    for (uint32_t s = 0; s < count; s++) {
        if (node->shards[s].shard) continue;
        if (node->go) snprintf(ret_error, error_bytes, "shard %u: %s", s, node->shards[s].error);
        node->go = false;
    }
    pthread_barrier_wait(&node->decided);
    if (node->go) {
        pthread_barrier_wait(&node->started);
        return true;
    }
    for (uint32_t s = 0; s < count; s++) {
        pthread_join(node->shards[s].thread, NULL);
        node->shards[s].shard = NULL;
    }
    return false;
}

static void send_as(struct node *node, uint32_t outsider, struct stats *stats, uint32_t to_shard, const struct lane_cell *cells, uint32_t count)
{
    uint32_t from = node->group.shards_count + outsider;
    mesh_send(node->group.mesh, from, to_shard, cells, count, stats);
    mesh_flush(node->group.mesh, from, node->group.verbs, NULL, stats);
}

void node_send(struct node *node, uint32_t to_shard, const struct lane_cell *cells, uint32_t count)
{
    send_as(node, 0, &node->control_stats, to_shard, cells, count);
}

void node_send_admin(struct node *node, uint32_t to_shard, const struct lane_cell *cells, uint32_t count)
{
    send_as(node, 1, &node->admin_stats, to_shard, cells, count);
}

/* All threads have ended when the first shard is destroyed: until then a lane may still name any shard's memory. */
void node_join(struct node *node)
{
    for (uint32_t s = 0; s < node->group.shards_count; s++)
        pthread_join(node->shards[s].thread, NULL);
}

/* Until nothing is under way between shards any more. */
static void node_settle(struct node *node)
{
    uint32_t records;
    do {
        records = 0;
        for (uint32_t s = 0; s < node->group.shards_count; s++)
            records += shard_settle(node->shards[s].shard);
    } while (records);
}

static void shards_each(struct node *node, void (*what)(struct shard *shard))
{
    for (uint32_t s = 0; s < node->group.shards_count; s++)
        what(node->shards[s].shard);
    node_settle(node);
}

void node_destroy(struct node *node)
{
    node_listeners_close(node);
    if (node->shards[0].shard) {
        node_settle(node);
        shards_each(node, node->group.handler->stop);
        shards_each(node, node->group.handler->finish);
    }
    for (uint32_t s = 0; s < node->group.shards_count; s++)
        if (node->shards[s].shard) shard_destroy(node->shards[s].shard);
    mesh_destroy(node->group.mesh);
    node_listeners_release(node);
    memory_release(node->group.listeners);
    memory_release(node);
}

const struct kernel_features *node_features(const struct node *node) { return node->shards[0].shard->features; }
