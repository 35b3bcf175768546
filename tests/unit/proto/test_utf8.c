#include <criterion/criterion.h>

#include "base/random.h"
#include "proto/utf8.h"

static size_t put_code_point(uint8_t *out, uint32_t code)
{
    if (code < 0x80) return out[0] = (uint8_t)code, 1;
    if (code < 0x800) return out[0] = (uint8_t)(0xC0 | code >> 6), out[1] = (uint8_t)(0x80 | (code & 63)), 2;
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12), out[1] = (uint8_t)(0x80 | (code >> 6 & 63));
        return out[2] = (uint8_t)(0x80 | (code & 63)), 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18), out[1] = (uint8_t)(0x80 | (code >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 63)), out[3] = (uint8_t)(0x80 | (code & 63));
    return 4;
}

/* The twin: decode by arithmetic, then judge the number and whether its shortest form is these bytes. */
static bool naive_valid(struct span text, bool nul_allowed)
{
    for (size_t i = 0; i < text.bytes;) {
        uint8_t lead = text.data[i], form[4];
        size_t bytes = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        if (bytes == 0 || i + bytes > text.bytes) return false;
        uint32_t code = bytes == 1 ? lead : lead & (0x7Fu >> bytes);
        for (size_t k = 1; k < bytes; k++) {
            if (text.data[i + k] >> 6 != 2) return false;
            code = code << 6 | (text.data[i + k] & 63);
        }
        if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) || (code == 0 && !nul_allowed)) return false;
        if (put_code_point(form, code) != bytes) return false;
        i += bytes;
    }
    return true;
}

/* [MQTT-1.5.4-1] [MQTT3-1.5.3-1] no surrogates, nothing beyond Unicode; [MQTT-1.5.4-2] [MQTT3-1.5.3-2] no U+0000;
 * [MQTT-1.5.4-3] U+FEFF stays what it is. */
Test(utf8, every_code_point)
{
    for (uint32_t code = 0; code < 0x1FFFFF; code++) {
        uint8_t bytes[4];
        struct span text = span_of(bytes, put_code_point(bytes, code));
        bool scalar = code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);
        cr_assert_eq(mqtt_utf8_valid(text), scalar && code != 0, "U+%04X", code);
        cr_assert_eq(mqtt_utf8_payload_valid(text), scalar, "U+%04X", code);
    }
}

Test(utf8, every_three_bytes)
{
    for (uint32_t i = 0; i < 1u << 24; i++) {
        uint8_t bytes[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        if (bytes[0] < 0x80 && bytes[1] < 0x80) continue;
        bool expected = naive_valid(span_of(bytes, 3), false);
        if (mqtt_utf8_valid(span_of(bytes, 3)) != expected) cr_assert_fail("%02x %02x %02x", bytes[0], bytes[1], bytes[2]);
    }
}

/* Every start in the 16-byte blocks, every length, one flaw somewhere. */
Test(utf8, flaws_at_every_place)
{
    struct random_source random = {3};
    static const uint8_t flaws[] = {0x00, 0x80, 0xC0, 0xC3, 0xE2, 0xED, 0xF0, 0xF5, 0xFF};
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[80];
        size_t count = random_below(&random, sizeof bytes - 4), at = 0;
        while (at < count)
            at += put_code_point(bytes + at, random_below(&random, 4) ? 'a' : (uint32_t)(1 + random_below(&random, 0xD700)));
        if (count && random_below(&random, 2)) bytes[random_below(&random, at)] = flaws[random_below(&random, sizeof flaws)];
        bool nul_allowed = random_below(&random, 2);
        bool verdict = nul_allowed ? mqtt_utf8_payload_valid(span_of(bytes, at)) : mqtt_utf8_valid(span_of(bytes, at));
        cr_assert_eq(verdict, naive_valid(span_of(bytes, at), nul_allowed));
    }
}
