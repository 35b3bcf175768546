#include "tls/certificate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/memory.h"
#include "tls/der.h"

/* ---- texts -------------------------------------------------------------------------------------------------------- */

#define TEXT_BYTES_MAX 1024

struct text {
    size_t bytes;
    bool bad; /* too long, or a character that has no place in a name */
    char data[TEXT_BYTES_MAX];
};

static void put(struct text *text, const char *bytes, size_t count)
{
    if (text->bytes + count > sizeof text->data) {
        text->bad = true;
        return;
    }
    memcpy(text->data + text->bytes, bytes, count);
    text->bytes += count;
}

static void put_string(struct text *text, const char *string)
{
    put(text, string, strlen(string));
}

static void put_character(struct text *text, uint32_t character)
{
    char bytes[4];
    if (character < ' ' || (character >= 0x7F && character < 0xA0) || (character >= 0xD800 && character < 0xE000) ||
        character > 0x10FFFF) {
        text->bad = true;
    } else if (character < 0x80) {
        bytes[0] = (char)character;
        put(text, bytes, 1);
    } else if (character < 0x800) {
        bytes[0] = (char)(0xC0 | character >> 6);
        bytes[1] = (char)(0x80 | (character & 0x3F));
        put(text, bytes, 2);
    } else if (character < 0x10000) {
        bytes[0] = (char)(0xE0 | character >> 12);
        bytes[1] = (char)(0x80 | (character >> 6 & 0x3F));
        bytes[2] = (char)(0x80 | (character & 0x3F));
        put(text, bytes, 3);
    } else {
        bytes[0] = (char)(0xF0 | character >> 18);
        bytes[1] = (char)(0x80 | (character >> 12 & 0x3F));
        bytes[2] = (char)(0x80 | (character >> 6 & 0x3F));
        bytes[3] = (char)(0x80 | (character & 0x3F));
        put(text, bytes, 4);
    }
}

/* One character of UTF-8; shortest form only. 0: malformed. */
static uint32_t take_utf8(struct span *rest)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = rest->data[0];
    size_t bytes = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    if (bytes == 0 || rest->bytes < bytes) return 0;
    uint32_t character = bytes == 1 ? first : first & (0x7Fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if (rest->data[i] >> 6 != 2) return 0;
        character = character << 6 | (rest->data[i] & 0x3F);
    }
    *rest = span_skip(*rest, bytes);
    return character < smallest[bytes] ? 0 : character;
}

/* A string of whatever ASN.1 type. */
static void put_element(struct text *text, const struct der_element *element)
{
    struct span rest = element->content;
    size_t width = element->tag == DER_BMP ? 2 : element->tag == DER_UNIVERSAL ? 4 : 1;
    bool utf8 = element->tag == DER_UTF8;
    bool ascii = element->tag == DER_PRINTABLE || element->tag == DER_IA5 || element->tag == DER_NUMERIC ||
                 element->tag == DER_VISIBLE || element->tag == DER_T61;
    if ((!utf8 && !ascii && width == 1) || rest.bytes % width) text->bad = true;
    while (rest.bytes && !text->bad) {
        uint32_t character = 0;
        if (utf8) {
            character = take_utf8(&rest);
        } else {
            for (size_t i = 0; i < width; i++)
                character = character << 8 | rest.data[i];
            rest = span_skip(rest, width);
            if (ascii && character > 0x7E) character = 0;
        }
        put_character(text, character);
    }
}

static char *text_copy(const struct text *text)
{
    return text->bad || text->bytes == 0 ? NULL : memory_copy_string(span_of(text->data, text->bytes));
}

/* ---- the subject -------------------------------------------------------------------------------------------------- */

static const struct {
    struct span oid;
    const char *name;
} attributes[] = {
    {SPAN_LITERAL("\x55\x04\x03"), "CN"},
    {SPAN_LITERAL("\x55\x04\x07"), "L"},
    {SPAN_LITERAL("\x55\x04\x08"), "ST"},
    {SPAN_LITERAL("\x55\x04\x0A"), "O"},
    {SPAN_LITERAL("\x55\x04\x0B"), "OU"},
    {SPAN_LITERAL("\x55\x04\x06"), "C"},
    {SPAN_LITERAL("\x55\x04\x09"), "street"},
    {SPAN_LITERAL("\x55\x04\x05"), "serialNumber"},
    {SPAN_LITERAL("\x09\x92\x26\x89\x93\xF2\x2C\x64\x01\x19"), "DC"},
    {SPAN_LITERAL("\x09\x92\x26\x89\x93\xF2\x2C\x64\x01\x01"), "UID"},
    {SPAN_LITERAL("\x2A\x86\x48\x86\xF7\x0D\x01\x09\x01"), "emailAddress"},
};

