#include "base/qsbr.h"

void qsbr_ticket(struct qsbr *qsbr, struct qsbr_ticket *ret_ticket)
{
    atomic_thread_fence(memory_order_seq_cst); /* pairs: qsbr_wake */
    ret_ticket->first_unpassed = 0;
    for (uint32_t i = 0; i < qsbr->readers_count; i++)
        ret_ticket->seen[i] = atomic_load_explicit(&qsbr->readers[i].passes, memory_order_acquire);
}

bool qsbr_elapsed(struct qsbr *qsbr, struct qsbr_ticket *ticket)
{
    for (uint32_t i = ticket->first_unpassed; i < qsbr->readers_count; i++) {
        bool asleep_then = (ticket->seen[i] & 1) == 0;
        uint64_t now = atomic_load_explicit(&qsbr->readers[i].passes, memory_order_acquire);
        if (!asleep_then && now == ticket->seen[i]) {
            ticket->first_unpassed = i;
            return false;
        }
    }
    ticket->first_unpassed = qsbr->readers_count;
    return true;
}
