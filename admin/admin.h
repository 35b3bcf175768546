/* admin.h - the admin side of a broker: HTTP server, API, metrics, alarms. Started and stopped by the control thread.
 *
 * The control thread owns configuration and listeners; what the API wants of them is run there: admin_on_control(). What lives on shards is asked
 * for through broker/watch/inspect.h; counters are read where they are. */
#ifndef RINGMQ_ADMIN_ADMIN_H
#define RINGMQ_ADMIN_ADMIN_H

#include "admin/control.h"
#include "base/settings.h"
#include "base/stats.h"

struct admin;
struct alarms;
struct accounts;
struct broker;
struct http_server;
struct node;
struct traces;
struct otlp;

struct admin_options {
    const struct settings *settings; /* in force at the start; a reload hands over new ones: admin_settings() */
    struct broker *broker;
    struct node *node;
    struct admin_control control;
};

/* Opens the server and starts its threads. NULL with a sentence in ret_error. Before the shards start: admin_prepare(). */
struct admin *admin_start(const struct admin_options *options, char *ret_error, size_t error_bytes);
/* Ends the threads. While shards still turn; admin_destroy() after they have ended, for questions that were under way. */
void admin_stop(struct admin *admin);
void admin_destroy(struct admin *admin); /* accepts NULL */
/* An eventfd: readable when something is to be run by admin_control_run(), on the control thread. */
int admin_control_fd(const struct admin *admin);
void admin_control_run(struct admin *admin);
/* After a reload. On the control thread. */
void admin_settings(struct admin *admin, const struct settings *settings);

/* ---- for the rest of admin/ ------------------------------------------------------------------------------------- */

/* Runs run(control, argument) on the control thread and waits. False: the broker stops, it was not run. */
bool admin_on_control(struct admin *admin, void (*run)(const struct admin_control *control, void *argument), void *argument);

struct accounts *admin_auth(struct admin *admin);
struct alarms *admin_alarms(struct admin *admin);
struct broker *admin_broker(struct admin *admin);
struct node *admin_node(struct admin *admin);
struct http_server *admin_server(struct admin *admin);
struct otlp *admin_otlp(struct admin *admin);
/* May topics and client ids be shown in /metrics? */
bool admin_exemplars(struct admin *admin);
/* A copy of what may change: taken under a lock. */
struct admin_settings admin_settings_now(struct admin *admin);
struct trace_settings admin_trace_settings_now(struct admin *admin);
struct mqtt_settings admin_mqtt_settings_now(struct admin *admin); /* without its texts */
struct traces *admin_traces(struct admin *admin);
/* Never change. */
const char *admin_node_name(const struct admin *admin);
const char *admin_data_dir(const struct admin *admin);
uint64_t admin_started_unix_ms(const struct admin *admin);

struct inspect;
/* Sends a question and waits for its answer. False: it did not come in time; the question is not the caller's any more. */
bool admin_ask(struct admin *admin, struct inspect *inspect);
/* Several at once, of different shards; all are answered or (false) none is the caller's. */
bool admin_ask_all(struct admin *admin, struct inspect **inspects, uint32_t count);

#endif
