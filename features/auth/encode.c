/* encode.c - see encode.h. */
#include "features/auth/encode.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode(struct span bytes, const char *digits, bool padding, char *ret_text)
{
    size_t out = 0;
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t left = bytes.bytes - i;
        uint32_t three = (uint32_t)bytes.data[i] << 16;
        if (left > 1) three |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2) three |= bytes.data[i + 2];
        ret_text[out++] = digits[three >> 18];
        ret_text[out++] = digits[three >> 12 & 63];
        if (left > 1 || padding) ret_text[out++] = left > 1 ? digits[three >> 6 & 63] : '=';
        if (left > 2 || padding) ret_text[out++] = left > 2 ? digits[three & 63] : '=';
    }
    ret_text[out] = '\0';
    return out;
}

void b64_encode(struct span bytes, char *ret_text) { encode(bytes, standard, true, ret_text); }
void b64url_encode(struct span bytes, char *ret_text) { encode(bytes, url, false, ret_text); }

static int digit_of(uint8_t c, bool of_url)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == (of_url ? '-' : '+')) return 62;
    if (c == (of_url ? '_' : '/')) return 63;
    return -1;
}

/* `text` without padding. */
static bool decode(struct span text, bool of_url, uint8_t *ret_data, size_t room, size_t *ret_bytes)
{
    size_t bytes = text.bytes / 4 * 3 + (text.bytes % 4 ? text.bytes % 4 - 1 : 0), out = 0;
    if (text.bytes % 4 == 1 || bytes > room) return false;
    uint32_t bits = 0, count = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        int digit = digit_of(text.data[i], of_url);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        ret_data[out++] = (uint8_t)(bits >> count);
    }
    if (bits & ((1u << count) - 1)) return false; /* bits nobody reads must be 0 */
    *ret_bytes = out;
    return true;
}

bool b64_decode(struct span text, uint8_t *ret_data, size_t room, size_t *ret_bytes)
{
    if (text.bytes % 4) return false;
    for (int i = 0; i < 2 && text.bytes && text.data[text.bytes - 1] == '='; i++)
        text.bytes--;
    return decode(text, false, ret_data, room, ret_bytes);
}

bool b64url_decode(struct span text, uint8_t *ret_data, size_t room, size_t *ret_bytes)
{
    return decode(text, true, ret_data, room, ret_bytes);
}

void hex_encode(struct span bytes, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.bytes; i++) {
        *ret_text++ = digits[bytes.data[i] >> 4];
        *ret_text++ = digits[bytes.data[i] & 15];
    }
    *ret_text = '\0';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct span text, uint8_t *ret_data, size_t room, size_t *ret_bytes)
{
    if (text.bytes % 2 || text.bytes / 2 > room) return false;
    for (size_t i = 0; i < text.bytes; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0) return false;
        ret_data[i / 2] = (uint8_t)(high << 4 | low);
    }
    *ret_bytes = text.bytes / 2;
    return true;
}

bool secret_equal(struct span a, struct span b)
{
    if (a.bytes != b.bytes) return false;
    uint8_t difference = 0;
    for (size_t i = 0; i < a.bytes; i++)
        difference |= (uint8_t)(((const volatile uint8_t *)a.data)[i] ^ b.data[i]);
    return difference == 0;
}

void secret_wipe(void *data, size_t bytes)
{
    if (data) explicit_bzero(data, bytes);
}
