/* reply.c - see reply.h. */
#include "features/auth/reply.h"

#include <math.h>
#include <stdio.h>

#include "base/memory.h"
#include "features/auth/encode.h"

json_t *auth_json(struct span text, char *ret_error, size_t error_bytes)
{
    json_error_t error;
    json_t *root = json_loadb(text.data ? (const char *)text.data : "", text.bytes, JSON_REJECT_DUPLICATES, &error);
    if (!root) snprintf(ret_error, error_bytes, "not sound JSON at line %d, column %d", error.line, error.column); /* jansson's own text quotes the input */
    return root;
}

static struct span span_of_json(const json_t *string) { return span_of(json_string_value(string), json_string_length(string)); }

const char *auth_reply_attributes(const json_t *attributes, struct auth_answer *answer)
{
    if (!json_is_object(attributes)) return "client_attrs is no object";
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)attributes, name, value) {
        char number[32];
        struct span text = span_of(number, 0);
        if (json_is_string(value))
            text = span_of_json(value);
        else if (json_is_integer(value))
            text.bytes = (size_t)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        else if (json_is_boolean(value))
            text = span_of_string(json_is_true(value) ? "true" : "false");
        else
            continue;
        auth_answer_attribute(answer, span_of_string(name), text);
    }
    return NULL;
}

/* "qos": 1, or [0, 1]; 0: wrong. */
static uint8_t qos_mask_of(const json_t *qos)
{
    uint8_t mask = 0;
    if (!qos || json_is_null(qos)) return 7;
    size_t count = json_is_array(qos) ? json_array_size(qos) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_is_array(qos) ? json_array_get(qos, i) : qos;
        json_int_t value = json_is_integer(one) ? json_integer_value(one) : json_is_string(one) && json_string_length(one) == 1 ? json_string_value(one)[0] - '0' : -1;
        if (value < 0 || value > 2) return 0;
        mask |= (uint8_t)(1u << value);
    }
    return mask;
}

/* As auth_retain_word(). */
static int retain_of(const json_t *retain)
{
    if (!retain || json_is_null(retain)) return -1;
    if (json_is_boolean(retain)) return json_is_true(retain);
    if (json_is_string(retain)) return auth_retain_word(span_of_json(retain));
    json_int_t number = json_is_integer(retain) ? json_integer_value(retain) : -1;
    return number == 0 || number == 1 ? (int)number : -2;
}

static const char *add_rule(const json_t *rule, struct auth_answer *answer)
{
    if (!json_is_object(rule)) return "a rule of acl is no object";
    const json_t *permission = json_object_get(rule, "permission"), *action = json_object_get(rule, "action"), *topic = json_object_get(rule, "topic");
    uint8_t qos = qos_mask_of(json_object_get(rule, "qos"));
    if (!json_is_string(permission) || !json_is_string(action)) return "a rule of acl needs permission and action, both texts";
    if (!qos) return "qos of a rule of acl is no list of 0, 1 and 2";
    const json_t *topics = json_object_get(rule, "topics") ? json_object_get(rule, "topics") : topic;
    size_t count = json_is_array(topics) ? json_array_size(topics) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_is_array(topics) ? json_array_get(topics, i) : topics;
        if (!json_is_string(one)) return "topic of a rule of acl is no text";
        const char *wrong = auth_answer_rule_words(answer, span_of_json(permission), span_of_json(action), span_of_json(one), qos, retain_of(json_object_get(rule, "retain")));
        if (wrong) return wrong;
    }
    return NULL;
}

static const char *add_list(const json_t *topics, uint8_t actions, struct auth_answer *answer)
{
    if (!topics) return NULL;
    if (!json_is_array(topics)) return "pub, sub and all of acl are lists of topics";
    for (size_t i = 0; i < json_array_size(topics); i++) {
        const json_t *topic = json_array_get(topics, i);
        if (!json_is_string(topic)) return "a topic of acl is no text";
        const char *wrong = auth_answer_rule(answer, true, actions, span_of_json(topic), 7, -1);
        if (wrong) return wrong;
    }
    return NULL;
}

