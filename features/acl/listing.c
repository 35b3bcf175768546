/* listing.c - the rules in force, for administrators: each with its file and line, in the order in which they are asked. */
#include <pthread.h>

#include "base/memory.h"
#include "features/acl/acl.h"
#include "features/acl/rules_inside.h"
#include "features/common/request.h"

static struct {
    pthread_mutex_t lock;
    const struct acl_rules *inline_rules, *file_rules;
    char *file;
} in_force = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct acl_rules *share(const struct acl_rules *rules) { return rules ? acl_rules_share(rules) : NULL; }

void acl_listing(const struct acl_rules *inline_rules, const struct acl_rules *file_rules, const char *file)
{
    pthread_mutex_lock(&in_force.lock);
    const struct acl_rules *old_inline = in_force.inline_rules, *old_file = in_force.file_rules;
    in_force.inline_rules = share(inline_rules);
    in_force.file_rules = share(file_rules);
    memory_release(in_force.file);
    in_force.file = file ? memory_copy_string(span_of_string(file)) : NULL;
    pthread_mutex_unlock(&in_force.lock);
    acl_rules_release(old_inline);
    acl_rules_release(old_file);
}

struct page {
    uint64_t skip, limit;
    bool more;
    json_t *data;
};

/* Rules stand in the order of their lines: both are walked together. */
static void rules_take(struct page *page, const struct acl_rules *rules, const char *source, const char *file)
{
    struct span rest = rules ? rules->source : span_of(NULL, 0);
    uint32_t number = 1;
    for (uint32_t i = 0; rules && i < rules->rules_count && !page->more; i++) {
        const struct acl_rule *rule = &rules->rules[i];
        struct span line = span_of("", 0);
        while (rest.bytes && number <= rule->line) {
            const uint8_t *end = memchr(rest.data, '\n', rest.bytes);
            line = span_of(rest.data, end ? (size_t)(end - rest.data) : rest.bytes);
            rest = span_skip(rest, line.bytes + (end != NULL));
            number++;
        }
        if (page->skip) {
            page->skip--;
            continue;
        }
        page->more = json_array_size(page->data) == page->limit;
        if (page->more) return;
        json_array_append_new(page->data, json_pack("{s:s, s:s?, s:I, s:s, s:o}", "source", source, "file", file, "line", (json_int_t)rule->line, "permission",
                                                    rule->allow ? "allow" : "deny", "text", request_text_json(line)));
    }
}

void acl_rules_list(struct feature_request *request, const json_t *body)
{
    json_int_t number = json_integer_value(json_object_get(body, "page")), limit = json_integer_value(json_object_get(body, "limit"));
    if (number < 1) number = 1;
    if (limit < 1 || limit > 10000) limit = 100;
    struct page page = {.skip = (uint64_t)(number - 1) * (uint64_t)limit, .limit = (uint64_t)limit, .data = json_array()};
    pthread_mutex_lock(&in_force.lock);
    const struct acl_rules *inline_rules = share(in_force.inline_rules), *file_rules = share(in_force.file_rules);
    char *file = in_force.file ? memory_copy_string(span_of_string(in_force.file)) : NULL;
    pthread_mutex_unlock(&in_force.lock);
    rules_take(&page, inline_rules, "authorization.rules", NULL);
    rules_take(&page, file_rules, "authorization.file", file);
    json_int_t count = (inline_rules ? acl_rules_count(inline_rules) : 0) + (file_rules ? (json_int_t)acl_rules_count(file_rules) : 0);
    request_answer(request, json_pack("{s:o, s:{s:I, s:I, s:I, s:b}}", "data", page.data, "meta", "page", number, "limit", limit, "count", count, "hasnext", page.more));
    memory_release(file);
    acl_rules_release(inline_rules);
    acl_rules_release(file_rules);
}
