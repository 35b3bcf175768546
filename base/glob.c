#include "base/glob.h"

bool glob_matches(struct span pattern, struct span text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
    while (t < text.bytes) {
        if (p < pattern.bytes && pattern.data[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.bytes && pattern.data[p] == '?') {
            p++;
            for (t++; t < text.bytes && (text.data[t] & 0xC0) == 0x80;)
                t++;
        } else if (p < pattern.bytes && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.bytes && pattern.data[p] == '*')
        p++;
    return p == pattern.bytes;
}