static void put_oid(struct text *text, struct span oid)
{
    uint64_t number = 0;
    bool first = true;
    for (size_t i = 0; i < oid.bytes; i++) {
        char part[48];
        number = number << 7 | (oid.data[i] & 0x7F);
        if (number > UINT32_MAX) text->bad = true;
        if (oid.data[i] & 0x80) continue;
        if (first)
            snprintf(part, sizeof part, "%u.%u", number < 80 ? (unsigned)number / 40 : 2u,
                     number < 80 ? (unsigned)number % 40 : (unsigned)number - 80);
        else
            snprintf(part, sizeof part, ".%u", (unsigned)number);
        put_string(text, part);
        number = 0;
        first = false;
    }
}

/* RFC 4514 §2.4: what needs a backslash. */
static void put_escaped(struct text *text, const struct text *value)
{
    for (size_t i = 0; i < value->bytes; i++) {
        char byte = value->data[i];
        bool edge_blank = byte == ' ' && (i == 0 || i == value->bytes - 1);
        if (strchr(",+\"\\<>;", byte) || edge_blank || (byte == '#' && i == 0)) put(text, "\\", 1);
        put(text, &byte, 1);
    }
}

/* "CN=sensor-7" of one AttributeTypeAndValue. */
static void put_attribute(struct text *text, struct span attribute, struct text *common_name)
{
    struct der_element oid, value;
    if (!der_next_is(&attribute, DER_OID, &oid) || !der_next(&attribute, &value)) {
        text->bad = true;
        return;
    }
    const char *name = NULL;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0] && !name; i++)
        if (span_equal(attributes[i].oid, oid.content)) name = attributes[i].name;
    struct text string = {.bytes = 0};
    put_element(&string, &value);
    if (name && strcmp(name, "CN") == 0 && common_name->bytes == 0 && !common_name->bad) *common_name = string;
    if (name && !string.bad) {
        put_string(text, name);
        put(text, "=", 1);
        put_escaped(text, &string);
        return;
    }
    put_oid(text, oid.content);
    put(text, "=#", 2);
    for (size_t i = 0; i < value.whole.bytes; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", value.whole.data[i]);
        put(text, hex, 2);
    }
}

#define RDNS_MAX 32

static void read_subject(struct span subject, struct certificate_names *names)
{
    struct span sets[RDNS_MAX];
    uint32_t count = 0;
    struct der_element element;
    struct text text = {.bytes = 0}, common_name = {.bytes = 0};
    while (der_next_is(&subject, DER_SET, &element)) {
        if (count == RDNS_MAX) return;
        sets[count++] = element.content;
    }
    /* The first CN in the certificate's order; the text in the reverse one. */
    for (uint32_t i = 0; i < count; i++) {
        struct span set = sets[i];
        struct text unused = {.bytes = 0};
        while (der_next_is(&set, DER_SEQUENCE, &element))
            put_attribute(&unused, element.content, &common_name);
    }
    for (uint32_t i = count; i-- > 0;) {
        struct text unused = {.bytes = 1};
        bool several = false;
        if (text.bytes) put(&text, ",", 1);
        while (der_next_is(&sets[i], DER_SEQUENCE, &element)) {
            if (several) put(&text, "+", 1);
            put_attribute(&text, element.content, &unused);
            several = true;
        }
    }
    names->common_name = text_copy(&common_name);
    names->subject = text_copy(&text);
}

/* ---- the other parts ---------------------------------------------------------------------------------------------- */

enum { SAN_EMAIL = 0x81, SAN_DNS = 0x82, SAN_URI = 0x86, SAN_ADDRESS = 0x87 };

static void add_address(struct span address, struct certificate_names *names)
{
    if ((address.bytes != 4 && address.bytes != 16) || names->addresses_count == CERTIFICATE_ADDRESSES_MAX) return;
    memcpy(names->addresses[names->addresses_count], address.data, address.bytes);
    names->address_bytes[names->addresses_count++] = (uint8_t)address.bytes;
}

