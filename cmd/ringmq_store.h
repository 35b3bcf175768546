/* ringmq_store.h - a stopped broker's store as JSON lines, and back (docs/cli.md, `ringmq store`). */
#ifndef RINGMQ_CMD_RINGMQ_STORE_H
#define RINGMQ_CMD_RINGMQ_STORE_H

#include <stdbool.h>
#include <stdio.h>

#include "store/shelf.h"
#include "store/state.h"

/* ---- export ------------------------------------------------------------------------------------------------------ */

/* shelf: NULL when there is none. False: something the log names is not on the shelf, or standard output failed. */
bool store_export(const struct state *state, const struct shelf *shelf);
/* The payload of a retained message that has a row. *ret_memory is to be released (memory_release) in any case. False: it is not there, which has been said. */
bool store_retained_read(const struct shelf *shelf, const struct state_message *message, struct span *ret_payload, void **ret_memory);

/* ---- import ------------------------------------------------------------------------------------------------------ */

/* Adds what `file` says to an empty state. False: what is wrong and in which line has been said. */
bool store_import(FILE *file, struct state *state);

/* One flat JSON object: strings, numbers, true, false, null, and arrays of numbers. */
#define STORE_FIELDS_MAX 32
struct store_field {
    char name[32];
    enum { FIELD_TEXT, FIELD_NUMBER, FIELD_TRUE, FIELD_FALSE, FIELD_NULL, FIELD_NUMBERS } kind;
    struct span text;    /* FIELD_TEXT: unescaped, into the object's memory */
    uint64_t number;
    uint32_t *numbers;
    uint32_t numbers_count;
    bool used;           /* somebody has asked for it */
};
struct store_object {
    struct store_field fields[STORE_FIELDS_MAX];
    uint32_t count;
    const char *fault;   /* what is wrong with it */
};
/* `line` is changed. False: see fault. */
bool store_object_read(char *line, size_t bytes, struct store_object *ret_object);
void store_object_release(struct store_object *object);
struct store_field *store_object_find(struct store_object *object, const char *name);

#endif
