/* reader.h - inside proto/ only: a cursor over the bytes of a packet, and the state of one mqtt_decode() call.
 *
 * Every take_*() returns false and changes nothing when the bytes do not reach. */
#ifndef RINGMQ_PROTO_READER_H
#define RINGMQ_PROTO_READER_H

#include "proto/decode.h"

struct reader {
    const uint8_t *at, *end;
};

static inline struct reader reader_of(struct span bytes)
{
    return (struct reader){bytes.data, bytes.data + bytes.bytes};
}

static inline size_t reader_left(const struct reader *reader) { return (size_t)(reader->end - reader->at); }

static inline struct span reader_rest(const struct reader *reader) { return span_of(reader->at, reader_left(reader)); }

static inline bool take_u8(struct reader *reader, uint8_t *ret_value)
{
    if (reader_left(reader) < 1) return false;
    *ret_value = *reader->at++;
    return true;
}

static inline bool take_u16(struct reader *reader, uint16_t *ret_value)
{
    if (reader_left(reader) < 2) return false;
    *ret_value = (uint16_t)(reader->at[0] << 8 | reader->at[1]);
    reader->at += 2;
    return true;
}

static inline bool take_u32(struct reader *reader, uint32_t *ret_value)
{
    if (reader_left(reader) < 4) return false;
    uint32_t value;
    memcpy(&value, reader->at, 4);
    *ret_value = __builtin_bswap32(value);
    reader->at += 4;
    return true;
}

/* Two bytes of length, then the bytes: a string or binary data. */
static inline bool take_string(struct reader *reader, struct span *ret_text)
{
    if (reader_left(reader) < 2) return false;
    size_t bytes = (size_t)reader->at[0] << 8 | reader->at[1];
    if (reader_left(reader) - 2 < bytes) return false;
    *ret_text = span_of(reader->at + 2, bytes);
    reader->at += 2 + bytes;
    return true;
}

/* §1.5.5; also false for more than four bytes and for a form longer than need be [MQTT-1.5.5-1]. */
static inline bool take_varint(struct reader *reader, uint32_t *ret_value)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < 4 && reader->at + i < reader->end; i++) {
        uint8_t byte = reader->at[i];
        value |= (uint32_t)(byte & 0x7F) << (7 * i);
        if (byte & 0x80) continue;
        if (i > 0 && byte == 0) return false;
        *ret_value = value;
        reader->at += i + 1;
        return true;
    }
    return false;
}

/* One call of mqtt_decode(). */
struct decoding {
    const struct mqtt_decode_limits *limits;
    struct reader reader; /* what follows the fixed header */
    enum mqtt_version version;
    enum mqtt_version answer_version;
    bool length_overlong; /* the remaining length took more bytes than it had to */
    enum mqtt_reason reason;
    const char *what;
};

/* Notes what is wrong; returns false so that a check reads: if (bad) return fault(…). */
static inline bool fault(struct decoding *decoding, enum mqtt_reason reason, const char *what)
{
    decoding->reason = reason;
    decoding->what = what;
    return false;
}

static inline void properties_none(struct mqtt_properties *ret_properties)
{
    ret_properties->present = 0;
    ret_properties->raw = (struct span){NULL, 0};
}

/* decode.c: a property length and block, in 5.0; nothing, in 3.x. */
bool decode_properties(struct decoding *decoding, uint32_t packet, struct mqtt_properties *ret_properties);
/* decode.c: a packet id, never 0. */
bool decode_packet_id(struct decoding *decoding, uint16_t *ret_packet_id);

/* The packets' bodies. Each takes what belongs to it from the reader; mqtt_decode() sees to what is left over. */
bool decode_connect(struct decoding *decoding, struct mqtt_connect *ret_connect);
bool decode_connack(struct decoding *decoding, struct mqtt_connack *ret_connack);
bool decode_publish(struct decoding *decoding, uint8_t first_byte, struct mqtt_publish *ret_publish);
bool decode_ack(struct decoding *decoding, enum mqtt_packet_type type, struct mqtt_ack *ret_ack);
bool decode_subscribe(struct decoding *decoding, struct mqtt_subscribe *ret_subscribe);
bool decode_unsubscribe(struct decoding *decoding, struct mqtt_unsubscribe *ret_unsubscribe);
bool decode_suback(struct decoding *decoding, enum mqtt_packet_type type, struct mqtt_suback *ret_suback);
bool decode_disconnect(struct decoding *decoding, struct mqtt_disconnect *ret_disconnect);
bool decode_auth(struct decoding *decoding, struct mqtt_auth *ret_auth);

#endif
