/* ringmq why CLIENT TOPIC - would a message to this topic reach this client, and what decides it: GET /why of the admin API, for people. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_ctl.h"
#include "cmd/ringmq_options.h"

enum { EXIT_NO = 8 };

struct why_options {
    const char *url, *key, *from;
    uint32_t qos, payload_bytes;
    bool retain, json;
    struct http_trust trust;
    struct text_list words;
};

#define FIELD(name) offsetof(struct why_options, name)
static const struct option options[] = {
    {'f', "from", "CLIENT", OPTION_TEXT, FIELD(from), .help = "who publishes it: its limits, authorization and mount point are looked at,\ntoo; left out: the broker's API"},
    {'q', "qos", "0|1|2", OPTION_NUMBER, FIELD(qos), 0, 2, .help = "with this QoS (0)"},
    {'r', "retain", NULL, OPTION_FLAG, FIELD(retain), .help = "with the retain flag"},
    {'s', "payload-bytes", "N", OPTION_NUMBER, FIELD(payload_bytes), 0, 268435455, .help = "with a payload of this size (0)"},
    {0, "json", NULL, OPTION_FLAG, FIELD(json), .help = "print the answer of the API"},
    {0, "url", "URL", OPTION_TEXT, FIELD(url), .help = "the admin API (default: where `ringmq ctl login` was, else http://127.0.0.1:18083);\nalso the environment's RINGMQ_URL"},
    {0, "key", "KEY:SECRET", OPTION_TEXT, FIELD(key), .help = "an API key; better in the environment, RINGMQ_API_KEY, where others\ncannot see it"},
    {0, "cafile", "FILE", OPTION_TEXT, FIELD(trust.ca_file), .help = "for https: the CA of the server's certificate; also RINGMQ_CAFILE"},
    {0, "insecure", NULL, OPTION_FLAG, FIELD(trust.insecure), .help = "for https: believe any certificate; also RINGMQ_INSECURE=1"},
};

/* ---- printing ----------------------------------------------------------------------------------------------------- */

