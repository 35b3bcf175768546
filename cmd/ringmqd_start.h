/* ringmqd_start.h - the long part of the broker's start on a thread of its own, so that the control thread takes signals and writes the log meanwhile: a large store takes minutes. */
#ifndef RINGMQ_CMD_RINGMQD_START_H
#define RINGMQ_CMD_RINGMQD_START_H

#include <stdbool.h>

/* Does work(context), on a thread called "start" when there is one to be had, and returns what it says. `log_wake`: log_start()'s. SIGTERM and SIGINT (which must be blocked) end the
 * process meanwhile, with 0: whatever the work is at, it is as if the process were killed, which a store bears at any moment, and no client is here yet. Other signals wait. */
bool ringmqd_start(bool (*work)(void *context), void *context, int log_wake);

#endif
