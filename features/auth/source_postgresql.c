/* source_postgresql.c - asks PostgreSQL: one prepared statement per connection, values as parameters (module_sql.h).
 * libpq is used without blocking, so that every wait ends at the deadline; it is given addresses, for its look-ups of names know no end. Rows are taken one by one,
 * and no more comes to the library than an answer may have (sluice.h).
 * A connection that has died unnoticed is made anew, once. */
#include <libpq-fe.h>
#include <errno.h>
#include <poll.h>

#include "features/auth/module_sql.h"
#include "features/auth/sluice.h"

#define STATEMENT "ringmq"

struct link {
    struct auth_sql *pg;
    PGconn *connection; /* NULL: none */
    struct sluice sluice; /* open with the connection */
    bool too_large;     /* the last question failed because of its answer's size */
    bool by_value;      /* or because of a value of the client's (a name where the query has a number) */
};

static void *pg_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    return auth_sql_open(settings, tools, "postgresql", "5432", TEMPLATE_MARKS_DOLLAR, ret_error, error_bytes);
}

static void *pg_attach(void *instance)
{
    struct link *link = calloc(1, sizeof *link);
    link->pg = instance;
    sluice_init(&link->sluice);
    return link;
}

static void drop(struct link *link)
{
    PQfinish(link->connection);
    sluice_close(&link->sluice);
    link->connection = NULL;
}

static void pg_detach(void *instance)
{
    struct link *link = instance;
    drop(link);
    free(link);
}

/* False: the deadline came first, or the answer is too large. */
static bool wait_for(struct link *link, short events, uint64_t deadline_ms)
{
    int library = PQsocket(link->connection);
    uint64_t now_ms = link->pg->tools->now_ms();
    if (library < 0 || now_ms >= deadline_ms) return false;
    if (sluice_wait(&link->sluice, library, events, (int)(deadline_ms - now_ms))) return true;
    link->too_large = sluice_spent(&link->sluice);
    return false;
}

static void expect_answer(struct link *link)
{
    link->too_large = false;
    sluice_allow(&link->sluice, link->pg->settings->answer_bytes_max);
}

/* The next result. NULL with *ret_lost: time or connection is gone, or the answer is too large; else that was all, and the connection is free again. */
static PGresult *next_result(struct link *link, uint64_t deadline_ms, bool *ret_lost)
{
    *ret_lost = true;
    for (int flush; (flush = PQflush(link->connection)) != 0;)
        if (flush < 0 || !wait_for(link, POLLOUT | POLLIN, deadline_ms) || !PQconsumeInput(link->connection)) return NULL;
    while (PQisBusy(link->connection))
        if (!wait_for(link, POLLIN, deadline_ms) || !PQconsumeInput(link->connection)) return NULL;
    *ret_lost = false;
    return PQgetResult(link->connection);
}

/* The first result, and the connection free again. NULL: it is lost. */
static PGresult *result_of(struct link *link, uint64_t deadline_ms)
{
    PGresult *first = NULL, *result;
    bool lost;
    while ((result = next_result(link, deadline_ms, &lost)))
        if (first) PQclear(result);
        else first = result;
    if (lost) PQclear(first);
    return lost ? NULL : first;
}

/* A NOTICE may quote what was asked; left to itself the library writes it to our standard error. */
static void pass_over(void *context, const PGresult *result) {}

static void first_line(const char *message, char *ret_error, size_t error_bytes)
{
    snprintf(ret_error, error_bytes, "%.*s", (int)strcspn(message, "\n"), message);
    if (!*ret_error) snprintf(ret_error, error_bytes, "timed out");
}

/* A host's addresses, and the host as often (its name is what the certificate must have). False: a sentence. */
static bool find_server(struct link *link, uint64_t deadline_ms, struct auth_text *ret_hosts, struct auth_text *ret_addresses, char *ret_error, size_t error_bytes)
{
    const struct auth_tools *tools = link->pg->tools;
    struct span host = span_of_string(link->pg->host);
    tools->text_add(ret_hosts, host);
    if (host.data[0] == '/') return true;
    if (!tools->resolve(link->pg->host, deadline_ms, ret_addresses, ret_error, error_bytes)) return false;
    for (size_t i = 0; i < ret_addresses->bytes; i++) {
        if (ret_addresses->data[i] != ',') continue;
        tools->text_add(ret_hosts, SPAN_LITERAL(","));
        tools->text_add(ret_hosts, host);
    }
    return true;
}

