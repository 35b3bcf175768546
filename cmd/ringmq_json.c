/* JSON of messages: writing it, and knowing it when we see it. */
#include <stdlib.h>
#include <string.h>

#include "cmd/ringmq_format.h"
#include "cmd/ringmq_property.h"
#include "proto/utf8.h"

#define DEPTH_MAX 128

/* ---- strings ---- */

void json_print_string(struct span text, FILE *out)
{
    putc('"', out);
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t byte = text.data[i];
        switch (byte) {
        case '"': fputs("\\\"", out); break;
        case '\\': fputs("\\\\", out); break;
        case '\n': fputs("\\n", out); break;
        case '\r': fputs("\\r", out); break;
        case '\t': fputs("\\t", out); break;
        default:
            if (byte < 0x20 || byte == 0x7F)
                fprintf(out, "\\u%04x", byte);
            else
                putc(byte, out);
        }
    }
    putc('"', out);
}

void json_print_base64(struct span bytes, FILE *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putc('"', out);
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t left = bytes.bytes - i;
        uint32_t three = (uint32_t)bytes.data[i] << 16;
        if (left > 1) three |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2) three |= bytes.data[i + 2];
        putc(digits[three >> 18], out);
        putc(digits[three >> 12 & 63], out);
        putc(left > 1 ? digits[three >> 6 & 63] : '=', out);
        putc(left > 2 ? digits[three & 63] : '=', out);
    }
    putc('"', out);
}

/* Text if it is UTF-8; else its name gets "_base64" and its value is that. */
static void print_bytes(const char *name, struct span bytes, FILE *out)
{
    bool text = mqtt_utf8_payload_valid(bytes);
    fprintf(out, "\"%s%s\":", name, text ? "" : "_base64");
    if (text)
        json_print_string(bytes, out);
    else
        json_print_base64(bytes, out);
}

/* ---- properties ---- */

static bool name_came_before(struct span raw, const struct mqtt_user_property *pair)
{
    struct mqtt_user_property earlier;
    while (mqtt_user_property_next(&raw, &earlier) && earlier.name.data != pair->name.data)
        if (span_equal(earlier.name, pair->name)) return true;
    return false;
}

/* {"name":"value"}; of a name that comes more than once, an array of its values, in order. */
static void print_user_properties(struct span raw, FILE *out)
{
    struct span rest = raw;
    struct mqtt_user_property pair, other;
    const char *comma = "";
    fputs("\"user-properties\":{", out);
    while (mqtt_user_property_next(&rest, &pair)) {
        if (name_came_before(raw, &pair)) continue;
        fputs(comma, out);
        json_print_string(pair.name, out);
        putc(':', out);
        struct span later = rest;
        uint32_t more = 0;
        while (mqtt_user_property_next(&later, &other))
            more += span_equal(other.name, pair.name);
        if (more) putc('[', out);
        json_print_string(pair.value, out);
        for (later = rest; more && mqtt_user_property_next(&later, &other);) {
            if (!span_equal(other.name, pair.name)) continue;
            putc(',', out);
            json_print_string(other.value, out);
        }
        if (more) putc(']', out);
        comma = ",";
    }
    putc('}', out);
}

static void print_subscription_ids(const struct mqtt_properties *properties, FILE *out)
{
    struct span rest = properties->raw;
    uint32_t id;
    const char *comma = "";
    bool many = properties->subscription_ids_count > 1;
    fputs(many ? "\"subscription-identifier\":[" : "\"subscription-identifier\":", out);
    while (mqtt_subscription_id_next(&rest, &id)) {
        fprintf(out, "%s%u", comma, id);
        comma = ",";
    }
    if (many) putc(']', out);
}

static void print_property(const struct mqtt_properties *properties, const struct mqtt_property *property, FILE *out)
{
    const struct mqtt_property_kind *kind = mqtt_property_kind(property->id);
    char name[PROPERTY_NAME_MAX];
    property_word(kind->name, name);
    switch (kind->wire) {
    case MQTT_WIRE_PAIR: print_user_properties(properties->raw, out); return;
    case MQTT_WIRE_STRING:
    case MQTT_WIRE_BINARY: print_bytes(name, property->text, out); return;
    case MQTT_WIRE_VARINT: print_subscription_ids(properties, out); return;
    default: fprintf(out, "\"%s\":%u", name, property->number); return;
    }
}

static void print_properties(const struct mqtt_properties *properties, FILE *out)
{
    struct span rest = properties->raw;
    struct mqtt_property property;
    uint64_t printed = 0;
    fputs(",\"properties\":{", out);
    while (mqtt_property_next(&rest, &property)) {
        if (printed >> property.id & 1) continue; /* the two that repeat are printed together */
        if (printed) putc(',', out);
        printed |= 1ull << property.id;
        print_property(properties, &property, out);
    }
    putc('}', out);
}

/* ---- judging ---- */

struct json_reader {
    const uint8_t *at, *end;
};

static bool take(struct json_reader *reader, char wanted)
{
    if (reader->at == reader->end || *reader->at != (uint8_t)wanted) return false;
    reader->at++;
    return true;
}

static void skip_blanks(struct json_reader *reader)
{
    while (reader->at < reader->end && memchr(" \t\r\n", *reader->at, 4))
        reader->at++;
}

static bool take_word(struct json_reader *reader, const char *word)
{
    for (; *word; word++)
        if (!take(reader, *word)) return false;
    return true;
}

