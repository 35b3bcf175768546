#include "broker/mount.h"

#include "base/memory.h"
#include "broker/broker.h"

#define CLIENT_ID SPAN_LITERAL("${client_id}")
#define USER_NAME SPAN_LITERAL("${username}")

/* The mount point's next piece: text, or what stands for a placeholder. */
static struct span next_piece(struct span *rest, struct span client_id, struct span user_name)
{
    if (span_starts_with(*rest, CLIENT_ID)) return *rest = span_skip(*rest, CLIENT_ID.bytes), client_id;
    if (span_starts_with(*rest, USER_NAME)) return *rest = span_skip(*rest, USER_NAME.bytes), user_name;
    const uint8_t *dollar = memchr(rest->data + 1, '$', rest->bytes - 1);
    struct span text = span_of(rest->data, dollar ? (size_t)(dollar - rest->data) : rest->bytes);
    *rest = span_skip(*rest, text.bytes);
    return text;
}

static bool fits_a_level(struct span name)
{
    return name.bytes && !memchr(name.data, '/', name.bytes) && !memchr(name.data, '+', name.bytes) && !memchr(name.data, '#', name.bytes) &&
           name.data[0] != '$';
}

const char *mount_check(const char *mountpoint, struct span client_id, struct span user_name)
{
    if (!mountpoint || !*mountpoint) return NULL;
    if (strstr(mountpoint, "${client_id}") && !fits_a_level(client_id)) return "the client id cannot be part of the mount point";
    if (strstr(mountpoint, "${username}") && !fits_a_level(user_name)) return "the user name cannot be part of the mount point";
    return NULL;
}

void mount_set(struct session *session, const char *mountpoint, struct span user_name)
{
    struct span pieces = span_of_string(mountpoint ? mountpoint : "");
    struct mount *mount = NULL;
    if (session->rare) memory_release(session->rare->mount);
    while (pieces.bytes) {
        struct span piece = next_piece(&pieces, session_client_id(session), user_name);
        uint32_t bytes = mount ? mount->bytes : 0;
        mount = memory_resize(mount, sizeof *mount + bytes + piece.bytes);
        if (piece.bytes) memcpy(mount->prefix + bytes, piece.data, piece.bytes);
        mount->bytes = bytes + (uint32_t)piece.bytes;
    }
    if (mount || session->rare) session_rare(session)->mount = mount;
    session->mounted = mount != NULL;
}

struct span mount_topic(struct broker_shard *broker, const struct session *session, struct span topic)
{
    if (!session->mounted) return topic;
    const struct mount *mount = session->rare->mount;
    size_t bytes = mount->bytes + topic.bytes;
    if (bytes > broker->mounted_capacity) {
        broker->mounted_capacity = bytes * 2;
        broker->mounted = memory_resize(broker->mounted, broker->mounted_capacity);
    }
    memcpy(broker->mounted, mount->prefix, mount->bytes);
    if (topic.bytes) memcpy(broker->mounted + mount->bytes, topic.data, topic.bytes);
    struct span mounted = span_of(broker->mounted, bytes);
    return route_index_accepts(mounted) ? mounted : span_of(NULL, 0);
}

struct span mount_strip(const struct session *session, struct span topic)
{
    struct span prefix = span_of(session->rare->mount->prefix, session->rare->mount->bytes);
    return span_starts_with(topic, prefix) ? span_skip(topic, prefix.bytes) : topic;
}
