/* paho_c_test PORT VERSION PREFIX [hang]: paho C (synchronous) against a broker; prints as paho_test.py does. */
#include <MQTTClient.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char uri[64];
static const char *prefix, *test_name;
static bool five;
static jmp_buf failed;

#define CHECK(condition, ...)                                                                                        \
    do {                                                                                                             \
        if (condition) break;                                                                                        \
        printf("FAILED %s: line %d: %s ", test_name, __LINE__, #condition);                                          \
        printf(" " __VA_ARGS__);                                                                                     \
        printf("\n");                                                                                                \
        longjmp(failed, 1);                                                                                          \
    } while (0)

static const char *topic(const char *name)
{
    static char buffers[8][200];
    static int next;
    char *buffer = buffers[next++ % 8];
    snprintf(buffer, sizeof buffers[0], "%s/%s", prefix, name);
    return buffer;
}

struct peer {
    MQTTClient client;
    bool present;
};

static struct peer open_peer(const char *name, bool clean, int expiry, MQTTClient_willOptions *will, MQTTProperties *will_properties)
{
    struct peer peer = {0};
    char id[200];
    snprintf(id, sizeof id, "%s-%s", prefix, name);
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = five ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    CHECK(MQTTClient_createWithOptions(&peer.client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) == 0);
    MQTTClient_connectOptions three = MQTTClient_connectOptions_initializer, options = MQTTClient_connectOptions_initializer5;
    if (!five) options = three;
    options.MQTTVersion = create.MQTTVersion;
    options.connectTimeout = 10;
    options.keepAliveInterval = 60;
    options.will = will;
    options.maxInflightMessages = 100;
    if (!five) {
        options.cleansession = clean;
        options.reliable = 0;
        CHECK(MQTTClient_connect(peer.client, &options) == 0);
        peer.present = options.returned.sessionPresent;
        return peer;
    }
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty session = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = (unsigned)expiry};
    MQTTProperties_add(&properties, &session);
    options.cleanstart = clean;
    MQTTResponse response = MQTTClient_connect5(peer.client, &options, &properties, will_properties);
    CHECK(response.reasonCode == 0, "%d", response.reasonCode);
    peer.present = options.returned.sessionPresent;
    MQTTProperties_free(&properties);
    MQTTResponse_free(response);
    return peer;
}

static struct peer open_simple(const char *name) { return open_peer(name, true, 0, NULL, NULL); }

static void close_peer(struct peer *peer)
{
    if (five)
        MQTTClient_disconnect5(peer->client, 1000, MQTTREASONCODE_SUCCESS, NULL);
    else
        MQTTClient_disconnect(peer->client, 1000);
    MQTTClient_destroy(&peer->client);
}

static int subscribe(struct peer *peer, const char *filter, int qos, int id)
{
    if (!five) return MQTTClient_subscribe(peer->client, filter, qos) == 0 ? qos : -1;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty number = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, .value.integer4 = (unsigned)id};
    if (id) MQTTProperties_add(&properties, &number);
    MQTTResponse response = MQTTClient_subscribe5(peer->client, filter, qos, NULL, &properties);
    int code = (int)response.reasonCode;
    MQTTProperties_free(&properties);
    MQTTResponse_free(response);
    return code;
}

static int publish_with(struct peer *peer, const char *name, const void *payload, int bytes, int qos, bool retain,
                        MQTTProperties *properties, bool wait)
{
    MQTTClient_deliveryToken token;
    int code;
    if (five) {
        MQTTResponse response = MQTTClient_publish5(peer->client, name, bytes, payload, qos, retain, properties, &token);
        code = (int)response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_publish(peer->client, name, bytes, payload, qos, retain, &token);
    }
    if (wait && qos) CHECK(MQTTClient_waitForCompletion(peer->client, token, 30000) == 0);
    return code;
}

