/* regex_parse.c - see regex_nodes.h: the expression by recursive descent, characters as sequences of UTF-8's bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/regex_nodes.h"

#define RANGES_MAX  256
#define DEPTH_MAX   50
#define REPEATS_MAX 255
#define CODES_END   0x10FFFFu

struct fragment {
    uint16_t first, last; /* last: an EMPTY whose next is still open */
};

struct range {
    uint32_t low, high;
};

struct ranges {
    struct range all[RANGES_MAX];
    uint32_t count;
};

struct parser {
    struct span text;
    size_t at;
    bool fold;
    int depth;
    struct regex_nodes *nodes;
    const char *wrong; /* the first thing that is */
    size_t wrong_at;
};

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void fail(struct parser *parser, const char *what)
{
    if (parser->wrong) return;
    parser->wrong = what;
    parser->wrong_at = parser->at;
}

static uint16_t node_add(struct parser *parser, struct regex_node node)
{
    if (parser->nodes->count == REGEX_NODES_MAX) {
        fail(parser, "the expression is too large");
        return 0;
    }
    parser->nodes->all[parser->nodes->count] = node;
    return (uint16_t)parser->nodes->count++;
}

static uint16_t empty_add(struct parser *parser) { return node_add(parser, (struct regex_node){.kind = NODE_EMPTY, .next = REGEX_NONE}); }

static struct fragment nothing(struct parser *parser)
{
    uint16_t one = empty_add(parser);
    return (struct fragment){one, one};
}

static struct fragment then(struct parser *parser, struct fragment first, struct fragment second)
{
    parser->nodes->all[first.last].next = second.first;
    return (struct fragment){first.first, second.last};
}

static struct fragment either(struct parser *parser, struct fragment one, struct fragment other)
{
    uint16_t end = empty_add(parser);
    parser->nodes->all[one.last].next = parser->nodes->all[other.last].next = end;
    return (struct fragment){node_add(parser, (struct regex_node){.kind = NODE_SPLIT, .next = one.first, .other = other.first}), end};
}

static struct fragment any_number(struct parser *parser, struct fragment one, bool at_least_once)
{
    uint16_t end = empty_add(parser), split = node_add(parser, (struct regex_node){.kind = NODE_SPLIT, .next = one.first, .other = end});
    parser->nodes->all[one.last].next = split;
    return (struct fragment){at_least_once ? one.first : split, end};
}

static struct fragment special(struct parser *parser, enum regex_node_kind kind)
{
    uint16_t end = empty_add(parser);
    return (struct fragment){node_add(parser, (struct regex_node){.kind = (uint8_t)kind, .next = end}), end};
}

/* ---- characters ------------------------------------------------------------------------------------------------- */

static void range_add(struct parser *parser, struct ranges *ranges, uint32_t low, uint32_t high)
{
    if (ranges->count == RANGES_MAX) return fail(parser, "too many ranges in one [ ]");
    ranges->all[ranges->count++] = (struct range){low, high};
}

static int by_low(const void *a, const void *b)
{
    uint32_t left = ((const struct range *)a)->low, right = ((const struct range *)b)->low;
    return left < right ? -1 : left > right;
}

/* (?i): the other case of what is an ASCII letter. */
static void fold(struct parser *parser, struct ranges *ranges)
{
    for (uint32_t i = 0, count = ranges->count; parser->fold && i < count; i++)
        for (uint32_t c = ranges->all[i].low; c <= ranges->all[i].high && c < 128; c++)
            if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') range_add(parser, ranges, c ^ 0x20, c ^ 0x20);
}

static void merge(struct ranges *ranges)
{
    uint32_t kept = 0;
    if (ranges->count) qsort(ranges->all, ranges->count, sizeof ranges->all[0], by_low);
    for (uint32_t i = 0; i < ranges->count; i++) {
        struct range one = ranges->all[i];
        if (kept && one.low <= ranges->all[kept - 1].high + 1) {
            if (one.high > ranges->all[kept - 1].high) ranges->all[kept - 1].high = one.high;
        } else {
            ranges->all[kept++] = one;
        }
    }
    ranges->count = kept;
}

