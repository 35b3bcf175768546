/* hocon_tree.h - what lies between reading and resolving: a tree in which every name remembers all its definitions.
 *
 *     a = { x = 1 }        field a: [ OBJECT {x, y} ]            two literal objects merge at once
 *     a = { y = 2 }
 *     b = ${a}             field b: [ REFERENCE, OBJECT {y} ]     what cannot be merged yet is stacked, oldest first
 *     b = { y = 3 }
 *     c = 1, c = 2         field c: [ NUMBER 2 ]                  a plain value hides what was before it
 *
 * A self-reference (`a = ${a} more`) looks at the definitions below its own. Private to hocon*.c. */
#ifndef RINGMQ_CONFIG_HOCON_TREE_H
#define RINGMQ_CONFIG_HOCON_TREE_H

#include "config/arena.h"
#include "config/hocon.h"

enum node_kind {
    NODE_NULL = HOCON_NULL,
    NODE_BOOL = HOCON_BOOL,
    NODE_NUMBER = HOCON_NUMBER,
    NODE_STRING = HOCON_STRING,
    NODE_ARRAY = HOCON_ARRAY,
    NODE_OBJECT = HOCON_OBJECT,
    NODE_BLANK,     /* white space between two pieces of a CONCAT        */
    NODE_REFERENCE, /* ${path} or ${?path}                               */
    NODE_PREVIOUS,  /* in `a += x` inside an array: whatever a was before  */
    NODE_CONCAT     /* pieces side by side, at least one a reference     */
};

struct hocon_path {
    const char **names;
    uint32_t count;
};

struct node {
    enum node_kind kind;
    struct config_origin origin;
    struct span text;         /* as in struct hocon_value; REFERENCE: the path as one would name a variable */
    bool optional;            /* REFERENCE: ${?…} */
    bool append;              /* CONCAT: what was before and one ARRAY, from `+=` */
    struct hocon_path path;   /* REFERENCE */
    struct hocon_path prefix; /* REFERENCE: where its file was included; tried in front of the path first */
    struct node **items;      /* ARRAY, CONCAT */
    uint32_t count;           /* of items or fields */
    struct field **fields;    /* OBJECT, in order of first appearance */
    struct field **slots;     /* OBJECT with many fields: open addressing by name */
    uint32_t slots_count;
};

struct definition {
    struct node *value;
    struct definition *older;
    enum { DEFINITION_NEW, DEFINITION_RESOLVING, DEFINITION_DONE, DEFINITION_FAILED } state;
    const struct hocon_value *result; /* DONE; NULL: undefined (an optional substitution that found nothing) */
};

struct field {
    struct span name;
    struct config_origin origin;      /* of the name, where it was written last */
    struct definition *newest;
    bool resolved;                    /* result holds for all definitions together */
    const struct hocon_value *result;
};

struct hocon_tree {
    struct arena arena;
    struct node *root;
    const char *const *environment;
    uint32_t files_read;
};

struct node *hocon_node_create(struct hocon_tree *tree, enum node_kind kind, struct config_origin origin);
bool node_is_text(const struct node *node);    /* NULL, BOOL, NUMBER, STRING, BLANK: what joins to a string */
bool node_is_literal(const struct node *node); /* its kind is that of the value it will become */
void node_add_item(struct hocon_tree *tree, struct node *list, struct node *item);

struct field *object_find(const struct node *object, struct span name); /* NULL: no such field */
/* `value` becomes the newest definition of name. */
void object_define(struct hocon_tree *tree, struct node *object, struct span name, struct config_origin name_origin,
                   struct node *value);
/* `name += item`. previous: what stands for the value so far, a REFERENCE to the name's path or a PREVIOUS. */
void object_append(struct hocon_tree *tree, struct node *object, struct span name, struct node *previous, struct node *item);
/* The object that `names[0…count-1]` lead to, made where missing. */
struct node *object_at(struct hocon_tree *tree, struct node *object, const struct hocon_path *path, uint32_t count,
                       struct config_origin origin);
/* All fields of `from` become newer definitions in `object`. */
void object_merge(struct hocon_tree *tree, struct node *object, const struct node *from);

#endif
