/* decode.h - bytes to packets.
 *
 * mqtt_decode() looks at the front of what has arrived so far and says one of three things: here is a packet; I need more
 * bytes; this is not MQTT as the standard has it. It is strict: every MUST of the standard that can be judged by one packet
 * alone is judged here, and only here. What needs memory of earlier packets is the broker's business: that the first packet is
 * CONNECT and there is no second, packet ids in use, aliases, quotas.
 *
 * Owner:   nothing is kept and nothing allocated; spans in *ret_packet point into `in` and live exactly as long.
 * Threads: pure. No socket, clock or heap.
 * Failure: MALFORMED carries the reason code for CONNACK or DISCONNECT. The connection cannot be continued. */
#ifndef RINGMQ_PROTO_DECODE_H
#define RINGMQ_PROTO_DECODE_H

#include "proto/packet.h"

enum mqtt_decode_status { MQTT_DECODED, MQTT_NEED_MORE, MQTT_MALFORMED };

struct mqtt_decode_limits {
    enum mqtt_role from;         /* who sent the bytes */
    enum mqtt_version version;   /* of the connection; NONE: CONNECT decides, and any other packet is a protocol error */
    uint32_t packet_bytes_max;   /* whole packet; a larger one is 0x95 as soon as its length is known. 0: no limit */
    uint32_t topic_levels_max;   /* of topics (0x90) and filters (0x8F). 0: no limit */
    struct span topic_known;     /* a topic of a PUBLISH that passed with these limits; most are the same as the one before. NULL: none */
    bool check_payload_utf8;     /* a payload that claims to be UTF-8 must be (0x99); costs a pass over it */
};

struct mqtt_decoded {
    enum mqtt_decode_status status;
    enum mqtt_reason reason; /* MALFORMED: goes into CONNACK or DISCONNECT unchanged */
    uint32_t bytes;          /* DECODED: taken from `in`; NEED_MORE: how many `in` must have before asking again makes sense
                                (the whole packet, once its length is known) */
    /* MALFORMED CONNECT: the version in which a CONNACK would be understood. NONE: close without a word (it did not even begin
     * like MQTT). For an unknown protocol level it is MQTT_3_1_1, whose return code 1 every client knows. Else: limits->version. */
    enum mqtt_version answer_version;
    const char *what; /* MALFORMED: what was wrong, for the log; static. Else NULL */
};

/* Reads at most one packet from the front of `in`. *ret_packet is meaningful only when DECODED. */
struct mqtt_decoded mqtt_decode(struct span in, const struct mqtt_decode_limits *limits, struct mqtt_packet *ret_packet);

/* The id in the PUBACK that the bytes begin with, in the form that all versions have and nearly all clients send; 0: it is none, or another one, for the decoder. */
static inline uint16_t mqtt_puback_at(struct span in)
{
    bool is = in.bytes >= 4 && in.data[0] == MQTT_PUBACK << 4 && in.data[1] == 2;
    return is ? (uint16_t)(in.data[2] << 8 | in.data[3]) : 0;
}

#endif
