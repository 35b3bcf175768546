/* writer.h - inside proto/ only: one pen for measuring and for writing, so that the two cannot disagree.
 *
 * With out NULL it only counts; else it writes, and the caller has counted before. */
#ifndef RINGMQ_PROTO_WRITER_H
#define RINGMQ_PROTO_WRITER_H

#include "base/check.h"
#include "proto/encode.h"

struct writer {
    uint8_t *out; /* NULL: count only */
    size_t bytes;
};

static inline void write_u8(struct writer *writer, uint8_t value)
{
    if (writer->out) mqtt_put_u8(writer->out + writer->bytes, value);
    writer->bytes += 1;
}

static inline void write_u16(struct writer *writer, uint16_t value)
{
    if (writer->out) mqtt_put_u16(writer->out + writer->bytes, value);
    writer->bytes += 2;
}

static inline void write_u32(struct writer *writer, uint32_t value)
{
    if (writer->out) mqtt_put_u32(writer->out + writer->bytes, value);
    writer->bytes += 4;
}

static inline void write_varint(struct writer *writer, uint32_t value)
{
    CHECK(value <= MQTT_VARINT_MAX);
    if (writer->out) mqtt_put_varint(writer->out + writer->bytes, value);
    writer->bytes += mqtt_varint_bytes(value);
}

static inline void write_bytes(struct writer *writer, struct span bytes)
{
    if (writer->out) mqtt_put_bytes(writer->out + writer->bytes, bytes);
    writer->bytes += bytes.bytes;
}

static inline void write_string(struct writer *writer, struct span text)
{
    CHECK(text.bytes <= MQTT_STRING_BYTES_MAX);
    write_u16(writer, (uint16_t)text.bytes);
    write_bytes(writer, text);
}

#endif
