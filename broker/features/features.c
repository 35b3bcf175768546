/* features/features.c - which features there are, and their life on the control thread. */
#include "broker/features/features.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"

const char *const feature_moment_names[FEATURE_MOMENTS] = {
#define GATE(name, documentation) #name,
#define TAP(name, documentation) #name,
#include "broker/hooks.def"
#undef GATE
#undef TAP
};

static const char *const moment_documentation[FEATURE_MOMENTS] = {
#define GATE(name, documentation) documentation,
#define TAP(name, documentation) documentation,
#include "broker/hooks.def"
#undef GATE
#undef TAP
};

/* hooks.def says: gates first. */
enum {
#define GATE(name, documentation) gate_##name,
#define TAP(name, documentation)
#include "broker/hooks.def"
#undef GATE
#undef TAP
    gates_listed
};
_Static_assert(gates_listed == FEATURE_GATES, "FEATURE_GATES is their number");
_Static_assert(FEATURE_MOMENTS <= 31, "moments are bits of 32, and one is FEATURE_SINKS");

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static bool name_valid(const char *name)
{
    return name && *name && strlen(name) <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static bool add_one(struct feature_list *list, const struct feature *feature, char *ret_error, size_t error_bytes)
{
    if (feature->abi != FEATURE_ABI) { /* nothing else of it may be read */
        snprintf(ret_error, error_bytes, "it was compiled for version %u of the feature interface, this ringmqd (" RINGMQ_VERSION ") has version %u; "
                 "compile it against this version's broker/feature.h", feature->abi, FEATURE_ABI);
        return false;
    }
    if (!name_valid(feature->name)) {
        snprintf(ret_error, error_bytes, "its name must be 1 to 32 of a-z, 0-9 and _");
        return false;
    }
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->features[i]->name, feature->name) == 0) {
            snprintf(ret_error, error_bytes, "there is a feature called %s already", feature->name);
            return false;
        }
    if (list->count == FEATURES_MAX) {
        snprintf(ret_error, error_bytes, "there are %d features already, which is all there can be", FEATURES_MAX);
        return false;
    }
    uint32_t place = list->count++;
    for (; place > 0 && list->features[place - 1]->stage > feature->stage; place--)
        list->features[place] = list->features[place - 1];
    list->features[place] = feature;
    return true;
}

bool feature_list_add(struct feature_list *list, const struct feature *feature, char *ret_error, size_t error_bytes)
{
    for (; feature; feature = feature->also)
        if (!add_one(list, feature, ret_error, error_bytes)) return false;
    return true;
}