const char *auth_reply_acl(const json_t *acl, struct auth_answer *answer)
{
    answer->has_rules = true;
    if (json_is_array(acl)) {
        for (size_t i = 0; i < json_array_size(acl); i++) {
            const char *wrong = add_rule(json_array_get(acl, i), answer);
            if (wrong) return wrong;
        }
        return NULL;
    }
    if (!json_is_object(acl)) return "acl is neither a list of rules nor an object with pub, sub and all";
    const char *wrong = add_list(json_object_get(acl, "pub"), AUTH_PUBLISH, answer);
    if (!wrong) wrong = add_list(json_object_get(acl, "sub"), AUTH_SUBSCRIBE, answer);
    if (!wrong) wrong = add_list(json_object_get(acl, "all"), AUTH_ALL, answer);
    return wrong ? wrong : auth_answer_rule(answer, false, AUTH_ALL, SPAN_LITERAL("#"), 7, -1);
}

static bool verdict_of(struct span word, struct auth_answer *answer)
{
    if (span_equal(word, SPAN_LITERAL("allow"))) return auth_answer_say(answer, AUTH_ALLOW, "the server allows it"), true;
    if (span_equal(word, SPAN_LITERAL("deny"))) return auth_answer_say(answer, AUTH_DENY, "the server denies it"), true;
    if (span_equal(word, SPAN_LITERAL("ignore"))) return auth_answer_say(answer, AUTH_NEXT, "the server ignores it"), true;
    return false;
}

static const char *reply_json(const json_t *root, struct auth_answer *answer)
{
    const json_t *result = json_object_get(root, "result"), *superuser = json_object_get(root, "is_superuser"),
                 *expire = json_object_get(root, "expire_at"), *attributes = json_object_get(root, "client_attrs"), *acl = json_object_get(root, "acl");
    if (!json_is_string(result) || !verdict_of(span_of_json(result), answer)) return "`result` is none of allow, deny and ignore";
    if (answer->verdict != AUTH_ALLOW) return NULL;
    answer->superuser = json_is_true(superuser) || (json_is_string(superuser) && auth_truth(span_of_json(superuser)));
    if (expire && !json_is_null(expire)) {
        if (!json_is_integer(expire) || json_integer_value(expire) <= 0) return "`expire_at` is no Unix time";
        answer->expires_s = (uint64_t)json_integer_value(expire);
        if (answer->expires_s <= auth_unix_s()) return auth_answer_say(answer, AUTH_DENY, "`expire_at` is over"), NULL;
    }
    if (attributes && !json_is_null(attributes)) {
        const char *wrong = auth_reply_attributes(attributes, answer);
        if (wrong) return wrong;
    }
    return acl && !json_is_null(acl) ? auth_reply_acl(acl, answer) : NULL;
}

/* application/x-www-form-urlencoded: the next pair. Values of our keys need no decoding beyond + and %XX, which no right one contains. */
static bool form_next(struct span *rest, struct span *ret_name, struct span *ret_value)
{
    if (rest->bytes == 0) return false;
    const uint8_t *end = memchr(rest->data, '&', rest->bytes);
    struct span pair = span_of(rest->data, end ? (size_t)(end - rest->data) : rest->bytes);
    *rest = span_skip(*rest, pair.bytes + (end != NULL));
    const uint8_t *equals = pair.bytes ? memchr(pair.data, '=', pair.bytes) : NULL;
    *ret_name = span_of(pair.data, equals ? (size_t)(equals - pair.data) : pair.bytes);
    *ret_value = equals ? span_skip(pair, ret_name->bytes + 1) : span_of(NULL, 0);
    return true;
}

static const char *reply_form(struct span body, struct auth_answer *answer)
{
    struct span name, value;
    bool decided = false;
    while (body.bytes && (body.data[body.bytes - 1] == '\n' || body.data[body.bytes - 1] == '\r'))
        body.bytes--;
    while (form_next(&body, &name, &value)) {
        if (span_equal(name, SPAN_LITERAL("result"))) decided = verdict_of(value, answer);
        if (span_equal(name, SPAN_LITERAL("is_superuser"))) answer->superuser = auth_truth(value);
    }
    return decided ? NULL : "`result` is none of allow, deny and ignore";
}

bool auth_reply(struct span body, bool is_json, struct auth_answer *answer, char *ret_error, size_t error_bytes)
{
    const char *wrong;
    if (is_json) {
        json_t *root = auth_json(body, ret_error, error_bytes);
        if (!root) return false;
        wrong = json_is_object(root) ? reply_json(root, answer) : "the JSON text is no object";
        json_decref(root);
    } else {
        wrong = reply_form(body, answer);
    }
    if (wrong) snprintf(ret_error, error_bytes, "%s", wrong);
    return !wrong;
}
