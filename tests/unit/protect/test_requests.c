/* Requests of administrators: pages, what is refused, and texts that are no UTF-8. The list is a real one, behind the verbs of protect.h. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "features/protect/bans.h"
#include "features/protect/requests.h"

static struct bans list;
static bool off;

enum ban_answer protect_ban_add(const struct ban *ban) { return off ? BAN_OFF : bans_add(&list, ban, 1000); }
enum ban_answer protect_ban_remove(enum ban_kind kind, struct span who) { return off ? BAN_OFF : bans_remove(&list, kind, who); }

enum ban_answer protect_bans_each(void (*each)(void *context, const struct ban *ban), void *context)
{
    if (off) return BAN_OFF;
    bans_each(&list, 1000, each, context);
    return BAN_DONE;
}

enum ban_answer protect_bans_clear(void)
{
    if (!off) bans_clear(&list);
    return off ? BAN_OFF : BAN_DONE;
}

static void init(void)
{
    off = false;
    bans_init(&list);
}

static void fini(void) { bans_release(&list); }

TestSuite(requests, .init = init, .fini = fini);

/* The answer (NULL: none) of a request that must have this status. */
static json_t *ask(const char *verb, const char *body, int status)
{
    struct feature_request request = {.verb = verb, .body = span_of_string(body)};
    protect_request(NULL, &request);
    cr_assert_eq(request.status, status, "%s %s: %d %s", verb, body, request.status, request.error);
    cr_assert_eq(status != 200, request.error[0] != 0, "%s %s", verb, body);
    json_t *answer = request.answer ? json_loads(request.answer, 0, NULL) : NULL;
    cr_assert_eq(request.answer != NULL, answer != NULL);
    free(request.answer);
    return answer;
}

Test(requests, bans_come_back_as_they_were_put_in)
{
    json_t *ban = ask("bans add", "{\"as\":\"clientid\",\"who\":\"a\",\"by\":\"ann\",\"reason\":\"why\",\"at_ms\":5000,\"until_ms\":9999999999999}", 200);
    json_t *wanted = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "as", "clientid", "who", "a", "by", "ann", "reason", "why", "at_ms", (json_int_t)5000, "until_ms",
                               (json_int_t)9999999999999);
    cr_assert(json_equal(ban, wanted));
    json_decref(ban);
    ban = ask("bans list", "{\"page\":1,\"limit\":10}", 200);
    cr_assert(json_equal(json_array_get(json_object_get(ban, "data"), 0), wanted));
    json_decref(ban);
    json_decref(wanted);
    ban = ask("bans add", "{\"as\":\"clientid\",\"who\":\"a\"}", 200); /* replaced: for good, by nobody */
    cr_assert_eq(json_integer_value(json_object_get(ban, "until_ms")), 0);
    cr_assert_str_eq(json_string_value(json_object_get(ban, "reason")), "");
    json_decref(ban);
    cr_assert_eq(atomic_load(&list.count), 1);
    ask("bans remove", "{\"as\":\"clientid\",\"who\":\"a\"}", 200);
    ask("bans remove", "{\"as\":\"clientid\",\"who\":\"a\"}", 404);
}

Test(requests, pages_show_each_ban_once)
{
    bool seen[25] = {false};
    for (int i = 0; i < 25; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"as\":\"%s\",\"who\":\"n%d\"}", i % 3 ? "clientid" : "clientid_pattern", i);
        json_decref(ask("bans add", body, 200));
    }
    for (int page = 1; page <= 4; page++) {
        char body[64];
        snprintf(body, sizeof body, "{\"page\":%d,\"limit\":10}", page);
        json_t *answer = ask("bans list", body, 200), *data = json_object_get(answer, "data"), *meta = json_object_get(answer, "meta"), *row;
        size_t i;
        cr_assert_eq(json_array_size(data), page < 3 ? 10 : page == 3 ? 5 : 0);
        cr_assert_eq(json_is_true(json_object_get(meta, "hasnext")), page < 3);
        cr_assert_eq(json_integer_value(json_object_get(meta, "count")), 25);
        json_array_foreach(data, i, row)
        {
            int number = atoi(json_string_value(json_object_get(row, "who")) + 1);
            cr_assert_not(seen[number]);
            seen[number] = true;
        }
        json_decref(answer);
    }
    ask("bans clear", "{}", 200);
    cr_assert_eq(atomic_load(&list.count), 0);
}

