/* ringmq_http.h - requests to a broker's admin API: HTTP/1.1, one connection that is kept open, blocking.
 *
 * By TLS, if the URL begins with https. Own rather than libcurl: that would put some twenty-five shared libraries (OpenSSL, LDAP, SSH, Kerberos …) into every `ringmq pub`, beside the
 * TLS library we have; what is needed here is a request and a parser (llhttp) over struct net.
 *
 * Owner:   http_client_close() gives everything back. Threads: one at a time.
 * Failure: false, and client->error says what, where and, if we know, what to do. */
#ifndef RINGMQ_CMD_HTTP_H
#define RINGMQ_CMD_HTTP_H

#include "cmd/ringmq_net.h"

struct http_secure; /* TLS: options and what comes of them */

/* Whom to believe that they are the server. NULL, false: the environment's RINGMQ_CAFILE and RINGMQ_INSECURE=1, else the system's certificates. */
struct http_trust {
    const char *ca_file;
    bool insecure;
};

struct http_client {
    char host[256];
    uint16_t port;
    char authorization[512];  /* "Bearer …", "Basic …", or "" */
    uint32_t timeout_ms;      /* for the whole of an answer; of a stream: between two pieces */
    struct http_secure *secure; /* NULL: plain */
    struct net net;
    bool open;
    uint64_t answered_ms;     /* clock_now_ms() of the last answer by this connection */
    char error[640];
};

struct http_reply {
    int status;
    char *body;               /* NUL-terminated; memory_release() */
    size_t body_bytes;
};

/* "http://HOST[:PORT]", "https://HOST[:PORT]", "HOST[:PORT]"; the port is 18083 when none is named. False: it is none of these, or the CA's file is none.
 * trust may be NULL. */
bool http_client_init(struct http_client *client, const char *url, const struct http_trust *trust);
void http_client_close(struct http_client *client);   /* the connection; the next request opens another */
void http_client_release(struct http_client *client); /* all of it */
/* body NULL: none. GET is sent once more, by a new connection, when a kept one turns out to have been closed before anything was answered; nothing else ever is, and when it was sent and
 * not answered, client->error says that it may have been done. */
bool http_client_request(struct http_client *client, const char *method, const char *target, const char *body, struct http_reply *ret_reply);
void http_reply_release(struct http_reply *reply);
/* GET; each piece of the body goes to piece(), which answers false to end. ret_reply has the status, and the body when it was an error. */
bool http_client_stream(struct http_client *client, const char *target, bool (*piece)(void *context, const char *data, size_t bytes), void *context,
                        struct http_reply *ret_reply);
/* Percent-encodes everything but letters, digits, - . _ ~ into `out`, NUL-terminated; cut to what fits. Returns the bytes it would need. */
size_t http_encode(const char *text, char *out, size_t bytes);
/* The same for a segment of a path: ".", ".." and what looks like them escaped ("~.", "~.."; docs/admin-api.md) get a "~". */
size_t http_encode_segment(const char *text, char *out, size_t bytes);

#endif
