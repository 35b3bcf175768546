/* source_redis.c - asks Redis: a command of which each word is a template, so a value can be a word but never add one.
 *
 *     authentication   HMGET mqtt_user:${username} password_hash salt is_superuser     (or HGET … password_hash)
 *     authorization    HGETALL mqtt_acl:${username}      topic -> publish, subscribe or all: allowed
 */
#include <strings.h>

#include "features/auth/module.h"
#include "features/auth/redis_wire.h"

#define WORDS_MAX 16

struct redis {
    const struct auth_source_settings *settings;
    const struct auth_tools *tools;
    struct template *words[WORDS_MAX];
    char fields[WORDS_MAX][64]; /* what is asked for, by word */
    uint32_t words_count;
    bool all;                   /* HGETALL */
    char host[256], port[16];
    struct redis_tls *tls;      /* NULL: plain */
};

struct link {
    struct redis *redis;
    struct redis_wire *wire; /* NULL: none */
    bool too_large;          /* the last question failed because of its answer's size */
    bool by_value;           /* the last question failed because of a value of the client's: it names a key of another kind */
};

static void redis_close(void *instance)
{
    struct redis *redis = instance;
    for (uint32_t i = 0; i < redis->words_count; i++)
        redis->tools->template_release(redis->words[i]);
    redis_tls_close(redis->tls);
    free(redis);
}

static bool read_command(struct redis *redis, char *ret_error, size_t error_bytes)
{
    const char *at = redis->settings->query;
    while (*(at += strspn(at, " "))) {
        size_t bytes = strcspn(at, " ");
        if (redis->words_count == WORDS_MAX) return snprintf(ret_error, error_bytes, "query has more than %d words", WORDS_MAX), false;
        snprintf(redis->fields[redis->words_count], sizeof redis->fields[0], "%.*s", (int)bytes, at);
        redis->words[redis->words_count] = redis->tools->template_compile(span_of(at, bytes), ret_error, error_bytes);
        if (!redis->words[redis->words_count]) return false;
        redis->words_count++;
        at += bytes;
    }
    redis->all = redis->words_count == 2 && strcasecmp(redis->fields[0], "HGETALL") == 0;
    bool some = redis->words_count >= 3 && (strcasecmp(redis->fields[0], "HMGET") == 0 || (redis->words_count == 3 && strcasecmp(redis->fields[0], "HGET") == 0));
    bool fine = redis->all || some;
    if (!fine) snprintf(ret_error, error_bytes, "query must be HMGET KEY FIELD…, HGET KEY FIELD or HGETALL KEY");
    return fine;
}

static void *redis_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    struct redis *redis = calloc(1, sizeof *redis);
    redis->settings = settings;
    redis->tools = tools;
    bool fine = auth_server_parse(settings->server, "6379", redis->host, redis->port);
    if (!fine) snprintf(ret_error, error_bytes, "server must be HOST, HOST:PORT or the path of a socket");
    if (fine && settings->tls_enable) fine = (redis->tls = redis_tls_open(settings, ret_error, error_bytes)) != NULL;
    if (fine && read_command(redis, ret_error, error_bytes)) return redis;
    redis_close(redis);
    return NULL;
}

static void *redis_attach(void *instance)
{
    struct link *link = calloc(1, sizeof *link);
    link->redis = instance;
    return link;
}

static void drop(struct link *link)
{
    redis_wire_close(link->wire);
    link->wire = NULL;
}

static void redis_detach(void *instance)
{
    drop(instance);
    free(instance);
}

/* One command whose answer is only OK or an error. */
static bool settle(struct link *link, int argc, const char **argv, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    char error[160] = "";
    bool too_large;
    redisReply *reply = redis_wire_ask(link->wire, argc, argv, NULL, deadline_ms, &too_large, error, sizeof error);
    bool fine = reply && reply->type == REDIS_REPLY_STATUS;
    if (!fine) snprintf(ret_error, error_bytes, "%s failed: %.150s", argv[0], reply && reply->str ? reply->str : error);
    if (reply) freeReplyObject(reply);
    return fine;
}

static bool connect_now(struct link *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    const struct redis *redis = link->redis;
    const struct auth_source_settings *settings = redis->settings;
    if (link->wire) return true;
    link->wire = redis_wire_open(redis->host, redis->port, redis->tls, redis->tools, settings->answer_bytes_max, deadline_ms, ret_error, error_bytes);
    bool fine = link->wire != NULL;
    const char *auth[] = {"AUTH", *settings->username ? settings->username : settings->password, settings->password};
    if (fine && *settings->password) fine = settle(link, *settings->username ? 3 : 2, auth, deadline_ms, ret_error, error_bytes);
    const char *select[] = {"SELECT", settings->database};
    if (fine && *settings->database) fine = settle(link, 2, select, deadline_ms, ret_error, error_bytes);
    if (!fine) drop(link);
    return fine;
}

