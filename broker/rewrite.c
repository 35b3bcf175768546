#include "broker/rewrite.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/words.h"
#include "proto/topic.h"

enum piece_kind { PIECE_TEXT, PIECE_GROUP, PIECE_NAME };

struct piece {
    enum piece_kind kind;
    uint32_t group;   /* PIECE_GROUP */
    struct span text; /* PIECE_TEXT */
    struct placeholder name; /* PIECE_NAME */
};

struct rule {
    uint8_t actions;
    struct span filter;
    pcre2_code *expression;
    struct piece *pieces;
    uint32_t pieces_count;
};

struct rewrite {
    struct rule *rules;
    uint32_t count;
    char text[]; /* a copy that the rules' spans point into */
};

#define GROUPS_MAX 10

struct rewrite_scratch {
    uint32_t exhausted; /* rewrite_exhausted() */
    pcre2_match_data *data;
    pcre2_match_context *limits;
    uint8_t topic[MQTT_STRING_BYTES_MAX];
};

/* ---- compiling -------------------------------------------------------------------------------------------------- */

static bool fail(char *ret_error, size_t bytes, uint32_t number, const char *what, struct span word)
{
    snprintf(ret_error, bytes, "rewrite.rules: rule %u: %s%s%.*s", number, what, word.bytes ? ": " : "", SPAN_PRINT(word));
    return false;
}

static uint8_t action_of(struct span word)
{
    if (span_equal(word, SPAN_LITERAL("publish")) || span_equal(word, SPAN_LITERAL("pub"))) return REWRITE_PUBLISH;
    if (span_equal(word, SPAN_LITERAL("subscribe")) || span_equal(word, SPAN_LITERAL("sub"))) return REWRITE_SUBSCRIBE;
    return span_equal(word, SPAN_LITERAL("all")) ? REWRITE_ALL : 0;
}

/* The template's next piece; kind PIECE_TEXT with no bytes: a placeholder nobody knows. */
static struct piece piece_next(struct span *rest)
{
    struct placeholder name = placeholder_at(*rest);
    if (name.kind) {
        *rest = span_skip(*rest, name.bytes);
        return (struct piece){.kind = PIECE_NAME, .name = name};
    }
    if (rest->bytes >= 2 && rest->data[0] == '$' && rest->data[1] >= '1' && rest->data[1] <= '9') {
        uint32_t group = rest->data[1] - '0';
        *rest = span_skip(*rest, 2);
        return (struct piece){.kind = PIECE_GROUP, .group = group};
    }
    if (rest->bytes >= 2 && rest->data[0] == '$' && rest->data[1] == '{') return (struct piece){.kind = PIECE_TEXT};
    size_t bytes = 1;
    while (bytes < rest->bytes && rest->data[bytes] != '$' && rest->data[bytes] != '%')
        bytes++;
    struct piece piece = {.kind = PIECE_TEXT, .text = span_of(rest->data, bytes)};
    *rest = span_skip(*rest, bytes);
    return piece;
}

static bool template_compile(struct rule *rule, struct span template, uint32_t groups, const char **ret_wrong)
{
    while (template.bytes) {
        struct piece piece = piece_next(&template);
        if (piece.kind == PIECE_TEXT && piece.text.bytes == 0) return *ret_wrong = "the placeholders are $1 to $9, " PLACEHOLDERS, false;
        if (piece.kind == PIECE_GROUP && piece.group > groups) return *ret_wrong = "the expression has no such group", false;
        rule->pieces = memory_resize(rule->pieces, (rule->pieces_count + 1) * sizeof piece);
        rule->pieces[rule->pieces_count++] = piece;
    }
    return true;
}

static bool rule_compile(struct rule *rule, const struct words *words, uint32_t number, char *ret_error, size_t bytes)
{
    if (words->wrong) return fail(ret_error, bytes, number, words->wrong, SPAN_LITERAL(""));
    if (words->count != 4) return fail(ret_error, bytes, number, "write ACTION FILTER EXPRESSION TEMPLATE", SPAN_LITERAL(""));
    rule->actions = action_of(words->words[0]);
    if (!rule->actions) return fail(ret_error, bytes, number, "the actions are publish, subscribe and all", words->words[0]);
    rule->filter = words->words[1];
    if (!mqtt_topic_filter_valid(rule->filter, 0) || span_starts_with(rule->filter, SPAN_LITERAL("$share/")))
        return fail(ret_error, bytes, number, "not a topic filter", rule->filter);
    int error;
    size_t at;
    rule->expression = pcre2_compile(words->words[2].data, words->words[2].bytes, PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C,
                                     &error, &at, NULL);
    if (!rule->expression) {
        char what[128] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)what, sizeof what);
        snprintf(ret_error, bytes, "rewrite.rules: rule %u: the expression makes no sense at its byte %zu: %s", number, at + 1, what);
        return false;
    }
    uint32_t groups = 0;
    pcre2_pattern_info(rule->expression, PCRE2_INFO_CAPTURECOUNT, &groups);
    const char *wrong = NULL;
    return template_compile(rule, words->words[3], groups, &wrong) || fail(ret_error, bytes, number, wrong, words->words[3]);
}

