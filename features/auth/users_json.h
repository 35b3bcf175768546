/* users_json.h - a user as a JSON line, and back. Private to users*.c. */
#ifndef RINGMQ_FEATURES_AUTH_USERS_JSON_H
#define RINGMQ_FEATURES_AUTH_USERS_JSON_H

#include <jansson.h>

#include "features/auth/users.h"

/* False: a text of the user's is no UTF-8, which JSON does not take: the line would lack it. */
bool users_json_can(const struct auth_user *user);
/* With the line end; from malloc. */
char *users_json_line(const struct auth_user *user);
char *users_json_deleted(struct span name);
json_t *users_json_of(const struct auth_user *user);
/* NULL, or what is wrong. */
const char *users_json_read(const json_t *root, struct auth_user *ret_user, bool *ret_deleted);
bool users_json_text(const json_t *root, const char *key, char *ret_text, size_t room); /* false: not a text, or too long; "" when it is not there */

enum auth_users_result users_put_many(struct auth_users *users, const struct auth_user *many, uint32_t count, bool override, struct auth_import *ret_import);

#endif
