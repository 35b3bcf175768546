/* The table itself: complete, consistent, and what follows from it up to date. */
#include "support.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "config/types.h"

Test(schema, every_key_is_complete)
{
    for (size_t i = 0; i < SCHEMA.keys_count; i++) {
        const struct schema_key *key = &SCHEMA.keys[i];
        const char *text = key->default_text ? key->default_text : key->default_of_default ? key->default_of_default[LISTENER_TCP] : "/x";
        uint64_t number;
        cr_assert(key->default_text || strstr(key->path, ".bind"), "%s has no default", key->path);
        cr_assert(key->documentation && strlen(key->documentation) > 20, "%s has no documentation", key->path);
        cr_assert_eq(key->documentation[strlen(key->documentation) - 1], '.', "%s", key->path);
        cr_assert(type_is_text(key->type) || type_parse(key, span_of_string(text), &number), "%s: default", key->path);
        cr_assert(key->type != TYPE_DURATION || key->unit_us, "%s has no unit", key->path);
        cr_assert(key->type != TYPE_ENUM || key->words, "%s has no words", key->path);
        cr_assert_eq(schema_has_name(key), key->kinds != 0, "%s", key->path);
        for (int kind = 0; kind < LISTENER_KINDS; kind++) {
            char path[SCHEMA_PATH_BYTES_MAX], listener[32];
            snprintf(listener, sizeof listener, "%s.x", listener_kind_names[kind]);
            schema_path_of(key, listener, path, sizeof path);
            if (key->kinds >> kind & 1) cr_assert_eq(schema_find(&SCHEMA, path), key, "%s is there twice", path);
            if (key->kinds == 0) cr_assert_eq(schema_find(&SCHEMA, key->path), key, "%s is there twice", key->path);
        }
        cr_assert_lt(strlen(key->path) + SCHEMA_NAME_BYTES_MAX, SCHEMA_PATH_BYTES_MAX);
        for (const char *c = key->path; *c && !schema_has_name(key); c++)
            cr_assert(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_' || *c == '.', "%s", key->path);
        bool in_section = false;
        for (size_t j = 0; j < SCHEMA.sections_count; j++)
            in_section |= strncmp(key->path, SCHEMA.sections[j].path, strlen(SCHEMA.sections[j].path)) == 0;
        cr_assert(in_section, "%s is in no section", key->path);
    }
}

/* A value at either end of its range, or a word, fits the member it is stored in. */
Test(schema, ranges_fit_their_members)
{
    for (size_t i = 0; i < SCHEMA.keys_count; i++) {
        const struct schema_key *key = &SCHEMA.keys[i];
        if (type_is_text(key->type)) continue;
        uint64_t most = key->bytes == 8 ? UINT64_MAX : (1ull << key->bytes * 8) - 1;
        cr_assert_leq(key->max, most, "%s", key->path);
        cr_assert_leq(key->min, key->max, "%s", key->path);
        for (const struct schema_word *word = key->words; word && word->name; word++)
            cr_assert_leq(word->value, most, "%s %s", key->path, word->name);
    }
}

static int by_offset(const void *a, const void *b)
{
    return (*(const struct schema_key *const *)a)->offset - (*(const struct schema_key *const *)b)->offset;
}

/* Listeners of other kinds have the same member under the same path, with other rules. */
static bool same_member_before(size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (strcmp(SCHEMA.keys[i].path, SCHEMA.keys[number].path) == 0) return true;
    return false;
}

/* No member without a key: between the members that have one there is no more than padding. */
static void check_covered(bool listeners, size_t skipped_bytes, size_t end)
{
    const struct schema_key *keys[256];
    size_t count = 0, at = skipped_bytes;
    for (size_t i = 0; i < SCHEMA.keys_count; i++)
        if (schema_has_name(&SCHEMA.keys[i]) == listeners && !same_member_before(i)) keys[count++] = &SCHEMA.keys[i];
    qsort(keys, count, sizeof *keys, by_offset);
    for (size_t i = 0; i < count; i++) {
        cr_assert_geq(keys[i]->offset, at, "%s lies over another", keys[i]->path);
        cr_assert_lt(keys[i]->offset - at, 8, "there is a member without a key before %s", keys[i]->path);
        at = keys[i]->offset + keys[i]->bytes;
    }
    cr_assert_lt(end - at, 8);
}

Test(schema, every_member_of_the_settings_has_a_key)
{
    check_covered(false, 0, offsetof(struct settings, listeners));
    check_covered(true, offsetof(struct listener_settings, enable), sizeof(struct listener_settings));
}

/* Who copies or compares a listener's settings must know all its texts. */
Test(schema, texts_of_a_listener)
{
    struct listener_settings settings = {0};
    char **texts[LISTENER_TEXTS_MAX];
    uint32_t count = listener_texts(&settings, texts);
    for (size_t i = 0; i < SCHEMA.keys_count; i++) {
        const struct schema_key *key = &SCHEMA.keys[i];
        bool known = !schema_has_name(key) || !type_is_text(key->type);
        for (uint32_t j = 0; j < count && !known; j++)
            known = (char *)texts[j] == (char *)&settings + key->offset;
        cr_assert(known, "%s is missing in listener_texts()", key->path);
    }
}

Test(schema, numbers_of_other_modules)
{
    static const char *const strategies[] = {"random", "round-robin", "sticky", "hash-client-id", "hash-topic", "least-inflight", "local"};
    const struct schema_key *strategy = schema_find(&SCHEMA, "mqtt.shared_subscription_strategy");
    const struct schema_key *level = schema_find(&SCHEMA, "log.level");
    uint64_t number;
    for (uint64_t i = 0; i < sizeof strategies / sizeof *strategies; i++)
        cr_assert(type_parse(strategy, span_of_string(strategies[i]), &number) && number == i, "%s", strategies[i]);
    for (uint64_t i = LOG_DEBUG; i <= LOG_OFF; i++)
        cr_assert(type_parse(level, span_of_string(log_level_name((enum log_level)i)), &number) && number == i);
}

Test(schema, names)
{
    cr_assert(schema_find(&SCHEMA, "listeners.tcp.a-b_1.bind"));
    cr_assert_null(schema_find(&SCHEMA, "listeners.tcp.bind"));
    cr_assert_null(schema_find(&SCHEMA, "listeners.tcp.x.bind.y"));
    cr_assert(schema_is_section(&SCHEMA, "listeners.tcp.x"));
    cr_assert(schema_is_section(&SCHEMA, "listeners"));
    cr_assert_not(schema_is_section(&SCHEMA, "listeners.tcp.x.bind"));
    cr_assert_not(schema_is_section(&SCHEMA, "mqt"));
    cr_assert(schema_name_valid("default") && schema_name_valid("0"));
    cr_assert_not(schema_name_valid("") || schema_name_valid("A") || schema_name_valid("a.b") || schema_name_valid("a b"));
}

Test(schema, nearest)
{
    static const struct {
        const char *written, *meant;
    } cases[] = {
        {"node.shrads", "node.shards"},
        {"node.shard", "node.shards"},
        {"mqtt.max_packet_siz", "mqtt.max_packet_size"},
        {"mqtt.maxpacketsize", "mqtt.max_packet_size"},
        {"max_packet_size", "mqtt.max_packet_size"},
        {"mqtt.max_retained", NULL},
        {"listeners.tcp.west.bnid", "listeners.tcp.west.bind"},
        {"listener.tcp.default.bind", "listeners.tcp.default.bind"},
        {"retain.max_messages", "retainer.max_messages"},
        {"log.levle", "log.level"},
        {"something.else", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[SCHEMA_PATH_BYTES_MAX];
        const char *nearest = schema_nearest(&SCHEMA, cases[i].written, path);
        cr_assert(cases[i].meant ? nearest && strcmp(nearest, cases[i].meant) == 0 : !nearest, "%s: %s", cases[i].written,
                  nearest ? nearest : "nothing");
    }
}

/* ---- files made from the table (that those in the tree are fresh: tests/e2e/run-config, with all features) -------------- */

/* As it stands, and with every key uncommented. */
Test(schema, sample_is_the_defaults)
{
    char *sample = printed_by(config_print_sample), *errors;
    struct config *defaults = load_sound(NULL, NULL, NULL);
    file_write("sample.conf", sample);
    struct config *same = load(LIST("sample.conf"), NULL, NULL, &errors);
    cr_assert(same, "%s", errors);
    cr_assert_eq(config_diff(defaults, same, NULL, NULL), 0);
    config_release(same);
    memory_release(errors);

    size_t uncommented = 0, wanted = 0; /* the other kinds' sections are commented out as a whole */
    for (size_t i = 0; i < SCHEMA.keys_count; i++)
        wanted += SCHEMA.keys[i].kinds == 0 || (SCHEMA.keys[i].kinds >> LISTENER_TCP & 1);
    for (char *line = strstr(sample, "\n  # "); line; line = strstr(line + 1, "\n  # ")) {
        const char *name = line + 5, *after = name + strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
        if (strncmp(after, " = ", 3) != 0) continue;
        line[3] = ' ';
        uncommented++;
    }
    cr_assert_eq(uncommented, wanted);
    file_write("sample.conf", sample);
    same = load(LIST("sample.conf"), NULL, NULL, &errors);
    cr_assert(same, "%s", errors);
    cr_assert_eq(config_diff(defaults, same, NULL, NULL), 0);
    char *text = effective(same);
    cr_assert_null(strstr(text, "# default"));
    memory_release(text);
    config_release(same);
    config_release(defaults);
    memory_release(errors);
    memory_release(sample);
}
