/* ringmq_endpoint.h - where the server is and how to get there: TCP, TLS, WebSocket, both, or a Unix socket. The one place of the
 * client programs that knows tls/ and ws/: what comes out is a list of filters (base/filter.h).
 *
 *     -L, -h, -p, --cafile …  ──► endpoint_options ──endpoint_settle()──► endpoint ──endpoint_filters()──► one connection's
 *
 * Owner:   whoever declared the structs. Options are texts of the command line or of the URL.
 * Threads: a settled endpoint is read by any. */
#ifndef RINGMQ_CMD_ENDPOINT_H
#define RINGMQ_CMD_ENDPOINT_H

#include "base/filter.h"
#include "cmd/ringmq_options.h"
#include "ws/websocket.h"

enum endpoint_kind { ENDPOINT_TCP, ENDPOINT_TLS, ENDPOINT_WS, ENDPOINT_WSS, ENDPOINT_UNIX, ENDPOINT_KINDS };

/* A URL, taken apart; NULL: that part is missing. All ours: url_release(). */
struct url {
    enum endpoint_kind kind;
    char *user_name, *password, *host, *path; /* path: of a Unix socket and of a WebSocket with the slash, of mqtt(s) (the topic) without */
    uint16_t port;                            /* 0: none */
};

struct endpoint_options {
    const char *host; /* NULL: localhost */
    uint32_t port;    /* 0: by kind */
    const char *unix_path;
    bool tls, websocket;     /* --tls, --ws */
    bool has_url;            /* then `kind` is the URL's */
    enum endpoint_kind kind;
    const char *path;        /* of the WebSocket */
    struct text_list headers;
    const char *ca_file, *ca_path, *certificate, *key, *key_password, *versions, *alpn, *ciphers, *psk, *psk_identity;
    bool os_certificates, insecure;
    struct url url;
};

struct endpoint {
    enum endpoint_kind kind;
    const char *host; /* or the path of the Unix socket; lives as long as the options */
    uint16_t port;
    char name[320];   /* for people: "broker:1883", "mqtts://broker:8883", "unix:/run/ringmq.sock" */
    struct tls_context *tls;
    struct websocket_client_options websocket;
    char *host_header, *headers;
};

/* -L is not among them: see endpoint_take_url(). */
extern const struct option endpoint_options_table[];
extern const uint32_t endpoint_options_count;

/* Complains, also where one has been given already. The options keep what they point to. */
bool endpoint_take_url(struct endpoint_options *options, const char *text);
/* Judges the options together and reads their files. Complains. */
bool endpoint_settle(struct endpoint_options *options, struct endpoint *ret_endpoint);
void endpoint_release(struct endpoint *endpoint);
void endpoint_options_release(struct endpoint_options *options);
const char *endpoint_scheme(enum endpoint_kind kind); /* "mqtts" */

struct tls_session;
#define ENDPOINT_FILTERS_MAX 2
/* The filters of one connection, the one next to the socket first; to be released by the caller. `resume`: NULL, or a session that
 * endpoint_session() gave. Returns how many. */
uint32_t endpoint_filters(const struct endpoint *endpoint, const struct tls_session *resume, struct filter *ret_filters[ENDPOINT_FILTERS_MAX]);
/* Of an open connection's filters; NULL: the server has given no ticket. */
struct tls_session *endpoint_session(struct filter *filter);
bool endpoint_resumed(const struct filter *filter);
void endpoint_session_release(struct tls_session *session);
/* What to do about a filter's reason(), for people: " (give its CA with --cafile …)"; "": nothing comes to mind. */
const char *endpoint_advice(const char *reason);

#endif
