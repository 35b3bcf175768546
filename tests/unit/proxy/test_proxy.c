#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/proxy.h"

#define REST "\x10\x0c MQTT follows"

static const char *fact_of(struct filter *filter, enum filter_fact fact)
{
    static char text[FACT_COUNT][128];
    struct span value = filter->verbs->fact(filter, fact);
    snprintf(text[fact], sizeof text[fact], "%.*s", SPAN_PRINT(value));
    return text[fact];
}

/* Feeds header and rest, cut at `cut`. True: the filter stepped aside exactly behind the header. */
static bool passes(struct filter *filter, const void *header, size_t bytes, size_t cut)
{
    uint8_t whole[8192];
    memcpy(whole, header, bytes);
    memcpy(whole + bytes, REST, sizeof REST - 1);
    size_t count = bytes + sizeof REST - 1, at = 0;
    while (at < count) {
        size_t now = at < cut ? cut - at : count - at;
        uint8_t *block = malloc(now);
        memcpy(block, whole + at, now);
        struct filter_step step = filter->verbs->receive(filter, block, now, NULL, 0);
        free(block);
        at += step.consumed;
        if (step.wants == FILTER_FAILED) {
            cr_assert(strlen(filter->verbs->reason(filter)) > 10);
            return false;
        }
        if (step.wants == FILTER_TRANSPARENT) {
            cr_assert_eq(at, bytes);
            return true;
        }
        cr_assert_eq(step.consumed, now);
    }
    return false;
}

