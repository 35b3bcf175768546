/* template.h - texts with placeholders: "SELECT … WHERE name = ${username}", "http://…?user=${username}", "uid=${username},ou=people".
 *
 *     ${username} ${clientid} (or ${client_id}) ${password} ${peerhost} ${listener} ${cert_common_name} ${cert_subject}
 *     ${client_attrs.NAME} (or ${attribute.NAME}); $${ stands for ${
 *     ${action} ${topic} ${qos} ${retain} where a source is asked about each topic (authorization.NAME.ask); empty elsewhere
 *
 * A value never becomes part of the text's syntax: each place says how it is written there. In SQL it does not get into the text at all
 * but travels beside it as a parameter.
 * Owner: whoever compiled it. Threads: immutable. */
#ifndef RINGMQ_FEATURES_AUTH_TEMPLATE_H
#define RINGMQ_FEATURES_AUTH_TEMPLATE_H

#include "features/auth/auth.h"

enum template_escape {
    TEMPLATE_PLAIN,
    TEMPLATE_URL,         /* percent-encoding: all but unreserved characters (RFC 3986 §2.3) */
    TEMPLATE_JSON,        /* the inside of a JSON string */
    TEMPLATE_LDAP_FILTER, /* RFC 4515 §3 */
    TEMPLATE_LDAP_DN,     /* RFC 4514 §2.4 */
};

enum template_marks { TEMPLATE_MARKS_DOLLAR /* $1, $2: PostgreSQL */, TEMPLATE_MARKS_QUESTION /* ?: MySQL */ };

#define TEMPLATE_PARAMETERS_MAX 32

struct template;

/* NULL with a sentence in ret_error. */
struct template *template_compile(struct span text, char *ret_error, size_t error_bytes);
void template_release(struct template *template); /* accepts NULL */
bool template_uses_password(const struct template *template);
/* Appends. What the client does not have is an empty text. */
void template_render(const struct template *template, const struct auth_query *query, enum template_escape escape, struct auth_text *text);
/* As SQL: placeholders become marks. A quoted placeholder ('${username}', as EMQX users know it) loses its quotes. False with a
 * sentence in ret_error: too many, or one within quotes beside other text, where it would be no placeholder for the database but a text. */
bool template_sql(const struct template *template, enum template_marks marks, struct auth_text *ret_sql, char *ret_error, size_t error_bytes);
/* The values in the order of the marks; .data NULL: the client has none (SQL's NULL). Returns how many. */
uint32_t template_parameters(const struct template *template, const struct auth_query *query, struct span ret_values[TEMPLATE_PARAMETERS_MAX]);

/* One escaped value, appended. */
void template_escape(struct span value, enum template_escape escape, struct auth_text *text);

#endif
