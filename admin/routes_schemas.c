/* routes_schemas.c - the objects that requests and answers are made of. */
#include "admin/routes.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define NAME_MAX_BYTES .min = 1, .max = 64
#define NAME_PATTERN   "^[A-Za-z0-9_.@-]+$"

static const char *const roles[] = {"viewer", "operator", "administrator", NULL};
static const char *const encodings[] = {"plain", "base64", NULL};
static const char *const states[] = {"running", "stopped", "failed", NULL};
static const char *const origins[] = {"default", "file", "environment", "command_line", "runtime", NULL};
static const char *const severities[] = {"warning", "critical", NULL};
static const char *const ban_kinds[] = {"clientid", "username", "peerhost", "peerhost_net", "clientid_pattern", "username_pattern", "clientid_re", "username_re", NULL};
static const char *const source_kinds[] = {"authentication", "authorization", NULL};
static const char *const source_states[] = {"unknown", "up", "down", "resting", NULL};
static const char *const kinds[] = {"user", "api_key", "anonymous", NULL};

static const struct api_field error[] = {
    {"code", FIELD_STRING, .says = "A word for programs: NOT_FOUND, BAD_REQUEST, …"},
    {"message", FIELD_STRING, .says = "What is wrong and what to do, for people."},
};
static const struct api_field meta[] = {
    {"page", FIELD_INTEGER, .says = "This page."},
    {"limit", FIELD_INTEGER, .says = "Rows a page."},
    {"count", FIELD_INTEGER, .nullable = true, .says = "All rows there are; null when counting them would mean looking at everything."},
    {"hasnext", FIELD_BOOLEAN, .says = "Whether there is a next page."},
};
static const struct api_field login[] = {
    {"username", FIELD_STRING, .required = true, NAME_MAX_BYTES, .says = "The user's name."},
    {"password", FIELD_STRING, .required = true, .min = 1, .max = 256, .says = "The password."},
};
static const struct api_field token[] = {
    {"token", FIELD_STRING, .says = "The token."},
    {"username", FIELD_STRING, .says = "Whose it is."},
    {"role", FIELD_STRING, .words = roles, .says = "What it allows."},
    {"expires_in", FIELD_INTEGER, .says = "Seconds it lives when it is not used."},
    {"version", FIELD_STRING, .says = "The broker's."},
};
static const struct api_field identity[] = {
    {"name", FIELD_STRING, .says = "Name of the user or key."},
    {"kind", FIELD_STRING, .words = kinds, .says = "What it is the name of."},
    {"role", FIELD_STRING, .says = "What it allows."},
};
static const struct api_field user[] = {
    {"username", FIELD_STRING, .says = "The user's name."},
    {"role", FIELD_STRING, .words = roles, .says = "viewer: sees. operator: and acts on clients and messages. administrator: and changes configuration and users."},
    {"description", FIELD_STRING, .says = "For people."},
};
static const struct api_field new_user[] = {
    {"username", FIELD_STRING, .required = true, NAME_MAX_BYTES, .pattern = NAME_PATTERN, .says = "Letters, digits, _ - . and @."},
    {"password", FIELD_STRING, .required = true, .min = 8, .max = 256, .says = "At least 8 characters."},
    {"role", FIELD_STRING, .required = true, .words = roles, .says = "What the user may do."},
    {"description", FIELD_STRING, .max = 256, .says = "For people."},
};
static const struct api_field user_change[] = {
    {"password", FIELD_STRING, .min = 8, .max = 256, .says = "A new password."},
    {"role", FIELD_STRING, .words = roles, .says = "A new role."},
    {"description", FIELD_STRING, .max = 256, .says = "A new description."},
};
static const struct api_field password_change[] = {
    {"old_password", FIELD_STRING, .required = true, .min = 1, .max = 256, .says = "The one in force."},
    {"new_password", FIELD_STRING, .required = true, .min = 8, .max = 256, .says = "The next one."},
};
static const struct api_field api_key[] = {
    {"name", FIELD_STRING, .says = "The key's name."},
    {"api_key", FIELD_STRING, .says = "The user name of HTTP Basic authentication."},
    {"role", FIELD_STRING, .words = roles, .says = "What it allows."},
    {"enable", FIELD_BOOLEAN, .says = "Whether it works."},
    {"expired_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When it ends to work; null: never."},
    {"expired", FIELD_BOOLEAN, .says = "Whether that time is over."},
    {"description", FIELD_STRING, .says = "For people."},
    {"created_at", FIELD_STRING, .format = "date-time", .says = "When it was made."},
};
static const struct api_field new_api_key[] = {
    {"name", FIELD_STRING, .required = true, NAME_MAX_BYTES, .pattern = NAME_PATTERN, .says = "Letters, digits, _ - . and @."},
    {"role", FIELD_STRING, .required = true, .words = roles, .says = "What it allows."},
    {"expired_at", FIELD_STRING, .min = 1, .max = 64, .format = "date-time", .says = "RFC 3339; left out: it does not expire."},
    {"description", FIELD_STRING, .max = 256, .says = "For people."},
};
static const struct api_field api_key_secret[] = {
    {"name", FIELD_STRING, .says = "The key's name."},
    {"api_key", FIELD_STRING, .says = "The user name of HTTP Basic authentication."},
    {"api_secret", FIELD_STRING, .says = "The password. It is not shown again."},
    {"role", FIELD_STRING, .words = roles, .says = "What it allows."},
    {"expired_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When it ends to work; null: never."},
};
static const struct api_field api_key_change[] = {
    {"role", FIELD_STRING, .words = roles, .says = "A new role."},
    {"enable", FIELD_BOOLEAN, .says = "Switches it on or off."},
    {"expired_at", FIELD_STRING, .nullable = true, .min = 1, .max = 64, .format = "date-time", .says = "RFC 3339; null: never."},
    {"description", FIELD_STRING, .max = 256, .says = "A new description."},
};
static const struct api_field audit_entry[] = {
    {"at", FIELD_STRING, .format = "date-time", .says = "When."},
    {"who", FIELD_STRING, .says = "Name of the user or key."},
    {"kind", FIELD_STRING, .words = kinds, .says = "What it is the name of."},
    {"peer", FIELD_STRING, .says = "The address."},
    {"operation", FIELD_STRING, .says = "The operationId."},
    {"method", FIELD_STRING, .says = "The method."},
    {"path", FIELD_STRING, .says = "The path, as sent."},
    {"status", FIELD_INTEGER, .says = "The answer's."},
};
static const struct api_field status[] = {
    {"status", FIELD_STRING, .says = "running."},
    {"node", FIELD_STRING, .says = "node.name."},
};
static const struct api_field node[] = {
    {"node", FIELD_STRING, .says = "node.name."},
    {"version", FIELD_STRING, .says = "The broker's."},
    {"status", FIELD_STRING, .says = "running."},
    {"pid", FIELD_INTEGER, .says = "The process."},
    {"uptime_s", FIELD_INTEGER, .says = "Seconds since it started."},
    {"started_at", FIELD_STRING, .format = "date-time", .says = "When it started."},
    {"shards", FIELD_INTEGER, .says = "Threads that serve clients."},
    {"connections", FIELD_INTEGER, .says = "Open sockets of clients."},
    {"clients", FIELD_INTEGER, .says = "Connected clients."},
    {"sessions", FIELD_INTEGER, .says = "Sessions, connected or not."},
    {"subscriptions", FIELD_INTEGER, .says = "Subscriptions."},
    {"retained", FIELD_INTEGER, .says = "Retained messages."},
    {"memory_bytes", FIELD_INTEGER, .says = "Resident memory of the process."},
    {"cpu_seconds", FIELD_NUMBER, .says = "Processor time of the process."},
    {"open_files", FIELD_INTEGER, .says = "Descriptors in the process's table."},
    {"data_dir", FIELD_STRING, .says = "node.data_dir."},
};
static const struct api_field shard_stats[] = {
    {"shard", FIELD_INTEGER, .says = "Its number."},
    {"cpu_seconds", FIELD_NUMBER, .says = "Processor time of its thread."},
    {"counters", FIELD_MAP, .of = "integer", .says = "By name, as in docs/metrics.md."},
};
static const struct api_field histogram[] = {
    {"name", FIELD_STRING, .says = "As in docs/metrics.md."},
    {"unit", FIELD_STRING, .says = "Of the bounds: seconds, or what is counted."},
    {"bounds", FIELD_ARRAY, .of = "number", .says = "Upper bounds of the buckets; the last bucket has none."},
    {"counts", FIELD_ARRAY, .of = "integer", .says = "Values in each bucket, over all shards."},
    {"sum", FIELD_NUMBER, .says = "Of all values."},
    {"count", FIELD_INTEGER, .says = "How many there were."},
    {"p50", FIELD_NUMBER, .nullable = true, .says = "Half of them were at most this (interpolated); null: there were none."},
    {"p99", FIELD_NUMBER, .nullable = true, .says = "Likewise 99 %."},
};
static const struct api_field stats[] = {
    {"at", FIELD_STRING, .format = "date-time", .says = "When."},
    {"uptime_s", FIELD_INTEGER, .says = "Seconds since the start."},
    {"counters", FIELD_MAP, .of = "integer", .says = "Summed up over all shards, by name."},
    {"shards", FIELD_ARRAY, .of = "ShardStats", .says = "Of each shard."},
    {"histograms", FIELD_ARRAY, .of = "Histogram", .says = "How long things take, and how much comes at a time."},
};
static const char *const backup_states[] = {"none", "running", "done", "failed", NULL};
static const char *const store_states[] = {"off", "working", "refusing", "full", NULL};

