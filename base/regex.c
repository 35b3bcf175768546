/* regex.c - see regex.h. Nodes (regex_parse.c) → sets of nodes → table of states. */
#include "base/regex.h"

#include <stdio.h>

#include "base/memory.h"
#include "base/regex_nodes.h"

#define STATES_MAX  1024
#define ENTRIES_MAX 65536 /* of the table: states times classes of bytes */

enum { STATE_ACCEPTS = 1, STATE_ACCEPTS_AT_END = 2, STATE_DEAD = 4 };

struct regex {
    uint32_t classes;
    uint8_t class_of[256];
    uint8_t flags[STATES_MAX];
    uint16_t next[]; /* state * classes + class */
};

/* ---- states ----------------------------------------------------------------------------------------------------- */

/* A set of nodes as bits; of those that do something: BYTES, END, MATCH. */
#define WORDS (REGEX_NODES_MAX / 64)
struct set {
    uint64_t words[WORDS];
};

struct builder {
    const struct regex_nodes *nodes;
    uint32_t words; /* in use */
    struct set restart, *sets;
    uint32_t states;
    uint16_t stack[REGEX_NODES_MAX];
};

static bool has(const struct set *set, uint32_t node) { return set->words[node / 64] >> (node % 64) & 1; }

/* Everything reached from `node` without a byte. `seen`: also what only leads on. */
static void reach(struct builder *builder, struct set *set, struct set *seen, uint16_t node, bool at_begin, bool at_end)
{
    uint32_t depth = 0;
    builder->stack[depth++] = node;
    while (depth) {
        uint16_t one = builder->stack[--depth];
        const struct regex_node *what = &builder->nodes->all[one];
        if (has(seen, one)) continue;
        seen->words[one / 64] |= 1ull << (one % 64);
        bool passes = what->kind == NODE_EMPTY || what->kind == NODE_SPLIT || (what->kind == NODE_BEGIN && at_begin) || (what->kind == NODE_END && at_end);
        if (what->kind == NODE_BYTES || what->kind == NODE_END || what->kind == NODE_MATCH) set->words[one / 64] |= 1ull << (one % 64);
        if (passes && what->next != REGEX_NONE && depth < REGEX_NODES_MAX) builder->stack[depth++] = what->next;
        if (what->kind == NODE_SPLIT && depth < REGEX_NODES_MAX) builder->stack[depth++] = what->other;
    }
}

static uint8_t flags_of(struct builder *builder, const struct set *set, bool at_begin)
{
    struct set ends = {{0}}, seen = {{0}};
    uint8_t flags = 0;
    bool any = false;
    for (uint32_t n = 0; n < builder->nodes->count; n++) {
        if (!has(set, n)) continue;
        any = true;
        if (builder->nodes->all[n].kind == NODE_MATCH) flags |= STATE_ACCEPTS | STATE_ACCEPTS_AT_END;
        if (builder->nodes->all[n].kind == NODE_END) reach(builder, &ends, &seen, (uint16_t)n, at_begin, true);
    }
    for (uint32_t n = 0; n < builder->nodes->count; n++)
        if (has(&ends, n) && builder->nodes->all[n].kind == NODE_MATCH) flags |= STATE_ACCEPTS_AT_END;
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
static void classes_make(const struct regex_nodes *nodes, struct regex *regex)
{
    bool begins[257] = {true};
    for (uint32_t n = 0; n < nodes->count; n++) {
        if (nodes->all[n].kind != NODE_BYTES) continue;
        begins[nodes->all[n].low] = true;
        begins[nodes->all[n].high + 1] = true;
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
            const struct regex_node *node = &builder->nodes->all[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            if (node->kind == NODE_BYTES && byte >= node->low && byte <= node->high) reach(builder, ret_set, &seen, node->next, false, false);
        }
}

static struct regex *automaton(const struct regex_nodes *nodes, const char **ret_wrong)
{
    struct regex *regex = memory_acquire_zeroed(sizeof *regex + ENTRIES_MAX * sizeof regex->next[0]);
    struct builder *builder = memory_acquire_zeroed(sizeof *builder);
    struct set begin = {{0}}, seen = {{0}}, seen_again = {{0}};
    builder->nodes = nodes;
    builder->words = (nodes->count + 63) / 64;
    builder->sets = memory_acquire_zeroed(STATES_MAX * sizeof *builder->sets);
    classes_make(nodes, regex);
    reach(builder, &begin, &seen, nodes->first, true, false);
    reach(builder, &builder->restart, &seen_again, nodes->first, false, false);
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
    struct regex_nodes *nodes = memory_acquire_zeroed(sizeof *nodes);
    struct regex *regex = NULL;
    const char *wrong = NULL;
    if (regex_parse(pattern, nodes, ret_error, error_bytes)) regex = automaton(nodes, &wrong);
    if (wrong) snprintf(ret_error, error_bytes, "%s", wrong);
    memory_release(nodes);
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
