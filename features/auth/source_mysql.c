/* source_mysql.c - asks MariaDB or MySQL: one prepared statement per connection, values bound (module_sql.h). The
 * library's time-outs have whole seconds and are for each wait of its own: a deadline may be exceeded by one, and by more when a server sends a byte now and then. */
#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <pthread.h>

#include "features/auth/module_sql.h"

#define COLUMNS_MAX      16
#define VALUE_BYTES_MAX  4096

struct link {
    struct auth_sql *my;
    MYSQL *connection; /* NULL: none */
    MYSQL_STMT *statement;
    uint32_t columns;
    char names[COLUMNS_MAX][65];
    char values[COLUMNS_MAX][VALUE_BYTES_MAX];
    unsigned long lengths[COLUMNS_MAX];
    my_bool nulls[COLUMNS_MAX];
    bool by_value; /* the last question failed because of a value of the client's */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void start(void) { mysql_library_init(0, NULL, NULL); }

static void *my_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    pthread_once(&once, start);
    return auth_sql_open(settings, tools, "mysql", "3306", TEMPLATE_MARKS_QUESTION, ret_error, error_bytes);
}

static void *my_attach(void *instance)
{
    struct link *link = calloc(1, sizeof *link);
    link->my = instance;
    mysql_thread_init();
    return link;
}

static void drop(struct link *link)
{
    if (link->statement) mysql_stmt_close(link->statement);
    if (link->connection) mysql_close(link->connection);
    link->statement = NULL;
    link->connection = NULL;
}

static void my_detach(void *instance)
{
    drop(instance);
    free(instance);
    mysql_thread_end();
}

/* The statement's columns, by name. */
static bool describe(struct link *link)
{
    MYSQL_RES *result = mysql_stmt_result_metadata(link->statement);
    if (!result) return false;
    link->columns = mysql_num_fields(result);
    bool fine = link->columns <= COLUMNS_MAX;
    for (uint32_t i = 0; fine && i < link->columns; i++)
        snprintf(link->names[i], sizeof link->names[i], "%s", mysql_fetch_field_direct(result, i)->name);
    mysql_free_result(result);
    return fine;
}

