/* module_sql.h - what the sources that speak SQL have in common: a server and a query, compiled once into a statement with marks for its values.
 *
 * Authentication's query answers a row with password_hash and maybe salt and is_superuser; authorization's any number with permission, action, topic and
 * maybe qos and retain. Values are bound to the marks, never put into the text.
 * Owner: the instance of a source (struct auth_source_kind). Threads: constant between open and close. */
#ifndef RINGMQ_FEATURES_AUTH_MODULE_SQL_H
#define RINGMQ_FEATURES_AUTH_MODULE_SQL_H

#include "features/auth/module.h"

struct auth_sql {
    const struct auth_source_settings *settings;
    const struct auth_tools *tools;
    struct template *query;
    struct auth_text sql;
    char host[256], port[16]; /* a host that begins with a slash: a socket, or its folder */
};

static inline void auth_sql_close(void *instance)
{
    struct auth_sql *sql = instance;
    sql->tools->template_release(sql->query);
    sql->tools->text_release(&sql->sql);
    free(sql);
}

/* NULL with a sentence in ret_error. */
static inline struct auth_sql *auth_sql_open(const struct auth_source_settings *settings, const struct auth_tools *tools, const char *backend,
                                             const char *default_port, enum template_marks marks, char *ret_error, size_t error_bytes)
{
    struct auth_sql *sql = calloc(1, sizeof *sql);
    sql->settings = settings;
    sql->tools = tools;
    bool fine = auth_server_parse(settings->server, default_port, sql->host, sql->port);
    if (!fine) snprintf(ret_error, error_bytes, "server must be HOST, HOST:PORT or the path of a socket (PostgreSQL: of its folder)");
    if (fine && !*settings->query) fine = (snprintf(ret_error, error_bytes, "backend %s needs `query`", backend), false);
    if (fine) sql->query = tools->template_compile(span_of_string(settings->query), ret_error, error_bytes);
    if (sql->query && tools->template_sql(sql->query, marks, &sql->sql, ret_error, error_bytes)) return sql;
    auth_sql_close(sql);
    return NULL;
}

#endif
