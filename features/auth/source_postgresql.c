/* source_postgresql.c - asks PostgreSQL: one prepared statement per connection, values as parameters (module_sql.h).
 * libpq is used without blocking, so that every wait ends at the deadline. A connection that has died unnoticed is made anew, once. */
#include <libpq-fe.h>
#include <poll.h>

#include "features/auth/module_sql.h"

#define STATEMENT "ringmq"

struct link {
    struct auth_sql *pg;
    PGconn *connection; /* NULL: none */
    bool by_value;      /* the last question failed because of a value of the client's (a name where the query has a number) */
};

static void *pg_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    return auth_sql_open(settings, tools, "postgresql", "5432", TEMPLATE_MARKS_DOLLAR, ret_error, error_bytes);
}

static void *pg_attach(void *instance)
{
    struct link *link = calloc(1, sizeof *link);
    link->pg = instance;
    return link;
}

static void drop(struct link *link)
{
    PQfinish(link->connection);
    link->connection = NULL;
}

static void pg_detach(void *instance)
{
    struct link *link = instance;
    drop(link);
    free(link);
}

/* False: the deadline came first. */
static bool wait_for(struct link *link, short events, uint64_t deadline_ms)
{
    struct pollfd entry = {.fd = PQsocket(link->connection), .events = events};
    uint64_t now_ms = link->pg->tools->now_ms();
    if (entry.fd < 0 || now_ms >= deadline_ms) return false;
    return poll(&entry, 1, (int)(deadline_ms - now_ms)) > 0;
}

/* The first result, and the connection free again. NULL: time or connection is gone. */
static PGresult *result_of(struct link *link, uint64_t deadline_ms)
{
    PGresult *first = NULL;
    for (;;) {
        for (int flush; (flush = PQflush(link->connection)) != 0;)
            if (flush < 0 || !wait_for(link, POLLOUT | POLLIN, deadline_ms) || !PQconsumeInput(link->connection)) goto lost;
        while (PQisBusy(link->connection))
            if (!wait_for(link, POLLIN, deadline_ms) || !PQconsumeInput(link->connection)) goto lost;
        PGresult *result = PQgetResult(link->connection);
        if (!result) return first;
        if (first)
            PQclear(result);
        else
            first = result;
    }
lost:
    PQclear(first);
    return NULL;
}

/* A NOTICE may quote what was asked; left to itself the library writes it to our standard error. */
static void pass_over(void *context, const PGresult *result) {}

static void first_line(const char *message, char *ret_error, size_t error_bytes)
{
    snprintf(ret_error, error_bytes, "%.*s", (int)strcspn(message, "\n"), message);
    if (!*ret_error) snprintf(ret_error, error_bytes, "timed out");
}

