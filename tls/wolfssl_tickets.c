#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

#define NONCE_BYTES 12
#define TAG_BYTES   16

struct ticket_key {
    uint8_t name[WOLFSSL_TICKET_NAME_SZ];
    uint8_t key[32];
    uint64_t sealed; /* tickets, which is the nonce of the next one: a key never sees one twice */
    bool valid;
};

struct tls_tickets {
    _Atomic uint32_t references;
    uint32_t lifetime_s;
    pthread_mutex_t lock; /* a handshake copies 48 bytes under it; messages never come here */
    struct ticket_key current, previous;
};

static void make_key(struct ticket_key *key)
{
    /* So few bytes are whole, and no descriptor is wanted (getrandom(2)). */
    CHECK(getrandom(key->name, sizeof key->name, 0) == sizeof key->name && getrandom(key->key, sizeof key->key, 0) == sizeof key->key);
    key->valid = true;
}

struct tls_tickets *tls_tickets_create(uint32_t lifetime_s)
{
    tls_library_start();
    struct tls_tickets *tickets = memory_acquire_zeroed(sizeof *tickets);
    tickets->references = 1;
    tickets->lifetime_s = lifetime_s;
    CHECK(pthread_mutex_init(&tickets->lock, NULL) == 0);
    make_key(&tickets->current);
    return tickets;
}

struct tls_tickets *tls_tickets_retain(struct tls_tickets *tickets)
{
    if (tickets) atomic_fetch_add_explicit(&tickets->references, 1, memory_order_relaxed);
    return tickets;
}

void tls_tickets_release(struct tls_tickets *tickets)
{
    if (!tickets || atomic_fetch_sub_explicit(&tickets->references, 1, memory_order_acq_rel) > 1) return;
    pthread_mutex_destroy(&tickets->lock);
    explicit_bzero(tickets, sizeof *tickets);
    memory_release(tickets);
}

void tls_tickets_rotate(struct tls_tickets *tickets)
{
    struct ticket_key fresh;
    make_key(&fresh);
    pthread_mutex_lock(&tickets->lock);
    tickets->previous = tickets->current;
    tickets->current = fresh;
    pthread_mutex_unlock(&tickets->lock);
    explicit_bzero(&fresh, sizeof fresh);
}

static void take_key(struct tls_tickets *tickets, struct ticket_key *ret_key)
{
    pthread_mutex_lock(&tickets->lock);
    tickets->current.sealed++;
    *ret_key = tickets->current;
    pthread_mutex_unlock(&tickets->lock);
}

/* False: no longer known. */
static bool find_key(struct tls_tickets *tickets, const uint8_t *name, struct ticket_key *ret_key)
{
    pthread_mutex_lock(&tickets->lock);
    bool is_current = memcmp(tickets->current.name, name, WOLFSSL_TICKET_NAME_SZ) == 0;
    *ret_key = is_current ? tickets->current : tickets->previous;
    pthread_mutex_unlock(&tickets->lock);
    return ret_key->valid && memcmp(ret_key->name, name, WOLFSSL_TICKET_NAME_SZ) == 0;
}

/* AES-256-GCM in place; the name of the key and the nonce are authenticated, too. */
static int seal(WOLFSSL *ssl, uint8_t *name, uint8_t *iv, uint8_t *mac, int encrypt, uint8_t *ticket, int bytes, int *ret_bytes,
                void *context)
{
    struct ticket_key key;
    Aes aes;
    int status = WOLFSSL_TICKET_RET_REJECT;
    if (encrypt) {
        take_key(context, &key);
        memcpy(name, key.name, sizeof key.name);
        memset(iv, 0, WOLFSSL_TICKET_IV_SZ);
        memcpy(iv, &key.sealed, sizeof key.sealed);
        memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
    } else if (!find_key(context, name, &key)) {
        explicit_bzero(&key, sizeof key);
        return WOLFSSL_TICKET_RET_REJECT;
    }
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) == 0 && wc_AesGcmSetKey(&aes, key.key, sizeof key.key) == 0) {
        int failed = encrypt ? wc_AesGcmEncrypt(&aes, ticket, ticket, (word32)bytes, iv, NONCE_BYTES, mac, TAG_BYTES, key.name,
                                                sizeof key.name)
                             : wc_AesGcmDecrypt(&aes, ticket, ticket, (word32)bytes, iv, NONCE_BYTES, mac, TAG_BYTES, key.name,
                                                sizeof key.name);
        status = failed ? WOLFSSL_TICKET_RET_REJECT : WOLFSSL_TICKET_RET_OK;
    }
    wc_AesFree(&aes);
    explicit_bzero(&key, sizeof key);
    *ret_bytes = bytes;
    return status;
}

void tls_tickets_prepare(WOLFSSL_CTX *library, struct tls_tickets *tickets)
{
    if (!tickets) {
        wolfSSL_CTX_NoTicketTLSv12(library);
        wolfSSL_CTX_no_ticket_TLSv13(library);
        return;
    }
    CHECK(wolfSSL_CTX_set_TicketEncCb(library, seal) == WOLFSSL_SUCCESS);
    CHECK(wolfSSL_CTX_set_TicketEncCtx(library, tickets) == WOLFSSL_SUCCESS);
    CHECK(wolfSSL_CTX_set_TicketHint(library, (int)tickets->lifetime_s) == WOLFSSL_SUCCESS);
}