static bool take_digits(struct json_reader *reader)
{
    const uint8_t *begin = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > begin;
}

static bool take_json_number(struct json_reader *reader)
{
    take(reader, '-');
    if (!take(reader, '0') && !take_digits(reader)) return false;
    if (take(reader, '.') && !take_digits(reader)) return false;
    if (!take(reader, 'e') && !take(reader, 'E')) return true;
    if (!take(reader, '+')) take(reader, '-');
    return take_digits(reader);
}

static bool take_json_string(struct json_reader *reader)
{
    if (!take(reader, '"')) return false;
    while (reader->at < reader->end) {
        uint8_t byte = *reader->at++;
        if (byte == '"') return true;
        if (byte < 0x20) return false;
        if (byte != '\\') continue;
        if (reader->at == reader->end) return false;
        byte = *reader->at++;
        if (byte == 'u') {
            for (int i = 0; i < 4; i++, reader->at++)
                if (reader->at == reader->end || !memchr("0123456789abcdefABCDEF", *reader->at, 22)) return false;
        } else if (!memchr("\"\\/bfnrt", byte, 8)) {
            return false;
        }
    }
    return false;
}

static bool take_json_value(struct json_reader *reader, int depth);

/* The inside of {…} or […]. */
static bool take_json_members(struct json_reader *reader, char close, int depth)
{
    skip_blanks(reader);
    if (take(reader, close)) return true;
    for (;;) {
        skip_blanks(reader);
        if (close == '}') {
            if (!take_json_string(reader)) return false;
            skip_blanks(reader);
            if (!take(reader, ':')) return false;
        }
        if (!take_json_value(reader, depth + 1)) return false;
        if (take(reader, close)) return true;
        if (!take(reader, ',')) return false;
    }
}

static bool take_json_value(struct json_reader *reader, int depth)
{
    skip_blanks(reader);
    bool fine;
    if (reader->at == reader->end || depth > DEPTH_MAX) return false;
    switch (*reader->at) {
    case '{':
        reader->at++;
        fine = take_json_members(reader, '}', depth);
        break;
    case '[':
        reader->at++;
        fine = take_json_members(reader, ']', depth);
        break;
    case '"': fine = take_json_string(reader); break;
    case 't': fine = take_word(reader, "true"); break;
    case 'f': fine = take_word(reader, "false"); break;
    case 'n': fine = take_word(reader, "null"); break;
    default: fine = take_json_number(reader);
    }
    skip_blanks(reader);
    return fine;
}

bool json_valid(struct span text)
{
    if (!mqtt_utf8_payload_valid(text)) return false;
    struct json_reader reader = {text.data, text.data + text.bytes};
    return take_json_value(&reader, 0) && reader.at == reader.end;
}

/* ---- a message ---- */

static void print_flat(const struct mqtt_publish *publish, struct timespec now, bool payload_as_is, FILE *out)
{
    char when[64], zone[8];
    struct tm local;
    localtime_r(&now.tv_sec, &local);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &local);
    strftime(zone, sizeof zone, "%z", &local);
    fprintf(out, "{\"tst\":\"%s.%06ld%s\",\"topic\":", when, now.tv_nsec / 1000, zone);
    json_print_string(publish->topic, out);
    fprintf(out, ",\"qos\":%u,\"retain\":%u,\"payloadlen\":%zu", publish->qos, publish->retain, publish->payload.bytes);
    if (publish->qos) fprintf(out, ",\"mid\":%u", publish->packet_id);
    if (publish->properties.present) print_properties(&publish->properties, out);
    putc(',', out);
    if (payload_as_is && publish->payload.bytes == 0) {
        fputs("\"payload\":null", out);
    } else if (payload_as_is && json_valid(publish->payload)) {
        fputs("\"payload\":", out);
        fwrite(publish->payload.data, 1, publish->payload.bytes, out);
    } else {
        print_bytes("payload", publish->payload, out);
    }
    putc('}', out);
}

static void new_line(int depth, FILE *out)
{
    putc('\n', out);
    for (int i = 0; i < depth; i++)
        fputs("  ", out);
}

/* Valid JSON, with line breaks put in and other blanks left out. */
static void print_indented(struct span json, FILE *out)
{
    int depth = 0;
    bool string = false, opened = false;
    for (size_t i = 0; i < json.bytes; i++) {
        char byte = (char)json.data[i];
        if (string) {
            putc(byte, out);
            if (byte == '\\' && i + 1 < json.bytes)
                putc(json.data[++i], out);
            else if (byte == '"')
                string = false;
            continue;
        }
        if (memchr(" \t\r\n", byte, 4)) continue;
        bool closes = byte == '}' || byte == ']';
        if (closes) depth--;
        if (closes != opened && (closes || opened)) new_line(depth, out);
        opened = byte == '{' || byte == '[';
        if (opened) depth++;
        putc(byte, out);
        if (byte == ',') new_line(depth, out);
        if (byte == ':') putc(' ', out);
        string = byte == '"';
    }
}

void json_print_message(const struct mqtt_publish *publish, struct timespec now, bool payload_as_is, bool pretty,
                        FILE *out)
{
    if (!pretty) {
        print_flat(publish, now, payload_as_is, out);
        return;
    }
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    print_flat(publish, now, payload_as_is, memory);
    fclose(memory);
    print_indented(span_of(text, bytes), out);
    free(text);
}
