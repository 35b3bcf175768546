#include "base/settings.h"

const char *const listener_kind_names[LISTENER_KINDS] = {"tcp", "tls", "ws", "wss", "unix"};

uint32_t mqtt_versions_parse(struct span text)
{
    static const struct {
        const char *name;
        uint32_t level;
    } versions[] = {{"3.1", 3}, {"3.1.1", 4}, {"5.0", 5}, {"5", 5}};
    uint32_t levels = 0;
    while (text.bytes) {
        const uint8_t *comma = memchr(text.data, ',', text.bytes);
        struct span item = span_of(text.data, comma ? (size_t)(comma - text.data) : text.bytes);
        text = span_skip(text, item.bytes + (comma != NULL));
        while (item.bytes && item.data[0] == ' ')
            item = span_skip(item, 1);
        while (item.bytes && item.data[item.bytes - 1] == ' ')
            item.bytes--;
        bool known = false;
        for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
            if (span_equal(item, span_of_string(versions[i].name))) levels |= 1u << versions[i].level, known = true;
        if (!known) return 0;
    }
    return levels;
}

uint32_t listener_texts(struct listener_settings *settings, char **ret_texts[LISTENER_TEXTS_MAX])
{
    char **texts[] = {&settings->name, &settings->bind, &settings->allow, &settings->deny, &settings->trusted_proxies, &settings->congestion,
                      &settings->owner, &settings->group, &settings->mode, &settings->protocol_versions, &settings->mountpoint,
                      &settings->websocket.path, &settings->websocket.allowed_origins, &settings->tls.certificate_files,
                      &settings->tls.key_files, &settings->tls.password, &settings->tls.ocsp_files, &settings->tls.ocsp_responder, &settings->tls.ca_file,
                      &settings->tls.crl_file, &settings->tls.psk_file, &settings->tls.ciphers, &settings->tls.alpn};
    uint32_t count = sizeof texts / sizeof *texts;
    for (uint32_t i = 0; i < count; i++)
        ret_texts[i] = texts[i];
    return count;
}
