/* keys.c - see keys.h. */
#include "features/auth/keys.h"

#include <stdio.h>
#include <string.h>

#include "features/auth/password.h"

static const struct schema_word automatic[] = {{"auto", 0}, {NULL, 0}};
static const struct schema_word unlimited[] = {{"infinity", 0}, {NULL, 0}};
static const struct schema_word backends[] = {
    {"password_file", AUTH_BACKEND_PASSWORD_FILE}, {"built_in_database", AUTH_BACKEND_BUILT_IN}, {"certificate", AUTH_BACKEND_CERTIFICATE},
    {"jwt", AUTH_BACKEND_JWT}, {"http", AUTH_BACKEND_HTTP}, {"postgresql", AUTH_BACKEND_POSTGRESQL}, {"mysql", AUTH_BACKEND_MYSQL},
    {"redis", AUTH_BACKEND_REDIS}, {"ldap", AUTH_BACKEND_LDAP}, {"mariadb", AUTH_BACKEND_MYSQL}, {"pgsql", AUTH_BACKEND_POSTGRESQL}, {NULL, 0}};
static const struct schema_word authorizers[] = {{"postgresql", AUTH_BACKEND_POSTGRESQL}, {"mysql", AUTH_BACKEND_MYSQL}, {"redis", AUTH_BACKEND_REDIS},
                                                 {"ldap", AUTH_BACKEND_LDAP}, {"http", AUTH_BACKEND_HTTP}, {"mariadb", AUTH_BACKEND_MYSQL}, {"pgsql", AUTH_BACKEND_POSTGRESQL}, {NULL, 0}};
static const struct schema_word asks[] = {{"auto", AUTH_ASK_AUTO}, {"login", AUTH_ASK_LOGIN}, {"topic", AUTH_ASK_TOPIC}, {NULL, 0}};
static const struct schema_word mechanisms[] = {{"password_based", AUTH_MECHANISM_PASSWORD}, {"scram", AUTH_MECHANISM_SCRAM}, {NULL, 0}};
static const struct schema_word policies[] = {{"deny", AUTH_POLICY_DENY}, {"next", AUTH_POLICY_NEXT}, {"allow", AUTH_POLICY_ALLOW}, {"ignore", AUTH_POLICY_NEXT}, {NULL, 0}};
static const struct schema_word user_ids[] = {{"username", AUTH_USER_ID_USERNAME}, {"clientid", AUTH_USER_ID_CLIENTID}, {NULL, 0}};
static const struct schema_word algorithms[] = {
    {"encoded", PASSWORD_ENCODED}, {"plain", PASSWORD_PLAIN}, {"md5", PASSWORD_MD5}, {"sha", PASSWORD_SHA1}, {"sha256", PASSWORD_SHA256},
    {"sha512", PASSWORD_SHA512}, {"bcrypt", PASSWORD_BCRYPT}, {"pbkdf2", PASSWORD_PBKDF2}, {NULL, 0}};
static const struct schema_word salts[] = {{"prefix", PASSWORD_SALT_PREFIX}, {"suffix", PASSWORD_SALT_SUFFIX}, {"disable", PASSWORD_SALT_DISABLE}, {NULL, 0}};
static const struct schema_word macs[] = {{"md5", PASSWORD_MD5}, {"sha", PASSWORD_SHA1}, {"sha256", PASSWORD_SHA256}, {"sha512", PASSWORD_SHA512}, {NULL, 0}};
static const struct schema_word methods[] = {{"post", AUTH_HTTP_POST}, {"get", AUTH_HTTP_GET}, {NULL, 0}};
static const struct schema_word froms[] = {{"password", AUTH_JWT_FROM_PASSWORD}, {"username", AUTH_JWT_FROM_USERNAME}, {NULL, 0}};
static const struct schema_word ldap_methods[] = {{"bind", AUTH_LDAP_BIND}, {"hash", AUTH_LDAP_HASH}, {NULL, 0}};

