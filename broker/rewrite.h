/* rewrite.h - topic rewrite: what clients publish to and subscribe to becomes something else.
 *
 *     ACTION FILTER EXPRESSION TEMPLATE        publish x/# ^x/y/(.+)$ z/y/$1
 *
 * ACTION is publish, subscribe or all. Of several rules whose filter matches and whose expression finds something the last one holds, and only
 * that one: what comes out is not rewritten again. The template knows $1 … $9 and the names of base/placeholder.h.
 * Expressions are PCRE2's, with limits on what a match may cost; one that reaches them counts as one that finds nothing, and is
 * logged. Clients are told of their own topics only when they are sent a message: then with the new name.
 *
 * Owner: struct extras. Threads: matching on any shard, with a scratch of the shard's own (struct rewrite_scratch). */
#ifndef RINGMQ_BROKER_REWRITE_H
#define RINGMQ_BROKER_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "broker/client_names.h"

#define REWRITE_RULES_MAX 1024
/* PCRE2: steps of one match, and depth of backtracking. A pattern that is not pathological needs a few hundred. */
#define REWRITE_MATCH_LIMIT 20000
#define REWRITE_DEPTH_LIMIT 1000
#define REWRITE_HEAP_KIB    256

enum rewrite_action { REWRITE_PUBLISH = 1, REWRITE_SUBSCRIBE = 2, REWRITE_ALL = 3 };

struct rewrite;
struct rewrite_scratch;

/* NULL with a sentence in ret_error; *ret_actions: the actions that have rules (0: the text is empty, and NULL is no error). */
struct rewrite *rewrite_create(struct span text, uint32_t *ret_actions, bool *ret_wants_user_name, char *ret_error, size_t error_bytes);
void rewrite_release(struct rewrite *rewrite);
struct rewrite_scratch *rewrite_scratch_create(void);
void rewrite_scratch_release(struct rewrite_scratch *scratch); /* accepts NULL */
/* How many expressions were given up since the last question: they took too many steps. */
uint32_t rewrite_exhausted(struct rewrite_scratch *scratch);

enum rewrite_verdict {
    REWRITE_NONE,   /* no rule holds: *topic is unchanged */
    REWRITE_DONE,   /* *topic is the new one, in the scratch until the next call */
    REWRITE_FAILED  /* what comes out is no topic (no filter), or a name cannot be part of one; *topic is unchanged */
};
enum rewrite_verdict rewrite_apply(const struct rewrite *rewrite, struct rewrite_scratch *scratch, enum rewrite_action action,
                                   const struct client_names *names, uint32_t levels_max, struct span *topic);

#endif
