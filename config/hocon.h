/* hocon.h - a reader of HOCON: JSON with comments, paths as keys, includes, merging and substitutions.
 * docs/configuration.md, "The language", says what is read; tests/vectors/hocon/ shows it.
 *
 * Two steps, because a later source may change what an earlier one refers to:
 *
 *     hocon_read_file(), hocon_read_text()   each merges its source into the tree, later wins, objects merge deeply
 *     hocon_resolve()                        replaces substitutions; the result is plain data with the origin of each value
 *
 * Owner:   the tree owns everything reachable from it; hocon_tree_release() frees all at once.
 * Threads: one at a time.
 * Bounds:  HOCON_* below. Each is an error that names the place, never an overrun. */
#ifndef RINGMQ_CONFIG_HOCON_H
#define RINGMQ_CONFIG_HOCON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/span.h"
#include "config/errors.h"

#define HOCON_FILE_BYTES_MAX (4u << 20) /* one file                                                   */
#define HOCON_FILES_MAX 256             /* read for one tree, includes counted each time                */
#define HOCON_INCLUDE_DEPTH_MAX 16      /* files open at once                                           */
#define HOCON_DEPTH_MAX 64              /* objects and arrays in one another; also names in one path     */
#define HOCON_RESOLVE_DEPTH_MAX 256     /* substitutions and values in one another while resolving      */
#define HOCON_VALUES_MAX (1u << 20)     /* in the resolved tree; what is shared counts each time        */
#define HOCON_MEMORY_BYTES_MAX (64u << 20) /* the whole tree: what a file of ${a}${a}… can grow to       */

enum hocon_kind { HOCON_NULL, HOCON_BOOL, HOCON_NUMBER, HOCON_STRING, HOCON_ARRAY, HOCON_OBJECT };

struct hocon_member {
    const char *name;
    struct config_origin origin; /* of the name, where it was written last */
    const struct hocon_value *value;
};

/* A resolved value. */
struct hocon_value {
    enum hocon_kind kind;
    struct config_origin origin;
    struct span text;  /* BOOL, NUMBER: as written; STRING: its bytes, unescaped. NUL-terminated and free of NULs */
    uint16_t depth;    /* 1, or one more than the deepest child's; at most HOCON_RESOLVE_DEPTH_MAX */
    uint32_t weight;   /* values in it, itself included; at most HOCON_VALUES_MAX */
    uint32_t count;    /* ARRAY: items; OBJECT: members, in the order of first appearance */
    union {
        const struct hocon_value *const *items;
        const struct hocon_member *members;
    };
};

struct hocon_tree;

/* environment: what ${NAME} sees when the tree has no such path; may be NULL. */
struct hocon_tree *hocon_tree_create(const char *const *environment);
void hocon_tree_release(struct hocon_tree *tree); /* accepts NULL */

/* These return false when they added errors; the tree then holds what could be read. Names and texts are copied. */
bool hocon_read_file(struct hocon_tree *tree, const char *path, struct config_errors *errors);
/* A whole document that is not in a file. Relative includes are looked for in the working directory. */
bool hocon_read_text(struct hocon_tree *tree, struct span text, struct config_origin origin, struct config_errors *errors);
/* One value for one path ("node.shards"). A value that begins with ", stands in { } or [ ], or holds ${ is HOCON; any other is
 * taken as it is, and needs no quotes: 127.0.0.1:1883, [::1]:1883. */
bool hocon_read_setting(struct hocon_tree *tree, const char *path, struct span value, struct config_origin origin,
                        struct config_errors *errors);

/* The root object, or NULL when a substitution could not be resolved. To be called once, after all sources were read. */
const struct hocon_value *hocon_resolve(struct hocon_tree *tree, struct config_errors *errors);

/* NULL when there is no such member. */
const struct hocon_value *hocon_member(const struct hocon_value *object, const char *name);
const char *hocon_kind_name(enum hocon_kind kind); /* "a number", "an object" … for error texts */
/* As JSON on one line. */
void hocon_print_json(const struct hocon_value *value, FILE *file);

#endif