/* Without waiting for each: in this library that takes a tenth of a second. */
static void publish_numbers(struct peer *peer, const char *name, int count, int qos_first, int qos_second)
{
    char number[16];
    for (int i = 0; i < count; i++) {
        snprintf(number, sizeof number, "%d", i);
        int qos = i % 2 ? qos_second : qos_first;
        CHECK(publish_with(peer, name, number, (int)strlen(number), qos, false, NULL, i % 50 == 49) == 0);
    }
}

static void publish(struct peer *peer, const char *name, const char *payload, int qos, bool retain)
{
    CHECK(publish_with(peer, name, payload, (int)strlen(payload), qos, retain, NULL, true) == 0);
}

/* The next message, or NULL after `ms`. The caller frees it. */
static MQTTClient_message *next(struct peer *peer, int ms, char **ret_topic)
{
    MQTTClient_message *message = NULL;
    char *name = NULL;
    int bytes;
    int status = MQTTClient_receive(peer->client, &name, &bytes, &message, (unsigned long)ms);
    CHECK(status == MQTTCLIENT_SUCCESS || status == MQTTCLIENT_TOPICNAME_TRUNCATED, "%d", status);
    if (ret_topic)
        *ret_topic = name;
    else if (name)
        MQTTClient_free(name);
    return message;
}

static void expect(struct peer *peer, const char *name, const char *payload, int qos, int retain)
{
    char *got;
    MQTTClient_message *message = next(peer, 30000, &got);
    CHECK(message != NULL, "nothing on %s", name);
    CHECK(strcmp(got, name) == 0 && message->payloadlen == (int)strlen(payload) &&
              memcmp(message->payload, payload, strlen(payload)) == 0,
          "got %s %.*s, wanted %s %s", got, message->payloadlen, (char *)message->payload, name, payload);
    CHECK(message->qos == qos && message->retained == retain, "qos %d retain %d", message->qos, message->retained);
    MQTTClient_free(got);
    MQTTClient_freeMessage(&message);
}

static void nothing(struct peer *peer) { CHECK(next(peer, 300, NULL) == NULL); }

static void round_trips(void)
{
    struct peer a = open_simple("a"), b = open_simple("b");
    CHECK(subscribe(&a, topic("to/a"), 2, 0) == 2);
    CHECK(subscribe(&b, topic("to/b"), 2, 0) == 2);
    for (int qos = 0; qos < 3; qos++) {
        publish(&a, topic("to/b"), "from a", qos, false);
        expect(&b, topic("to/b"), "from a", qos, 0);
        publish(&b, topic("to/a"), "from b", qos, false);
        expect(&a, topic("to/a"), "from b", qos, 0);
    }
    close_peer(&a);
    close_peer(&b);
}

static void retained(void)
{
    struct peer a = open_simple("a"), b = open_simple("b"), c;
    for (int qos = 0; qos < 3; qos++) {
        publish(&a, topic("kept"), "kept", qos, true);
        if (qos == 0) publish(&a, topic("sync"), "x", 1, false); /* the acknowledgement says that the first one is there, too */
        subscribe(&b, topic("kept"), 2, 0);
        expect(&b, topic("kept"), "kept", qos, 1);
        if (five)
            MQTTResponse_free(MQTTClient_unsubscribe5(b.client, topic("kept"), NULL));
        else
            CHECK(MQTTClient_unsubscribe(b.client, topic("kept")) == 0);
    }
    publish(&a, topic("kept"), "", 1, true);
    c = open_simple("c");
    subscribe(&c, topic("kept/#"), 1, 0);
    nothing(&c);
    close_peer(&a);
    close_peer(&b);
    close_peer(&c);
}

