/* source_jwt.c - the source that takes a token for a password: who signed it, and what its claims say.
 *
 * Keys are a secret, a PEM file, or a key set behind a URL. Such a set is fetched when first wanted and again after refresh_interval; while that takes, the
 * old keys are in force. A token with a key id we do not have may mean that keys were changed: then it is fetched early, but not oftener than every 10 s. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/jwt.h"
#include "features/auth/reply.h"
#include "features/auth/source.h"
#include "features/auth/source_jwt.h"

#define CLOCK_LEEWAY_S 60 /* nbf and iat are another machine's time */
#define EARLY_MS       10000
#define CLAIMS_MAX     32

struct wanted_claim {
    char *name;
    struct template *value;
};

struct jwt_source {
    const struct auth_source_settings *settings;
    uint32_t algorithms;
    pthread_rwlock_t lock;      /* `keys` */
    struct jwt_keys *keys;      /* NULL: the key set was never fetched */
    pthread_mutex_t fetching;
    _Atomic uint64_t fetched_ms, tried_ms;
    const struct auth_source_kind *http;
    struct wanted_claim claims[CLAIMS_MAX];
    uint32_t claims_count;
};

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static bool add_claim(struct jwt_source *source, struct span pair, char *ret_error, size_t error_bytes)
{
    while (pair.bytes && pair.data[0] == ' ')
        pair = span_skip(pair, 1);
    while (pair.bytes && pair.data[pair.bytes - 1] == ' ')
        pair.bytes--;
    if (pair.bytes == 0) return true;
    const uint8_t *equals = memchr(pair.data, '=', pair.bytes);
    if (!equals || equals == pair.data || source->claims_count == CLAIMS_MAX)
        return snprintf(ret_error, error_bytes, "verify_claims is a list of at most %d CLAIM=VALUE, such as \"sub=${username}, iss=me\"", CLAIMS_MAX), false;
    struct wanted_claim *claim = &source->claims[source->claims_count];
    claim->value = template_compile(span_skip(pair, (size_t)(equals - pair.data) + 1), ret_error, error_bytes);
    if (!claim->value) return false;
    claim->name = memory_copy_string(span_of(pair.data, (size_t)(equals - pair.data)));
    source->claims_count++;
    return true;
}

static bool read_claims(struct jwt_source *source, char *ret_error, size_t error_bytes)
{
    struct span rest = span_of_string(source->settings->claims);
    while (rest.bytes) {
        const uint8_t *comma = memchr(rest.data, ',', rest.bytes);
        struct span pair = span_of(rest.data, comma ? (size_t)(comma - rest.data) : rest.bytes);
        rest = span_skip(rest, pair.bytes + (comma != NULL));
        if (!add_claim(source, pair, ret_error, error_bytes)) return false;
    }
    return true;
}

static const char *add_secret(struct jwt_source *source)
{
    struct span text = span_of_string(source->settings->secret);
    if (!source->settings->secret_base64) return jwt_keys_add_secret(source->keys, text);
    uint8_t *data = memory_acquire(text.bytes + 1);
    size_t bytes;
    const char *wrong = "secret is not base64, as secret_base64_encoded says";
    if (b64_decode(text, data, text.bytes, &bytes) || b64url_decode(text, data, text.bytes, &bytes)) {
        wrong = jwt_keys_add_secret(source->keys, span_of(data, bytes));
        secret_wipe(data, bytes);
    }
    memory_release(data);
    return wrong;
}

static const char *add_public_key(struct jwt_source *source)
{
    char pem[65536];
    FILE *in = fopen(source->settings->public_key, "re");
    if (!in) return "public_key: the file cannot be read";
    size_t bytes = fread(pem, 1, sizeof pem, in);
    fclose(in);
    return bytes == sizeof pem ? "public_key: the file is too large" : jwt_keys_add_pem(source->keys, span_of(pem, bytes));
}

static void jwt_close(void *instance)
{
    struct jwt_source *source = instance;
    jwt_keys_release(source->keys);
    for (uint32_t i = 0; i < source->claims_count; i++) {
        memory_release(source->claims[i].name);
        template_release(source->claims[i].value);
    }
    pthread_rwlock_destroy(&source->lock);
    pthread_mutex_destroy(&source->fetching);
    memory_release(source);
}

