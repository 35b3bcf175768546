/* node_inside.h - what node.c and node_listeners.c share. */
#ifndef RINGMQ_ENGINE_NODE_INSIDE_H
#define RINGMQ_ENGINE_NODE_INSIDE_H

#include <pthread.h>

#include "base/limits.h"
#include "engine/node.h"

struct node_shard {
    struct node *node;
    uint32_t number;
    char name[16]; /* "shard 3", for the log */
    pthread_t thread;
    void *above;
    int listener_fds[LISTENERS_MAX]; /* -1: none */
    struct shard *shard;
    char error[256];
};

struct node {
    const struct settings *settings;
    struct shard_group group;
    struct node_shard shards[SHARDS_MAX];
    _Atomic uint32_t connections;
    uint32_t listener_versions; /* given so far */
    pthread_mutex_t lock;
    pthread_cond_t launched;
    enum { LAUNCH_WAITS, LAUNCH_ALL, LAUNCH_NONE } launch; /* are there threads for all shards? */
    pthread_barrier_t opened, decided, started;
    bool go;
    struct stats control_stats, admin_stats;
};

/* Opens what the settings name. False with a sentence in ret_error. */
bool node_listeners_open(struct node *node, const struct settings *settings, char *ret_error, size_t error_bytes);
/* Closes all sockets; connections stay. */
void node_listeners_close(struct node *node);
/* After all shards have ended. */
void node_listeners_release(struct node *node);

#endif