/* Merged before. */
static void negate(struct parser *parser, struct ranges *ranges)
{
    struct ranges others = {.count = 0};
    uint32_t from = 0;
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (ranges->all[i].low > from) range_add(parser, &others, from, ranges->all[i].low - 1);
        from = ranges->all[i].high + 1;
    }
    if (from <= CODES_END) range_add(parser, &others, from, CODES_END);
    *ranges = others;
}

static uint32_t encode(uint32_t code, uint8_t ret_bytes[4])
{
    if (code < 0x80) return ret_bytes[0] = (uint8_t)code, 1;
    uint32_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (uint32_t i = count; i-- > 1; code >>= 6)
        ret_bytes[i] = (uint8_t)(0x80 | (code & 0x3F));
    ret_bytes[0] = (uint8_t)((0xF00 >> count & 0xFF) | code);
    return count;
}

/* Codes of one length whose bytes are a range each, as a chain of nodes, beside what there is already. */
static void chain_add(struct parser *parser, uint32_t low, uint32_t high, struct fragment *all)
{
    uint8_t from[4], to[4];
    uint32_t count = encode(low, from);
    encode(high, to);
    struct fragment chain = nothing(parser);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t end = empty_add(parser);
        uint16_t byte = node_add(parser, (struct regex_node){.kind = NODE_BYTES, .low = from[i], .high = to[i], .next = end});
        chain = then(parser, chain, (struct fragment){byte, end});
    }
    *all = all->first == REGEX_NONE ? chain : either(parser, *all, chain);
}

/* Cut where the number of bytes changes, and where a following byte would not go through its whole range. */
static void codes_add(struct parser *parser, uint32_t low, uint32_t high, struct fragment *all)
{
    static const uint32_t ends[] = {0x7F, 0x7FF, 0xFFFF};
    if (parser->wrong) return;
    for (int i = 0; i < 3; i++)
        if (low <= ends[i] && high > ends[i]) {
            codes_add(parser, low, ends[i], all);
            return codes_add(parser, ends[i] + 1, high, all);
        }
    for (uint32_t shift = 6; high >= 0x80 && shift < 24; shift += 6) {
        uint32_t mask = (1u << shift) - 1;
        if ((low & ~mask) == (high & ~mask)) break;
        if (low & mask) {
            codes_add(parser, low, low | mask, all);
            return codes_add(parser, (low | mask) + 1, high, all);
        }
        if ((high & mask) != mask) {
            codes_add(parser, low, (high & ~mask) - 1, all);
            return codes_add(parser, high & ~mask, high, all);
        }
    }
    chain_add(parser, low, high, all);
}

static struct fragment of_ranges(struct parser *parser, struct ranges *ranges, bool negated)
{
    struct fragment all = {REGEX_NONE, REGEX_NONE};
    fold(parser, ranges);
    merge(ranges);
    if (negated) negate(parser, ranges);
    for (uint32_t i = 0; i < ranges->count; i++)
        codes_add(parser, ranges->all[i].low, ranges->all[i].high, &all);
    if (all.first != REGEX_NONE) return all;
    fail(parser, "that matches no character at all");
    return nothing(parser);
}

/* ---- the expression --------------------------------------------------------------------------------------------- */

static int peek(const struct parser *parser) { return parser->at < parser->text.bytes ? parser->text.data[parser->at] : -1; }

/* A character of the expression as its code. */
static uint32_t code_next(struct parser *parser)
{
    uint32_t first = parser->text.data[parser->at++], more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
    if (first < 0x80) return first;
    uint32_t code = first & (0x3Fu >> more);
    for (uint32_t i = 0; i < more; i++, parser->at++) {
        if (peek(parser) < 0 || (peek(parser) & 0xC0) != 0x80) return fail(parser, "that is no UTF-8"), 0;
        code = code << 6 | ((uint32_t)peek(parser) & 0x3F);
    }
    if (!more || code > CODES_END) fail(parser, "that is no UTF-8");
    return code;
}

static bool class_add(struct parser *parser, int letter, struct ranges *ranges)
{
    struct ranges some = {.count = 0};
    switch (letter | 0x20) {
    case 'd': range_add(parser, &some, '0', '9'); break;
    case 'w':
        range_add(parser, &some, '0', '9');
        range_add(parser, &some, 'A', 'Z');
        range_add(parser, &some, '_', '_');
        range_add(parser, &some, 'a', 'z');
        break;
    case 's':
        range_add(parser, &some, '\t', '\r');
        range_add(parser, &some, ' ', ' ');
        break;
    default: return false;
    }
    if (!(letter & 0x20)) negate(parser, &some);
    for (uint32_t i = 0; i < some.count; i++)
        range_add(parser, ranges, some.all[i].low, some.all[i].high);
    return true;
}