struct rewrite *rewrite_create(struct span text, uint32_t *ret_actions, bool *ret_wants_user_name, char *ret_error, size_t error_bytes)
{
    struct rewrite *rewrite = memory_acquire_zeroed(sizeof *rewrite + text.bytes + 1);
    if (text.bytes) memcpy(rewrite->text, text.data, text.bytes);
    struct span rest = span_of(rewrite->text, text.bytes);
    struct words words;
    *ret_actions = 0;
    *ret_error = 0;
    while (words_next(&rest, &words)) {
        uint32_t number = rewrite->count + 1;
        bool room = number <= REWRITE_RULES_MAX;
        if (!room) fail(ret_error, error_bytes, number, "too many rules", SPAN_LITERAL(""));
        if (room) {
            rewrite->rules = memory_resize(rewrite->rules, number * sizeof *rewrite->rules);
            rewrite->rules[rewrite->count++] = (struct rule){0};
        }
        struct rule *rule = &rewrite->rules[rewrite->count - 1];
        if (!room || !rule_compile(rule, &words, number, ret_error, error_bytes)) {
            rewrite_release(rewrite);
            return NULL;
        }
        *ret_actions |= rule->actions;
        for (uint32_t i = 0; i < rule->pieces_count; i++)
            *ret_wants_user_name |= rule->pieces[i].kind == PIECE_NAME && rule->pieces[i].name.kind == PLACEHOLDER_USER_NAME;
    }
    if (rewrite->count) return rewrite;
    rewrite_release(rewrite);
    return NULL;
}

void rewrite_release(struct rewrite *rewrite)
{
    if (!rewrite) return;
    for (uint32_t i = 0; i < rewrite->count; i++) {
        pcre2_code_free(rewrite->rules[i].expression);
        memory_release(rewrite->rules[i].pieces);
    }
    memory_release(rewrite->rules);
    memory_release(rewrite);
}

struct rewrite_scratch *rewrite_scratch_create(void)
{
    struct rewrite_scratch *scratch = memory_acquire_zeroed(sizeof *scratch);
    scratch->data = pcre2_match_data_create(GROUPS_MAX, NULL);
    scratch->limits = pcre2_match_context_create(NULL);
    CHECK(scratch->data && scratch->limits);
    pcre2_set_match_limit(scratch->limits, REWRITE_MATCH_LIMIT);
    pcre2_set_depth_limit(scratch->limits, REWRITE_DEPTH_LIMIT);
    pcre2_set_heap_limit(scratch->limits, REWRITE_HEAP_KIB);
    return scratch;
}

uint32_t rewrite_exhausted(struct rewrite_scratch *scratch)
{
    uint32_t exhausted = scratch->exhausted;
    scratch->exhausted = 0;
    return exhausted;
}

void rewrite_scratch_release(struct rewrite_scratch *scratch)
{
    if (!scratch) return;
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->limits);
    memory_release(scratch);
}

/* ---- matching --------------------------------------------------------------------------------------------------- */

static bool expression_finds(const struct rule *rule, struct rewrite_scratch *scratch, struct span topic)
{
    int found = pcre2_match(rule->expression, topic.data, topic.bytes, 0, PCRE2_NO_UTF_CHECK, scratch->data, scratch->limits);
    if (found >= 0 || found == PCRE2_ERROR_NOMATCH) return found >= 0;
    scratch->exhausted++;
    LOG_LIMITED(WARN, 1000, "topic not rewritten", "reason=expression_too_expensive filter=%s topic=%s", log_quoted(rule->filter), log_quoted(topic));
    return false;
}

static bool piece_text(const struct piece *piece, const struct rewrite_scratch *scratch, const struct client_names *names, struct span topic,
                       struct span *ret_text)
{
    *ret_text = piece->text;
    if (piece->kind == PIECE_TEXT) return true;
    if (piece->kind == PIECE_NAME) return (*ret_text = client_names_value(names, &piece->name)).bytes > 0;
    const size_t *ends = pcre2_get_ovector_pointer(scratch->data);
    size_t from = ends[2 * piece->group], to = ends[2 * piece->group + 1];
    *ret_text = from == PCRE2_UNSET || to < from ? span_of(topic.data, 0) : span_of(topic.data + from, to - from);
    return true;
}

static enum rewrite_verdict rule_apply(const struct rule *rule, struct rewrite_scratch *scratch, const struct client_names *names,
                                       struct span *topic)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < rule->pieces_count; i++) {
        struct span text;
        if (!piece_text(&rule->pieces[i], scratch, names, *topic, &text)) return REWRITE_FAILED;
        if (bytes + text.bytes > sizeof scratch->topic) return REWRITE_FAILED;
        if (text.bytes) memcpy(scratch->topic + bytes, text.data, text.bytes);
        bytes += text.bytes;
    }
    *topic = span_of(scratch->topic, bytes);
    return REWRITE_DONE;
}

enum rewrite_verdict rewrite_apply(const struct rewrite *rewrite, struct rewrite_scratch *scratch, enum rewrite_action action,
                                   const struct client_names *names, uint32_t levels_max, struct span *topic)
{
    for (uint32_t i = rewrite->count; i-- > 0;) {
        const struct rule *rule = &rewrite->rules[i];
        if (!(rule->actions & action)) continue;
        bool matches = action == REWRITE_PUBLISH ? mqtt_topic_matches_filter(*topic, rule->filter) : mqtt_filter_covers(rule->filter, *topic);
        if (!matches || !expression_finds(rule, scratch, *topic)) continue;
        struct span made = *topic;
        if (rule_apply(rule, scratch, names, &made) == REWRITE_FAILED) return REWRITE_FAILED;
        bool sound = action == REWRITE_PUBLISH ? mqtt_topic_name_valid(made, levels_max) : mqtt_topic_filter_valid(made, levels_max);
        if (!sound || span_starts_with(made, SPAN_LITERAL("$share/")) || span_starts_with(made, SPAN_LITERAL("$SYS/"))) return REWRITE_FAILED;
        *topic = made;
        return REWRITE_DONE;
    }
    return REWRITE_NONE;
}
