/* accounts_login.c - tokens, the Authorization header, and patience with wrong passwords. */
#include <stdio.h>
#include <strings.h>

#include "admin/accounts_inside.h"
#include "admin/http_inside.h"
#include "admin/base64.h"
#include "base/hash.h"
#include "base/log.h"

/* ---- wrong passwords -------------------------------------------------------------------------------------------- */

#define FAILURES_FORGOTTEN_MS 60000
#define WAIT_MAX_MS           60000

static uint64_t failures_key(const struct accounts *accounts, const char *text, size_t bytes, uint64_t what)
{
    return hash_u64(hash_span(span_of(text, bytes)) ^ accounts->failures_seed ^ what) | 1;
}

/* Without the port. */
static uint64_t peer_key(const struct accounts *accounts, const char *peer)
{
    const char *colon = strrchr(peer, ':');
    return failures_key(accounts, peer, colon ? (size_t)(colon - peer) : strlen(peer), 1);
}

/* The entry, or the one in its row of eight that was used longest ago. */
static struct accounts_failures *failures_of(struct accounts *accounts, uint64_t key)
{
    struct accounts_failures *row = &accounts->failures[key % (ACCOUNTS_FAILURES_SLOTS / 8) * 8], *oldest = row;
    for (int i = 0; i < 8; i++) {
        if (row[i].key == key) return &row[i];
        if (row[i].last_ms < oldest->last_ms) oldest = &row[i];
    }
    *oldest = (struct accounts_failures){.key = key};
    return oldest;
}

static uint32_t wait_of(struct accounts *accounts, uint64_t key, uint64_t now_ms)
{
    struct accounts_failures *failures = failures_of(accounts, key);
    return failures->until_ms > now_ms ? (uint32_t)((failures->until_ms - now_ms + 999) / 1000) : 0;
}

uint32_t accounts_must_wait(struct accounts *accounts, const char *user, const char *peer)
{
    uint64_t now_ms = http_now_ms();
    pthread_mutex_lock(&accounts->lock);
    uint32_t by_peer = wait_of(accounts, peer_key(accounts, peer), now_ms), by_user = wait_of(accounts, failures_key(accounts, user, strlen(user), 2), now_ms);
    pthread_mutex_unlock(&accounts->lock);
    return by_peer > by_user ? by_peer : by_user;
}

static void failures_count(struct accounts *accounts, uint64_t key, uint64_t now_ms)
{
    struct accounts_failures *failures = failures_of(accounts, key);
    if (now_ms - failures->last_ms > FAILURES_FORGOTTEN_MS) failures->count = 0;
    failures->count++;
    failures->last_ms = now_ms;
    if (failures->count < ACCOUNTS_FAILURES_FREE) return;
    uint32_t doublings = failures->count - ACCOUNTS_FAILURES_FREE;
    uint64_t wait_ms = doublings > 6 ? WAIT_MAX_MS : 1000ull << doublings;
    failures->until_ms = now_ms + (wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS);
}

void accounts_failed(struct accounts *accounts, const char *user, const char *peer)
{
    uint64_t now_ms = http_now_ms();
    pthread_mutex_lock(&accounts->lock);
    failures_count(accounts, peer_key(accounts, peer), now_ms);
    failures_count(accounts, failures_key(accounts, user, strlen(user), 2), now_ms);
    accounts->counts.logins_failed++;
    pthread_mutex_unlock(&accounts->lock);
    LOG_LIMITED(WARN, 1000, "admin login failed", "user=%s peer=%s", log_quoted(span_of_string(user)), peer);
}

