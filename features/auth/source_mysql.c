/* source_mysql.c - asks MariaDB or MySQL: one prepared statement per connection, values bound (module_sql.h). Rows are taken one by one.
 *
 * The library's time-outs have whole seconds and are for each wait of its own, and its look-up of the server's name has none. So connecting is done by a thread of its
 * own (an attempt), which is waited for until the deadline and not longer; if it gets there later, the next question has the connection. And all that comes is
 * counted: a connection whose answer is late or too large is cut. A deadline may be exceeded by a second, the shortest of the library's waits. */
#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "features/auth/module_sql.h"

#define COLUMNS_MAX      16
#define VALUE_BYTES_MAX  4096

/* Of its thread until `done`, then of whoever made it; when that has abandoned it, the thread's to the end. */
struct attempt {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done, abandoned, connected;
    MYSQL *connection;
    unsigned port;
    char *host, *user, *password, *database; /* copies: the configuration may go meanwhile */
    char error[160];
};

struct link {
    struct auth_sql *my;
    struct attempt *attempt; /* to connect; NULL: none is under way */
    uint64_t deadline_ms;    /* of the question at hand */
    size_t got_bytes;        /* of its answer */
    bool too_large;
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
static _Thread_local struct link *asking;

/* In the library's ma_pvio.h, which needs much that is not installed. Told of all bytes that go (mode 1) and come, or of -1. */
int ma_pvio_register_callback(my_bool on, void (*moved)(int mode, MYSQL *mysql, const unsigned char *bytes, size_t count));

static void moved(int mode, MYSQL *mysql, const unsigned char *bytes, size_t count)
{
    struct link *link = asking;
    if (mode != 0 || !link || mysql != link->connection || (ssize_t)count <= 0) return;
    link->got_bytes += count;
    link->too_large = link->got_bytes > link->my->settings->answer_bytes_max;
    if (link->too_large || link->my->tools->now_ms() >= link->deadline_ms) shutdown(mysql_get_socket(mysql), SHUT_RDWR);
}

static void start(void)
{
    mysql_library_init(0, NULL, NULL);
    ma_pvio_register_callback(1, moved);
}

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

/* ---- connecting --------------------------------------------------------------------------------------------------- */

static void attempt_free(struct attempt *attempt)
{
    if (attempt->connection) mysql_close(attempt->connection);
    explicit_bzero(attempt->password, strlen(attempt->password));
    free(attempt->host);
    free(attempt->user);
    free(attempt->password);
    free(attempt->database);
    pthread_cond_destroy(&attempt->ended);
    pthread_mutex_destroy(&attempt->lock);
    free(attempt);
}

static void attempt_abandon(struct attempt *attempt)
{
    pthread_mutex_lock(&attempt->lock);
    bool done = attempt->done;
    attempt->abandoned = true;
    pthread_mutex_unlock(&attempt->lock);
    if (done) attempt_free(attempt);
}

static void *attempt_run(void *argument)
{
    struct attempt *attempt = argument;
    bool socket = attempt->host[0] == '/';
    mysql_thread_init();
    bool fine = mysql_real_connect(attempt->connection, socket ? NULL : attempt->host, attempt->user, attempt->password, attempt->database, socket ? 0 : attempt->port,
                                   socket ? attempt->host : NULL, 0) != NULL;
    if (!fine) snprintf(attempt->error, sizeof attempt->error, "%.150s", mysql_error(attempt->connection));
    pthread_mutex_lock(&attempt->lock);
    bool abandoned = attempt->abandoned;
    attempt->done = true;
    attempt->connected = fine;
    if (!abandoned) pthread_cond_signal(&attempt->ended);
    pthread_mutex_unlock(&attempt->lock);
    if (abandoned) attempt_free(attempt);
    mysql_thread_end();
    return NULL;
}

static void set_options(MYSQL *connection, const struct auth_sql *my)
{
    const struct auth_source_settings *settings = my->settings;
    unsigned seconds = (settings->timeout_ms + 999) / 1000, never = 0, protocol = my->host[0] == '/' ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    size_t packet_bytes = settings->answer_bytes_max + 32 * 1024 * 1024; /* moved() cuts sooner, and says why; this is for packets that are only announced */
    mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_options(connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
    mysql_options(connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    mysql_options(connection, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet_bytes);
    mysql_options(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(connection, MYSQL_OPT_LOCAL_INFILE, &never); /* Debian's library sends no file that no LOAD DATA asked for; others send whoever answers for the server any file it names */
    mysql_options(connection, MYSQL_OPT_PROTOCOL, &protocol);  /* else the library takes "localhost" for a socket of its own choice */
    if (!settings->tls_enable) return;
    my_bool on = 1, verify = settings->tls_verify;
    const char *authorities = verify ? auth_ca_file(settings) : "";
    mysql_options(connection, MYSQL_OPT_SSL_ENFORCE, &on);
    mysql_options(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    mysql_ssl_set(connection, *settings->tls_key_file ? settings->tls_key_file : NULL, *settings->tls_certificate_file ? settings->tls_certificate_file : NULL,
                  *authorities ? authorities : NULL, NULL, NULL);
}

/* NULL: the system gives no thread. */
static struct attempt *attempt_begin(const struct auth_sql *my)
{
    const struct auth_source_settings *settings = my->settings;
    struct attempt *attempt = calloc(1, sizeof *attempt);
    *attempt = (struct attempt){.connection = mysql_init(NULL), .port = (unsigned)atoi(my->port), .host = strdup(my->host), .user = strdup(settings->username),
                                .password = strdup(settings->password), .database = strdup(settings->database)};
    pthread_mutex_init(&attempt->lock, NULL);
    pthread_cond_init(&attempt->ended, NULL);
    set_options(attempt->connection, my);
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool fine = pthread_create(&thread, &detached, attempt_run, attempt) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    if (fine) return attempt;
    attempt_free(attempt);
    return NULL;
}

/* Waits for an attempt, begun now or by an earlier question, until the deadline. That an earlier one has failed meanwhile says nothing about now. */
static bool connection_made(struct link *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000), .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    bool earlier = link->attempt != NULL;
    if (!earlier) link->attempt = attempt_begin(link->my);
    struct attempt *attempt = link->attempt;
    if (!attempt) return snprintf(ret_error, error_bytes, "the system gives no thread"), false;
    pthread_mutex_lock(&attempt->lock);
    while (!attempt->done && pthread_cond_clockwait(&attempt->ended, &attempt->lock, CLOCK_MONOTONIC, &until) == 0) {}
    bool done = attempt->done;
    pthread_mutex_unlock(&attempt->lock);
    if (!done) return snprintf(ret_error, error_bytes, "%.100s: its name was not resolved, or no connection made, in time (timeout)", link->my->host), false;
    bool connected = attempt->connected;
    snprintf(ret_error, error_bytes, "%s", attempt->error);
    link->connection = connected ? attempt->connection : NULL;
    if (connected) attempt->connection = NULL;
    link->attempt = NULL;
    attempt_free(attempt);
    return connected || (earlier && connection_made(link, deadline_ms, ret_error, error_bytes));
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

static void my_detach(void *instance)
{
    struct link *link = instance;
    if (link->attempt) attempt_abandon(link->attempt);
    drop(link);
    if (asking == link) asking = NULL;
    free(link);
    mysql_thread_end();
}

static bool connect_now(struct link *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    if (link->connection) return true;
    if (!connection_made(link, deadline_ms, ret_error, error_bytes)) return false;
    link->statement = mysql_stmt_init(link->connection);
    bool fine = mysql_stmt_prepare(link->statement, link->my->sql.data, link->my->sql.bytes) == 0;
    if (!fine) snprintf(ret_error, error_bytes, "the query cannot be prepared (error %u)", mysql_stmt_errno(link->statement));
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
    return (count == 0 || mysql_stmt_bind_param(link->statement, in) == 0) && mysql_stmt_execute(link->statement) == 0 && mysql_stmt_bind_result(link->statement, out) == 0;
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

static void say_lost(const struct link *link, unsigned error, char *ret_error, size_t error_bytes)
{
    if (link->too_large) auth_too_large(link->my->host, link->my->settings->answer_bytes_max, ret_error, error_bytes);
    else if (link->my->tools->now_ms() >= link->deadline_ms) snprintf(ret_error, error_bytes, "timed out");
    else snprintf(ret_error, error_bytes, "the connection was lost (error %u)", error);
}

static void begin(struct link *link, uint64_t deadline_ms)
{
    asking = link;
    link->deadline_ms = deadline_ms;
    link->got_bytes = 0;
    link->by_value = link->too_large = false;
}

static bool ask(struct link *link, const struct auth_query *query, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    begin(link, deadline_ms);
    for (int tries = 0; tries < 2; tries++) {
        bool was_open = link->connection || link->attempt;
        if (!connect_now(link, deadline_ms, ret_error, error_bytes)) return false;
        if (bind_and_run(link, query)) return true;
        unsigned error = mysql_stmt_errno(link->statement);
        link->by_value = value_refused(link->statement);
        if (!connection_lost(error)) return snprintf(ret_error, error_bytes, "the query failed (error %u)", error), mysql_stmt_reset(link->statement), false;
        say_lost(link, error, ret_error, error_bytes);
        drop(link);
        if (!was_open || link->too_large || link->my->tools->now_ms() >= deadline_ms) return false;
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

/* The next row. NULL: it is there, or there is none (*ret_end). What is too long in a column that nobody asks for does not matter. *ret_cut: the rows end before their end. */
static const char *fetch(struct link *link, const char *const *wanted, bool *ret_end, bool *ret_cut)
{
    int fetched = mysql_stmt_fetch(link->statement);
    *ret_end = fetched == MYSQL_NO_DATA;
    *ret_cut = fetched == 1;
    if (fetched == MYSQL_NO_DATA || fetched == 0) return NULL;
    if (fetched != MYSQL_DATA_TRUNCATED) return "a row cannot be read";
    for (; *wanted; wanted++)
        if (too_long(link, *wanted)) return "a value of more than 4096 bytes";
    return NULL;
}

/* What is too large, or cannot be read, is this client's trouble alone; a connection that was lost is not. */
static enum auth_verdict cut_off(struct link *link, struct auth_answer *answer)
{
    char error[160];
    unsigned code = mysql_stmt_errno(link->statement);
    if (code == 0) code = mysql_errno(link->connection); /* of reading rows it tells only there */
    if (code == CR_NET_PACKET_TOO_LARGE) link->too_large = true; /* announced only */
    bool lost = connection_lost(code);
    answer->of_client = link->too_large || !lost;
    if (lost || link->too_large) say_lost(link, code, error, sizeof error);
    else snprintf(error, sizeof error, "a row cannot be read (error %u)", code);
    drop(link);
    return link->my->tools->say(answer, AUTH_DOWN, "%s", error);
}

/* A value that is none is nobody's; an answer that is too large is this client's trouble alone. */
static enum auth_verdict unanswered(const struct link *link, struct auth_answer *answer, enum auth_verdict by_value, const char *error)
{
    answer->of_client = link->too_large;
    return link->my->tools->say(answer, link->by_value ? by_value : AUTH_DOWN, "%s", error);
}

/* Passes over what is left of the rows. False: there was too much. */
static bool finish(struct link *link)
{
    mysql_stmt_free_result(link->statement);
    return !link->too_large;
}

static enum auth_verdict my_authenticate(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    static const char *const wanted[] = {"password_hash", "salt", "is_superuser", NULL};
    struct auth_sql *my = instance;
    struct link *link = thread;
    char error[160] = "";
    bool none = false, cut = false;
    if (!ask(link, query, deadline_ms, error, sizeof error)) return unanswered(link, answer, AUTH_NEXT, error);
    const char *wrong = fetch(link, wanted, &none, &cut);
    enum auth_verdict verdict;
    if (cut) return cut_off(link, answer);
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
    return finish(link) ? verdict : cut_off(link, answer);
}

static enum auth_verdict my_authorize(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    static const char *const wanted[] = {"permission", "action", "topic", "qos", "retain", NULL};
    struct auth_sql *my = instance;
    struct link *link = thread;
    char error[160] = "";
    bool end = false, cut = false;
    if (!ask(link, query, deadline_ms, error, sizeof error)) return unanswered(link, answer, AUTH_DENY, error);
    bool columns = has_column(link, "permission") && has_column(link, "action") && has_column(link, "topic");
    const char *wrong = NULL;
    while (columns && !wrong && !(wrong = fetch(link, wanted, &end, &cut)) && !end)
        wrong = auth_rule_row(my->tools, answer, field(link, "permission"), field(link, "action"), field(link, "topic"), field(link, "qos"), field(link, "retain"));
    if (cut || !finish(link)) return cut_off(link, answer);
    return columns ? auth_rules_verdict(my->tools, answer, wrong) : my->tools->say(answer, AUTH_DOWN, "the query must answer permission, action and topic");
}

static bool my_probe(void *instance, void *thread, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    drop(thread);
    begin(thread, deadline_ms);
    return connect_now(thread, deadline_ms, ret_error, error_bytes);
}

AUTH_MODULE = {.abi = AUTH_SOURCE_ABI, .name = "mysql", .closed = true, .open = my_open, .close = auth_sql_close, .attach = my_attach, .detach = my_detach,
               .authenticate = my_authenticate, .authorize = my_authorize, .probe = my_probe};
