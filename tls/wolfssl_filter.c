#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

/* What the peer sent is gathered until a hello is whole; then a library session is made and the steps of the
 * handshake follow. Each step with a private-key operation, or a certificate to verify, asks for its turn
 * first (FILTER_LATER). A connection that we open begins at PHASE_HANDSHAKE and is always in a hurry. */
enum phase {
    PHASE_HELLO,       /* gathers the client's hello; there is no library session */
    PHASE_HELLO_READY, /* has it, and waits for its turn */
    PHASE_HANDSHAKE,   /* our flight is made; gathers the client's */
    PHASE_STEP_READY,  /* has records of it, and waits for its turn */
    PHASE_CHECKING,    /* all is said; whether the client's certificate is revoked is being asked */
    PHASE_OPEN,
    PHASE_ENDED, /* the peer has said close_notify */
    PHASE_FAILED
};

struct tls_filter {
    struct filter filter;
    struct tls_context *context;
    WOLFSSL *ssl;
    /* Where the library's callbacks read and write just now. */
    const uint8_t *input;
    uint8_t *room;
    uint32_t input_bytes, room_bytes, room_used;
    /* Bytes of the handshake not yet given to the library; gone once it is over. */
    uint8_t *gathered;
    uint32_t gathered_start, gathered_bytes, gathered_capacity;
    uint32_t offered; /* of them, to the library: whole records, until the handshake is over */
    /* Bytes for the peer that wait for send(). */
    uint8_t *own;
    uint32_t own_start, own_bytes, own_capacity;
    uint8_t phase;
    bool hurried; /* no step of the handshake left that is worth a turn of its own */
    bool said_goodbye;
    bool resumed;
    char *reason;
    char *server_name, *username, *client_id;
    char *psk_identity; /* whose key was used; set while it is looked for, so only good once the handshake is
                           over */
    struct certificate_names *peer;
    struct tls_chain *chain; /* the peer's, until it has been handed to the checker */
    struct tls_check *check;
    void *who;
};

#define GATHERED_BYTES_MAX (64 * 1024) /* a client's certificates with their chain; who sends more is made to wait */
#define OWN_BYTES_MAX (128 * 1024) /* far above any flight of ours: a peer that asks for answers and does not read them */
#define HELLO_RETRY_BYTES_MAX 160          /* shorter than any flight that ends with our Finished */
#define RECORD_ALERT          21
#define RECORD_PLAIN_BYTES    16384
#define RECORD_EXTRA_BYTES    96 /* header, explicit IV, padding, MAC: the worst of all suites */

static struct tls_filter *tls_of(struct filter *filter)
{
    return (struct tls_filter *)filter;
}
static const struct tls_filter *const_tls_of(const struct filter *filter)
{
    return (const struct tls_filter *)filter;
}

/* ---- buffers ------------------------------------------------------------------------------------------------------ */

static uint32_t append(uint8_t **buffer, uint32_t *start, uint32_t *bytes, uint32_t *capacity, const void *data, size_t count)
{
    if (*start + *bytes + count > *capacity) {
        if (*start) memmove(*buffer, *buffer + *start, *bytes);
        *start = 0;
        uint32_t needed = (uint32_t)(*bytes + count);
        if (needed > *capacity) {
            *capacity = needed < 1024 ? 1024 : needed + needed / 2;
            *buffer = memory_resize(*buffer, *capacity);
        }
    }
    memcpy(*buffer + *start + *bytes, data, count);
    *bytes += (uint32_t)count;
    return (uint32_t)count;
}

static void drop(uint8_t **buffer, uint32_t *start, uint32_t *bytes, uint32_t *capacity)
{
    memory_release(*buffer);
    *buffer = NULL;
    *start = *bytes = *capacity = 0;
}

static uint32_t gather(struct tls_filter *tls, const uint8_t *input, size_t bytes, uint32_t bytes_max)
{
    size_t fits = bytes_max > tls->gathered_bytes ? bytes_max - tls->gathered_bytes : 0;
    if (bytes > fits) bytes = fits;
    if (bytes == 0) return 0;
    return append(&tls->gathered, &tls->gathered_start, &tls->gathered_bytes, &tls->gathered_capacity, input, bytes);
}

static struct span gathered(const struct tls_filter *tls)
{
    return tls->gathered ? span_of(tls->gathered + tls->gathered_start, tls->gathered_bytes) : span_of("", 0);
}

