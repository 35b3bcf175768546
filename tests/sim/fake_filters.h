/* fake_filters.h - three small protocols with the shapes of PROXY, TLS and WebSocket, and both ends of them: the broker's as filters
 * (base/filter.h), the client's as struct fake_link. For the simulation and the engine's unit tests.
 *
 *     header   one line, then transparent                              "P<anything>\n"
 *     cipher   a handshake with an expensive step, then records:       "CIPH" ⇄ "OK";  type seq length(2) bytes ^ seq ^ 0x5a
 *     frame    a handshake, then frames with pings between them:       "GET\n" ⇄ "101\n";  type length(4) bytes
 *
 * Records and frames are numbered or counted, so that a reordered, lost or doubled one shows. */
#ifndef RINGMQ_TESTS_SIM_FAKE_FILTERS_H
#define RINGMQ_TESTS_SIM_FAKE_FILTERS_H

#include "base/random.h"
#include "engine/filters.h"

enum fake_layers { FAKE_HEADER = 1, FAKE_CIPHER = 2, FAKE_FRAME = 4, FAKE_LAYERS_ALL = 7 };

/* The broker's end. `seed` decides how often a filter answers MORE and LATER and has bytes of its own. */
struct conn_filters *fake_filters_create(uint32_t layers, uint64_t seed);

struct fake_bytes {
    uint8_t *data;
    size_t bytes, capacity;
};
uint8_t *fake_bytes_room(struct fake_bytes *buffer, size_t bytes);
void fake_bytes_append(struct fake_bytes *buffer, const void *data, size_t bytes);
void fake_bytes_drop(struct fake_bytes *buffer, size_t bytes);

/* The client's end. */
struct fake_link {
    uint32_t layers;
    uint8_t cipher_sent, cipher_received;   /* sequence numbers */
    bool cipher_open, frame_open, closed;   /* closed: the broker has said so in both layers it has */
    uint32_t pings, pongs;
    struct fake_bytes wire_in, cipher_in;   /* not yet whole records, frames */
};

/* Appends the handshakes to `wire`. */
void fake_link_open(struct fake_link *link, uint32_t layers, struct fake_bytes *wire);
void fake_link_send(struct fake_link *link, const void *data, size_t bytes, struct random_source *random, struct fake_bytes *wire);
/* Bytes from the broker; what the protocol is to see is appended to `plain`. False: the broker broke the rules. */
bool fake_link_receive(struct fake_link *link, const void *data, size_t bytes, struct fake_bytes *plain);
void fake_link_release(struct fake_link *link);

#endif