#define GLOBAL(member) SCHEMA_MEMBER(struct auth_settings, member), .reloadable = true
#define SOURCE(member) SCHEMA_MEMBER(struct auth_source_settings, member), .reloadable = true

/* What both kinds of sections have; S is "authentication.NAME" or "authorization.NAME". */
#define SECTION_KEYS(S, BACKENDS, BACKEND_DOC, QUERY_DOC)                                                                                              \
    {S ".backend", TYPE_ENUM, SOURCE(backend), .words = BACKENDS, .documentation = BACKEND_DOC},                                                       \
    {S ".enable", TYPE_BOOL, SOURCE(enable), .default_text = "true", .documentation = "false: the section is written down but not used"},              \
    {S ".listeners", TYPE_STRING, SOURCE(listeners), .max = 4096, .default_text = "",                                                                  \
     .documentation = "only clients of these listeners, such as \"tcp.default, wss.*\"; empty: of all"},                                             \
    {S ".on_error", TYPE_ENUM, SOURCE(on_error), .words = policies, .default_text = "deny",                                                            \
     .documentation = "what a source that cannot be asked means: deny, next (the next source is asked) or allow"},                                     \
    {S ".on_full", TYPE_ENUM, SOURCE(on_full), .words = policies, .default_text = "deny", .documentation = "the same when too many logins wait for it"}, \
    {S ".timeout", TYPE_DURATION, SOURCE(timeout_ms), .unit_us = SCHEMA_MS, .min = 10, .max = 60000, .default_text = "3s",                             \
     .documentation = "how long one question may take, connecting included"},                                                                          \
    {S ".answer_max", TYPE_SIZE, SOURCE(answer_bytes_max), .min = 1024, .max = 1073741824, .default_text = "1MiB",                                      \
     .documentation = "bytes of an answer: rows, entries, the body of HTTP; the source of a larger one is down"},                                      \
    {S ".pool_size", TYPE_UNSIGNED, SOURCE(pool_size), .min = 1, .max = 256, .default_text = "4", .documentation = "threads, each with a connection of its own"}, \
    {S ".queue", TYPE_UNSIGNED, SOURCE(queue_max), .min = 8, .max = 1000000, .default_text = "4096",                                                   \
     .documentation = "logins that may wait for it; at most an eighth of them from one address"},                                                    \
    {S ".breaker_failures", TYPE_UNSIGNED, SOURCE(breaker_failures), .max = 1000000, .words = unlimited, .default_text = "5",                          \
     .documentation = "so many failures in a row, and the source is not asked for breaker_rest; infinity: it always is"},                            \
    {S ".breaker_rest", TYPE_DURATION, SOURCE(breaker_rest_ms), .unit_us = SCHEMA_MS, .min = 100, .max = 3600000, .default_text = "5s",                \
     .documentation = "then the server is probed, until it is back"},                                                                                  \
    {S ".server", TYPE_STRING, SOURCE(server), .max = 300, .default_text = "localhost", .documentation = "HOST, HOST:PORT; mysql and redis also take the path of a socket"}, \
    {S ".database", TYPE_STRING, SOURCE(database), .max = 200, .default_text = "", .documentation = "name of the database; redis: its number"},      \
    {S ".username", TYPE_STRING, SOURCE(username), .max = 500, .default_text = "", .documentation = "our own name at the server; ldap: a DN, or empty for an anonymous bind"}, \
    {S ".password", TYPE_SECRET, SOURCE(password), .max = 4096, .default_text = "", .documentation = "and our password"},                            \
    {S ".query", TYPE_STRING, SOURCE(query), .max = 65536, .default_text = "", .documentation = QUERY_DOC},                                            \
    {S ".tls", TYPE_BOOL, SOURCE(tls_enable), .default_text = "false", .documentation = "TLS to the server (http: the URL decides)"},                \
    {S ".starttls", TYPE_BOOL, SOURCE(starttls), .default_text = "false", .documentation = "ldap: TLS on the plain port, by StartTLS, in place of ldaps"}, \
    {S ".tls_verify", TYPE_BOOL, SOURCE(tls_verify), .default_text = "true", .documentation = "the server's certificate must be good, and have server's name in it"},              \
    {S ".tls_ca_file", TYPE_STRING, SOURCE(tls_ca_file), .max = 4096, .default_text = "", .documentation = "who vouches for it; empty: the system's list"}, \
    {S ".tls_certificate_file", TYPE_STRING, SOURCE(tls_certificate_file), .max = 4096, .default_text = "", .documentation = "our certificate"},     \
    {S ".tls_key_file", TYPE_STRING, SOURCE(tls_key_file), .max = 4096, .default_text = "", .documentation = "and its key"},                         \
    {S ".base_dn", TYPE_STRING, SOURCE(base_dn), .max = 4096, .default_text = "",                                                                      \
     .documentation = "ldap: the client's entry, \"uid=${username},ou=people,dc=example\"; with filter: where to search below"},                       \
    {S ".filter", TYPE_STRING, SOURCE(filter), .max = 4096, .default_text = "", .documentation = "ldap: \"(&(objectClass=person)(mail=${username}))\"; empty: base_dn is the entry"}