/* ---- the library's side ------------------------------------------------------------------------------------------- */

static int library_reads(WOLFSSL *ssl, char *room, int room_bytes, void *context)
{
    struct tls_filter *tls = context;
    uint32_t wanted = (uint32_t)room_bytes;
    if (tls->gathered_bytes) {
        uint32_t bytes = wanted < tls->offered ? wanted : tls->offered;
        if (bytes == 0) return WOLFSSL_CBIO_ERR_WANT_READ;
        memcpy(room, tls->gathered + tls->gathered_start, bytes);
        tls->offered -= bytes;
        tls->gathered_start += bytes;
        tls->gathered_bytes -= bytes;
        return (int)bytes;
    }
    uint32_t bytes = wanted < tls->input_bytes ? wanted : tls->input_bytes;
    if (bytes == 0) return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(room, tls->input, bytes);
    tls->input += bytes;
    tls->input_bytes -= bytes;
    return (int)bytes;
}

static int library_writes(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    struct tls_filter *tls = context;
    uint32_t count = (uint32_t)bytes;
    if (tls->room && tls->room_bytes - tls->room_used >= count && tls->own_bytes == 0) {
        memcpy(tls->room + tls->room_used, data, count);
        tls->room_used += count;
        return bytes;
    }
    if (tls->own_bytes + count > OWN_BYTES_MAX) return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    append(&tls->own, &tls->own_start, &tls->own_bytes, &tls->own_capacity, data, count);
    return bytes;
}

const struct tls_context *tls_filter_context(WOLFSSL *ssl)
{
    const struct tls_filter *tls = wolfSSL_GetIOReadCtx(ssl);
    return tls->context;
}

void tls_filter_prepare(WOLFSSL_CTX *library)
{
    wolfSSL_CTX_SetIORecv(library, library_reads);
    wolfSSL_CTX_SetIOSend(library, library_writes);
}

/* ---- pre-shared keys ---------------------------------------------------------------------------------------------- */

static unsigned int give_key(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned int key_bytes_max)
{
    struct tls_filter *tls = wolfSSL_GetIOReadCtx(ssl);
    struct span found = tls_psk_find(tls->context->psk, span_of_string(identity));
    if (found.bytes == 0 || found.bytes > key_bytes_max) return 0;
    memcpy(key, found.data, found.bytes);
    memory_release(tls->psk_identity);
    tls->psk_identity = memory_copy_string(span_of_string(identity));
    return (unsigned int)found.bytes;
}

static unsigned int give_key_1_3(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned int key_bytes_max,
                                 const char **ret_suite)
{
    *ret_suite = "TLS13-AES128-GCM-SHA256"; /* the hash of external keys (RFC 8446 §4.2.11) is SHA-256 */
    return give_key(ssl, identity, key, key_bytes_max);
}

/* The library is about to use our certificate, so it is not going to use a key it has asked for (TLS 1.3), or
 * has not asked yet (1.2). A client may name an identity whose key it does not have, and go on with
 * certificates: it must not pass for that identity. */
static int certificate_is_used(WOLFSSL *ssl, void *context)
{
    struct tls_filter *tls = wolfSSL_GetIOReadCtx(ssl);
    memory_release(tls->psk_identity);
    tls->psk_identity = NULL;
    return 1;
}

void tls_psk_prepare(WOLFSSL_CTX *library)
{
    wolfSSL_CTX_set_cert_cb(library, certificate_is_used, NULL);
    wolfSSL_CTX_set_psk_server_callback(library, give_key);
    wolfSSL_CTX_set_psk_server_tls13_callback(library, give_key_1_3);
}

/* ---- failing ------------------------------------------------------------------------------------------------------ */

static enum filter_wants fail(struct tls_filter *tls, const char *reason)
{
    memory_release(tls->reason);
    tls->reason = memory_copy_string(span_of_string(reason));
    tls->phase = PHASE_FAILED;
    return FILTER_FAILED;
}

static enum filter_wants peer_alerted(struct tls_filter *tls, int alert)
{
    char reason[96];
    snprintf(reason, sizeof reason, "the peer sent the alert %s (%d)", tls_alert_name(alert), alert);
    return fail(tls, reason);
}

