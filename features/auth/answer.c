/* answer.c - see auth.h. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/check.h"
#include "base/memory.h"
#include "features/auth/auth.h"
#include "features/auth/encode.h"

const char *const auth_verdict_names[AUTH_VERDICTS] = {"next", "allow", "deny", "down"};

struct auth_answer *auth_answer_create(void)
{
    struct auth_answer *answer = memory_acquire_zeroed(sizeof *answer);
    atomic_init(&answer->references, 1);
    answer->cacheable = true;
    return answer;
}

struct auth_answer *auth_answer_share(struct auth_answer *answer)
{
    atomic_fetch_add_explicit(&answer->references, 1, memory_order_relaxed);
    return answer;
}

void auth_answer_release(struct auth_answer *answer)
{
    if (!answer || atomic_fetch_sub_explicit(&answer->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < answer->attributes_count; i++) {
        memory_release(answer->names[i]);
        memory_release(answer->values[i]);
    }
    for (uint32_t i = 0; i < answer->rules_count; i++)
        memory_release(answer->rules[i].topic);
    memory_release(answer->rules);
    if (answer->compiled) answer->compiled_release(answer->compiled);
    memory_release(answer);
}

struct auth_answer_mark auth_answer_mark(const struct auth_answer *answer)
{
    return (struct auth_answer_mark){.superuser = answer->superuser, .has_rules = answer->has_rules, .expires_s = answer->expires_s,
                                     .attributes_count = answer->attributes_count, .rules_count = answer->rules_count};
}

void auth_answer_take_back(struct auth_answer *answer, const struct auth_answer_mark *mark)
{
    answer->superuser = mark->superuser;
    answer->has_rules = mark->has_rules;
    answer->expires_s = mark->expires_s;
    for (; answer->attributes_count > mark->attributes_count; answer->attributes_count--) {
        memory_release(answer->names[answer->attributes_count - 1]);
        memory_release(answer->values[answer->attributes_count - 1]);
    }
    for (; answer->rules_count > mark->rules_count; answer->rules_count--)
        memory_release(answer->rules[answer->rules_count - 1].topic);
}

enum auth_verdict auth_answer_say(struct auth_answer *answer, enum auth_verdict verdict, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(answer->what, sizeof answer->what, format, values);
    va_end(values);
    answer->verdict = (uint8_t)verdict;
    return verdict;
}

void auth_answer_attribute(struct auth_answer *answer, struct span name, struct span value)
{
    char lower[65];
    if (name.bytes == 0 || name.bytes >= sizeof lower) return;
    for (size_t i = 0; i < name.bytes; i++) {
        lower[i] = (char)tolower(name.data[i]);
        if (!islower((unsigned char)lower[i]) && !isdigit((unsigned char)lower[i]) && lower[i] != '_') return;
    }
    struct span wanted = span_of(lower, name.bytes);
    uint32_t at = 0;
    while (at < answer->attributes_count && !span_equal(span_of_string(answer->names[at]), wanted))
        at++;
    if (at == AUTH_ATTRIBUTES_MAX) return;
    if (at == answer->attributes_count) {
        answer->names[at] = memory_copy_string(wanted);
        answer->attributes_count++;
    } else {
        memory_release(answer->values[at]);
    }
    answer->values[at] = memory_copy_string(value);
}

static bool word_is(struct span word, const char *wanted)
{
    return word.bytes == strlen(wanted) && strncasecmp((const char *)word.data, wanted, word.bytes) == 0;
}

bool auth_truth(struct span text)
{
    static const char *const words[] = {"1", "t", "true", "yes", "y", "on"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (word_is(text, words[i])) return true;
    return false;
}

int auth_retain_word(struct span text)
{
    static const char *const words[] = {"0", "f", "false", "no", "n", "off"};
    if (text.bytes == 0 || word_is(text, "all")) return -1;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (word_is(text, words[i])) return 0;
    return auth_truth(text) ? 1 : -2;
}

const char *auth_answer_rule(struct auth_answer *answer, bool allow, uint8_t actions, struct span topic, uint8_t qos_mask, int retain)
{
    if (answer->rules_count == AUTH_RULES_MAX) return "more than 10,000 rules for one client";
    if (topic.bytes == 0 || topic.bytes > 65535) return "a rule without a topic, or with one longer than MQTT allows";
    if (answer->rules_count % 16 == 0) answer->rules = memory_resize(answer->rules, (answer->rules_count + 16) * sizeof *answer->rules);
    answer->rules[answer->rules_count++] =
        (struct auth_rule){.allow = allow, .actions = actions, .qos_mask = qos_mask, .retain = (int8_t)retain, .topic = memory_copy_string(topic)};
    answer->has_rules = true;
    return NULL;
}

const char *auth_answer_rule_words(struct auth_answer *answer, struct span permission, struct span action, struct span topic, uint8_t qos_mask, int retain)
{
    bool allow = word_is(permission, "allow");
    if (!allow && !word_is(permission, "deny")) return "a rule's permission is neither allow nor deny";
    uint8_t actions = word_is(action, "publish") || word_is(action, "pub")       ? AUTH_PUBLISH
                      : word_is(action, "subscribe") || word_is(action, "sub")   ? AUTH_SUBSCRIBE
                      : word_is(action, "all") || word_is(action, "pubsub") ? AUTH_ALL
                                                                            : 0;
    if (!actions) return "a rule's action is none of publish, subscribe and all";
    if (retain < -1) return "a rule's retain is none of true, false and all";
    return auth_answer_rule(answer, allow, actions, topic, qos_mask, retain);
}

void auth_text_add(struct auth_text *text, struct span more)
{
    if (text->bytes + more.bytes + 1 > text->room) { /* not by realloc: it would leave the old bytes behind */
        size_t room = (text->bytes + more.bytes + 1) * 2;
        char *data = memory_acquire(room);
        if (text->bytes) memcpy(data, text->data, text->bytes);
        secret_wipe(text->data, text->bytes);
        memory_release(text->data);
        text->data = data;
        text->room = room;
    }
    if (more.bytes) memcpy(text->data + text->bytes, more.data, more.bytes);
    text->bytes += more.bytes;
    text->data[text->bytes] = '\0';
}

void auth_text_release(struct auth_text *text)
{
    secret_wipe(text->data, text->bytes);
    memory_release(text->data);
    *text = (struct auth_text){0};
}

uint64_t auth_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t auth_unix_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec;
}
