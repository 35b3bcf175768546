/* watch/trace_inside.h - what trace.c (whom a record is for) and trace_note.c (what it says) share. */
#ifndef RINGMQ_BROKER_WATCH_TRACE_INSIDE_H
#define RINGMQ_BROKER_WATCH_TRACE_INSIDE_H

#include "broker/broker.h"
#include "broker/doors/doors.h"
#include "broker/watch/trace.h"

/* Connections whose CONNECT or other packet is noted and still unread: it is not noted again. More than so many at a time may be. */
#define TRACE_UNREAD_MAX 64
/* Addresses that were asked for, by the slot of the connection. */
#define TRACE_PEERS_MAX 256

struct trace_peer {
    uint64_t conn; /* name; 0: none */
    uint32_t traces;
    char text[DOOR_PEER_BYTES_MAX];
};

struct trace_shard {
    const struct trace_set *set; /* NULL: none */
    struct trace_ring *ring;
    uint32_t payload_bytes_max;
    /* the packet at hand, in trace_received() */
    struct span packet;
    bool again;                  /* it was noted before */
    uint64_t connecting;         /* name of the connection whose CONNECT it is; 0: none */
    uint32_t connecting_traces;
    uint32_t connecting_bytes;   /* of its client id; a copy, since records of clients end while a CONNECT is refused: */
    uint8_t connecting_id[TRACE_TEXT_BYTES_MAX + 1];
    uint64_t unread[TRACE_UNREAD_MAX];
    uint32_t unread_next;
    struct trace_peer peers[TRACE_PEERS_MAX];
    struct {
        uint64_t conn;
        uint32_t traces;
    } follow[SHARDS_MAX];
};

/* trace.c */
uint32_t trace_of_session(const struct session *session);
uint32_t trace_of_topic(const struct trace_set *set, struct span topic);
uint32_t trace_of_publisher(struct broker_shard *broker, const struct publication *publication);
/* Of a connection, with the client id it has or is getting. */
uint32_t trace_of_conn(struct broker_shard *broker, const struct conn *conn, struct span *ret_client_id);
uint32_t trace_of_client(struct broker_shard *broker, const struct conn *conn, struct span client_id, struct span user_name);
/* Most of a payload that one of these wants. */
uint32_t trace_payload_bytes(const struct trace_set *set, uint32_t traces);

/* trace_note.c */
void trace_note(struct broker_shard *broker, uint32_t traces, enum trace_event event, struct span client_id, const struct trace_facts *facts);
/* A packet with all its bytes: its secrets are overwritten and its payload cut. */
void trace_note_packet(struct broker_shard *broker, uint32_t traces, enum trace_event event, struct span client_id, enum mqtt_version version, struct span packet);

#endif
