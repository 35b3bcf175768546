/* regex_nodes.h - what a regular expression is read into: nodes of bytes (Thompson's construction), for base/regex.c alone. */
#ifndef RINGMQ_BASE_REGEX_NODES_H
#define RINGMQ_BASE_REGEX_NODES_H

#include "base/regex.h"

#define REGEX_NODES_MAX 2048
#define REGEX_NONE      UINT16_MAX

enum regex_node_kind { NODE_BYTES, NODE_EMPTY, NODE_SPLIT, NODE_BEGIN, NODE_END, NODE_MATCH };

struct regex_node {
    uint8_t kind, low, high;
    uint16_t next, other; /* other: of SPLIT alone */
};

struct regex_nodes {
    struct regex_node all[REGEX_NODES_MAX];
    uint32_t count;
    uint16_t first;
};

/* False: what is wrong with it, and at which byte, is in ret_error. */
bool regex_parse(struct span pattern, struct regex_nodes *ret_nodes, char *ret_error, size_t error_bytes);

#endif
