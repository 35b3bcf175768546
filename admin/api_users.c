/* api_users.c - logins, users, API keys, the audit log. */
#include <stdio.h>

#include "admin/api.h"

static const char *body_text(const struct api_call *call, const char *name) { return json_string_value(json_object_get(call->body, name)); }

static void waits(struct api_call *call, uint32_t wait_s)
{
    char text[16];
    snprintf(text, sizeof text, "%u", wait_s);
    http_add_header(call->exchange, "Retry-After", text);
    api_error(call, 429, "TOO_MANY_REQUESTS", "too many wrong passwords; try again in %u seconds", wait_s);
}

void api_login(struct api_call *call)
{
    char token[ACCOUNTS_TOKEN_BYTES];
    uint32_t expires_s = 0, wait_s = 0;
    enum accounts_verdict verdict = accounts_login(admin_auth(call->admin), body_text(call, "username"), body_text(call, "password"), call->exchange->peer, token,
                                           &call->who, &expires_s, &wait_s);
    if (verdict == ACCOUNTS_WAIT) return waits(call, wait_s);
    if (verdict != ACCOUNTS_OK) return api_error(call, 401, "UNAUTHORIZED", "the user name or the password is wrong");
    api_reply(call, json_pack("{s:s, s:s, s:s, s:I, s:s}", "token", token, "username", call->who.name, "role", api_role_names[call->who.role], "expires_in",
                              (json_int_t)expires_s, "version", RINGMQ_VERSION));
    explicit_bzero(token, sizeof token);
}

void api_logout(struct api_call *call)
{
    accounts_logout(admin_auth(call->admin), call->exchange);
    api_done(call);
}

void api_whoami(struct api_call *call)
{
    api_reply(call, json_pack("{s:s, s:s, s:s}", "name", call->who.name, "kind", accounts_kind_names[call->who.kind], "role", api_role_names[call->who.role]));
}

/* ---- what can go wrong ------------------------------------------------------------------------------------------ */

/* True: it was done, nothing is answered yet. */
static bool good(struct api_call *call, enum accounts_result result, const char *what, const char *name)
{
    switch (result) {
    case ACCOUNTS_DONE: return true;
    case ACCOUNTS_NOT_FOUND: api_error(call, 404, "NOT_FOUND", "there is no %s %s", what, name); break;
    case ACCOUNTS_EXISTS: api_error(call, 409, "EXISTS", "there is a %s %s already", what, name); break;
    case ACCOUNTS_LAST_ADMINISTRATOR: api_error(call, 409, "LAST_ADMINISTRATOR", "%s is the only administrator left", name); break;
    case ACCOUNTS_BAD_NAME: api_error(call, 400, "BAD_REQUEST", "a name has 1 to %d letters, digits, _ - . and @", ACCOUNTS_NAME_BYTES_MAX); break;
    case ACCOUNTS_FULL: api_error(call, 409, "FULL", "there are too many of them"); break;
    case ACCOUNTS_WRONG_PASSWORD: api_error(call, 403, "WRONG_PASSWORD", "the old password is wrong"); break;
    case ACCOUNTS_NOT_SAVED: api_error(call, 500, "NOT_SAVED", "users.json cannot be written, see the log; nothing was changed"); break;
    case ACCOUNTS_WAIT_FIRST: waits(call, 60); break;
    }
    return false;
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

void api_list_users(struct api_call *call) { api_reply(call, json_pack("{s:o}", "data", accounts_users(admin_auth(call->admin)))); }

static void reply_user(struct api_call *call, const char *name)
{
    json_t *user = accounts_user(admin_auth(call->admin), name);
    if (!user) return api_error(call, 404, "NOT_FOUND", "there is no user %s", name); /* removed meanwhile */
    api_reply(call, user);
}

void api_create_user(struct api_call *call)
{
    const char *name = body_text(call, "username");
    if (good(call, accounts_user_create(admin_auth(call->admin), call->body), "user", name)) reply_user(call, name);
}

void api_update_user(struct api_call *call)
{
    const char *name = api_text(call, "username");
    if (good(call, accounts_user_update(admin_auth(call->admin), name, call->body), "user", name)) reply_user(call, name);
}

void api_delete_user(struct api_call *call)
{
    const char *name = api_text(call, "username");
    if (good(call, accounts_user_delete(admin_auth(call->admin), name), "user", name)) api_done(call);
}

void api_change_password(struct api_call *call)
{
    const char *name = api_text(call, "username");
    if (call->who.kind != ACCOUNTS_USER || strcmp(call->who.name, name) != 0)
        return api_error(call, 403, "FORBIDDEN", "this is for one's own password; an administrator can set others with PUT /users/{username}");
    enum accounts_result result = accounts_password_change(admin_auth(call->admin), name, call->exchange->peer, body_text(call, "old_password"), body_text(call, "new_password"));
    if (good(call, result, "user", name)) api_done(call);
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

void api_list_api_keys(struct api_call *call) { api_reply(call, json_pack("{s:o}", "data", accounts_keys(admin_auth(call->admin)))); }

/* False: answered. */
static bool expiry_take(struct api_call *call, uint64_t *ret_unix_ms)
{
    const char *text = body_text(call, "expired_at");
    *ret_unix_ms = 0;
    if (!text || api_time_parse(text, ret_unix_ms)) return true;
    api_error(call, 400, "BAD_REQUEST", "expired_at must be a time such as 2027-01-01T00:00:00Z");
    return false;
}

void api_create_api_key(struct api_call *call)
{
    uint64_t expires_ms;
    json_t *secret = NULL;
    const char *name = body_text(call, "name");
    if (!expiry_take(call, &expires_ms)) return;
    if (good(call, accounts_key_create(admin_auth(call->admin), call->body, expires_ms, &secret), "key", name)) api_reply(call, secret);
}

void api_update_api_key(struct api_call *call)
{
    uint64_t expires_ms;
    const char *name = api_text(call, "name");
    if (!expiry_take(call, &expires_ms)) return;
    bool set_expiry = json_object_get(call->body, "expired_at") != NULL;
    if (!good(call, accounts_key_update(admin_auth(call->admin), name, call->body, set_expiry, expires_ms), "key", name)) return;
    json_t *key = accounts_key(admin_auth(call->admin), name);
    if (!key) return api_error(call, 404, "NOT_FOUND", "there is no key %s", name);
    api_reply(call, key);
}

void api_delete_api_key(struct api_call *call)
{
    const char *name = api_text(call, "name");
    if (good(call, accounts_key_delete(admin_auth(call->admin), name), "key", name)) api_done(call);
}

void api_get_audit(struct api_call *call)
{
    api_reply(call, json_pack("{s:o}", "data", accounts_audit_read(admin_auth(call->admin), (uint32_t)api_number(call, "limit"))));
}
