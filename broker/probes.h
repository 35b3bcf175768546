/* probes.h - USDT probes (provider ringmq): a tracer such as bpftrace or perf sees the moments of hooks.def while they pass.
 *
 *     bpftrace -e 'usdt:./ringmqd:ringmq:denied { printf("%s reason %d\n", str(arg0, arg1), arg2); }'
 *
 * Gates: client id, its bytes, enum feature_decision, reason code. Taps: text, its bytes, reason, value (hooks.def).
 * PROBE(): a no-op instruction until a tracer is attached. Where <sys/sdt.h> was missing at build (Debian: systemtap-sdt-dev) it
 * is nothing at all. Texts are pointers and lengths; they end with no NUL. */
#ifndef RINGMQ_BROKER_PROBES_H
#define RINGMQ_BROKER_PROBES_H

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define RINGMQ_PROBES 1
#define PROBE(moment, text, bytes, third, fourth) DTRACE_PROBE4(ringmq, moment, text, bytes, third, fourth)
#else
#define RINGMQ_PROBES 0
#define PROBE(moment, text, bytes, third, fourth) ((void)sizeof(text), (void)sizeof(bytes), (void)sizeof(third), (void)sizeof(fourth))
#endif

#endif
