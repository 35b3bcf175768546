/* ringmq acl - authorization rules without a broker: are they in order, which one decides, and where from Mosquitto's. */
#include "cmd/ringmq_acl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_options.h"
#include "features/acl/rules.h"
#include "proto/topic.h"

#define FILE_BYTES_MAX (256u << 20)
enum { EXIT_DENIED = 3, EXIT_NO_MATCH = 4 };

bool acl_file_read(const char *path, char **ret_text, size_t *ret_bytes)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        say_error("cannot read %s: %s", path, strerror(errno));
        return false;
    }
    char *text = NULL;
    size_t used = 0, capacity = 0;
    do {
        capacity = capacity ? capacity * 2 : 65536;
        text = memory_resize(text, capacity);
        used += fread(text + used, 1, capacity - used, file);
    } while (used == capacity && used <= FILE_BYTES_MAX);
    const char *wrong = ferror(file) ? strerror(errno) : used > FILE_BYTES_MAX ? "it is larger than 256 MiB" : NULL;
    if (file != stdin) fclose(file);
    if (wrong) {
        say_error("cannot read %s: %s", path, wrong);
        memory_release(text);
        return false;
    }
    *ret_text = text;
    *ret_bytes = used;
    return true;
}

static struct acl_rules *rules_read(const char *path)
{
    char *text, error[ACL_ERROR_BYTES_MAX];
    size_t bytes;
    if (!acl_file_read(path, &text, &bytes)) return NULL;
    struct acl_rules *rules = acl_rules_compile(span_of(text, bytes), path, error);
    memory_release(text);
    if (!rules) say_error("%s", error);
    return rules;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

static int check(const struct text_list *words)
{
    if (words->count != 2) {
        say_error("check needs one file (ringmq acl --help)");
        return RINGMQ_EXIT_FAILED;
    }
    struct acl_rules *rules = rules_read(words->items[1]);
    if (!rules) return RINGMQ_EXIT_FAILED;
    printf("%s: %u rules\n", words->items[1], acl_rules_count(rules));
    acl_rules_release(rules);
    return RINGMQ_EXIT_OK;
}

/* ---- test -------------------------------------------------------------------------------------------------------- */

struct test_options {
    struct text_list words, attributes;
    const char *user, *client, *ip, *listener, *cn;
    uint32_t qos;
    bool retain;
};

static bool attributes_take(const struct text_list *list, struct feature_attribute *attributes)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        if (!equals) {
            say_error("--attribute needs NAME=VALUE, not '%s'", list->items[i]);
            return false;
        }
        attributes[i] = (struct feature_attribute){span_of(list->items[i], (size_t)(equals - list->items[i])), span_of_string(equals + 1)};
    }
    return true;
}

static bool client_make(const struct test_options *options, struct feature_client *ret_client)
{
    *ret_client = (struct feature_client){.listener_kind = LISTENER_TCP};
    ret_client->has_user_name = options->user != NULL;
    ret_client->user_name = span_of_string(options->user ? options->user : "");
    ret_client->client_id = span_of_string(options->client ? options->client : "client");
    ret_client->listener = span_of_string(options->listener ? options->listener : "tcp.default");
    ret_client->certificate_cn = span_of_string(options->cn ? options->cn : "");
    if (options->ip && strcmp(options->ip, "unix") == 0) {
        ret_client->listener_kind = LISTENER_UNIX;
        return true;
    }
    ret_client->has_address = cidr_address_of_text(span_of_string(options->ip ? options->ip : "127.0.0.1"), ret_client->address);
    if (!ret_client->has_address) say_error("'%s' is no address", options->ip);
    return ret_client->has_address;
}

static void print_outcome(const struct acl_rules *rules, struct acl_outcome outcome)
{
    struct span text = acl_rules_text(rules, outcome.line);
    if (outcome.decision == ACL_NO_MATCH)
        puts("no rule matches: authorization.no_match decides (deny unless changed)");
    else
        printf("%s (line %u): %.*s\n", outcome.decision == ACL_ALLOW ? "allow" : "deny", outcome.line, SPAN_PRINT(text));
}

