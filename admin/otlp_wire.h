/* otlp_wire.h - the few forms of protobuf's wire format that OTLP needs, written and read (protobuf.dev, "Encoding").
 *
 * By hand rather than by protobuf-c: OTLP's messages about metrics are a dozen, stable since their version 1, and a generator would want their .proto files in our tree.
 * The tests read what is written with OpenTelemetry's own definitions.
 * Owner: the caller's; otlp_wire_release(). Threads: one at a time. */
#ifndef RINGMQ_ADMIN_OTLP_WIRE_H
#define RINGMQ_ADMIN_OTLP_WIRE_H

#include <stdbool.h>

#include "base/span.h"

struct otlp_wire {
    uint8_t *data;
    size_t bytes, room;
};

/* A message within the message at hand: what is written until close() is its content. open() returns the mark for close(). */
size_t otlp_wire_open(struct otlp_wire *wire, uint32_t field);
void otlp_wire_close(struct otlp_wire *wire, size_t mark);

void otlp_wire_varint(struct otlp_wire *wire, uint32_t field, uint64_t value);
void otlp_wire_fixed64(struct otlp_wire *wire, uint32_t field, uint64_t value);
void otlp_wire_double(struct otlp_wire *wire, uint32_t field, double value);
void otlp_wire_text(struct otlp_wire *wire, uint32_t field, const char *text);
/* An element of a packed list: between open() and close(), without a field number. */
void otlp_wire_packed64(struct otlp_wire *wire, uint64_t value);
void otlp_wire_packed_double(struct otlp_wire *wire, double value);
void otlp_wire_release(struct otlp_wire *wire);

/* One field of a message that has come. */
struct otlp_field {
    uint32_t number;
    bool is_bytes;      /* text or a message in `bytes`, else a number in `value` */
    uint64_t value;
    struct span bytes;
};
/* False: the end, or (rest->bytes != 0) no protobuf. */
bool otlp_wire_next(struct span *rest, struct otlp_field *ret_field);

#endif
