/* ocsp_work.h - the threads that wait for OCSP responders. Inside broker/doors/ocsp*.c only. */
#ifndef RINGMQ_BROKER_DOORS_OCSP_WORK_H
#define RINGMQ_BROKER_DOORS_OCSP_WORK_H

#include "base/span.h"

/* The first member of what is to be done. run() is called once, on one of the threads, and owns it from then on. */
struct ocsp_work {
    struct ocsp_work *next;
    void (*run)(struct ocsp_work *work);
};

/* The threads begin with the first call; door_ocsp_stop() ends them. */
void ocsp_workers_start(void);
/* False: too much waits already. */
bool ocsp_workers_take(struct ocsp_work *work);

/* The transport of struct tls_ocsp_transport: HTTP. */
struct ocsp_post {
    uint64_t deadline_ms;
    char url[256];     /* asked last */
    const char *wrong; /* NULL: it has answered */
};
bool ocsp_post(void *context, const char *url, struct span request, uint8_t **ret_response, size_t *ret_bytes);

uint64_t ocsp_now_ms(void); /* CLOCK_MONOTONIC */

#endif
