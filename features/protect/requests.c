/* requests.c - see requests.h. */
#include "features/protect/requests.h"

#include <time.h>

#include "base/check.h"
#include "base/regex.h"
#include "features/common/request.h"
#include "features/protect/protect.h"

static void off(struct feature_request *request) { request_refuse(request, 404, "the ban list is off; set banned.enable = true (docs/protection.md)"); }

static json_t *ban_json(const struct ban *ban)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:I, s:I}", "as", ban_kind_names[ban->kind], "who", request_text_json(ban->who), "by", request_text_json(ban->by), "reason",
                     request_text_json(ban->reason), "at_ms", (json_int_t)ban->at_ms, "until_ms", (json_int_t)ban->until_ms);
}

/* ---- list -------------------------------------------------------------------------------------------------------- */

struct page {
    json_t *rows;
    struct span kind, like; /* only such; empty: all */
    uint64_t skip, limit, seen;
};

static bool wanted(const struct page *page, const struct ban *ban)
{
    if (page->kind.bytes && !span_equal(page->kind, span_of_string(ban_kind_names[ban->kind]))) return false;
    return page->like.bytes == 0 || memmem(ban->who.data, ban->who.bytes, page->like.data, page->like.bytes);
}

static void page_take(void *context, const struct ban *ban)
{
    struct page *page = context;
    if (!wanted(page, ban)) return;
    if (page->seen++ >= page->skip && json_array_size(page->rows) < page->limit) json_array_append_new(page->rows, ban_json(ban));
}

static void list(struct feature_request *request, const json_t *body)
{
    json_int_t number = json_integer_value(json_object_get(body, "page")), limit = json_integer_value(json_object_get(body, "limit"));
    if (number < 1 || limit < 1) return request_refuse(request, 400, "page and limit must be 1 at least");
    struct page page = {.rows = json_array(), .kind = request_text(body, "as"), .like = request_text(body, "like_who"), .skip = (uint64_t)(number - 1) * (uint64_t)limit, .limit = (uint64_t)limit};
    if (protect_bans_each(page_take, &page) == BAN_OFF) {
        json_decref(page.rows);
        return off(request);
    }
    bool more = page.seen > page.skip + page.limit;
    request_answer(request, json_pack("{s:o, s:{s:I, s:I, s:I, s:b}}", "data", page.rows, "meta", "page", number, "limit", limit, "count", (json_int_t)page.seen, "hasnext", more));
}

/* ---- add, remove --------------------------------------------------------------------------------------------------- */

/* False: refused. */
static bool whom(struct feature_request *request, const json_t *body, struct ban *ret_ban)
{
    struct span kind = request_text(body, "as");
    for (int k = 0; k < BAN_KINDS; k++) {
        if (!span_equal(kind, span_of_string(ban_kind_names[k]))) continue;
        *ret_ban = (struct ban){.kind = (enum ban_kind)k, .who = request_text(body, "who")};
        return true;
    }
    request_refuse(request, 400, "as must be one of clientid, username, peerhost, peerhost_net, clientid_pattern, username_pattern, clientid_re, username_re");
    return false;
}

static void malformed(struct feature_request *request, const struct ban *ban)
{
    static const char *const wanted[BAN_KINDS] = {[BAN_ADDRESS] = "an address such as 192.0.2.7", [BAN_NETWORK] = "one network such as 10.0.0.0/8"};
    char error[160] = "";
    bool expression = ban->kind == BAN_CLIENT_ID_REGEX || ban->kind == BAN_USER_NAME_REGEX;
    struct regex *regex = expression ? regex_compile(ban->who, error, sizeof error) : NULL;
    regex_release(regex);
    if (*error) return request_refuse(request, 400, "the regular expression makes no sense: %s", error);
    request_refuse(request, 400, "who must be %s; by and reason have at most %d bytes", wanted[ban->kind] ? wanted[ban->kind] : "a text of 1 to 65535 bytes", BAN_TEXT_BYTES_MAX);
}

static uint64_t unix_ms_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void add(struct feature_request *request, const json_t *body)
{
    struct ban ban;
    if (!whom(request, body, &ban)) return;
    json_int_t at_ms = json_integer_value(json_object_get(body, "at_ms")), until_ms = json_integer_value(json_object_get(body, "until_ms"));
    ban.by = request_text(body, "by");
    ban.reason = request_text(body, "reason");
    ban.at_ms = at_ms > 0 ? (uint64_t)at_ms : unix_ms_now();
    ban.until_ms = until_ms > 0 ? (uint64_t)until_ms : 0;
    if (ban.until_ms && ban.until_ms <= unix_ms_now()) return request_refuse(request, 400, "until is over already; leave it out for a ban without an end");
    switch (protect_ban_add(&ban)) {
    case BAN_DONE:
    case BAN_REPLACED: return request_answer(request, ban_json(&ban));
    case BAN_FULL: return request_refuse(request, 409, "the list is full: it takes %d names and addresses, %d networks and patterns", BANS_MAX, BANS_SEARCHED_MAX);
    case BAN_OFF: return off(request);
    case BAN_MALFORMED:
    case BAN_UNKNOWN: return malformed(request, &ban);
    }
}

static void take_away(struct feature_request *request, const json_t *body)
{
    struct ban ban;
    if (!whom(request, body, &ban)) return;
    switch (protect_ban_remove(ban.kind, ban.who)) {
    case BAN_OFF: return off(request);
    case BAN_UNKNOWN: return request_refuse(request, 404, "there is no such ban");
    case BAN_MALFORMED: return malformed(request, &ban);
    default: request->status = 200;
    }
}

static void clear(struct feature_request *request, const json_t *body)
{
    (void)body;
    if (protect_bans_clear() == BAN_OFF) return off(request);
    request->status = 200;
}

/* ---- verbs --------------------------------------------------------------------------------------------------------- */

void protect_request(struct feature_node *node, struct feature_request *request)
{
    static const struct request_verb verbs[] = {{"bans list", list}, {"bans add", add}, {"bans remove", take_away}, {"bans clear", clear}};
    (void)node;
    request_run(request, "protect", verbs, sizeof verbs / sizeof *verbs);
}
