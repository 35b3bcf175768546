#include "broker/mount.h"

#include "base/memory.h"
#include "broker/broker.h"

/* The placeholder that the rest of a mount point begins with; here % is an ordinary character. */
static struct placeholder mount_placeholder(struct span rest)
{
    return rest.bytes && rest.data[0] == '$' ? placeholder_at(rest) : (struct placeholder){.kind = PLACEHOLDER_NONE};
}

/* The mount point's next piece: text, or what stands for a placeholder. */
static struct span next_piece(struct span *rest, const struct client_names *names)
{
    struct placeholder placeholder = mount_placeholder(*rest);
    if (placeholder.kind) return *rest = span_skip(*rest, placeholder.bytes), client_names_value(names, &placeholder);
    const uint8_t *dollar = memchr(rest->data + 1, '$', rest->bytes - 1);
    struct span text = span_of(rest->data, dollar ? (size_t)(dollar - rest->data) : rest->bytes);
    *rest = span_skip(*rest, text.bytes);
    return text;
}

const char *mount_check(const char *mountpoint, const struct client_names *names)
{
    static const char *const words[] = {[PLACEHOLDER_CLIENT_ID] = "the client id cannot be part of the mount point",
                                        [PLACEHOLDER_USER_NAME] = "the user name cannot be part of the mount point",
                                        [PLACEHOLDER_ATTRIBUTE] = "a client attribute is missing or cannot be part of the mount point"};
    for (struct span rest = span_of_string(mountpoint ? mountpoint : ""); rest.bytes;) {
        struct placeholder placeholder = mount_placeholder(rest);
        struct span value = next_piece(&rest, names);
        if (placeholder.kind && (value.bytes == 0 || value.data[0] == '$')) return words[placeholder.kind];
    }
    return NULL;
}

void mount_set(struct session *session, const char *mountpoint, const struct client_names *names)
{
    struct span pieces = span_of_string(mountpoint ? mountpoint : "");
    struct mount *mount = NULL;
    if (session->rare) memory_release(session->rare->mount);
    while (pieces.bytes) {
        struct span piece = next_piece(&pieces, names);
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
    bool inside = topic.bytes > prefix.bytes && span_starts_with(topic, prefix); /* else nothing would be left, which is no topic [MQTT-4.7.3-1] */
    return inside ? span_skip(topic, prefix.bytes) : topic;
}
