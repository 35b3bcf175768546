/* placeholder.h - what stands for a client's names in mount points, rewriting and subscriptions that are given:
 *
 *     ${client_id} (${clientid}, %c)    ${username} (%u)    ${client_attrs.NAME} (${attribute.NAME})
 *
 * Only how they are written; what they stand for is broker/client_names.h. Threads: any. */
#ifndef RINGMQ_BASE_PLACEHOLDER_H
#define RINGMQ_BASE_PLACEHOLDER_H

#include "base/span.h"

#define PLACEHOLDERS "${client_id}, ${username} and ${client_attrs.NAME}"

enum placeholder_kind { PLACEHOLDER_NONE, PLACEHOLDER_CLIENT_ID, PLACEHOLDER_USER_NAME, PLACEHOLDER_ATTRIBUTE };

struct placeholder {
    enum placeholder_kind kind;
    size_t bytes;          /* of its text */
    struct span attribute; /* PLACEHOLDER_ATTRIBUTE: its name, in the text */
};

/* The one that the text begins with; PLACEHOLDER_NONE: it begins with something else. */
struct placeholder placeholder_at(struct span text);

#endif