static void *jwt_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    struct jwt_source *source = memory_acquire_zeroed(sizeof *source);
    const char *wrong = NULL;
    bool from_url = *settings->jwks_url, from_secret = *settings->secret, from_file = *settings->public_key;
    source->settings = settings;
    pthread_rwlockattr_t kind; /* new keys go first: readers who relay each other would keep them out for ever */
    pthread_rwlockattr_init(&kind);
    pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&source->lock, &kind);
    pthread_rwlockattr_destroy(&kind);
    pthread_mutex_init(&source->fetching, NULL);
    source->algorithms = *settings->algorithms ? jwt_algorithms_parse(span_of_string(settings->algorithms)) : JWT_ALL;
    if (source->algorithms == 0) wrong = "algorithms is a list of HS256, HS384, HS512, RS256 … RS512, PS256 … PS512, ES256, ES384, ES512 and EdDSA";
    if (from_url + from_secret + from_file != 1) wrong = "exactly one of secret, public_key and jwks_endpoint must be given";
    if (!wrong && !from_url) source->keys = jwt_keys_create();
    if (!wrong && from_secret) wrong = add_secret(source);
    if (!wrong && from_secret && strlen(settings->secret) < 32)
        LOG(WARN, "weak secret for tokens", "source=%s what=\"less than 32 bytes can be guessed from any token\"", settings->name);
    if (!wrong && from_file) wrong = add_public_key(source);
    if (wrong) snprintf(ret_error, error_bytes, "%s", wrong);
    if (!wrong && read_claims(source, ret_error, error_bytes)) return source;
    jwt_close(source);
    return NULL;
}

void auth_jwt_use(void *instance, const struct auth_source_kind *http) { ((struct jwt_source *)instance)->http = http; }

/* ---- the key set ------------------------------------------------------------------------------------------------ */

/* Only one thread fetches. `must`: wait for it. */
static bool fetch(struct jwt_source *source, bool must, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct auth_text body = {0};
    uint64_t begun_ms = auth_now_ms();
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000), .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    if (must && pthread_mutex_clocklock(&source->fetching, CLOCK_MONOTONIC, &until) != 0)
        return snprintf(ret_error, error_bytes, "jwks_endpoint: another thread's request for the key set takes longer than timeout"), false;
    if (!must && pthread_mutex_trylock(&source->fetching) != 0) return true;
    if (must && atomic_load(&source->fetched_ms) >= begun_ms && source->fetched_ms) { /* another has while we waited */
        pthread_mutex_unlock(&source->fetching);
        return true;
    }
    atomic_store(&source->tried_ms, begun_ms);
    struct jwt_keys *keys = jwt_keys_create(), *old = NULL;
    bool fine = source->http->fetch(source->settings, source->settings->jwks_url, &auth_tools, deadline_ms, &body, ret_error, error_bytes);
    const char *wrong = fine ? jwt_keys_add_jwks(keys, span_of(body.data, body.bytes)) : NULL;
    if (wrong) snprintf(ret_error, error_bytes, "%s", wrong);
    fine = fine && !wrong;
    if (fine) {
        pthread_rwlock_wrlock(&source->lock);
        old = source->keys;
        source->keys = keys;
        pthread_rwlock_unlock(&source->lock);
        atomic_store(&source->fetched_ms, auth_now_ms());
    }
    jwt_keys_release(fine ? old : keys);
    pthread_mutex_unlock(&source->fetching);
    auth_text_release(&body);
    if (!fine) LOG_LIMITED(WARN, 1000, "key set not fetched", "source=%s what=%s", source->settings->name, log_quoted(span_of_string(ret_error)));
    return fine;
}

static enum jwt_verdict verify(struct jwt_source *source, struct span token, json_t **ret_claims, char *ret_error, size_t error_bytes)
{
    pthread_rwlock_rdlock(&source->lock);
    enum jwt_verdict verdict = source->keys ? jwt_verify(source->keys, source->algorithms, token, ret_claims, ret_error, error_bytes) : JWT_UNKNOWN_KEY;
    pthread_rwlock_unlock(&source->lock);
    return verdict;
}

static bool keys_ready(struct jwt_source *source, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    if (!source->http) return true;
    uint64_t fetched_ms = atomic_load(&source->fetched_ms), now_ms = auth_now_ms();
    if (fetched_ms == 0) return fetch(source, true, deadline_ms, ret_error, error_bytes);
    if (now_ms - fetched_ms > source->settings->refresh_s * 1000ull && now_ms - atomic_load(&source->tried_ms) > EARLY_MS)
        fetch(source, false, deadline_ms, ret_error, error_bytes); /* it failed: the old keys are good enough until they are changed */
    return true;
}

/* ---- claims ----------------------------------------------------------------------------------------------------- */

