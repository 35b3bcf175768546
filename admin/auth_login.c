/* auth_login.c - tokens, the Authorization header, and patience with wrong passwords. */
#include <stdio.h>
#include <strings.h>

#include "admin/auth_inside.h"
#include "admin/http_inside.h"
#include "admin/base64.h"
#include "base/hash.h"
#include "base/log.h"

/* ---- wrong passwords -------------------------------------------------------------------------------------------- */

#define FAILURES_FORGOTTEN_MS 60000
#define WAIT_MAX_MS           60000

static uint64_t failures_key(const struct auth *auth, const char *text, size_t bytes, uint64_t what)
{
    return hash_u64(hash_span(span_of(text, bytes)) ^ auth->failures_seed ^ what) | 1;
}

/* Without the port. */
static uint64_t peer_key(const struct auth *auth, const char *peer)
{
    const char *colon = strrchr(peer, ':');
    return failures_key(auth, peer, colon ? (size_t)(colon - peer) : strlen(peer), 1);
}

/* The entry, or the one in its row of eight that was used longest ago. */
static struct auth_failures *failures_of(struct auth *auth, uint64_t key)
{
    struct auth_failures *row = &auth->failures[key % (AUTH_FAILURES_SLOTS / 8) * 8], *oldest = row;
    for (int i = 0; i < 8; i++) {
        if (row[i].key == key) return &row[i];
        if (row[i].last_ms < oldest->last_ms) oldest = &row[i];
    }
    *oldest = (struct auth_failures){.key = key};
    return oldest;
}

static uint32_t wait_of(struct auth *auth, uint64_t key, uint64_t now_ms)
{
    struct auth_failures *failures = failures_of(auth, key);
    return failures->until_ms > now_ms ? (uint32_t)((failures->until_ms - now_ms + 999) / 1000) : 0;
}

uint32_t auth_must_wait(struct auth *auth, const char *user, const char *peer)
{
    uint64_t now_ms = http_now_ms();
    pthread_mutex_lock(&auth->lock);
    uint32_t by_peer = wait_of(auth, peer_key(auth, peer), now_ms), by_user = wait_of(auth, failures_key(auth, user, strlen(user), 2), now_ms);
    pthread_mutex_unlock(&auth->lock);
    return by_peer > by_user ? by_peer : by_user;
}

static void failures_count(struct auth *auth, uint64_t key, uint64_t now_ms)
{
    struct auth_failures *failures = failures_of(auth, key);
    if (now_ms - failures->last_ms > FAILURES_FORGOTTEN_MS) failures->count = 0;
    failures->count++;
    failures->last_ms = now_ms;
    if (failures->count < AUTH_FAILURES_FREE) return;
    uint32_t doublings = failures->count - AUTH_FAILURES_FREE;
    uint64_t wait_ms = doublings > 6 ? WAIT_MAX_MS : 1000ull << doublings;
    failures->until_ms = now_ms + (wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS);
}

void auth_failed(struct auth *auth, const char *user, const char *peer)
{
    uint64_t now_ms = http_now_ms();
    pthread_mutex_lock(&auth->lock);
    failures_count(auth, peer_key(auth, peer), now_ms);
    failures_count(auth, failures_key(auth, user, strlen(user), 2), now_ms);
    pthread_mutex_unlock(&auth->lock);
    LOG_LIMITED(WARN, 1000, "admin login failed", "user=%s peer=%s", log_quoted(span_of_string(user)), peer);
}

