/* ringmqd_tls.h - what the control thread does for listeners with TLS: looks at their files, says what library they use. */
#ifndef RINGMQ_CMD_RINGMQD_TLS_H
#define RINGMQ_CMD_RINGMQD_TLS_H

#include "base/settings.h"
#include "engine/node.h"

/* `ringmqd --check`: are the files there, readable, and do they fit together? Mistakes go to stderr. */
bool ringmqd_tls_check(const struct settings *settings);
/* The line about the library at start, and a warning when it is slow. Nothing without TLS. */
void ringmqd_tls_print(const struct node *node);
/* Sets a timerfd to fire when it is time for ringmqd_tls_tick(); without TLS listeners it does not. */
void ringmqd_tls_timer(const struct node *node, int timer);
/* `forced`: reads all files again (SIGHUP). */
void ringmqd_tls_tick(const struct node *node, bool forced);

#endif