static bool connect_now(struct link *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    const struct auth_source_settings *settings = link->my->settings;
    uint64_t now_ms = link->my->tools->now_ms();
    unsigned seconds = deadline_ms > now_ms ? (unsigned)((deadline_ms - now_ms + 999) / 1000) : 1;
    if (link->connection) return true;
    link->connection = mysql_init(NULL);
    mysql_options(link->connection, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_options(link->connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
    mysql_options(link->connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    mysql_options(link->connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    unsigned never = 0; /* Debian's library sends no file that no LOAD DATA asked for; others send whoever answers for the server any file it names */
    mysql_options(link->connection, MYSQL_OPT_LOCAL_INFILE, &never);
    if (settings->tls_enable) {
        my_bool on = 1, verify = settings->tls_verify;
        mysql_options(link->connection, MYSQL_OPT_SSL_ENFORCE, &on);
        mysql_options(link->connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
        const char *authorities = verify ? auth_ca_file(settings) : "";
        mysql_ssl_set(link->connection, *settings->tls_key_file ? settings->tls_key_file : NULL, *settings->tls_certificate_file ? settings->tls_certificate_file : NULL,
                      *authorities ? authorities : NULL, NULL, NULL);
    }
    bool socket = link->my->host[0] == '/';
    unsigned protocol = socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP; /* else the library takes "localhost" for a socket of its own choice */
    mysql_options(link->connection, MYSQL_OPT_PROTOCOL, &protocol);
    bool fine = mysql_real_connect(link->connection, socket ? NULL : link->my->host, settings->username, settings->password, settings->database,
                                   socket ? 0 : (unsigned)atoi(link->my->port), socket ? link->my->host : NULL, 0) != NULL;
    if (!fine) snprintf(ret_error, error_bytes, "%s", mysql_error(link->connection));
    if (fine) {
        link->statement = mysql_stmt_init(link->connection);
        fine = mysql_stmt_prepare(link->statement, link->my->sql.data, link->my->sql.bytes) == 0;
        if (!fine) snprintf(ret_error, error_bytes, "the query cannot be prepared (error %u)", mysql_stmt_errno(link->statement));
    }
    struct span values[TEMPLATE_PARAMETERS_MAX];
    uint32_t wanted = link->my->tools->template_parameters(link->my->query, &(struct auth_query){0}, values);
    if (fine && mysql_stmt_param_count(link->statement) != wanted)
        fine = (snprintf(ret_error, error_bytes, "a placeholder of the query stands where no value can be: within quotes, or a comment"), false);
    if (fine && !describe(link)) fine = (snprintf(ret_error, error_bytes, "the query answers no rows, or more than %d columns", COLUMNS_MAX), false);
    if (!fine) drop(link);
    return fine;
}

static bool bind_and_run(struct link *link, const struct auth_query *query)
{
    struct span values[TEMPLATE_PARAMETERS_MAX];
    MYSQL_BIND in[TEMPLATE_PARAMETERS_MAX] = {0}, out[COLUMNS_MAX] = {0};
    uint32_t count = link->my->tools->template_parameters(link->my->query, query, values);
    for (uint32_t i = 0; i < count; i++) {
        in[i].buffer_type = values[i].data ? MYSQL_TYPE_STRING : MYSQL_TYPE_NULL;
        in[i].buffer = (void *)values[i].data;
        in[i].buffer_length = values[i].bytes;
    }
    for (uint32_t i = 0; i < link->columns; i++) {
        out[i].buffer_type = MYSQL_TYPE_STRING;
        out[i].buffer = link->values[i];
        out[i].buffer_length = VALUE_BYTES_MAX;
        out[i].length = &link->lengths[i];
        out[i].is_null = &link->nulls[i];
    }
    return (count == 0 || mysql_stmt_bind_param(link->statement, in) == 0) && mysql_stmt_execute(link->statement) == 0 && mysql_stmt_bind_result(link->statement, out) == 0 &&
           mysql_stmt_store_result(link->statement) == 0;
}

/* What a server that went away, or restarted, leaves behind. */
static bool connection_lost(unsigned error)
{
    return error == CR_SERVER_GONE_ERROR || error == CR_SERVER_LOST || error == ER_UNKNOWN_STMT_HANDLER || error == ER_SERVER_SHUTDOWN ||
           error == ER_CONNECTION_KILLED || (error >= CR_MIN_ERROR && error <= CR_MAX_ERROR);
}

/* Data exceptions; and texts in another character set than the column's, which have no class of their own. */
static bool value_refused(MYSQL_STMT *statement)
{
    unsigned error = mysql_stmt_errno(statement);
    return strncmp(mysql_stmt_sqlstate(statement), "22", 2) == 0 || error == ER_INVALID_CHARACTER_STRING || error == ER_CANT_AGGREGATE_2COLLATIONS;
}

static bool ask(struct link *link, const struct auth_query *query, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    link->by_value = false;
    for (int tries = 0; tries < 2; tries++) {
        bool was_open = link->connection != NULL;
        if (!connect_now(link, deadline_ms, ret_error, error_bytes)) return false;
        if (bind_and_run(link, query)) return true;
        unsigned error = mysql_stmt_errno(link->statement);
        snprintf(ret_error, error_bytes, connection_lost(error) ? "the connection was lost (error %u)" : "the query failed (error %u)", error);
        link->by_value = value_refused(link->statement);
        if (!connection_lost(error)) return mysql_stmt_reset(link->statement), false;
        drop(link);
        if (!was_open || link->my->tools->now_ms() >= deadline_ms) return false;
    }
    return false;
}

static bool has_column(const struct link *link, const char *name)
{
    for (uint32_t i = 0; i < link->columns; i++)
        if (strcasecmp(link->names[i], name) == 0) return true;
    return false;
}

static struct span field(const struct link *link, const char *name)
{
    for (uint32_t i = 0; i < link->columns; i++)
        if (strcasecmp(link->names[i], name) == 0) return link->nulls[i] || link->lengths[i] > VALUE_BYTES_MAX ? span_of(NULL, 0) : span_of(link->values[i], link->lengths[i]);
    return span_of(NULL, 0);
}

static bool too_long(const struct link *link, const char *name)
{
    for (uint32_t i = 0; i < link->columns; i++)
        if (strcasecmp(link->names[i], name) == 0) return !link->nulls[i] && link->lengths[i] > VALUE_BYTES_MAX;
    return false;
}

/* The next row. NULL: it is there, or there is none (*ret_end). What is too long in a column that nobody asks for does not matter. */
static const char *fetch(struct link *link, const char *const *wanted, bool *ret_end)
{
    int fetched = mysql_stmt_fetch(link->statement);
    *ret_end = fetched == MYSQL_NO_DATA;
    if (fetched == MYSQL_NO_DATA || fetched == 0) return NULL;
    if (fetched != MYSQL_DATA_TRUNCATED) return "a row cannot be read";
    for (; *wanted; wanted++)
        if (too_long(link, *wanted)) return "a value of more than 4096 bytes";
    return NULL;
}

static enum auth_verdict my_authenticate(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    static const char *const wanted[] = {"password_hash", "salt", "is_superuser", NULL};
    struct auth_sql *my = instance;
    struct link *link = thread;
    char error[160] = "";
    bool none = false;
    if (!ask(link, query, deadline_ms, error, sizeof error)) return my->tools->say(answer, link->by_value ? AUTH_NEXT : AUTH_DOWN, "%s", error);
    const char *wrong = fetch(link, wanted, &none);
    enum auth_verdict verdict;
    if (!has_column(link, "password_hash")) {
        verdict = my->tools->say(answer, AUTH_DOWN, "the query answers no column password_hash");
    } else if (wrong) {
        answer->of_client = true;
        verdict = my->tools->say(answer, AUTH_DOWN, "%s", wrong);
    } else if (none || !field(link, "password_hash").data) {
        verdict = my->tools->say(answer, AUTH_NEXT, "no such user");
    } else {
        verdict = auth_check_row(my->tools, my->settings, query, field(link, "password_hash"), field(link, "salt"), field(link, "is_superuser"), answer);
    }
    mysql_stmt_free_result(link->statement);
    return verdict;
}

static enum auth_verdict my_authorize(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    static const char *const wanted[] = {"permission", "action", "topic", "qos", "retain", NULL};
    struct auth_sql *my = instance;
    struct link *link = thread;
    char error[160] = "";
    bool end = false;
    if (!ask(link, query, deadline_ms, error, sizeof error)) return my->tools->say(answer, link->by_value ? AUTH_DENY : AUTH_DOWN, "%s", error);
    bool columns = has_column(link, "permission") && has_column(link, "action") && has_column(link, "topic");
    const char *wrong = NULL;
    while (columns && !wrong && !(wrong = fetch(link, wanted, &end)) && !end)
        wrong = auth_rule_row(my->tools, answer, field(link, "permission"), field(link, "action"), field(link, "topic"), field(link, "qos"), field(link, "retain"));
    mysql_stmt_free_result(link->statement);
    return columns ? auth_rules_verdict(my->tools, answer, wrong) : my->tools->say(answer, AUTH_DOWN, "the query must answer permission, action and topic");
}

static bool my_probe(void *instance, void *thread, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    drop(thread);
    return connect_now(thread, deadline_ms, ret_error, error_bytes);
}

AUTH_MODULE = {.abi = AUTH_SOURCE_ABI, .name = "mysql", .closed = true, .open = my_open, .close = auth_sql_close, .attach = my_attach, .detach = my_detach,
               .authenticate = my_authenticate, .authorize = my_authorize, .probe = my_probe};
