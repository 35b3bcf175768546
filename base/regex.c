/* regex.c - see regex.h. Expression → nodes (Thompson) → sets of nodes → table of states. */
#include "base/regex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define NODES_MAX   2048
#define STATES_MAX  1024
#define ENTRIES_MAX 65536 /* of the table: states times classes of bytes */
#define RANGES_MAX  256
#define DEPTH_MAX   50
#define REPEATS_MAX 255
#define CODES_END   0x10FFFFu
#define NONE        UINT16_MAX

enum node_kind { NODE_BYTES, NODE_EMPTY, NODE_SPLIT, NODE_BEGIN, NODE_END, NODE_MATCH };

struct node {
    uint8_t kind, low, high;
    uint16_t next, other;
};

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
    struct node nodes[NODES_MAX];
    uint32_t nodes_count;
    const char *wrong; /* the first thing that is */
    size_t wrong_at;
};

enum { STATE_ACCEPTS = 1, STATE_ACCEPTS_AT_END = 2, STATE_DEAD = 4 };

struct regex {
    uint32_t classes;
    uint8_t class_of[256];
    uint8_t flags[STATES_MAX];
    uint16_t next[]; /* state * classes + class */
};

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void fail(struct parser *parser, const char *what)
{
    if (parser->wrong) return;
    parser->wrong = what;
    parser->wrong_at = parser->at;
}

static uint16_t node_add(struct parser *parser, struct node node)
{
    if (parser->nodes_count == NODES_MAX) {
        fail(parser, "the expression is too large");
        return 0;
    }
    parser->nodes[parser->nodes_count] = node;
    return (uint16_t)parser->nodes_count++;
}

static uint16_t empty_add(struct parser *parser) { return node_add(parser, (struct node){.kind = NODE_EMPTY, .next = NONE}); }

static struct fragment nothing(struct parser *parser)
{
    uint16_t one = empty_add(parser);
    return (struct fragment){one, one};
}

static struct fragment then(struct parser *parser, struct fragment first, struct fragment second)
{
    parser->nodes[first.last].next = second.first;
    return (struct fragment){first.first, second.last};
}

static struct fragment either(struct parser *parser, struct fragment one, struct fragment other)
{
    uint16_t end = empty_add(parser);
    parser->nodes[one.last].next = parser->nodes[other.last].next = end;
    return (struct fragment){node_add(parser, (struct node){.kind = NODE_SPLIT, .next = one.first, .other = other.first}), end};
}

static struct fragment any_number(struct parser *parser, struct fragment one, bool at_least_once)
{
    uint16_t end = empty_add(parser), split = node_add(parser, (struct node){.kind = NODE_SPLIT, .next = one.first, .other = end});
    parser->nodes[one.last].next = split;
    return (struct fragment){at_least_once ? one.first : split, end};
}

static struct fragment special(struct parser *parser, enum node_kind kind)
{
    uint16_t end = empty_add(parser);
    return (struct fragment){node_add(parser, (struct node){.kind = (uint8_t)kind, .next = end}), end};
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
        uint16_t byte = node_add(parser, (struct node){.kind = NODE_BYTES, .low = from[i], .high = to[i], .next = end});
        chain = then(parser, chain, (struct fragment){byte, end});
    }
    *all = all->first == NONE ? chain : either(parser, *all, chain);
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
    struct fragment all = {NONE, NONE};
    fold(parser, ranges);
    merge(ranges);
    if (negated) negate(parser, ranges);
    for (uint32_t i = 0; i < ranges->count; i++)
        codes_add(parser, ranges->all[i].low, ranges->all[i].high, &all);
    if (all.first != NONE) return all;
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
    struct fragment all = {NONE, NONE};
    do {
        if (all.first != NONE) parser->at++; /* | */
        struct fragment one = nothing(parser);
        while (!parser->wrong && peek(parser) >= 0 && peek(parser) != '|' && peek(parser) != ')')
            one = then(parser, one, repeated(parser));
        all = all.first == NONE ? one : either(parser, all, one);
    } while (!parser->wrong && peek(parser) == '|');
    return all;
}

