/* ringmqd_notify.h - telling systemd how the service stands: one datagram to $NOTIFY_SOCKET (sd_notify(3)). Without that
 * variable all of these do nothing. Threads: the control thread. */
#ifndef RINGMQ_CMD_RINGMQD_NOTIFY_H
#define RINGMQ_CMD_RINGMQD_NOTIFY_H

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_watchdog(void);
/* A timerfd that fires at half the interval systemd asks for ($WATCHDOG_USEC), or -1 when it asks for none. */
int notify_watchdog_timer(void);

#endif