static void session_resume(void)
{
    struct peer keep = open_peer("keep", false, 100, NULL, NULL), a = open_simple("a");
    char number[16];
    subscribe(&keep, topic("queue"), 1, 0);
    close_peer(&keep);
    publish_numbers(&a, topic("queue"), 50, 1, 2);
    keep = open_peer("keep", false, 100, NULL, NULL);
    CHECK(keep.present || five); /* of MQTT 5 this library does not tell it; that the messages come is proof enough */
    for (int i = 0; i < 50; i++) {
        snprintf(number, sizeof number, "%d", i);
        expect(&keep, topic("queue"), number, 1, 0);
    }
    nothing(&keep);
    close_peer(&keep);
    keep = open_peer("keep", true, 0, NULL, NULL);
    CHECK(!keep.present);
    close_peer(&keep);
    close_peer(&a);
}

static void large_payload(void)
{
    enum { BYTES = 300000 };
    struct peer a = open_simple("a");
    char *payload = malloc(BYTES);
    for (int i = 0; i < BYTES; i++)
        payload[i] = (char)(i * 7 + i / 1000);
    subscribe(&a, topic("large"), 2, 0);
    for (int qos = 0; qos < 3; qos++) {
        CHECK(publish_with(&a, topic("large"), payload, BYTES, qos, false, NULL, true) == 0);
        MQTTClient_message *message = next(&a, 30000, NULL);
        CHECK(message && message->payloadlen == BYTES && memcmp(message->payload, payload, BYTES) == 0);
        MQTTClient_freeMessage(&message);
    }
    free(payload);
    close_peer(&a);
}

static void many_in_order(void)
{
    struct peer a = open_simple("a"), b = open_simple("b");
    char number[16];
    for (int qos = 0; qos < 3; qos++) {
        char name[16];
        snprintf(name, sizeof name, "many/%d", qos);
        subscribe(&b, topic(name), qos, 0);
        publish_numbers(&a, topic(name), 500, qos, qos);
        for (int i = 0; i < 500; i++) {
            snprintf(number, sizeof number, "%d", i);
            expect(&b, topic(name), number, qos, 0);
        }
    }
    nothing(&b);
    close_peer(&a);
    close_peer(&b);
}

static void shared(void)
{
    struct peer members[2] = {open_simple("s1"), open_simple("s2")}, a = open_simple("a");
    char filter[300];
    bool seen[100] = {false};
    int got[2] = {0, 0};
    snprintf(filter, sizeof filter, "$share/%s/%s", prefix, topic("work"));
    CHECK(subscribe(&members[0], filter, 1, 0) == 1 && subscribe(&members[1], filter, 1, 0) == 1);
    publish_numbers(&a, topic("work"), 100, 1, 1);
    for (int tries = 0; tries < 400 && got[0] + got[1] < 100; tries++) {
        MQTTClient_message *message = next(&members[tries % 2], 20, NULL);
        if (!message) continue;
        char number[16] = "";
        memcpy(number, message->payload, message->payloadlen < 15 ? (size_t)message->payloadlen : 15);
        int i = atoi(number);
        CHECK(i >= 0 && i < 100 && !seen[i], "%d came twice", i);
        seen[i] = true;
        got[tries % 2]++;
        MQTTClient_freeMessage(&message);
    }
    CHECK(got[0] + got[1] == 100 && got[0] && got[1], "%d + %d", got[0], got[1]);
    close_peer(&members[0]);
    close_peer(&members[1]);
    close_peer(&a);
}

static void add_text(MQTTProperties *properties, enum MQTTPropertyCodes code, char *text, char *more)
{
    MQTTProperty property = {.identifier = code};
    property.value.data = (MQTTLenString){(int)strlen(text), text};
    if (more) property.value.value = (MQTTLenString){(int)strlen(more), more};
    CHECK(MQTTProperties_add(properties, &property) == 0);
}

static void same_text(MQTTProperties *properties, enum MQTTPropertyCodes code, const char *wanted, int index)
{
    MQTTProperty *got = MQTTProperties_getPropertyAt(properties, code, index);
    CHECK(got != NULL, "property %d is missing", code);
    CHECK(got->value.data.len == (int)strlen(wanted) && memcmp(got->value.data.data, wanted, strlen(wanted)) == 0, "property %d",
          code);
}