/* ---- states ----------------------------------------------------------------------------------------------------- */

/* A set of nodes as bits; of those that do something: BYTES, END, MATCH. */
#define WORDS (NODES_MAX / 64)
struct set {
    uint64_t words[WORDS];
};

struct builder {
    const struct parser *parser;
    uint32_t words; /* in use */
    struct set restart, *sets;
    uint32_t states;
    uint16_t stack[NODES_MAX];
};

static bool has(const struct set *set, uint32_t node) { return set->words[node / 64] >> (node % 64) & 1; }

/* Everything reached from `node` without a byte. `seen`: also what only leads on. */
static void reach(struct builder *builder, struct set *set, struct set *seen, uint16_t node, bool at_begin, bool at_end)
{
    uint32_t depth = 0;
    builder->stack[depth++] = node;
    while (depth) {
        uint16_t one = builder->stack[--depth];
        const struct node *what = &builder->parser->nodes[one];
        if (has(seen, one)) continue;
        seen->words[one / 64] |= 1ull << (one % 64);
        bool passes = what->kind == NODE_EMPTY || what->kind == NODE_SPLIT || (what->kind == NODE_BEGIN && at_begin) || (what->kind == NODE_END && at_end);
        if (what->kind == NODE_BYTES || what->kind == NODE_END || what->kind == NODE_MATCH) set->words[one / 64] |= 1ull << (one % 64);
        if (passes && what->next != NONE && depth < NODES_MAX) builder->stack[depth++] = what->next;
        if (what->kind == NODE_SPLIT && depth < NODES_MAX) builder->stack[depth++] = what->other;
    }
}

static uint8_t flags_of(struct builder *builder, const struct set *set, bool at_begin)
{
    struct set ends = {{0}}, seen = {{0}};
    uint8_t flags = 0;
    bool any = false;
    for (uint32_t n = 0; n < builder->parser->nodes_count; n++) {
        if (!has(set, n)) continue;
        any = true;
        if (builder->parser->nodes[n].kind == NODE_MATCH) flags |= STATE_ACCEPTS | STATE_ACCEPTS_AT_END;
        if (builder->parser->nodes[n].kind == NODE_END) reach(builder, &ends, &seen, (uint16_t)n, at_begin, true);
    }
    for (uint32_t n = 0; n < builder->parser->nodes_count; n++)
        if (has(&ends, n) && builder->parser->nodes[n].kind == NODE_MATCH) flags |= STATE_ACCEPTS_AT_END;
    for (uint32_t w = 0; w < builder->words; w++)
        any |= builder->restart.words[w] != 0;
    return any ? flags : STATE_DEAD;
}

/* The state of this set, a new one if need be. STATES_MAX: there are too many. */
static uint32_t state_of(struct builder *builder, const struct set *set)
{
    for (uint32_t s = 1; s < builder->states; s++) /* the first is the only one at the beginning: ^ may hold there */
        if (memcmp(builder->sets[s].words, set->words, builder->words * sizeof set->words[0]) == 0) return s;
    if (builder->states == STATES_MAX) return STATES_MAX;
    builder->sets[builder->states] = *set;
    return builder->states++;
}

/* Bytes that no node tells apart are one class. */
static void classes_make(const struct parser *parser, struct regex *regex)
{
    bool begins[257] = {true};
    for (uint32_t n = 0; n < parser->nodes_count; n++) {
        if (parser->nodes[n].kind != NODE_BYTES) continue;
        begins[parser->nodes[n].low] = true;
        begins[parser->nodes[n].high + 1] = true;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        regex->classes += begins[byte];
        regex->class_of[byte] = (uint8_t)(regex->classes - 1);
    }
}

