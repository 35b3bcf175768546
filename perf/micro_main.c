/* micro_main.c - runs one case of perf/micro: micro CASE [clock], or lists them: micro.
 *
 * Under callgrind, measure() alone is counted (--toggle-collect=measure). It prints how many operations were done and, with
 * `clock`, the nanoseconds of CPU time each took. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "perf/micro.h"

#define CLOCK_TIMES 100

uint64_t measure(const struct micro_case *one, uint64_t count);
__attribute__((noinline)) uint64_t measure(const struct micro_case *one, uint64_t count) { return one->run(count); }

static const struct micro_case *const all[] = {micro_codec, micro_route, micro_queue, micro_retain, micro_path};

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (const struct micro_case *one = all[i]; one->name; one++) {
            if (argc < 2) {
                puts(one->name);
                continue;
            }
            if (strcmp(one->name, argv[1]) != 0) continue;
            uint64_t times = argc > 2 ? CLOCK_TIMES : 1;
            one->setup(one->size);
            one->run(one->count / 10 + 1); /* warm: pools, caches, lazy tables */
            uint64_t start_ns = cpu_ns(), done = measure(one, one->count * times), ns = cpu_ns() - start_ns;
            if (times > 1)
                printf("%lu %.2f\n", done, (double)ns / (double)done);
            else
                printf("%lu\n", done);
            return 0;
        }
    if (argc < 2) return 0;
    fprintf(stderr, "micro: there is no case %s\n", argv[1]);
    return 1;
}
