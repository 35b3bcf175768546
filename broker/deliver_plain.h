/* deliver_plain.h - the short way out: a PUBLISH that looks the same to every client is written once and copied to all.
 *
 * Plain is a small message without properties and expiry, not retained, at QoS 0 or 1, where nobody counts or keeps messages
 * (plain_begin()); and a client that can take it now, by its full topic name, with nothing waiting before it (plain_deliver()). All others take
 * session_deliver(). Whatever new thing has to be asked or told about deliveries must be on in one of three places, or it will miss these:
 * session->unusual (of one client), shard_is_plain() (of the shard), publish_write() of deliver.c (both ways count there and here); and
 * rows of like packets (publish_again.c) ask what their end is in nobody_looks() there.
 *
 * A run from another shard (broker/runs.h) goes out whole where all subscribers of its filter take it as it is, with QoS 0 and room for all of it.
 *
 * Large payloads of QoS 0 are not even copied where their packet leaves as it came: see lend_sinks().
 *
 * Owner, threads: the shard. Lifetime: the packet is of one publication at one filter. */
#ifndef RINGMQ_BROKER_DELIVER_PLAIN_H
#define RINGMQ_BROKER_DELIVER_PLAIN_H

#include <stdint.h>

#define PLAIN_BYTES_MAX 2048 /* of the packet */
#define PLAIN_KINDS     4    /* by QoS, 3.x or 5.0 */
#define PLAIN_RUN_BYTES 4352 /* of a run's packets for 5.0 */

struct plain {
    uint16_t bytes[PLAIN_KINDS]; /* 0: not written yet */
    uint8_t packet[PLAIN_KINDS][PLAIN_BYTES_MAX];
    uint8_t run[PLAIN_RUN_BYTES];
};

#endif