static const struct api_field backup[] = {
    {"state", FIELD_STRING, .words = backup_states, .says = "What became of the last one since the start."},
    {"begun_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When it was begun."},
    {"path", FIELD_STRING, .nullable = true, .says = "Where it is: a directory that can be a broker's node.data_dir."},
    {"bytes", FIELD_INTEGER, .nullable = true, .says = "What it takes on disk."},
    {"ms", FIELD_INTEGER, .nullable = true, .says = "How long it took."},
    {"error", FIELD_STRING, .nullable = true, .says = "Why it was not made."},
};
static const struct api_field store_shard[] = {
    {"shard", FIELD_INTEGER, .says = "Its number."},
    {"commits", FIELD_INTEGER, .says = "Group commits on disk since the start."},
    {"written_bytes", FIELD_INTEGER, .says = "What they took."},
    {"waiting_bytes", FIELD_INTEGER, .says = "Appended and not yet on disk; as of the last two seconds."},
    {"waits", FIELD_INTEGER, .says = "Answers and messages that wait for a commit."},
    {"checkpoints", FIELD_INTEGER, .says = "Times that what lives was written once more."},
    {"checkpoint_age_s", FIELD_NUMBER, .nullable = true, .says = "Seconds since the last of them ended; null: none has."},
    {"checkpointing", FIELD_BOOLEAN, .says = "Whether one is under way."},
    {"refuses", FIELD_BOOLEAN, .says = "Whether it takes no durable messages at the moment."},
};
static const struct api_field store[] = {
    {"state", FIELD_STRING, .words = store_states, .says = "off: durability.enable is. refusing: a shard takes no durable messages, the disk refuses or is far behind. full: what would stay is refused, since little room is left on the disk."},
    {"log_error", FIELD_STRING, .nullable = true, .says = "Why the log gets no new files; null: it does."},
    {"shelf_error", FIELD_STRING, .nullable = true, .says = "Why long queues and large retained payloads cannot be kept on disk; null: they can."},
    {"path", FIELD_STRING, .nullable = true, .says = "Its directory."},
    {"epoch", FIELD_INTEGER, .says = "Number of this run of the broker, as the store counts."},
    {"log_bytes", FIELD_INTEGER, .says = "Files of this run's logs."},
    {"shelf_bytes", FIELD_INTEGER, .says = "What long queues and large retained payloads take on disk."},
    {"disk_free_bytes", FIELD_INTEGER, .says = "Room on the disk, when it was last looked at: each second in which it is written to. 0 without a reserve."},
    {"disk_reserve_bytes", FIELD_INTEGER, .says = "With less room the store is full (durability.disk_reserve)."},
    {"queue_memory_limit_bytes", FIELD_INTEGER, .says = "Half of durability.memory: when queued messages take more, less of each queue stays in memory."},
    {"queue_memory_bytes", FIELD_INTEGER, .says = "What queued messages take in memory."},
    {"shelf_memory_limit_bytes", FIELD_INTEGER, .says = "The other half: buffers and cache of what is kept on disk only."},
    {"shelf_memory_bytes", FIELD_INTEGER, .says = "What those take."},
    {"queued_messages", FIELD_INTEGER, .says = "In all queues."},
    {"queued_bytes", FIELD_INTEGER, .says = "Their bytes."},
    {"shelf_queues", FIELD_INTEGER, .says = "Queues that are partly on disk only."},
    {"shelf_messages", FIELD_INTEGER, .says = "Messages that are on disk only."},
    {"retained_messages", FIELD_INTEGER, .says = "Retained messages."},
    {"shelf_retained_messages", FIELD_INTEGER, .says = "Of them, those whose payload is on disk only (retainer.shelf_above)."},
    {"shelf_retained_bytes", FIELD_INTEGER, .says = "Bytes of these payloads."},
    {"commit_gather_p50_ms", FIELD_NUMBER, .nullable = true, .says = "From the first record of a commit until its write begins, half of them; null: there were none."},
    {"commit_gather_p99_ms", FIELD_NUMBER, .nullable = true, .says = "99 % of them."},
    {"commit_write_p50_ms", FIELD_NUMBER, .nullable = true, .says = "Write and sync of a commit, half of them."},
    {"commit_write_p99_ms", FIELD_NUMBER, .nullable = true, .says = "99 % of them."},
    {"shards", FIELD_ARRAY, .of = "StoreShard", .says = "Of each shard's log."},
    {"backup", FIELD_OBJECT, .of = "Backup", .says = "The last backup since the start."},
};
static const struct api_field metrics[] = {
    {"counters", FIELD_MAP, .of = "integer", .says = "By name, as in docs/metrics.md."},
};
static const struct api_field client[] = {
    {"clientid", FIELD_STRING, .says = "The client id."},
    {"username", FIELD_STRING, .nullable = true, .says = "The user name; null: it gave none, or no feature (authentication, access control) is in force that would remember it."},
    {"connected", FIELD_BOOLEAN, .says = "false: only the session is there."},
    {"ip_address", FIELD_STRING, .nullable = true, .says = "Its address; null: not connected, a Unix socket, or more than 1000 rows."},
    {"port", FIELD_INTEGER, .nullable = true, .says = "Its port."},
    {"listener", FIELD_STRING, .nullable = true, .says = "The listener it came by."},
    {"proto_ver", FIELD_STRING, .says = "The version of MQTT."},
    {"keepalive", FIELD_INTEGER, .says = "Seconds; 0: none."},
    {"connected_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When it connected."},
    {"expires_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When a session that is away ends; null: connected, or never."},
    {"expiry_interval", FIELD_INTEGER, .nullable = true, .says = "Seconds the session outlives its connection; null: it does not end."},
    {"subscriptions_cnt", FIELD_INTEGER, .says = "Subscriptions."},
    {"inflight_cnt", FIELD_INTEGER, .says = "Messages sent and not acknowledged."},
    {"inflight_max", FIELD_INTEGER, .says = "As many as there may be."},
    {"mqueue_len", FIELD_INTEGER, .says = "Messages that wait."},
    {"mqueue_bytes", FIELD_INTEGER, .says = "Their bytes."},
    {"send_backlog_bytes", FIELD_INTEGER, .says = "Written to the connection and not taken by the kernel yet."},
    {"recv_msg", FIELD_INTEGER, .says = "PUBLISH packets from it since it connected (modulo 2^32)."},
    {"recv_msg_bytes", FIELD_INTEGER, .says = "Their payload."},
    {"send_msg", FIELD_INTEGER, .says = "PUBLISH packets to it since it connected (modulo 2^32)."},
    {"durable", FIELD_BOOLEAN, .says = "The session is on disk."},
    {"slowed", FIELD_BOOLEAN, .says = "It publishes faster than its subscribers take, and is read more slowly at this moment."},
    {"will", FIELD_BOOLEAN, .says = "It has left a will."},
    {"shard", FIELD_INTEGER, .says = "Where it lives."},
};
static const struct api_field client_ids[] = {
    {"clientids", FIELD_ARRAY, .required = true, .of = "string", .min = 1, .max = 1000, .says = "Whom."},
};
static const struct api_field kicked[] = {
    {"kicked", FIELD_INTEGER, .says = "Clients disconnected; the others were not connected."},
};
static const struct api_field subscription[] = {
    {"clientid", FIELD_STRING, .nullable = true, .says = "Whose; null: a sink's."},
    {"sink", FIELD_STRING, .nullable = true, .says = "The feature's sink that has it; null: it is a client's."},
    {"topic", FIELD_STRING, .says = "The filter, with $share/GROUP/ in front where it is shared."},
    {"qos", FIELD_INTEGER, .says = "As granted."},
    {"nl", FIELD_BOOLEAN, .says = "No local."},
    {"rap", FIELD_BOOLEAN, .says = "Retain as published."},
    {"share", FIELD_STRING, .nullable = true, .says = "The group; null: not shared."},
    {"subscription_id", FIELD_INTEGER, .nullable = true, .says = "Subscription identifier; null: none."},
    {"shard", FIELD_INTEGER, .says = "Where the client lives."},
};
static const struct api_field new_subscription[] = {
    {"topic", FIELD_STRING, .required = true, .min = 1, .max = 65535, .says = "The filter; $share/GROUP/FILTER for a shared one."},
    {"qos", FIELD_INTEGER, .min = 0, .max = 2, .fallback = "0", .says = "As asked for."},
    {"nl", FIELD_BOOLEAN, .fallback = "false", .says = "No local."},
    {"rap", FIELD_BOOLEAN, .fallback = "false", .says = "Retain as published."},
    {"rh", FIELD_INTEGER, .min = 0, .max = 2, .fallback = "0", .says = "Retain handling: 0 sends retained messages, 1 if the subscription is new, 2 none."},
};
static const struct api_field unsubscription[] = {
    {"topic", FIELD_STRING, .required = true, .min = 1, .max = 65535, .says = "The filter, with $share/GROUP/ where it is shared."},
};
static const struct api_field topic[] = {
    {"topic", FIELD_STRING, .says = "The filter."},
    {"share", FIELD_STRING, .nullable = true, .says = "The group; null: not shared."},
    {"subscribers", FIELD_INTEGER, .says = "On this shard."},
    {"shard", FIELD_INTEGER, .says = "Its number."},
    {"node", FIELD_STRING, .says = "Its node."},
};
#define RETAINED_HEAD \
    {"topic", FIELD_STRING, .says = "The topic."}, {"qos", FIELD_INTEGER, .says = "As published."}, \
    {"payload_bytes", FIELD_INTEGER, .says = "Its size."}, \
    {"expires_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When it expires; null: never."}, \
    {"shard", FIELD_INTEGER, .says = "Where it lives."}
