#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what)
{
    fprintf(stderr, "ringmq: internal error at %s:%d in %s: %s\n", file, line, function, what);
    abort();
}