void auth_succeeded(struct auth *auth, const char *user, const char *peer)
{
    pthread_mutex_lock(&auth->lock);
    failures_of(auth, peer_key(auth, peer))->count = 0;
    failures_of(auth, failures_key(auth, user, strlen(user), 2))->count = 0;
    pthread_mutex_unlock(&auth->lock);
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static void token_remove(struct auth *auth, uint32_t at) { auth->tokens[at] = auth->tokens[--auth->tokens_count]; }

void auth_tokens_end(struct auth *auth, const char *user)
{
    for (uint32_t i = 0; i < auth->tokens_count;)
        if (strcmp(auth->tokens[i].user, user) == 0)
            token_remove(auth, i);
        else
            i++;
}

/* With the lock. The token's place, or UINT32_MAX; those that have expired go. */
static uint32_t token_find(struct auth *auth, struct span token)
{
    uint8_t digest[SHA256_BYTES];
    uint64_t now_ms = http_now_ms();
    tls_sha256(token, digest);
    for (uint32_t i = 0; i < auth->tokens_count;) {
        if (auth->tokens[i].expires_ms <= now_ms)
            token_remove(auth, i);
        else if (tls_same_secret(span_of(auth->tokens[i].digest, SHA256_BYTES), span_of(digest, SHA256_BYTES)))
            return i;
        else
            i++;
    }
    return UINT32_MAX;
}

static void token_add(struct auth *auth, const char *token, const char *user)
{
    uint32_t at = auth->tokens_count;
    token_find(auth, SPAN_LITERAL("")); /* the expired ones make room */
    if (auth->tokens_count == AUTH_TOKENS_MAX) { /* the one that would expire first gives way */
        at = 0;
        for (uint32_t i = 1; i < auth->tokens_count; i++)
            if (auth->tokens[i].expires_ms < auth->tokens[at].expires_ms) at = i;
    } else {
        at = auth->tokens_count++;
    }
    struct auth_token *place = &auth->tokens[at];
    tls_sha256(span_of_string(token), place->digest);
    snprintf(place->user, sizeof place->user, "%s", user);
    place->expires_ms = http_now_ms() + auth->token_lifetime_s * 1000ull;
}

/* Against this hash a password of nobody is compared, so that the time does not tell which users there are. */
static const char *nobody(void)
{
    static _Thread_local char hash[HASH_BYTES_MAX];
    if (!*hash && !auth_hash("", hash)) hash[0] = 0;
    return hash;
}

enum auth_verdict auth_login(struct auth *auth, const char *user, const char *password, const char *peer, char ret_token[AUTH_TOKEN_BYTES],
                             struct auth_identity *ret_identity, uint32_t *ret_expires_s, uint32_t *ret_wait_s)
{
    char hash[HASH_BYTES_MAX];
    *ret_wait_s = auth_must_wait(auth, user, peer);
    if (*ret_wait_s) return AUTH_WAIT;
    bool known = auth_hash_of(auth, user, hash);
    if (!auth_hash_matches(known ? hash : nobody(), password) || !known) {
        auth_failed(auth, user, peer);
        return AUTH_WRONG;
    }
    auth_succeeded(auth, user, peer);
    uint8_t random[32];
    auth_random(random, sizeof random);
    auth_text_of(random, sizeof random, ret_token);
    *ret_identity = (struct auth_identity){.kind = AUTH_USER};
    snprintf(ret_identity->name, sizeof ret_identity->name, "%s", user);
    pthread_mutex_lock(&auth->lock);
    json_t *entry = json_object_get(auth->users, user);
    /* Changed while the password was compared: it may have been the old one. */
    const char *hash_now = json_string_value(json_object_get(entry, "hash"));
    bool still = hash_now && strcmp(hash_now, hash) == 0;
    if (still) {
        ret_identity->role = auth_role_of(json_string_value(json_object_get(entry, "role")));
        *ret_expires_s = auth->token_lifetime_s;
        token_add(auth, ret_token, user);
    }
    pthread_mutex_unlock(&auth->lock);
    return still ? AUTH_OK : AUTH_WRONG;
}

/* ---- the header ------------------------------------------------------------------------------------------------- */

/* What follows "Bearer " or "Basic ". */
static bool scheme_is(struct span header, const char *scheme, struct span *ret_rest)
{
    size_t bytes = strlen(scheme);
    if (header.bytes <= bytes || strncasecmp((const char *)header.data, scheme, bytes) != 0 || header.data[bytes] != ' ') return false;
    *ret_rest = span_skip(header, bytes + 1);
    while (ret_rest->bytes && ret_rest->data[0] == ' ')
        *ret_rest = span_skip(*ret_rest, 1);
    return true;
}

static enum auth_verdict check_bearer(struct auth *auth, struct span token, struct auth_identity *ret_identity)
{
    enum auth_verdict verdict = AUTH_WRONG;
    pthread_mutex_lock(&auth->lock);
    uint32_t at = token_find(auth, token);
    if (at != UINT32_MAX) {
        const json_t *user = json_object_get(auth->users, auth->tokens[at].user);
        ret_identity->kind = AUTH_USER;
        ret_identity->role = auth_role_of(json_string_value(json_object_get(user, "role")));
        memcpy(ret_identity->name, auth->tokens[at].user, sizeof ret_identity->name);
        auth->tokens[at].expires_ms = http_now_ms() + auth->token_lifetime_s * 1000ull;
        verdict = AUTH_OK;
    }
    pthread_mutex_unlock(&auth->lock);
    return verdict;
}

static enum auth_verdict check_basic(struct auth *auth, struct span encoded, const char *peer, struct auth_identity *ret_identity)
{
    char text[512];
    size_t bytes;
    if (encoded.bytes > 600 || !base64_decode(encoded, (uint8_t *)text, sizeof text - 1, &bytes)) return AUTH_WRONG;
    text[bytes] = 0;
    char *colon = memchr(text, ':', bytes);
    if (!colon || memchr(text, 0, bytes)) return AUTH_WRONG;
    *colon = 0;
    pthread_mutex_lock(&auth->lock); /* 256 random bits cannot be guessed: nobody has to wait here */
    const char *name = auth_key_find(auth, text, span_of_string(colon + 1), &ret_identity->role);
    if (name) snprintf(ret_identity->name, sizeof ret_identity->name, "%s", name);
    pthread_mutex_unlock(&auth->lock);
    ret_identity->kind = AUTH_API_KEY;
    if (!name) LOG_LIMITED(WARN, 1000, "admin API key refused", "key=%s peer=%s", log_quoted(span_of_string(text)), peer);
    return name ? AUTH_OK : AUTH_WRONG;
}

enum auth_verdict auth_check(struct auth *auth, const struct http_exchange *exchange, struct auth_identity *ret_identity)
{
    struct span header = http_header_find(exchange->request, "authorization"), rest;
    *ret_identity = (struct auth_identity){0};
    if (!header.data) return AUTH_NONE;
    enum auth_verdict verdict = AUTH_WRONG;
    if (scheme_is(header, "bearer", &rest)) verdict = check_bearer(auth, rest, ret_identity);
    if (scheme_is(header, "basic", &rest)) verdict = check_basic(auth, rest, exchange->peer, ret_identity);
    if (verdict != AUTH_OK) *ret_identity = (struct auth_identity){0};
    return verdict;
}

void auth_logout(struct auth *auth, const struct http_exchange *exchange)
{
    struct span rest;
    if (!scheme_is(http_header_find(exchange->request, "authorization"), "bearer", &rest)) return;
    pthread_mutex_lock(&auth->lock);
    uint32_t at = token_find(auth, rest);
    if (at != UINT32_MAX) token_remove(auth, at);
    pthread_mutex_unlock(&auth->lock);
}
