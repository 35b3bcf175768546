/* routes.c - the table of routes. The objects they speak of are in routes_schemas.c. */
#include "admin/routes.h"

#include "base/check.h"

const char *const api_operation_names[OPERATIONS] = {
#define API_OPERATION(name) #name,
#include "admin/operations.def"
#undef API_OPERATION
};
const char *const api_role_names[ROLES] = {"none", "viewer", "operator", "administrator"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define PARAMETERS(array) .parameters = array, .parameters_count = COUNT(array)
#define ERRORS(...) .errors = (const int[]){__VA_ARGS__, 0}

/* Of client ids, topics and such in a URL: percent-encoded, several of them must fit into a header of 128 KiB (admin.c). In bodies they may be as long as
 * MQTT allows. */
#define TEXT_MAX 4096

/* ---- parameters ------------------------------------------------------------------------------------------------- */

#define PAGE \
    {"page", FIELD_INTEGER, .min = 1, .max = 1000000, .fallback = "1", .says = "Which page."}, \
    {"limit", FIELD_INTEGER, .min = 1, .max = 10000, .fallback = "100", .says = "Rows a page."}

#define CLIENT_ID {"clientid", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = TEXT_MAX, .says = "The client id."}

static const char *const connection_states[] = {"connected", "disconnected", NULL};
static const char *const versions[] = {"3.1", "3.1.1", "5.0", NULL};
static const char *const client_sorts[] = {"clientid", "connected_at", "mqueue_len", "mqueue_bytes", "inflight_cnt", "subscriptions_cnt", "recv_msg", "recv_msg_bytes", "send_msg", NULL};
static const char *const orders[] = {"asc", "desc", NULL};

static const struct api_field client_parameters[] = {CLIENT_ID};

static const struct api_field clients_parameters[] = {
    PAGE,
    {"clientid", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Exactly this client id."},
    {"like_clientid", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Client ids with this in them."},
    {"username", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Exactly this user name."},
    {"like_username", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "User names with this in them."},
    {"conn_state", FIELD_STRING, .words = connection_states, .says = "Only clients that are connected, or sessions whose client is away."},
    {"proto_ver", FIELD_STRING, .words = versions, .says = "The version of MQTT."},
    {"listener", FIELD_STRING, .min = 1, .max = 64, .says = "The listener they came by, such as tcp.default."},
    {"gte_connected_at", FIELD_STRING, .min = 1, .max = 64, .format = "date-time", .says = "Connected at or after this time: RFC 3339, such as 2026-11-25T18:00:00Z."},
    {"lte_connected_at", FIELD_STRING, .min = 1, .max = 64, .format = "date-time", .says = "Connected at or before this time."},
    {"gte_mqueue_len", FIELD_INTEGER, .min = 0, .max = UINT32_MAX, .says = "At least so many messages wait."},
    {"gte_inflight_cnt", FIELD_INTEGER, .min = 0, .max = 65535, .says = "At least so many messages without acknowledgement."},
    {"gte_subscriptions_cnt", FIELD_INTEGER, .min = 0, .max = 65535, .says = "At least so many subscriptions."},
    {"sort", FIELD_STRING, .words = client_sorts,
     .says = "Order of the rows. The first page × limit clients in this order are found among all, at most 10000; without it they come in the order of the "
             "broker's tables, which stays the same while nothing changes."},
    {"order", FIELD_STRING, .words = orders, .fallback = "desc", .says = "asc or desc, with sort."},
};

static const struct api_field client_subscriptions_parameters[] = {CLIENT_ID, PAGE};

static const struct api_field subscriptions_parameters[] = {
    PAGE,
    {"clientid", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Only those of this client: only its shard is asked."},
    {"like_clientid", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Of clients with this in their id."},
    {"topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Exactly this filter (without $share/GROUP/)."},
    {"like_topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Filters with this in them."},
    {"match_topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Filters that match this topic name: who would get a message."},
    {"share", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Shared subscriptions of this group."},
    {"qos", FIELD_INTEGER, .min = 0, .max = 2, .says = "The granted QoS."},
};

static const struct api_field topics_parameters[] = {
    PAGE,
    {"topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Exactly this filter."},
    {"like_topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Filters with this in them."},
    {"match_topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Filters that match this topic name."},
};

static const struct api_field retained_parameters[] = {
    PAGE,
    {"topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Topics that match this filter, such as site/+/state. Without it: all, those that begin with $ included."},
};

static const struct api_field topic_metrics_parameters[] = {
    {"topic", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = TEXT_MAX, .says = "The registered topic or filter, percent-encoded: a/# is a%2F%23."},
};
static const struct api_field retained_topic_parameters[] = {
    {"topic", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = TEXT_MAX, .says = "The topic, percent-encoded: a/b is a%2Fb."},
};

static const struct api_field retained_matching_parameters[] = {
    {"topic", FIELD_STRING, .required = true, .min = 1, .max = TEXT_MAX, .says = "All topics that match this filter; # is everything that does not begin with $."},
};

static const struct api_field user_parameters[] = {
    {"username", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 64, .says = "The user's name."}};
static const struct api_field key_parameters[] = {
    {"name", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 64, .says = "The key's name."}};

static const struct api_field audit_parameters[] = {
    {"limit", FIELD_INTEGER, .min = 1, .max = 1000, .fallback = "100", .says = "The last so many entries, the newest first."}};

static const struct api_field listener_parameters[] = {
    {"id", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 64, .says = "KIND.NAME, such as tcp.default."}};
static const char *const listener_actions[] = {"start", "stop", "restart", NULL};
static const struct api_field listener_action_parameters[] = {
    {"id", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 64, .says = "KIND.NAME, such as tcp.default."},
    {"action", FIELD_STRING, .required = true, .in_path = true, .words = listener_actions, .says = "What to do."}};

static const char *const layers[] = {"default", "file", "environment", "command_line", "runtime", NULL};
static const struct api_field configs_parameters[] = {
    {"like_key", FIELD_STRING, .min = 1, .max = 128, .says = "Keys with this in them."},
    {"layer", FIELD_STRING, .words = layers, .says = "Only values that come from there."}};
static const char *const diff_bases[] = {"default", "pending", NULL};
static const struct api_field diff_parameters[] = {
    {"against", FIELD_STRING, .words = diff_bases, .fallback = "default",
     .says = "default: what differs from the built-in defaults. pending: what the files, the environment and the runtime layer say now and is not in force."}};
static const struct api_field dry_run_parameters[] = {
    {"dry_run", FIELD_BOOLEAN, .fallback = "false", .says = "Only say what would change, and whether it is valid."}};

static const struct api_field alarms_parameters[] = {
    PAGE, {"activated", FIELD_BOOLEAN, .fallback = "true", .says = "true: alarms that are raised. false: those that have been cleared."}};

static const struct api_field stream_parameters[] = {
    {"interval_ms", FIELD_INTEGER, .min = 500, .max = 60000, .fallback = "1000", .says = "Time between two events."}};

static const char *const ban_kinds[] = {"clientid", "username", "peerhost", "peerhost_net", "clientid_pattern", "username_pattern", "clientid_re", "username_re", NULL};
static const struct api_field page_parameters[] = {PAGE};
static const struct api_field bans_parameters[] = {
    PAGE,
    {"as", FIELD_STRING, .words = ban_kinds, .says = "Only bans of this kind."},
    {"like_who", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Bans with this in whom they are for."}};
static const struct api_field ban_parameters[] = {
    {"as", FIELD_STRING, .required = true, .in_path = true, .words = ban_kinds, .says = "The kind of ban."},
    {"who", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = TEXT_MAX, .says = "Whom it is for, percent-encoded."}};

#define SOURCE {"name", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 64, .says = "NAME of authentication.NAME with the built-in database."}
#define MQTT_USER_MAX 511
static const struct api_field mqtt_users_parameters[] = {
    SOURCE,
    {"after", FIELD_STRING, .max = MQTT_USER_MAX, .says = "Those whose names come behind this one: the last of the page before."},
    {"limit", FIELD_INTEGER, .min = 1, .max = 1000, .fallback = "100", .says = "As many."}};
static const struct api_field source_parameters[] = {SOURCE};
static const char *const export_formats[] = {"json", "csv", NULL};
static const struct api_field export_parameters[] = {SOURCE, {"format", FIELD_STRING, .words = export_formats, .fallback = "json", .says = "Of the text."}};
static const struct api_field feature_parameters[] = {
    {"feature", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 32, .says = "Its name, as GET /features has it."}};
static const struct api_field mqtt_user_parameters[] = {
    SOURCE, {"user_id", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = MQTT_USER_MAX, .says = "The user's name, percent-encoded."}};

/* The words are those of broker/watch/trace.h and broker/watch/droplog.def. */
#define TRACE_NAME {"name", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 64, .says = "The trace's name."}
static const char *const trace_formats[] = {"text", "json", NULL};
static const char *const drop_reasons[] = {
#define DROP_REASON(name, documentation) #name,
#include "broker/watch/droplog.def"
#undef DROP_REASON
    NULL};
static const struct api_field trace_parameters[] = {TRACE_NAME};
static const struct api_field trace_log_parameters[] = {
    TRACE_NAME,
    {"position", FIELD_INTEGER, .min = 0, .max = INT64_MAX, .fallback = "0", .says = "Where to go on: `position` of the last answer."},
    {"limit", FIELD_INTEGER, .min = 1, .max = 5000, .fallback = "500", .says = "Records at most."}};
static const struct api_field trace_download_parameters[] = {
    TRACE_NAME, {"format", FIELD_STRING, .words = trace_formats, .fallback = "text", .says = "text: a line a record, for people. json: an object a line, for programs."}};
static const struct api_field drops_parameters[] = {
    {"limit", FIELD_INTEGER, .min = 1, .max = 10000, .fallback = "100", .says = "Rows at most."},
    {"clientid", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Only of this client."},
    {"topic", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "Only topics that match this filter."},
    {"reason", FIELD_STRING, .words = drop_reasons, .says = "Only for this reason."}};

static const struct api_field delayed_parameters[] = {
    {"id", FIELD_STRING, .required = true, .in_path = true, .min = 1, .max = 40, .says = "The message's id, as in the list."}};
static const struct api_field why_parameters[] = {
    {"clientid", FIELD_STRING, .required = true, .min = 1, .max = TEXT_MAX, .says = "Who should get it."},
    {"topic", FIELD_STRING, .required = true, .min = 1, .max = TEXT_MAX, .says = "Where it would be published to, as the publisher writes it."},
    {"from", FIELD_STRING, .min = 1, .max = TEXT_MAX, .says = "The client that publishes it: its limits, authorization and mount point are looked at, too."},
    {"qos", FIELD_INTEGER, .min = 0, .max = 2, .fallback = "0", .says = "With this QoS."},
    {"retain", FIELD_BOOLEAN, .fallback = "false", .says = "With the retain flag."},
    {"payload_bytes", FIELD_INTEGER, .min = 0, .max = 268435455, .fallback = "0", .says = "With a payload of this size."}};

/* ---- routes ----------------------------------------------------------------------------------------------------- */

const struct api_route api_routes[] = {
    /* who */
    {METHOD_POST, "/login", OPERATION_login, ROLE_NONE, "login", "login", .body = "Login", .answer = "Token", .success = 200,
     .summary = "Exchanges a user name and password for a token.",
     .says = "Send the token as `Authorization: Bearer TOKEN`. It ends admin.token_lifetime after it was last used, and at once when the user is changed. "
             "After several wrong passwords an address and a user have to wait (429)."},
    {METHOD_POST, "/logout", OPERATION_logout, ROLE_VIEWER, "login", "logout", .success = 204, .summary = "Ends the token this request came with."},
    {METHOD_GET, "/whoami", OPERATION_whoami, ROLE_VIEWER, "login", "whoami", .answer = "Identity", .success = 200,
     .summary = "Who the server takes this request to come from."},
    {METHOD_GET, "/users", OPERATION_list_users, ROLE_ADMINISTRATOR, "users", "users list", .answer = "User", .list = true, .success = 200,
     .summary = "All users of this API."},
    {METHOD_POST, "/users", OPERATION_create_user, ROLE_ADMINISTRATOR, "users", "users create", .body = "NewUser", .answer = "User", .success = 201,
     ERRORS(409), .summary = "Creates a user."},
    {METHOD_PUT, "/users/{username}", OPERATION_update_user, ROLE_ADMINISTRATOR, "users", "users update", PARAMETERS(user_parameters),
     .body = "UserChange", .answer = "User", .success = 200, ERRORS(404, 409),
     .summary = "Changes a user's role, description or password. The last administrator stays one."},
    {METHOD_DELETE, "/users/{username}", OPERATION_delete_user, ROLE_ADMINISTRATOR, "users", "users delete", PARAMETERS(user_parameters),
     .success = 204, ERRORS(404, 409), .summary = "Removes a user. The last administrator stays."},
    {METHOD_POST, "/users/{username}/change_password", OPERATION_change_password, ROLE_VIEWER, "users", "users password", PARAMETERS(user_parameters),
     .body = "PasswordChange", .success = 204, ERRORS(404), .summary = "Changes one's own password; the old one is asked for.",
     .says = "Ends all tokens of the user."},
    {METHOD_GET, "/api_keys", OPERATION_list_api_keys, ROLE_ADMINISTRATOR, "api_keys", "keys list", .answer = "ApiKey", .list = true, .success = 200,
     .summary = "All API keys, without their secrets."},
    {METHOD_POST, "/api_keys", OPERATION_create_api_key, ROLE_ADMINISTRATOR, "api_keys", "keys create", .body = "NewApiKey", .answer = "ApiKeySecret",
     .success = 201, ERRORS(409), .summary = "Creates an API key.",
     .says = "The secret is shown here and never again. Programs send key and secret as user and password of HTTP Basic authentication."},
    {METHOD_PUT, "/api_keys/{name}", OPERATION_update_api_key, ROLE_ADMINISTRATOR, "api_keys", "keys update", PARAMETERS(key_parameters),
     .body = "ApiKeyChange", .answer = "ApiKey", .success = 200, ERRORS(404), .summary = "Changes an API key's role, expiry or description, or switches it off."},
    {METHOD_DELETE, "/api_keys/{name}", OPERATION_delete_api_key, ROLE_ADMINISTRATOR, "api_keys", "keys delete", PARAMETERS(key_parameters),
     .success = 204, ERRORS(404), .summary = "Removes an API key."},
    {METHOD_GET, "/audit", OPERATION_get_audit, ROLE_ADMINISTRATOR, "audit", "audit", PARAMETERS(audit_parameters), .answer = "AuditEntry", .list = true,
     .success = 200, .summary = "Who has changed what through this API.",
     .says = "Every request that changes something, and every login, is a line of JSON in node.data_dir/admin/audit.log."},

    /* the node */
    {METHOD_GET, "/status", OPERATION_get_status, ROLE_NONE, "node", "status", .answer = "Status", .success = 200,
     .summary = "Whether the broker runs: for load balancers. Needs no authentication unless admin.status_auth is set."},
    {METHOD_GET, "/nodes", OPERATION_list_nodes, ROLE_VIEWER, "node", "node", .answer = "Node", .list = true, .success = 200,
     .summary = "The nodes of the cluster: for now this one."},
    {METHOD_GET, "/stats", OPERATION_get_stats, ROLE_VIEWER, "node", "stats", .answer = "Stats", .success = 200,
     .summary = "All counters, summed up and of each shard, and the latency histograms.", .says = "docs/metrics.md says what each means."},
    {METHOD_GET, "/metrics", OPERATION_get_metrics, ROLE_VIEWER, "node", "metrics", .answer = "Metrics", .success = 200,
     .summary = "The summed-up counters as one flat object."},
    {METHOD_GET, "/stats/stream", OPERATION_stream_stats, ROLE_VIEWER, "node", NULL, PARAMETERS(stream_parameters), .success = 200,
     .summary = "The counters as server-sent events (text/event-stream): event `stats`, data as of GET /stats."},

    /* the store */
    {METHOD_GET, "/store", OPERATION_get_store, ROLE_VIEWER, "store", "store", .answer = "Store", .success = 200,
     .summary = "The store that keeps sessions, queues and retained messages (durability.enable): its state, sizes, memory, commits and checkpoints."},
    {METHOD_POST, "/store/backup", OPERATION_backup_store, ROLE_OPERATOR, "store", "store backup", .answer = "Backup", .success = 200, ERRORS(409),
     .summary = "Makes a copy of the running store in node.data_dir/backup-TIME: a broker started with that as its node.data_dir has all that was acknowledged.",
     .says = "Answers when the copy is made. When that takes longer than ten seconds it goes on: the answer has the state running, and GET /store says how it ended."},

    /* clients */
    {METHOD_GET, "/clients", OPERATION_list_clients, ROLE_VIEWER, "clients", "clients list", PARAMETERS(clients_parameters), .answer = "Client",
     .page = true, .success = 200, .summary = "Sessions, with and without a connected client."},
    {METHOD_GET, "/clients/{clientid}", OPERATION_get_client, ROLE_VIEWER, "clients", "clients get", PARAMETERS(client_parameters), .answer = "Client",
     .success = 200, ERRORS(404), .summary = "One session."},
    {METHOD_DELETE, "/clients/{clientid}", OPERATION_kick_client, ROLE_OPERATOR, "clients", "clients kick", PARAMETERS(client_parameters), .success = 204,
     ERRORS(404), .summary = "Disconnects a client (reason code 0x98); its session lives on as its expiry says."},
    {METHOD_POST, "/clients/kickout/bulk", OPERATION_kick_clients, ROLE_OPERATOR, "clients", "clients kickout", .body = "ClientIds", .answer = "Kicked", .success = 200,
     .summary = "Disconnects several clients."},
    {METHOD_GET, "/clients/{clientid}/subscriptions", OPERATION_list_client_subscriptions, ROLE_VIEWER, "clients", "clients subscriptions",
     PARAMETERS(client_subscriptions_parameters), .answer = "Subscription", .page = true, .success = 200, ERRORS(404), .summary = "The subscriptions of one session."},
    {METHOD_POST, "/clients/{clientid}/subscribe", OPERATION_subscribe_client, ROLE_OPERATOR, "clients", "clients subscribe",
     PARAMETERS(client_parameters), .body = "NewSubscription", .answer = "Subscription", .success = 200, ERRORS(404, 409),
     .summary = "Subscribes on behalf of a connected client.", .says = "Access control is not asked. Retained messages are sent as for a SUBSCRIBE of the client's own."},
    {METHOD_POST, "/clients/{clientid}/unsubscribe", OPERATION_unsubscribe_client, ROLE_OPERATOR, "clients", "clients unsubscribe",
     PARAMETERS(client_parameters), .body = "Unsubscription", .success = 204, ERRORS(404, 409), .summary = "Unsubscribes on behalf of a connected client."},
    {METHOD_DELETE, "/sessions/{clientid}", OPERATION_delete_session, ROLE_OPERATOR, "clients", "sessions delete", PARAMETERS(client_parameters),
     .success = 204, ERRORS(404, 409), .summary = "Ends a session: client, subscriptions, queue. A will is published."},

    /* subscriptions, topics, messages */
    {METHOD_GET, "/subscriptions", OPERATION_list_subscriptions, ROLE_VIEWER, "subscriptions", "subscriptions list", PARAMETERS(subscriptions_parameters),
     .answer = "Subscription", .page = true, .success = 200, .summary = "Subscriptions of all sessions."},
    {METHOD_GET, "/topics", OPERATION_list_topics, ROLE_VIEWER, "subscriptions", "topics list", PARAMETERS(topics_parameters), .answer = "Topic",
     .page = true, .success = 200, .summary = "Filters somebody subscribes to, a row for each shard that has subscribers."},
    {METHOD_GET, "/retained", OPERATION_list_retained, ROLE_VIEWER, "retained", "retained list", PARAMETERS(retained_parameters), .answer = "RetainedHead",
     .page = true, .success = 200, .summary = "Retained messages, without their payloads."},
    {METHOD_GET, "/retained/{topic}", OPERATION_get_retained, ROLE_VIEWER, "retained", "retained get", PARAMETERS(retained_topic_parameters),
     .answer = "Retained", .success = 200, ERRORS(404, 500), .summary = "A retained message. Its payload may be read from disk for that."},
    {METHOD_DELETE, "/retained/{topic}", OPERATION_delete_retained, ROLE_OPERATOR, "retained", "retained delete", PARAMETERS(retained_topic_parameters),
     .success = 204, ERRORS(404), .summary = "Removes a retained message, without telling subscribers."},
    {METHOD_DELETE, "/retained", OPERATION_delete_retained_matching, ROLE_OPERATOR, "retained", "retained clear", PARAMETERS(retained_matching_parameters),
     .answer = "Deleted", .success = 200, .summary = "Removes all retained messages that match a filter."},
    {METHOD_POST, "/publish", OPERATION_publish, ROLE_OPERATOR, "messages", "publish", .body = "Message", .answer = "Published", .success = 200,
     .summary = "Publishes a message."},
    {METHOD_POST, "/publish/bulk", OPERATION_publish_bulk, ROLE_OPERATOR, "messages", "publish-bulk", .body = "Messages", .answer = "Published", .list = true,
     .success = 200, .summary = "Publishes several messages, in this order. All are checked before the first is published."},

    /* listeners, configuration */
    {METHOD_GET, "/listeners", OPERATION_list_listeners, ROLE_VIEWER, "listeners", "listeners list", .answer = "Listener", .list = true, .success = 200,
     .summary = "The listeners of the configuration and what they are doing."},
    {METHOD_GET, "/listeners/{id}", OPERATION_get_listener, ROLE_VIEWER, "listeners", "listeners get", PARAMETERS(listener_parameters), .answer = "Listener",
     .success = 200, ERRORS(404), .summary = "One listener."},
    {METHOD_POST, "/listeners/{id}/{action}", OPERATION_act_on_listener, ROLE_ADMINISTRATOR, "listeners", "listeners do",
     PARAMETERS(listener_action_parameters), .answer = "Listener", .success = 200, ERRORS(404, 409), .summary = "Starts, stops or restarts a listener.",
     .says = "start and stop write listeners.KIND.NAME.enable into the runtime layer, so they hold after a restart. Connections stay. restart closes the "
             "sockets and opens them again."},
    {METHOD_GET, "/configs", OPERATION_list_configs, ROLE_VIEWER, "configs", "config list", PARAMETERS(configs_parameters), .answer = "ConfigValue",
     .list = true, .success = 200, .summary = "Every key with its value, where it comes from, and what it means. Secrets are masked."},
    {METHOD_PUT, "/configs", OPERATION_change_configs, ROLE_ADMINISTRATOR, "configs", "config set", PARAMETERS(dry_run_parameters), .body = "ConfigChange",
     .answer = "ConfigResult", .success = 200, ERRORS(409), .summary = "Changes keys: checked as a whole, written to node.data_dir/runtime.conf, applied.",
     .says = "null takes a key out of the runtime layer. What can change while the broker runs does at once; `needs_restart` lists the rest. Values from the "
             "environment and from --set win over the runtime layer: a change that would have no effect is refused."},
    {METHOD_GET, "/configs/diff", OPERATION_diff_configs, ROLE_VIEWER, "configs", "config diff", PARAMETERS(diff_parameters), .answer = "ConfigDifference",
     .list = true, .success = 200, .summary = "What is not as it was built in, or not yet in force."},
    {METHOD_GET, "/configs/history", OPERATION_list_config_history, ROLE_VIEWER, "configs", "config history", .answer = "ConfigVersion", .list = true,
     .success = 200, .summary = "Earlier versions of the runtime layer that can be brought back."},
    {METHOD_POST, "/configs/rollback", OPERATION_roll_back_configs, ROLE_ADMINISTRATOR, "configs", "config rollback", PARAMETERS(dry_run_parameters),
     .body = "Rollback", .answer = "ConfigResult", .success = 200, ERRORS(404, 409), .summary = "Puts an earlier version of the runtime layer in force."},
    {METHOD_POST, "/configs/reload", OPERATION_reload_configs, ROLE_ADMINISTRATOR, "configs", "config reload", .answer = "ConfigResult", .success = 200, ERRORS(409),
     .summary = "Reads the configuration files again, as SIGHUP does."},

    /* alarms */
    {METHOD_GET, "/alarms", OPERATION_list_alarms, ROLE_VIEWER, "alarms", "alarms list", PARAMETERS(alarms_parameters), .answer = "Alarm", .page = true, .success = 200,
     .summary = "What needs somebody's attention, or did."},
    {METHOD_DELETE, "/alarms", OPERATION_delete_alarms, ROLE_OPERATOR, "alarms", "alarms clear", .success = 204, .summary = "Forgets the alarms that have been cleared."},

    /* bans */
    {METHOD_GET, "/banned", OPERATION_list_bans, ROLE_VIEWER, "banned", "banned list", PARAMETERS(bans_parameters), .answer = "Ban", .page = true, .success = 200,
     ERRORS(404), .summary = "Who may not connect.", .says = "404 while banned.enable is off. In no order; it stays the same while nothing changes."},
    {METHOD_POST, "/banned", OPERATION_add_ban, ROLE_OPERATOR, "banned", "banned add", .body = "NewBan", .answer = "Ban", .success = 200, ERRORS(404, 409),
     .summary = "Bans somebody: who is connected goes (0x98), who comes is refused (0x8A).",
     .says = "A ban of the same kind for the same name is replaced. 404 while banned.enable is off, 409 when the list is full. On disk within a second."},
    {METHOD_DELETE, "/banned/{as}/{who}", OPERATION_remove_ban, ROLE_OPERATOR, "banned", "banned remove", PARAMETERS(ban_parameters), .success = 204, ERRORS(404),
     .summary = "Ends a ban."},
    {METHOD_DELETE, "/banned", OPERATION_clear_bans, ROLE_OPERATOR, "banned", "banned clear", .success = 204, ERRORS(404), .summary = "Ends all bans."},

    /* who MQTT clients are */
    {METHOD_GET, "/authentication", OPERATION_list_authentication, ROLE_VIEWER, "authentication", "auth list", .answer = "AuthenticationSource", .list = true,
     .success = 200, ERRORS(404), .summary = "The sources of logins and of clients' rules, in the order in which they are asked, with their state and counters.",
     .says = "Counters begin with each reload of the configuration."},
    {METHOD_GET, "/authentication/counters", OPERATION_get_authentication_counters, ROLE_VIEWER, "authentication", "auth counters", .answer = "AuthenticationCounters",
     .success = 200, ERRORS(404), .summary = "What has become of logins since the start."},
    {METHOD_POST, "/authentication/purge", OPERATION_purge_authentication, ROLE_OPERATOR, "authentication", "auth purge", .body = "AuthenticationPurge",
     .answer = "AuthenticationPurged", .success = 200, ERRORS(404), .summary = "Forgets remembered logins, of one user or of all: the sources are asked again.",
     .says = "Who is connected stays."},
    {METHOD_POST, "/authorization/purge", OPERATION_purge_authorization, ROLE_OPERATOR, "authentication", "acl purge", .body = "AuthorizationPurge", .success = 204,
     ERRORS(404), .summary = "Forgets remembered verdicts of authorization, of some connected clients or of all: rules and sources are asked again."},
    {METHOD_GET, "/authentication/{name}/users", OPERATION_list_authentication_users, ROLE_ADMINISTRATOR, "authentication", "auth users",
     PARAMETERS(mqtt_users_parameters), .answer = "MqttUser", .list = true, .success = 200, ERRORS(404), .summary = "The users of a built-in database, in the order of their names.",
     .says = "The next page begins `after` the last user of this one; a page that is not full is the last."},
    {METHOD_POST, "/authentication/{name}/users", OPERATION_add_authentication_user, ROLE_ADMINISTRATOR, "authentication", "auth user-add",
     PARAMETERS(source_parameters), .body = "NewMqttUser", .answer = "MqttUser", .success = 201, ERRORS(404, 409),
     .summary = "Adds a user to a built-in database; it is on disk when this answers.", .says = "The password is kept as an argon2id hash, and as keys where mechanism is scram."},
    {METHOD_PUT, "/authentication/{name}/users/{user_id}", OPERATION_change_authentication_user, ROLE_ADMINISTRATOR, "authentication", "auth user-change",
     PARAMETERS(mqtt_user_parameters), .body = "MqttUserChange", .answer = "MqttUser", .success = 200, ERRORS(404),
     .summary = "Changes a user's password, or whether everything is allowed to it.", .says = "Holds from the next login on; who is connected stays."},
    {METHOD_DELETE, "/authentication/{name}/users/{user_id}", OPERATION_delete_authentication_user, ROLE_ADMINISTRATOR, "authentication", "auth user-delete",
     PARAMETERS(mqtt_user_parameters), .success = 204, ERRORS(404), .summary = "Removes a user; who is connected stays."},

    {METHOD_POST, "/authentication/{name}/import_users", OPERATION_import_authentication_users, ROLE_ADMINISTRATOR, "authentication", "auth users-import",
     PARAMETERS(source_parameters), .body = "MqttUsersImport", .answer = "MqttUsersImported", .success = 200, ERRORS(404),
     .summary = "Takes many users into a built-in database, from a text in one of EMQX's formats: all of them, or none.",
     .says = "CSV with a header, user_id,password_hash,salt,is_superuser or user_id,password,is_superuser, or a JSON list of objects with these names. What is wrong is named "
             "with its line. Plain passwords are hashed, 500 at most. The body may have admin.max_body bytes; bootstrap_file takes more."},
    {METHOD_GET, "/authentication/{name}/export_users", OPERATION_export_authentication_users, ROLE_ADMINISTRATOR, "authentication", "auth users-export",
     PARAMETERS(export_parameters), .answer = "MqttUsersExport", .success = 200, ERRORS(404, 409), .summary = "All users of a built-in database, with their hashes, as import_users takes them.",
     .says = "409 with more than 100,000 users: copy the database's file instead. CSV has no column for SCRAM's keys."},

    /* features and extras */
    {METHOD_GET, "/features", OPERATION_list_features, ROLE_VIEWER, "features", "features", .answer = "Feature", .list = true, .success = 200,
     .summary = "The features of this process, in the order in which they are asked, and what they have said."},
    {METHOD_GET, "/sinks", OPERATION_list_sinks, ROLE_VIEWER, "features", "sinks", .answer = "Sink", .list = true, .success = 200,
     .summary = "Subscribers without a connection that features have, over all shards; those that have gone, too."},
    {METHOD_POST, "/features/{feature}/requests", OPERATION_ask_feature, ROLE_ADMINISTRATOR, "features", "features ask", PARAMETERS(feature_parameters),
     .body = "FeatureQuestion", .answer = "FeatureAnswer", .success = 200, ERRORS(404, 409),
     .summary = "Asks a feature something of its own: for loaded modules, whose verbs this API cannot know."},
    {METHOD_GET, "/mqtt/topic_metrics", OPERATION_list_topic_metrics, ROLE_VIEWER, "extras", "topic-metrics", .answer = "TopicMetrics", .list = true, .success = 200,
     ERRORS(404), .summary = "Messages counted by registered topics (topic_metrics.topics)."},
    {METHOD_POST, "/mqtt/topic_metrics", OPERATION_add_topic_metrics, ROLE_OPERATOR, "extras", "topic-metrics add", .body = "NewTopicMetrics", .answer = "TopicMetrics",
     .success = 201, ERRORS(404, 409), .summary = "Registers a topic or filter: its messages are counted from now on, also after a restart.",
     .says = "A change of topic_metrics.topics in the runtime layer: config history has it and config rollback takes it back. The counts of others stay. 429: 512 names, or 32 filters, "
             "are registered."},
    {METHOD_DELETE, "/mqtt/topic_metrics/{topic}", OPERATION_remove_topic_metrics, ROLE_OPERATOR, "extras", "topic-metrics remove", PARAMETERS(topic_metrics_parameters),
     .success = 204, ERRORS(404, 409), .summary = "Registers a topic no longer; its counts are gone, those of others stay."},
    {METHOD_PUT, "/mqtt/topic_metrics", OPERATION_reset_topic_metrics, ROLE_OPERATOR, "extras", "topic-metrics reset", .body = "TopicMetricsReset",
     .success = 204, ERRORS(404), .summary = "Lets the counts of one registered topic, or of all, begin at 0 again; rates go on."},
    {METHOD_GET, "/slow_subscriptions", OPERATION_list_slow_subscriptions, ROLE_VIEWER, "extras", "slow-subscriptions list", .answer = "SlowSubscription", .list = true,
     .success = 200, ERRORS(404), .summary = "Subscribers that keep their messages waiting longest, the slowest first (slow_subs.enable)."},
    {METHOD_DELETE, "/slow_subscriptions", OPERATION_clear_slow_subscriptions, ROLE_OPERATOR, "extras", "slow-subscriptions clear", .success = 204, ERRORS(404),
     .summary = "Forgets the slow subscribers noted so far."},

    /* rules, delayed messages */
    {METHOD_GET, "/authorization/rules", OPERATION_list_authorization_rules, ROLE_VIEWER, "authorization", "rules", PARAMETERS(page_parameters), .answer = "Rule", .page = true,
     .success = 200, ERRORS(404), .summary = "The rules of authorization for all clients that are in force, in the order in which they are asked.",
     .says = "Rules that came with a client's login are asked before them and not shown; when none decides: sources, then authorization.no_match."},
    {METHOD_GET, "/delayed", OPERATION_list_delayed, ROLE_VIEWER, "delayed", "delayed list", PARAMETERS(page_parameters), .answer = "Delayed", .page = true, .success = 200,
     .summary = "Messages that wait for their time ($delayed), without their payloads; of each shard in the order in which they came."},
    {METHOD_GET, "/delayed/{id}", OPERATION_get_delayed, ROLE_VIEWER, "delayed", "delayed get", PARAMETERS(delayed_parameters), .answer = "DelayedMessage", .success = 200,
     ERRORS(404), .summary = "One of them."},
    {METHOD_DELETE, "/delayed/{id}", OPERATION_delete_delayed, ROLE_OPERATOR, "delayed", "delayed delete", PARAMETERS(delayed_parameters), .success = 204, ERRORS(404),
     .summary = "Forgets one: it will not be published."},
    {METHOD_DELETE, "/delayed", OPERATION_clear_delayed, ROLE_OPERATOR, "delayed", "delayed clear", .answer = "Deleted", .success = 200, .summary = "Forgets all of them."},

    /* traces, drops */
    {METHOD_GET, "/trace", OPERATION_list_traces, ROLE_OPERATOR, "trace", "trace list", .answer = "Trace", .list = true, .success = 200,
     .summary = "Traces that run, and those whose files are still there; the newest first.", .says = "docs/trace.md is the manual."},
    {METHOD_POST, "/trace", OPERATION_start_trace, ROLE_OPERATOR, "trace", "trace start", .body = "NewTrace", .answer = "Trace", .success = 201, ERRORS(409),
     .summary = "Starts a trace: of clients by id, user name or address, or of a topic.",
     .says = "What happens after the answer is in it. Passwords and authentication data never are; payloads only when asked for."},
    {METHOD_GET, "/trace/{name}", OPERATION_get_trace, ROLE_OPERATOR, "trace", "trace get", PARAMETERS(trace_parameters), .answer = "Trace", .success = 200, ERRORS(404),
     .summary = "One trace."},
    {METHOD_POST, "/trace/{name}/stop", OPERATION_stop_trace, ROLE_OPERATOR, "trace", "trace stop", PARAMETERS(trace_parameters), .answer = "Trace", .success = 200,
     ERRORS(404), .summary = "Ends a trace; its files stay.", .says = "One that has ended is left as it is."},
    {METHOD_DELETE, "/trace/{name}", OPERATION_delete_trace, ROLE_OPERATOR, "trace", "trace delete", PARAMETERS(trace_parameters), .success = 204, ERRORS(404),
     .summary = "Ends a trace and removes its files."},
    {METHOD_DELETE, "/trace", OPERATION_delete_traces, ROLE_OPERATOR, "trace", "trace clear", .success = 204, .summary = "Ends all traces and removes their files."},
    {METHOD_GET, "/trace/{name}/log", OPERATION_read_trace, ROLE_OPERATOR, "trace", "trace log", PARAMETERS(trace_log_parameters), .answer = "TraceLog", .success = 200,
     ERRORS(404), .summary = "Records of a trace from a position on: for looking on while it runs."},
    {METHOD_GET, "/trace/{name}/download", OPERATION_download_trace, ROLE_OPERATOR, "trace", "trace download", PARAMETERS(trace_download_parameters), .success = 200,
     ERRORS(404), .summary = "The file: text/plain, or application/x-ndjson with a TraceRecord a line."},
    {METHOD_GET, "/why", OPERATION_why, ROLE_VIEWER, "trace", "why", PARAMETERS(why_parameters), .answer = "Why", .success = 200,
     .summary = "Would a message to this topic reach this client, and what decides it?",
     .says = "Asked where real messages are decided about; nothing is published. `ringmq why CLIENT TOPIC` is the same for people."},
    {METHOD_GET, "/drops", OPERATION_list_drops, ROLE_OPERATOR, "trace", "drops", PARAMETERS(drops_parameters), .answer = "Drop", .list = true, .success = 200,
     .summary = "The last messages that were dropped or refused, the newest first, with topic, client and reason.",
     .says = "Up to 1,000 of each shard, 50 a second; all of them are counted in GET /stats."},
};
const uint32_t api_routes_count = COUNT(api_routes);

/* ---- finding ---------------------------------------------------------------------------------------------------- */

const struct api_field *api_field_find(const struct api_field *fields, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    return NULL;
}

static struct span segment_next(struct span *rest)
{
    const uint8_t *slash = memchr(rest->data, '/', rest->bytes);
    struct span segment = span_of(rest->data, slash ? (size_t)(slash - rest->data) : rest->bytes);
    *rest = span_skip(*rest, segment.bytes + (slash != NULL));
    if (!slash) rest->data = NULL;
    return segment;
}

/* Level by level, both begin with a slash. An empty level matches no {…}. */
static bool path_matches(const char *pattern, struct span path, struct span ret_values[API_PATH_VALUES_MAX])
{
    struct span rest_pattern = span_skip(span_of_string(pattern), 1), rest = span_skip(path, 1);
    uint32_t values = 0;
    while (rest_pattern.data && rest.data) {
        struct span wanted = segment_next(&rest_pattern), got = segment_next(&rest);
        if (wanted.bytes && wanted.data[0] == '{') {
            if (got.bytes == 0) return false;
            CHECK(values < API_PATH_VALUES_MAX);
            ret_values[values++] = got;
        } else if (!span_equal(wanted, got)) {
            return false;
        }
    }
    return !rest_pattern.data && !rest.data;
}

const struct api_route *api_route_find(enum http_method method, struct span path, struct span ret_values[API_PATH_VALUES_MAX], uint32_t *ret_methods)
{
    const struct api_route *found = NULL;
    *ret_methods = 0;
    if (method == METHOD_HEAD) method = METHOD_GET;
    if (path.bytes == 0 || path.data[0] != '/') return NULL;
    struct span values[API_PATH_VALUES_MAX];
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        if (!path_matches(route->path, path, values)) continue;
        *ret_methods |= 1u << route->method;
        if (route->method != method) continue;
        CHECK(!found); /* no two routes of the table fit one path: tests/unit/admin */
        found = route;
        memcpy(ret_values, values, sizeof values);
    }
    return found;
}
