#include <stdio.h>

#include "base/memory.h"
#include "tls/wolfssl.h"
#ifndef RINGMQ_WOLFSSL_SYSTEM
#include <wolfssl/internal.h> /* SendAlert(): the library has no public name for it */
#endif

/* ---- the certificates that the client has sent ------------------------------------------------------------------------ */

/* Called for its own certificate, the last to be verified, whether all went well or not. */
static int keep_chain(int verified, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls_chain **place = store->userCtx;
    if (!verified || store->error_depth != 0 || !place) return verified;
    struct tls_chain *chain = memory_acquire_zeroed(sizeof *chain);
    uint32_t bytes = 0;
    for (int i = 0; i < store->totalCerts; i++)
        bytes += store->certs[i].length;
    if (store->totalCerts > TLS_OCSP_CHAIN_MAX || bytes > TLS_OCSP_CERT_BYTES) {
        memory_release(chain);
        return 0; /* nobody has such a chain: the handshake fails */
    }
    chain->bytes = memory_acquire(bytes + 1);
    for (int i = 0, at = 0; i < store->totalCerts; i++) {
        memcpy(chain->bytes + at, store->certs[i].buffer, store->certs[i].length);
        chain->certificates[chain->count++] = span_of(chain->bytes + at, store->certs[i].length);
        at += (int)store->certs[i].length;
    }
    tls_chain_release(*place);
    *place = chain;
    return 1;
}

void tls_chain_prepare(WOLFSSL_CTX *library, int verify_flags) { wolfSSL_CTX_set_verify(library, verify_flags, keep_chain); }
void tls_chain_begin(WOLFSSL *ssl, struct tls_chain **place) { wolfSSL_SetCertCbCtx(ssl, place); }

void tls_chain_release(struct tls_chain *chain)
{
    if (!chain) return;
    memory_release(chain->bytes);
    memory_release(chain);
}

/* ---- alerts ------------------------------------------------------------------------------------------------------------ */

void tls_send_alert(WOLFSSL *ssl, int description)
{
#ifdef RINGMQ_WOLFSSL_SYSTEM
    wolfSSL_shutdown(ssl); /* close_notify must do */
#else
    SendAlert(ssl, alert_fatal, description);
#endif
}
