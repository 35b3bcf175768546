/* schema.h - what a table of configuration keys is made of. config/schema.c holds the core's table; a feature brings its own
 * as a struct schema_part. Parsing, checking, defaults, printing, the sample file and the manual follow from the tables.
 *
 *     struct acl_settings { char *file; uint32_t cache_size; struct acl_source *sources; uint32_t sources_count; };
 *     static const struct schema_key keys[] = {
 *         {"authorization.file", TYPE_STRING, .reloadable = true, SCHEMA_MEMBER(struct acl_settings, file), .max = 4096,
 *          .default_text = "", .documentation = "…"}, …
 *     static const struct schema_part part = {.name = "acl", .keys = keys, .keys_count = SCHEMA_COUNT(keys), …
 *                                             .settings_bytes = sizeof(struct acl_settings)};
 *
 * Paths are lower-case words with dots between them. A path may have one hole:
 *   KIND.NAME   listeners.KIND.NAME.bind: KIND stands for tcp, tls, ws, wss or unix (those of the key's `kinds`) and NAME for any
 *               name. Core only; the key then lies in an element of settings.listeners.
 *   NAME        authentication.NAME.server: any number of sections of the same form, each with a name of its own (a-z 0-9 _ -). Features
 *               only: a struct schema_group says into which array of structs they go. Keys of one group are neighbours in the table.
 * A key without a hole wins over one with: authentication.chain, authentication.cache.ttl and authentication.NAME.server may stand side by side, and then no
 * section may be called chain or cache.
 *
 * Owner: static tables. Threads: immutable. */
#ifndef RINGMQ_BASE_SCHEMA_H
#define RINGMQ_BASE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* What a value may look like (docs/configuration.md, Types), and the member it goes into:
 * BOOL bool · UNSIGNED, SIZE, DURATION, RATE, ENUM an unsigned number of 1, 2, 4 or 8 bytes · STRING, SECRET char *.
 * A SECRET is never printed or logged; "file://PATH" takes the content of a file. */
enum schema_type { TYPE_BOOL, TYPE_UNSIGNED, TYPE_SIZE, TYPE_DURATION, TYPE_RATE, TYPE_ENUM, TYPE_STRING, TYPE_SECRET };

/* A word for a number: the names of an enum, or one like `auto` beside the numbers. Of several for one value the first is
 * shown. Ends with a NULL name. */
struct schema_word {
    const char *name;
    uint64_t value;
};

struct schema_key {
    const char *path;
    enum schema_type type;
    bool reloadable;              /* a reload puts it in force; otherwise it waits for the next start */
    uint8_t bytes;                /* of the member of the settings; strings: sizeof(char *) */
    uint16_t offset;              /* of that member */
    uint32_t unit_us;             /* DURATION: microseconds in one unit of the member */
    uint64_t min, max;            /* in the member's unit; words are outside of it. Strings: bytes */
    const struct schema_word *words;
    const char *default_text;     /* NULL: must be given (in a NAME section) */
    const char *const *default_of_default; /* with KIND.NAME: by kind, the default where NAME is SCHEMA_DEFAULT_NAME */
    uint8_t kinds;                /* with KIND.NAME: a bit for each enum listener_kind that has the key */
    const char *(*check)(struct span text); /* NULL, or what is wrong and what to do */
    const char *documentation;
    const struct schema_part *part; /* whose; written where tables are put together, leave it out */
};

/* The sections of the sample file and the manual, in their order. */
struct schema_section {
    const char *path;
    const char *documentation;
};

/* Sections with names of their own: an array of structs, sorted by name. */
struct schema_group {
    const char *path;      /* "authentication.NAME": its keys begin so */
    size_t item_bytes;     /* of one struct; the offsets of the group's keys are in it */
    uint16_t name_offset;  /* in that struct: char *, the section's name */
    uint16_t items_offset; /* in the part's settings: struct … * */
    uint16_t count_offset; /* in the part's settings: uint32_t */
    uint32_t max;          /* sections there may be, at most SCHEMA_NAMES_MAX */
};

#define SCHEMA_NAMES_MAX 64

struct schema_part {
    const char *name; /* the feature's */
    const struct schema_key *keys; /* those of a section are neighbours; paths must not be those of others */
    size_t keys_count;
    const struct schema_section *sections;
    size_t sections_count;
    const struct schema_group *groups;
    size_t groups_count;
    size_t settings_bytes;
    /* True when with these settings clients must prove who they are: then mqtt.allow_anonymous is not looked at, and listeners
     * on all addresses are accepted. NULL: never. */
    bool (*guards)(const void *settings);
    /* What no single key can see: NULL, or a sentence that names the keys. It goes to the user as it is; the buffer is for formatting it.
     * Also called by ringmqd --check. May be NULL. */
    const char *(*check)(const void *settings, char *buffer, size_t bytes);
};

#define SCHEMA_MEMBER(type, member) .offset = offsetof(type, member), .bytes = sizeof(((type *)0)->member)
#define SCHEMA_COUNT(array)         (sizeof(array) / sizeof *(array))
/* Units of durations, for unit_us. */
#define SCHEMA_US 1u
#define SCHEMA_MS 1000u
#define SCHEMA_S  1000000u

#endif