static const struct schema_key keys[] = {
    {"authentication.chain", TYPE_STRING, GLOBAL(chain), .max = 4096, .default_text = "",
     .documentation = "names of sections in the order they are asked, \"devices, staff\"; those not named are not asked. Empty: all, by name"},
    {"authentication.timeout", TYPE_DURATION, GLOBAL(timeout_ms), .unit_us = SCHEMA_MS, .min = 100, .max = 60000, .default_text = "5s",
     .documentation = "how long a login may take in all; keep it below the listeners' connect_timeout"},
    {"authentication.hash_threads", TYPE_UNSIGNED, GLOBAL(hash_threads), .min = 1, .max = 256, .words = automatic, .default_text = "auto",
     .documentation = "threads that hash passwords and check tokens, below the shards in priority; auto: half as many as there are processors"},
    {"authentication.cache_ttl", TYPE_DURATION, GLOBAL(cache_ttl_ms), .unit_us = SCHEMA_MS, .max = 86400000, .default_text = "1m",
     .documentation = "how long a client that was let in is let in again without asking; 0: always ask. Emptied by a reload"},
    {"authentication.cache_negative_ttl", TYPE_DURATION, GLOBAL(cache_negative_ttl_ms), .unit_us = SCHEMA_MS, .max = 86400000, .default_text = "2s",
     .documentation = "how long the same wrong login is refused without asking; 0: always ask"},
    {"authentication.cache_size", TYPE_UNSIGNED, GLOBAL(cache_max), .max = 100000000, .default_text = "100000", .documentation = "verdicts remembered, about 300 bytes each"},
    {"authentication.failures_max", TYPE_UNSIGNED, GLOBAL(failures_max), .max = 4000, .words = unlimited, .default_text = "100",
     .documentation = "failed logins of one address (IPv6: one /64) within failures_window; then it is refused without asking; infinity: no limit. Behind a proxy without PROXY "
                      "protocol all clients have one address"},
    {"authentication.failures_window", TYPE_DURATION, GLOBAL(failures_window_s), .unit_us = SCHEMA_S, .min = 1, .max = 86400, .default_text = "1m",
     .documentation = "the time in which failures_max leak away"},
    {"authentication.open_listeners", TYPE_STRING, GLOBAL(open_listeners), .max = 4096, .default_text = "",
     .documentation = "listeners whose clients need not prove anything, such as \"unix.*\"; empty: none"},

    SECTION_KEYS("authentication.NAME", backends, "who is asked", "postgresql, mysql: \"SELECT password_hash, salt, is_superuser FROM users WHERE name = ${username}\"; redis: "
                                                                  "\"HMGET mqtt_user:${username} password_hash salt is_superuser\""),
    {"authentication.NAME.mechanism", TYPE_ENUM, SOURCE(mechanism), .words = mechanisms, .default_text = "password_based",
     .documentation = "built_in_database: scram is MQTT 5's enhanced authentication with SCRAM-SHA-256"},
    {"authentication.NAME.user_id_type", TYPE_ENUM, SOURCE(user_id_type), .words = user_ids, .default_text = "username",
     .documentation = "password_file, built_in_database: what users are called by"},
    {"authentication.NAME.file", TYPE_STRING, SOURCE(file), .max = 4096, .default_text = "",
     .documentation = "password_file: as `ringmq passwd` or mosquitto_passwd writes it; built_in_database: empty is node.data_dir/users-NAME.jsonl"},
    {"authentication.NAME.bootstrap_file", TYPE_STRING, SOURCE(bootstrap_file), .max = 4096, .default_text = "",
     .documentation = "built_in_database: users to import at start, CSV or JSON; those who are there already stay as they are"},
    {"authentication.NAME.password_hash_algorithm", TYPE_ENUM, SOURCE(hash_algorithm), .words = algorithms, .default_text = "encoded",
     .documentation = "how databases have stored passwords; encoded: hashes that say it themselves, such as $argon2id$…, $2b$…, $7$… (those are always understood)"},
    {"authentication.NAME.salt_position", TYPE_ENUM, SOURCE(salt_position), .words = salts, .default_text = "prefix", .documentation = "of md5, sha, sha256, sha512"},
    {"authentication.NAME.mac_fun", TYPE_ENUM, SOURCE(mac_fun), .words = macs, .default_text = "sha256", .documentation = "of pbkdf2"},
    {"authentication.NAME.iterations", TYPE_UNSIGNED, SOURCE(iterations), .min = 1, .max = PASSWORD_PBKDF2_ITERATIONS_MAX, .default_text = "4096", .documentation = "of pbkdf2"},
    {"authentication.NAME.dk_length", TYPE_UNSIGNED, SOURCE(key_bytes), .max = 200, .words = automatic, .default_text = "auto", .documentation = "of pbkdf2: bytes of the hash; auto: as many as mac_fun has"},
    {"authentication.NAME.method", TYPE_ENUM, SOURCE(method), .words = methods, .default_text = "post", .documentation = "http: post or get"},
    {"authentication.NAME.url", TYPE_STRING, SOURCE(url), .max = 8192, .default_text = "", .documentation = "http: \"https://auth.example/login?u=${username}\"; no placeholder in the host"},
    {"authentication.NAME.headers", TYPE_SECRET, SOURCE(headers), .max = 8192, .default_text = "", .documentation = "http: \"Name: value, Name: value\""},
    {"authentication.NAME.body", TYPE_STRING, SOURCE(body), .max = 65536, .default_text = "",
     .documentation = "http with post: placeholders are escaped as the content-type wants it; empty: username, password and clientid"},
    {"authentication.NAME.from", TYPE_ENUM, SOURCE(from), .words = froms, .default_text = "password", .documentation = "jwt: where the token is"},
    {"authentication.NAME.secret", TYPE_SECRET, SOURCE(secret), .max = 65536, .default_text = "", .documentation = "jwt: of HS256, HS384, HS512"},
    {"authentication.NAME.secret_base64_encoded", TYPE_BOOL, SOURCE(secret_base64), .default_text = "false", .documentation = "jwt: secret is written in base64"},
    {"authentication.NAME.public_key", TYPE_STRING, SOURCE(public_key), .max = 4096, .default_text = "", .documentation = "jwt: a PEM file with a public key or certificate"},
    {"authentication.NAME.jwks_endpoint", TYPE_STRING, SOURCE(jwks_url), .max = 8192, .default_text = "", .documentation = "jwt: the URL of a key set"},
    {"authentication.NAME.refresh_interval", TYPE_DURATION, SOURCE(refresh_s), .unit_us = SCHEMA_S, .min = 10, .max = 86400, .default_text = "5m", .documentation = "jwt: how old the key set may get"},
    {"authentication.NAME.algorithms", TYPE_STRING, SOURCE(algorithms), .max = 200, .default_text = "", .documentation = "jwt: \"RS256, ES256\"; empty: all the keys are good for"},
    {"authentication.NAME.verify_claims", TYPE_STRING, SOURCE(claims), .max = 8192, .default_text = "", .documentation = "jwt: what claims must be, \"sub=${username}, iss=me\""},
    {"authentication.NAME.acl_claim_name", TYPE_STRING, SOURCE(acl_claim), .max = 100, .default_text = "acl", .documentation = "jwt: the claim with rules; empty: none"},
    {"authentication.NAME.disconnect_after_expire", TYPE_BOOL, SOURCE(disconnect_after_expire), .default_text = "true", .documentation = "jwt: the client goes when its token ends"},
    {"authentication.NAME.ldap_method", TYPE_ENUM, SOURCE(ldap_method), .words = ldap_methods, .default_text = "bind", .documentation = "ldap: bind as the entry, or compare its hash here"},
    {"authentication.NAME.password_attribute", TYPE_STRING, SOURCE(password_attribute), .max = 100, .default_text = "userPassword", .documentation = "ldap with hash"},
    {"authentication.NAME.is_superuser_attribute", TYPE_STRING, SOURCE(superuser_attribute), .max = 100, .default_text = "", .documentation = "ldap: TRUE there makes a superuser; empty: nobody is"},

    {"authorization.chain", TYPE_STRING, GLOBAL(authorization_chain), .max = 4096, .default_text = "", 
     .documentation = "as authentication.chain, of the sections authorization.NAME; with the words token (rules that came with the login) and file (authorization.rules and "
                      "authorization.file) it says when those are looked at, too: \"web, token, file\". Where it does not name them, they come first"},
    {"authorization.refresh", TYPE_DURATION, GLOBAL(rules_ttl_ms), .unit_us = SCHEMA_MS, .max = 86400000, .default_text = "1m",
     .documentation = "how old the rules of a connected client may get before its sources are asked again; 0: they are those of its login"},
    SECTION_KEYS("authorization.NAME", authorizers, "where the rules of a client are", "postgresql, mysql: \"SELECT permission, action, topic FROM acl WHERE name = ${username}\" (also qos, retain); redis: "
                                                                                        "\"HGETALL mqtt_acl:${username}\""),
    {"authorization.NAME.ask", TYPE_ENUM, SOURCE(ask), .words = asks, .default_text = "auto",
     .documentation = "login: once for the client's rules, when it logs in, and every authorization.refresh; topic: when it first publishes or subscribes to a topic, and again when "
                      "authorization.cache.ttl is over; auto: http topic, the others login"},
    {"authorization.NAME.method", TYPE_ENUM, SOURCE(method), .words = methods, .default_text = "post", .documentation = "http: post or get"},
    {"authorization.NAME.url", TYPE_STRING, SOURCE(url), .max = 8192, .default_text = "", .documentation = "http: \"https://auth.example/acl?u=${username}&t=${topic}\"; no placeholder in the host"},
    {"authorization.NAME.headers", TYPE_SECRET, SOURCE(headers), .max = 8192, .default_text = "", .documentation = "http: \"Name: value, Name: value\""},
    {"authorization.NAME.body", TYPE_STRING, SOURCE(body), .max = 65536, .default_text = "",
     .documentation = "http with post: placeholders are escaped as the content-type wants it; empty: username, clientid, action, topic, qos and retain"},
    {"authorization.NAME.publish_attribute", TYPE_STRING, SOURCE(publish_attribute), .max = 100, .default_text = "mqttPublishTopic", .documentation = "ldap: topics the entry may publish to"},
    {"authorization.NAME.subscribe_attribute", TYPE_STRING, SOURCE(subscribe_attribute), .max = 100, .default_text = "mqttSubscriptionTopic", .documentation = "ldap: filters it may subscribe to"},
    {"authorization.NAME.all_attribute", TYPE_STRING, SOURCE(all_attribute), .max = 100, .default_text = "mqttPubSubTopic", .documentation = "ldap: both"},
};