static redisReply *ask_once(struct link *link, const struct auth_query *query, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct redis *redis = link->redis;
    struct auth_text words[WORDS_MAX] = {0};
    const char *argv[WORDS_MAX];
    size_t bytes[WORDS_MAX];
    link->by_value = link->too_large = false;
    if (!connect_now(link, deadline_ms, ret_error, error_bytes)) return NULL;
    for (uint32_t i = 0; i < redis->words_count; i++) {
        redis->tools->template_render(redis->words[i], query, TEMPLATE_PLAIN, &words[i]);
        argv[i] = words[i].data ? words[i].data : "";
        bytes[i] = words[i].bytes;
    }
    redisReply *reply = redis_wire_ask(link->wire, (int)redis->words_count, argv, bytes, deadline_ms, &link->too_large, ret_error, error_bytes);
    for (uint32_t i = 0; i < redis->words_count; i++)
        redis->tools->text_release(&words[i]);
    if (reply && reply->type != REDIS_REPLY_ERROR) return reply;
    if (reply) snprintf(ret_error, error_bytes, "the command failed (%.*s)", (int)strcspn(reply->str, " "), reply->str); /* it may quote a word: only its kind is told */
    link->by_value = reply && strncmp(reply->str, "WRONGTYPE ", 10) == 0;
    if (reply) freeReplyObject(reply);
    if (!link->by_value) drop(link);
    return NULL;
}

static redisReply *ask(struct link *link, const struct auth_query *query, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    bool was_open = link->wire != NULL;
    redisReply *reply = ask_once(link, query, deadline_ms, ret_error, error_bytes);
    if (!reply && !link->by_value && !link->too_large && was_open && link->redis->tools->now_ms() < deadline_ms) reply = ask_once(link, query, deadline_ms, ret_error, error_bytes);
    return reply;
}

static struct span text_of(const redisReply *reply) { return reply && reply->type == REDIS_REPLY_STRING ? span_of(reply->str, (size_t)reply->len) : span_of(NULL, 0); }

/* The value of a field, in whichever form the command answers. */
static struct span field(const struct redis *redis, const redisReply *reply, const char *name)
{
    if (reply->type == REDIS_REPLY_STRING) return strcmp(redis->fields[2], name) == 0 ? text_of(reply) : span_of(NULL, 0);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < (size_t)reply->elements; i++) {
        if (!redis->all && i + 2 < redis->words_count && strcmp(redis->fields[i + 2], name) == 0) return text_of(reply->element[i]);
        if (redis->all && i % 2 == 0 && i + 1 < (size_t)reply->elements && span_equal(text_of(reply->element[i]), span_of_string(name))) return text_of(reply->element[i + 1]);
    }
    return span_of(NULL, 0);
}

/* A key of another kind is nobody's entry; one that is too large is this client's trouble alone. */
static enum auth_verdict unanswered(const struct link *link, struct auth_answer *answer, enum auth_verdict by_value, const char *error)
{
    answer->of_client = link->too_large;
    return link->redis->tools->say(answer, link->by_value ? by_value : AUTH_DOWN, "%s", error);
}

static enum auth_verdict redis_authenticate(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct redis *redis = instance;
    char error[160] = "";
    redisReply *reply = ask(thread, query, deadline_ms, error, sizeof error);
    if (!reply) return unanswered(thread, answer, AUTH_NEXT, error);
    struct span stored = field(redis, reply, "password_hash");
    enum auth_verdict verdict = !stored.data ? redis->tools->say(answer, AUTH_NEXT, "no such user")
                                             : auth_check_row(redis->tools, redis->settings, query, stored, field(redis, reply, "salt"), field(redis, reply, "is_superuser"), answer);
    freeReplyObject(reply);
    return verdict;
}

static enum auth_verdict redis_authorize(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct redis *redis = instance;
    char error[160] = "";
    if (!redis->all) return redis->tools->say(answer, AUTH_DOWN, "query of an authorization must be HGETALL KEY");
    redisReply *reply = ask(thread, query, deadline_ms, error, sizeof error);
    if (!reply) return unanswered(thread, answer, AUTH_DENY, error);
    const char *wrong = reply->type == REDIS_REPLY_ARRAY ? NULL : "the answer is no hash";
    for (size_t i = 0; !wrong && i + 1 < (size_t)reply->elements; i += 2)
        wrong = redis->tools->rule_words(answer, SPAN_LITERAL("allow"), text_of(reply->element[i + 1]), text_of(reply->element[i]), 7, -1);
    freeReplyObject(reply);
    return auth_rules_verdict(redis->tools, answer, wrong);
}

static bool redis_probe(void *instance, void *thread, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct link *link = thread;
    const char *ping[] = {"PING"};
    drop(link);
    bool fine = connect_now(link, deadline_ms, ret_error, error_bytes) && settle(link, 1, ping, deadline_ms, ret_error, error_bytes);
    if (!fine) drop(link);
    return fine;
}

AUTH_MODULE = {.abi = AUTH_SOURCE_ABI, .name = "redis", .closed = true, .open = redis_open, .close = redis_close, .attach = redis_attach, .detach = redis_detach,
               .authenticate = redis_authenticate, .authorize = redis_authorize, .probe = redis_probe};
