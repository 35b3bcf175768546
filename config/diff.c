/* Two configurations: what differs, and what of it a reload may take over. */
#include "config/values.h"

static const char *shown(const struct config_value *value)
{
    return value->key->type == TYPE_SECRET && *value->text ? "******" : value->text;
}

static void report(config_changed *changed, void *context, const struct config_value *old_value,
                   const struct config_value *new_value)
{
    const struct config_value *either = new_value ? new_value : old_value;
    struct config_change change = {.path = either->path,
                                   .old_text = old_value ? shown(old_value) : NULL,
                                   .new_text = new_value ? shown(new_value) : NULL,
                                   .reloadable = either->key->reloadable,
                                   .origin = either->origin};
    if (changed) changed(context, &change);
}

size_t config_diff(const struct config *old_config, const struct config *new_config, config_changed *changed, void *context)
{
    size_t count = 0;
    for (size_t i = 0; i < new_config->count; i++) {
        const struct config_value *new_value = &new_config->values[i];
        const struct config_value *old_value = values_find(old_config, new_value->path);
        if (old_value && strcmp(old_value->text, new_value->text) == 0) continue;
        report(changed, context, old_value, new_value);
        count++;
    }
    for (size_t i = 0; i < old_config->count; i++) {
        const struct config_value *old_value = &old_config->values[i];
        if (values_find(new_config, old_value->path)) continue;
        report(changed, context, old_value, NULL);
        count++;
    }
    return count;
}

struct config *config_merge_reloadable(const struct config *old_config, const struct config *new_config)
{
    struct config *merged = values_create(old_config->schema);
    for (size_t i = 0; i < new_config->count; i++) { /* listeners that are gone have no values there any more */
        const struct config_value *new_value = &new_config->values[i];
        const struct config_value *old_value = values_find(old_config, new_value->path);
        bool take_new = !old_value || new_value->key->reloadable || strcmp(old_value->text, new_value->text) == 0;
        values_add_copy(merged, take_new ? new_value : old_value);
    }
    values_collect_names(merged);
    values_apply(merged);
    return merged;
}
