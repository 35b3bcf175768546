/* ringmqd_admin.h - the admin API at start and at the end (docs/admin-api.md). */
#ifndef RINGMQ_CMD_RINGMQD_ADMIN_H
#define RINGMQ_CMD_RINGMQD_ADMIN_H

#include "admin/admin.h"
#include "cmd/ringmqd_config.h"

/* Before the shards start: an eventfd that they ring when a question has been answered; -1 without admin.enable. */
int ringmqd_admin_prepare(const struct settings *settings, struct broker *broker);
/* After they have. NULL: admin.enable is false, or it could not be started, which is logged: the broker goes on without. */
struct admin *ringmqd_admin_start(const struct admin_options *options);
/* --print-metrics-docs, --print-api-docs, --print-api. Returns the exit status. */
int ringmqd_admin_print(enum ringmqd_action action);

#endif