/* A time in seconds; 0: it is not there. False: it is no number, or none that makes sense. */
static bool time_claim(const json_t *claims, const char *name, double *ret_s)
{
    const json_t *value = json_object_get(claims, name);
    *ret_s = 0;
    if (!value) return true;
    if (!json_is_number(value)) return false;
    *ret_s = json_number_value(value);
    return isfinite(*ret_s) && *ret_s > 0 && *ret_s < 1e12;
}

static bool claim_is(const json_t *value, struct span wanted)
{
    char number[32];
    if (json_is_string(value)) return span_equal(span_of(json_string_value(value), json_string_length(value)), wanted);
    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        return span_equal(span_of_string(number), wanted);
    }
    if (!json_is_array(value)) return false;
    for (size_t i = 0; i < json_array_size(value); i++) /* aud may be a list (RFC 7519 §4.1.3) */
        if (json_is_string(json_array_get(value, i)) && claim_is(json_array_get(value, i), wanted)) return true;
    return false;
}

static const char *check_claims(const struct jwt_source *source, const json_t *claims, const struct auth_query *query, struct auth_answer *answer)
{
    double expires_s, not_before_s, issued_s, now_s = (double)auth_unix_s();
    if (!time_claim(claims, "exp", &expires_s) || !time_claim(claims, "nbf", &not_before_s) || !time_claim(claims, "iat", &issued_s))
        return "exp, nbf or iat is no time";
    if (expires_s && expires_s <= now_s) return "the token has expired";
    if (not_before_s > now_s + CLOCK_LEEWAY_S || issued_s > now_s + CLOCK_LEEWAY_S) return "the token is not valid yet";
    for (uint32_t i = 0; i < source->claims_count; i++) {
        struct auth_text wanted = {0};
        template_render(source->claims[i].value, query, TEMPLATE_PLAIN, &wanted);
        bool right = wanted.bytes && claim_is(json_object_get(claims, source->claims[i].name), span_of(wanted.data, wanted.bytes));
        auth_text_release(&wanted);
        if (!right) return "a claim is not as verify_claims wants it";
    }
    if (source->settings->disconnect_after_expire && expires_s) answer->expires_s = (uint64_t)expires_s;
    return NULL;
}

static const char *take_claims(const struct jwt_source *source, const json_t *claims, struct auth_answer *answer)
{
    const json_t *attributes = json_object_get(claims, "client_attrs"), *acl = json_object_get(claims, source->settings->acl_claim);
    answer->superuser = json_is_true(json_object_get(claims, "is_superuser"));
    const char *wrong = attributes ? auth_reply_attributes(attributes, answer) : NULL;
    if (!wrong && acl && *source->settings->acl_claim) wrong = auth_reply_acl(acl, answer);
    return wrong;
}

static enum auth_verdict jwt_authenticate(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct jwt_source *source = instance;
    bool by_name = source->settings->from == AUTH_JWT_FROM_USERNAME;
    struct span token = by_name ? query->user_name : query->password;
    char error[160] = "";
    json_t *claims = NULL;
    if (by_name ? !query->has_user_name : !query->has_password) return auth_answer_say(answer, AUTH_NEXT, "no token");
    if (!keys_ready(source, deadline_ms, error, sizeof error)) return auth_answer_say(answer, AUTH_DOWN, "%s", error);
    enum jwt_verdict verdict = verify(source, token, &claims, error, sizeof error);
    if (verdict == JWT_UNKNOWN_KEY && source->http && auth_now_ms() - atomic_load(&source->tried_ms) > EARLY_MS && fetch(source, true, deadline_ms, error, sizeof error))
        verdict = verify(source, token, &claims, error, sizeof error);
    if (verdict == JWT_NO_TOKEN) return auth_answer_say(answer, AUTH_NEXT, "no token");
    if (verdict != JWT_GOOD) return auth_answer_say(answer, AUTH_DENY, "%s", error);
    const char *wrong = check_claims(source, claims, query, answer);
    if (!wrong) wrong = take_claims(source, claims, answer);
    json_decref(claims);
    if (wrong) return auth_answer_say(answer, AUTH_DENY, "%s", wrong);
    return auth_answer_say(answer, AUTH_ALLOW, "the token is good");
}

const struct auth_source_kind auth_source_jwt = {
    .abi = AUTH_SOURCE_ABI, .name = "jwt", .local = true, .open = jwt_open, .close = jwt_close, .authenticate = jwt_authenticate};
const struct auth_source_kind auth_source_jwks = {
    .abi = AUTH_SOURCE_ABI, .name = "jwt", .open = jwt_open, .close = jwt_close, .authenticate = jwt_authenticate};
