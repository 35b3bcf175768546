#include "broker/doors/ocsp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stats.h"
#include "broker/doors/ocsp_cache.h"
#include "broker/doors/ocsp_work.h"

/* ---- a door's ----------------------------------------------------------------------------------------------------------- */

struct door_ocsp {
    _Atomic uint32_t references;
    enum ocsp_check mode;
    char *listener; /* "tls.default" */
    char *responder;
    uint32_t timeout_ms;
    uint8_t *ca;
    size_t ca_bytes;
    pthread_mutex_t lock; /* of what follows; handshakes with a certificate hold it for a look-up */
    struct ocsp_cache *cache;
    struct question *questions; /* that are being asked */
    uint32_t questions_count;
    uint64_t down_until_ms; /* the responder did not answer: not asked again before then */
};

/* One certificate that is being asked about, for all handshakes that wait for it. */
struct question {
    struct ocsp_work work;
    _Atomic uint32_t references; /* the thread's and one for each check */
    struct question *next;
    struct door_ocsp *ocsp;
    uint8_t key[OCSP_KEY_BYTES];
    uint64_t deadline_ms;
    struct span chain[TLS_OCSP_CHAIN_MAX];
    uint32_t chain_count;
    uint8_t *bytes;
    _Atomic int answer; /* enum tls_ocsp_answer; -1: none yet */
};

/* One handshake's. */
struct tls_check {
    struct door_ocsp *ocsp;
    struct question *question; /* NULL: the answer was known */
    enum tls_ocsp_answer answer;
};

#define DOWN_MS         5000
#define KEPT_S_DEFAULT  60    /* an answer that does not say when the next one comes */
#define KEPT_S_MAX      86400

struct door_ocsp *door_ocsp_create(const struct listener_settings *settings, struct span ca)
{
    struct door_ocsp *ocsp = memory_acquire_zeroed(sizeof *ocsp);
    char name[128];
    snprintf(name, sizeof name, "%s.%s", listener_kind_names[settings->kind], settings->name);
    ocsp->references = 1;
    ocsp->mode = (enum ocsp_check)settings->tls.ocsp_check;
    ocsp->listener = memory_copy_string(span_of_string(name));
    ocsp->responder = memory_copy_string(span_of_string(settings->tls.ocsp_responder));
    ocsp->timeout_ms = settings->tls.ocsp_timeout_ms;
    ocsp->ca = memory_acquire(ca.bytes + 1);
    if (ca.bytes) memcpy(ocsp->ca, ca.data, ca.bytes);
    ocsp->ca_bytes = ca.bytes;
    CHECK(pthread_mutex_init(&ocsp->lock, NULL) == 0);
    ocsp->cache = ocsp_cache_create();
    ocsp_workers_start();
    return ocsp;
}

static void retain(void *context) { atomic_fetch_add(&((struct door_ocsp *)context)->references, 1); }
static void release(void *context) { door_ocsp_release(context); }

void door_ocsp_release(struct door_ocsp *ocsp)
{
    if (!ocsp || atomic_fetch_sub(&ocsp->references, 1) > 1) return;
    DCHECK(ocsp->questions == NULL);
    ocsp_cache_release(ocsp->cache);
    pthread_mutex_destroy(&ocsp->lock);
    memory_release(ocsp->listener);
    memory_release(ocsp->responder);
    memory_release(ocsp->ca);
    memory_release(ocsp);
}

static void question_release(struct question *question)
{
    if (atomic_fetch_sub(&question->references, 1) > 1) return;
    door_ocsp_release(question->ocsp);
    memory_release(question->bytes);
    memory_release(question);
}

/* ---- asking, on a thread ------------------------------------------------------------------------------------------------ */

/* What is remembered of an answer: nothing of one that was none. "Unknown" may become known, and need not be signed. */
static int64_t kept_until(enum tls_ocsp_answer answer, int64_t until_s)
{
    int64_t now_s = time(NULL);
    if (answer > TLS_OCSP_REVOKED) return 0;
    if (until_s == 0) return now_s + KEPT_S_DEFAULT;
    return until_s > now_s + KEPT_S_MAX ? now_s + KEPT_S_MAX : until_s;
}

static void question_answer(struct question *question, enum tls_ocsp_answer answer, int64_t until_s, bool is_down)
{
    struct door_ocsp *ocsp = question->ocsp;
    int64_t kept_s = kept_until(answer, until_s);
    pthread_mutex_lock(&ocsp->lock);
    if (kept_s) ocsp_cache_put(ocsp->cache, question->key, answer, kept_s);
    if (is_down) ocsp->down_until_ms = ocsp_now_ms() + DOWN_MS;
    struct question **place = &ocsp->questions;
    while (*place != question)
        place = &(*place)->next;
    *place = question->next;
    ocsp->questions_count--;
    pthread_mutex_unlock(&ocsp->lock);
    atomic_store_explicit(&question->answer, (int)answer, memory_order_release);
    question_release(question);
}

