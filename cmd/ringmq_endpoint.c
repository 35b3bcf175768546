#include "cmd/ringmq_endpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_url.h"
#include "tls/client.h"

#define FILE_BYTES_MAX (16u << 20)

/* By kind. 8083 and 8084 are what EMQX and ringmq listen on; there is no registered port. */
static const uint16_t ports[ENDPOINT_KINDS] = {1883, 8883, 8083, 8084, 0};

/* ---- the options ---------------------------------------------------------------------------------------------------- */

#define FIELD(name) offsetof(struct endpoint_options, name)

const struct option endpoint_options_table[] = {
    {0, "tls", NULL, OPTION_FLAG, FIELD(tls), .help = "encrypt (any of the options below says so, too, and port 8883)"},
    {0, "cafile", "FILE", OPTION_TEXT, FIELD(ca_file), .help = "CA certificates (PEM) that may have signed the server's\n(those of the system)"},
    {0, "capath", "FOLDER", OPTION_TEXT, FIELD(ca_path), .help = "the same: all files of a folder"},
    {0, "tls-use-os-certs", NULL, OPTION_FLAG, FIELD(os_certificates), .help = "the system's CA certificates beside --cafile or --capath"},
    {0, "cert", "FILE", OPTION_TEXT, FIELD(certificate), .help = "our certificate (PEM), intermediates behind it"},
    {0, "key", "FILE", OPTION_TEXT, FIELD(key), .help = "its private key (in the same file)"},
    {0, "key-password", "PASSWORD", OPTION_TEXT, FIELD(key_password), .help = "decrypts the key (others on this machine can see it)"},
    {0, "insecure", NULL, OPTION_FLAG, FIELD(insecure), .help = "verify neither certificate nor host name: anybody in between\ncan read and change everything"},
    {0, "tls-version", "VERSION", OPTION_TEXT, FIELD(versions), .help = "only tlsv1.2 or only tlsv1.3 (either)"},
    {0, "ciphers", "LIST", OPTION_TEXT, FIELD(ciphers), .help = "cipher suites, by OpenSSL's or IANA's names, with colons"},
    {0, "tls-alpn", "PROTOCOL", OPTION_TEXT, FIELD(alpn), .help = "ask for this application protocol (none)"},
    {0, "alpn", "PROTOCOL", OPTION_TEXT, FIELD(alpn), .help = "the same"},
    {0, "psk", "HEX", OPTION_TEXT, FIELD(psk), .help = "pre-shared key in hexadecimal, in place of certificates"},
    {0, "psk-identity", "NAME", OPTION_TEXT, FIELD(psk_identity), .help = "whose key it is"},
    {0, "ws", NULL, OPTION_FLAG, FIELD(websocket), .help = "over WebSocket (as the URLs ws:// and wss:// say)"},
    {0, "ws-path", "PATH", OPTION_TEXT, FIELD(path), .help = "of the WebSocket (/mqtt)"},
    {0, "ws-header", "NAME: VALUE", OPTION_LIST, FIELD(headers), .help = "one more header of its request; repeatable"},
    {0, "unix", "PATH", OPTION_TEXT, FIELD(unix_path), .help = "a Unix socket in place of host and port"},
};
const uint32_t endpoint_options_count = sizeof endpoint_options_table / sizeof endpoint_options_table[0];

bool endpoint_take_url(struct endpoint_options *options, const char *text)
{
    if (options->has_url || options->host) {
        say_error("-L goes with neither a second -L nor -h");
        return false;
    }
    if (!url_parse(text, &options->url)) return false;
    const struct url *url = &options->url;
    options->has_url = true;
    options->kind = url->kind;
    options->host = url->host;
    if (url->port) options->port = url->port;
    if (url->kind == ENDPOINT_UNIX) options->unix_path = url->path;
    if ((url->kind == ENDPOINT_WS || url->kind == ENDPOINT_WSS) && url->path) options->path = url->path;
    return true;
}

void endpoint_options_release(struct endpoint_options *options)
{
    text_list_release(&options->headers);
    url_release(&options->url);
}

const char *endpoint_scheme(enum endpoint_kind kind) { return url_schemes[kind]; }

/* ---- files ---------------------------------------------------------------------------------------------------------- */