static const struct api_field retained_head[] = {RETAINED_HEAD};
static const struct api_field user_property[] = {
    {"name", FIELD_STRING, .required = true, .max = 65535, .says = "Its name."},
    {"value", FIELD_STRING, .required = true, .max = 65535, .says = "Its value."},
};
#define PROPERTIES \
    {"payload_format_indicator", FIELD_INTEGER, .min = 0, .max = 1, .says = "1: the payload is UTF-8."}, \
    {"message_expiry_interval", FIELD_INTEGER, .min = 1, .max = UINT32_MAX, .says = "Seconds."}, \
    {"response_topic", FIELD_STRING, .min = 1, .max = 65535, .says = "Where to answer."}, \
    {"correlation_data", FIELD_STRING, .max = 65535, .pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$", .says = "Base64."}, \
    {"content_type", FIELD_STRING, .max = 65535, .says = "Of the payload."}, \
    {"user_properties", FIELD_ARRAY, .of = "UserProperty", .max = 1000, .says = "In this order; names may repeat."}
static const struct api_field message_properties[] = {PROPERTIES};
static const struct api_field retained[] = {
    RETAINED_HEAD,
    {"payload", FIELD_STRING, .nullable = true, .says = "Base64; null: it is larger than admin.max_payload."},
    {"properties", FIELD_OBJECT, .of = "MessageProperties", .says = "Those of MQTT 5 that it came with."},
};
static const struct api_field deleted[] = {{"deleted", FIELD_INTEGER, .says = "How many."}};
static const struct api_field message[] = {
    {"topic", FIELD_STRING, .required = true, .min = 1, .max = 65535, .says = "No wildcards, and none of $SYS/."},
    {"payload", FIELD_STRING, .max = 16 << 20, .fallback = "", .says = "The payload."},
    {"payload_encoding", FIELD_STRING, .words = encodings, .fallback = "plain", .says = "base64 for anything that is no text."},
    {"qos", FIELD_INTEGER, .min = 0, .max = 2, .fallback = "0", .says = "Quality of service."},
    {"retain", FIELD_BOOLEAN, .fallback = "false", .says = "Keep it for later subscribers; with an empty payload: keep none."},
    {"properties", FIELD_OBJECT, .of = "MessageProperties", .says = "Of MQTT 5."},
};
static const struct api_field messages[] = {
    {"messages", FIELD_ARRAY, .required = true, .of = "Message", .min = 1, .max = 1000, .says = "The messages."},
};
static const struct api_field published[] = {
    {"topic", FIELD_STRING, .says = "Of the message."},
    {"matched", FIELD_BOOLEAN, .says = "Somebody subscribes to it."},
    {"reason_code", FIELD_INTEGER, .says = "0; 16: no matching subscribers; 151: refused, it must be durable and the store is full or its disk takes nothing."},
};
static const struct api_field listener[] = {
    {"id", FIELD_STRING, .says = "KIND.NAME."},
    {"type", FIELD_STRING, .says = "tcp, tls, ws, wss, unix."},
    {"name", FIELD_STRING, .says = "Its name."},
    {"bind", FIELD_STRING, .says = "As configured."},
    {"port", FIELD_INTEGER, .nullable = true, .says = "The one in use; null: it does not run, or has none."},
    {"enable", FIELD_BOOLEAN, .says = "As configured."},
    {"status", FIELD_STRING, .words = states, .says = "failed: it is enabled and could not be opened."},
    {"current_connections", FIELD_INTEGER, .says = "Connections that came by it, whatever its options were then."},
    {"max_connections", FIELD_INTEGER, .nullable = true, .says = "null: no limit of its own."},
};
static const struct api_field config_value[] = {
    {"key", FIELD_STRING, .says = "The key."},
    {"value", FIELD_STRING, .says = "As it would be written, strings without quotes."},
    {"default", FIELD_STRING, .nullable = true, .says = "null: it must be given."},
    {"origin", FIELD_STRING, .says = "Where it was set: file, line and column, environment variable, …"},
    {"layer", FIELD_STRING, .words = origins, .says = "The kind of place."},
    {"type", FIELD_STRING, .says = "What may be written."},
    {"reloadable", FIELD_BOOLEAN, .says = "Whether a change takes effect at once."},
    {"documentation", FIELD_STRING, .says = "What it means."},
};
static const struct api_field config_change[] = {
    {"changes", FIELD_MAP, .required = true, .of = "any", .says = "New values by key: strings, numbers, booleans; null removes the key from the runtime layer."},
};
static const struct api_field config_difference[] = {
    {"key", FIELD_STRING, .says = "The key."},
    {"old", FIELD_STRING, .nullable = true, .says = "The default, or what is in force; null: there is no such key."},
    {"new", FIELD_STRING, .nullable = true, .says = "What is in force, or what is pending; null: the key goes."},
    {"origin", FIELD_STRING, .says = "Where the new value comes from."},
    {"reloadable", FIELD_BOOLEAN, .says = "false: takes effect at the next start."},
};
static const struct api_field config_result[] = {
    {"applied", FIELD_BOOLEAN, .says = "false: it was a dry run."},
    {"changed", FIELD_ARRAY, .of = "ConfigDifference", .says = "What is different now."},
    {"needs_restart", FIELD_ARRAY, .of = "string", .says = "Keys that take effect at the next start."},
    {"listeners_failed", FIELD_INTEGER, .says = "Listeners that could not be changed; see their status and the log."},
    {"version", FIELD_INTEGER, .nullable = true, .says = "Number of the runtime layer before the change, for a rollback; null: nothing was written."},
};
static const struct api_field config_version[] = {
    {"version", FIELD_INTEGER, .says = "For POST /configs/rollback."},
    {"at", FIELD_STRING, .format = "date-time", .says = "When it was replaced."},
    {"text", FIELD_STRING, .says = "What it sets, a key a line; secrets are masked."},
};
static const struct api_field rollback[] = {
    {"version", FIELD_INTEGER, .required = true, .min = 1, .max = 1000000, .says = "A version of the history."},
};
static const struct api_field alarm[] = {
    {"name", FIELD_STRING, .says = "What it is about."},
    {"severity", FIELD_STRING, .words = severities, .says = "How bad."},
    {"message", FIELD_STRING, .says = "What is wrong, and what to do."},
    {"subject", FIELD_STRING, .nullable = true, .says = "Which shard, listener, …"},
    {"activated_at", FIELD_STRING, .format = "date-time", .says = "When it was raised."},
    {"deactivated_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When it was cleared; null: it is raised."},
};

#define BAN_HEAD(needed) \
    {"as", FIELD_STRING, .required = needed, .words = ban_kinds, .says = "By what: client id, user name, address, network, a pattern with * (any characters) and ? (one), or a regular expression (_re)."}, \
    {"who", FIELD_STRING, .required = needed, .min = 1, .max = 4096, .says = "The name, the address such as 192.0.2.7, the network such as 10.0.0.0/8, the pattern."}
static const struct api_field ban[] = {
    BAN_HEAD(false),
    {"by", FIELD_STRING, .says = "Who has banned."},
    {"reason", FIELD_STRING, .says = "Why."},
    {"at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "Since when."},
    {"until", FIELD_STRING, .nullable = true, .format = "date-time", .says = "Until when; null: for good."},
};
static const struct api_field new_ban[] = {
    BAN_HEAD(true),
    {"by", FIELD_STRING, .max = 255, .says = "Who bans; left out: the user of this API."},
    {"reason", FIELD_STRING, .max = 255, .says = "Why."},
    {"at", FIELD_STRING, .min = 1, .max = 64, .format = "date-time", .says = "Since when, for the list; left out: now."},
    {"until", FIELD_STRING, .nullable = true, .min = 1, .max = 64, .format = "date-time", .says = "RFC 3339; null or left out: for good."},
};
static const struct api_field authentication_source[] = {
    {"name", FIELD_STRING, .says = "NAME of authentication.NAME or authorization.NAME."},
    {"kind", FIELD_STRING, .words = source_kinds, .says = "authentication: who a client is. authorization: what it may."},
    {"backend", FIELD_STRING, .says = "Where it looks."},
    {"state", FIELD_STRING, .words = source_states, .says = "resting: the circuit breaker is open, it is not asked until it answers again. unknown: not asked yet."},
    {"error", FIELD_STRING, .nullable = true, .says = "Its last failure; null: none."},
    {"allowed", FIELD_INTEGER, .says = "Logins it has let in."},
    {"denied", FIELD_INTEGER, .says = "Logins it has refused."},
    {"ignored", FIELD_INTEGER, .says = "Not its users: the next source was asked."},
    {"failed", FIELD_INTEGER, .says = "It could not be asked; on_error has decided."},
    {"timeouts", FIELD_INTEGER, .says = "Of them: it was too slow."},
    {"queue_full", FIELD_INTEGER, .says = "Of them: too many waited."},
    {"breaker_opened", FIELD_INTEGER, .says = "Times the circuit breaker opened."},
    {"busy_us", FIELD_INTEGER, .says = "Microseconds it has worked, all its threads together."},
    {"longest_us", FIELD_INTEGER, .says = "Its longest answer."},
    {"waiting", FIELD_INTEGER, .says = "Logins that wait for it now."},
};
static const struct api_field authentication_counters[] = {
    {"logins", FIELD_INTEGER, .says = "CONNECTs that were to be judged."},
    {"cached", FIELD_INTEGER, .says = "Of them: answered from memory."},
    {"allowed", FIELD_INTEGER, .says = "Let in."},
    {"denied", FIELD_INTEGER, .says = "Refused."},
    {"unavailable", FIELD_INTEGER, .says = "Refused because a source could not be asked."},
    {"busy", FIELD_INTEGER, .says = "Refused because too many logins waited."},
    {"throttled", FIELD_INTEGER, .says = "Refused because too many logins of their address have failed."},
    {"scram", FIELD_INTEGER, .says = "Exchanges of SCRAM begun."},
    {"refreshed", FIELD_INTEGER, .says = "Rules of connected clients asked for again."},
    {"cache_entries", FIELD_INTEGER, .says = "Verdicts remembered now."},
};
static const struct api_field authentication_purge[] = {
    {"user_id", FIELD_STRING, .min = 1, .max = 65535, .says = "The user name; left out: everybody's."},
};
static const struct api_field authentication_purged[] = {{"purged", FIELD_INTEGER, .says = "Verdicts that were forgotten."}};
static const struct api_field authorization_purge[] = {
    {"clientid", FIELD_STRING, .min = 1, .max = 65535, .says = "The client id; left out: any."},
    {"username", FIELD_STRING, .min = 1, .max = 65535, .says = "The user name; left out: any."},
};
static const struct api_field mqtt_user[] = {
    {"user_id", FIELD_STRING, .says = "The name."},
    {"is_superuser", FIELD_BOOLEAN, .says = "Everything is allowed to it."},
};
static const struct api_field new_mqtt_user[] = {
    {"user_id", FIELD_STRING, .required = true, .min = 1, .max = 511, .says = "User name, or client id where user_id_type says so."},
    {"password", FIELD_STRING, .required = true, .min = 1, .max = 1024, .says = "The password."},
    {"is_superuser", FIELD_BOOLEAN, .fallback = "false", .says = "Everything is allowed to it."},
};
static const struct api_field mqtt_user_change[] = {
    {"password", FIELD_STRING, .min = 1, .max = 1024, .says = "A new password; left out: the old one."},
    {"is_superuser", FIELD_BOOLEAN, .says = "Left out: as before."},
};
static const struct api_field mqtt_users_import[] = {
    {"users", FIELD_STRING, .required = true, .min = 1, .max = 268435456, .says = "CSV or JSON text. `ringmq ctl` takes it from a file with --users @FILE."},
    {"override", FIELD_BOOLEAN, .fallback = "false", .says = "Users who are there already are replaced; else they stay as they are."},
};
static const struct api_field mqtt_users_imported[] = {
    {"added", FIELD_INTEGER, .says = "New users."},
    {"changed", FIELD_INTEGER, .says = "Users replaced."},
    {"skipped", FIELD_INTEGER, .says = "Users who were there already and stay as they were."},
};
static const struct api_field mqtt_users_export[] = {{"users", FIELD_STRING, .says = "CSV or JSON text."}};
static const struct api_field feature_question[] = {
    {"verb", FIELD_STRING, .required = true, .min = 1, .max = 100, .says = "What is asked."},
    {"question", FIELD_MAP, .of = "any", .says = "With what."},
};
static const struct api_field feature_answer[] = {{"answer", FIELD_MAP, .of = "any", .nullable = true, .says = "null: there was nothing to say."}};
static const struct api_field feature_gate[] = {
    {"gate", FIELD_STRING, .says = "About which packets."},
    {"passed", FIELD_INTEGER, .says = "Nothing against it."},
    {"allowed", FIELD_INTEGER, .says = "Authorized."},
    {"denied", FIELD_INTEGER, .says = "Refused."},
    {"later", FIELD_INTEGER, .says = "Had to wait."},
    {"overruns", FIELD_INTEGER, .says = "Answers that took longer than features.gate_budget."},
    {"longest_us", FIELD_NUMBER, .says = "The longest answer, in microseconds."},
};
static const struct api_field feature[] = {
    {"name", FIELD_STRING, .says = "Its name."},
    {"version", FIELD_STRING, .says = "Its version."},
    {"documentation", FIELD_STRING, .says = "What it does."},
    {"on", FIELD_BOOLEAN, .says = "The configuration has switched it on."},
    {"gates", FIELD_ARRAY, .of = "FeatureGate", .says = "What it has said, over all shards."},
};
static const struct api_field sink[] = {
    {"name", FIELD_STRING, .says = "Its name."},
    {"delivered", FIELD_INTEGER, .says = "Messages it has taken."},
    {"queued", FIELD_INTEGER, .says = "Messages that wait for it."},
    {"queued_bytes", FIELD_INTEGER, .says = "Their bytes."},
    {"full", FIELD_INTEGER, .says = "Times it was full."},
    {"dropped_full", FIELD_INTEGER, .says = "Messages dropped: its queue was full."},
    {"dropped_expired", FIELD_INTEGER, .says = "Messages that expired in its queue."},
    {"dropped_gone", FIELD_INTEGER, .says = "Messages that were waiting when it went."},
    {"held", FIELD_INTEGER, .says = "Acknowledgements it holds back now."},
    {"refused", FIELD_INTEGER, .says = "Messages whose acknowledgement became an error."},
};
static const struct api_field topic_metrics[] = {
    {"topic", FIELD_STRING, .says = "The registered topic or filter."},
    {"metrics", FIELD_MAP, .of = "integer", .says = "Messages in and out by QoS, and dropped."},
    {"in_rate", FIELD_NUMBER, .says = "Messages in per second, lately."},
    {"out_rate", FIELD_NUMBER, .says = "Messages out per second, lately."},
    {"dropped_rate", FIELD_NUMBER, .says = "Dropped per second, lately."},
};
static const struct api_field new_topic_metrics[] = {
    {"topic", FIELD_STRING, .required = true, .min = 1, .max = 65535, .says = "A topic, or a filter; not a $share/… one."},
};
static const char *const topic_metrics_actions[] = {"reset", NULL};
static const struct api_field topic_metrics_reset[] = {
    {"action", FIELD_STRING, .words = topic_metrics_actions, .fallback = "reset", .says = "As EMQX has it; there is no other."},
    {"topic", FIELD_STRING, .min = 1, .max = 65535, .says = "Which; left out: all."},
};
static const struct api_field slow_subscription[] = {
    {"clientid", FIELD_STRING, .says = "The subscriber."},
    {"topic", FIELD_STRING, .says = "The topic of the message."},
    {"timespan", FIELD_INTEGER, .says = "Milliseconds it has waited."},
    {"last_update_time", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When that was."},
};

static const char *const permissions[] = {"allow", "deny", NULL};
static const struct api_field rule[] = {
    {"source", FIELD_STRING, .says = "The key it comes from: authorization.rules or authorization.file."},
    {"file", FIELD_STRING, .nullable = true, .says = "The file; null: it stands in the configuration."},
    {"line", FIELD_INTEGER, .says = "Its line, from 1."},
    {"permission", FIELD_STRING, .words = permissions, .says = "What it says when it matches."},
    {"text", FIELD_STRING, .says = "The rule as it is written."},
};
#define DELAYED_FIELDS                                                                                                     \
    {"id", FIELD_STRING, .says = "Names it in this API."}, {"topic", FIELD_STRING, .says = "Where it will be published."},         \
        {"qos", FIELD_INTEGER, .says = "Its QoS."}, {"retain", FIELD_BOOLEAN, .says = "Its retain flag."},                        \
        {"payload_bytes", FIELD_INTEGER, .says = "Size of its payload."},                                                    \
        {"due_at", FIELD_STRING, .format = "date-time", .says = "When."},                                                    \
        {"remaining_s", FIELD_INTEGER, .says = "Seconds until then."}, {"shard", FIELD_INTEGER, .says = "Where it waits."}
static const struct api_field delayed[] = {DELAYED_FIELDS};
static const struct api_field delayed_message[] = {DELAYED_FIELDS, {"payload", FIELD_STRING, .nullable = true, .says = "In base64; null: it is larger than admin.max_payload."}};
static const char *const trace_kinds[] = {"clientid", "clientid_pattern", "topic", "ip_address", "username", "username_pattern", NULL};
static const char *const trace_payloads[] = {"hidden", "text", "hex", NULL};
static const char *const trace_states[] = {"running", "stopped", NULL};
static const char *const trace_ends[] = {"time", "size", "stopped", "restart", "disk", NULL};
static const struct api_field new_trace[] = {
    {"name", FIELD_STRING, .required = true, NAME_MAX_BYTES, .pattern = "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", .says = "Letters, digits, _ - and . (not in front): the name of its files."},
    {"type", FIELD_STRING, .required = true, .words = trace_kinds, .says = "What `value` is."},
    {"value", FIELD_STRING, .required = true, .min = 1, .max = 4096,
     .says = "A client id or user name; a pattern of such with * and ?; a topic filter; addresses and networks with commas, such as 10.0.0.0/8, unix."},
    {"duration_s", FIELD_INTEGER, .min = 1, .max = 31536000, .says = "Seconds; left out: trace.duration."},
    {"max_bytes", FIELD_INTEGER, .min = 4096, .max = 4294967296, .says = "Of its files together; left out: trace.size."},
    {"payload", FIELD_STRING, .words = trace_payloads, .says = "Whether payloads are shown, escaped or in hex; left out: hidden."},
    {"payload_limit", FIELD_INTEGER, .min = 1, .max = 4096, .says = "Bytes of a payload that are shown; left out: 128."},
};
static const struct api_field trace[] = {
    {"name", FIELD_STRING, .says = "Its name."},
    {"type", FIELD_STRING, .words = trace_kinds, .says = "What `value` is."},
    {"value", FIELD_STRING, .says = "Whom or what it is about."},
    {"payload", FIELD_STRING, .words = trace_payloads, .says = "Whether payloads are shown."},
    {"payload_limit", FIELD_INTEGER, .says = "Bytes of a payload that are shown."},
    {"status", FIELD_STRING, .words = trace_states, .says = "running, stopped."},
    {"end", FIELD_STRING, .nullable = true, .words = trace_ends, .says = "Why it has ended; null while it runs."},
    {"started_at", FIELD_STRING, .format = "date-time", .says = "When it was started."},
    {"ends_at", FIELD_STRING, .format = "date-time", .says = "When its time is over."},
    {"stopped_at", FIELD_STRING, .nullable = true, .format = "date-time", .says = "When it ended."},
    {"max_bytes", FIELD_INTEGER, .says = "It ends when its files have so many."},
    {"bytes", FIELD_INTEGER, .says = "Of its files, text and JSON together."},
    {"records", FIELD_INTEGER, .says = "Records in it."},
    {"lost", FIELD_INTEGER, .says = "Records that found no room on their way from the shards; the trace says where."},
};
static const struct api_field trace_record[] = {
    {"at", FIELD_STRING, .format = "date-time", .says = "When, in microseconds."},
    {"shard", FIELD_INTEGER, .nullable = true, .says = "On which shard; null: about the trace itself."},
    {"clientid", FIELD_STRING, .says = "About which client; empty: about nobody in particular."},
    {"event", FIELD_STRING, .says = "What: a word of the list in docs/trace.md."},
    {"text", FIELD_STRING, .says = "In words, escaped."},
    {"details", FIELD_MAP, .of = "anything", .says = "The same for programs."},
};
static const struct api_field trace_log[] = {
    {"data", FIELD_ARRAY, .of = "TraceRecord", .says = "Records, by time."},
    {"position", FIELD_INTEGER, .says = "Where the next question goes on."},
    {"hasnext", FIELD_BOOLEAN, .says = "Whether there is more already."},
    {"status", FIELD_STRING, .words = trace_states, .says = "Whether it runs."},
};
static const char *const why_verdicts[] = {"yes", "later", "perhaps", "no", NULL};
static const char *const why_results[] = {"pass", "note", "perhaps", "later", "stop", NULL};
static const struct api_field why_step[] = {
    {"step", FIELD_STRING, .says = "A word: topic, publisher, packet, delayed, authorization, rewrite, mount, retained, client, matching, no_local, share, qos, size, session, queue, window."},
    {"result", FIELD_STRING, .words = why_results, .says = "pass: it goes on. note: it goes on, changed or with something to know. perhaps, later, stop: as in verdict."},
    {"text", FIELD_STRING, .says = "A sentence, with the rule, limit or key that decides."},
};
static const struct api_field why_subscription[] = {
    {"filter", FIELD_STRING, .says = "The filter, with the client's mount point."},
    {"share", FIELD_STRING, .nullable = true, .says = "The shared group."},
    {"qos", FIELD_INTEGER, .says = "The granted QoS."},
    {"no_local", FIELD_BOOLEAN, .says = "Whether it leaves out its own client's messages."},
    {"retain_as_published", FIELD_BOOLEAN, .says = "Whether the retain flag stays as the publisher has set it."},
    {"subscription_id", FIELD_INTEGER, .nullable = true, .says = "Its subscription identifier."},
    {"takes", FIELD_BOOLEAN, .says = "Whether it wants this message."},
};
static const struct api_field why_delivery[] = {
    {"topic", FIELD_STRING, .says = "The topic as the client sees it."},
    {"qos", FIELD_INTEGER, .says = "The QoS it gets."},
    {"retain", FIELD_BOOLEAN, .says = "The retain flag it gets."},
    {"subscription_ids", FIELD_ARRAY, .of = "integer", .says = "The subscription identifiers with it."},
};
static const struct api_field why[] = {
    {"clientid", FIELD_STRING, .says = "Who should get it."},
    {"topic", FIELD_STRING, .says = "Where it would be published to."},
    {"from", FIELD_STRING, .nullable = true, .says = "By whom; null: by the API."},
    {"qos", FIELD_INTEGER, .says = "With which QoS."},
    {"retain", FIELD_BOOLEAN, .says = "With the retain flag or without."},
    {"verdict", FIELD_STRING, .words = why_verdicts, .says = "yes: it would be sent now. later: it would wait. perhaps: it depends on what cannot be known before. no."},
    {"decided_by", FIELD_STRING, .says = "The step that decides it."},
    {"summary", FIELD_STRING, .says = "All of it in a sentence."},
    {"delivery", FIELD_OBJECT, .nullable = true, .of = "WhyDelivery", .says = "What the client would get; null: nothing."},
    {"subscriptions", FIELD_ARRAY, .of = "WhySubscription", .says = "Those of the client that match."},
    {"steps", FIELD_ARRAY, .of = "WhyStep", .says = "The message's way, in the order in which the broker decides."},
};
static const struct api_field drop[] = {
    {"at", FIELD_STRING, .format = "date-time", .says = "When."},
    {"shard", FIELD_INTEGER, .says = "On which shard."},
    {"reason", FIELD_STRING, .says = "A word for programs."},
    {"text", FIELD_STRING, .says = "The same for people, with the key that decides it."},
    {"clientid", FIELD_STRING, .says = "Who did not get it, or whose message was refused; empty: nobody in particular."},
    {"topic", FIELD_STRING, .says = "The topic, as far as it is known."},
    {"cut", FIELD_BOOLEAN, .says = "Whether one of these two was longer than 128 bytes."},
    {"count", FIELD_INTEGER, .says = "Messages: 1 but when a session ends."},
    {"not_noted", FIELD_INTEGER, .says = "Drops of this shard since its row before that the rate limit left out."},
};

#define SCHEMA(title, fields_of, text) {title, text, fields_of, COUNT(fields_of)}
const struct api_schema api_schemas[] = {
    SCHEMA("Error", error, "What went wrong."),
    SCHEMA("Meta", meta, "Which part of the rows this is."),
    SCHEMA("Login", login, "A user's name and password."),
    SCHEMA("Token", token, "A login."),
    SCHEMA("Identity", identity, "Who asks."),
    SCHEMA("User", user, "A user of this API."),
    SCHEMA("NewUser", new_user, "A user to be created."),
    SCHEMA("UserChange", user_change, "What is to change; the rest stays."),
    SCHEMA("PasswordChange", password_change, "A change of one's own password."),
    SCHEMA("ApiKey", api_key, "A key for programs."),
    SCHEMA("NewApiKey", new_api_key, "A key to be created."),
    SCHEMA("ApiKeySecret", api_key_secret, "A new key with its secret."),
    SCHEMA("ApiKeyChange", api_key_change, "What is to change; the rest stays."),
    SCHEMA("AuditEntry", audit_entry, "Something that was done."),
    SCHEMA("Status", status, "Life."),
    SCHEMA("Node", node, "A broker process."),
    SCHEMA("ShardStats", shard_stats, "Counters of one shard."),
    SCHEMA("Histogram", histogram, "How values are distributed."),
    SCHEMA("Stats", stats, "All counters."),
    SCHEMA("Backup", backup, "A copy of the running store."),
    SCHEMA("StoreShard", store_shard, "A shard's log."),
    SCHEMA("Store", store, "What survives the process."),
    SCHEMA("Metrics", metrics, "The counters of the node."),
    SCHEMA("Client", client, "A session, and its client when it is connected."),
    SCHEMA("ClientIds", client_ids, "Several clients."),
    SCHEMA("Kicked", kicked, "What became of them."),
    SCHEMA("Subscription", subscription, "A subscription."),
    SCHEMA("NewSubscription", new_subscription, "A subscription to be made."),
    SCHEMA("Unsubscription", unsubscription, "A subscription to be ended."),
    SCHEMA("Topic", topic, "A filter with subscribers."),
    SCHEMA("RetainedHead", retained_head, "A retained message without its payload."),
    SCHEMA("Retained", retained, "A retained message."),
    SCHEMA("UserProperty", user_property, "A user property."),
    SCHEMA("MessageProperties", message_properties, "Properties of MQTT 5; each may be left out."),
    SCHEMA("Deleted", deleted, "What was removed."),
    SCHEMA("Message", message, "A message to be published."),
    SCHEMA("Messages", messages, "Messages to be published."),
    SCHEMA("Published", published, "What became of a message."),
    SCHEMA("Listener", listener, "A way in."),
    SCHEMA("ConfigValue", config_value, "A key of the configuration."),
    SCHEMA("ConfigChange", config_change, "Changes of the runtime layer."),
    SCHEMA("ConfigDifference", config_difference, "A key whose value differs."),
    SCHEMA("ConfigResult", config_result, "What a change has done."),
    SCHEMA("ConfigVersion", config_version, "An earlier runtime layer."),
    SCHEMA("Rollback", rollback, "Which version."),
    SCHEMA("Alarm", alarm, "Something that needs attention."),
    SCHEMA("Ban", ban, "A ban that is in force."),
    SCHEMA("NewBan", new_ban, "Whom to ban."),
    SCHEMA("AuthenticationSource", authentication_source, "A source of logins or of rules."),
    SCHEMA("AuthenticationCounters", authentication_counters, "What has become of logins."),
    SCHEMA("AuthenticationPurge", authentication_purge, "What to forget."),
    SCHEMA("AuthenticationPurged", authentication_purged, "How much was forgotten."),
    SCHEMA("AuthorizationPurge", authorization_purge, "Whose verdicts to forget."),
    SCHEMA("MqttUser", mqtt_user, "A user of a built-in database."),
    SCHEMA("NewMqttUser", new_mqtt_user, "A user to be added."),
    SCHEMA("MqttUserChange", mqtt_user_change, "What is to change; the rest stays."),
    SCHEMA("MqttUsersImport", mqtt_users_import, "Many users."),
    SCHEMA("MqttUsersImported", mqtt_users_imported, "What has become of them."),
    SCHEMA("MqttUsersExport", mqtt_users_export, "All users of a database."),
    SCHEMA("FeatureQuestion", feature_question, "Something only the feature understands."),
    SCHEMA("FeatureAnswer", feature_answer, "And what it said."),
    SCHEMA("FeatureGate", feature_gate, "Answers about one kind of packet."),
    SCHEMA("Feature", feature, "A feature of the broker."),
    SCHEMA("Sink", sink, "A subscriber without a connection, of a feature."),
    SCHEMA("TopicMetrics", topic_metrics, "Messages of a registered topic."),
    SCHEMA("NewTopicMetrics", new_topic_metrics, "A topic to be registered."),
    SCHEMA("TopicMetricsReset", topic_metrics_reset, "Which counts begin again."),
    SCHEMA("SlowSubscription", slow_subscription, "A subscriber that was slow."),
    SCHEMA("Rule", rule, "A rule of authorization."),
    SCHEMA("Delayed", delayed, "A message that waits for its time."),
    SCHEMA("DelayedMessage", delayed_message, "The same with its payload."),
    SCHEMA("NewTrace", new_trace, "What to trace, and how long."),
    SCHEMA("Trace", trace, "A trace."),
    SCHEMA("TraceRecord", trace_record, "Something that happened."),
    SCHEMA("TraceLog", trace_log, "A piece of a trace."),
    SCHEMA("Drop", drop, "Something that was dropped or refused."),
    SCHEMA("WhyStep", why_step, "A step on a message's way."),
    SCHEMA("WhySubscription", why_subscription, "A subscription that matches."),
    SCHEMA("WhyDelivery", why_delivery, "What the client would get."),
    SCHEMA("Why", why, "Whether a message would arrive."),
};
const uint32_t api_schemas_count = COUNT(api_schemas);

const struct api_schema *api_schema_find(const char *name)
{
    for (uint32_t i = 0; i < api_schemas_count; i++)
        if (strcmp(api_schemas[i].name, name) == 0) return &api_schemas[i];
    return NULL;
}
