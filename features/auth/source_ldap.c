/* source_ldap.c - asks a directory: finds the client's entry and binds as it, or compares the password with what the entry holds.
 *
 *     bind   an entry below base_dn that matches filter is searched for, then the password is tried by a bind as it on a second connection.
 *            Without filter, base_dn itself is the entry: "uid=${username},ou=people,dc=example"
 *     hash   the entry is read and password_attribute compared here: {SSHA}, {SHA}, {SSHA256}, {SSHA512}, {SMD5}, {MD5}, {CRYPT}, $…, or plain
 * A name goes into DN and filter escaped (RFC 4514, 4515). An empty password is refused before the directory sees it: RFC 4513 §5.1.2 would take the bind
 * for an anonymous one and say yes. */
#define LDAP_DEPRECATED 0
#include <errno.h>
#include <ldap.h>
#include <openldap.h> /* ldap_init_fd() */
#include <openssl/evp.h>
#include <poll.h>
#include <strings.h>
#include <sys/time.h>

#include "features/auth/encode.h"
#include "features/auth/module.h"

struct dir {
    const struct auth_source_settings *settings;
    const struct auth_tools *tools;
    struct template *base, *filter; /* filter NULL: the base is the entry */
    char uri[300], host[256], port[16];
    void *tls;                      /* certificates and keys, for all connections; NULL: no TLS */
};

struct link {
    struct dir *dir;
    LDAP *service, *tried; /* NULL: none */
    char error[160];       /* what the last connection that failed said about it */
    uint64_t deadline_ms;  /* of the question at hand */
    size_t room_bytes;     /* that may still come in answer to it */
    bool too_large;        /* more came */
    bool shaking_hands;    /* which is no answer */
};

/* The library has no public way to give back what LDAP_OPT_X_TLS_CTX has got; Debian's has this one. Some 3 MiB with the system's authorities. */
void ldap_pvt_tls_ctx_free(void *context) __attribute__((weak));

static void dir_close(void *instance)
{
    struct dir *dir = instance;
    if (dir->tls && ldap_pvt_tls_ctx_free) ldap_pvt_tls_ctx_free(dir->tls);
    dir->tools->template_release(dir->base);
    dir->tools->template_release(dir->filter);
    free(dir);
}

