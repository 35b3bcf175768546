#include <criterion/criterion.h>

#include <stdio.h>
#include <unistd.h>

#include "features/protect/bans.h"
#include "features/protect/flapping.h"
#include "features/protect/logins.h"

static struct span text(const char *string) { return span_of_string(string); }
static char error[512];

static struct ban_client client(const char *id, const char *user, const char *address, uint8_t bytes[16])
{
    return (struct ban_client){.client_id = text(id), .user_name = text(user ? user : ""), .has_user_name = user != NULL,
                               .has_address = address && cidr_address_of_text(text(address), bytes), .address = bytes};
}

/* A row per kind of ban. */
Test(bans, kinds)
{
    static const struct {
        enum ban_kind kind;
        const char *who, *id, *user, *address;
        bool banned;
    } rows[] = {
        {BAN_CLIENT_ID, "c1", "c1", NULL, NULL, true},         {BAN_CLIENT_ID, "c1", "c2", "c1", NULL, false},
        {BAN_USER_NAME, "u", "c", "u", NULL, true},            {BAN_USER_NAME, "u", "u", NULL, NULL, false},
        {BAN_ADDRESS, "192.0.2.7", "c", NULL, "192.0.2.7:99", true}, {BAN_ADDRESS, "192.0.2.7", "c", NULL, "192.0.2.8:99", false},
        {BAN_ADDRESS, "192.0.2.7", "c", NULL, "::ffff:192.0.2.7", true}, {BAN_ADDRESS, "2001:db8::1", "c", NULL, "[2001:db8::1]:5", true},
        {BAN_NETWORK, "10.0.0.0/8", "c", NULL, "10.200.1.1", true}, {BAN_NETWORK, "10.0.0.0/8", "c", NULL, "11.0.0.1", false},
        {BAN_NETWORK, "10.0.0.0/8", "c", NULL, NULL, false},    {BAN_NETWORK, "2001:db8::/33", "c", NULL, "2001:db8:7fff::1", true},
        {BAN_NETWORK, "2001:db8::/33", "c", NULL, "2001:db8:8000::1", false},
        {BAN_CLIENT_ID_PATTERN, "bot-*", "bot-17", NULL, NULL, true}, {BAN_CLIENT_ID_PATTERN, "bot-*", "robot-17", NULL, NULL, false},
        {BAN_CLIENT_ID_PATTERN, "*a?c*e", "xxabcxxabde", NULL, NULL, true}, {BAN_CLIENT_ID_PATTERN, "*a?c*e", "xxabcxxabd", NULL, NULL, false},
        {BAN_USER_NAME_PATTERN, "?", "c", "x", NULL, true},    {BAN_USER_NAME_PATTERN, "?", "c", "xy", NULL, false},
        {BAN_USER_NAME_PATTERN, "*", "c", NULL, NULL, false},  {BAN_USER_NAME_PATTERN, "*", "c", "", NULL, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bans bans;
        uint8_t bytes[16];
        bans_init(&bans);
        cr_assert_eq(bans_add(&bans, &(struct ban){.kind = rows[i].kind, .who = text(rows[i].who)}, 1000), BAN_DONE, "row %zu", i);
        struct ban_client facts = client(rows[i].id, rows[i].user, rows[i].address, bytes);
        cr_assert_eq(bans_match(&bans, &facts, 1000), rows[i].banned, "row %zu: %s", i, rows[i].who);
        cr_assert_eq(bans_remove(&bans, rows[i].kind, text(rows[i].who)), BAN_DONE);
        cr_assert_not(bans_match(&bans, &facts, 1000));
        cr_assert_eq(bans_remove(&bans, rows[i].kind, text(rows[i].who)), BAN_UNKNOWN);
        bans_release(&bans);
    }
}

Test(bans, malformed)
{
    struct bans bans;
    bans_init(&bans);
    static const struct {
        enum ban_kind kind;
        const char *who;
    } rows[] = {{BAN_CLIENT_ID, ""}, {BAN_ADDRESS, "host"}, {BAN_ADDRESS, "10.0.0.0/8"}, {BAN_NETWORK, "10.0.0.0/33"}, {BAN_NETWORK, "unix"},
                {BAN_NETWORK, "10.0.0.0/8, 11.0.0.0/8"}, {BAN_KINDS, "x"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(bans_add(&bans, &(struct ban){.kind = rows[i].kind, .who = text(rows[i].who)}, 1), BAN_MALFORMED, "row %zu", i);
    cr_assert_eq(atomic_load(&bans.count), 0);
    bans_release(&bans);
}

Test(bans, times)
{
    struct bans bans;
    uint8_t bytes[16];
    bans_init(&bans);
    struct ban_client c = client("c", NULL, NULL, bytes), bot = client("bot-1", NULL, NULL, bytes);
    cr_assert_eq(bans_add(&bans, &(struct ban){.kind = BAN_CLIENT_ID, .who = text("c"), .until_ms = 5000}, 1000), BAN_DONE);
    cr_assert_eq(bans_add(&bans, &(struct ban){.kind = BAN_CLIENT_ID_PATTERN, .who = text("bot*"), .until_ms = 6000}, 1000), BAN_DONE);
    cr_assert(bans_match(&bans, &c, 4999) && !bans_match(&bans, &c, 5000) && bans_match(&bans, &bot, 5000));
    cr_assert_eq(bans_add(&bans, &(struct ban){.kind = BAN_CLIENT_ID, .who = text("c"), .until_ms = 9000}, 1000), BAN_REPLACED);
    cr_assert(bans_match(&bans, &c, 8000));
    bans_expire(&bans, 8000);
    cr_assert_eq(atomic_load(&bans.count), 1);
    bans_expire(&bans, 9000);
    cr_assert_eq(atomic_load(&bans.count), 0);
    bans_release(&bans);
}

/* What is over makes room at once, however much it is: short bans of flapping_detect must not keep an administrator's off a full list. */
Test(bans, what_is_over_makes_room)
{
    struct bans bans;
    char name[32];
    bans_init(&bans);
    for (uint32_t i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "c%u", i);
        cr_assert_eq(bans_add(&bans, &(struct ban){.kind = i % 2 ? BAN_CLIENT_ID : BAN_USER_NAME, .who = text(name), .until_ms = i < 2900 ? 5000 : 9000}, 1000), BAN_DONE);
    }
    bans_expire(&bans, 5000);
    cr_assert_eq(atomic_load(&bans.count), 100, "%u", atomic_load(&bans.count));
    bans_release(&bans);
}

static uint32_t seen;
static void look(void *context, const struct ban *ban)
{
    seen++;
    if (ban->kind != BAN_CLIENT_ID) return;
    cr_assert(span_equal(ban->who, text("odd\t%\n\x7f ü")) && span_equal(ban->by, text("me")) && span_equal(ban->reason, text("two words")));
    cr_assert(ban->at_ms == 7000 && ban->until_ms == 90000);
}

Test(bans, file)
{
    char path[] = "/tmp/ringmq-bans-XXXXXX";
    close(mkstemp(path));
    struct bans bans, again;
    bans_init(&bans);
    bans_init(&again);
    bans_add(&bans, &(struct ban){.kind = BAN_CLIENT_ID, .who = text("odd\t%\n\x7f ü"), .by = text("me"), .reason = text("two words"), .until_ms = 90000}, 7000);
    bans_add(&bans, &(struct ban){.kind = BAN_NETWORK, .who = text("10.0.0.0/8")}, 7000);
    bans_add(&bans, &(struct ban){.kind = BAN_USER_NAME, .who = text("over"), .until_ms = 8000}, 7000);
    cr_assert(bans_write(&bans, path, 9000, error, sizeof error), "%s", error);
    bans_add(&again, &(struct ban){.kind = BAN_USER_NAME, .who = text("goes")}, 1);
    cr_assert(bans_read(&again, path, 9000, error, sizeof error), "%s", error);
    bans_each(&again, 9000, look, NULL);
    cr_assert(seen == 2 && atomic_load(&again.count) == 2);
    static const char *const wrong[] = {"clientid c 0 0 x y", "nobody\tc\t0\t0\t\t", "clientid\tc\tx\t0\t\t", "clientid\t%4\t0\t0\t\t",
                                        "peerhost\tx\t0\t0\t\t", "clientid\tc\t0\t0\t\t\textra"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        FILE *file = fopen(path, "w");
        fprintf(file, "# a comment\n\nclientid\tfine\t0\t0\t\t\n%s\n", wrong[i]);
        fclose(file);
        cr_assert_not(bans_read(&again, path, 9000, error, sizeof error), "%s", wrong[i]);
        cr_assert(strstr(error, "line 4"), "%s", error);
        cr_assert_eq(atomic_load(&again.count), 2); /* nothing has changed */
    }
    unlink(path);
    cr_assert(bans_read(&again, path, 9000, error, sizeof error) && atomic_load(&again.count) == 0); /* no file: an empty list */
    cr_assert_not(bans_write(&again, "/nowhere/at/all", 1, error, sizeof error));
    bans_release(&bans);
    bans_release(&again);
}

Test(bans, full_lists)
{
    struct bans bans;
    bans_init(&bans);
    char name[32];
    for (uint32_t i = 0; i <= BANS_SEARCHED_MAX; i++) {
        snprintf(name, sizeof name, "p%u*", i);
        cr_assert_eq(bans_add(&bans, &(struct ban){.kind = BAN_CLIENT_ID_PATTERN, .who = text(name)}, 1), i < BANS_SEARCHED_MAX ? BAN_DONE : BAN_FULL);
    }
    for (uint32_t i = 0; i <= BANS_MAX; i++) {
        snprintf(name, sizeof name, "c%u", i);
        cr_assert_eq(bans_add(&bans, &(struct ban){.kind = BAN_CLIENT_ID, .who = text(name)}, 1), i < BANS_MAX ? BAN_DONE : BAN_FULL);
    }
    bans_clear(&bans);
    cr_assert_eq(atomic_load(&bans.count), 0);
    bans_release(&bans);
}

Test(flapping, counts_in_a_window)
{
    struct flapping *flapping = flapping_create();
    for (int i = 0; i < 4; i++)
        cr_assert_eq(flapping_note(flapping, 77, 1000 + i, 60000, 5), false);
    cr_assert(flapping_note(flapping, 77, 1010, 60000, 5));
    cr_assert_not(flapping_note(flapping, 77, 1011, 60000, 5)); /* anew */
    for (int i = 0; i < 100; i++)
        cr_assert_not(flapping_note(flapping, 78, 100000ull * i, 60000, 2)); /* seldom */
    for (uint64_t i = 1; i < 100000; i++) /* more clients than places */
        cr_assert_not(flapping_note(flapping, i * 0x9E3779B97F4A7C15ull, 9999999, 60000, 2));
    flapping_release(flapping);
}

static const struct login_rules RULES = {.window_ms = 60000, .ban_ms = 300000, .max_failures = 3};

static void address(const char *string, uint8_t bytes[16]) { cr_assert(cidr_address_of_text(text(string), bytes)); }

Test(logins, blocks_for_a_while)
{
    struct logins logins;
    uint8_t one[16], other[16], near[16], far[16];
    address("192.0.2.1", one);
    address("192.0.2.2", other);
    logins_init(&logins);
    logins_switch_on(&logins);
    cr_assert(!logins_failed(&logins, one, &RULES, 1000) && !logins_failed(&logins, one, &RULES, 2000) && !logins_refused(&logins, one, 2000));
    cr_assert(logins_failed(&logins, one, &RULES, 3000));
    cr_assert(logins_refused(&logins, one, 3001) && !logins_refused(&logins, other, 3001));
    cr_assert_not(logins_refused(&logins, one, 303000)); /* over */
    cr_assert(atomic_load(&logins.used) == 0 && atomic_load(&logins.blocked) == 0);
    for (uint64_t i = 0; i < 50; i++)
        cr_assert_not(logins_failed(&logins, other, &RULES, i * 40000)); /* never three in a minute */
    address("2001:db8:1:2::3", near);
    address("2001:db8:1:3::3", far);
    address("2001:db8:1:2::ffff", one);
    for (int i = 0; i < 3; i++)
        logins_failed(&logins, near, &RULES, 1000);
    cr_assert(logins_refused(&logins, one, 1000) && !logins_refused(&logins, far, 1000)); /* a /64 */
    logins_release(&logins);
}

/* A million addresses: the table stays as it is, and who is blocked is not pushed out by those who have failed once. */
Test(logins, many_addresses)
{
    struct logins logins;
    uint8_t bad[16];
    address("203.0.113.9", bad);
    logins_init(&logins);
    logins_switch_on(&logins);
    for (int i = 0; i < 3; i++)
        logins_failed(&logins, bad, &RULES, 1000);
    for (uint32_t i = 0; i < 1000000; i++) {
        uint8_t some[16] = {[10] = 0xFF, [11] = 0xFF, [12] = 10, [13] = (uint8_t)(i >> 16), [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i};
        cr_assert_not(logins_failed(&logins, some, &RULES, 2000));
    }
    cr_assert(logins_refused(&logins, bad, 2000));
    cr_assert_leq(atomic_load(&logins.used), LOGINS_ENTRIES);
    uint32_t cursor = 0;
    logins_sweep(&logins, &RULES, 400000, &cursor, LOGINS_ENTRIES / LOGINS_WAYS);
    cr_assert(atomic_load(&logins.used) == 0 && atomic_load(&logins.blocked) == 0);
    logins_release(&logins);
}