static bool connect_now(struct link *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    const struct auth_source_settings *settings = link->pg->settings;
    const char *mode = settings->tls_enable ? settings->tls_verify ? "verify-full" : "require" : "disable";
    const char *const names[] = {"host", "port", "dbname", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", NULL};
    const char *const values[] = {link->pg->host, link->pg->port, settings->database, settings->username, settings->password, mode, settings->tls_enable && settings->tls_verify ? auth_ca_file(settings) : "",
                                  settings->tls_certificate_file, settings->tls_key_file, "ringmq", NULL};
    if (link->connection && PQstatus(link->connection) == CONNECTION_OK) return true;
    drop(link);
    link->connection = PQconnectStartParams(names, values, 0);
    if (link->connection) PQsetNoticeReceiver(link->connection, pass_over, NULL);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (link->connection && PQstatus(link->connection) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        if (!wait_for(link, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) break;
        state = PQconnectPoll(link->connection);
    }
    bool fine = state == PGRES_POLLING_OK && PQsetnonblocking(link->connection, 1) == 0;
    if (!fine) first_line(link->connection ? PQerrorMessage(link->connection) : "", ret_error, error_bytes);
    if (fine) {
        PGresult *result = PQsendPrepare(link->connection, STATEMENT, link->pg->sql.data, 0, NULL) ? result_of(link, deadline_ms) : NULL;
        fine = PQresultStatus(result) == PGRES_COMMAND_OK;
        if (!fine) first_line(PQerrorMessage(link->connection), ret_error, error_bytes);
        PQclear(result);
    }
    if (!fine) drop(link);
    return fine;
}

/* The connection is good, but not our statement: somebody between us and the server has forgotten it, or a table has changed its form. */
static bool statement_lost(const char *state) { return strcmp(state, "26000") == 0 || strcmp(state, "0A000") == 0; }

static PGresult *ask_once(struct link *link, const struct auth_query *query, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct span values[TEMPLATE_PARAMETERS_MAX];
    const char *texts[TEMPLATE_PARAMETERS_MAX];
    struct auth_text copies[TEMPLATE_PARAMETERS_MAX] = {0};
    link->by_value = false;
    if (!connect_now(link, deadline_ms, ret_error, error_bytes)) return NULL;
    uint32_t count = link->pg->tools->template_parameters(link->pg->query, query, values);
    for (uint32_t i = 0; i < count; i++) { /* with a NUL behind them */
        if (values[i].data) link->pg->tools->text_add(&copies[i], values[i]);
        texts[i] = values[i].data ? copies[i].data : NULL;
    }
    PGresult *result = PQsendQueryPrepared(link->connection, STATEMENT, (int)count, texts, NULL, NULL, 0) ? result_of(link, deadline_ms) : NULL;
    for (uint32_t i = 0; i < count; i++)
        link->pg->tools->text_release(&copies[i]);
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK) return result;
    /* The server's sentence may quote a value: only its code is told. */
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (state) snprintf(ret_error, error_bytes, "the query failed (SQLSTATE %s)", state);
    else snprintf(ret_error, error_bytes, link->pg->tools->now_ms() >= deadline_ms ? "timed out" : "the connection was lost");
    link->by_value = state && strncmp(state, "22", 2) == 0; /* data exceptions */
    if (!state || PQstatus(link->connection) != CONNECTION_OK || strncmp(state, "57", 2) == 0 || statement_lost(state)) drop(link);
    PQclear(result);
    return NULL;
}

static PGresult *ask(struct link *link, const struct auth_query *query, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    bool was_open = link->connection != NULL;
    PGresult *result = ask_once(link, query, deadline_ms, ret_error, error_bytes);
    if (!result && was_open && !link->connection && link->pg->tools->now_ms() < deadline_ms) result = ask_once(link, query, deadline_ms, ret_error, error_bytes);
    return result;
}

static bool has_nul(const struct auth_query *query)
{
    return (query->user_name.bytes && memchr(query->user_name.data, 0, query->user_name.bytes)) || (query->password.bytes && memchr(query->password.data, 0, query->password.bytes));
}

static struct span field(const PGresult *result, int row, const char *name)
{
    int column = PQfnumber(result, name);
    if (column < 0 || PQgetisnull(result, row, column)) return span_of(NULL, 0);
    return span_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
}

static enum auth_verdict pg_authenticate(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct auth_sql *pg = instance;
    char error[160] = "";
    if (has_nul(query)) return pg->tools->say(answer, AUTH_DENY, "a NUL byte in user name or password");
    PGresult *result = ask(thread, query, deadline_ms, error, sizeof error);
    if (!result) return pg->tools->say(answer, ((struct link *)thread)->by_value ? AUTH_NEXT : AUTH_DOWN, "%s", error);
    enum auth_verdict verdict;
    if (PQfnumber(result, "password_hash") < 0)
        verdict = pg->tools->say(answer, AUTH_DOWN, "the query answers no column password_hash");
    else if (PQntuples(result) == 0 || !field(result, 0, "password_hash").data)
        verdict = pg->tools->say(answer, AUTH_NEXT, "no such user");
    else
        verdict = auth_check_row(pg->tools, pg->settings, query, field(result, 0, "password_hash"), field(result, 0, "salt"), field(result, 0, "is_superuser"), answer);
    PQclear(result);
    return verdict;
}

static enum auth_verdict pg_authorize(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct auth_sql *pg = instance;
    char error[160] = "";
    if (has_nul(query)) return pg->tools->say(answer, AUTH_DENY, "a NUL byte in user name or password");
    PGresult *result = ask(thread, query, deadline_ms, error, sizeof error);
    if (!result) return pg->tools->say(answer, ((struct link *)thread)->by_value ? AUTH_DENY : AUTH_DOWN, "%s", error);
    bool columns = PQfnumber(result, "permission") >= 0 && PQfnumber(result, "action") >= 0 && PQfnumber(result, "topic") >= 0;
    const char *wrong = NULL;
    for (int row = 0; columns && !wrong && row < PQntuples(result); row++)
        wrong = auth_rule_row(pg->tools, answer, field(result, row, "permission"), field(result, row, "action"), field(result, row, "topic"), field(result, row, "qos"),
                              field(result, row, "retain"));
    PQclear(result);
    return columns ? auth_rules_verdict(pg->tools, answer, wrong) : pg->tools->say(answer, AUTH_DOWN, "the query must answer permission, action and topic");
}

static bool pg_probe(void *instance, void *thread, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct link *link = thread;
    drop(link); /* what is left of it may be half dead */
    return connect_now(link, deadline_ms, ret_error, error_bytes);
}

AUTH_MODULE = {.abi = AUTH_SOURCE_ABI, .name = "postgresql", .closed = true, .open = pg_open, .close = auth_sql_close, .attach = pg_attach, .detach = pg_detach,
               .authenticate = pg_authenticate, .authorize = pg_authorize, .probe = pg_probe};
