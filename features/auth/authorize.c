/* authorize.c - see authorize.h. */
#include "features/auth/authorize.h"

#include <stdio.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "features/acl/sources.h"
#include "features/auth/login.h"

struct auth_asked {
    struct acl_sources sources; /* first */
    struct auth_chain *chain;
    struct auth_throttle *throttle;
};

/* A question under way, and its answer. */
struct question {
    struct auth_job job; /* first */
    struct acl_answer answer;
    struct feature_node *node;
    uint32_t shard;
};

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static void release(struct acl_answer *answer)
{
    acl_rules_release(answer->rules);
    auth_job_release(&CONTAINER_OF(answer, struct question, answer)->job);
}

/* On a thread of the source, or at once on the shard. */
static void done(struct auth_job *job)
{
    struct question *question = (struct question *)job;
    const struct auth_answer *said = job->answer;
    struct acl_answer *answer = &question->answer;
    answer->decision = said->verdict == AUTH_ALLOW ? ACL_ALLOW : said->verdict == AUTH_DENY ? ACL_DENY : ACL_NO_MATCH;
    answer->keeps = said->cacheable;
    answer->what = said->unavailable || said->busy ? "nobody can be asked whether it is allowed; try again later" : "a source denies it";
    answer->rules = said->verdict == AUTH_NEXT && said->compiled ? acl_rules_share(said->compiled) : NULL;
    feature_post(question->node, question->shard, &answer->post);
}

static void ask(const struct acl_sources *sources, uint32_t number, const struct acl_question *wanted)
{
    const struct auth_asked *asked = (const struct auth_asked *)sources;
    const struct feature_client *client = wanted->client;
    struct auth_attribute attributes[AUTH_ATTRIBUTES_MAX];
    struct auth_query query = login_query(client, attributes);
    char qos = (char)('0' + wanted->qos);
    query.action = span_of_string(wanted->action == ACL_PUBLISH ? "publish" : "subscribe");
    query.topic = wanted->topic;
    query.qos = span_of(&qos, 1);
    query.retain = span_of_string(wanted->retain ? "true" : "false");
    struct question *question = auth_job_create(&query, sizeof *question);
    question->job.done = done;
    question->job.work.fair = client->has_address ? auth_throttle_hash(asked->throttle, client->address) : 0;
    question->node = wanted->node;
    question->shard = client->shard;
    question->answer.post.run = wanted->answered;
    question->answer.conn = client->conn;
    question->answer.ticket = wanted->ticket;
    question->answer.release = release;
    auth_chain_ask(asked->chain, number, &question->job);
}

static bool concerns(const struct acl_sources *sources, uint32_t number, const struct feature_client *client)
{
    return auth_chain_asked_concerns(((const struct auth_asked *)sources)->chain, number, client->listener);
}

static const char *name_of(const struct acl_sources *sources, uint32_t number)
{
    return auth_chain_asked_name(((const struct auth_asked *)sources)->chain, number);
}

/* ---- the order ------------------------------------------------------------------------------------------------------ */

static bool list_next(const char **at, struct span *ret_word)
{
    *at += strspn(*at, ", ");
    *ret_word = span_of(*at, strcspn(*at, ", "));
    *at += ret_word->bytes;
    return ret_word->bytes > 0;
}

static bool list_has(const char *list, const char *word)
{
    struct span found;
    while (list_next(&list, &found))
        if (span_equal(found, span_of_string(word))) return true;
    return false;
}

static void step_add(struct acl_sources *sources, uint32_t step)
{
    for (uint32_t i = 0; i < sources->steps_count; i++)
        if (sources->steps[i] == step) return; /* named twice: the first place counts */
    CHECK(sources->steps_count < ACL_STEPS_MAX);
    sources->steps[sources->steps_count++] = (uint8_t)step;
}

/* As authorization.chain has it; `token` and `file` come first where it does not name them. */
static void order(struct acl_sources *sources, const struct auth_chain *chain, const char *list)
{
    struct span word;
    if (!list_has(list, "token")) step_add(sources, ACL_STEP_LOGIN);
    if (!list_has(list, "file")) step_add(sources, ACL_STEP_FILE);
    while (list_next(&list, &word)) {
        if (span_equal(word, SPAN_LITERAL("token"))) step_add(sources, ACL_STEP_LOGIN);
        if (span_equal(word, SPAN_LITERAL("file"))) step_add(sources, ACL_STEP_FILE);
        for (uint32_t i = 0; i < sources->count; i++)
            if (span_equal(word, span_of_string(auth_chain_asked_name(chain, i)))) step_add(sources, ACL_STEP_SOURCE + i);
    }
    for (uint32_t i = 0; i < sources->count; i++) /* without a list: by name */
        step_add(sources, ACL_STEP_SOURCE + i);
}

struct auth_asked *authorize_make(const struct auth_prepared *prepared, char *ret_error, size_t error_bytes)
{
    struct auth_asked *asked = memory_acquire_zeroed(sizeof *asked);
    asked->chain = prepared->chain;
    asked->throttle = prepared->state->throttle;
    asked->sources = (struct acl_sources){.count = auth_chain_asked(prepared->chain), .concerns = concerns, .ask = ask, .name = name_of};
    order(&asked->sources, prepared->chain, prepared->settings.authorization_chain);
    return asked;
}

void authorize_release(struct auth_asked *asked) { memory_release(asked); }
void authorize_offer(const struct auth_asked *asked) { acl_sources_offer(&asked->sources); }

void authorize_withdraw(const struct auth_asked *asked)
{
    if (acl_sources_offered() == &asked->sources) acl_sources_offer(NULL);
}