static void read_alternative_names(struct span extension, struct certificate_names *names)
{
    struct der_element list, name;
    if (!der_next_is(&extension, DER_SEQUENCE, &list)) return;
    while (der_next(&list.content, &name)) {
        if (name.tag == SAN_ADDRESS) add_address(name.content, names);
        if (name.tag != SAN_EMAIL && name.tag != SAN_DNS && name.tag != SAN_URI) continue;
        struct text text = {.bytes = 0};
        struct der_element string = name;
        string.tag = DER_IA5;
        put_element(&text, &string);
        char *copy = text_copy(&text);
        if (!copy) continue;
        if (!names->alternative) names->alternative = memory_copy_string(span_of_string(copy));
        if (name.tag == SAN_DNS && names->dns_count < CERTIFICATE_DNS_MAX) {
            for (char *byte = copy; *byte; byte++)
                if (*byte >= 'A' && *byte <= 'Z') *byte = (char)(*byte + 32);
            names->dns[names->dns_count++] = copy;
        } else {
            memory_release(copy);
        }
    }
}

static void read_extensions(struct span rest, struct certificate_names *names)
{
    static const struct span alternative_names = SPAN_LITERAL("\x55\x1D\x11");
    struct der_element tagged, list, extension, oid, value;
    while (der_next(&rest, &tagged)) {
        if (tagged.tag != 0xA3 || !der_next_is(&tagged.content, DER_SEQUENCE, &list)) continue;
        while (der_next_is(&list.content, DER_SEQUENCE, &extension)) {
            if (!der_next_is(&extension.content, DER_OID, &oid) || !span_equal(oid.content, alternative_names)) continue;
            if (!der_next(&extension.content, &value)) continue;
            if (value.tag == DER_BOOLEAN && !der_next(&extension.content, &value)) continue;
            if (value.tag == DER_OCTET_STRING) read_alternative_names(value.content, names);
        }
    }
}

static void read_key(struct span key, struct certificate_names *names)
{
    static const struct span rsa = SPAN_LITERAL("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01"),
                             ec = SPAN_LITERAL("\x2A\x86\x48\xCE\x3D\x02\x01"), ed25519 = SPAN_LITERAL("\x2B\x65\x70"),
                             p256 = SPAN_LITERAL("\x2A\x86\x48\xCE\x3D\x03\x01\x07"),
                             p384 = SPAN_LITERAL("\x2B\x81\x04\x00\x22"), p521 = SPAN_LITERAL("\x2B\x81\x04\x00\x23");
    struct der_element algorithm, oid, curve, bits, numbers, modulus;
    if (!der_next_is(&key, DER_SEQUENCE, &algorithm) || !der_next_is(&algorithm.content, DER_OID, &oid)) return;
    if (span_equal(oid.content, ed25519)) names->key = CERTIFICATE_KEY_ED25519;
    if (span_equal(oid.content, ec) && der_next_is(&algorithm.content, DER_OID, &curve)) {
        if (span_equal(curve.content, p256)) names->key = CERTIFICATE_KEY_EC_256;
        if (span_equal(curve.content, p384)) names->key = CERTIFICATE_KEY_EC_384;
        if (span_equal(curve.content, p521)) names->key = CERTIFICATE_KEY_EC_521;
    }
    if (!span_equal(oid.content, rsa)) return;
    names->key = CERTIFICATE_KEY_RSA;
    if (!der_next_is(&key, DER_BIT_STRING, &bits) || bits.content.bytes < 1) return;
    struct span inside = span_skip(bits.content, 1);
    if (!der_next_is(&inside, DER_SEQUENCE, &numbers) || !der_next_is(&numbers.content, DER_INTEGER, &modulus)) return;
    struct span digits = modulus.content;
    while (digits.bytes && digits.data[0] == 0)
        digits = span_skip(digits, 1);
    names->key_bits = (uint32_t)digits.bytes * 8;
}

static int number_of(const char *digits, size_t count)
{
    int number = 0;
    for (size_t i = 0; i < count; i++)
        number = number * 10 + digits[i] - '0';
    return number;
}

