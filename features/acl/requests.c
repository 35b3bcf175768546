/* requests.c - what administrators ask: to forget remembered verdicts, and the rules in force (listing.c). */
#include "base/memory.h"
#include "features/acl/acl.h"
#include "features/common/request.h"

/* Travels from shard to shard. */
struct acl_purge {
    struct feature_post post; /* first */
    bool of_client, of_user;
    uint32_t client_bytes, user_bytes;
    char text[]; /* client id, user name */
};

static void purge_one(struct feature_shard *shard, struct feature_client *client)
{
    const struct acl_purge *purge = ((struct acl_shard *)shard->state)->purging;
    bool meant = (!purge->of_client || span_equal(client->client_id, span_of(purge->text, purge->client_bytes))) &&
                 (!purge->of_user || (client->has_user_name && span_equal(client->user_name, span_of(purge->text + purge->client_bytes, purge->user_bytes))));
    if (meant && client->slots[shard->slot]) acl_cache_forget(client->slots[shard->slot]);
    if (meant) feature_forget(shard, client);
}

static void purge(struct feature_shard *shard, struct feature_post *post)
{
    struct acl_purge *purge = (struct acl_purge *)post;
    struct acl_shard *mine = shard->state;
    mine->purging = purge;
    feature_clients_each(shard, purge_one);
    mine->purging = NULL;
    if (shard->number + 1 < shard->node->shards_count) return feature_post(shard->node, shard->number + 1, post);
    memory_release(purge);
}

static void purge_begin(struct feature_node *node, const json_t *body)
{
    struct span client = request_text(body, "clientid"), user = request_text(body, "username");
    struct acl_purge *purging = memory_acquire_zeroed(sizeof *purging + client.bytes + user.bytes);
    *purging = (struct acl_purge){.post.run = purge, .of_client = client.data != NULL, .of_user = user.data != NULL, .client_bytes = (uint32_t)client.bytes,
                                  .user_bytes = (uint32_t)user.bytes};
    if (client.bytes) memcpy(purging->text, client.data, client.bytes);
    if (user.bytes) memcpy(purging->text + client.bytes, user.data, user.bytes);
    feature_post(node, 0, &purging->post);
}

void acl_request(struct feature_node *node, struct feature_request *request)
{
    json_t *body = json_loadb((const char *)request->body.data, request->body.bytes, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(body)) {
        request_refuse(request, 400, "the request is no JSON object");
    } else if (strcmp(request->verb, "rules list") == 0) {
        acl_rules_list(request, body);
    } else if (strcmp(request->verb, "purge") == 0) {
        purge_begin(node, body);
        request->status = 200;
    } else {
        request_refuse(request, 404, "authorization knows no request '%s'", request->verb);
    }
    json_decref(body);
}
