/* Two configurations; and secrets, which no key has yet, with a table of their own. */
#include "support.h"

#include "config/values.h"

struct seen {
    char text[65536];
};

static void note(void *context, const struct config_change *change)
{
    struct seen *seen = context;
    char origin[CONFIG_ORIGIN_BYTES_MAX];
    config_origin_format(&change->origin, origin, sizeof origin);
    sprintf(seen->text + strlen(seen->text), "%s: %s -> %s %s (%s)\n", change->path, change->old_text ? change->old_text : "-",
            change->new_text ? change->new_text : "-", change->reloadable ? "reload" : "restart", origin);
}

Test(reload, changes)
{
    struct seen seen = {""};
    struct config *old_config = load_sound(NULL, NULL, LIST("node.shards=1", "log.level=warn"));
    struct config *new_config =
        load_sound(NULL, NULL, LIST("node.shards=2", "log.level=warn", "mqtt.max_inflight=7", "node.name=b"));
    cr_assert_eq(config_diff(old_config, new_config, note, &seen), 3);
    cr_assert_str_eq(seen.text, "node.name: ringmq -> b restart (command line --set node.name)\n"
                                "node.shards: 1 -> 2 restart (command line --set node.shards)\n"
                                "mqtt.max_inflight: 1024 -> 7 reload (command line --set mqtt.max_inflight)\n");
    struct config *merged = config_merge_reloadable(old_config, new_config);
    config_release(new_config);
    cr_assert_eq(config_settings(merged)->node.shards, 1);
    cr_assert_str_eq(config_settings(merged)->node.name, "ringmq");
    cr_assert_eq(config_settings(merged)->mqtt.inflight_max, 7);
    cr_assert_eq(config_settings(merged)->log.level, 3);
    config_release(old_config);
    cr_assert_str_eq(config_settings(merged)->listeners[0].bind, "127.0.0.1:1883");
    config_release(merged);
}

Test(reload, same_value_written_otherwise_is_no_change)
{
    struct config *old_config = load_sound(NULL, NULL, LIST("mqtt.max_packet_size=2MiB", "sys.interval=60s"));
    struct config *new_config = load_sound(NULL, NULL, LIST("mqtt.max_packet_size=2048k", "sys.interval=1m"));
    cr_assert_eq(config_diff(old_config, new_config, NULL, NULL), 0);
    config_release(old_config);
    config_release(new_config);
}

Test(reload, listeners_come_and_go)
{
    struct seen seen = {""};
    struct config *old_config = load_sound(NULL, NULL, LIST("listeners.tcp.a.bind=127.0.0.1:1"));
    struct config *new_config = load_sound(NULL, NULL, LIST("listeners.tcp.b.bind=127.0.0.1:2"));
    config_diff(old_config, new_config, note, &seen);
    assert_contains(seen.text, "listeners.tcp.b.bind: - -> 127.0.0.1:2 reload");
    assert_contains(seen.text, "listeners.tcp.a.bind: 127.0.0.1:1 -> - reload");
    struct config *merged = config_merge_reloadable(old_config, new_config);
    cr_assert_eq(config_settings(merged)->listeners_count, 2);
    cr_assert_str_eq(config_settings(merged)->listeners[0].name, "b");
    config_release(old_config);
    config_release(new_config);
    config_release(merged);
}

/* ---- secrets ------------------------------------------------------------------------------------------------------ */

static const struct schema_key secret_keys[] = {
    {"node.password", TYPE_SECRET, .reloadable = true, .bytes = sizeof(char *), .offset = offsetof(struct settings, node.name), .max = 20,
     .default_text = "", .documentation = "A secret."},
};
static const struct schema secret_schema = {.keys = secret_keys, .keys_count = 1};

static struct config *load_secret(const char *set, char **ret_errors)
{
    struct config_sources sources = {.sets = &set, .sets_count = 1};
    struct config_errors errors = {0};
    struct config *config = NULL;
    cr_assert_eq(config_load_with(&secret_schema, &sources, &config, &errors), errors.count == 0);
    *ret_errors = errors_text(&errors);
    return config;
}

Test(secrets, from_files_and_never_shown)
{
    char *errors;
    static const char *const contents[][2] = {{"hush", "hush"}, {"hush\n", "hush"}, {"hush\r\n", "hush"}, {"a\nb\n", "a\nb"}, {"", ""}};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        file_write("secret", contents[i][0]);
        struct config *config = load_secret("node.password=file://secret", &errors);
        cr_assert(config, "%s", errors);
        cr_assert_str_eq(config_settings(config)->node.name, contents[i][1]);
        char *text = effective(config);
        cr_assert_null(strstr(text, "hush"));
        assert_contains(text, *contents[i][1] ? "node.password = \"******\"" : "node.password = \"\"");
        memory_release(text);
        config_release(config);
        memory_release(errors);
    }
}

Test(secrets, changes_are_seen_but_not_shown)
{
    char *errors;
    struct seen seen = {""};
    struct config *old_config = load_secret("node.password=one", &errors);
    memory_release(errors);
    struct config *new_config = load_secret("node.password=two", &errors);
    memory_release(errors);
    cr_assert_eq(config_diff(old_config, new_config, note, &seen), 1);
    cr_assert_str_eq(seen.text, "node.password: ****** -> ****** reload (command line --set node.password)\n");
    config_release(old_config);
    config_release(new_config);
}

Test(secrets, errors_do_not_show_them)
{
    char *errors;
    file_write("long", "123456789012345678901234567890");
    cr_assert_null(load_secret("node.password=file://none", &errors));
    cr_assert_str_eq(errors, "command line --set node.password: `node.password`: cannot read none: No such file or directory; give a "
                             "readable file with one line of text");
    memory_release(errors);
    static const char *const sets[] = {"node.password=file://long", "node.password=x23456789012345678901234567890"};
    for (int i = 0; i < 2; i++) {
        cr_assert_null(load_secret(sets[i], &errors));
        cr_assert_str_eq(errors, "command line --set node.password: `node.password` is a string; write a string of up to 20 bytes, or "
                                 "file://PATH");
        memory_release(errors);
    }
}
