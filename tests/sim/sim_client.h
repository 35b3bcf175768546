/* sim_client.h - a simulated MQTT client: real packets from proto/, random behaviour, and a memory of everything it was promised
 * and given. */
#ifndef RINGMQ_TESTS_SIM_SIM_CLIENT_H
#define RINGMQ_TESTS_SIM_SIM_CLIENT_H

#include "base/random.h"
#include "proto/incoming.h"
#include "proto/inflight.h"
#include "proto/packet.h"
#include "tests/sim/fake_filters.h"

#define SIM_CLIENTS_MAX  16
#define SIM_SEQUENCE_MAX 512 /* messages of one flow */

/* A flow is what one publisher sends with one QoS: topic "s/<publisher>/<qos>", payload: its number and filler. */
struct sim_flow {
    uint32_t published;               /* numbers 0 … published - 1 were sent at least once */
    bool acknowledged[SIM_SEQUENCE_MAX]; /* QoS 1: PUBACK came; QoS 2: PUBCOMP came */
};

#define SIM_WINDOW_MAX 8 /* messages under way from one client */

/* What one client has got of one flow. */
struct sim_reception {
    uint16_t times[SIM_SEQUENCE_MAX];
    int32_t highest; /* -1: none */
};

enum sim_role { SIM_STEADY, SIM_SHARED, SIM_CHAOTIC, SIM_PUBLISHER };

struct sim_client {
    uint32_t number;
    enum sim_role role; /* STEADY: persistent, subscribed to everything from the start; SHARED: the same in a shared group;
                           CHAOTIC: anything at all; PUBLISHER: persistent, without subscriptions */
    char client_id[24];
    enum mqtt_version version;
    int socket;     /* -1: none */
    int forgotten;  /* an old socket the client has lost sight of (half-open); -1: none */
    bool connected, subscribed, was_connected, leaving;
    uint16_t subscribe_id;
    uint32_t read_chance; /* in 256, per step: slow readers have a small one */
    struct fake_bytes in, out;
    struct fake_link link;       /* what its bytes go through */
    struct fake_bytes wire;      /* on their way to the socket */
    struct mqtt_inflight window;
    struct mqtt_incoming incoming;
    struct sim_flow flows[3];
    uint16_t pubacks_due[SIM_WINDOW_MAX]; /* ids of QoS 1 messages sent on this connection, the oldest first */
    uint32_t pubacks_due_count;
    struct sim_reception receptions[SIM_CLIENTS_MAX][3];
    uint64_t packets_in;
};

struct sim_rules {
    struct random_source *random;
    uint32_t shards_count;
    uint32_t clients_count;
    bool chaos;      /* connections break, chaotic clients act, new messages are published */
    bool pressure;   /* no connection breaks, and publishers alone publish: as fast as they may */
    bool fills;      /* the disk becomes full now and then: what was refused comes again behind what was sent after it */
    bool returns;    /* what was dropped may come again behind what came after it: by its publisher, or by a crash */
    bool rows;       /* steady ones subscribe once, and many messages of one topic come at a time */
    uint32_t filler_max;
    uint32_t layers; /* enum fake_layers: the filters of the one listener */
};

void sim_client_init(struct sim_client *client, uint32_t number, enum sim_role role, struct random_source *random);
void sim_client_release(struct sim_client *client);
void sim_client_step(struct sim_client *client, const struct sim_rules *rules);
/* Its connections break: the broker has been killed. */
void sim_client_cut(struct sim_client *client);
/* Nothing of its own is under way: connected, subscribed, all acknowledged, all bytes taken. */
bool sim_client_quiet(const struct sim_client *client);
/* Ends its session for good: connects with a clean start and no expiry, then leaves. True when done. */
bool sim_client_leave(struct sim_client *client, const struct sim_rules *rules);

/* Messages with the retain flag. */
bool sim_retains(uint32_t qos, uint32_t number);
bool sim_client_again(uint32_t publisher, uint32_t number);
/* This message may come behind others of its flow: see sim_client.c. */
bool sim_client_late(uint32_t publisher, uint32_t qos, uint32_t number);

/* Set by main: every violation ends the run with the seed. */
_Noreturn void sim_fail(const char *what, const struct sim_client *client, uint32_t publisher, uint32_t qos, uint32_t number);

#endif