static int hex(int c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* Behind the backslash: a class into ranges (true), or one character. */
static bool escape_take(struct parser *parser, struct ranges *ranges, uint32_t *ret_code)
{
    static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
    int letter = peek(parser);
    *ret_code = 0;
    if (letter < 0) return fail(parser, "a \\ at the end"), false;
    if (letter >= 0x80) return *ret_code = code_next(parser), false;
    parser->at++;
    if (class_add(parser, letter, ranges)) return true;
    const char *known = strchr(from, letter);
    *ret_code = known && letter ? (uint32_t)to[known - from] : (uint32_t)letter;
    if (known && letter) return false;
    if (letter == 'x') {
        int high = hex(peek(parser)), low = high < 0 || parser->at + 1 >= parser->text.bytes ? -1 : hex(parser->text.data[parser->at + 1]);
        if (low < 0) return fail(parser, "\\x wants two digits"), false;
        parser->at += 2;
        *ret_code = (uint32_t)(high << 4 | low);
        return false;
    }
    bool word = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9');
    if (word) fail(parser, "there is no such \\: back references, \\b and \\p are not spoken here");
    return false;
}

static struct fragment bracket(struct parser *parser)
{
    struct ranges ranges = {.count = 0};
    bool negated = peek(parser) == '^';
    parser->at += negated;
    for (bool first = true; !parser->wrong && (peek(parser) != ']' || first); first = false) {
        uint32_t low, high;
        if (peek(parser) < 0) break;
        if (peek(parser) == '[' && parser->at + 1 < parser->text.bytes && parser->text.data[parser->at + 1] == ':') fail(parser, "write \\d, \\w, \\s in place of [:digit:] and so on");
        bool escaped = peek(parser) == '\\';
        parser->at += escaped;
        if (escaped && escape_take(parser, &ranges, &low)) continue;
        if (!escaped) low = code_next(parser);
        high = low;
        bool is_range = peek(parser) == '-' && parser->at + 1 < parser->text.bytes && parser->text.data[parser->at + 1] != ']';
        if (is_range) {
            parser->at++;
            escaped = peek(parser) == '\\';
            parser->at += escaped;
            if (escaped && escape_take(parser, &ranges, &high)) fail(parser, "a range has a character at both ends");
            if (!escaped) high = code_next(parser);
            if (high < low) fail(parser, "the range ends before it begins");
        }
        range_add(parser, &ranges, low, high);
    }
    if (peek(parser) != ']') return fail(parser, "the [ is not closed"), nothing(parser);
    parser->at++;
    return parser->wrong ? nothing(parser) : of_ranges(parser, &ranges, negated);
}

static struct fragment alternatives(struct parser *parser);

static struct fragment atom(struct parser *parser)
{
    struct ranges ranges = {.count = 0};
    uint32_t code;
    int c = peek(parser);
    if (c == '(') {
        parser->at++;
        if (peek(parser) == '?') {
            bool plain = parser->at + 1 < parser->text.bytes && parser->text.data[parser->at + 1] == ':';
            if (!plain) return fail(parser, "of (? there is only (?: and, at the beginning, (?i)"), nothing(parser);
            parser->at += 2;
        }
        if (++parser->depth > DEPTH_MAX) return fail(parser, "too many ( within each other"), nothing(parser);
        struct fragment inner = alternatives(parser);
        parser->depth--;
        if (peek(parser) != ')') return fail(parser, "the ( is not closed"), nothing(parser);
        parser->at++;
        return inner;
    }
    if (c == '*' || c == '+' || c == '?' || c == '{') return fail(parser, "there is nothing that could be repeated"), nothing(parser);
    if (c == '[') return parser->at++, bracket(parser);
    if (c == '^') return parser->at++, special(parser, NODE_BEGIN);
    if (c == '$') return parser->at++, special(parser, NODE_END);
    if (c == '.') {
        parser->at++;
        range_add(parser, &ranges, '\n', '\n');
        return of_ranges(parser, &ranges, true);
    }
    if (c == '\\') {
        parser->at++;
        if (!escape_take(parser, &ranges, &code)) range_add(parser, &ranges, code, code);
    } else {
        code = code_next(parser);
        range_add(parser, &ranges, code, code);
    }
    return parser->wrong ? nothing(parser) : of_ranges(parser, &ranges, false);
}

static uint32_t number_take(struct parser *parser)
{
    uint32_t number = 0;
    if (peek(parser) < '0' || peek(parser) > '9') fail(parser, "{ } holds one or two numbers; a { by itself is \\{");
    for (; peek(parser) >= '0' && peek(parser) <= '9' && number <= REPEATS_MAX; parser->at++)
        number = number * 10 + (uint32_t)(peek(parser) - '0');
    if (number > REPEATS_MAX) fail(parser, "more than 255 repetitions");
    return number;
}

/* What is repeated is read once more for each copy. */
static struct fragment again(struct parser *parser, size_t from)
{
    size_t back = parser->at;
    parser->at = from;
    struct fragment copy = atom(parser);
    parser->at = back;
    return copy;
}

static struct fragment repeat_counted(struct parser *parser, struct fragment first, size_t from)
{
    uint32_t least = number_take(parser), most = least;
    bool open = false;
    if (peek(parser) == ',') {
        parser->at++;
        open = peek(parser) == '}';
        if (!open) most = number_take(parser);
    }
    if (peek(parser) != '}' || (!open && most < least)) fail(parser, "{ } is {m}, {m,} or {m,n}");
    parser->at++;
    struct fragment all = least ? first : nothing(parser);
    for (uint32_t i = 1; i < least && !parser->wrong; i++)
        all = then(parser, all, again(parser, from));
    if (open) return then(parser, all, any_number(parser, again(parser, from), false));
    for (uint32_t i = least; i < most && !parser->wrong; i++)
        all = then(parser, all, either(parser, again(parser, from), nothing(parser)));
    return all;
}

static struct fragment repeated(struct parser *parser)
{
    size_t from = parser->at;
    struct fragment one = atom(parser);
    for (bool any = false; !parser->wrong; any = true) {
        int c = peek(parser);
        if (c != '*' && c != '+' && c != '?' && c != '{') break;
        if (any) return fail(parser, "a repetition of a repetition: put ( ) around it"), one;
        parser->at++;
        if (c == '{') one = repeat_counted(parser, one, from);
        if (c == '?') one = either(parser, one, nothing(parser));
        if (c == '*' || c == '+') one = any_number(parser, one, c == '+');
        if (peek(parser) == '?') parser->at++; /* lazy: the same strings */
        if (peek(parser) == '+') fail(parser, "there are no possessive repetitions");
    }
    return one;
}

static struct fragment alternatives(struct parser *parser)
{
    struct fragment all = {REGEX_NONE, REGEX_NONE};
    do {
        if (all.first != REGEX_NONE) parser->at++; /* | */
        struct fragment one = nothing(parser);
        while (!parser->wrong && peek(parser) >= 0 && peek(parser) != '|' && peek(parser) != ')')
            one = then(parser, one, repeated(parser));
        all = all.first == REGEX_NONE ? one : either(parser, all, one);
    } while (!parser->wrong && peek(parser) == '|');
    return all;
}

/* ---- outside ---------------------------------------------------------------------------------------------------- */

bool regex_parse(struct span pattern, struct regex_nodes *ret_nodes, char *ret_error, size_t error_bytes)
{
    struct parser parser = {.text = pattern, .nodes = ret_nodes};
    ret_nodes->count = 0;
    if (pattern.bytes > REGEX_BYTES_MAX) fail(&parser, "more than 1,024 bytes");
    if (span_starts_with(pattern, SPAN_LITERAL("(?i)"))) parser.fold = true, parser.at = 4;
    struct fragment all = parser.wrong ? nothing(&parser) : alternatives(&parser);
    if (!parser.wrong && parser.at < pattern.bytes) fail(&parser, "a ) too many");
    ret_nodes->first = all.first;
    ret_nodes->all[all.last].next = node_add(&parser, (struct regex_node){.kind = NODE_MATCH, .next = REGEX_NONE});
    if (parser.wrong) snprintf(ret_error, error_bytes, "%s (at byte %zu)", parser.wrong, parser.wrong_at + 1);
    return !parser.wrong;
}