static const struct schema_section sections[] = {
    {"authentication", "Who may connect (docs/access-control.md). As soon as a section authentication.NAME is there, nobody comes in without being let in by one."},
    {"authentication.NAME", "One source of users."},
    {"authorization.NAME", "Databases and HTTP servers that are asked what a client may do: for its rules when it logs in, or about each topic."},
};

static const struct schema_group groups[] = {
    {.path = "authentication.NAME", .item_bytes = sizeof(struct auth_source_settings), .name_offset = offsetof(struct auth_source_settings, name),
     .items_offset = offsetof(struct auth_settings, sources), .count_offset = offsetof(struct auth_settings, sources_count), .max = 32},
    {.path = "authorization.NAME", .item_bytes = sizeof(struct auth_source_settings), .name_offset = offsetof(struct auth_source_settings, name),
     .items_offset = offsetof(struct auth_settings, authorizers), .count_offset = offsetof(struct auth_settings, authorizers_count), .max = 32},
};

static bool guards(const void *settings)
{
    const struct auth_settings *auth = settings;
    for (uint32_t i = 0; i < auth->sources_count; i++)
        if (auth->sources[i].enable) return true;
    return false;
}

/* What a backend cannot do without. NULL: it has it. */
static const char *missing_of(const struct auth_source_settings *source, bool authorizer)
{
    switch (source->backend) {
    case AUTH_BACKEND_PASSWORD_FILE: return *source->file ? NULL : "file";
    case AUTH_BACKEND_HTTP: return *source->url ? NULL : "url";
    case AUTH_BACKEND_JWT: return *source->secret || *source->public_key || *source->jwks_url ? NULL : "secret, public_key or jwks_endpoint";
    case AUTH_BACKEND_POSTGRESQL:
    case AUTH_BACKEND_MYSQL:
    case AUTH_BACKEND_REDIS: return *source->query ? NULL : "query";
    case AUTH_BACKEND_LDAP: return *source->base_dn ? NULL : "base_dn";
    default: return NULL;
    }
}