static int test(const struct test_options *options)
{
    const struct text_list *words = &options->words;
    struct feature_attribute attributes[64];
    struct feature_client client;
    if (words->count != 4) {
        say_error("test needs a file, publish or subscribe, and a topic (ringmq acl --help)");
        return RINGMQ_EXIT_FAILED;
    }
    bool publish = strcmp(words->items[2], "publish") == 0 || strcmp(words->items[2], "pub") == 0;
    bool subscribe = strcmp(words->items[2], "subscribe") == 0 || strcmp(words->items[2], "sub") == 0;
    struct span topic = span_of_string(words->items[3]), group;
    if (!publish && !subscribe) {
        say_error("'%s' is no action; write publish or subscribe", words->items[2]);
        return RINGMQ_EXIT_FAILED;
    }
    if (publish ? !mqtt_topic_name_valid(topic, 0) : !mqtt_topic_filter_valid(topic, 0)) {
        say_error("'%s' is no topic%s", words->items[3], publish ? "" : " filter");
        return RINGMQ_EXIT_FAILED;
    }
    if (subscribe) mqtt_share_split(topic, &group, &topic);
    if (options->attributes.count > 64) {
        say_error("there are more than 64 attributes");
        return RINGMQ_EXIT_FAILED;
    }
    if (!attributes_take(&options->attributes, attributes) || !client_make(options, &client)) return RINGMQ_EXIT_FAILED;
    client.attributes = attributes;
    client.attributes_count = options->attributes.count;
    struct acl_rules *rules = rules_read(words->items[1]);
    if (!rules) return RINGMQ_EXIT_FAILED;
    struct acl_outcome outcome =
        acl_rules_decide(rules, &client, publish ? ACL_PUBLISH : ACL_SUBSCRIBE, topic, (uint8_t)options->qos, options->retain);
    print_outcome(rules, outcome);
    acl_rules_release(rules);
    return outcome.decision == ACL_ALLOW ? RINGMQ_EXIT_OK : outcome.decision == ACL_DENY ? (int)EXIT_DENIED : (int)EXIT_NO_MATCH;
}

/* ---- the subcommand ---------------------------------------------------------------------------------------------- */

#define FIELD(name) offsetof(struct test_options, name)
static const struct option test_options[] = {
    {'u', "user", "NAME", OPTION_TEXT, FIELD(user), 0, 0, NULL, "the user name (none)"},
    {'i', "client", "ID", OPTION_TEXT, FIELD(client), 0, 0, NULL, "the client id (client)"},
    {0, "ip", "ADDRESS", OPTION_TEXT, FIELD(ip), 0, 0, NULL, "its address, or unix (127.0.0.1)"},
    {0, "listener", "NAME", OPTION_TEXT, FIELD(listener), 0, 0, NULL, "the listener (tcp.default)"},
    {0, "cn", "NAME", OPTION_TEXT, FIELD(cn), 0, 0, NULL, "the common name of its certificate (none)"},
    {0, "attribute", "NAME=VALUE", OPTION_LIST, FIELD(attributes), 0, 0, NULL, "an attribute of the client; repeatable"},
    {'q', "qos", "QOS", OPTION_NUMBER, FIELD(qos), 0, 2, NULL, "0 (the default), 1 or 2"},
    {'r', "retain", NULL, OPTION_FLAG, FIELD(retain), 0, 0, NULL, "the PUBLISH has the retain flag"},
};

int ringmq_acl(int argc, char **argv)
{
    struct test_options options = {0};
    const struct option_group groups[] = {{"Who asks (test)", test_options, sizeof test_options / sizeof *test_options, &options}};
    const struct option_program program = {
        .usage = "ringmq acl check FILE\n"
                 "ringmq acl test FILE [options] publish|subscribe TOPIC\n"
                 "ringmq acl import-mosquitto FILE",
        .about = "Authorization rules (docs/access-control.md): are they in order; which of them decides; rules from an acl_file of Mosquitto, on "
                 "standard output. FILE may be -.",
        .examples = "ringmq acl test acl.conf --user sensor-1 publish sensors/1/temperature\n"
                    "ringmq acl import-mosquitto /etc/mosquitto/acl > acl.conf\n",
        .groups = groups,
        .groups_count = 1,
        .positionals = &options.words,
        .first = "check|test|import-mosquitto",
        .others = "FILE",
    };
    enum option_verdict verdict = options_parse(&program, argc, argv);
    const char *what = options.words.count ? options.words.items[0] : "";
    int status = RINGMQ_EXIT_FAILED;
    if (verdict == OPTIONS_HELPED)
        status = RINGMQ_EXIT_OK;
    else if (verdict == OPTIONS_WRONG)
        ;
    else if (strcmp(what, "check") == 0)
        status = check(&options.words);
    else if (strcmp(what, "test") == 0)
        status = test(&options);
    else if (strcmp(what, "import-mosquitto") == 0)
        status = acl_import_mosquitto(options.words.count == 2 ? options.words.items[1] : NULL);
    else
        say_error("write check, test or import-mosquitto (ringmq acl --help)");
    text_list_release(&options.words);
    text_list_release(&options.attributes);
    if (fflush(stdout) != 0 && status == RINGMQ_EXIT_OK) status = RINGMQ_EXIT_FAILED;
    return status;
}
