/* module.h - for the sources that are shared objects: their symbol, and what is shared by those that speak SQL. They are compiled without the rest of
 * the broker: libc, their own client library, and `tools`. */
#ifndef RINGMQ_FEATURES_AUTH_MODULE_H
#define RINGMQ_FEATURES_AUTH_MODULE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "features/auth/source.h"

#define AUTH_SOURCE_SYMBOL "auth_source"
#define AUTH_MODULE __attribute__((visibility("default"))) const struct auth_source_kind auth_source

/* "host:port", "[::1]:port", "host", "/run/some.sock": cut in two. False: not sound. */
static inline bool auth_server_parse(const char *server, const char *default_port, char ret_host[256], char ret_port[16])
{
    const char *host = server, *end, *port = default_port;
    if (server[0] == '/') {
        end = server + strlen(server);
    } else if (server[0] == '[') {
        host = server + 1;
        end = strchr(host, ']');
        if (!end || (end[1] && end[1] != ':')) return false;
        if (end[1]) port = end + 2;
    } else {
        end = strchrnul(server, ':');
        if (*end) port = end + 1;
    }
    if (end == host || (size_t)(end - host) >= 256 || strlen(port) >= 16 || !*port || strspn(port, "0123456789") != strlen(port)) return false;
    memcpy(ret_host, host, (size_t)(end - host));
    ret_host[end - host] = '\0';
    strcpy(ret_port, port);
    return true;
}

/* The file with the authorities to believe: ours, or the system's where the library looks for none by itself. "": there is none. */
static inline const char *auth_ca_file(const struct auth_source_settings *settings)
{
    static const char *const known[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    if (*settings->tls_ca_file) return settings->tls_ca_file;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (access(known[i], R_OK) == 0) return known[i];
    return "";
}

/* A row of rules: permission, action, topic, and maybe qos ("0,1") and retain ("1", "0"). NULL, or what is wrong. */
static inline const char *auth_rule_row(const struct auth_tools *tools, struct auth_answer *answer, struct span permission, struct span action, struct span topic,
                                        struct span qos, struct span retain)
{
    uint8_t mask = 0;
    for (size_t i = 0; i < qos.bytes; i++) {
        if (qos.data[i] >= '0' && qos.data[i] <= '2') mask |= (uint8_t)(1u << (qos.data[i] - '0'));
        else if (qos.data[i] != ',' && qos.data[i] != ' ') return "qos of a rule is no list of 0, 1 and 2";
    }
    if (qos.bytes && !mask) return "qos of a rule names none of 0, 1 and 2";
    return tools->rule_words(answer, permission, action, topic, mask ? mask : 7, tools->retain_word(retain));
}

/* What an answer says that has no end, or too late a one. */
static inline void auth_too_large(const char *server, size_t bytes_max, char *ret_error, size_t error_bytes)
{
    snprintf(ret_error, error_bytes, "%.100s: the answer is larger than %zu bytes (answer_max)", server, bytes_max);
}

/* The verdict of rules of which one was broken: `wrong` says how. NULL: all are there. */
static inline enum auth_verdict auth_rules_verdict(const struct auth_tools *tools, struct auth_answer *answer, const char *wrong)
{
    if (!wrong) return AUTH_NEXT;
    answer->of_client = true;
    return tools->say(answer, AUTH_DOWN, "%s", wrong);
}

#endif
