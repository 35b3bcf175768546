/* check.h - the three kinds of bad news, and the words for the third.
 *
 * A peer's mistake is a reason code and a full resource is back-pressure: neither is handled here. Our own mistake stops
 * the process: CHECK states what must hold and stays on in release builds (keep it cheap), DCHECK is for debug and
 * sanitizer builds, UNREACHABLE names a branch that cannot be taken. */
#ifndef RINGMQ_BASE_CHECK_H
#define RINGMQ_BASE_CHECK_H

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what);

#define CHECK(what) (__builtin_expect(!(what), 0) ? check_failed(__FILE__, __LINE__, __func__, #what) : (void)0)
#define UNREACHABLE(why) check_failed(__FILE__, __LINE__, __func__, "unreachable: " why)

#ifdef NDEBUG
#define DCHECK(what) ((void)0)
#else
#define DCHECK(what) CHECK(what)
#endif

#define LIKELY(what)   __builtin_expect(!!(what), 1)
#define UNLIKELY(what) __builtin_expect(!!(what), 0)

#endif
