#include "config/values.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "config/bind.h"
#include "config/types.h"

struct config *values_create(const struct schema *schema)
{
    struct config *config = memory_acquire_zeroed(sizeof *config);
    config->schema = schema;
    return config;
}

void config_release(struct config *config)
{
    if (!config) return;
    arena_release(&config->arena);
    memory_release(config);
}

const struct settings *config_settings(const struct config *config) { return &config->settings; }

const struct config_value *values_find(const struct config *config, const char *path)
{
    for (size_t i = 0; i < config->count; i++)
        if (strcmp(config->values[i].path, path) == 0) return &config->values[i];
    return NULL;
}

void values_add_copy(struct config *config, const struct config_value *value)
{
    struct arena *arena = &config->arena;
    struct config_value copy = *value;
    copy.path = arena_copy_string(arena, value->path);
    copy.name = value->name ? arena_copy_string(arena, value->name) : NULL;
    copy.text = arena_copy_string(arena, value->text);
    copy.origin.name = arena_copy_string(arena, value->origin.name ? value->origin.name : "");
    config->values = arena_grow(arena, config->values, config->count, sizeof copy);
    config->values[config->count++] = copy;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

void values_collect_names(struct config *config)
{
    config->names = NULL;
    config->names_count = 0;
    for (size_t i = 0; i < config->count; i++) {
        const char *name = config->values[i].key->part ? NULL : config->values[i].name;
        bool known = !name;
        for (uint32_t j = 0; j < config->names_count && !known; j++)
            known = strcmp(config->names[j], name) == 0;
        if (known) continue;
        config->names = arena_grow(&config->arena, config->names, config->names_count, sizeof name);
        config->names[config->names_count++] = name;
    }
    if (config->names_count) qsort(config->names, config->names_count, sizeof *config->names, compare_names);
}

/* ---- into the settings -------------------------------------------------------------------------------------------- */

static void store(const struct schema_key *key, void *whole, const struct config_value *value)
{
    uint8_t *member = (uint8_t *)whole + key->offset;
    if (type_is_text(key->type)) {
        CHECK(key->bytes == sizeof(char *));
        memcpy(member, &value->text, sizeof(char *));
        return;
    }
    uint8_t byte = (uint8_t)value->number;
    uint16_t two = (uint16_t)value->number;
    uint32_t four = (uint32_t)value->number;
    const void *sized = key->bytes == 1 ? (void *)&byte : key->bytes == 2 ? (void *)&two : key->bytes == 4 ? (void *)&four
                                                                                         : (void *)&value->number;
    memcpy(member, sized, key->bytes);
}

/* The names in a group's sections, sorted: into ret_names. */
static uint32_t group_names(const struct config *config, const struct schema_group *group, const char *ret_names[static SCHEMA_NAMES_MAX])
{
    uint32_t count = 0;
    for (size_t i = 0; i < config->count; i++) {
        const struct config_value *value = &config->values[i];
        bool known = !value->name || !value->key->part || schema_group_of(value->key) != group;
        for (uint32_t j = 0; j < count && !known; j++)
            known = strcmp(ret_names[j], value->name) == 0;
        if (known) continue;
        CHECK(count < SCHEMA_NAMES_MAX); /* values_fill() has said so */
        ret_names[count++] = value->name;
    }
    if (count) qsort(ret_names, count, sizeof *ret_names, compare_names);
    return count;
}

static void apply_group(struct config *config, const struct schema_group *group, uint8_t *settings)
{
    const char *names[SCHEMA_NAMES_MAX];
    uint32_t count = group_names(config, group, names);
    uint8_t *items = arena_take(&config->arena, (count + 1) * group->item_bytes);
    memcpy(settings + group->items_offset, &items, sizeof items);
    memcpy(settings + group->count_offset, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++)
        memcpy(items + i * group->item_bytes + group->name_offset, &names[i], sizeof names[i]);
    for (size_t i = 0; i < config->count; i++) {
        const struct config_value *value = &config->values[i];
        if (!value->name || !value->key->part || schema_group_of(value->key) != group) continue;
        uint32_t number = 0;
        while (strcmp(names[number], value->name) != 0)
            number++;
        store(value->key, items + number * group->item_bytes, value);
    }
}

static void apply_part(struct config *config, const struct schema_part *part, uint8_t *settings)
{
    for (size_t i = 0; i < config->count; i++)
        if (config->values[i].key->part == part && !config->values[i].name) store(config->values[i].key, settings, &config->values[i]);
    for (size_t i = 0; i < part->groups_count; i++)
        apply_group(config, &part->groups[i], settings);
}

static void apply_parts(struct config *config)
{
    const struct schema *schema = config->schema;
    config->parts = arena_take(&config->arena, (schema->parts_count + 1) * sizeof *config->parts);
    for (size_t i = 0; i < schema->parts_count; i++) {
        config->parts[i] = arena_take(&config->arena, schema->parts[i]->settings_bytes + 1);
        apply_part(config, schema->parts[i], config->parts[i]);
    }
}

const void *config_part(const struct config *config, const struct schema_part *part)
{
    for (size_t i = 0; i < config->schema->parts_count; i++)
        if (config->schema->parts[i] == part) return config->parts[i];
    return NULL;
}

void values_apply(struct config *config)
{
    apply_parts(config);
    struct settings *settings = &config->settings;
    *settings = (struct settings){.listeners_count = config->names_count};
    settings->listeners = arena_take(&config->arena, (config->names_count + 1) * sizeof *settings->listeners);
    for (uint32_t i = 0; i < config->names_count; i++) {
        settings->listeners[i].name = (char *)(strchr(config->names[i], '.') + 1);
        settings->listeners[i].kind = schema_kind_of(config->names[i]);
    }
    for (size_t i = 0; i < config->count; i++) {
        const struct config_value *value = &config->values[i];
        if (value->key->part) continue;
        uint32_t number = 0;
        while (value->name && strcmp(config->names[number], value->name) != 0)
            number++;
        store(value->key, value->name ? (void *)&settings->listeners[number] : (void *)settings, value);
    }
}

/* ---- checks across keys ------------------------------------------------------------------------------------------- */

static const struct config_value *listener_value(const struct config *config, const char *name, const char *last)
{
    char path[SCHEMA_PATH_BYTES_MAX];
    snprintf(path, sizeof path, "listeners.%s.%s", name, last);
    return values_find(config, path);
}

/* False for a listener that is disabled, has no sound address, or is a Unix socket. */
static bool listener_open(const struct config *config, const char *name, struct bind_address *ret_address)
{
    const struct config_value *enable = listener_value(config, name, "enable"), *bind = listener_value(config, name, "bind");
    return enable && enable->number && bind && schema_kind_of(name) != LISTENER_UNIX && !bind_parse(span_of_string(bind->text), ret_address);
}

static void check_collisions(const struct config *config, struct config_errors *errors)
{
    for (uint32_t i = 0; i < config->names_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            struct bind_address first, second;
            bool both = listener_open(config, config->names[j], &first) && listener_open(config, config->names[i], &second);
            if (!both || !bind_collides(&first, &second)) continue;
            const struct config_value *a = listener_value(config, config->names[j], "bind");
            const struct config_value *b = listener_value(config, config->names[i], "bind");
            const struct config_value *blamed = b->origin.kind != ORIGIN_DEFAULT ? b : a, *other = blamed == b ? a : b;
            config_errors_add(errors, &blamed->origin, "`%s` is \"%s\", where `%s` (\"%s\") listens; give it another port, or "
                              "disable one of the two with enable = false", blamed->path, blamed->text, other->path, other->text);
        }
}

static void check_connections(const struct config *config, struct config_errors *errors)
{
    const struct config_value *node = values_find(config, "node.max_connections");
    for (uint32_t i = 0; node && i < config->names_count; i++) {
        const struct config_value *listener = listener_value(config, config->names[i], "max_connections");
        if (!listener || listener->number <= node->number) continue;
        config_errors_add(errors, &listener->origin, "`%s` is %s, more than `node.max_connections` (%s) allows; lower it or raise "
                          "node.max_connections", listener->path, listener->text, node->text);
    }
}

static void check_sockets(const struct config *config, struct config_errors *errors)
{
    for (uint32_t i = 0; i < config->names_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct config_value *a = listener_value(config, config->names[j], "bind"), *b = listener_value(config, config->names[i], "bind");
            bool both = schema_kind_of(config->names[i]) == LISTENER_UNIX && schema_kind_of(config->names[j]) == LISTENER_UNIX && a && b;
            if (both && strcmp(a->text, b->text) == 0)
                config_errors_add(errors, &b->origin, "`%s` is \"%s\", which is the socket of `%s`; give it another path", b->path, b->text, a->path);
        }
}

/* What a proxy says about its clients counts only when the proxy is known. */
static void check_proxies(const struct config *config, struct config_errors *errors)
{
    static const char *const sources[] = {"proxy_protocol", "websocket.client_address"};
    for (uint32_t i = 0; i < config->names_count; i++)
        for (size_t j = 0; j < sizeof sources / sizeof *sources; j++) {
            const struct config_value *source = listener_value(config, config->names[i], sources[j]);
            const struct config_value *trusted = listener_value(config, config->names[i], "trusted_proxies");
            if (!source || source->number == 0 || !trusted || *trusted->text) continue;
            config_errors_add(errors, &source->origin, "`%s` is %s, but `%s` is empty: nobody could use it; write the proxies' networks there, "
                              "such as \"127.0.0.1, 10.0.0.0/8\"", source->path, source->text, trusted->path);
        }
}

/* Combinations of TLS keys that can't be meant. */
static void check_tls(const struct config *config, struct config_errors *errors)
{
    static const char *const of_clients[] = {"tls.crlfile", "tls.peer_cert_as_username", "tls.peer_cert_as_clientid"};
    for (uint32_t i = 0; i < config->names_count; i++) {
        const char *name = config->names[i];
        const struct config_value *enable = listener_value(config, name, "enable"), *verify = listener_value(config, name, "tls.verify");
        if (!verify || !enable || !enable->number) continue;
        const struct config_value *certificate = listener_value(config, name, "tls.certfile"), *psk = listener_value(config, name, "tls.psk_file");
        const struct config_value *oldest = listener_value(config, name, "tls.min_version"), *newest = listener_value(config, name, "tls.max_version");
        const struct config_value *ca = listener_value(config, name, "tls.cacertfile");
        if (certificate && psk && !*certificate->text && !*psk->text)
            config_errors_add(errors, &enable->origin, "`%s` is empty, and so is `%s`: the listener has nothing to show clients; docs/tls.md says "
                              "how to make a certificate", certificate->path, psk->path);
        if (oldest && newest && oldest->number > newest->number)
            config_errors_add(errors, &oldest->origin, "`%s` is %s, which is newer than `%s` (%s)", oldest->path, oldest->text, newest->path, newest->text);
        if (verify->number && ca && !*ca->text)
            config_errors_add(errors, &verify->origin, "`%s` is %s, but `%s` is empty: no client could be verified", verify->path, verify->text, ca->path);
        for (size_t j = 0; j < sizeof of_clients / sizeof *of_clients && !verify->number; j++) {
            const struct config_value *value = listener_value(config, name, of_clients[j]);
            bool set = value && (value->key->type == TYPE_STRING ? *value->text != 0 : value->number != 0);
            if (set)
                config_errors_add(errors, &value->origin, "`%s` is set, but `%s` is %s: no client is asked for a certificate; write verify_peer there",
                                  value->path, verify->path, verify->text);
        }
    }
}

/* What a part says about its settings as a whole. It names its keys: the first one that lies there is where to look. */
void values_check_parts(const struct config *config, struct config_errors *errors)
{
    for (size_t i = 0; i < config->schema->parts_count; i++) {
        const struct schema_part *part = config->schema->parts[i];
        char buffer[512];
        const char *wrong = part->check ? part->check(config->parts[i], buffer, sizeof buffer) : NULL;
        if (!wrong) continue;
        const struct config_origin *origin = NULL; /* of a key it names, rather one that somebody has written */
        for (size_t j = 0; j < config->count; j++) {
            const struct config_value *value = &config->values[j];
            bool better = !origin || (origin->kind == ORIGIN_DEFAULT && value->origin.kind != ORIGIN_DEFAULT);
            if (value->key->part == part && strstr(wrong, value->path) && better) origin = &value->origin;
        }
        config_errors_add(errors, origin, "%s", wrong);
    }
}

void values_check(const struct config *config, struct config_errors *errors)
{
    check_collisions(config, errors);
    check_sockets(config, errors);
    check_proxies(config, errors);
    check_tls(config, errors);
    check_connections(config, errors);
}

bool config_check_exposure(const struct config *config, struct config_errors *errors)
{
    const struct config_value *anonymous = values_find(config, "mqtt.allow_anonymous");
    if (!anonymous || anonymous->number != ANONYMOUS_LOOPBACK) return true;
    for (size_t i = 0; i < config->schema->parts_count; i++)
        if (config->schema->parts[i]->guards && config->schema->parts[i]->guards(config->parts[i])) return true;
    bool sound = true;
    for (uint32_t i = 0; i < config->names_count; i++) {
        struct bind_address address;
        if (!listener_open(config, config->names[i], &address) || address.loopback) continue;
        const struct config_value *bind = listener_value(config, config->names[i], "bind");
        config_errors_add(errors, &bind->origin,
                          "`%s` is \"%s\", which other machines can reach, and no authentication is configured: anybody could "
                          "connect. If that is what you want, write mqtt.allow_anonymous = true; if not, listen on "
                          "\"127.0.0.1:%u\"", bind->path, bind->text, address.port);
        sound = false;
    }
    return sound;
}
