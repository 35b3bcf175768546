/* settings.h - the configuration of authentication, as keys.c fills it: authentication.* and the sections authentication.NAME and
 * authorization.NAME, which are of one form.
 *
 * Owner: the configuration; immutable, and valid as long as the chain made of it. Units are in the names. Texts are never NULL. */
#ifndef RINGMQ_FEATURES_AUTH_SETTINGS_H
#define RINGMQ_FEATURES_AUTH_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum auth_backend {
    AUTH_BACKEND_PASSWORD_FILE, AUTH_BACKEND_BUILT_IN, AUTH_BACKEND_CERTIFICATE, AUTH_BACKEND_JWT, AUTH_BACKEND_HTTP,
    AUTH_BACKEND_POSTGRESQL, AUTH_BACKEND_MYSQL, AUTH_BACKEND_REDIS, AUTH_BACKEND_LDAP, AUTH_BACKENDS
};
/* "password_file", "built_in_database", "certificate", "jwt", "http", "postgresql", "mysql", "redis", "ldap" */
extern const char *const auth_backend_names[AUTH_BACKENDS];

enum auth_mechanism { AUTH_MECHANISM_PASSWORD, AUTH_MECHANISM_SCRAM };
enum auth_policy { AUTH_POLICY_DENY, AUTH_POLICY_NEXT, AUTH_POLICY_ALLOW };
enum auth_user_id { AUTH_USER_ID_USERNAME, AUTH_USER_ID_CLIENTID };
enum auth_http_method { AUTH_HTTP_POST, AUTH_HTTP_GET };
enum auth_jwt_from { AUTH_JWT_FROM_PASSWORD, AUTH_JWT_FROM_USERNAME };
enum auth_ldap_method { AUTH_LDAP_BIND, AUTH_LDAP_HASH };
enum auth_ask { AUTH_ASK_AUTO, AUTH_ASK_LOGIN, AUTH_ASK_TOPIC }; /* auto: http is asked about each topic, the others at the login */
enum auth_tls_mode { AUTH_TLS_OFF, AUTH_TLS_ON };

struct auth_source_settings {
    char *name;
    bool enable;
    uint8_t backend, mechanism;
    char *listeners;          /* "tcp.default, wss.*"; "": all */
    uint8_t on_error, on_full; /* enum auth_policy */
    uint32_t timeout_ms, pool_size, queue_max;
    size_t answer_bytes_max;
    uint32_t breaker_failures, breaker_rest_ms;
    uint8_t user_id_type;
    uint8_t ask;              /* enum auth_ask; of an authorizer */
    /* stored passwords */
    uint8_t hash_algorithm, salt_position, mac_fun;
    uint32_t iterations, key_bytes;
    /* files */
    char *file, *bootstrap_file;
    /* servers */
    char *server, *database, *username, *password, *query;
    bool tls_enable, tls_verify, starttls;
    char *tls_ca_file, *tls_certificate_file, *tls_key_file;
    /* http */
    uint8_t method;
    char *url, *body, *headers;
    /* jwt */
    uint8_t from;
    bool secret_base64, disconnect_after_expire;
    char *secret, *public_key, *jwks_url, *algorithms, *claims, *acl_claim;
    uint32_t refresh_s;
    /* ldap */
    uint8_t ldap_method;
    char *base_dn, *filter, *password_attribute, *superuser_attribute, *publish_attribute, *subscribe_attribute, *all_attribute;
};

struct auth_settings {
    char *chain;              /* names in their order; "": as sorted */
    char *authorization_chain;
    uint32_t timeout_ms;      /* of a whole login */
    uint32_t hash_threads;
    uint32_t cache_ttl_ms, cache_negative_ttl_ms, cache_max;
    uint32_t failures_max, failures_window_s; /* failed logins per address; 0: no limit */
    uint32_t rules_ttl_ms;    /* 0: those of the login stay */
    char *open_listeners;     /* nobody is asked there */
    struct auth_source_settings *sources, *authorizers;
    uint32_t sources_count, authorizers_count;
};

/* Is this authorizer asked about each topic, rather than once for the rules of a login? */
static inline bool auth_asked_each(const struct auth_source_settings *authorizer)
{
    return authorizer->ask == AUTH_ASK_TOPIC || (authorizer->ask == AUTH_ASK_AUTO && authorizer->backend == AUTH_BACKEND_HTTP);
}

#endif