static void question_run(struct ocsp_work *work)
{
    struct question *question = (struct question *)work;
    struct door_ocsp *ocsp = question->ocsp;
    struct ocsp_post post = {.deadline_ms = question->deadline_ms};
    struct tls_ocsp_transport transport = {ocsp_post, &post};
    struct tls_ocsp_question asked = {span_of(ocsp->ca, ocsp->ca_bytes), question->chain, question->chain_count, ocsp->responder};
    int64_t until_s = 0;
    enum tls_ocsp_answer answer = TLS_OCSP_UNREACHABLE;
    pthread_mutex_lock(&ocsp->lock);
    bool down = ocsp->down_until_ms > ocsp_now_ms();
    pthread_mutex_unlock(&ocsp->lock);
    if (!down && ocsp_now_ms() < question->deadline_ms) answer = tls_ocsp_ask(&asked, &transport, &until_s, NULL, NULL);
    if (answer >= TLS_OCSP_NO_RESPONDER)
        LOG_LIMITED(WARN, 1000, "no OCSP answer", "listener=%s reason=%s responder=%s what=%s", ocsp->listener,
                    log_quoted(span_of_string(tls_ocsp_answer_name(answer))), log_quoted(span_of_string(post.url)),
                    log_quoted(span_of_string(down ? "left alone for a moment, as it did not answer before" : post.wrong ? post.wrong : "")));
    /* One certificate may name a dead responder of its own: only a configured one is known to be everybody's. */
    question_answer(question, answer, until_s, answer == TLS_OCSP_UNREACHABLE && !down && ocsp->responder[0]);
}

/* ---- the checker's verbs: on a shard ------------------------------------------------------------------------------------ */

static struct question *question_create(struct door_ocsp *ocsp, const uint8_t *key, const struct span *chain, uint32_t count)
{
    struct question *question = memory_acquire_zeroed(sizeof *question);
    size_t bytes = 0;
    question->work.run = question_run;
    question->references = 1;
    question->ocsp = ocsp;
    retain(ocsp);
    memcpy(question->key, key, OCSP_KEY_BYTES);
    question->deadline_ms = ocsp_now_ms() + ocsp->timeout_ms;
    question->answer = -1;
    for (uint32_t i = 0; i < count; i++)
        bytes += chain[i].bytes;
    question->bytes = memory_acquire(bytes + 1);
    for (uint32_t i = 0, at = 0; i < count; i++) {
        memcpy(question->bytes + at, chain[i].data, chain[i].bytes);
        question->chain[question->chain_count++] = span_of(question->bytes + at, chain[i].bytes);
        at += (uint32_t)chain[i].bytes;
    }
    return question;
}

/* The question about that certificate, with a reference: the one that is being asked already, or a new one that goes to the threads. NULL:
 * too many are being asked. */
static struct question *question_for(struct door_ocsp *ocsp, const uint8_t *key, const struct span *chain, uint32_t count)
{
    struct question *question = ocsp->questions;
    while (question && memcmp(question->key, key, OCSP_KEY_BYTES) != 0)
        question = question->next;
    if (!question) {
        question = question_create(ocsp, key, chain, count);
        if (!ocsp_workers_take(&question->work)) {
            /* the lock is held, but ours is not the last reference on the door's */
            question_release(question);
            return NULL;
        }
        question->next = ocsp->questions;
        ocsp->questions = question;
        ocsp->questions_count++;
    }
    atomic_fetch_add(&question->references, 1);
    return question;
}

static struct tls_check *begin(void *context, void *who, const struct span *chain, uint32_t count)
{
    struct door_ocsp *ocsp = context;
    struct stats *stats = who;
    struct tls_check *check = memory_acquire_zeroed(sizeof *check);
    uint8_t key[OCSP_KEY_BYTES];
    check->ocsp = ocsp;
    check->answer = TLS_OCSP_UNREACHABLE;
    ocsp_cache_key(chain[0], key);
    pthread_mutex_lock(&ocsp->lock);
    bool known = ocsp_cache_find(ocsp->cache, key, time(NULL), &check->answer);
    if (!known) check->question = question_for(ocsp, key, chain, count);
    pthread_mutex_unlock(&ocsp->lock);
    if (stats) {
        stats_count(&stats->ocsp_asked, 1);
        stats_count(&stats->ocsp_cached, known);
    }
    return check;
}

/* -1: none yet. */
static int answer_of(const struct tls_check *check)
{
    return check->question ? atomic_load_explicit(&check->question->answer, memory_order_acquire) : (int)check->answer;
}

static enum tls_check_state look(const struct tls_check *check)
{
    int answer = answer_of(check);
    if (answer < 0) return TLS_CHECK_PENDING;
    bool passes = answer == TLS_OCSP_GOOD || (answer > TLS_OCSP_UNKNOWN && check->ocsp->mode == OCSP_CHECK_SOFT);
    return passes ? TLS_CHECK_PASSED : TLS_CHECK_REFUSED;
}

static const char *reason(const struct tls_check *check)
{
    switch (answer_of(check)) {
    case TLS_OCSP_REVOKED: return "the client's certificate is revoked (OCSP)";
    case TLS_OCSP_UNKNOWN: return "the OCSP responder does not know the client's certificate";
    case TLS_OCSP_NO_RESPONDER: return "the client's certificate names no OCSP responder, and tls.ocsp_responder is not set";
    case TLS_OCSP_UNREACHABLE: return "no OCSP responder has answered whether the client's certificate is revoked";
    default: return "the OCSP answer about the client's certificate does not verify";
    }
}

static bool is_revoked(const struct tls_check *check) { return answer_of(check) == TLS_OCSP_REVOKED; }

static void check_release(struct tls_check *check, void *who)
{
    struct stats *stats = who;
    int answer = answer_of(check);
    if (stats && answer == TLS_OCSP_REVOKED) stats_count(&stats->ocsp_revoked, 1);
    if (stats && answer == TLS_OCSP_UNKNOWN) stats_count(&stats->ocsp_unknown, 1);
    if (stats && answer > TLS_OCSP_UNKNOWN) stats_count(&stats->ocsp_unanswered, 1);
    if (check->question) question_release(check->question);
    memory_release(check);
}

const struct tls_checker door_ocsp_checker = {.begin = begin, .look = look, .reason = reason, .is_revoked = is_revoked,
                                              .release = check_release, .retain_context = retain, .release_context = release};
