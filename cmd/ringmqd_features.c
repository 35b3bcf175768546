#include "cmd/ringmqd_features.h"

#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"

static struct feature_list list;

/* ---- which ------------------------------------------------------------------------------------------------------- */

static bool parts_add(void)
{
    const struct schema_part *parts[FEATURES_MAX];
    size_t count = 0;
    char error[512];
    for (uint32_t i = 0; i < list.count; i++)
        if (list.features[i]->configuration) parts[count++] = list.features[i]->configuration;
    if (config_add_parts(parts, count, error, sizeof error)) return true;
    fprintf(stderr, "ringmqd: %s\n", error);
    return false;
}

bool ringmqd_features_know(void)
{
    char error[512];
    for (const struct feature *const *feature = features_built_in; *feature; feature++)
        if (!feature_list_add(&list, *feature, error, sizeof error)) {
            fprintf(stderr, "ringmqd: feature %s: %s\n", (*feature)->name, error);
            return false;
        }
    return parts_add();
}

bool ringmqd_features_load(const struct ringmqd_arguments *arguments)
{
    char *modules, *path, error[2048];
    if (!ringmqd_config_peek(arguments, "features.load", &modules)) {
        memory_release(modules);
        return true; /* the sources cannot be read: whoever reads them next says why */
    }
    ringmqd_config_peek(arguments, "features.module_path", &path);
    bool loaded = feature_list_load(&list, modules, path, error, sizeof error);
    if (!loaded) fprintf(stderr, "ringmqd: features.load: %s\n", error);
    bool any = *modules != 0;
    memory_release(modules);
    memory_release(path);
    return loaded && (!any || parts_add());
}

/* ---- with the broker --------------------------------------------------------------------------------------------- */

static const void *settings_of(void *context, const struct feature *feature)
{
    return feature->configuration ? config_part(context, feature->configuration) : NULL;
}

struct features *ringmqd_features_create(const struct config *config, struct broker *broker)
{
    char error[1024];
    struct features *features =
        features_create(&list, broker, config_settings(config), settings_of, (void *)(uintptr_t)config, error, sizeof error);
    if (!features) LOG(ERROR, "cannot start", "what=%s", log_quoted(span_of_string(error)));
    return features;
}

bool ringmqd_features_check(const struct config *config)
{
    char error[1024];
    struct broker *broker = broker_create(config_settings(config), 1, 0);
    struct features *features =
        features_create(&list, broker, config_settings(config), settings_of, (void *)(uintptr_t)config, error, sizeof error);
    if (features)
        features_halt(features);
    else
        fprintf(stderr, "%s\n", error);
    features_destroy(features);
    broker_destroy(broker);
    return features != NULL;
}

bool ringmqd_features_prepare(struct features *features, const struct config *config)
{
    char error[1024];
    if (features_prepare(features, config_settings(config), settings_of, (void *)(uintptr_t)config, error, sizeof error)) return true;
    LOG(ERROR, "configuration not reloaded", "what=%s", log_quoted(span_of_string(error)));
    return false;
}

void ringmqd_features_turn(struct features *features, uint64_t *ticked_ms)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t now_ms = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
    features_events_turn(features);
    if (now_ms - *ticked_ms < 1000) return;
    *ticked_ms = now_ms;
    features_control_tick(features);
}

/* ---- what is said ------------------------------------------------------------------------------------------------ */

void ringmqd_features_print(const struct features *features)
{
    char on[512] = "", off[512] = "";
    for (uint32_t i = 0; i < list.count; i++) {
        char *names = features_on(features, i) ? on : off;
        snprintf(names + strlen(names), 512 - strlen(names), "%s%s", *names ? "," : "", list.features[i]->name);
    }
    LOG(INFO, "features", "on=%s off=%s", *on ? on : "none", *off ? off : "none");
}

int ringmqd_features_act(enum ringmqd_action action)
{
    if (action == RINGMQD_PRINT_HOOKS) {
        puts("| kind | moment | when |\n|---|---|---|");
        features_print_hooks(stdout);
    } else {
        for (uint32_t i = 0; i < list.count; i++)
            printf("%s %s - %s\n", list.features[i]->name, list.features[i]->version ? list.features[i]->version : "", list.features[i]->documentation);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