void accounts_succeeded(struct accounts *accounts, const char *user, const char *peer)
{
    pthread_mutex_lock(&accounts->lock);
    failures_of(accounts, peer_key(accounts, peer))->count = 0;
    failures_of(accounts, failures_key(accounts, user, strlen(user), 2))->count = 0;
    pthread_mutex_unlock(&accounts->lock);
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static void token_remove(struct accounts *accounts, uint32_t at) { accounts->tokens[at] = accounts->tokens[--accounts->tokens_count]; }

void accounts_tokens_end(struct accounts *accounts, const char *user)
{
    for (uint32_t i = 0; i < accounts->tokens_count;)
        if (strcmp(accounts->tokens[i].user, user) == 0)
            token_remove(accounts, i);
        else
            i++;
}

/* With the lock. The token's place, or UINT32_MAX; those that have expired go. */
static uint32_t token_find(struct accounts *accounts, struct span token)
{
    uint8_t digest[SHA256_BYTES];
    uint64_t now_ms = http_now_ms();
    tls_sha256(token, digest);
    for (uint32_t i = 0; i < accounts->tokens_count;) {
        if (accounts->tokens[i].expires_ms <= now_ms)
            token_remove(accounts, i);
        else if (tls_same_secret(span_of(accounts->tokens[i].digest, SHA256_BYTES), span_of(digest, SHA256_BYTES)))
            return i;
        else
            i++;
    }
    return UINT32_MAX;
}

static uint32_t tokens_of(const struct accounts *accounts, const char *user)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < accounts->tokens_count; i++) count += strcmp(accounts->tokens[i].user, user) == 0;
    return count;
}

/* Of whoever has the most, the one that would expire first: nobody logs others out by logging in again and again. */
static uint32_t token_that_gives_way(const struct accounts *accounts)
{
    const struct accounts_token *tokens = accounts->tokens;
    uint32_t at = 0, most = 0;
    for (uint32_t i = 0; i < accounts->tokens_count; i++) {
        uint32_t count = tokens_of(accounts, tokens[i].user);
        if (count > most) at = i, most = count;
    }
    for (uint32_t i = 0; i < accounts->tokens_count; i++)
        if (strcmp(tokens[i].user, tokens[at].user) == 0 && tokens[i].expires_ms < tokens[at].expires_ms) at = i;
    return at;
}

static void token_add(struct accounts *accounts, const char *token, const char *user)
{
    token_find(accounts, SPAN_LITERAL("")); /* the expired ones make room */
    uint32_t at = accounts->tokens_count == ACCOUNTS_TOKENS_MAX ? token_that_gives_way(accounts) : accounts->tokens_count++;
    struct accounts_token *place = &accounts->tokens[at];
    tls_sha256(span_of_string(token), place->digest);
    snprintf(place->user, sizeof place->user, "%s", user);
    place->expires_ms = http_now_ms() + accounts->token_lifetime_s * 1000ull;
}

/* Against this hash a password of nobody is compared, so that the time does not tell which users there are. */
static const char *nobody(void)
{
    static _Thread_local char hash[HASH_BYTES_MAX];
    if (!*hash && !accounts_hash("", hash)) hash[0] = 0;
    return hash;
}

