/* A configuration, key by key, for those that show it. */
#include "base/check.h"
#include "config/types.h"
#include "config/values.h"

static void entry_of(const struct config_value *value, struct config_entry *entry, char *default_text, char *wanted, size_t wanted_bytes)
{
    const struct schema_key *key = value->key;
    const char *fallback = key->default_text;
    if (value->name && key->default_of_default && strcmp(strchr(value->name, '.') + 1, SCHEMA_DEFAULT_NAME) == 0)
        fallback = key->default_of_default[schema_kind_of(value->name)];
    uint64_t number;
    if (fallback && !type_is_text(key->type)) {
        CHECK(type_parse(key, span_of_string(fallback), &number));
        type_format(key, number, default_text, TYPE_TEXT_BYTES_MAX);
        fallback = default_text;
    }
    type_describe(key, wanted, wanted_bytes);
    bool secret = key->type == TYPE_SECRET && *value->text;
    *entry = (struct config_entry){.path = value->path, .text = secret ? "******" : value->text, .default_text = fallback, .origin = value->origin,
                                   .reloadable = key->reloadable, .wanted = wanted, .documentation = key->documentation};
}

void config_each(const struct config *config, void (*each)(void *context, const struct config_entry *entry), void *context)
{
    char default_text[TYPE_TEXT_BYTES_MAX], wanted[512];
    for (size_t i = 0; i < config->count; i++) {
        struct config_entry entry;
        entry_of(&config->values[i], &entry, default_text, wanted, sizeof wanted);
        each(context, &entry);
    }
}

bool config_find(const struct config *config, const char *path, void (*found)(void *context, const struct config_entry *entry), void *context)
{
    char default_text[TYPE_TEXT_BYTES_MAX], wanted[512];
    struct config_entry entry;
    const struct config_value *value = values_find(config, path);
    if (!value) return false;
    entry_of(value, &entry, default_text, wanted, sizeof wanted);
    found(context, &entry);
    return true;
}
