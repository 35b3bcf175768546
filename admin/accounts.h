/* accounts.h - who may use the API: users with passwords, API keys, login tokens, and the log of what they do.
 *
 * Kept in node.data_dir/admin (mode 0700): users.json (users and keys, secrets hashed; written whole and atomically), audit.log (a JSON object a
 * line; renamed to audit.log.1 when it is ACCOUNTS_AUDIT_BYTES_MAX long). Tokens live in memory: after a restart everybody logs in again.
 *
 * Passwords: yescrypt through crypt(3). API secrets and tokens are 256 random bits, so SHA-256 is enough for them.
 * Threads: any; one lock, which is not held while a password is hashed.
 * Guessing: after ACCOUNTS_FAILURES_FREE wrong passwords within a minute an address or a user waits, twice as long each time, up to a minute. */
#ifndef RINGMQ_ADMIN_ACCOUNTS_H
#define RINGMQ_ADMIN_ACCOUNTS_H

#include <jansson.h>

#include "admin/http.h"
#include "admin/routes.h"

struct accounts;

#define ACCOUNTS_NAME_BYTES_MAX   64
#define ACCOUNTS_USERS_MAX        1000
#define ACCOUNTS_KEYS_MAX         1000
#define ACCOUNTS_TOKENS_MAX       1000
#define ACCOUNTS_AUDIT_BYTES_MAX  (16u << 20)
#define ACCOUNTS_FAILURES_FREE    5

enum accounts_kind { ACCOUNTS_ANONYMOUS, ACCOUNTS_USER, ACCOUNTS_API_KEY };

struct accounts_identity {
    enum accounts_kind kind;
    enum api_role role;
    char name[ACCOUNTS_NAME_BYTES_MAX + 1];
};
extern const char *const accounts_kind_names[];

/* Reads the files; without users, makes the first one: `admin`, with default_password or, where that is "", a random one that is logged once.
 * NULL with a sentence in ret_error: the directory cannot be used, or a file has been damaged. */
struct accounts *accounts_open(const char *data_dir, const char *default_password, char *ret_error, size_t error_bytes);
void accounts_close(struct accounts *accounts); /* accepts NULL */
/* Seconds a token lives unused. */
void accounts_configure(struct accounts *accounts, uint32_t token_lifetime_s);

enum accounts_verdict { ACCOUNTS_OK, ACCOUNTS_NONE /* no credentials */, ACCOUNTS_WRONG, ACCOUNTS_WAIT /* accounts_login() only */ };
/* By the request's Authorization header: Bearer TOKEN or Basic KEY:SECRET. Never ACCOUNTS_WAIT: these cannot be guessed. */
enum accounts_verdict accounts_check(struct accounts *accounts, const struct http_exchange *exchange, struct accounts_identity *ret_identity);

/* The same of a header that was copied from a request, which may last longer than the login it came with. `peer`: for the log. */
enum accounts_verdict accounts_check_header(struct accounts *accounts, struct span header, const char *peer, struct accounts_identity *ret_identity);

#define ACCOUNTS_TOKEN_BYTES 44 /* with its NUL */
enum accounts_verdict accounts_login(struct accounts *accounts, const char *user, const char *password, const char *peer, char ret_token[ACCOUNTS_TOKEN_BYTES],
                             struct accounts_identity *ret_identity, uint32_t *ret_expires_s, uint32_t *ret_wait_s);
/* Ends the request's own token; nothing when it came with an API key. */
void accounts_logout(struct accounts *accounts, const struct http_exchange *exchange);

enum accounts_result { ACCOUNTS_DONE, ACCOUNTS_NOT_FOUND, ACCOUNTS_EXISTS, ACCOUNTS_LAST_ADMINISTRATOR, ACCOUNTS_BAD_NAME, ACCOUNTS_FULL, ACCOUNTS_WRONG_PASSWORD, ACCOUNTS_NOT_SAVED, ACCOUNTS_WAIT_FIRST };

json_t *accounts_users(struct accounts *accounts);                        /* an array of User */
json_t *accounts_user(struct accounts *accounts, const char *name);       /* NULL: there is none */
enum accounts_result accounts_user_create(struct accounts *accounts, const json_t *new_user);
enum accounts_result accounts_user_update(struct accounts *accounts, const char *name, const json_t *change);
enum accounts_result accounts_user_delete(struct accounts *accounts, const char *name);
enum accounts_result accounts_password_change(struct accounts *accounts, const char *name, const char *peer, const char *old_password, const char *new_password);

json_t *accounts_keys(struct accounts *accounts);
json_t *accounts_key(struct accounts *accounts, const char *name);
/* expires_ms 0: never. ret_secret: an ApiKeySecret. */
enum accounts_result accounts_key_create(struct accounts *accounts, const json_t *new_key, uint64_t expires_ms, json_t **ret_secret);
/* set_expiry: the change names expired_at. */
enum accounts_result accounts_key_update(struct accounts *accounts, const char *name, const json_t *change, bool set_expiry, uint64_t expires_ms);
enum accounts_result accounts_key_delete(struct accounts *accounts, const char *name);

struct accounts_counts {
    uint64_t logins_failed, keys_refused; /* tokens nobody has given out are failed logins */
};
void accounts_counts(struct accounts *accounts, struct accounts_counts *ret_counts);

/* ---- audit ------------------------------------------------------------------------------------------------------ */

void accounts_audit(struct accounts *accounts, const struct accounts_identity *who, const char *peer, const char *operation, const char *method, struct span path, int status);
/* The newest first. */
json_t *accounts_audit_read(struct accounts *accounts, uint32_t limit);

#endif