/* "YYMMDD…Z" or "YYYYMMDD…Z" (RFC 5280 §4.1.2.5). */
static void read_expiry(struct span validity, struct certificate_names *names)
{
    struct der_element from, until;
    if (!der_next(&validity, &from) || !der_next(&validity, &until)) return;
    struct span digits = until.content;
    size_t year_digits = until.tag == DER_UTC_TIME ? 2 : 4;
    if ((until.tag != DER_UTC_TIME && until.tag != DER_TIME) || digits.bytes < year_digits + 4) return;
    for (size_t i = 0; i < year_digits + 4; i++)
        if (digits.data[i] < '0' || digits.data[i] > '9') return;
    struct tm until_day = {0};
    const char *text = (const char *)digits.data;
    int year = year_digits == 4 ? number_of(text, 4) : number_of(text, 2) + (text[0] < '5' ? 2000 : 1900);
    until_day.tm_year = year - 1900;
    until_day.tm_mon = number_of(text + year_digits, 2) - 1;
    until_day.tm_mday = number_of(text + year_digits + 2, 2);
    names->expires_s = timegm(&until_day);
    snprintf(names->expires, sizeof names->expires, "%04d-%02d-%02d", year, until_day.tm_mon + 1, until_day.tm_mday);
}

/* The parts up to the public key, and what follows them. */
static bool take_apart(struct span der, struct der_element *ret_validity, struct der_element *ret_subject, struct der_element *ret_key,
                       struct span *ret_rest)
{
    struct der_element certificate, tbs, part;
    if (!der_next_is(&der, DER_SEQUENCE, &certificate) || !der_next_is(&certificate.content, DER_SEQUENCE, &tbs)) return false;
    *ret_rest = tbs.content;
    if (!der_next(ret_rest, &part)) return false;
    if (part.tag == 0xA0 && !der_next(ret_rest, &part)) return false;         /* version, then the serial number */
    if (!der_next(ret_rest, &part) || !der_next(ret_rest, &part)) return false; /* signature algorithm, issuer */
    return der_next_is(ret_rest, DER_SEQUENCE, ret_validity) && der_next_is(ret_rest, DER_SEQUENCE, ret_subject) &&
           der_next_is(ret_rest, DER_SEQUENCE, ret_key);
}

bool certificate_read(struct span der, struct certificate_names *ret_names)
{
    *ret_names = (struct certificate_names){0};
    struct der_element validity, subject, key;
    struct span rest;
    if (!take_apart(der, &validity, &subject, &key, &rest)) return false;
    ret_names->expires_s = INT64_MAX;
    read_expiry(validity.content, ret_names);
    read_subject(subject.content, ret_names);
    read_key(key.content, ret_names);
    read_extensions(rest, ret_names);
    return true;
}

struct span certificate_public_key(struct span der)
{
    struct der_element validity, subject, key, algorithm, bits;
    struct span rest;
    bool found = take_apart(der, &validity, &subject, &key, &rest) && der_next_is(&key.content, DER_SEQUENCE, &algorithm) &&
                 der_next_is(&key.content, DER_BIT_STRING, &bits) && bits.content.bytes > 1;
    return found ? span_skip(bits.content, 1) : span_of(NULL, 0);
}

void certificate_release(struct certificate_names *names)
{
    memory_release(names->common_name);
    memory_release(names->subject);
    memory_release(names->alternative);
    for (uint32_t i = 0; i < names->dns_count; i++)
        memory_release(names->dns[i]);
    *names = (struct certificate_names){0};
}

static bool matches(const char *pattern, const char *host)
{
    if (strncmp(pattern, "*.", 2) != 0) return strcasecmp(pattern, host) == 0;
    const char *dot = strchr(host, '.');
    return dot && dot != host && strchr(pattern + 2, '.') && strcasecmp(pattern + 1, dot) == 0;
}

static bool has_address(const struct certificate_names *names, const uint8_t *address, size_t bytes)
{
    for (uint32_t i = 0; i < names->addresses_count; i++)
        if (names->address_bytes[i] == bytes && memcmp(names->addresses[i], address, bytes) == 0) return true;
    return false;
}

bool certificate_is_for(const struct certificate_names *names, const char *host)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, host, address) == 1) return has_address(names, address, 4);
    if (inet_pton(AF_INET6, host, address) == 1) return has_address(names, address, 16);
    for (uint32_t i = 0; i < names->dns_count; i++)
        if (matches(names->dns[i], host)) return true;
    return names->dns_count == 0 && names->common_name && matches(names->common_name, host);
}

const char *certificate_key_name(enum certificate_key key)
{
    static const char *const words[] = {"other", "rsa", "ecdsa-256", "ecdsa-384", "ecdsa-521", "ed25519"};
    return words[key];
}