struct content {
    uint8_t *data;
    size_t bytes;
};

/* Appends a file. NULL, or what is wrong. */
static const char *append_file(struct content *content, const char *path)
{
    struct stat status;
    const char *wrong = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return strerror(errno);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        wrong = "it is no file";
    else if (status.st_size > FILE_BYTES_MAX - (off_t)content->bytes)
        wrong = "it is larger than 16 MiB";
    size_t size = wrong ? 0 : (size_t)status.st_size;
    if (!wrong) content->data = memory_resize(content->data, content->bytes + size + 1);
    while (size && !wrong) {
        ssize_t got = read(fd, content->data + content->bytes, size);
        if (got < 0) wrong = strerror(errno);
        if (got <= 0) break;
        content->bytes += (size_t)got;
        size -= (size_t)got;
    }
    if (!wrong) content->data[content->bytes++] = '\n'; /* PEM blocks begin on lines of their own */
    close(fd);
    return wrong;
}

static bool load(const char *option, const char *path, struct content *content, struct tls_file *ret_file)
{
    if (!path) return true;
    const char *wrong = append_file(content, path);
    *ret_file = (struct tls_file){path, span_of(content->data, content->bytes)};
    if (wrong) say_error("%s %s: %s", option, path, wrong);
    return !wrong;
}

static bool append_folder(struct content *content, const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        say_error("--capath %s: %s", path, strerror(errno));
        return false;
    }
    size_t before = content->bytes;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char file[4096];
        if (entry->d_name[0] == '.' || snprintf(file, sizeof file, "%s/%s", path, entry->d_name) >= (int)sizeof file) continue;
        append_file(content, file); /* what is no file is none of ours */
    }
    closedir(folder);
    if (content->bytes == before) say_error("--capath %s: there is no file in it", path);
    return content->bytes > before;
}

