/* paho_c_tls PORT CA [CERTIFICATE KEY]: one message there and back with the paho C library over TLS. Prints ok. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(int code, int wanted, const char *what)
{
    if (code == wanted) return;
    printf("FAILED %s: %d\n", what, code);
    exit(1);
}

int main(int argc, char **argv)
{
    char uri[64];
    MQTTClient client;
    MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    MQTTClient_deliveryToken token;
    MQTTClient_message *message = NULL;
    char *topic = NULL;
    int topic_bytes;
    snprintf(uri, sizeof uri, "ssl://localhost:%s", argv[1]);
    ssl.trustStore = argv[2];
    ssl.verify = 1;
    if (argc > 4) {
        ssl.keyStore = argv[3];
        ssl.privateKey = argv[4];
    }
    options.ssl = &ssl;
    need(MQTTClient_create(&client, uri, "paho-c-tls", MQTTCLIENT_PERSISTENCE_NONE, NULL), 0, "create");
    need(MQTTClient_connect(client, &options), 0, "connect");
    need(MQTTClient_subscribe(client, "paho/c", 1), 0, "subscribe");
    need(MQTTClient_publish(client, "paho/c", 5, "hello", 1, 0, &token), 0, "publish");
    need(MQTTClient_waitForCompletion(client, token, 5000), 0, "PUBACK");
    need(MQTTClient_receive(client, &topic, &topic_bytes, &message, 5000), 0, "receive");
    need(message && message->payloadlen == 5 && memcmp(message->payload, "hello", 5) == 0, 1, "payload");
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    need(MQTTClient_disconnect(client, 1000), 0, "disconnect");
    MQTTClient_destroy(&client);
    puts("ok");
    return 0;
}