static PGconn *begin_connecting(struct link *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    const struct auth_source_settings *settings = link->pg->settings;
    const char *mode = settings->tls_enable ? settings->tls_verify ? "verify-full" : "require" : "disable", *authorities = settings->tls_enable && settings->tls_verify ? auth_ca_file(settings) : "";
    struct auth_text hosts = {0}, addresses = {0};
    PGconn *connection = NULL;
    if (find_server(link, deadline_ms, &hosts, &addresses, ret_error, error_bytes)) {
        const char *const names[] = {"host", "hostaddr", "port", "dbname", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey", "gssencmode", "application_name", NULL};
        const char *const values[] = {hosts.data, addresses.data ? addresses.data : "", link->pg->port, settings->database, settings->username, settings->password, mode, authorities,
                                      settings->tls_certificate_file, settings->tls_key_file, "disable" /* it asks name servers, too */, "ringmq", NULL};
        connection = PQconnectStartParams(names, values, 0);
        *ret_error = '\0';
    }
    if (connection) PQsetNoticeReceiver(connection, pass_over, NULL);
    link->pg->tools->text_release(&hosts);
    link->pg->tools->text_release(&addresses);
    return connection;
}

static bool connect_now(struct link *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    if (link->connection && PQstatus(link->connection) == CONNECTION_OK) return true;
    drop(link);
    link->connection = begin_connecting(link, deadline_ms, ret_error, error_bytes);
    if (!link->connection && *ret_error) return false;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (link->connection && PQstatus(link->connection) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        if (!wait_for(link, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) break;
        state = PQconnectPoll(link->connection);
    }
    bool fine = state == PGRES_POLLING_OK && PQsetnonblocking(link->connection, 1) == 0;
    if (!fine) first_line(link->connection ? PQerrorMessage(link->connection) : "", ret_error, error_bytes);
    if (fine && !sluice_open(&link->sluice, PQsocket(link->connection))) {
        fine = false;
        snprintf(ret_error, error_bytes, "no pair of sockets: %s", strerror(errno));
    }
    if (fine) {
        expect_answer(link);
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

/* What becomes of the rows of an answer: called with each, and once with none to see the columns when there is no row. NULL, or what is wrong with it: the rest is
 * passed over. */
struct reader {
    const char *(*row)(struct reader *reader, const PGresult *result);
    struct auth_sql *pg;
    struct auth_answer *answer;
    const struct auth_query *query;
    enum auth_verdict verdict; /* authentication: */
    const char *wrong;         /* authorization: a rule */
    bool columns;              /* those we need are there */
    bool begun;                /* something has been read */
};

static const char *why_none(const struct link *link, uint64_t deadline_ms) { return link->pg->tools->now_ms() >= deadline_ms ? "timed out" : "the connection was lost"; }

/* Reads to the end. False with a sentence. */
static bool read_answer(struct link *link, struct reader *reader, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    char state[6] = "";
    bool fine = true, lost;
    for (PGresult *result; (result = next_result(link, deadline_ms, &lost)); PQclear(result)) {
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK) {
            const char *said = PQresultErrorField(result, PG_DIAG_SQLSTATE);
            snprintf(state, sizeof state, "%s", said ? said : "");
            fine = false;
        } else if (!reader->wrong && (!reader->begun || status == PGRES_SINGLE_TUPLE)) {
            reader->wrong = reader->row(reader, result);
            reader->begun = true;
        }
    }
    if (!lost && fine) return true;
    /* The server's sentence may quote a value: only its code is told. */
    if (link->too_large) auth_too_large(link->pg->host, link->pg->settings->answer_bytes_max, ret_error, error_bytes);
    else if (*state) snprintf(ret_error, error_bytes, "the query failed (SQLSTATE %s)", state);
    else snprintf(ret_error, error_bytes, "%s", why_none(link, deadline_ms));
    link->by_value = !lost && strncmp(state, "22", 2) == 0; /* data exceptions */
    if (lost || !*state || PQstatus(link->connection) != CONNECTION_OK || strncmp(state, "57", 2) == 0 || statement_lost(state)) drop(link);
    return false;
}

static bool ask_once(struct link *link, struct reader *reader, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct span values[TEMPLATE_PARAMETERS_MAX];
    const char *texts[TEMPLATE_PARAMETERS_MAX];
    struct auth_text copies[TEMPLATE_PARAMETERS_MAX] = {0};
    link->by_value = link->too_large = false;
    if (!connect_now(link, deadline_ms, ret_error, error_bytes)) return false;
    uint32_t count = link->pg->tools->template_parameters(link->pg->query, reader->query, values);
    for (uint32_t i = 0; i < count; i++) { /* with a NUL behind them */
        if (values[i].data) link->pg->tools->text_add(&copies[i], values[i]);
        texts[i] = values[i].data ? copies[i].data : NULL;
    }
    expect_answer(link);
    bool sent = PQsendQueryPrepared(link->connection, STATEMENT, (int)count, texts, NULL, NULL, 0) && PQsetSingleRowMode(link->connection);
    for (uint32_t i = 0; i < count; i++)
        link->pg->tools->text_release(&copies[i]);
    if (sent) return read_answer(link, reader, deadline_ms, ret_error, error_bytes);
    snprintf(ret_error, error_bytes, "%s", why_none(link, deadline_ms));
    drop(link);
    return false;
}

/* False with a sentence; the reader may have got some rows. */
static bool ask(struct link *link, struct reader *reader, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    bool was_open = link->connection != NULL;
    if (ask_once(link, reader, deadline_ms, ret_error, error_bytes)) return true;
    bool again = was_open && !link->connection && !reader->begun && !link->too_large && link->pg->tools->now_ms() < deadline_ms;
    return again && ask_once(link, reader, deadline_ms, ret_error, error_bytes);
}

/* A value that is none is nobody's; an answer that is too large is this client's trouble alone. */
static enum auth_verdict unanswered(const struct link *link, struct auth_answer *answer, enum auth_verdict by_value, const char *error)
{
    answer->of_client = link->too_large;
    return link->pg->tools->say(answer, link->by_value ? by_value : AUTH_DOWN, "%s", error);
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

/* The first row is the client's; further ones are passed over. */
static const char *read_user(struct reader *reader, const PGresult *result)
{
    if (reader->begun) return NULL;
    struct auth_sql *pg = reader->pg;
    if (PQfnumber(result, "password_hash") < 0)
        reader->verdict = pg->tools->say(reader->answer, AUTH_DOWN, "the query answers no column password_hash");
    else if (PQntuples(result) == 0 || !field(result, 0, "password_hash").data)
        reader->verdict = pg->tools->say(reader->answer, AUTH_NEXT, "no such user");
    else
        reader->verdict = auth_check_row(pg->tools, pg->settings, reader->query, field(result, 0, "password_hash"), field(result, 0, "salt"), field(result, 0, "is_superuser"), reader->answer);
    return NULL;
}

static enum auth_verdict pg_authenticate(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct auth_sql *pg = instance;
    struct reader reader = {.row = read_user, .pg = pg, .answer = answer, .query = query, .verdict = AUTH_DOWN};
    char error[160] = "";
    if (has_nul(query)) return pg->tools->say(answer, AUTH_DENY, "a NUL byte in user name or password");
    if (!ask(thread, &reader, deadline_ms, error, sizeof error)) return unanswered(thread, answer, AUTH_NEXT, error);
    return reader.begun ? reader.verdict : pg->tools->say(answer, AUTH_DOWN, "the query answers no rows");
}

static const char *read_rule(struct reader *reader, const PGresult *result)
{
    reader->columns = PQfnumber(result, "permission") >= 0 && PQfnumber(result, "action") >= 0 && PQfnumber(result, "topic") >= 0;
    if (!reader->columns || PQntuples(result) == 0) return NULL;
    return auth_rule_row(reader->pg->tools, reader->answer, field(result, 0, "permission"), field(result, 0, "action"), field(result, 0, "topic"), field(result, 0, "qos"),
                         field(result, 0, "retain"));
}

static enum auth_verdict pg_authorize(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct auth_sql *pg = instance;
    struct reader reader = {.row = read_rule, .pg = pg, .answer = answer, .query = query};
    char error[160] = "";
    if (has_nul(query)) return pg->tools->say(answer, AUTH_DENY, "a NUL byte in user name or password");
    if (!ask(thread, &reader, deadline_ms, error, sizeof error)) return unanswered(thread, answer, AUTH_DENY, error);
    return reader.columns ? auth_rules_verdict(pg->tools, answer, reader.wrong) : pg->tools->say(answer, AUTH_DOWN, "the query must answer permission, action and topic");
}

static bool pg_probe(void *instance, void *thread, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct link *link = thread;
    drop(link); /* what is left of it may be half dead */
    return connect_now(link, deadline_ms, ret_error, error_bytes);
}

AUTH_MODULE = {.abi = AUTH_SOURCE_ABI, .name = "postgresql", .closed = true, .open = pg_open, .close = auth_sql_close, .attach = pg_attach, .detach = pg_detach,
               .authenticate = pg_authenticate, .authorize = pg_authorize, .probe = pg_probe};
