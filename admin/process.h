/* process.h - what the kernel says about this process. Threads: any. 0 where it says nothing. */
#ifndef RINGMQ_ADMIN_PROCESS_H
#define RINGMQ_ADMIN_PROCESS_H

#include <stdint.h>
#include <time.h>

uint64_t process_open_files(void);
uint64_t process_resident_bytes(void);
double process_cpu_seconds(void);
/* Of a thread of ours, by its processor clock. */
double process_thread_cpu_seconds(clockid_t clock);

#endif
