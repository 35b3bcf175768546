/* auth.h - who may use the API: users with passwords, API keys, login tokens, and the log of what they do.
 *
 * Kept in node.data_dir/admin (mode 0700): users.json (users and keys, secrets hashed; written whole and atomically), audit.log (a JSON object a
 * line; renamed to audit.log.1 when it is AUTH_AUDIT_BYTES_MAX long). Tokens live in memory: after a restart everybody logs in again.
 *
 * Passwords: yescrypt through crypt(3). API secrets and tokens are 256 random bits, so SHA-256 is enough for them.
 * Threads: any; one lock, which is not held while a password is hashed.
 * Guessing: after AUTH_FAILURES_FREE wrong passwords within a minute an address or a user waits, twice as long each time, up to a minute. */
#ifndef RINGMQ_ADMIN_AUTH_H
#define RINGMQ_ADMIN_AUTH_H

#include <jansson.h>

#include "admin/http.h"
#include "admin/routes.h"

struct auth;

#define AUTH_NAME_BYTES_MAX   64
#define AUTH_USERS_MAX        1000
#define AUTH_KEYS_MAX         1000
#define AUTH_TOKENS_MAX       1000
#define AUTH_AUDIT_BYTES_MAX  (16u << 20)
#define AUTH_FAILURES_FREE    5

enum auth_kind { AUTH_ANONYMOUS, AUTH_USER, AUTH_API_KEY };

struct auth_identity {
    enum auth_kind kind;
    enum api_role role;
    char name[AUTH_NAME_BYTES_MAX + 1];
};
extern const char *const auth_kind_names[];

/* Reads the files; without users, makes the first one: `admin`, with default_password or, where that is "", a random one that is logged once.
 * NULL with a sentence in ret_error: the directory cannot be used, or a file has been damaged. */
struct auth *auth_open(const char *data_dir, const char *default_password, char *ret_error, size_t error_bytes);
void auth_close(struct auth *auth); /* accepts NULL */
/* Seconds a token lives unused. */
void auth_configure(struct auth *auth, uint32_t token_lifetime_s);

enum auth_verdict { AUTH_OK, AUTH_NONE /* no credentials */, AUTH_WRONG, AUTH_WAIT /* auth_login() only */ };
/* By the request's Authorization header: Bearer TOKEN or Basic KEY:SECRET. Never AUTH_WAIT: these cannot be guessed. */
enum auth_verdict auth_check(struct auth *auth, const struct http_exchange *exchange, struct auth_identity *ret_identity);

#define AUTH_TOKEN_BYTES 44 /* with its NUL */
enum auth_verdict auth_login(struct auth *auth, const char *user, const char *password, const char *peer, char ret_token[AUTH_TOKEN_BYTES],
                             struct auth_identity *ret_identity, uint32_t *ret_expires_s, uint32_t *ret_wait_s);
/* Ends the request's own token; nothing when it came with an API key. */
void auth_logout(struct auth *auth, const struct http_exchange *exchange);

enum auth_result { AUTH_DONE, AUTH_NOT_FOUND, AUTH_EXISTS, AUTH_LAST_ADMINISTRATOR, AUTH_BAD_NAME, AUTH_FULL, AUTH_WRONG_PASSWORD, AUTH_NOT_SAVED, AUTH_WAIT_FIRST };

json_t *auth_users(struct auth *auth);                        /* an array of User */
json_t *auth_user(struct auth *auth, const char *name);       /* NULL: there is none */
enum auth_result auth_user_create(struct auth *auth, const json_t *new_user);
enum auth_result auth_user_update(struct auth *auth, const char *name, const json_t *change);
enum auth_result auth_user_delete(struct auth *auth, const char *name);
enum auth_result auth_password_change(struct auth *auth, const char *name, const char *peer, const char *old_password, const char *new_password);

json_t *auth_keys(struct auth *auth);
json_t *auth_key(struct auth *auth, const char *name);
/* expires_ms 0: never. ret_secret: an ApiKeySecret. */
enum auth_result auth_key_create(struct auth *auth, const json_t *new_key, uint64_t expires_ms, json_t **ret_secret);
/* set_expiry: the change names expired_at. */
enum auth_result auth_key_update(struct auth *auth, const char *name, const json_t *change, bool set_expiry, uint64_t expires_ms);
enum auth_result auth_key_delete(struct auth *auth, const char *name);

/* ---- audit ------------------------------------------------------------------------------------------------------ */

void auth_audit(struct auth *auth, const struct auth_identity *who, const char *peer, const char *operation, const char *method, struct span path, int status);
/* The newest first. */
json_t *auth_audit_read(struct auth *auth, uint32_t limit);

#endif
