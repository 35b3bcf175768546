/* In every Criterion program: each test runs in a child of its own, whose leaks are looked for when it ends. The parent has nothing of ours, but
 * Criterion's thread for the ends of children may be a message ahead of its main thread when that is done: 48 bytes, on a busy machine. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdbool.h>

static bool is_parent;

ReportHook(PRE_ALL)(struct criterion_test_set *tests) { is_parent = true; }

int __lsan_is_turned_off(void); /* sanitizer/lsan_interface.h: asked when the program ends */
int __lsan_is_turned_off(void) { return is_parent; }
