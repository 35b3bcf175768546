/* Users, keys, tokens: what is kept, what is refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/auth.h"
#include "admin/base64.h"
#include "base/log.h"
#include "base/sha1.h"

static char directory[64];

static struct auth *opened(void)
{
    char error[512] = "";
    struct auth *auth = auth_open(directory, "first password", error, sizeof error);
    cr_assert_not_null(auth, "%s", error);
    return auth;
}

static void make_directory(void)
{
    log_configure(LOG_OFF, LOG_TEXT);
    strcpy(directory, "/tmp/ringmq-unit-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(auth, .init = make_directory, .fini = remove_directory);

static enum auth_verdict login(struct auth *auth, const char *user, const char *password, char token[AUTH_TOKEN_BYTES])
{
    struct auth_identity who;
    uint32_t expires_s, wait_s;
    return auth_login(auth, user, password, "192.0.2.1:1", token, &who, &expires_s, &wait_s);
}

static enum auth_verdict check(struct auth *auth, const char *authorization, struct auth_identity *ret_who)
{
    struct http_request request = {.headers = {{SPAN_LITERAL("Authorization"), span_of_string(authorization)}}, .headers_count = 1};
    struct http_exchange exchange = {.request = &request, .peer = "192.0.2.1:1"};
    return auth_check(auth, &exchange, ret_who);
}

Test(auth, tokens)
{
    struct auth *auth = opened();
    struct auth_identity who;
    char token[AUTH_TOKEN_BYTES], header[100];
    cr_assert_eq(login(auth, "admin", "wrong", token), AUTH_WRONG);
    cr_assert_eq(login(auth, "nobody", "first password", token), AUTH_WRONG);
    cr_assert_eq(login(auth, "admin", "first password", token), AUTH_OK);
    snprintf(header, sizeof header, "bearer  %s", token);
    cr_assert_eq(check(auth, header, &who), AUTH_OK);
    cr_assert_eq(who.role, ROLE_ADMINISTRATOR);
    cr_assert_str_eq(who.name, "admin");
    header[20] ^= 1;
    cr_assert_eq(check(auth, header, &who), AUTH_WRONG);
    static const char *const wrong[] = {"", "Bearer", "Bearer ", "Basic", "Basic x", "Basic ====", "Digest x", "Basic YTpi"};
    for (size_t i = 1; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(check(auth, wrong[i], &who), AUTH_WRONG, "%s", wrong[i]);
        cr_assert_eq(who.role, ROLE_NONE);
    }
    json_t *change = json_pack("{s:s}", "password", "second password");
    cr_assert_eq(auth_user_update(auth, "admin", change), AUTH_DONE);
    json_decref(change);
    header[20] ^= 1;
    cr_assert_eq(check(auth, header, &who), AUTH_WRONG, "the token outlives its password");
    cr_assert_eq(login(auth, "admin", "second password", token), AUTH_OK);
    auth_close(auth);
}

Test(auth, more_tokens_than_there_is_room_for)
{
    struct auth *auth = opened();
    struct auth_identity who;
    char token[AUTH_TOKEN_BYTES], header[100];
    cr_assert_eq(login(auth, "admin", "first password", token), AUTH_OK);
    snprintf(header, sizeof header, "Bearer %s", token);
    auth_configure(auth, 0); /* what comes from now on has expired at once */
    cr_assert_eq(login(auth, "admin", "first password", token), AUTH_OK);
    char expired[100];
    snprintf(expired, sizeof expired, "Bearer %s", token);
    cr_assert_eq(check(auth, expired, &who), AUTH_WRONG);
    auth_close(auth);
}

Test(auth, keys_and_what_is_kept)
{
    struct auth *auth = opened();
    struct auth_identity who;
    json_t *wanted = json_pack("{s:s, s:s}", "name", "k", "role", "operator"), *secret = NULL;
    cr_assert_eq(auth_key_create(auth, wanted, 0, &secret), AUTH_DONE);
    cr_assert_eq(auth_key_create(auth, wanted, 0, &secret), AUTH_EXISTS);
    json_decref(wanted);
    char pair[128], header[200] = "Basic ";
    snprintf(pair, sizeof pair, "%s:%s", json_string_value(json_object_get(secret, "api_key")), json_string_value(json_object_get(secret, "api_secret")));
    base64_encode(span_of_string(pair), header + 6);
    json_decref(secret);
    cr_assert_eq(check(auth, header, &who), AUTH_OK);
    cr_assert_eq(who.role, ROLE_OPERATOR);
    auth_close(auth);
    auth = opened(); /* read again */
    cr_assert_eq(check(auth, header, &who), AUTH_OK);
    cr_assert_eq(auth_key_update(auth, "k", NULL, true, 1), AUTH_DONE); /* expired in 1970 */
    cr_assert_eq(check(auth, header, &who), AUTH_WRONG);
    cr_assert_eq(auth_key_delete(auth, "k"), AUTH_DONE);
    cr_assert_eq(auth_key_delete(auth, "k"), AUTH_NOT_FOUND);
    cr_assert_eq(auth_user_delete(auth, "admin"), AUTH_LAST_ADMINISTRATOR);
    auth_close(auth);
}

Test(auth, damaged_file)
{
    char path[128], error[512];
    auth_close(opened());
    snprintf(path, sizeof path, "%s/admin/users.json", directory);
    FILE *file = fopen(path, "w");
    fputs("{\"users\":", file);
    fclose(file);
    cr_assert_null(auth_open(directory, "", error, sizeof error), "a damaged file would have made a new administrator");
    cr_assert_not_null(strstr(error, "users.json"));
}

Test(auth, audit_is_read_newest_first)
{
    struct auth *auth = opened();
    struct auth_identity who = {.kind = AUTH_USER, .name = "u\"\n"};
    for (int i = 0; i < 30; i++)
        auth_audit(auth, &who, "p", "op", "GET", SPAN_LITERAL("/a\n\xff"), 200 + i);
    json_t *list = auth_audit_read(auth, 10);
    cr_assert_eq(json_array_size(list), 10);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(list, 0), "status")), 229);
    json_decref(list);
    auth_close(auth);
}

Test(auth, base64_is_strict)
{
    uint8_t bytes[16];
    size_t count;
    cr_assert(base64_decode(SPAN_LITERAL("AAEC"), bytes, sizeof bytes, &count) && count == 3 && bytes[2] == 2);
    cr_assert(base64_decode(SPAN_LITERAL("AA=="), bytes, sizeof bytes, &count) && count == 1);
    cr_assert(base64_decode(SPAN_LITERAL(""), bytes, sizeof bytes, &count) && count == 0);
    static const char *const wrong[] = {"A", "AA", "AAA", "A===", "AA=A", "AA A", "====", "AAAA="};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(base64_decode(span_of_string(wrong[i]), bytes, sizeof bytes, &count), "%s", wrong[i]);
    cr_assert_not(base64_decode(SPAN_LITERAL("AAECAAECAAECAAECAAECAAEC"), bytes, sizeof bytes, &count));
}