static enum filter_wants library_failed(struct tls_filter *tls, int error)
{
    WOLFSSL_ALERT_HISTORY history;
    bool theirs = wolfSSL_get_alert_history(tls->ssl, &history) == WOLFSSL_SUCCESS && history.last_rx.level == alert_fatal;
    if (theirs) return peer_alerted(tls, history.last_rx.code);
    bool said = history.last_tx.level == alert_fatal;
    if (!said && tls->phase < PHASE_OPEN && (error == BAD_BINDER || error == NO_PEER_CERT)) /* the library leaves the peer in the dark */
        tls_send_alert(tls->ssl, error == BAD_BINDER ? decrypt_error : handshake_failure);
    return fail(tls, tls_error_words(error));
}

/* An alert where no session has been made: in the clear (RFC 8446 §6). */
static void alert_plainly(struct tls_filter *tls, uint8_t description)
{
    const uint8_t record[] = {RECORD_ALERT, 3, 1, 0, 2, alert_fatal, description};
    append(&tls->own, &tls->own_start, &tls->own_bytes, &tls->own_capacity, record, sizeof record);
}

/* An alert of ours after a handshake that went well. */
static enum filter_wants refuse(struct tls_filter *tls, int alert, const char *reason)
{
    tls_send_alert(tls->ssl, alert);
    tls->said_goodbye = true;
    return fail(tls, reason);
}

static const char no_session[] = "the TLS library could not make a session (no memory, or no random numbers: a descriptor may be wanting)";

/* ---- the handshake ------------------------------------------------------------------------------------------------- */