static const struct {
    const char *line, *address;
    bool sound;
} lines[] = {
    {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 1883\r\n", "192.0.2.7:56324", true},
    {"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", "[2001:db8::7]:1", true},
    {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", true},
    {"PROXY UNKNOWN\r\n", "", true},
    {"PROXY UNKNOWN anything at all\r\n", "", true},
    {"PROXY UNKNOWNS\r\n", "", false},
    {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 1883\n", "", false},
    {"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", "", false},
    {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 1883 7\r\n", "", false},
    {"PROXY TCP4 192.0.2.7  198.51.100.1 56324 1883\r\n", "", false},
    {"PROXY TCP4 192.0.2.300 198.51.100.1 56324 1883\r\n", "", false},
    {"PROXY TCP4 ::1 ::1 56324 1883\r\n", "", false},
    {"PROXY TCP6 192.0.2.7 198.51.100.1 56324 1883\r\n", "", false},
    {"PROXY TCP4 192.0.2.7 198.51.100.1 65536 1883\r\n", "", false},
    {"PROXY TCP4 192.0.2.7 198.51.100.1 01 1883\r\n", "", false},
    {"PROXY TCP4 192.0.2.7 198.51.100.1 -1 1883\r\n", "", false},
    {"PROXY UDP4 192.0.2.7 198.51.100.1 1 1883\r\n", "", false},
    {"PROXY \r\n", "", false},
    {"PROXI TCP4 192.0.2.7 198.51.100.1 1 1883\r\n", "", false},
    {"proxy TCP4 192.0.2.7 198.51.100.1 1 1883\r\n", "", false},
    {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535        \r\n", "", false},
    {"\x10\x10\0\4MQTT", "", false},
};

Test(proxy, version_1_however_cut)
{
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (size_t cut = 1; cut <= strlen(lines[i].line); cut++) {
            struct filter *filter = proxy_create(PROXY_ANY);
            cr_assert_eq(passes(filter, lines[i].line, strlen(lines[i].line), cut), lines[i].sound, "%s cut %zu", lines[i].line, cut);
            if (lines[i].sound) cr_assert_str_eq(fact_of(filter, FACT_ADDRESS), lines[i].address);
            filter->verbs->release(filter);
        }
}

/* ---- version 2 ------------------------------------------------------------------------------------------------------ */

static uint8_t header[6000];

static size_t head(uint8_t version_command, uint8_t family, const void *addresses, size_t address_bytes)
{
    memcpy(header, "\r\n\r\n\0\r\nQUIT\n", 12);
    header[12] = version_command;
    header[13] = family;
    memcpy(header + 16, addresses, address_bytes);
    header[14] = (uint8_t)(address_bytes >> 8);
    header[15] = (uint8_t)address_bytes;
    return 16 + address_bytes;
}

static size_t tlv(size_t at, uint8_t type, const void *value, size_t bytes)
{
    header[at] = type;
    header[at + 1] = (uint8_t)(bytes >> 8);
    header[at + 2] = (uint8_t)bytes;
    memcpy(header + at + 3, value, bytes);
    at += 3 + bytes;
    header[14] = (uint8_t)((at - 16) >> 8);
    header[15] = (uint8_t)(at - 16);
    return at;
}

#define FOUR "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x07\x5b"
#define SIX "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50\x07\x5b"

static bool v2_passes(size_t bytes, size_t cut, char *ret_address)
{
    struct filter *filter = proxy_create(PROXY_V2);
    bool sound = passes(filter, header, bytes, cut);
    strcpy(ret_address, fact_of(filter, FACT_ADDRESS));
    filter->verbs->release(filter);
    return sound;
}

Test(proxy, version_2_addresses)
{
    char address[128];
    for (size_t cut = 1; cut < 30; cut++) {
        cr_assert(v2_passes(head(0x21, 0x11, FOUR, 12), cut, address));
        cr_assert_str_eq(address, "192.0.2.7:56324");
        cr_assert(v2_passes(head(0x21, 0x21, SIX, 36), cut, address));
        cr_assert_str_eq(address, "[2001:db8::7]:80");
        cr_assert(v2_passes(head(0x20, 0x00, "", 0), cut, address)); /* LOCAL */
        cr_assert_str_eq(address, "");
        cr_assert(v2_passes(head(0x20, 0x11, FOUR, 12), cut, address));
        cr_assert_str_eq(address, "");
        cr_assert(v2_passes(head(0x21, 0x00, "", 0), cut, address)); /* UNSPEC */
        static const uint8_t paths[216] = "/x";
        cr_assert(v2_passes(head(0x21, 0x31, paths, 216), cut, address));
        cr_assert_str_eq(address, "");
        cr_assert_not(v2_passes(head(0x21, 0x11, FOUR, 11), cut, address));
        cr_assert_not(v2_passes(head(0x21, 0x21, SIX, 35), cut, address));
        cr_assert_not(v2_passes(head(0x31, 0x11, FOUR, 12), cut, address));
        cr_assert_not(v2_passes(head(0x22, 0x11, FOUR, 12), cut, address));
        cr_assert_not(v2_passes(head(0x21, 0x41, FOUR, 12), cut, address));
    }
    head(0x21, 0x11, FOUR, 12);
    header[14] = 0xff;
    cr_assert_not(v2_passes(16, 16, address));
}

Test(proxy, version_2_tlvs)
{
    uint8_t ssl[64] = {1, 0, 0, 0, 0, 0x22, 0, 4, 'j', 'o', 'h', 'n', 0x21, 0, 7, 'T', 'L', 'S', 'v', '1', '.', '3'};
    for (int verified = 0; verified < 2; verified++) {
        ssl[4] = (uint8_t)!verified;
        size_t at = tlv(head(0x21, 0x11, FOUR, 12), 0x20, ssl, 22);
        at = tlv(at, 0x02, "mqtt.example", 12);
        at = tlv(at, 0xe0, "a type nobody knows", 19);
        struct filter *filter = proxy_create(PROXY_ANY);
        cr_assert(passes(filter, header, at, 20));
        cr_assert_str_eq(fact_of(filter, FACT_CERTIFICATE_CN), verified ? "john" : "");
        cr_assert_str_eq(fact_of(filter, FACT_TLS_VERSION), "TLSv1.3");
        cr_assert_str_eq(fact_of(filter, FACT_SERVER_NAME), "mqtt.example");
        cr_assert_str_eq(fact_of(filter, FACT_USERNAME), "");
        filter->verbs->release(filter);
    }
    static const char *const odd[] = {"jo\xffhn", "jo\nhn", "caf\xc3\xa9"};
    for (size_t i = 0; i < 3; i++) { /* a name that is no text is none */
        uint8_t named[64] = {1, 0, 0, 0, 0, 0x22, 0, 5};
        memcpy(named + 8, odd[i], 5);
        size_t at = tlv(head(0x21, 0x11, FOUR, 12), 0x20, named, 13);
        struct filter *filter = proxy_create(PROXY_ANY);
        cr_assert(passes(filter, header, at, 20));
        cr_assert_str_eq(fact_of(filter, FACT_CERTIFICATE_CN), i == 2 ? odd[i] : "");
        filter->verbs->release(filter);
    }
    static const uint8_t filler[5000];
    char address[128];
    size_t at = tlv(head(0x21, 0x11, FOUR, 12), 0x02, "mqtt.example", 12);
    header[at - 13] = 13; /* longer than what there is */
    cr_assert_not(v2_passes(at, at, address));
    at = tlv(head(0x21, 0x11, FOUR, 12), 0x20, ssl, 4);
    cr_assert_not(v2_passes(at, at, address));
    ssl[7] = 60;
    at = tlv(head(0x21, 0x11, FOUR, 12), 0x20, ssl, 22);
    cr_assert_not(v2_passes(at, at, address));
    at = tlv(head(0x21, 0x11, FOUR, 12), 0x04, filler, 4050);
    cr_assert(v2_passes(at, 100, address));
    at = tlv(head(0x21, 0x11, FOUR, 12), 0x04, filler, 4070);
    cr_assert_not(v2_passes(at, 100, address));
}

Test(proxy, version_2_checksum)
{
    char address[128];
    static const uint8_t sound[4] = {0x00, 0x00, 0x00, 0x00};
    size_t at = tlv(head(0x21, 0x11, FOUR, 12), 0x03, sound, 4);
    uint32_t crc = 0xffffffff; /* the definition, bit by bit */
    for (size_t i = 0; i < at * 8; i++) {
        uint32_t bit = header[i / 8] >> (i % 8) & 1;
        crc = (crc ^ bit) & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++)
        header[at - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    cr_assert(v2_passes(at, at, address));
    header[at - 1] ^= 1;
    cr_assert_not(v2_passes(at, at, address));
}

Test(proxy, only_the_versions_agreed)
{
    struct filter *filter = proxy_create(PROXY_V1);
    cr_assert_not(passes(filter, header, head(0x21, 0x11, FOUR, 12), 100));
    filter->verbs->release(filter);
    filter = proxy_create(PROXY_V2);
    cr_assert_not(passes(filter, lines[0].line, strlen(lines[0].line), 100));
    filter->verbs->release(filter);
}