/* What clients have chosen may hold anything: no control character reaches the terminal. */
static void put(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
        if (c1)
            printf("\\x%02x", *++at);
        else if (*at < 0x20 || *at == 0x7f)
            printf("\\x%02x", *at);
        else
            putchar(*at);
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void print_subscription(const json_t *subscription)
{
    const char *share = text_of(subscription, "share");
    printf("    subscription ");
    if (*share) {
        printf("$share/");
        put(share);
        putchar('/');
    }
    put(text_of(subscription, "filter"));
    printf("  QoS %d%s%s%s\n", (int)json_integer_value(json_object_get(subscription, "qos")),
           json_is_true(json_object_get(subscription, "no_local")) ? ", no local" : "",
           json_is_true(json_object_get(subscription, "retain_as_published")) ? ", retain as published" : "",
           json_is_true(json_object_get(subscription, "takes")) ? "" : ": does not want it");
}

static void print_answer(const json_t *answer)
{
    static const struct {
        const char *result, *mark;
    } marks[] = {{"pass", "ok"}, {"note", "--"}, {"perhaps", "??"}, {"later", ".."}, {"stop", "NO"}};
    const json_t *step, *subscription, *delivery = json_object_get(answer, "delivery");
    size_t i, n;
    put(text_of(answer, "summary"));
    printf("\n\n");
    json_array_foreach(json_object_get(answer, "steps"), i, step)
    {
        const char *mark = "  ";
        for (size_t m = 0; m < sizeof marks / sizeof marks[0]; m++)
            if (strcmp(marks[m].result, text_of(step, "result")) == 0) mark = marks[m].mark;
        printf(" %s %-14s", mark, text_of(step, "step"));
        put(text_of(step, "text"));
        putchar('\n');
        if (strcmp(text_of(step, "step"), "matching") == 0 && strcmp(text_of(step, "result"), "pass") == 0)
            json_array_foreach(json_object_get(answer, "subscriptions"), n, subscription) print_subscription(subscription);
    }
    if (!json_is_object(delivery)) return;
    printf("\nIt gets: topic ");
    put(text_of(delivery, "topic"));
    printf(", QoS %d%s", (int)json_integer_value(json_object_get(delivery, "qos")), json_is_true(json_object_get(delivery, "retain")) ? ", retain flag" : "");
    json_array_foreach(json_object_get(delivery, "subscription_ids"), i, subscription)
        printf("%s%d", i ? ", " : ", subscription identifiers ", (int)json_integer_value(subscription));
    putchar('\n');
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static char *target_of(const struct why_options *given)
{
    size_t room = 3 * (strlen(given->words.items[0]) + strlen(given->words.items[1]) + (given->from ? strlen(given->from) : 0)) + 300;
    char *target = memory_acquire(room);
    size_t used = (size_t)snprintf(target, room, API_PREFIX "/why?clientid=");
    used += http_encode(given->words.items[0], target + used, room - used);
    used += (size_t)snprintf(target + used, room - used, "&topic=");
    used += http_encode(given->words.items[1], target + used, room - used);
    if (given->from) {
        used += (size_t)snprintf(target + used, room - used, "&from=");
        used += http_encode(given->from, target + used, room - used);
    }
    snprintf(target + used, room - used, "&qos=%u&retain=%s&payload_bytes=%u", given->qos, given->retain ? "true" : "false", given->payload_bytes);
    return target;
}

static int answer_take(const struct why_options *given, const struct http_reply *reply)
{
    if (reply->status != 200) return ctl_complain(reply);
    json_t *answer = json_loadb(reply->body, reply->body_bytes, JSON_ALLOW_NUL, NULL);
    if (!answer) {
        say_error("the answer is no JSON; is it the admin port?");
        return RINGMQ_EXIT_FAILED;
    }
    if (given->json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_answer(answer);
    }
    bool no = strcmp(text_of(answer, "verdict"), "no") == 0;
    json_decref(answer);
    if (fflush(stdout) != 0) return RINGMQ_EXIT_FAILED;
    return no ? EXIT_NO : RINGMQ_EXIT_OK;
}

int ringmq_why(int argc, char **argv)
{
    struct why_options given = {0};
    const struct option_group group = {"Options", options, sizeof options / sizeof options[0], &given};
    const struct option_program program = {
        .usage = "ringmq why [options] CLIENT TOPIC",
        .about = "Would a message to TOPIC reach CLIENT, and which rule, limit or subscription decides it? The running broker\n"
                 "is asked where it decides about real messages (see `ringmq ctl login`); nothing is published.\n\n"
                 "  ok  it goes on          --  it goes on, changed or with something to know\n"
                 "  ??  it depends          ..  it would wait              NO  it ends here\n\n"
                 "Exit status: 0 yes, later or perhaps; 8 no; others as of `ringmq ctl`.",
        .examples = "ringmq why dashboard site/3/temperature\n"
                    "ringmq why dashboard site/3/temperature --from sensor-17 --qos 1\n"
                    "ringmq why --json dashboard a/b | jq -r .decided_by\n",
        .groups = &group, .groups_count = 1, .positionals = &given.words};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    if (verdict == OPTIONS_FINE && given.words.count != 2) {
        say_error("say which client and which topic: ringmq why CLIENT TOPIC");
        verdict = OPTIONS_WRONG;
    }
    struct http_client client;
    if (verdict == OPTIONS_FINE && ctl_client(&client, given.url, given.key, &given.trust)) {
        struct http_reply reply;
        char *target = target_of(&given);
        bool answered = http_client_request(&client, "GET", target, NULL, &reply);
        memory_release(target);
        if (answered) {
            status = answer_take(&given, &reply);
            http_reply_release(&reply);
        } else {
            say_error("%s", client.error);
            status = RINGMQ_EXIT_UNREACHABLE;
        }
        http_client_release(&client);
    }
    text_list_release(&given.words);
    return status;
}