enum accounts_verdict accounts_login(struct accounts *accounts, const char *user, const char *password, const char *peer, char ret_token[ACCOUNTS_TOKEN_BYTES],
                             struct accounts_identity *ret_identity, uint32_t *ret_expires_s, uint32_t *ret_wait_s)
{
    char hash[HASH_BYTES_MAX];
    *ret_wait_s = accounts_must_wait(accounts, user, peer);
    if (*ret_wait_s) return ACCOUNTS_WAIT;
    bool known = accounts_hash_of(accounts, user, hash);
    if (!accounts_hash_matches(known ? hash : nobody(), password) || !known) {
        accounts_failed(accounts, user, peer);
        return ACCOUNTS_WRONG;
    }
    accounts_succeeded(accounts, user, peer);
    uint8_t random[32];
    accounts_random(random, sizeof random);
    accounts_text_of(random, sizeof random, ret_token);
    *ret_identity = (struct accounts_identity){.kind = ACCOUNTS_USER};
    snprintf(ret_identity->name, sizeof ret_identity->name, "%s", user);
    pthread_mutex_lock(&accounts->lock);
    json_t *entry = json_object_get(accounts->users, user);
    /* Changed while the password was compared: it may have been the old one. */
    const char *hash_now = json_string_value(json_object_get(entry, "hash"));
    bool still = hash_now && strcmp(hash_now, hash) == 0;
    if (still) {
        ret_identity->role = accounts_role_of(json_string_value(json_object_get(entry, "role")));
        *ret_expires_s = accounts->token_lifetime_s;
        token_add(accounts, ret_token, user);
    }
    pthread_mutex_unlock(&accounts->lock);
    return still ? ACCOUNTS_OK : ACCOUNTS_WRONG;
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

void accounts_counts(struct accounts *accounts, struct accounts_counts *ret_counts)
{
    pthread_mutex_lock(&accounts->lock);
    *ret_counts = accounts->counts;
    pthread_mutex_unlock(&accounts->lock);
}

static enum accounts_verdict check_bearer(struct accounts *accounts, struct span token, struct accounts_identity *ret_identity)
{
    enum accounts_verdict verdict = ACCOUNTS_WRONG;
    pthread_mutex_lock(&accounts->lock);
    uint32_t at = token_find(accounts, token);
    if (at != UINT32_MAX) {
        const json_t *user = json_object_get(accounts->users, accounts->tokens[at].user);
        ret_identity->kind = ACCOUNTS_USER;
        ret_identity->role = accounts_role_of(json_string_value(json_object_get(user, "role")));
        memcpy(ret_identity->name, accounts->tokens[at].user, sizeof ret_identity->name);
        accounts->tokens[at].expires_ms = http_now_ms() + accounts->token_lifetime_s * 1000ull;
        verdict = ACCOUNTS_OK;
    }
    accounts->counts.logins_failed += verdict != ACCOUNTS_OK;
    pthread_mutex_unlock(&accounts->lock);
    return verdict;
}

static enum accounts_verdict check_basic(struct accounts *accounts, struct span encoded, const char *peer, struct accounts_identity *ret_identity)
{
    char text[512];
    size_t bytes;
    if (encoded.bytes > 600 || !base64_decode(encoded, (uint8_t *)text, sizeof text - 1, &bytes)) return ACCOUNTS_WRONG;
    text[bytes] = 0;
    char *colon = memchr(text, ':', bytes);
    if (!colon || memchr(text, 0, bytes)) return ACCOUNTS_WRONG;
    *colon = 0;
    pthread_mutex_lock(&accounts->lock); /* 256 random bits cannot be guessed: nobody has to wait here */
    const char *name = accounts_key_find(accounts, text, span_of_string(colon + 1), &ret_identity->role);
    if (name) snprintf(ret_identity->name, sizeof ret_identity->name, "%s", name);
    accounts->counts.keys_refused += !name;
    pthread_mutex_unlock(&accounts->lock);
    ret_identity->kind = ACCOUNTS_API_KEY;
    if (!name) LOG_LIMITED(WARN, 1000, "admin API key refused", "key=%s peer=%s", log_quoted(span_of_string(text)), peer);
    return name ? ACCOUNTS_OK : ACCOUNTS_WRONG;
}

enum accounts_verdict accounts_check_header(struct accounts *accounts, struct span header, const char *peer, struct accounts_identity *ret_identity)
{
    struct span rest;
    *ret_identity = (struct accounts_identity){0};
    if (!header.data) return ACCOUNTS_NONE;
    enum accounts_verdict verdict = ACCOUNTS_WRONG;
    if (scheme_is(header, "bearer", &rest)) verdict = check_bearer(accounts, rest, ret_identity);
    if (scheme_is(header, "basic", &rest)) verdict = check_basic(accounts, rest, peer, ret_identity);
    if (verdict != ACCOUNTS_OK) *ret_identity = (struct accounts_identity){0};
    return verdict;
}

enum accounts_verdict accounts_check(struct accounts *accounts, const struct http_exchange *exchange, struct accounts_identity *ret_identity)
{
    return accounts_check_header(accounts, http_header_find(exchange->request, "authorization"), exchange->peer, ret_identity);
}

void accounts_logout(struct accounts *accounts, const struct http_exchange *exchange)
{
    struct span rest;
    if (!scheme_is(http_header_find(exchange->request, "authorization"), "bearer", &rest)) return;
    pthread_mutex_lock(&accounts->lock);
    uint32_t at = token_find(accounts, rest);
    if (at != UINT32_MAX) token_remove(accounts, at);
    pthread_mutex_unlock(&accounts->lock);
}
