/* login.c - see login.h. */
#include "features/auth/login.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/saslprep.h"
#include "features/auth/users.h"

enum login_state { LOGIN_WAITING, LOGIN_SCRAM, LOGIN_PROVED, LOGIN_DECIDED };

struct login {
    struct list link;          /* in the shard's refreshing */
    uint64_t conn, refresh_at_ms;
    uint8_t state;             /* enum login_state */
    bool applied, refreshing;
    struct auth_answer *answer; /* DECIDED */
    struct scram *scram;       /* of the exchange; NULL: none */
    char *scram_user;          /* who has proved to be that; NULL: nobody */
};

struct job {
    struct auth_job job;
    struct feature_post post;
    struct feature_node *node;
    uint32_t shard;
    uint64_t conn;
};

#define COUNT(shard, counter) atomic_fetch_add_explicit(&prepared_of(shard)->state->counter, 1, memory_order_relaxed)

static const struct auth_prepared *prepared_of(const struct feature_shard *shard) { return shard->prepared; }
static struct login *login_of(const struct feature_shard *shard, const struct feature_client *client) { return client->slots[shard->slot]; }

static struct feature_verdict deny(enum mqtt_reason reason, const char *what)
{
    struct feature_verdict verdict = FEATURE_VERDICT(DENY);
    verdict.reason = (uint8_t)reason;
    verdict.what = what;
    return verdict;
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

/* The peer without its port. */
static struct span host_of(struct span peer)
{
    if (peer.bytes && peer.data[0] == '[') {
        const uint8_t *end = memchr(peer.data, ']', peer.bytes);
        return end ? span_of(peer.data + 1, (size_t)(end - peer.data) - 1) : peer;
    }
    const uint8_t *colon = peer.bytes ? memrchr(peer.data, ':', peer.bytes) : NULL;
    return colon ? span_of(peer.data, (size_t)(colon - peer.data)) : peer;
}

struct auth_query login_query(const struct feature_client *client, struct auth_attribute attributes[AUTH_ATTRIBUTES_MAX])
{
    struct auth_query query = {
        .client_id = client->client_id, .has_user_name = client->has_user_name, .user_name = client->has_user_name ? client->user_name : span_of(NULL, 0), .peer_host = host_of(client->peer),
        .listener = client->listener, .certificate_cn = client->certificate_cn, .certificate_dn = client->certificate_dn, .attributes = attributes,
        .certified = client->certificate_dn.bytes || client->certificate_cn.bytes || client->certificate_san.bytes};
    for (uint32_t i = 0; i < client->attributes_count && i < AUTH_ATTRIBUTES_MAX; i++)
        attributes[query.attributes_count++] = (struct auth_attribute){client->attributes[i].name, client->attributes[i].value};
    return query;
}

static void take_rules(struct feature_shard *shard, struct feature_client *client, struct login *login, struct auth_answer *answer)
{
    struct auth_answer *old = login->answer;
    login->answer = auth_answer_share(answer);
    client->rules = answer->compiled;
    feature_forget(shard, client); /* it was let publish by the old ones */
    auth_answer_release(old);
}

/* On the shard: the answer is there. */
static void job_back(struct feature_shard *shard, struct feature_post *post)
{
    struct job *job = CONTAINER_OF(post, struct job, post);
    struct feature_client *client = feature_client_find(shard, job->conn);
    struct login *login = client ? login_of(shard, client) : NULL;
    if (login && job->job.rules_only && login->refreshing) {
        login->refreshing = false;
        if (job->job.answer->verdict == AUTH_ALLOW) /* else the old rules stay: the client is in, and its source is down */
            take_rules(shard, client, login, job->job.answer);
    } else if (login && login->state == LOGIN_WAITING) {
        login->answer = auth_answer_share(job->job.answer);
        login->state = LOGIN_DECIDED;
        feature_resume(shard, job->conn);
    }
    auth_job_release(&job->job);
}

static void job_done(struct auth_job *done)
{
    struct job *job = (struct job *)done;
    job->post.run = job_back;
    feature_post(job->node, job->shard, &job->post);
}

static struct job *job_for(struct feature_shard *shard, const struct feature_client *client, const struct auth_query *query)
{
    struct job *job = auth_job_create(query, sizeof *job);
    job->job.done = job_done;
    job->job.work.fair = client->has_address ? auth_throttle_hash(prepared_of(shard)->state->throttle, client->address) : 0;
    job->node = shard->node;
    job->shard = shard->number;
    job->conn = client->conn;
    return job;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------ */

static void apply_allow(struct feature_shard *shard, struct feature_client *client, struct login *login)
{
    struct auth_answer *answer = login->answer;
    const struct auth_prepared *prepared = prepared_of(shard);
    client->superuser = answer->superuser;
    client->expires_ms = answer->expires_s * 1000;
    client->rules = answer->compiled;
    for (uint32_t i = 0; i < answer->attributes_count; i++)
        if (!feature_attribute_set(client, span_of_string(answer->names[i]), span_of_string(answer->values[i])))
            LOG_LIMITED(WARN, 1000, "client attribute left out", "client=%s name=%s", log_quoted(client->client_id), answer->names[i]);
    login->applied = true;
    if (!login->scram_user) COUNT(shard, allowed); /* else it was counted when it proved itself */
    LOG(DEBUG, "login", "client=%s user=%s source=%s", log_quoted(client->client_id), log_quoted(client->user_name), answer->source);
    if (answer->superuser || !prepared->settings.rules_ttl_ms || !auth_chain_has_authorizers(prepared->chain, client->listener)) return;
    login->refresh_at_ms = *shard->now_ms + prepared->settings.rules_ttl_ms;
    list_append(&((struct auth_shard *)shard->state)->refreshing, &login->link);
}

static struct feature_verdict apply(struct feature_shard *shard, struct feature_client *client, struct login *login)
{
    const struct auth_answer *answer = login->answer;
    if (answer->verdict == AUTH_ALLOW) {
        if (!login->applied) apply_allow(shard, client, login);
        return (struct feature_verdict){.decision = FEATURE_PASS, .what = answer->source};
    }
    char what[2 * sizeof answer->what + 8]; /* of a server, perhaps */
    snprintf(what, sizeof what, "%s", log_quoted(span_of_string(answer->what))); /* there are four quoted texts at a time */
    LOG_LIMITED(INFO, 100, "login refused", "client=%s user=%s peer=%s listener=%s source=%s what=%s", log_quoted(client->client_id), log_quoted(client->user_name),
                log_quoted(client->peer), log_quoted(client->listener), answer->source, what);
    if (answer->busy) {
        COUNT(shard, busy);
        return deny(MQTT_REASON_SERVER_BUSY, "too many logins wait; try again later");
    }
    if (answer->unavailable) {
        COUNT(shard, unavailable);
        return deny(MQTT_REASON_SERVER_UNAVAILABLE, "nobody can be asked who you are; try again later");
    }
    COUNT(shard, denied);
    const struct auth_prepared *prepared = prepared_of(shard);
    if (client->has_address) auth_throttle_failed(prepared->state->throttle, client->address, prepared->settings.failures_max, prepared->settings.failures_window_s, *shard->now_ms);
    return client->has_user_name ? deny(MQTT_REASON_BAD_USER_NAME_OR_PASSWORD, "wrong user name or password")
                                 : deny(MQTT_REASON_NOT_AUTHORIZED, "a user name and password are needed");
}

/* ---- SCRAM ------------------------------------------------------------------------------------------------------ */

/* Is `given` the name that was made of the exchange's? */
static bool same_name(struct span given, struct span prepared)
{
    struct auth_text text;
    bool same = saslprep(given, false, &text) && span_equal(span_of(text.data, text.bytes), prepared);
    auth_text_release(&text);
    return same;
}

/* The client's first message, of CONNECT or of an AUTH that asks for a new exchange. */
static struct feature_verdict scram_begin(struct feature_shard *shard, struct feature_client *client, struct login *login, struct span method, struct span message)
{
    const struct auth_prepared *prepared = prepared_of(shard);
    struct auth_users *users = auth_chain_scram_users(prepared->chain, client->listener, method);
    uint8_t nonce[SCRAM_NONCE_BYTES];
    struct auth_user user;
    if (!users) return deny(MQTT_REASON_BAD_AUTHENTICATION_METHOD, "this authentication method is not spoken here");
    COUNT(shard, scram);
    if (login->scram) scram_wipe(login->scram);
    if (!login->scram) login->scram = memory_acquire(sizeof *login->scram);
    memset(login->scram, 0, sizeof *login->scram);
    const char *wrong = scram_first(login->scram, message);
    if (wrong) return deny(MQTT_REASON_NOT_AUTHORIZED, wrong);
    struct span name = span_of_string(login->scram->user);
    bool other = (client->has_user_name && !same_name(client->user_name, name)) || (login->scram_user && !span_equal(span_of_string(login->scram_user), name));
    if (other) return deny(MQTT_REASON_NOT_AUTHORIZED, "the exchange is about another user than the connection");
    bool known = auth_users_find(users, name, &user) && user.has_scram;
    if (getrandom(nonce, sizeof nonce, GRND_NONBLOCK) != sizeof nonce) return deny(MQTT_REASON_SERVER_UNAVAILABLE, "no random bytes yet");
    wrong = scram_challenge(login->scram, known ? &user.scram : NULL, nonce, prepared->state->scram_seed);
    secret_wipe(&user, sizeof user);
    if (wrong) return deny(MQTT_REASON_NOT_AUTHORIZED, wrong);
    login->state = LOGIN_SCRAM;
    client->auth_data = span_of_string(login->scram->challenge);
    return FEATURE_VERDICT(CONTINUE);
}

/* The client's proof. */
static struct feature_verdict scram_end(struct feature_shard *shard, struct feature_client *client, struct login *login, struct span message)
{
    const struct auth_prepared *prepared = prepared_of(shard);
    struct auth_users *users = auth_chain_scram_users(prepared->chain, client->listener, SPAN_LITERAL("SCRAM-SHA-256"));
    struct auth_user user;
    const char *wrong = scram_final(login->scram, message);
    if (!wrong && (!users || !auth_users_find(users, span_of_string(login->scram->user), &user))) wrong = "wrong user or password"; /* deleted meanwhile */
    if (wrong) {
        COUNT(shard, denied);
        if (client->has_address) auth_throttle_failed(prepared->state->throttle, client->address, prepared->settings.failures_max, prepared->settings.failures_window_s, *shard->now_ms);
        LOG_LIMITED(INFO, 100, "login refused", "client=%s user=%s peer=%s source=scram what=\"%s\"", log_quoted(client->client_id),
                    log_quoted(span_of_string(login->scram->user)), log_quoted(client->peer), wrong);
        return deny(MQTT_REASON_NOT_AUTHORIZED, "wrong user name or password");
    }
    client->superuser = user.superuser;
    client->method_satisfied = true;
    secret_wipe(&user, sizeof user);
    memory_release(login->scram_user);
    login->scram_user = memory_copy_string(span_of_string(login->scram->user));
    feature_attribute_set(client, SPAN_LITERAL("scram_user"), span_of_string(login->scram_user));
    client->auth_data = span_of_string(login->scram->final);
    login->state = login->answer ? LOGIN_DECIDED : LOGIN_PROVED; /* a client that proves itself again keeps its rules */
    if (!login->answer) COUNT(shard, allowed);
    return FEATURE_VERDICT(PASS);
}

/* Proved; now its rules, if there are sources of such. */
static struct feature_verdict scram_proved(struct feature_shard *shard, struct feature_client *client, struct login *login)
{
    const struct auth_prepared *prepared = prepared_of(shard);
    struct auth_attribute attributes[AUTH_ATTRIBUTES_MAX];
    if (client->superuser || !auth_chain_has_authorizers(prepared->chain, client->listener)) return FEATURE_VERDICT(PASS);
    struct auth_query query = login_query(client, attributes);
    struct job *job = job_for(shard, client, &query);
    job->job.rules_only = true;
    login->state = LOGIN_WAITING;
    auth_chain_submit(prepared->chain, &job->job);
    return FEATURE_VERDICT(LATER);
}

struct feature_verdict login_authenticate(struct feature_shard *shard, struct feature_client *client, const struct mqtt_auth *auth)
{
    struct login *login = login_of(shard, client);
    struct span message = mqtt_has(&auth->properties, MQTT_PROPERTY_AUTHENTICATION_DATA) ? auth->properties.authentication_data : span_of(NULL, 0);
    if (!login) return deny(MQTT_REASON_PROTOCOL_ERROR, "no exchange is under way");
    if (auth->reason == MQTT_REASON_REAUTHENTICATE) return scram_begin(shard, client, login, auth->properties.authentication_method, message);
    if (login->state != LOGIN_SCRAM || !login->scram) return deny(MQTT_REASON_PROTOCOL_ERROR, "no exchange is under way");
    return scram_end(shard, client, login, message);
}

/* ---- CONNECT ---------------------------------------------------------------------------------------------------- */

static struct login *login_create(struct feature_shard *shard, struct feature_client *client)
{
    struct login *login = memory_acquire_zeroed(sizeof *login);
    list_init(&login->link);
    login->conn = client->conn;
    client->slots[shard->slot] = login;
    return login;
}

static struct feature_verdict ask(struct feature_shard *shard, struct feature_client *client, struct login *login, const struct mqtt_connect *connect)
{
    const struct auth_prepared *prepared = prepared_of(shard);
    struct auth_attribute attributes[AUTH_ATTRIBUTES_MAX];
    uint8_t key[AUTH_KEY_BYTES];
    struct auth_query query = login_query(client, attributes);
    query.has_password = connect->has_password;
    query.password = connect->has_password ? connect->password : span_of(NULL, 0);
    COUNT(shard, logins);
    bool cached = prepared->settings.cache_ttl_ms || prepared->settings.cache_negative_ttl_ms;
    if (cached) {
        auth_cache_key(prepared->state->cache, &query, key);
        login->answer = auth_cache_find_quick(prepared->state->cache, key, *shard->now_ms);
    }
    if (login->answer) {
        COUNT(shard, cached);
        login->state = LOGIN_DECIDED;
        return apply(shard, client, login);
    }
    struct job *job = job_for(shard, client, &query);
    job->job.keyed = cached;
    if (cached) memcpy(job->job.key, key, AUTH_KEY_BYTES);
    login->state = LOGIN_WAITING;
    auth_chain_submit(prepared->chain, &job->job);
    return FEATURE_VERDICT(LATER);
}

struct feature_verdict login_connect(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect)
{
    const struct auth_prepared *prepared = prepared_of(shard);
    struct login *login = login_of(shard, client);
    bool enhanced = mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD);
    if (login && login->state == LOGIN_WAITING) return FEATURE_VERDICT(LATER);
    if (login && login->state == LOGIN_DECIDED) return apply(shard, client, login);
    if (login && login->state == LOGIN_PROVED) return scram_proved(shard, client, login);
    if (!enhanced && !auth_chain_guards(prepared->chain, client->listener)) return FEATURE_VERDICT(PASS);
    if (client->has_address &&
        auth_throttle_over(prepared->state->throttle, client->address, prepared->settings.failures_max, prepared->settings.failures_window_s, *shard->now_ms)) {
        COUNT(shard, throttled);
        LOG_LIMITED(WARN, 1000, "login refused", "client=%s peer=%s what=\"too many failed logins from this address\"", log_quoted(client->client_id),
                    log_quoted(client->peer));
        return deny(MQTT_REASON_CONNECTION_RATE_EXCEEDED, "too many failed logins from your address; try again later");
    }
    login = login ? login : login_create(shard, client);
    if (!enhanced) return ask(shard, client, login, connect);
    struct span data = mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_DATA) ? connect->properties.authentication_data : span_of(NULL, 0);
    return scram_begin(shard, client, login, connect->properties.authentication_method, data);
}