static json_int_t found(const char *filters)
{
    char body[128];
    snprintf(body, sizeof body, "{\"page\":1,\"limit\":2%s}", filters);
    json_t *answer = ask("bans list", body, 200), *meta = json_object_get(answer, "meta");
    json_int_t count = json_integer_value(json_object_get(meta, "count"));
    cr_assert_eq(json_is_true(json_object_get(meta, "hasnext")), count > 2);
    json_decref(answer);
    return count;
}

Test(requests, a_list_of_those_that_fit)
{
    static const char *const bodies[] = {"{\"as\":\"clientid\",\"who\":\"meter-1\"}", "{\"as\":\"clientid\",\"who\":\"meter-2\"}", "{\"as\":\"username\",\"who\":\"meter-1\"}",
                                         "{\"as\":\"peerhost_net\",\"who\":\"10.0.0.0/8\"}", "{\"as\":\"clientid_pattern\",\"who\":\"meter-*\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        json_decref(ask("bans add", bodies[i], 200));
    cr_assert_eq(found(""), 5);
    cr_assert_eq(found(",\"as\":\"clientid\""), 2);
    cr_assert_eq(found(",\"like_who\":\"meter\""), 4);
    cr_assert_eq(found(",\"like_who\":\"r-1\""), 2);
    cr_assert_eq(found(",\"as\":\"username\",\"like_who\":\"r-1\""), 1);
    cr_assert_eq(found(",\"as\":\"peerhost\""), 0);
    cr_assert_eq(found(",\"like_who\":\"Meter\""), 0);
}

Test(requests, what_makes_no_sense_is_refused)
{
    static const char *const bodies[] = {"", "[]", "{", "{}", "{\"as\":\"x\",\"who\":\"y\"}", "{\"as\":\"clientid\"}", "{\"as\":\"clientid\",\"who\":\"\"}",
                                         "{\"as\":\"peerhost\",\"who\":\"1.2.3\"}", "{\"as\":\"peerhost_net\",\"who\":\"1.2.3.4/5,2.3.4.5/6\"}",
                                         "{\"as\":\"clientid\",\"who\":\"x\",\"until_ms\":1}", "{\"as\":1,\"who\":2}", "{\"as\":\"clientid_re\",\"who\":\"(a\"}", "{\"as\":\"username_re\",\"who\":\"\\\\1\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        ask("bans add", bodies[i], 400);
    ask("bans list", "{}", 400);
    ask("bans remove", "{\"as\":\"peerhost\",\"who\":\"x\"}", 400);
    ask("bans", "{}", 404);
    cr_assert_eq(atomic_load(&list.count), 0);
    off = true;
    ask("bans list", "{\"page\":1,\"limit\":1}", 404);
    ask("bans add", "{\"as\":\"clientid\",\"who\":\"x\"}", 404);
    ask("bans remove", "{\"as\":\"clientid\",\"who\":\"x\"}", 404);
    ask("bans clear", "{}", 404);
}

Test(requests, a_full_list_says_so)
{
    struct ban ban = {.kind = BAN_CLIENT_ID_PATTERN};
    for (int i = 0; i < BANS_SEARCHED_MAX; i++) {
        char who[16];
        snprintf(who, sizeof who, "p%d", i);
        ban.who = span_of_string(who);
        cr_assert_eq(bans_add(&list, &ban, 1000), BAN_DONE);
    }
    ask("bans add", "{\"as\":\"peerhost_net\",\"who\":\"10.0.0.0/8\"}", 409);
}

/* A line of the file may have any bytes. */
Test(requests, odd_bytes_can_be_shown)
{
    bans_add(&list, &(struct ban){.kind = BAN_CLIENT_ID, .who = SPAN_LITERAL("a\xff\xfe"), .reason = SPAN_LITERAL("\xc3\xa9")}, 1000);
    json_t *answer = ask("bans list", "{\"page\":1,\"limit\":10}", 200), *row = json_array_get(json_object_get(answer, "data"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(row, "who")), "a??");
    cr_assert_str_eq(json_string_value(json_object_get(row, "reason")), "\xc3\xa9");
    json_decref(answer);
}
