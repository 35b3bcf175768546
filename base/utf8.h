/* utf8.h - is a text well-formed UTF-8 (Unicode 15, Table 3-7)? For the few texts that come in by other ways than MQTT packets, whose strings
 * proto/utf8.h looks at: byte by byte, not fast. Zero bytes and control characters are characters like others here.
 *
 * Threads: a function of its arguments. */
#ifndef RINGMQ_BASE_UTF8_H
#define RINGMQ_BASE_UTF8_H

#include "base/span.h"

static inline bool utf8_sound(struct span text)
{
    for (size_t i = 0; i < text.bytes;) {
        uint8_t first = text.data[i];
        size_t more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 9;
        if (more == 9 || i + more >= text.bytes) return false;
        uint32_t point = more == 0 ? first : first & (0x3fu >> more);
        for (size_t j = 1; j <= more; j++) {
            if ((text.data[i + j] & 0xc0) != 0x80) return false;
            point = point << 6 | (text.data[i + j] & 0x3f);
        }
        bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
        if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
        i += more + 1;
    }
    return true;
}

/* The same, and it has no control character: what a name is made of. */
static inline bool utf8_is_name(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] < ' ' || text.data[i] == 0x7f) return false;
    return utf8_sound(text);
}

#endif
