/* Staples for our own certificates, fetched by the threads of ocsp_work.c. */
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/doors/ocsp.h"
#include "broker/doors/ocsp_work.h"

#define AGAIN_S       60        /* after a failure; and the least between two fetches */
#define RENEW_S_MAX   (12 * 3600)
#define RENEW_S_USUAL 3600      /* for a response that does not say when the next one comes */

struct door_staple {
    struct ocsp_work work;
    _Atomic uint32_t references; /* the door's, and a thread's while it fetches */
    struct tls_context *context;
    uint32_t number; /* of the certificate in the context */
    char *listener, *responder;
    uint32_t timeout_ms;
    uint8_t *pem; /* the certificate, then its issuers */
    size_t pem_bytes;
    _Atomic bool fetching;
    _Atomic int64_t next_s; /* realtime */
};

static void fetch(struct ocsp_work *work);

struct door_staple *door_staple_create(const struct listener_settings *settings, struct tls_context *context, uint32_t number,
                                       struct span chain, struct span ca)
{
    struct door_staple *staple = memory_acquire_zeroed(sizeof *staple);
    char name[128];
    snprintf(name, sizeof name, "%s.%s", listener_kind_names[settings->kind], settings->name);
    staple->work.run = fetch;
    staple->references = 1;
    staple->context = tls_context_retain(context);
    staple->number = number;
    staple->listener = memory_copy_string(span_of_string(name));
    staple->responder = memory_copy_string(span_of_string(settings->tls.ocsp_responder));
    staple->timeout_ms = settings->tls.ocsp_timeout_ms;
    staple->pem = memory_acquire(chain.bytes + ca.bytes + 2);
    memcpy(staple->pem, chain.data, chain.bytes);
    staple->pem[chain.bytes] = '\n';
    if (ca.bytes) memcpy(staple->pem + chain.bytes + 1, ca.data, ca.bytes);
    staple->pem_bytes = chain.bytes + 1 + ca.bytes;
    ocsp_workers_start();
    return staple;
}

void door_staple_release(struct door_staple *staple)
{
    if (!staple || atomic_fetch_sub(&staple->references, 1) > 1) return;
    tls_context_release(staple->context);
    memory_release(staple->listener);
    memory_release(staple->responder);
    memory_release(staple->pem);
    memory_release(staple);
}

/* What follows the first certificate. */
static struct span issuers_of(const struct door_staple *staple)
{
    static const char end[] = "-----END CERTIFICATE-----";
    const uint8_t *first = memmem(staple->pem, staple->pem_bytes, end, sizeof end - 1);
    struct span whole = span_of(staple->pem, staple->pem_bytes);
    return first ? span_skip(whole, (size_t)(first - staple->pem) + sizeof end - 1) : whole;
}

/* When to ask again: half way to the end of what we have. */
static int64_t renewal(int64_t until_s)
{
    int64_t wait_s = until_s ? (until_s - (int64_t)time(NULL)) / 2 : RENEW_S_USUAL;
    if (wait_s > RENEW_S_MAX) wait_s = RENEW_S_MAX;
    return (int64_t)time(NULL) + (wait_s < AGAIN_S ? AGAIN_S : wait_s);
}

static void take(struct door_staple *staple, enum tls_ocsp_answer answer, int64_t until_s, const struct ocsp_post *post, struct span response)
{
    const char *why = post->wrong ? post->wrong : "";
    atomic_store(&staple->next_s, answer == TLS_OCSP_GOOD ? renewal(until_s) : (int64_t)time(NULL) + AGAIN_S);
    if (answer == TLS_OCSP_GOOD) {
        tls_context_set_staple(staple->context, staple->number, response);
        LOG(INFO, "OCSP response fetched", "listener=%s responder=%s", staple->listener, log_quoted(span_of_string(post->url)));
    } else if (answer == TLS_OCSP_REVOKED) {
        tls_context_set_staple(staple->context, staple->number, span_of("", 0));
        LOG(ERROR, "our certificate is revoked", "listener=%s responder=%s", staple->listener, log_quoted(span_of_string(post->url)));
    } else { /* what we have stays, until it is out of date */
        LOG(WARN, "OCSP response not fetched", "listener=%s reason=%s responder=%s what=%s", staple->listener,
            log_quoted(span_of_string(tls_ocsp_answer_name(answer))), log_quoted(span_of_string(post->url)), log_quoted(span_of_string(why)));
    }
}

static void fetch(struct ocsp_work *work)
{
    struct door_staple *staple = (struct door_staple *)work;
    struct ocsp_post post = {.deadline_ms = ocsp_now_ms() + staple->timeout_ms};
    struct tls_ocsp_transport transport = {ocsp_post, &post};
    uint32_t bytes = 0;
    uint8_t *der = tls_pem_certificate(span_of(staple->pem, staple->pem_bytes), &bytes), *response = NULL;
    struct span chain = span_of(der, bytes);
    struct tls_ocsp_question question = {issuers_of(staple), &chain, 1, staple->responder};
    int64_t until_s = 0;
    size_t response_bytes = 0;
    enum tls_ocsp_answer answer = der ? tls_ocsp_ask(&question, &transport, &until_s, &response, &response_bytes) : TLS_OCSP_BAD;
    take(staple, answer, until_s, &post, span_of(response, response_bytes));
    memory_release(response);
    memory_release(der);
    atomic_store(&staple->fetching, false);
    door_staple_release(staple);
}

void door_staple_tick(struct door_staple *staple)
{
    if (atomic_load(&staple->next_s) > time(NULL) || atomic_exchange(&staple->fetching, true)) return;
    atomic_fetch_add(&staple->references, 1);
    if (ocsp_workers_take(&staple->work)) return;
    atomic_store(&staple->fetching, false); /* too much to do: next time */
    door_staple_release(staple);
}
