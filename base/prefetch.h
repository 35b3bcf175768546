/* prefetch.h - memory that will be wanted soon: the processor fetches it while it does something else.
 *
 * Any address may be given, NULL and what is no longer there too. A function that does nothing else but __builtin_prefetch() is without effect in GCC's
 * eyes: where it is not inlined early, its calls vanish without a word. These do not. */
#ifndef RINGMQ_BASE_PREFETCH_H
#define RINGMQ_BASE_PREFETCH_H

static inline __attribute__((always_inline)) void prefetch(const void *address)
{
    __builtin_prefetch(address);
    __asm__ volatile("");
}

/* To be written. */
static inline __attribute__((always_inline)) void prefetch_to_write(const void *address)
{
    __builtin_prefetch(address, 1);
    __asm__ volatile("");
}

#endif