void features_print_hooks(FILE *file)
{
    for (int moment = 0; moment < FEATURE_MOMENTS; moment++)
        fprintf(file, "| %s | `%s` | %s |\n", moment < FEATURE_GATES ? "gate" : "tap", feature_moment_names[moment], moment_documentation[moment]);
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

static bool prepare_one(struct feature_part *part, const void *settings, bool *rules_expected, struct feature_setup *ret_setup, char *ret_error,
                        size_t error_bytes)
{
    *ret_setup = (struct feature_setup){0};
    if (!part->feature->prepare) return true;
    size_t used = (size_t)snprintf(ret_error, error_bytes, "%s: ", part->feature->name);
    part->node.rules_expected = *rules_expected;
    bool prepared = part->feature->prepare(&part->node, settings, ret_setup, ret_error + used, error_bytes - used);
    *rules_expected |= ret_setup->brings_rules;
    return prepared;
}

static void release_setup(struct feature_part *part, struct feature_setup *setup)
{
    if (part->feature->release && setup->prepared) part->feature->release(&part->node, setup->prepared);
    *setup = (struct feature_setup){0};
}

static void forget(struct features *features)
{
    for (uint32_t i = features->count; i-- > 0;) {
        struct feature_part *part = features->parts[i];
        release_setup(part, &part->setup);
        if (part->opened && part->feature->close) part->feature->close(&part->node);
        memory_release(part);
    }
    features_taps_destroy(features);
    memory_release(features);
}

struct features *features_create(const struct feature_list *list, struct broker *broker, const struct settings *settings,
                                 features_settings *settings_of, void *context, char *ret_error, size_t error_bytes)
{
    struct features *features = memory_acquire_zeroed(sizeof *features);
    features->broker = broker;
    features->module_path = settings->features.module_path;
    features_taps_create(features, broker->shards_count);
    bool rules_expected = false;
    for (uint32_t i = 0; i < list->count; i++) {
        struct feature_part *part = memory_acquire_zeroed(sizeof *part);
        features->parts[features->count++] = part;
        part->feature = list->features[i];
        part->node = (struct feature_node){.shards_count = broker->shards_count, .settings = settings, .frame = features, .number = i};
        size_t used = (size_t)snprintf(ret_error, error_bytes, "%s: ", part->feature->name);
        part->opened = !part->feature->open || part->feature->open(&part->node, ret_error + used, error_bytes - used);
        if (!part->opened || !prepare_one(part, settings_of(context, part->feature), &rules_expected, &part->setup, ret_error, error_bytes)) {
            forget(features);
            return NULL;
        }
    }
    broker->features = features;
    features_taps_want(features);
    return features;
}

void features_wake_through(struct features *features, const struct kernel_verbs *verbs) { features->verbs = verbs; }

/* ---- reload ------------------------------------------------------------------------------------------------------ */

bool features_prepare(struct features *features, const struct settings *settings, features_settings *settings_of, void *context, char *ret_error,
                      size_t error_bytes)
{
    bool rules_expected = false;
    for (uint32_t i = 0; i < features->count; i++) {
        struct feature_part *part = features->parts[i];
        const struct settings *before = part->node.settings;
        part->node.settings = settings;
        bool prepared = prepare_one(part, settings_of(context, part->feature), &rules_expected, &part->next, ret_error, error_bytes);
        part->node.settings = before;
        if (prepared) continue;
        for (uint32_t j = 0; j < i; j++)
            release_setup(features->parts[j], &features->parts[j]->next);
        return false;
    }
    return true;
}

/* The shards read part->setup when RECORD_SETTINGS reaches them, and not before: they copied it the last time. */
void features_prepared_take(struct features *features)
{
    for (uint32_t i = 0; i < features->count; i++) {
        struct feature_part *part = features->parts[i];
        struct feature_setup old = part->setup;
        part->setup = part->next;
        part->next = old;
    }
}

void features_prepared_done(struct features *features)
{
    for (uint32_t i = 0; i < features->count; i++) {
        struct feature_part *part = features->parts[i];
        if (part->next.prepared != part->setup.prepared) release_setup(part, &part->next);
    }
    features_taps_want(features);
}

bool features_authenticate(const struct features *features)
{
    for (uint32_t i = 0; i < features->count; i++)
        if (features->parts[i]->setup.authenticates) return true;
    return false;
}

bool features_on(const struct features *features, uint32_t number) { return features->parts[number]->setup.moments != 0; }

void features_settings_use(struct features *features, const struct settings *settings)
{
    for (uint32_t i = 0; i < features->count; i++)
        features->parts[i]->node.settings = settings;
}

void features_control_tick(struct features *features)
{
    for (uint32_t i = 0; i < features->count; i++)
        if (features_on(features, i) && features->parts[i]->feature->control_tick) features->parts[i]->feature->control_tick(&features->parts[i]->node);
}

/* parts and features are constant between features_create() and features_destroy(). */
bool features_request(const struct features *features, const char *name, struct feature_request *request)
{
    for (uint32_t i = 0; i < features->count; i++) {
        struct feature_part *part = features->parts[i];
        if (strcmp(part->feature->name, name) != 0 || !part->feature->request) continue;
        part->feature->request(&part->node, request);
        CHECK(request->status);
        return true;
    }
    return false;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void features_halt(struct features *features)
{
    if (features->halted) return;
    features->halted = true;
    for (uint32_t i = features->count; i-- > 0;)
        if (features->parts[i]->feature->halt) features->parts[i]->feature->halt(&features->parts[i]->node);
}

void features_destroy(struct features *features)
{
    if (!features) return;
    features_events_drain(features);
    features->broker->features = NULL;
    features_sinks_release(features);
    forget(features);
}

/* ---- counters ---------------------------------------------------------------------------------------------------- */

void features_counts_each(const struct features *features,
                          void (*each)(void *context, const struct feature *feature, enum feature_moment gate, const struct feature_counts *sum),
                          void *context)
{
    for (uint32_t i = 0; i < features->count; i++)
        for (uint32_t gate = 0; gate < FEATURE_GATES; gate++) {
            struct feature_counts sum = {0};
            for (uint32_t s = 0; s < features->broker->shards_count; s++) {
                const struct features_shard *shard = atomic_load(&features->broker->shards[s]->features);
                if (!shard) continue;
                const struct feature_counts *counts = &shard->counts[i][gate];
                sum.passed += stats_read(&counts->passed);
                sum.allowed += stats_read(&counts->allowed);
                sum.denied += stats_read(&counts->denied);
                sum.later += stats_read(&counts->later);
                sum.overruns += stats_read(&counts->overruns);
                uint64_t longest = stats_read(&counts->ticks_max);
                if (longest > sum.ticks_max) sum.ticks_max = longest;
            }
            each(context, features->parts[i]->feature, (enum feature_moment)gate, &sum);
        }
}
