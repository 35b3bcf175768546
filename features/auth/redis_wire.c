/* redis_wire.c - see redis_wire.h. */
#include "features/auth/redis_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "features/auth/module.h"

struct redis_tls {
    SSL_CTX *context;
    bool verify;
};

struct redis_wire {
    const struct auth_tools *tools;
    const char *host;
    int fd;
    SSL *ssl; /* NULL: plain */
    redisReader *reader;
    redisReplyObjectFunctions plain, bounded; /* how the reader makes what it has read: the library's, and those with an end to arrays */
    size_t answer_bytes_max, got_bytes;       /* and what of the answer at hand has come */
    bool too_large;
};

/* ---- certificates ------------------------------------------------------------------------------------------------ */

struct redis_tls *redis_tls_open(const struct auth_source_settings *settings, char *ret_error, size_t error_bytes)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    const char *wrong = context ? NULL : "no memory", *file = "";
    bool own = *settings->tls_certificate_file;
    if (!wrong) SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (!wrong && settings->tls_verify && *settings->tls_ca_file && SSL_CTX_load_verify_file(context, settings->tls_ca_file) != 1)
        wrong = "it holds no certificates", file = settings->tls_ca_file;
    if (!wrong && settings->tls_verify && !*settings->tls_ca_file && SSL_CTX_set_default_verify_paths(context) != 1) wrong = "the system has no list of authorities";
    if (!wrong && own && SSL_CTX_use_certificate_chain_file(context, settings->tls_certificate_file) != 1)
        wrong = "it holds no certificate", file = settings->tls_certificate_file;
    if (!wrong && own && (SSL_CTX_use_PrivateKey_file(context, settings->tls_key_file, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(context) != 1))
        wrong = "it holds no key, or one that is not the certificate's", file = settings->tls_key_file;
    ERR_clear_error();
    if (wrong) {
        snprintf(ret_error, error_bytes, "%s%s%s", file, *file ? ": " : "", wrong);
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_verify(context, settings->tls_verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    struct redis_tls *tls = calloc(1, sizeof *tls);
    *tls = (struct redis_tls){context, settings->tls_verify};
    return tls;
}

void redis_tls_close(struct redis_tls *tls)
{
    if (tls) SSL_CTX_free(tls->context);
    free(tls);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

/* False: the deadline came first. */
static bool wait_for(const struct redis_wire *wire, short events, uint64_t deadline_ms)
{
    struct pollfd entry = {.fd = wire->fd, .events = events};
    uint64_t now_ms = wire->tools->now_ms();
    return now_ms < deadline_ms && poll(&entry, 1, (int)(deadline_ms - now_ms)) > 0;
}

/* What an operation on the TLS connection waits for; 0: it has failed. */
static short wanted_by(const struct redis_wire *wire, int result)
{
    int error = SSL_get_error(wire->ssl, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ ? POLLIN : error == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
}

/* More than 0, or 0: failed, or time is over. */
static ssize_t move_some(struct redis_wire *wire, void *in, const void *out, size_t bytes, uint64_t deadline_ms)
{
    for (;;) {
        ssize_t count;
        short wanted = 0;
        ERR_clear_error();
        if (wire->ssl)
            count = in ? SSL_read(wire->ssl, in, (int)bytes) : SSL_write(wire->ssl, out, (int)bytes);
        else
            count = in ? recv(wire->fd, in, bytes, 0) : send(wire->fd, out, bytes, MSG_NOSIGNAL);
        if (count > 0) return count;
        if (wire->ssl)
            wanted = wanted_by(wire, (int)count);
        else if (count < 0 && (errno == EAGAIN || errno == EINTR))
            wanted = in ? POLLIN : POLLOUT;
        if (!wanted || !wait_for(wire, wanted, deadline_ms)) return 0;
    }
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

static bool shake_hands(struct redis_wire *wire, const struct redis_tls *tls, const char *host, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    uint8_t address[16];
    bool numeric = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    wire->ssl = SSL_new(tls->context);
    if (!wire->ssl || SSL_set_fd(wire->ssl, wire->fd) != 1) return snprintf(ret_error, error_bytes, "no memory"), false;
    SSL_set_mode(wire->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (!numeric) SSL_set_tlsext_host_name(wire->ssl, host);
    if (tls->verify && !(numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(wire->ssl), host) : SSL_set1_host(wire->ssl, host)))
        return snprintf(ret_error, error_bytes, "the server's name cannot be verified"), false;
    for (int result; (result = SSL_connect(wire->ssl)) != 1;) {
        short wanted = wanted_by(wire, result);
        long verified = SSL_get_verify_result(wire->ssl);
        if (wanted && wait_for(wire, wanted, deadline_ms)) continue;
        if (tls->verify && verified != X509_V_OK)
            snprintf(ret_error, error_bytes, "the server's certificate: %s", X509_verify_cert_error_string(verified));
        else
            snprintf(ret_error, error_bytes, wanted ? "timed out" : "the TLS handshake failed");
        return false;
    }
    return true;
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

#if HIREDIS_MAJOR < 1
#define ELEMENTS int
#else
#define ELEMENTS size_t
#endif

/* An array says how many elements will follow, and the reader makes room for all of them at once. Each takes four bytes at least (":1\r\n"), so no answer of a size that
 * is taken has more. NULL: the reader gives up. */
static void *array_create(const redisReadTask *task, ELEMENTS elements)
{
    struct redis_wire *wire = task->privdata;
    if (elements > 0 && (size_t)elements > wire->answer_bytes_max / 4) return wire->too_large = true, NULL;
    return wire->plain.createArray(task, elements);
}

static redisReader *reader_create(struct redis_wire *wire)
{
    redisReader *reader = redisReaderCreate();
    if (!reader) abort(); /* no memory: as everywhere */
    wire->plain = wire->bounded = *reader->fn;
    wire->bounded.createArray = array_create;
    reader->fn = &wire->bounded;
    reader->privdata = wire;
    return reader;
}

struct redis_wire *redis_wire_open(const char *host, const char *port, const struct redis_tls *tls, const struct auth_tools *tools, size_t answer_bytes_max,
                                   uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct redis_wire *wire = calloc(1, sizeof *wire);
    wire->tools = tools;
    wire->host = host;
    wire->answer_bytes_max = answer_bytes_max;
    wire->reader = reader_create(wire);
    wire->fd = tools->dial(host, port, deadline_ms, ret_error, error_bytes);
    if (wire->fd >= 0 && (!tls || shake_hands(wire, tls, host, deadline_ms, ret_error, error_bytes))) return wire;
    redis_wire_close(wire);
    return NULL;
}

void redis_wire_close(struct redis_wire *wire)
{
    if (!wire) return;
    SSL_free(wire->ssl); /* without waiting for its farewell */
    if (wire->fd >= 0) close(wire->fd);
    if (wire->reader) redisReaderFree(wire->reader);
    free(wire);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

redisReply *redis_wire_ask(struct redis_wire *wire, int argc, const char **argv, const size_t *bytes, uint64_t deadline_ms, bool *ret_too_large, char *ret_error,
                           size_t error_bytes)
{
    char *command = NULL, piece[16384];
    int total = redisFormatCommandArgv(&command, argc, argv, bytes);
    void *reply = NULL;
    bool fine = total > 0;
    for (ssize_t done = 0, count; fine && done < total; done += count)
        fine = (count = move_some(wire, NULL, command + done, (size_t)(total - done), deadline_ms)) > 0;
    if (total > 0) explicit_bzero(command, (size_t)total); /* perhaps with a password */
    redisFreeCommand(command);
    wire->got_bytes = 0;
    wire->too_large = false;
    while (fine && !reply) {
        fine = redisReaderGetReply(wire->reader, &reply) == REDIS_OK;
        if (!fine || reply) break;
        ssize_t count = move_some(wire, piece, NULL, sizeof piece, deadline_ms);
        wire->got_bytes += count > 0 ? (size_t)count : 0;
        wire->too_large = wire->got_bytes > wire->answer_bytes_max;
        fine = count > 0 && !wire->too_large && redisReaderFeed(wire->reader, piece, (size_t)count) == REDIS_OK;
    }
    explicit_bzero(piece, sizeof piece);
    *ret_too_large = !reply && wire->too_large;
    if (reply) return reply;
    if (wire->too_large) auth_too_large(wire->host, wire->answer_bytes_max, ret_error, error_bytes);
    else snprintf(ret_error, error_bytes, wire->tools->now_ms() >= deadline_ms ? "timed out" : "the connection was lost");
    return NULL;
}
