/* Tables of features beside the core's: keys, named sections, checks, what must not fit together. */
#include "support.h"

#include "config/schema.h"
#include "config/values.h"

struct source_settings {
    char *name, *server, *password;
    uint16_t port;
    uint32_t timeout_ms;
};

struct part_settings {
    char *chain;
    bool enable;
    uint64_t bytes;
    struct source_settings *sources;
    uint32_t sources_count;
};

#define IN(member) SCHEMA_MEMBER(struct part_settings, member)
#define OF(member) SCHEMA_MEMBER(struct source_settings, member)
static const struct schema_key keys[] = {
    {"login.chain", TYPE_STRING, IN(chain), .reloadable = true, .max = 100, .default_text = "", .documentation = "An order."},
    {"login.enable", TYPE_BOOL, IN(enable), .reloadable = true, .default_text = "false", .documentation = "On or off."},
    {"login.cache.bytes", TYPE_SIZE, IN(bytes), .max = 1 << 20, .default_text = "1KiB", .documentation = "A size."},
    {"login.NAME.server", TYPE_STRING, OF(server), .reloadable = true, .min = 1, .max = 100, .documentation = "Where."},
    {"login.NAME.port", TYPE_UNSIGNED, OF(port), .reloadable = true, .min = 1, .max = 65535, .default_text = "5432", .documentation = "Its port."},
    {"login.NAME.password", TYPE_SECRET, OF(password), .max = 100, .default_text = "", .documentation = "A secret."},
    {"login.NAME.timeout", TYPE_DURATION, OF(timeout_ms), .reloadable = true, .unit_us = SCHEMA_MS, .max = 60000, .default_text = "5s", .documentation = "How long."},
};
static const struct schema_section sections[] = {{"login", "Logins."}, {"login.cache", "Remembered."}, {"login.NAME", "Sources."}};
static const struct schema_group groups[] = {{.path = "login.NAME", .item_bytes = sizeof(struct source_settings), .name_offset = offsetof(struct source_settings, name),
                                              .items_offset = offsetof(struct part_settings, sources),
                                              .count_offset = offsetof(struct part_settings, sources_count), .max = 3}};

static bool guards(const void *settings) { return ((const struct part_settings *)settings)->enable; }

static const char *check(const void *settings, char *buffer, size_t bytes)
{
    const struct part_settings *mine = settings;
    if (!mine->enable || *mine->chain) return NULL;
    snprintf(buffer, bytes, "`login.enable` is true, but `login.chain` is empty: write names of %u sections there", mine->sources_count);
    return buffer;
}

static const struct schema_part part = {.name = "login", .keys = keys, .keys_count = SCHEMA_COUNT(keys), .sections = sections,
                                        .sections_count = SCHEMA_COUNT(sections), .groups = groups, .groups_count = SCHEMA_COUNT(groups),
                                        .settings_bytes = sizeof(struct part_settings), .guards = guards, .check = check};

static const struct schema *composed(void)
{
    static const struct schema *schema;
    static const struct schema_part *const parts[] = {&part};
    char error[256];
    if (!schema) cr_assert(schema_compose(parts, 1, &schema, error, sizeof error), "%s", error);
    return schema;
}

static struct config *load_text(const char *text, char **ret_errors)
{
    struct config_errors errors = {0};
    struct config *config = NULL;
    file_write("t", text);
    struct config_sources sources = {.files = LIST("t"), .files_count = 1};
    bool loaded = config_load_with(composed(), &sources, &config, &errors) && config_check_exposure(config, &errors);
    cr_assert_eq(loaded, errors.count == 0);
    *ret_errors = errors_text(&errors);
    return config;
}

static struct config *sound(const char *text)
{
    char *errors;
    struct config *config = load_text(text, &errors);
    cr_assert(config && !*errors, "%s", errors);
    memory_release(errors);
    return config;
}

static void wrong(const char *text, const char *expected)
{
    char *errors;
    struct config *config = load_text(text, &errors);
    cr_expect(strstr(errors, expected), "\n%s\ngave\n%s\nwithout\n%s", text, errors, expected);
    memory_release(errors);
    config_release(config);
}

Test(parts, defaults_and_sections)
{
    struct config *config = sound("");
    const struct part_settings *settings = config_part(config, &part);
    cr_assert(settings && !settings->enable && settings->bytes == 1024 && settings->sources_count == 0);
    cr_expect_str_eq(settings->chain, "");
    config_release(config);
    config = sound("login { chain = \"b, a\", enable = true, cache.bytes = 2k, b { server = x, port = 1 }, a { server = y, password = geheim, timeout = 70ms } }\n"
                   "node.name = n");
    settings = config_part(config, &part);
    cr_assert_eq(settings->sources_count, 2);
    cr_expect_str_eq(settings->sources[0].name, "a");
    cr_expect_str_eq(settings->sources[0].server, "y");
    cr_expect_str_eq(settings->sources[0].password, "geheim");
    cr_expect_eq(settings->sources[0].port, 5432);
    cr_expect_eq(settings->sources[0].timeout_ms, 70);
    cr_expect_str_eq(settings->sources[1].name, "b");
    cr_expect_eq(settings->sources[1].port, 1);
    cr_expect_eq(settings->bytes, 2048);
    cr_expect_str_eq(config_settings(config)->node.name, "n");
    cr_expect_eq(config_settings(config)->listeners_count, 1, "sections of features are no listeners");
    char *text = effective(config);
    assert_contains(text, "login.a.password = \"******\"");
    assert_contains(text, "login.b.server = \"x\"");
    cr_expect_not(strstr(text, "geheim"));
    memory_release(text);
    config_release(config);
}