static const char *check(const void *settings, char *buffer, size_t bytes)
{
    const struct auth_settings *auth = settings;
    for (uint32_t i = 0; i < auth->sources_count + auth->authorizers_count; i++) {
        bool authorizer = i >= auth->sources_count;
        const struct auth_source_settings *source = authorizer ? &auth->authorizers[i - auth->sources_count] : &auth->sources[i];
        const char *missing = source->enable ? missing_of(source, authorizer) : NULL, *section = authorizer ? "authorization" : "authentication";
        if (missing) {
            snprintf(buffer, bytes, "%s.%s: backend %s needs %s", section, source->name, auth_backend_names[source->backend], missing);
            return buffer;
        }
        if (source->enable && !*source->tls_certificate_file != !*source->tls_key_file) {
            snprintf(buffer, bytes, "%s.%s: tls_certificate_file and tls_key_file go together", section, source->name);
            return buffer;
        }
        if (authorizer && strcmp(source->name, "token") == 0) { /* `file` cannot be one: authorization.file is a key */
            snprintf(buffer, bytes, "authorization.%s: the name means something else in authorization.chain; call the section otherwise", source->name);
            return buffer;
        }
        if (authorizer && source->backend == AUTH_BACKEND_HTTP && source->ask == AUTH_ASK_LOGIN) {
            snprintf(buffer, bytes, "authorization.%s: backend http is asked about each topic: leave out ask, or write topic (rules of a login come with the login's own answer)", source->name);
            return buffer;
        }
        if (source->mechanism == AUTH_MECHANISM_SCRAM && source->backend != AUTH_BACKEND_BUILT_IN) {
            snprintf(buffer, bytes, "authentication.%s: mechanism scram is for backend built_in_database", source->name);
            return buffer;
        }
    }
    return NULL;
}

const struct schema_part auth_configuration = {
    .name = "auth", .keys = keys, .keys_count = SCHEMA_COUNT(keys), .sections = sections, .sections_count = SCHEMA_COUNT(sections),
    .groups = groups, .groups_count = SCHEMA_COUNT(groups), .settings_bytes = sizeof(struct auth_settings), .guards = guards, .check = check};
