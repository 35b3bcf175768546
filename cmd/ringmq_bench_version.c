#include "cmd/ringmq_bench_version.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "proto/decode.h"
#include "proto/encode.h"

#define ANSWER_US 300000

static bool send_packet(int fd, const struct mqtt_packet *packet)
{
    uint8_t bytes[256];
    size_t used = mqtt_encode(bytes, sizeof bytes, MQTT_3_1_1, packet);
    return used && send(fd, bytes, used, MSG_NOSIGNAL) == (ssize_t)used;
}

/* What is printable of the payload. */
static void take_version(struct span payload, char *out, size_t bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < payload.bytes && used + 1 < bytes; i++)
        if (payload.data[i] >= ' ' && payload.data[i] < 0x7f && payload.data[i] != '"' && payload.data[i] != '\\')
            out[used++] = (char)payload.data[i];
    out[used] = 0;
}

/* True: go on reading. */
static bool take(int fd, const struct mqtt_packet *packet, char *out, size_t bytes)
{
    static const struct mqtt_subscription filters[] = {{.full_filter = SPAN_LITERAL("$SYS/broker/version")},
                                                       {.full_filter = SPAN_LITERAL("$SYS/brokers/+/version")}};
    if (packet->type == MQTT_CONNACK) {
        struct mqtt_packet subscribe = {.type = MQTT_SUBSCRIBE,
                                        .subscribe = {.packet_id = 1, .count = 2, .subscriptions = filters}};
        subscribe.subscribe.properties.present = 0;
        return packet->connack.reason == 0 && send_packet(fd, &subscribe);
    }
    if (packet->type != MQTT_PUBLISH) return true;
    take_version(packet->publish.payload, out, bytes);
    return false;
}

void broker_version(const struct bench_plan *plan, char *out, size_t bytes)
{
    out[0] = 0;
    int fd = socket(plan->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_usec = ANSWER_US};
    char id[32];
    snprintf(id, sizeof id, "bench-%s-v", plan->run);
    struct mqtt_packet connect_packet = {
        .type = MQTT_CONNECT, .connect = {.version = MQTT_3_1_1, .clean_start = true, .client_id = span_of_string(id)}};
    connect_packet.connect.properties.present = 0;
    bool going = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
                 connect(fd, (const struct sockaddr *)&plan->address, plan->address_bytes) == 0 &&
                 send_packet(fd, &connect_packet);
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_SERVER, .version = MQTT_3_1_1};
    uint8_t in[1024];
    size_t used = 0;
    while (going) {
        ssize_t got = recv(fd, in + used, sizeof in - used, 0);
        if (got <= 0) break;
        used += (size_t)got;
        struct mqtt_packet packet;
        struct mqtt_decoded decoded;
        while (going && (decoded = mqtt_decode(span_of(in, used), &limits, &packet)).status == MQTT_DECODED) {
            going = take(fd, &packet, out, bytes);
            used -= decoded.bytes;
            memmove(in, in + decoded.bytes, used);
        }
        if (decoded.status == MQTT_MALFORMED) break;
    }
    if (fd >= 0) close(fd);
}
