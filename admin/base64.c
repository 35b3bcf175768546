#include "admin/base64.h"

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct span text, uint8_t *ret_bytes, size_t room, size_t *ret_count)
{
    size_t count = 0, pads = 0;
    if (text.bytes % 4) return false;
    while (pads < 2 && text.bytes && text.data[text.bytes - 1] == '=') {
        text.bytes--;
        pads++;
    }
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        int value = value_of(text.data[i]);
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        if (count == room) return false;
        ret_bytes[count++] = (uint8_t)(bits >> held);
    }
    *ret_count = count;
    return true;
}
