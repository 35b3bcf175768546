/* shard_sends.c - whose bytes leave in a turn: connections that have something staged are listed, and sent for at its end; in rounds when they are very many. */
#include <string.h>

#include "base/check.h"
#include "engine/shard.h"

/* ---- the list ---------------------------------------------------------------------------------------------------- */

/* Takes from the list what is no longer dirty, or there twice. */
static void dirty_forget(struct shard *shard)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shard->dirty_count; i++) {
        struct conn *conn = &shard->conns[shard->dirty[i]];
        if (!conn->dirty) continue;
        conn->dirty = false;
        shard->dirty[kept++] = conn->slot;
    }
    for (uint32_t i = 0; i < kept; i++)
        shard->conns[shard->dirty[i]].dirty = true;
    shard->dirty_count = kept; /* each slot once at most */
    shard->round.left = kept;
}

void shard_mark_dirty(struct shard *shard, struct conn *conn)
{
    if (conn->dirty) return;
    conn->dirty = true;
    if (UNLIKELY(shard->dirty_count == 2 * shard->conns_capacity)) dirty_forget(shard); /* a slot may be listed again after it was reused */
    shard->dirty[shard->dirty_count++] = conn->slot;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

/* About what the kernel does with a send: it works them all off within the next system call, and nobody else is heard meanwhile. */
static uint64_t send_cost_ns(const struct conn *conn) { return 6000 + outbuf_bytes(conn->out) / 10; }

/* Fan-outs to very many, a few messages each, are all the kernel's work, and twice as many messages a send cost little more. So a round of sends with few
 * messages, behind which the next one waits already, is followed by a rest of a fifth of its time: what comes meanwhile leaves in the same packets. */
#define REST_SENDS    256
#define REST_MESSAGES 4 /* a send */
#define REST_SHARE    5
#define REST_NS_MAX   2000000u
#define REST_NS_MIN   20000u

static void round_begin(struct shard *shard)
{
    shard->round.left = shard->dirty_count;
    shard->round.began_ns = shard->now_ns;
    shard->round.sends = shard->stats.sends;
    shard->round.messages = shard->stats.publish_sent;
    shard->round.over = false;
}

/* Its last sends were submitted between that turn and this one. */
static void round_end(struct shard *shard)
{
    uint64_t sends = shard->stats.sends - shard->round.sends, messages = shard->stats.publish_sent - shard->round.messages;
    uint64_t rest_ns = (shard->now_ns - shard->round.began_ns) / REST_SHARE;
    shard->round.over = false;
    bool pays = sends >= REST_SENDS && messages < sends * REST_MESSAGES && shard->dirty_count >= REST_SENDS;
    if (!pays || !shard->features->min_wait) return; /* each completion would end it */
    shard->round.rest_until_ns = shard->now_ns + (rest_ns < REST_NS_MAX ? rest_ns : REST_NS_MAX);
}

/* True: the shard rests. */
static bool round_look(struct shard *shard)
{
    if (shard->round.over) round_end(shard);
    if (shard->round.rest_until_ns) {
        if (shard->now_ns + REST_NS_MIN < shard->round.rest_until_ns) return true;
        shard->round.rest_until_ns = 0;
    }
    if (shard->round.left == 0) round_begin(shard);
    return false;
}

/* Of very many some in this turn, and the others, which may gather more meanwhile, before those that come then. */
static void dirty_send_some(struct shard *shard)
{
    uint64_t cost_ns = 0, most_ns = 3 * shard->budget_ns;
    uint32_t i = 0;
    if (round_look(shard)) return;
    shard_step_of(shard, shard->budget_ns);
    while (i < shard->round.left && cost_ns < most_ns && i < shard->sends_most) {
        struct conn *conn = &shard->conns[shard->dirty[i++]];
        cost_ns += send_cost_ns(conn);
        conn->dirty = false;
        conn_send_staged(shard, conn);
        if (UNLIKELY(i % SENDS_PER_LOOK == 0) && shard_step_over(shard)) break;
    }
    shard->dirty_count -= i;
    shard->round.left -= i;
    shard->round.over = shard->round.left == 0;
    if (LIKELY(shard->dirty_count == 0)) return;
    memmove(shard->dirty, shard->dirty + i, shard->dirty_count * sizeof *shard->dirty);
    shard->more_next_turn = true;
    stats_count(&shard->stats.turns_unsent, 1);
}

void shard_sends(struct shard *shard)
{
    if (UNLIKELY(shard->dirty_count > shard->sends_uncounted)) return dirty_send_some(shard);
    for (uint32_t i = 0; i < shard->dirty_count; i++) {
        struct conn *conn = &shard->conns[shard->dirty[i]];
        conn->dirty = false;
        conn_send_staged(shard, conn);
    }
    shard->dirty_count = shard->round.left = 0;
    shard->round.over = false;
    shard->round.rest_until_ns = 0;
}