/* "source users: accepted" */
void login_describe(struct feature_shard *shard, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes)
{
    const struct login *login = login_of(shard, client);
    const struct auth_answer *answer = login ? login->answer : NULL;
    const char *what = verdict.what ? verdict.what : "";
    if (verdict.decision == FEATURE_LATER)
        snprintf(ret_text, bytes, "the sources are being asked");
    else if (verdict.decision == FEATURE_CONTINUE)
        snprintf(ret_text, bytes, "scram: a challenge for the client");
    else if (!answer)
        snprintf(ret_text, bytes, "%s", login && login->scram_user ? "scram: the client has proved who it is" : what);
    else if (answer->verdict == AUTH_ALLOW)
        snprintf(ret_text, bytes, "source %s: accepted%s", answer->source, answer->superuser ? " as superuser" : "");
    else
        snprintf(ret_text, bytes, "source %s: %s", answer->source, *answer->what ? answer->what : what);
}

void login_gone(struct feature_shard *shard, struct feature_client *client)
{
    struct login *login = login_of(shard, client);
    if (!login) return;
    list_remove(&login->link);
    client->rules = NULL;
    auth_answer_release(login->answer);
    if (login->scram) scram_wipe(login->scram);
    memory_release(login->scram);
    memory_release(login->scram_user);
    memory_release(login);
    client->slots[shard->slot] = NULL;
}

