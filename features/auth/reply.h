/* reply.h - what an HTTP server or a token says about a client, in EMQX's formats.
 *
 *     {"result": "allow" | "deny" | "ignore", "is_superuser": true, "client_attrs": {"role": "x"}, "expire_at": 1700000000,
 *      "acl": [{"permission": "allow", "action": "publish", "topic": "t/${clientid}", "qos": [0, 1], "retain": true}, …]}
 *     acl as an object, too: {"pub": ["t/1"], "sub": ["eq t/#"], "all": [ … ]} (everything else is denied then)
 *
 * Threads: any. Failure: a sentence; the answer may have got a part of it and must not be used. */
#ifndef RINGMQ_FEATURES_AUTH_REPLY_H
#define RINGMQ_FEATURES_AUTH_REPLY_H

#include <jansson.h>

#include "features/auth/auth.h"

#define AUTH_REPLY_BYTES_MAX (1024 * 1024)

/* A body: JSON, or a form (result=allow&is_superuser=true). Sets the verdict, too. */
bool auth_reply(struct span body, bool is_json, struct auth_answer *answer, char *ret_error, size_t error_bytes);
/* {"role": "x"}: texts, numbers and truths become attributes. NULL, or what is wrong. */
const char *auth_reply_attributes(const json_t *attributes, struct auth_answer *answer);
const char *auth_reply_acl(const json_t *acl, struct auth_answer *answer);
/* A whole JSON text; duplicate keys are refused. NULL with a sentence. */
json_t *auth_json(struct span text, char *ret_error, size_t error_bytes);

#endif