/* Where distributions keep them; SSL_CERT_FILE as OpenSSL has it. */
static bool append_os_certificates(struct content *content)
{
    const char *places[] = {getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                            "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (places[i] && !append_file(content, places[i])) return true;
    return false;
}

static void forget(struct content *content)
{
    if (content->data) explicit_bzero(content->data, content->bytes);
    memory_release(content->data);
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------ */

static bool wants_tls(const struct endpoint_options *options)
{
    return options->tls || options->ca_file || options->ca_path || options->os_certificates || options->certificate || options->key ||
           options->insecure || options->versions || options->ciphers || options->alpn || options->psk || options->psk_identity ||
           options->port == 8883;
}

static bool judge_tls(const struct endpoint_options *options)
{
    const char *wrong = NULL;
    bool certificates = options->ca_file || options->ca_path || options->os_certificates || options->certificate;
    if (!options->psk != !options->psk_identity) wrong = "--psk and --psk-identity belong together";
    if (options->psk && certificates) wrong = "--psk takes the place of certificates: leave --cafile, --capath and --cert out";
    if (options->key && !options->certificate) wrong = "--key needs the certificate, too (--cert)";
    if (options->versions && strcmp(options->versions, "tlsv1.2") != 0 && strcmp(options->versions, "tlsv1.3") != 0)
        wrong = "--tls-version is tlsv1.2 or tlsv1.3; older ones are broken";
    if (wrong) say_error("%s", wrong);
    return !wrong;
}

static bool load_ca(const struct endpoint_options *options, struct tls_client_options *tls, struct content *content)
{
    tls->ca.name = options->ca_file ? options->ca_file : options->ca_path ? options->ca_path : "the system's CA certificates";
    if (options->insecure || options->psk) return true;
    bool os = options->os_certificates || (!options->ca_file && !options->ca_path);
    tls->ca_may_be_odd = os || options->ca_path;
    if (!load("--cafile", options->ca_file, content, &tls->ca)) return false;
    if (options->ca_path && !append_folder(content, options->ca_path)) return false;
    if (os && !append_os_certificates(content)) {
        say_error("the system has no CA certificates where we look for them (package ca-certificates?): give the server's CA with --cafile");
        return false;
    }
    tls->ca.content = span_of(content->data, content->bytes);
    return true;
}

static bool make_tls(const struct endpoint_options *options, struct endpoint *endpoint)
{
    struct content ca = {0}, chain = {0}, key = {0};
    bool only_1_2 = options->versions && strcmp(options->versions, "tlsv1.2") == 0;
    bool only_1_3 = options->versions && strcmp(options->versions, "tlsv1.3") == 0;
    struct tls_client_options tls = {.insecure = options->insecure,
                                     .version_min = only_1_3 ? TLS_1_3 : TLS_1_2,
                                     .version_max = only_1_2 ? TLS_1_2 : TLS_1_3,
                                     .ciphers = options->ciphers,
                                     .alpn = options->alpn,
                                     .psk_identity = options->psk_identity,
                                     .psk_key = options->psk};
    tls.certificate.key_password = options->key_password;
    const char *key_path = options->key ? options->key : options->certificate;
    char error[TLS_ERROR_BYTES] = "";
    bool fine = judge_tls(options) && load_ca(options, &tls, &ca) &&
                load("--cert", options->certificate, &chain, &tls.certificate.chain) && load("--key", key_path, &key, &tls.certificate.key);
    if (fine) endpoint->tls = tls_client_context_create(&tls, error, sizeof error);
    if (fine && !endpoint->tls) say_error("TLS: %s", error);
    forget(&ca);
    forget(&chain);
    forget(&key);
    return endpoint->tls != NULL;
}

/* ---- WebSocket ------------------------------------------------------------------------------------------------------ */

/* The kernel's, many at a time: a load generator needs one for each frame. */
static uint64_t strong_random(void *context)
{
    static _Thread_local uint64_t numbers[32]; /* 256 bytes come whole (getrandom(2)) */
    static _Thread_local uint32_t left;
    if (left == 0) {
        CHECK(getrandom(numbers, sizeof numbers, 0) == sizeof numbers);
        left = sizeof numbers / sizeof numbers[0];
    }
    uint64_t random = numbers[--left];
    numbers[left] = 0;
    return random;
}

/* A header of the user's must not end ours. */
static bool header_sound(const char *header)
{
    const char *colon = strchr(header, ':');
    bool sound = colon && colon != header && !strpbrk(header, "\r\n");
    if (!sound) say_error("--ws-header '%s': write it as \"Name: value\"", header);
    return sound;
}

static bool make_websocket(const struct endpoint_options *options, struct endpoint *endpoint)
{
    const char *path = options->path ? options->path : "/mqtt";
    if (path[0] != '/' || strpbrk(path, " \r\n\t#")) {
        say_error("--ws-path '%s': a path begins with a slash and has neither blanks nor #", path);
        return false;
    }
    bool six = strchr(endpoint->host, ':') != NULL;
    size_t room = strlen(endpoint->host) + 16, bytes = 1;
    endpoint->host_header = memory_acquire(room);
    snprintf(endpoint->host_header, room, six ? "[%s]:%u" : "%s:%u", endpoint->host, endpoint->port);
    for (uint32_t i = 0; i < options->headers.count; i++)
        bytes += strlen(options->headers.items[i]) + 2;
    endpoint->headers = memory_acquire_zeroed(bytes);
    for (uint32_t i = 0; i < options->headers.count; i++) {
        if (!header_sound(options->headers.items[i])) return false;
        strcat(strcat(endpoint->headers, options->headers.items[i]), "\r\n");
    }
    endpoint->websocket = (struct websocket_client_options){
        .host = endpoint->host_header, .path = path, .headers = endpoint->headers, .random = strong_random};
    return true;
}

/* ---- all together --------------------------------------------------------------------------------------------------- */

/* The kind that URL and options ask for; ENDPOINT_KINDS: they contradict each other. */
static enum endpoint_kind kind_of(const struct endpoint_options *options)
{
    bool websocket = options->websocket || options->path || options->headers.count, tls = wants_tls(options);
    if (options->has_url) {
        bool url_ws = options->kind == ENDPOINT_WS || options->kind == ENDPOINT_WSS;
        bool url_tls = options->kind == ENDPOINT_TLS || options->kind == ENDPOINT_WSS;
        if ((!tls || url_tls || options->port == 8883) && (!websocket || url_ws)) return options->kind;
        say_error("the URL says %s://, other options say %s: write %s%s://", endpoint_scheme(options->kind),
                  websocket && !url_ws ? "WebSocket" : "TLS", websocket || url_ws ? "ws" : "mqtt", tls || url_tls ? "s" : "");
        return ENDPOINT_KINDS;
    }
    if (!options->unix_path) return websocket ? (tls ? ENDPOINT_WSS : ENDPOINT_WS) : tls ? ENDPOINT_TLS : ENDPOINT_TCP;
    if (!tls && !websocket && !options->host) return ENDPOINT_UNIX;
    say_error("--unix goes with neither -h nor TLS nor WebSocket");
    return ENDPOINT_KINDS;
}

bool endpoint_settle(struct endpoint_options *options, struct endpoint *ret_endpoint)
{
    *ret_endpoint = (struct endpoint){.kind = kind_of(options)};
    struct endpoint *endpoint = ret_endpoint;
    if (endpoint->kind == ENDPOINT_KINDS) return false;
    if (options->host == NULL) options->host = "localhost";
    if (options->port == 0) options->port = ports[endpoint->kind];
    endpoint->host = endpoint->kind == ENDPOINT_UNIX ? options->unix_path : options->host;
    endpoint->port = endpoint->kind == ENDPOINT_UNIX ? 0 : (uint16_t)options->port;
    if (endpoint->kind == ENDPOINT_UNIX)
        snprintf(endpoint->name, sizeof endpoint->name, "unix:%.300s", endpoint->host);
    else
        snprintf(endpoint->name, sizeof endpoint->name, "%s%s%.280s:%u", endpoint->kind == ENDPOINT_TCP ? "" : endpoint_scheme(endpoint->kind),
                 endpoint->kind == ENDPOINT_TCP ? "" : "://", endpoint->host, endpoint->port);
    bool tls = endpoint->kind == ENDPOINT_TLS || endpoint->kind == ENDPOINT_WSS;
    bool websocket = endpoint->kind == ENDPOINT_WS || endpoint->kind == ENDPOINT_WSS;
    if ((!tls || make_tls(options, endpoint)) && (!websocket || make_websocket(options, endpoint))) return true;
    endpoint_release(endpoint);
    return false;
}

void endpoint_release(struct endpoint *endpoint)
{
    tls_context_release(endpoint->tls);
    memory_release(endpoint->host_header);
    memory_release(endpoint->headers);
    endpoint->tls = NULL;
    endpoint->host_header = endpoint->headers = NULL;
}

uint32_t endpoint_filters(const struct endpoint *endpoint, const struct tls_session *resume, struct filter *ret_filters[ENDPOINT_FILTERS_MAX])
{
    uint32_t count = 0;
    if (endpoint->tls) ret_filters[count++] = tls_client_create(endpoint->tls, endpoint->host, resume);
    if (endpoint->host_header) ret_filters[count++] = websocket_client_create(&endpoint->websocket);
    return count;
}

struct tls_session *endpoint_session(struct filter *filter) { return tls_client_session(filter); }
bool endpoint_resumed(const struct filter *filter) { return tls_filter_is_resumed(filter); }
void endpoint_session_release(struct tls_session *session) { tls_session_release(session); }

const char *endpoint_advice(const char *reason)
{
    static const struct {
        const char *part, *advice;
    } known[] = {
        {"unknown CA", " (give its CA with --cafile; --insecure goes without any verification)"},
        {"self-signed", " (give it with --cafile; --insecure goes without any verification)"},
        {"another host", " (ask for a name that is in it; --insecure goes without any verification)"},
        {"expired", " (and is this machine's clock right?)"},
        {"not valid yet", " (is this machine's clock right?)"},
        {"no TLS record", " (does this port speak TLS?)"},
        {"alert unknown_ca", " (the server does not know the CA of our certificate, --cert)"},
        {"alert certificate_required", " (the server wants a certificate: --cert and --key)"},
        {"alert bad_certificate", " (the server does not take our certificate, or wants one: --cert and --key)"},
        {"alert handshake_failure", " (nothing in common: --tls-version, --ciphers; or the server wants a certificate or --psk)"},
        {"alert unknown_psk_identity", " (--psk-identity)"},
        {"alert decrypt_error", " (is --psk the right key?)"},
        {"alert no_application_protocol", " (--tls-alpn)"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strstr(reason, known[i].part)) return known[i].advice;
    return "";
}