/* False: the library could not make one. */
static bool session_begin(struct tls_filter *tls, const struct hello *hello)
{
    struct tls_identity *identity = tls_identity_choose(tls->context, hello);
    tls->ssl = wolfSSL_new(identity->library);
    if (!tls->ssl) return false;
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    char *alpn = tls->context->alpn;
    if (alpn[0])
        CHECK(wolfSSL_UseALPN(tls->ssl, alpn, (unsigned)strlen(alpn), WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
    if (tls->context->checker) tls_chain_begin(tls->ssl, &tls->chain);
    if (hello->server_name[0]) tls->server_name = memory_copy_string(span_of_string(hello->server_name));
    return true;
}

/* Keeps the names of the peer's certificate. False: a name that was asked for is not in it. */
static bool identify(struct tls_filter *tls)
{
    const struct tls_context *context = tls->context;
    WOLFSSL_X509 *certificate = context->asks_certificate ? wolfSSL_get_peer_certificate(tls->ssl) : NULL;
    int bytes = 0;
    const uint8_t *der = certificate ? wolfSSL_X509_get_der(certificate, &bytes) : NULL;
    bool sound = true;
    if (der) {
        struct span content = span_of(der, (size_t)bytes);
        tls->peer = memory_acquire(sizeof *tls->peer);
        sound = certificate_read(content, tls->peer);
        if (context->username != TLS_NAME_NONE) tls->username = tls_peer_name(tls->peer, context->username, content);
        if (context->client_id != TLS_NAME_NONE) tls->client_id = tls_peer_name(tls->peer, context->client_id, content);
        sound &= (context->username == TLS_NAME_NONE || tls->username) && (context->client_id == TLS_NAME_NONE || tls->client_id);
    }
    wolfSSL_X509_free(certificate);
    return sound;
}

static void check_over(struct tls_filter *tls)
{
    if (tls->check) tls->context->checker->release(tls->check, tls->who);
    tls->check = NULL;
}

/* Is there a verdict? */
static enum filter_wants checked(struct tls_filter *tls)
{
    const struct tls_checker *checker = tls->context->checker;
    enum tls_check_state state = checker->look(tls->check);
    if (state == TLS_CHECK_PENDING) return FILTER_PARKED;
    enum filter_wants wants = FILTER_GOES_ON;
    tls->phase = PHASE_OPEN;
    if (state == TLS_CHECK_REFUSED)
        wants = refuse(tls, checker->is_revoked(tls->check) ? certificate_revoked : bad_certificate_status_response, checker->reason(tls->check));
    check_over(tls);
    return wants;
}

static bool tls_ready(const struct filter *filter)
{
    const struct tls_filter *tls = const_tls_of(filter);
    return tls->phase == PHASE_CHECKING && tls->context->checker->look(tls->check) != TLS_CHECK_PENDING;
}

static enum filter_wants handshake_over(struct tls_filter *tls)
{
    tls->phase = PHASE_OPEN;
    tls->resumed = wolfSSL_session_reused(tls->ssl) && !tls->context->psk;
    if (tls->context->is_client) {
        const char *wrong = tls_client_judge(tls->context, tls->ssl, tls->server_name);
        return wrong ? refuse(tls, bad_certificate, wrong) : FILTER_GOES_ON;
    }
    if (tls->psk_identity && tls->context->psk_username) tls->username = memory_copy_string(span_of_string(tls->psk_identity));
    if (tls->context->asks_certificate && !tls->psk_identity && !identify(tls))
        return refuse(tls, certificate_unknown, "the client's certificate lacks the name that the listener takes as username or client id");
    if (!tls->chain || tls->psk_identity) return FILTER_GOES_ON;
    tls->check = tls->context->checker->begin(tls->context->checker_context, tls->who, tls->chain->certificates, tls->chain->count);
    tls_chain_release(tls->chain);
    tls->chain = NULL;
    tls->phase = PHASE_CHECKING;
    return checked(tls);
}

/* ---- up ----------------------------------------------------------------------------------------------------------- */

/* One step of the handshake with all that has been gathered. */
static enum filter_wants handshake_step(struct tls_filter *tls)
{
    tls->offered = (uint32_t)records_whole(gathered(tls));
    int done = tls->context->is_client ? wolfSSL_connect(tls->ssl) : wolfSSL_accept(tls->ssl);
    if (done == WOLFSSL_SUCCESS) return handshake_over(tls);
    int error = wolfSSL_get_error(tls->ssl, done);
    if (error != WOLFSSL_ERROR_WANT_READ) return library_failed(tls, error);
    tls->phase = PHASE_HANDSHAKE;
    /* TLS 1.3 without a client's certificate: only its Finished is to come. Everything else costs a key
     * exchange or a verification. A second hello (after HelloRetryRequest) costs, too: then we are not as
     * far. */
    tls->hurried = tls->context->is_client || (wolfSSL_version(tls->ssl) == TLS1_3_VERSION && !tls->context->asks_certificate &&
                                               tls->own_bytes > HELLO_RETRY_BYTES_MAX);
    return FILTER_GOES_ON;
}

static enum filter_wants hello_arrives(struct tls_filter *tls)
{
    struct hello hello;
    switch (hello_look(gathered(tls), &hello)) {
    case HELLO_INCOMPLETE:
        if (tls->gathered_bytes < HELLO_ROOM_BYTES) return FILTER_GOES_ON;
        alert_plainly(tls, decode_error);
        return fail(tls, "a hello that is too large");
    case HELLO_WRONG: alert_plainly(tls, unexpected_message); return fail(tls, hello.reason);
    case HELLO_COMPLETE: tls->phase = PHASE_HELLO_READY; return FILTER_LATER;
    }
    UNREACHABLE("hello_look() has three answers");
}

static enum filter_wants hello_turn(struct tls_filter *tls)
{
    struct hello hello;
    enum hello_state state = hello_look(gathered(tls), &hello);
    CHECK(state == HELLO_COMPLETE);
    if (session_begin(tls, &hello)) return handshake_step(tls);
    alert_plainly(tls, internal_error);
    return fail(tls, no_session);
}

/* Plain bytes into the room. */
static struct filter_step read_plain(struct tls_filter *tls, uint8_t *room, size_t room_bytes)
{
    struct filter_step step = {.output = room};
    tls->offered = tls->gathered_bytes;
    while (step.output_bytes < room_bytes) {
        int bytes = wolfSSL_read(tls->ssl, room + step.output_bytes, (int)(room_bytes - step.output_bytes));
        if (bytes > 0) {
            step.output_bytes += (size_t)bytes;
            continue;
        }
        int error = wolfSSL_get_error(tls->ssl, bytes);
        if (error == WOLFSSL_ERROR_WANT_READ) break;
        if (error == WOLFSSL_ERROR_ZERO_RETURN) {
            tls->phase = PHASE_ENDED;
            step.wants = FILTER_ENDED;
        } else {
            step.wants = library_failed(tls, error);
        }
        return step;
    }
    bool more = tls->gathered_bytes || tls->input_bytes || wolfSSL_pending(tls->ssl) > 0;
    step.wants = more ? FILTER_MORE : FILTER_GOES_ON;
    if (tls->gathered && tls->gathered_bytes == 0)
        drop(&tls->gathered, &tls->gathered_start, &tls->gathered_bytes, &tls->gathered_capacity);
    return step;
}

/* Gathers input, and takes the steps that are due. GOES_ON: needs more from the peer, or the handshake is
 * over. */
static enum filter_wants handshake(struct tls_filter *tls, const uint8_t *input, size_t bytes, size_t *ret_consumed)
{
    uint32_t bytes_max = tls->phase <= PHASE_HELLO_READY ? HELLO_ROOM_BYTES : GATHERED_BYTES_MAX;
    enum filter_wants wants = FILTER_GOES_ON;
    *ret_consumed += gather(tls, input, bytes, bytes_max);
    if (tls->phase == PHASE_HELLO) return hello_arrives(tls);
    if (tls->phase == PHASE_HELLO_READY) wants = hello_turn(tls);
    if (tls->phase == PHASE_STEP_READY) wants = handshake_step(tls);
    else if (tls->phase == PHASE_CHECKING) wants = checked(tls);
    if (tls->phase != PHASE_HANDSHAKE || wants != FILTER_GOES_ON) return wants;
    if (records_whole(gathered(tls)) == 0) return FILTER_GOES_ON;
    /* In the clear, though in TLS 1.3 we expect ciphertext by now: a client that refuses our certificate may
     * have no keys yet (RFC 8446 §D.4), and the library has no words for it. */
    const uint8_t *record = gathered(tls).data;
    if (record[0] == RECORD_ALERT && record[3] == 0 && record[4] == 2 && record[5] == alert_fatal)
        return peer_alerted(tls, record[6]);
    if (tls->hurried) return handshake_step(tls);
    tls->phase = PHASE_STEP_READY;
    return FILTER_LATER;
}

static struct filter_step tls_receive(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes)
{
    struct tls_filter *tls = tls_of(filter);
    struct filter_step step = {.wants = FILTER_GOES_ON};
    DCHECK(tls->phase != PHASE_ENDED);
    if (tls->phase == PHASE_FAILED) { /* a hello that could not be made */
        step.wants = FILTER_FAILED;
        return step;
    }
    if (tls->phase < PHASE_OPEN) {
        step.wants = handshake(tls, input, bytes, &step.consumed);
        /* What did not fit is asked for again. */
        if (step.wants == FILTER_GOES_ON && tls->phase < PHASE_OPEN && step.consumed < bytes) step.wants = FILTER_MORE;
    }
    if (tls->phase == PHASE_OPEN) {
        tls->input = input + step.consumed;
        tls->input_bytes = (uint32_t)(bytes - step.consumed);
        struct filter_step plain = read_plain(tls, room, room_bytes);
        plain.consumed = bytes - tls->input_bytes;
        tls->input_bytes = 0;
        step = plain;
    }
    step.to_send = tls->own_bytes > 0 && tls->phase != PHASE_CHECKING;
    return step;
}

/* ---- down --------------------------------------------------------------------------------------------------------- */

static size_t tls_send_bytes_max(const struct filter *filter, size_t bytes)
{
    size_t records = bytes / RECORD_PLAIN_BYTES + 1;
    return const_tls_of(filter)->own_bytes + bytes + records * RECORD_EXTRA_BYTES;
}

static void send_own(struct tls_filter *tls)
{
    uint32_t room = tls->room_bytes - tls->room_used, bytes = tls->own_bytes < room ? tls->own_bytes : room;
    if (bytes) memcpy(tls->room + tls->room_used, tls->own + tls->own_start, bytes);
    tls->room_used += bytes;
    tls->own_start += bytes;
    tls->own_bytes -= bytes;
    if (tls->own && tls->own_bytes == 0) drop(&tls->own, &tls->own_start, &tls->own_bytes, &tls->own_capacity);
}

static struct filter_step tls_send(struct filter *filter, struct span input, uint8_t *room, size_t room_bytes)
{
    struct tls_filter *tls = tls_of(filter);
    struct filter_step step = {.output = room};
    if (tls->phase == PHASE_CHECKING) return step; /* the last flight waits for the verdict */
    tls->room = room;
    tls->room_bytes = (uint32_t)room_bytes;
    tls->room_used = 0;
    send_own(tls);
    if (input.bytes && tls->phase == PHASE_FAILED) {
        step.wants = FILTER_FAILED;
    } else if (input.bytes) {
        int written = wolfSSL_write(tls->ssl, input.data, (int)input.bytes);
        if (written == (int)input.bytes)
            step.consumed = input.bytes;
        else
            step.wants = library_failed(tls, wolfSSL_get_error(tls->ssl, written));
    }
    step.output_bytes = tls->room_used;
    step.to_send = tls->own_bytes > 0;
    tls->room = NULL;
    return step;
}

static bool tls_is_open(const struct filter *filter)
{
    return const_tls_of(filter)->phase >= PHASE_OPEN && const_tls_of(filter)->phase != PHASE_FAILED;
}

/* close_notify, where there is somebody to say it to. A fatal alert was the last word already. */
static void tls_end(struct filter *filter)
{
    struct tls_filter *tls = tls_of(filter);
    if (tls->said_goodbye || !tls_is_open(filter)) return;
    tls->said_goodbye = true;
    wolfSSL_shutdown(tls->ssl);
}

static const char *tls_reason(const struct filter *filter)
{
    const struct tls_filter *tls = const_tls_of(filter);
    return tls->reason ? tls->reason : "";
}

static struct span tls_fact(const struct filter *filter, enum filter_fact fact)
{
    const struct tls_filter *tls = const_tls_of(filter);
    const struct certificate_names *peer = tls->peer;
    bool open = tls_is_open(filter);
    const char *text = NULL;
    switch (fact) {
    case FACT_CERTIFICATE_CN: text = peer ? peer->common_name : NULL; break;
    case FACT_CERTIFICATE_DN: text = peer ? peer->subject : NULL; break;
    case FACT_CERTIFICATE_SAN: text = peer ? peer->alternative : NULL; break;
    case FACT_USERNAME: text = open ? tls->username : NULL; break;
    case FACT_CLIENT_ID: text = open ? tls->client_id : NULL; break;
    case FACT_SERVER_NAME: text = tls->server_name; break;
    case FACT_TLS_VERSION: text = open ? wolfSSL_get_version(tls->ssl) : NULL; break;
    case FACT_TLS_CIPHER: text = open ? wolfSSL_get_cipher_name(tls->ssl) : NULL; break;
    case FACT_ADDRESS:
    case FACT_COUNT: break;
    }
    return text ? span_of_string(text) : span_of(NULL, 0);
}

static void tls_release(struct filter *filter)
{
    struct tls_filter *tls = tls_of(filter);
    check_over(tls);
    tls_chain_release(tls->chain);
    wolfSSL_free(tls->ssl);
    tls_context_release(tls->context);
    memory_release(tls->gathered);
    memory_release(tls->own);
    memory_release(tls->reason);
    memory_release(tls->server_name);
    memory_release(tls->username);
    memory_release(tls->client_id);
    memory_release(tls->psk_identity);
    if (tls->peer) certificate_release(tls->peer);
    memory_release(tls->peer);
    memory_release(tls);
}

static const struct filter_verbs tls_filter_verbs = {
    .name = "tls",
    .receive = tls_receive,
    .send = tls_send,
    .send_bytes_max = tls_send_bytes_max,
    .ready = tls_ready,
    .is_open = tls_is_open,
    .end = tls_end,
    .reason = tls_reason,
    .fact = tls_fact,
    .release = tls_release,
};

struct filter *tls_filter_create(struct tls_context *context)
{
    struct tls_filter *tls = memory_acquire_zeroed(sizeof *tls);
    tls->filter.verbs = &tls_filter_verbs;
    tls->context = tls_context_retain(context);
    return &tls->filter;
}

struct filter *tls_filter_create_for(struct tls_context *context, void *who)
{
    struct filter *filter = tls_filter_create(context);
    tls_of(filter)->who = who;
    return filter;
}

struct filter *tls_client_create(struct tls_context *context, const char *host, const struct tls_session *resume)
{
    struct tls_filter *tls = tls_of(tls_filter_create(context));
    CHECK(context->is_client);
    tls->server_name = memory_copy_string(span_of_string(host));
    tls->ssl = tls_client_begin(context, host, resume);
    if (!tls->ssl) {
        fail(tls, no_session);
        return &tls->filter;
    }
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    handshake_step(tls); /* our hello; what goes wrong is told by the next receive() */
    return &tls->filter;
}

struct tls_session *tls_client_session(struct filter *filter)
{
    return tls_is_open(filter) ? tls_client_take_session(tls_of(filter)->ssl) : NULL;
}

bool tls_filter_is_resumed(const struct filter *filter)
{
    return const_tls_of(filter)->resumed;
}
