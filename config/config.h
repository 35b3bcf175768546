/* config.h - the configuration: read, checked, explained.
 *
 * Sources in rising order: defaults < files in the order given < environment RINGMQ__A__B=VALUE < --set KEY=VALUE in the order
 * given. Substitutions ${x} see the merged tree first and the environment then. One table (config/schema.c) knows every key.
 *
 *     struct config_errors errors = {0};
 *     struct config *config;
 *     if (!config_load(&sources, &config, &errors)) { config_errors_print(&errors, stderr); … }
 *     … config_settings(config) … config_release(config);
 *
 * Owner:   the caller of config_load(); a config is immutable, and its settings live exactly as long as it does.
 * Threads: a config may be read by all threads. config_load() reads files and blocks: control thread only.
 * Failure: false, and at least one error; *ret_config is untouched then. Running out of memory stops the process. */
#ifndef RINGMQ_CONFIG_CONFIG_H
#define RINGMQ_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/settings.h"
#include "config/errors.h"

struct config;
struct schema_part;

struct config_sources {
    const char *const *files; /* HOCON; each must be readable. A later one wins */
    size_t files_count;
    const char *const *environment; /* as environ(7), ends with NULL; NULL: none. Also what ${NAME} sees */
    const char *const *sets;        /* "KEY=VALUE"; a later one wins */
    size_t sets_count;
};

bool config_load(const struct config_sources *sources, struct config **ret_config, struct config_errors *errors);
void config_release(struct config *config); /* accepts NULL */

const struct settings *config_settings(const struct config *config);

/* The keys of features (base/schema.h), known to every config_load() and print from now on. May be called again, with more, as long as no config
 * has been loaded. False with a sentence in ret_error. */
bool config_add_parts(const struct schema_part *const *parts, size_t count, char *ret_error, size_t error_bytes);
/* A part's settings; NULL: it is not one of those added. They live as long as the config. */
const void *config_part(const struct config *config, const struct schema_part *part);
/* What the sources say about one string key of the core, before all others are known: for features.load. "" if nothing. False: the sources
 * cannot be read (config_load() will say so, too). *ret_text is the caller's (memory_release()). */
bool config_peek(const struct config_sources *sources, const char *path, char **ret_text);

/* False (with an error that says what to write) when a listener that is not on loopback would let anybody in without
 * mqtt.allow_anonymous having been set to true: as long as no authentication is configured (schema_part.guards), that must be somebody's decision.
 * Loopback is 127.0.0.0/8, ::1 and localhost; addresses are compared as numbers, nothing is looked up. */
bool config_check_exposure(const struct config *config, struct config_errors *errors);

struct config_change {
    const char *path;     /* "mqtt.max_inflight", "listeners.tcp.default.bind"; the texts live as long as both configs */
    const char *old_text; /* strings without quotes, secrets masked; NULL: the listener is new */
    const char *new_text; /* NULL: the listener is gone */
    bool reloadable;     /* false: takes effect at the next start */
    struct config_origin origin; /* of the new value (of the old one when it is gone) */
};
typedef void config_changed(void *context, const struct config_change *change);

/* Calls back once for each key whose value differs, in the order of the schema. Returns how many there were. */
size_t config_diff(const struct config *old_config, const struct config *new_config, config_changed *changed, void *context);
/* A config with the new listeners, the new values of the reloadable keys and the old ones of all others: what SIGHUP may put in force now.
 * It shares nothing with its parents. */
struct config *config_merge_reloadable(const struct config *old_config, const struct config *new_config);

/* A key as somebody may want to see it. Texts live as long as the config, those marked "call" as long as the call. */
struct config_entry {
    const char *path;
    const char *text;          /* strings without quotes, secrets masked */
    const char *default_text;  /* NULL: must be given. call */
    struct config_origin origin;
    bool reloadable;
    const char *wanted;        /* "a size from 1KiB to 256MiB, such as 1MiB". call */
    const char *documentation;
};
/* In the order of the schema. */
void config_each(const struct config *config, void (*each)(void *context, const struct config_entry *entry), void *context);
/* False: there is no such key. */
bool config_find(const struct config *config, const char *path, void (*found)(void *context, const struct config_entry *entry), void *context);

/* Is it the path of a key, with a name in place of NAME, whose value nobody may be shown? */
bool config_is_secret(const char *path);

/* Every key with its value and where that came from; valid HOCON. Secrets are shown as "******". */
void config_print_effective(const struct config *config, FILE *file);
/* ringmq.conf: every key with its documentation, commented out at its default. */
void config_print_sample(FILE *file);
/* docs/configuration.md */
void config_print_docs(FILE *file);

#endif
