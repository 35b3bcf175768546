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

/* A copy of the running store. */
struct admin_backup {
    enum backup_state { BACKUP_NONE, BACKUP_RUNNING, BACKUP_DONE, BACKUP_FAILED } state;
    char path[4300];  /* of the last one */
    uint64_t bytes, ms; /* when it is done */
    uint64_t unix_ms; /* when it was begun */
    char error[600];  /* when it has failed */
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
    /* As SIGUSR1: begins a backup of the store. False with a sentence in ret_error. */
    bool (*backup)(void *control, char *ret_error, size_t error_bytes);
    void (*last_backup)(void *control, struct admin_backup *ret_backup);
};

#endif