/* ---- rules that grow old ---------------------------------------------------------------------------------------- */

#define REFRESHES_PER_TURN 64 /* a turn takes other clients' messages, too */

/* Asks again about one client. */
static void refresh(struct feature_shard *shard, struct login *login)
{
    const struct auth_prepared *prepared = prepared_of(shard);
    struct auth_shard *own = shard->state;
    struct feature_client *client = feature_client_find(shard, login->conn);
    list_remove(&login->link);
    if (!client || !prepared->settings.rules_ttl_ms || !auth_chain_has_authorizers(prepared->chain, client->listener)) return;
    login->refresh_at_ms = *shard->now_ms + prepared->settings.rules_ttl_ms;
    list_append(&own->refreshing, &login->link);
    if (login->refreshing) return;
    struct auth_attribute attributes[AUTH_ATTRIBUTES_MAX];
    struct auth_query query = login_query(client, attributes);
    struct job *job = job_for(shard, client, &query);
    job->job.rules_only = true;
    job->job.earlier = login->answer ? auth_answer_share(login->answer) : NULL;
    login->refreshing = true;
    COUNT(shard, refreshed);
    auth_chain_submit(prepared->chain, &job->job);
}

static void look_for_old(struct feature_shard *shard, struct feature_post *post)
{
    struct auth_shard *own = shard->state;
    for (int i = 0; i < REFRESHES_PER_TURN; i++) {
        struct list *first = list_first(&own->refreshing);
        struct login *login = first ? CONTAINER_OF(first, struct login, link) : NULL;
        if (!login || login->refresh_at_ms > *shard->now_ms) {
            atomic_store(&own->looking, false);
            return;
        }
        refresh(shard, login);
    }
    feature_post(shard->node, shard->number, post); /* the others in the next turn */
}

void login_look_for_old(struct feature_node *node, uint32_t shard, struct auth_shard *own)
{
    if (atomic_exchange(&own->looking, true)) return; /* it is at it */
    own->look.run = look_for_old;
    feature_post(node, shard, &own->look);
}
