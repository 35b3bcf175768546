/* template.c - see template.h. */
#include "features/auth/template.h"

#include <stdio.h>

#include "base/memory.h"

enum field {
    FIELD_LITERAL, FIELD_USERNAME, FIELD_CLIENT_ID, FIELD_PASSWORD, FIELD_PEER_HOST, FIELD_LISTENER, FIELD_CN, FIELD_DN, FIELD_ACTION, FIELD_TOPIC, FIELD_QOS, FIELD_RETAIN, FIELD_ATTRIBUTE,
};

struct piece {
    uint8_t field;
    struct span text; /* LITERAL, or the attribute's name; in the template's copy */
};

struct template {
    char *text;
    struct piece *pieces;
    uint32_t count;
};

static const struct {
    const char *name;
    uint8_t field;
} fields[] = {
    {"username", FIELD_USERNAME}, {"clientid", FIELD_CLIENT_ID}, {"client_id", FIELD_CLIENT_ID}, {"password", FIELD_PASSWORD},
    {"peerhost", FIELD_PEER_HOST}, {"listener", FIELD_LISTENER}, {"cert_common_name", FIELD_CN}, {"cert_subject", FIELD_DN},
    {"action", FIELD_ACTION}, {"topic", FIELD_TOPIC}, {"qos", FIELD_QOS}, {"retain", FIELD_RETAIN},
};

static void add(struct template *template, uint8_t field, struct span text)
{
    if (field == FIELD_LITERAL && text.bytes == 0) return;
    template->pieces = memory_resize(template->pieces, (template->count + 1) * sizeof *template->pieces);
    template->pieces[template->count++] = (struct piece){field, text};
}

static bool add_placeholder(struct template *template, struct span name)
{
    static const char *const prefixes[] = {"client_attrs.", "attribute."};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!span_equal(name, span_of_string(fields[i].name))) continue;
        add(template, fields[i].field, span_of(NULL, 0));
        return true;
    }
    for (size_t i = 0; i < 2; i++) {
        struct span prefix = span_of_string(prefixes[i]);
        if (!span_starts_with(name, prefix) || name.bytes == prefix.bytes) continue;
        add(template, FIELD_ATTRIBUTE, span_skip(name, prefix.bytes));
        return true;
    }
    return false;
}

struct template *template_compile(struct span text, char *ret_error, size_t error_bytes)
{
    struct template *template = memory_acquire_zeroed(sizeof *template);
    template->text = memory_copy_string(text);
    struct span rest = span_of(template->text, text.bytes);
    size_t at = 0;
    while (at < rest.bytes) {
        bool opens = rest.data[at] == '$' && at + 1 < rest.bytes && rest.data[at + 1] == '{';
        bool escaped = rest.data[at] == '$' && at + 2 < rest.bytes && rest.data[at + 1] == '$' && rest.data[at + 2] == '{';
        if (escaped) { /* up to and with the first $; the second is skipped and ${ stays */
            add(template, FIELD_LITERAL, span_of(rest.data, at));
            add(template, FIELD_LITERAL, span_of(rest.data + at + 1, 2));
            rest = span_skip(rest, at + 3);
            at = 0;
            continue;
        }
        if (!opens) {
            at++;
            continue;
        }
        add(template, FIELD_LITERAL, span_of(rest.data, at));
        rest = span_skip(rest, at + 2);
        at = 0;
        const uint8_t *end = memchr(rest.data, '}', rest.bytes);
        struct span name = span_of(rest.data, end ? (size_t)(end - rest.data) : rest.bytes);
        if (!end || !add_placeholder(template, name)) {
            snprintf(ret_error, error_bytes,
                     end ? "there is no placeholder ${%.*s}; there are ${username}, ${clientid}, ${password}, ${peerhost}, ${listener}, "
                           "${cert_common_name}, ${cert_subject} and ${client_attrs.NAME}, and for authorization that is asked about each topic ${action}, ${topic}, ${qos} "
                           "and ${retain}"
                         : "the placeholder ${%.*s has no }",
                     (int)(name.bytes > 64 ? 64 : name.bytes), (const char *)name.data);
            template_release(template);
            return NULL;
        }
        rest = span_skip(rest, name.bytes + 1);
    }
    add(template, FIELD_LITERAL, rest);
    return template;
}

void template_release(struct template *template)
{
    if (!template) return;
    memory_release(template->pieces);
    memory_release(template->text);
    memory_release(template);
}

bool template_uses_password(const struct template *template)
{
    for (uint32_t i = 0; i < template->count; i++)
        if (template->pieces[i].field == FIELD_PASSWORD) return true;
    return false;
}

static struct span value_of(const struct piece *piece, const struct auth_query *query)
{
    switch (piece->field) {
    case FIELD_USERNAME: return query->has_user_name ? query->user_name : span_of(NULL, 0);
    case FIELD_CLIENT_ID: return query->client_id;
    case FIELD_PASSWORD: return query->has_password ? query->password : span_of(NULL, 0);
    case FIELD_PEER_HOST: return query->peer_host;
    case FIELD_LISTENER: return query->listener;
    case FIELD_CN: return query->certificate_cn;
    case FIELD_DN: return query->certificate_dn;
    case FIELD_ACTION: return query->action;
    case FIELD_TOPIC: return query->topic;
    case FIELD_QOS: return query->qos;
    case FIELD_RETAIN: return query->retain;
    default: break;
    }
    for (uint32_t i = 0; i < query->attributes_count; i++)
        if (span_equal(query->attributes[i].name, piece->text)) return query->attributes[i].value;
    return span_of(NULL, 0);
}