static void properties(void)
{
    struct peer a = open_simple("a"), b = open_simple("b");
    CHECK(subscribe(&b, topic("props/x"), 1, 77) == 1);
    MQTTProperties properties = MQTTProperties_initializer;
    add_text(&properties, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", NULL);
    add_text(&properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "answer/here", NULL);
    add_text(&properties, MQTTPROPERTY_CODE_CORRELATION_DATA, "corr", NULL);
    add_text(&properties, MQTTPROPERTY_CODE_USER_PROPERTY, "k", "1");
    add_text(&properties, MQTTPROPERTY_CODE_USER_PROPERTY, "k", "2");
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, .value.integer4 = 100},
                 alias = {.identifier = MQTTPROPERTY_CODE_TOPIC_ALIAS, .value.integer2 = 3};
    MQTTProperties_add(&properties, &expiry);
    MQTTProperties_add(&properties, &alias);
    for (int i = 0; i < 3; i++) { /* the second and third by their alias alone */
        CHECK(publish_with(&a, i ? "" : topic("props/x"), "p", 1, 1, false, &properties, true) == 0);
        char *name;
        MQTTClient_message *message = next(&b, 30000, &name);
        CHECK(message && strcmp(name, topic("props/x")) == 0);
        same_text(&message->properties, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", 0);
        same_text(&message->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "answer/here", 0);
        same_text(&message->properties, MQTTPROPERTY_CODE_CORRELATION_DATA, "corr", 0);
        same_text(&message->properties, MQTTPROPERTY_CODE_USER_PROPERTY, "k", 0);
        same_text(&message->properties, MQTTPROPERTY_CODE_USER_PROPERTY, "k", 1);
        CHECK(MQTTProperties_getNumericValue(&message->properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER) == 77);
        CHECK(MQTTProperties_getNumericValue(&message->properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL) > 97);
        MQTTClient_free(name);
        MQTTClient_freeMessage(&message);
    }
    MQTTProperties_free(&properties);
    MQTTResponse response = MQTTClient_unsubscribe5(b.client, topic("never"), NULL);
    CHECK(response.reasonCode == MQTTREASONCODE_NO_SUBSCRIPTION_FOUND, "%d", response.reasonCode);
    MQTTResponse_free(response);
    close_peer(&a);
    close_peer(&b);
}

static void session_expiry(void)
{
    struct peer a = open_peer("exp", false, 1, NULL, NULL);
    close_peer(&a);
    a = open_peer("exp", false, 1, NULL, NULL);
    close_peer(&a);
    usleep(2000000);
    a = open_peer("exp", false, 0, NULL, NULL);
    CHECK(!a.present);
    close_peer(&a);
}

static int hang(void)
{
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    will.topicName = topic("will");
    will.message = "killed";
    will.qos = 1;
    will.retained = 1;
    MQTTProperties properties = MQTTProperties_initializer;
    test_name = "hang";
    if (setjmp(failed)) return 1;
    if (five) {
        add_text(&properties, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/x-will", NULL);
        add_text(&properties, MQTTPROPERTY_CODE_USER_PROPERTY, "w", "1");
    }
    open_peer("hang", true, 0, &will, &properties);
    printf("ready\n");
    fflush(stdout);
    sleep(60);
    return 0;
}

static void run(const char *name, void (*test)(void))
{
    test_name = name;
    if (setjmp(failed) == 0) {
        test();
        printf("ok %s\n", name);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%s", argv[1]);
    five = atoi(argv[2]) == 5;
    prefix = argv[3];
    if (argc > 4) return hang();
    run("round_trips", round_trips);
    run("retained", retained);
    run("session_resume", session_resume);
    run("large_payload", large_payload);
    run("many_in_order", many_in_order);
    run("shared", shared);
    if (five) run("properties", properties);
    if (five) run("session_expiry", session_expiry);
    return 0;
}
