/* ringmq_bench_relay.h - how `ringmq bench --relay` and the bare relay of perf/ceiling greet each other.
 *
 * Each connection begins with one greeting, which the relay sends back as it is when the connection has taken its place. From
 * then on publishers send records of `record_bytes` each, and the relay copies every one to all subscribers of the publisher's
 * channel. A connection that came for its life only gets its first record back, and whatever it sends then ends it: the
 * CONNECT, SUBSCRIBE and DISCONNECT of a broker. Byte order: the machine's (both ends are on it). */
#ifndef RINGMQ_CMD_BENCH_RELAY_H
#define RINGMQ_CMD_BENCH_RELAY_H

#include <stdint.h>

#define RELAY_MAGIC 0x31594c52u /* "RLY1" */

enum relay_role { RELAY_PUBLISHES, RELAY_SUBSCRIBES, RELAY_LIVES };

struct relay_greeting {
    uint32_t magic;
    uint32_t record_bytes;
    uint32_t channel;
    uint32_t role; /* enum relay_role */
};

#endif