static void step(struct builder *builder, const struct set *from, uint8_t byte, struct set *ret_set)
{
    struct set seen = {{0}};
    *ret_set = builder->restart;
    for (uint32_t w = 0; w < builder->words; w++)
        for (uint64_t bits = from->words[w]; bits; bits &= bits - 1) {
            const struct node *node = &builder->parser->nodes[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            if (node->kind == NODE_BYTES && byte >= node->low && byte <= node->high) reach(builder, ret_set, &seen, node->next, false, false);
        }
}

static struct regex *automaton(const struct parser *parser, uint16_t first, const char **ret_wrong)
{
    struct regex *regex = memory_acquire_zeroed(sizeof *regex + ENTRIES_MAX * sizeof regex->next[0]);
    struct builder *builder = memory_acquire_zeroed(sizeof *builder);
    struct set begin = {{0}}, seen = {{0}}, seen_again = {{0}};
    builder->parser = parser;
    builder->words = (parser->nodes_count + 63) / 64;
    builder->sets = memory_acquire_zeroed(STATES_MAX * sizeof *builder->sets);
    classes_make(parser, regex);
    reach(builder, &begin, &seen, first, true, false);
    reach(builder, &builder->restart, &seen_again, first, false, false);
    state_of(builder, &begin);
    for (uint32_t s = 0; s < builder->states && !*ret_wrong; s++) {
        regex->flags[s] = flags_of(builder, &builder->sets[s], s == 0);
        for (uint32_t byte = 0, class = UINT32_MAX; byte < 256 && !*ret_wrong; byte++) {
            if (regex->class_of[byte] == class) continue;
            class = regex->class_of[byte];
            struct set next;
            step(builder, &builder->sets[s], (uint8_t)byte, &next);
            uint32_t to = regex->flags[s] & STATE_ACCEPTS ? s : state_of(builder, &next);
            if (to == STATES_MAX || (s + 1) * regex->classes > ENTRIES_MAX) *ret_wrong = "the expression would need too large an automaton; write it simpler";
            else regex->next[s * regex->classes + class] = (uint16_t)to;
        }
    }
    uint32_t entries = builder->states * regex->classes;
    memory_release(builder->sets);
    memory_release(builder);
    if (*ret_wrong) {
        memory_release(regex);
        return NULL;
    }
    return memory_resize(regex, sizeof *regex + entries * sizeof regex->next[0]);
}

/* ---- outside ---------------------------------------------------------------------------------------------------- */

struct regex *regex_compile(struct span pattern, char *ret_error, size_t error_bytes)
{
    struct parser *parser = memory_acquire_zeroed(sizeof *parser);
    struct regex *regex = NULL;
    parser->text = pattern;
    if (pattern.bytes > REGEX_BYTES_MAX) fail(parser, "more than 1,024 bytes");
    if (span_starts_with(pattern, SPAN_LITERAL("(?i)"))) parser->fold = true, parser->at = 4;
    struct fragment all = parser->wrong ? nothing(parser) : alternatives(parser);
    if (!parser->wrong && parser->at < pattern.bytes) fail(parser, "a ) too many");
    uint16_t match = node_add(parser, (struct node){.kind = NODE_MATCH, .next = NONE});
    parser->nodes[all.last].next = match;
    if (parser->wrong) {
        snprintf(ret_error, error_bytes, "%s (at byte %zu)", parser->wrong, parser->wrong_at + 1);
    } else {
        const char *wrong = NULL;
        regex = automaton(parser, all.first, &wrong);
        if (!regex) snprintf(ret_error, error_bytes, "%s", wrong);
    }
    memory_release(parser);
    return regex;
}

void regex_release(struct regex *regex) { memory_release(regex); }

bool regex_finds(const struct regex *regex, struct span text)
{
    uint32_t state = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (regex->flags[state] & (STATE_ACCEPTS | STATE_DEAD)) return regex->flags[state] & STATE_ACCEPTS;
        state = regex->next[state * regex->classes + regex->class_of[text.data[i]]];
    }
    return regex->flags[state] & STATE_ACCEPTS_AT_END;
}
