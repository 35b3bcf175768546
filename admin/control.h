/* control.h - what the admin side asks of the control thread. The verbs are called there only. */
#ifndef RINGMQ_ADMIN_CONTROL_H
#define RINGMQ_ADMIN_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* What a reload has done. */
struct admin_reload {
    uint32_t changes, need_restart, listeners_failed;
};

struct admin_control {
    void *control;
    /* The configuration in force. */
    const struct config *(*config)(void *control);
    /* Loads what the sources say now, with `runtime` as the text of the runtime layer (NULL: the file). False: errors were added. */
    bool (*load)(void *control, const char *runtime, struct config **ret_config, struct config_errors *errors);
    /* As SIGHUP. False: the sources have errors (logged), the old configuration stays. */
    bool (*reload)(void *control, struct admin_reload *ret_reload);
    /* Closes a listener's sockets and opens them again. False with a sentence in ret_error. */
    bool (*listener_restart)(void *control, const char *id, char *ret_error, size_t error_bytes);
};

#endif
