/* Every golden packet of tests/vectors: decoded, judged, encoded again. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/decode.h"
#include "proto/encode.h"
#include "vector.h"

static char *trimmed(char *text)
{
    while (*text == ' ')
        text++;
    char *end = text + strlen(text);
    while (end > text && (end[-1] == ' ' || end[-1] == '\n'))
        *--end = 0;
    return text;
}

static struct mqtt_decode_limits limits_of(const char *text)
{
    struct mqtt_decode_limits limits = {.from = text[0] == 'c' ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER,
                                        .version = (enum mqtt_version)(text[1] - '0')};
    const char *option = strstr(text, "max=");
    if (option) limits.packet_bytes_max = (uint32_t)atoi(option + 4);
    option = strstr(text, "levels=");
    if (option) limits.topic_levels_max = (uint32_t)atoi(option + 7);
    limits.check_payload_utf8 = strstr(text, "utf8") != NULL;
    return limits;
}

static void expect_malformed(const char *name, const char *expectation, struct mqtt_decoded decoded,
                             enum mqtt_version version)
{
    char *end;
    unsigned long reason = strtoul(expectation + 4, &end, 16);
    cr_assert_eq(decoded.status, MQTT_MALFORMED, "%s: status %d", name, decoded.status);
    cr_expect_eq(decoded.reason, reason, "%s: %02x %s", name, decoded.reason, decoded.what);
    cr_expect_not_null(decoded.what, "%s", name);
    unsigned answer = *end == '/' ? (unsigned)atoi(end + 1) : version;
    cr_expect_eq(decoded.answer_version, answer, "%s: answer in version %d", name, decoded.answer_version);
}

static void expect_same_bytes(const char *name, struct span bytes, enum mqtt_version version,
                              const struct mqtt_packet *packet)
{
    uint8_t out[4096];
    if (packet->type == MQTT_CONNECT) version = packet->connect.version;
    size_t written = mqtt_encode(out, sizeof out, version, packet);
    cr_expect_eq(written, mqtt_encoded_bytes(version, packet), "%s", name);
    cr_expect(span_equal(bytes, span_of(out, written)), "%s: encodes to other bytes", name);
}

static void run(char *line)
{
    char *fields[4], *save = NULL;
    char *copy = strdup(line);
    for (int i = 0; i < 4; i++) {
        fields[i] = strtok_r(i ? NULL : line, "|", &save);
        if (fields[i] == NULL && i == 3) fields[i] = (char[]){""};
        cr_assert_not_null(fields[i], "four fields: %s", copy);
        fields[i] = trimmed(fields[i]);
    }
    const char *name = fields[0], *expectation = fields[2];
    uint8_t bytes[4096];
    size_t count = vector_bytes(fields[3], bytes, sizeof bytes);
    cr_assert_neq(count, SIZE_MAX, "%s: bytes", copy);

    /* An allocation of its own, so that the sanitizer sees a read beyond the end. */
    uint8_t *exact = malloc(count ? count : 1);
    memcpy(exact, bytes, count);
    struct mqtt_decode_limits limits = limits_of(fields[1]);
    struct mqtt_packet packet;
    struct mqtt_decoded decoded = mqtt_decode(span_of(exact, count), &limits, &packet);

    if (strncmp(expectation, "bad ", 4) == 0) {
        expect_malformed(name, expectation, decoded, limits.version);
    } else if (strncmp(expectation, "more ", 5) == 0) {
        cr_expect_eq(decoded.status, MQTT_NEED_MORE, "%s", name);
        cr_expect_eq(decoded.bytes, (uint32_t)atoll(expectation + 5), "%s: %u", name, decoded.bytes);
    } else {
        cr_assert_eq(decoded.status, MQTT_DECODED, "%s: %02x %s", name, decoded.reason, decoded.what ? decoded.what : "");
        cr_expect_eq(decoded.bytes, count, "%s", name);
        cr_expect_str_eq(mqtt_packet_name(packet.type), strchr(expectation, ' ') + 1, "%s", name);
        if (expectation[2] == ' ') expect_same_bytes(name, span_of(exact, count), limits.version, &packet);
    }
    free(exact);
    free(copy);
}

static void run_file(const char *path)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s: tests run in the root of the tree", path);
    char line[4096];
    int vectors = 0;
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#' || line[0] == '\n') continue;
        run(line);
        vectors++;
    }
    fclose(file);
    cr_assert_gt(vectors, 10, "%s", path);
}

/* The numbers of the statements proved stand in the vectors' own lines. */
Test(vectors, connect) { run_file("tests/vectors/connect.txt"); }
Test(vectors, publish) { run_file("tests/vectors/publish.txt"); }
Test(vectors, acks) { run_file("tests/vectors/acks.txt"); }
Test(vectors, subscribe) { run_file("tests/vectors/subscribe.txt"); }
Test(vectors, session) { run_file("tests/vectors/session.txt"); }
