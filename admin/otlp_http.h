/* otlp_http.h - the one thing that pushing metrics needs libcurl for, as a shared object beside the broker's modules (otlp_http.so, symbol `otlp_http`): a broker that
 * pushes nothing does not carry curl.
 *
 *     open() ─► post() … ─► close()        interrupt() from another thread
 * Threads: one at a time, interrupt() any. One connection is kept alive between posts. */
#ifndef RINGMQ_ADMIN_OTLP_HTTP_H
#define RINGMQ_ADMIN_OTLP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTLP_HTTP_ABI    2u
#define OTLP_HTTP_SYMBOL "otlp_http"
#define OTLP_HTTP_ADDRESSES_BYTES  1024  /* of resolve()'s text */
#define OTLP_HTTP_ANSWER_BYTES_MAX 65536 /* of a longer one the beginning is kept */

struct otlp_http_request {
    const char *url;
    const char *const *headers; /* "Name: value", ends with NULL */
    const uint8_t *body;
    size_t bytes;
    bool gzip;
    const char *ca_file, *certificate_file, *key_file; /* "": none */
    bool verify;
    uint32_t timeout_ms;       /* of all of it, the look-up with it */
    /* Addresses of the URL's host as base/resolve.h has them, with commas between them; false with a sentence: none until the deadline (of CLOCK_MONOTONIC), or
     * before *given_up. libcurl's own look-up has no end that we know, and whoever ends the request waits for it. */
    bool (*resolve)(const char *host, uint64_t deadline_ms, const _Atomic bool *given_up, char *ret_text, size_t bytes, char *ret_error, size_t error_bytes);
};

struct otlp_http_answer {
    int status;            /* 0: none, `error` says why */
    bool interrupted;
    bool hopeless;         /* no answer, and trying again helps nobody: a file that cannot be read, a certificate that is not good */
    uint32_t retry_after_s; /* 0: not said */
    size_t sent_bytes;     /* of the body as it travels */
    size_t body_bytes;
    uint8_t body[OTLP_HTTP_ANSWER_BYTES_MAX];
    char error[256];
};

struct otlp_http {
    uint32_t abi; /* OTLP_HTTP_ABI */
    void *(*open)(void); /* NULL: no memory */
    void (*close)(void *instance);
    void (*post)(void *instance, const struct otlp_http_request *request, struct otlp_http_answer *ret_answer);
    /* Ends the post under way, or the next one: once. */
    void (*interrupt)(void *instance);
};

#endif