Test(parts, mistakes)
{
    wrong("login.cache { bytes = 1k, server = x }", "`login.cache` has keys of its own, and cannot be the name of another section");
    wrong("login.a.port = 1", "t:1:1: `login.a.server` is missing; write one for this section");
    wrong("login.a { server = x, prot = 1 }", "did you mean `login.a.port`?");
    wrong("login.a { server = x, port = 0 }", "`login.a.port` is");
    wrong("login.A { server = x }", "`A` cannot be the name of a section");
    wrong("login.a = 1", "`login.a` is a section, not a value");
    wrong("login.chain { server = x }", "`login.chain` is");
    wrong("login { a.server = x, b.server = x, c.server = x, d.server = x }", "there are more than 3 sections in `login`");
    wrong("login.enable = true", "t:1:1");
    wrong("login.enable = true", "`login.chain` is empty: write names of 0 sections");
    wrong("login.chian = x", "did you mean `login.chain`?");
}

Test(parts, who_guards_may_listen_everywhere)
{
    wrong("listeners.tcp.default.bind = \"0.0.0.0:1883\"", "no authentication is configured");
    config_release(sound("listeners.tcp.default.bind = \"0.0.0.0:1883\"\nlogin { enable = true, chain = a }"));
}

static void note(void *context, const struct config_change *change)
{
    char *text = context;
    snprintf(text + strlen(text), 1000 - strlen(text), "%s %s>%s %d\n", change->path, change->old_text ? change->old_text : "-",
             change->new_text ? change->new_text : "-", change->reloadable);
}

Test(parts, reload)
{
    struct config *before = sound("login { cache.bytes = 1k, a { server = x, password = one }, b.server = y }");
    struct config *after = sound("login { cache.bytes = 2k, a { server = z, password = two }, c.server = w }");
    char changes[1000] = "";
    cr_expect_eq(config_diff(before, after, note, changes), 11);
    assert_contains(changes, "login.cache.bytes 1KiB>2KiB 0\n");
    assert_contains(changes, "login.a.server x>z 1\n");
    assert_contains(changes, "login.a.password ******>****** 0\n");
    assert_contains(changes, "login.b.server y>- 1\n");
    assert_contains(changes, "login.c.server ->w 1\n");
    struct config *merged = config_merge_reloadable(before, after);
    const struct part_settings *settings = config_part(merged, &part);
    cr_assert_eq(settings->sources_count, 2);
    cr_expect_str_eq(settings->sources[0].server, "z");
    cr_expect_str_eq(settings->sources[0].password, "one", "it waits for a restart");
    cr_expect_str_eq(settings->sources[1].name, "c");
    cr_expect_eq(settings->bytes, 1024);
    config_release(before);
    config_release(after);
    config_release(merged);
}

/* ---- tables that do not fit -------------------------------------------------------------------------------------- */

static void refused(const struct schema_key *key, const char *expected)
{
    struct schema_part bad = part;
    const struct schema_part *const parts[] = {&bad};
    const struct schema *schema = NULL;
    char error[256] = "";
    bad.keys = key;
    bad.keys_count = 1;
    cr_expect_not(schema_compose(parts, 1, &schema, error, sizeof error), "%s", key->path);
    cr_expect(strstr(error, expected), "%s: %s", key->path, error);
}

Test(parts, tables_that_are_not_sound)
{
    struct schema_key good = {"login.x", TYPE_BOOL, IN(enable), .default_text = "true", .documentation = "X."}, bad;
#define REFUSED(expected, ...) bad = good, __VA_ARGS__, refused(&bad, expected)
    REFUSED("there is such a key already", bad.path = "node.name");
    REFUSED("it lies in no section", bad.path = "elsewhere.x");
    REFUSED("its path has no section", bad.path = "x");
    REFUSED("no group of the part fits", bad.path = "other.NAME.x");
    REFUSED("for the core", bad.path = "login.KIND.NAME.x");
    REFUSED("it has no default", bad.default_text = NULL);
    REFUSED("its default is no value", bad.default_text = "maybe");
    REFUSED("lies outside", bad.offset = 4000);
    REFUSED("the wrong size", (bad.type = TYPE_UNSIGNED, bad.max = 5, bad.default_text = "1", bad.bytes = 3));
    REFUSED("no documentation", bad.documentation = NULL);
}
