/* rules_parse.c - rules from text, a line at a time; errors with line and column. */
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/regex.h"
#include "features/acl/rules_inside.h"

struct parser {
    struct acl_rules *rules;
    const char *name;
    uint32_t line;
    struct span text; /* of the line */
    size_t at;
    uint8_t *words; /* tokens without their quotes: never more than the source has */
    char *error;
    bool failed;
};

static bool fail(struct parser *parser, size_t column, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool fail(struct parser *parser, size_t column, const char *format, ...)
{
    if (parser->failed) return false;
    int used = snprintf(parser->error, ACL_ERROR_BYTES_MAX, "%s:%u:%zu: ", parser->name, parser->line, column + 1);
    va_list arguments;
    va_start(arguments, format);
    if (used >= 0 && used < ACL_ERROR_BYTES_MAX) vsnprintf(parser->error + used, (size_t)(ACL_ERROR_BYTES_MAX - used), format, arguments);
    va_end(arguments);
    parser->failed = true;
    return false;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* Words between blanks; in "…" blanks and commas are ordinary and \ stands before " and \. A value ends at a comma, too. */
struct token {
    struct span text;
    size_t column;
    bool quoted;   /* some of it was */
    bool more;     /* a comma follows: the next value belongs to the same key */
};

static bool blank(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }

static void skip_blanks(struct parser *parser)
{
    while (parser->at < parser->text.bytes && blank(parser->text.data[parser->at]))
        parser->at++;
}

/* A word from here on. `value`: commas end it. */
static bool word_take(struct parser *parser, bool value, struct token *ret_token)
{
    const uint8_t *data = parser->text.data;
    uint8_t *start = parser->words;
    *ret_token = (struct token){.column = parser->at};
    while (parser->at < parser->text.bytes && !blank(data[parser->at]) && !(value && data[parser->at] == ',')) {
        if (data[parser->at] != '"') {
            *parser->words++ = data[parser->at++];
            continue;
        }
        size_t opened = parser->at++;
        ret_token->quoted = true;
        for (;; parser->at++) {
            if (parser->at == parser->text.bytes) return fail(parser, opened, "the \" is not closed");
            if (data[parser->at] == '"') break;
            if (data[parser->at] == '\\') {
                parser->at++;
                bool known = parser->at < parser->text.bytes && (data[parser->at] == '"' || data[parser->at] == '\\');
                if (!known) return fail(parser, parser->at - 1, "after \\ comes \" or \\");
            }
            *parser->words++ = data[parser->at];
        }
        parser->at++;
    }
    ret_token->text = span_of(start, (size_t)(parser->words - start));
    ret_token->more = value && parser->at < parser->text.bytes && data[parser->at] == ',';
    if (ret_token->more) parser->at++;
    return true;
}

/* KEY= at this place: its bytes without the =, or 0. */
static size_t key_bytes(const struct parser *parser)
{
    size_t bytes = 0;
    for (size_t i = parser->at; i < parser->text.bytes; i++, bytes++) {
        uint8_t byte = parser->text.data[i];
        if (byte == '=') return bytes;
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') && !(byte >= '0' && byte <= '9') && byte != '_' && byte != '.' && byte != '-') return 0;
    }
    return 0;
}

/* ---- conditions -------------------------------------------------------------------------------------------------- */

#define REGEX_PREFIX SPAN_LITERAL("re:")

static bool value_add(struct parser *parser, const struct token *token)
{
    struct acl_rules *rules = parser->rules;
    struct acl_value value = {.text = token->text};
    char error[160];
    if (span_starts_with(token->text, REGEX_PREFIX)) {
        value.regex = regex_compile(span_skip(token->text, REGEX_PREFIX.bytes), error, sizeof error);
        if (!value.regex) return fail(parser, token->column, "the regular expression makes no sense: %s", error);
    }
    for (size_t i = 0; !value.regex && i < token->text.bytes; i++)
        value.pattern |= token->text.data[i] == '*' || token->text.data[i] == '?';
    value.absent = !token->quoted && span_equal(token->text, SPAN_LITERAL("-"));
    rules->values = acl_array_add(rules->values, &rules->values_count, sizeof *rules->values);
    rules->values[rules->values_count - 1] = value;
    rules->conditions[rules->conditions_count - 1].values_count++;
    return true;
}

static bool networks_add(struct parser *parser, struct token *token, struct cidr_list *list)
{
    struct cidr_list one = {0};
    const char *wrong = token->text.bytes ? cidr_list_parse(token->text, &one) : "an address is missing";
    if (wrong) return fail(parser, token->column, "`%.*s` is no network: %s", SPAN_PRINT(token->text), wrong);
    list->any_unix |= one.any_unix;
    for (uint32_t i = 0; i < one.count; i++) {
        list->entries = memory_resize(list->entries, (list->count + 1) * sizeof *list->entries);
        list->entries[list->count++] = one.entries[i];
    }
    cidr_list_release(&one);
    return true;
}

static bool condition_take(struct parser *parser, enum acl_condition_kind kind, struct span attribute)
{
    struct acl_rules *rules = parser->rules;
    rules->conditions = acl_array_add(rules->conditions, &rules->conditions_count, sizeof *rules->conditions);
    struct acl_condition *condition = &rules->conditions[rules->conditions_count - 1];
    *condition = (struct acl_condition){.kind = kind, .attribute = attribute, .values_first = rules->values_count};
    rules->rules[rules->rules_count - 1].conditions_count++;
    struct token token;
    do {
        if (!word_take(parser, true, &token)) return false;
        if (token.text.bytes == 0 && !token.quoted) return fail(parser, token.column, "a value is missing");
        if (kind == ACL_IP) {
            if (!networks_add(parser, &token, &condition->networks)) return false;
        } else {
            if (!value_add(parser, &token)) return false;
            condition = &rules->conditions[rules->conditions_count - 1];
        }
    } while (token.more);
    return true;
}

static bool qos_take(struct parser *parser, struct acl_rule *rule)
{
    struct token token;
    rule->qos_mask = 0;
    do {
        if (!word_take(parser, true, &token)) return false;
        if (token.text.bytes != 1 || token.text.data[0] < '0' || token.text.data[0] > '2')
            return fail(parser, token.column, "`%.*s` is no QoS; write 0, 1, 2 or some of them with commas", SPAN_PRINT(token.text));
        rule->qos_mask |= (uint8_t)(1u << (token.text.data[0] - '0'));
    } while (token.more);
    return true;
}

static bool retain_take(struct parser *parser, struct acl_rule *rule)
{
    struct token token;
    if (!word_take(parser, true, &token)) return false;
    bool yes = span_equal(token.text, SPAN_LITERAL("yes")) || span_equal(token.text, SPAN_LITERAL("true"));
    bool no = span_equal(token.text, SPAN_LITERAL("no")) || span_equal(token.text, SPAN_LITERAL("false"));
    if (token.more || (!yes && !no)) return fail(parser, token.column, "retain is yes or no");
    rule->retain = yes;
    return true;
}

static bool key_take(struct parser *parser, size_t bytes)
{
    static const struct {
        const char *name;
        enum acl_condition_kind kind;
    } kinds[] = {{"user", ACL_USER}, {"username", ACL_USER}, {"client", ACL_CLIENT}, {"client_id", ACL_CLIENT}, {"clientid", ACL_CLIENT},
                 {"ip", ACL_IP}, {"ipaddr", ACL_IP}, {"listener", ACL_LISTENER}, {"cn", ACL_CN}};
    struct span key = span_of(parser->text.data + parser->at, bytes);
    struct acl_rule *rule = &parser->rules->rules[parser->rules->rules_count - 1];
    size_t column = parser->at;
    parser->at += bytes + 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (span_equal(key, span_of_string(kinds[i].name))) return condition_take(parser, kinds[i].kind, span_of(NULL, 0));
    if (span_starts_with(key, SPAN_LITERAL("attribute.")) && key.bytes > 10) return condition_take(parser, ACL_ATTRIBUTE, span_skip(key, 10));
    if (span_equal(key, SPAN_LITERAL("qos"))) return qos_take(parser, rule);
    if (span_equal(key, SPAN_LITERAL("retain"))) return retain_take(parser, rule);
    return fail(parser, column, "there is no key `%.*s`; the keys are user, client, ip, listener, cn, attribute.NAME, qos and retain. A topic with = in it "
                "goes into double quotes", SPAN_PRINT(key));
}

/* ---- a line ------------------------------------------------------------------------------------------------------ */

static bool word_is(const struct token *token, const char *word) { return !token->quoted && span_equal(token->text, span_of_string(word)); }

static bool action_of(const struct token *token, uint8_t *ret_actions)
{
    *ret_actions = word_is(token, "publish") || word_is(token, "pub")     ? ACL_PUBLISH
                   : word_is(token, "subscribe") || word_is(token, "sub") ? ACL_SUBSCRIBE
                   : word_is(token, "all")                                ? ACL_PUBLISH | ACL_SUBSCRIBE
                                                                          : 0;
    return *ret_actions != 0;
}

static bool rule_take(struct parser *parser)
{
    struct acl_rules *rules = parser->rules;
    struct token token;
    if (!word_take(parser, false, &token)) return false;
    bool allow = word_is(&token, "allow");
    if (!allow && !word_is(&token, "deny")) return fail(parser, token.column, "a rule begins with allow or deny, not `%.*s`", SPAN_PRINT(token.text));
    if (rules->rules_count == ACL_RULES_MAX) return fail(parser, 0, "there are more than %u rules", ACL_RULES_MAX);
    rules->rules = acl_array_add(rules->rules, &rules->rules_count, sizeof *rules->rules);
    struct acl_rule *rule = &rules->rules[rules->rules_count - 1];
    *rule = (struct acl_rule){.allow = allow, .actions = ACL_PUBLISH | ACL_SUBSCRIBE, .qos_mask = 7, .retain = -1, .line = parser->line,
                              .conditions_first = rules->conditions_count, .topics_first = rules->topics_count};
    bool acted = false;
    for (skip_blanks(parser); parser->at < parser->text.bytes; skip_blanks(parser)) {
        size_t key = parser->text.data[parser->at] == '"' ? 0 : key_bytes(parser);
        uint8_t actions;
        if (key) {
            if (!key_take(parser, key)) return false;
            continue;
        }
        if (!word_take(parser, false, &token)) return false;
        if (action_of(&token, &actions)) {
            if (acted) return fail(parser, token.column, "the action is given twice; a topic of that name goes into double quotes");
            rule->actions = actions;
            acted = true;
            continue;
        }
        const char *wrong = acl_topic_add(rules, token.text);
        if (wrong) return fail(parser, token.column, "`%.*s`: %s", token.text.bytes > 200 ? 200 : (int)token.text.bytes, (const char *)token.text.data, wrong);
    }
    if (rule->retain >= 0 && rule->actions == ACL_SUBSCRIBE) return fail(parser, 0, "retain is about publish: a subscription has no retain flag");
    if (rule->retain >= 0) rule->actions = ACL_PUBLISH;
    return true;
}

static bool line_take(struct parser *parser)
{
    parser->at = 0;
    if (parser->text.bytes > ACL_LINE_BYTES_MAX) return fail(parser, 0, "the line is longer than %u bytes", ACL_LINE_BYTES_MAX);
    const uint8_t *nul = parser->text.bytes ? memchr(parser->text.data, 0, parser->text.bytes) : NULL;
    if (nul) return fail(parser, (size_t)(nul - parser->text.data), "there is a NUL byte: this is no text");
    skip_blanks(parser);
    if (parser->at == parser->text.bytes || parser->text.data[parser->at] == '#') return true;
    return rule_take(parser);
}

struct acl_rules *acl_rules_compile(struct span text, const char *name, char *ret_error)
{
    struct acl_rules *rules = acl_rules_create();
    rules->source = acl_rules_keep(rules, text);
    struct parser parser = {.rules = rules, .name = name, .error = ret_error};
    parser.words = (uint8_t *)(uintptr_t)acl_rules_keep(rules, text).data; /* as much room as the words can take */
    struct span rest = rules->source;
    while (rest.bytes && !parser.failed) {
        const uint8_t *end = memchr(rest.data, '\n', rest.bytes);
        size_t bytes = end ? (size_t)(end - rest.data) : rest.bytes;
        parser.line++;
        parser.text = span_of(rest.data, bytes);
        line_take(&parser);
        rest = span_skip(rest, bytes + (end != NULL));
    }
    if (parser.failed) {
        acl_rules_release(rules);
        return NULL;
    }
    acl_rules_index(rules);
    return rules;
}