/* Once, not for each connection: the library (with GnuTLS) leaks our certificate each time it reads it. */
static bool read_certificates(struct dir *dir, char *ret_error, size_t error_bytes)
{
    const struct auth_source_settings *settings = dir->settings;
    const char *authorities = auth_ca_file(settings);
    int demand = settings->tls_verify ? LDAP_OPT_X_TLS_HARD : LDAP_OPT_X_TLS_NEVER, zero = 0;
    LDAP *reader = NULL;
    if (ldap_initialize(&reader, dir->uri) != LDAP_SUCCESS) return snprintf(ret_error, error_bytes, "server is no name the directory library takes"), false;
    ldap_set_option(reader, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
    if (*authorities) ldap_set_option(reader, LDAP_OPT_X_TLS_CACERTFILE, authorities);
    if (*settings->tls_certificate_file) ldap_set_option(reader, LDAP_OPT_X_TLS_CERTFILE, settings->tls_certificate_file);
    if (*settings->tls_key_file) ldap_set_option(reader, LDAP_OPT_X_TLS_KEYFILE, settings->tls_key_file);
    bool fine = ldap_set_option(reader, LDAP_OPT_X_TLS_NEWCTX, &zero) == LDAP_OPT_SUCCESS && ldap_get_option(reader, LDAP_OPT_X_TLS_CTX, &dir->tls) == LDAP_OPT_SUCCESS && dir->tls;
    if (!fine) snprintf(ret_error, error_bytes, "tls_ca_file, tls_certificate_file or tls_key_file cannot be used");
    ldap_unbind_ext_s(reader, NULL, NULL);
    return fine;
}

static void *dir_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    struct dir *dir = calloc(1, sizeof *dir);
    dir->settings = settings;
    dir->tools = tools;
    bool fine = auth_server_parse(settings->server, settings->tls_enable && !settings->starttls ? "636" : "389", dir->host, dir->port) && dir->host[0] != '/';
    if (!fine) snprintf(ret_error, error_bytes, "server must be HOST or HOST:PORT");
    if (fine && !*settings->base_dn) fine = (snprintf(ret_error, error_bytes, "backend ldap needs base_dn, such as \"uid=${username},ou=people,dc=example,dc=org\""), false);
    bool v6 = strchr(dir->host, ':') != NULL;
    snprintf(dir->uri, sizeof dir->uri, v6 ? "%s://[%s]:%s" : "%s://%s:%s", settings->tls_enable && !settings->starttls ? "ldaps" : "ldap", dir->host, dir->port);
    if (fine && (settings->tls_enable || settings->starttls)) fine = read_certificates(dir, ret_error, error_bytes);
    if (fine) dir->base = tools->template_compile(span_of_string(settings->base_dn), ret_error, error_bytes);
    fine = fine && dir->base;
    if (fine && *settings->filter) fine = (dir->filter = tools->template_compile(span_of_string(settings->filter), ret_error, error_bytes)) != NULL;
    if (fine) return dir;
    dir_close(dir);
    return NULL;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* The connection is made by us (the library would look the server's name up without an end), and a layer of ours is right above the socket, and below TLS: whatever the
 * library does there ends at the deadline, and when more has come than an answer may have. By itself, with GnuTLS, it asks a server that takes
 * the connection and says nothing for the rest of the handshake again and again, without end and without a pause. */
#define OUR_LEVEL           (LBER_SBIOD_LEVEL_PROVIDER + 5)
#define HANDSHAKE_BYTES_MAX (1024 * 1024)

static bool wait_for(Sockbuf_IO_Desc *layer, short events)
{
    const struct link *link = layer->sbiod_pvt;
    struct pollfd entry = {.fd = -1, .events = events};
    ber_sockbuf_ctrl(layer->sbiod_sb, LBER_SB_OPT_GET_FD, &entry.fd);
    uint64_t now_ms = link->dir->tools->now_ms();
    bool ready = entry.fd >= 0 && now_ms < link->deadline_ms && poll(&entry, 1, (int)(link->deadline_ms - now_ms)) > 0;
    if (!ready) errno = ETIMEDOUT;
    return ready;
}

static bool again(ber_slen_t count) { return count < 0 && (errno == EAGAIN || errno == EINTR); }

static ber_slen_t layer_read(Sockbuf_IO_Desc *layer, void *data, ber_len_t bytes)
{
    struct link *link = layer->sbiod_pvt;
    bool buffered = LBER_SBIOD_CTRL_NEXT(layer, LBER_SB_OPT_DATA_READY, NULL) > 0;
    ber_slen_t count = -1;
    do {
        if (!buffered && !wait_for(layer, POLLIN)) return -1;
        count = LBER_SBIOD_READ_NEXT(layer, data, bytes);
        buffered = false;
    } while (again(count));
    if (count > 0 && (size_t)count > link->room_bytes) {
        link->too_large = true;
        if (link->shaking_hands) snprintf(link->error, sizeof link->error, "%.100s: the TLS handshake is larger than %d bytes", link->dir->host, HANDSHAKE_BYTES_MAX);
        else auth_too_large(link->dir->host, link->dir->settings->answer_bytes_max, link->error, sizeof link->error);
        return errno = EMSGSIZE, -1;
    }
    if (count > 0) link->room_bytes -= (size_t)count;
    return count;
}

static ber_slen_t layer_write(Sockbuf_IO_Desc *layer, void *data, ber_len_t bytes)
{
    ber_slen_t count = -1;
    do {
        if (!wait_for(layer, POLLOUT)) return -1;
        count = LBER_SBIOD_WRITE_NEXT(layer, data, bytes);
    } while (again(count));
    return count;
}

static int layer_setup(Sockbuf_IO_Desc *layer, void *link) { return layer->sbiod_pvt = link, 0; }
static int layer_remove(Sockbuf_IO_Desc *layer) { return layer->sbiod_pvt = NULL, 0; }
static int layer_ctrl(Sockbuf_IO_Desc *layer, int option, void *argument) { return LBER_SBIOD_CTRL_NEXT(layer, option, argument); }
static int layer_close(Sockbuf_IO_Desc *layer) { return 0; }

static Sockbuf_IO our_layer = {.sbi_setup = layer_setup, .sbi_remove = layer_remove, .sbi_ctrl = layer_ctrl, .sbi_read = layer_read, .sbi_write = layer_write,
                               .sbi_close = layer_close};

static void *dir_attach(void *instance)
{
    struct link *link = calloc(1, sizeof *link);
    link->dir = instance;
    return link;
}

static void drop(LDAP **connection)
{
    if (*connection) ldap_unbind_ext_s(*connection, NULL, NULL);
    *connection = NULL;
}

/* The code's name, and for a connection that failed why: of TLS there is much that can be wrong. */
static const char *sentence(struct link *link, int code)
{
    return *link->error && (code == LDAP_SERVER_DOWN || code == LDAP_CONNECT_ERROR) ? link->error : ldap_err2string(code);
}

static void remember(struct link *link, LDAP *connection, int code)
{
    char *said = NULL;
    link->error[0] = '\0';
    if (connection) ldap_get_option(connection, LDAP_OPT_DIAGNOSTIC_MESSAGE, &said);
    if (said && *said) snprintf(link->error, sizeof link->error, "%s: %s", ldap_err2string(code), said);
    ldap_memfree(said);
}

static void dir_detach(void *instance)
{
    struct link *link = instance;
    drop(&link->service);
    drop(&link->tried);
    free(link);
}

static void begin(struct link *link, uint64_t deadline_ms)
{
    link->deadline_ms = deadline_ms;
    link->too_large = false;
    link->error[0] = '\0';
}

static struct timeval left(const struct dir *dir, uint64_t deadline_ms)
{
    uint64_t now_ms = dir->tools->now_ms(), ms = deadline_ms > now_ms ? deadline_ms - now_ms : 1;
    return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static bool lost(int code)
{
    return code == LDAP_SERVER_DOWN || code == LDAP_CONNECT_ERROR || code == LDAP_TIMEOUT || code == LDAP_UNAVAILABLE || code == LDAP_BUSY || code == LDAP_LOCAL_ERROR;
}

/* The result code of an operation sent; LDAP_TIMEOUT when none came in time. */
static int result_of(struct link *link, LDAP *connection, int message, uint64_t deadline_ms, LDAPMessage **ret_result)
{
    struct dir *dir = link->dir;
    link->room_bytes = dir->settings->answer_bytes_max;
    struct timeval time = left(dir, deadline_ms);
    LDAPMessage *result = NULL;
    int code, kind = ldap_result(connection, message, LDAP_MSG_ALL, &time, &result);
    if (kind <= 0) {
        if (kind == 0) ldap_abandon_ext(connection, message, NULL, NULL);
        return kind == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN;
    }
    if (ldap_parse_result(connection, result, &code, NULL, NULL, NULL, NULL, 0) != LDAP_SUCCESS) code = LDAP_LOCAL_ERROR;
    if (ret_result)
        *ret_result = result;
    else
        ldap_msgfree(result);
    return code;
}

static int bind_as(struct link *link, LDAP *connection, const char *dn, struct span password, uint64_t deadline_ms)
{
    struct berval credentials = {.bv_val = (char *)password.data, .bv_len = password.bytes};
    int message, code = ldap_sasl_bind(connection, dn, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, &message);
    return code == LDAP_SUCCESS ? result_of(link, connection, message, deadline_ms, NULL) : code;
}

/* On the plain port (RFC 4511 §4.14). Nothing has been said there yet that could be heard. */
static int start_tls(struct link *link, LDAP *connection, uint64_t deadline_ms)
{
    int message, code = ldap_start_tls(connection, NULL, NULL, &message);
    return code == LDAP_SUCCESS ? result_of(link, connection, message, deadline_ms, NULL) : code;
}

/* LDAP_SUCCESS: connected, and nothing said yet. */
static int open_connection(struct link *link, LDAP **ret_connection, uint64_t deadline_ms)
{
    struct dir *dir = link->dir;
    Sockbuf *socket = NULL;
    int fd = dir->tools->dial(dir->host, dir->port, deadline_ms, link->error, sizeof link->error);
    if (fd < 0) return LDAP_CONNECT_ERROR;
    int code = ldap_init_fd(fd, LDAP_PROTO_TCP, dir->uri, ret_connection); /* the URI for the name in the certificate */
    if (code != LDAP_SUCCESS) return close(fd), code;
    ldap_get_option(*ret_connection, LDAP_OPT_SOCKBUF, &socket);
    ber_sockbuf_add_io(socket, &our_layer, OUR_LEVEL, link);
    return LDAP_SUCCESS;
}

static int connect_new(struct link *link, LDAP **ret_connection, uint64_t deadline_ms)
{
    struct dir *dir = link->dir;
    const struct auth_source_settings *settings = dir->settings;
    LDAP *connection = NULL;
    int version = LDAP_VERSION3, demand = settings->tls_verify ? LDAP_OPT_X_TLS_HARD : LDAP_OPT_X_TLS_NEVER;
    struct timeval time = left(dir, deadline_ms);
    int code = open_connection(link, &connection, deadline_ms);
    if (code != LDAP_SUCCESS) return code;
    ldap_set_option(connection, LDAP_OPT_PROTOCOL_VERSION, &version);
    ldap_set_option(connection, LDAP_OPT_NETWORK_TIMEOUT, &time);
    ldap_set_option(connection, LDAP_OPT_TIMEOUT, &time);
    ldap_set_option(connection, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    ldap_set_option(connection, LDAP_OPT_RESTART, LDAP_OPT_ON);
    if (dir->tls) {
        ldap_set_option(connection, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
        ldap_set_option(connection, LDAP_OPT_X_TLS_CTX, dir->tls);
    }
    if (settings->starttls) code = start_tls(link, connection, deadline_ms);
    link->room_bytes = HANDSHAKE_BYTES_MAX;
    link->shaking_hands = true;
    if (code == LDAP_SUCCESS && dir->tls) code = ldap_install_tls(connection);
    link->shaking_hands = false;
    if (code == LDAP_SUCCESS) {
        *ret_connection = connection;
    } else {
        if (!link->too_large) remember(link, connection, code);
        ldap_unbind_ext_s(connection, NULL, NULL);
    }
    return code;
}

static int service_ready(struct link *link, uint64_t deadline_ms)
{
    const struct auth_source_settings *settings = link->dir->settings;
    if (link->service) return LDAP_SUCCESS;
    int code = connect_new(link, &link->service, deadline_ms);
    if (code == LDAP_SUCCESS) {
        code = bind_as(link, link->service, settings->username, span_of_string(settings->password), deadline_ms);
        if (code != LDAP_SUCCESS && !link->too_large) remember(link, link->service, code);
    }
    if (code != LDAP_SUCCESS) drop(&link->service);
    return code;
}

/* The entries that match; at most two are asked for, since one too many is one too many. */
static int search_once(struct link *link, const struct auth_query *query, char **attributes, uint64_t deadline_ms, LDAPMessage **ret_result)
{
    struct dir *dir = link->dir;
    struct auth_text base = {0}, filter = {0};
    struct timeval time = left(dir, deadline_ms);
    int message, code = service_ready(link, deadline_ms);
    if (code != LDAP_SUCCESS) return code;
    dir->tools->template_render(dir->base, query, TEMPLATE_LDAP_DN, &base);
    if (dir->filter)
        dir->tools->template_render(dir->filter, query, TEMPLATE_LDAP_FILTER, &filter);
    else
        dir->tools->text_add(&filter, SPAN_LITERAL("(objectClass=*)"));
    code = ldap_search_ext(link->service, base.data, dir->filter ? LDAP_SCOPE_SUBTREE : LDAP_SCOPE_BASE, filter.data, attributes, 0, NULL, NULL, &time, 2, &message);
    if (code == LDAP_SUCCESS) code = result_of(link, link->service, message, deadline_ms, ret_result);
    dir->tools->text_release(&base);
    dir->tools->text_release(&filter);
    if (lost(code)) { /* an answer, too: "busy" comes as one, and the library's functions for it want the connection */
        ldap_msgfree(*ret_result);
        *ret_result = NULL;
        drop(&link->service);
    }
    return code;
}

static int search(struct link *link, const struct auth_query *query, char **attributes, uint64_t deadline_ms, LDAPMessage **ret_result)
{
    bool was_open = link->service != NULL;
    *ret_result = NULL;
    int code = search_once(link, query, attributes, deadline_ms, ret_result);
    if (lost(code) && was_open && !link->too_large && link->dir->tools->now_ms() < deadline_ms) code = search_once(link, query, attributes, deadline_ms, ret_result);
    return code;
}

/* ---- passwords -------------------------------------------------------------------------------------------------- */

/* {SSHA}base64 of digest and salt. */
static bool scheme_right(const EVP_MD *digest, struct span text, struct span password, bool *ret_sound)
{
    uint8_t stored[256], hash[EVP_MAX_MD_SIZE];
    size_t bytes, size = (size_t)EVP_MD_get_size(digest);
    *ret_sound = b64_decode(text, stored, sizeof stored, &bytes) && bytes >= size;
    if (!*ret_sound) return false;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, digest, NULL);
    EVP_DigestUpdate(context, password.data, password.bytes);
    EVP_DigestUpdate(context, stored + size, bytes - size);
    EVP_DigestFinal_ex(context, hash, NULL);
    EVP_MD_CTX_free(context);
    return secret_equal(span_of(hash, size), span_of(stored, size));
}

static enum password_verdict check_value(const struct dir *dir, struct span stored, struct span password)
{
    static const struct {
        const char *scheme;
        const EVP_MD *(*digest)(void);
    } schemes[] = {{"{SSHA}", EVP_sha1}, {"{SHA}", EVP_sha1}, {"{SSHA256}", EVP_sha256}, {"{SHA256}", EVP_sha256}, {"{SSHA512}", EVP_sha512},
                   {"{SHA512}", EVP_sha512}, {"{SMD5}", EVP_md5}, {"{MD5}", EVP_md5}};
    struct password_form encoded = {.algorithm = PASSWORD_ENCODED};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t bytes = strlen(schemes[i].scheme);
        bool sound;
        if (stored.bytes < bytes || strncasecmp((const char *)stored.data, schemes[i].scheme, bytes) != 0) continue;
        bool right = scheme_right(schemes[i].digest(), span_skip(stored, bytes), password, &sound);
        return !sound ? PASSWORD_UNREADABLE : right ? PASSWORD_RIGHT : PASSWORD_WRONG;
    }
    if (stored.bytes > 7 && strncasecmp((const char *)stored.data, "{CRYPT}", 7) == 0) return dir->tools->password_check_form(&encoded, span_skip(stored, 7), span_of(NULL, 0), password);
    if (stored.bytes && stored.data[0] == '{') return PASSWORD_UNREADABLE;
    if (stored.bytes && stored.data[0] == '$') return dir->tools->password_check_form(&encoded, stored, span_of(NULL, 0), password);
    return stored.bytes && secret_equal(stored, password) ? PASSWORD_RIGHT : PASSWORD_WRONG;
}

static enum auth_verdict by_hash(struct link *link, LDAPMessage *entry, struct span password, struct auth_answer *answer)
{
    struct dir *dir = link->dir;
    struct berval **values = ldap_get_values_len(link->service, entry, dir->settings->password_attribute);
    enum password_verdict best = PASSWORD_UNREADABLE;
    for (int i = 0; values && values[i] && best != PASSWORD_RIGHT; i++) {
        enum password_verdict one = check_value(dir, span_of(values[i]->bv_val, values[i]->bv_len), password);
        if (one != PASSWORD_UNREADABLE) best = one;
    }
    bool none = !values;
    ldap_value_free_len(values);
    answer->of_client = none;
    if (none) return dir->tools->say(answer, AUTH_DOWN, "the entry has no %s, or we may not read it", dir->settings->password_attribute);
    if (best == PASSWORD_RIGHT) return dir->tools->say(answer, AUTH_ALLOW, "the password is right");
    if (best == PASSWORD_WRONG) return dir->tools->say(answer, AUTH_DENY, "wrong password");
    answer->of_client = true;
    return dir->tools->say(answer, AUTH_DOWN, "the stored password hash is none we know");
}

static enum auth_verdict by_bind(struct link *link, LDAPMessage *entry, struct span password, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct dir *dir = link->dir;
    char *dn = ldap_get_dn(link->service, entry);
    int code = LDAP_LOCAL_ERROR;
    if (dn && !*dn) { /* the directory's own entry: a bind without a name is nobody's, and some directories say yes to it whatever the password is */
        ldap_memfree(dn);
        return dir->tools->say(answer, AUTH_NEXT, "no such user");
    }
    for (int tries = 0; dn && tries < 2; tries++) { /* the connection may have died while nobody logged in */
        bool fresh = !link->tried;
        code = fresh ? connect_new(link, &link->tried, deadline_ms) : LDAP_SUCCESS;
        if (code == LDAP_SUCCESS) code = bind_as(link, link->tried, dn, password, deadline_ms);
        if (lost(code)) drop(&link->tried);
        if (!lost(code) || fresh) break;
    }
    ldap_memfree(dn);
    if (code == LDAP_SUCCESS) return dir->tools->say(answer, AUTH_ALLOW, "the password is right");
    if (code == LDAP_INVALID_CREDENTIALS || code == LDAP_INAPPROPRIATE_AUTH) return dir->tools->say(answer, AUTH_DENY, "wrong password");
    if (code == LDAP_UNWILLING_TO_PERFORM || code == LDAP_CONSTRAINT_VIOLATION) return dir->tools->say(answer, AUTH_DENY, "the directory refuses: %s", ldap_err2string(code));
    return dir->tools->say(answer, AUTH_DOWN, "%s", sentence(link, code));
}

static bool true_attribute(struct link *link, LDAPMessage *entry, const char *name)
{
    struct berval **values = *name ? ldap_get_values_len(link->service, entry, name) : NULL;
    bool is = values && values[0] && link->dir->tools->truth(span_of(values[0]->bv_val, values[0]->bv_len));
    ldap_value_free_len(values);
    return is;
}

/* An entry that is too large is this client's trouble alone. */
static enum auth_verdict unanswered(struct link *link, struct auth_answer *answer, int code)
{
    answer->of_client = link->too_large;
    return link->dir->tools->say(answer, AUTH_DOWN, "%s", sentence(link, code));
}

/* Whose password, whose rules? */
static enum auth_verdict several(struct dir *dir, struct auth_answer *answer)
{
    answer->of_client = true;
    return dir->tools->say(answer, AUTH_DOWN, "more than one entry matches");
}

static enum auth_verdict dir_authenticate(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct dir *dir = instance;
    struct link *link = thread;
    const struct auth_source_settings *settings = dir->settings;
    bool hash = settings->ldap_method == AUTH_LDAP_HASH;
    char *attributes[] = {hash ? settings->password_attribute : LDAP_NO_ATTRS, *settings->superuser_attribute ? settings->superuser_attribute : NULL, NULL};
    if (!hash && *settings->superuser_attribute) attributes[0] = settings->superuser_attribute;
    LDAPMessage *result;
    if (query->password.bytes == 0) return dir->tools->say(answer, AUTH_DENY, "an empty password");
    begin(link, deadline_ms);
    int code = search(link, query, attributes, deadline_ms, &result);
    int entries = result ? ldap_count_entries(link->service, result) : 0;
    LDAPMessage *entry = entries > 0 ? ldap_first_entry(link->service, result) : NULL;
    enum auth_verdict verdict;
    if (code == LDAP_NO_SUCH_OBJECT || code == LDAP_INVALID_DN_SYNTAX || (code == LDAP_SUCCESS && !entry))
        verdict = dir->tools->say(answer, AUTH_NEXT, "no such user");
    else if (code == LDAP_SIZELIMIT_EXCEEDED || entries > 1)
        verdict = several(dir, answer);
    else if (code != LDAP_SUCCESS)
        verdict = unanswered(link, answer, code);
    else
        verdict = hash ? by_hash(link, entry, query->password, answer) : by_bind(link, entry, query->password, deadline_ms, answer);
    if (verdict == AUTH_ALLOW) answer->superuser = true_attribute(link, entry, settings->superuser_attribute);
    ldap_msgfree(result);
    return verdict;
}

static enum auth_verdict dir_authorize(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct dir *dir = instance;
    struct link *link = thread;
    const struct auth_source_settings *settings = dir->settings;
    const struct {
        char *attribute, *action;
    } kinds[] = {{settings->publish_attribute, "publish"}, {settings->subscribe_attribute, "subscribe"}, {settings->all_attribute, "all"}};
    char *attributes[] = {settings->publish_attribute, settings->subscribe_attribute, settings->all_attribute, NULL};
    LDAPMessage *result;
    begin(link, deadline_ms);
    int code = search(link, query, attributes, deadline_ms, &result), entries = result ? ldap_count_entries(link->service, result) : 0;
    LDAPMessage *entry = entries == 1 && code == LDAP_SUCCESS ? ldap_first_entry(link->service, result) : NULL;
    bool asked = code == LDAP_SUCCESS || code == LDAP_NO_SUCH_OBJECT || code == LDAP_INVALID_DN_SYNTAX;
    const char *wrong = NULL;
    for (int k = 0; entry && k < 3; k++) {
        struct berval **values = *kinds[k].attribute ? ldap_get_values_len(link->service, entry, kinds[k].attribute) : NULL;
        for (int i = 0; !wrong && values && values[i]; i++)
            wrong = dir->tools->rule_words(answer, SPAN_LITERAL("allow"), span_of_string(kinds[k].action), span_of(values[i]->bv_val, values[i]->bv_len), 7, -1);
        ldap_value_free_len(values);
    }
    ldap_msgfree(result);
    if (code == LDAP_SIZELIMIT_EXCEEDED || entries > 1) return several(dir, answer);
    return asked ? auth_rules_verdict(dir->tools, answer, wrong) : unanswered(link, answer, code);
}

static bool dir_probe(void *instance, void *thread, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct link *link = thread;
    begin(link, deadline_ms);
    drop(&link->service);
    drop(&link->tried);
    int code = service_ready(link, deadline_ms);
    if (code != LDAP_SUCCESS) snprintf(ret_error, error_bytes, "%s", sentence(link, code));
    return code == LDAP_SUCCESS;
}

AUTH_MODULE = {.abi = AUTH_SOURCE_ABI, .name = "ldap", .closed = true, .open = dir_open, .close = dir_close, .attach = dir_attach, .detach = dir_detach,
               .authenticate = dir_authenticate, .authorize = dir_authorize, .probe = dir_probe};