static bool unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

/* How a byte is written there; 0: as it is. */
static size_t escape_byte(uint8_t c, bool first, bool last, enum template_escape escape, char ret_text[8])
{
    switch (escape) {
    case TEMPLATE_URL: return unreserved(c) ? 0 : (size_t)snprintf(ret_text, 8, "%%%02X", c);
    case TEMPLATE_JSON:
        if (c == '"' || c == '\\') return (size_t)snprintf(ret_text, 8, "\\%c", c);
        return c >= 0x20 ? 0 : (size_t)snprintf(ret_text, 8, "\\u%04x", c);
    case TEMPLATE_LDAP_FILTER: return c && c < 0x80 && !strchr("*()\\", c) ? 0 : (size_t)snprintf(ret_text, 8, "\\%02x", c);
    case TEMPLATE_LDAP_DN:
        if (c && c < 0x80 && c >= 0x20 && !strchr("\"+,;<>=\\/", c) && !(c == '#' && first) && !(c == ' ' && (first || last))) return 0;
        return (size_t)snprintf(ret_text, 8, "\\%02x", c);
    default: return 0;
    }
}

void template_escape(struct span value, enum template_escape escape, struct auth_text *text)
{
    size_t done = 0;
    char escaped[8];
    if (value.bytes == 0) return;
    for (size_t i = 0; i < value.bytes; i++) {
        size_t bytes = escape_byte(value.data[i], i == 0, i + 1 == value.bytes, escape, escaped);
        if (!bytes) continue;
        auth_text_add(text, span_of(value.data + done, i - done));
        auth_text_add(text, span_of(escaped, bytes));
        done = i + 1;
    }
    auth_text_add(text, span_of(value.data + done, value.bytes - done));
}

void template_render(const struct template *template, const struct auth_query *query, enum template_escape escape, struct auth_text *text)
{
    for (uint32_t i = 0; i < template->count; i++) {
        const struct piece *piece = &template->pieces[i];
        if (piece->field == FIELD_LITERAL)
            auth_text_add(text, piece->text);
        else
            template_escape(value_of(piece, query), escape, text);
    }
}

/* What quotes are open behind this piece of SQL, when `open` (0: none) were before it. A doubled quote closes and opens. */
static char quotes_behind(struct span text, char open, bool backslashes)
{
    for (size_t i = 0; i < text.bytes; i++) {
        char c = (char)text.data[i];
        if (open && backslashes && c == '\\') i++;
        else if (open ? c == open : c == '\'' || c == '"' || c == '`') open = open ? 0 : c;
    }
    return open;
}

bool template_sql(const struct template *template, enum template_marks marks, struct auth_text *ret_sql, char *ret_error, size_t error_bytes)
{
    uint32_t parameters = 0;
    bool skip_quote = false;
    char open = 0;
    for (uint32_t i = 0; i < template->count; i++) {
        struct piece piece = template->pieces[i];
        if (piece.field == FIELD_LITERAL) {
            if (skip_quote) piece.text = span_skip(piece.text, 1);
            const struct piece *next = i + 1 < template->count ? &template->pieces[i + 1] : NULL;
            const struct piece *after = i + 2 < template->count ? &template->pieces[i + 2] : NULL;
            skip_quote = next && after && next->field != FIELD_LITERAL && after->field == FIELD_LITERAL && piece.text.bytes &&
                         piece.text.data[piece.text.bytes - 1] == '\'' && after->text.data[0] == '\'';
            if (skip_quote) piece.text.bytes--;
            auth_text_add(ret_sql, piece.text);
            open = quotes_behind(piece.text, open, marks == TEMPLATE_MARKS_QUESTION);
            continue;
        }
        if (open) {
            snprintf(ret_error, error_bytes, "a placeholder of the query stands within quotes beside other text, where no value can be put; write CONCAT('a', ${username}) or 'a' || ${username}");
            return false;
        }
        char mark[16] = "?";
        if (++parameters > TEMPLATE_PARAMETERS_MAX) {
            snprintf(ret_error, error_bytes, "more than %d placeholders in one query", TEMPLATE_PARAMETERS_MAX);
            return false;
        }
        if (marks == TEMPLATE_MARKS_DOLLAR) snprintf(mark, sizeof mark, "$%u", parameters);
        auth_text_add(ret_sql, span_of_string(mark));
    }
    return true;
}

uint32_t template_parameters(const struct template *template, const struct auth_query *query, struct span ret_values[TEMPLATE_PARAMETERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < template->count && count < TEMPLATE_PARAMETERS_MAX; i++)
        if (template->pieces[i].field != FIELD_LITERAL) ret_values[count++] = value_of(&template->pieces[i], query);
    return count;
}
