#include "broker/client_names.h"

#include "broker/broker.h"
#include "proto/topic.h"

struct client_names client_names_of(const struct session *session)
{
    return (struct client_names){session_client_id(session), extras_user_name(session), session->facts};
}

struct span client_names_value(const struct client_names *names, const struct placeholder *placeholder)
{
    struct span value = span_of(NULL, 0);
    switch (placeholder->kind) {
    case PLACEHOLDER_NONE: break;
    case PLACEHOLDER_CLIENT_ID: value = names->client_id; break;
    case PLACEHOLDER_USER_NAME: value = names->user_name; break;
    case PLACEHOLDER_ATTRIBUTE:
        if (names->facts) value = feature_attribute(names->facts, placeholder->attribute);
        break;
    }
    bool fits = value.bytes && !memchr(value.data, '/', value.bytes) && !mqtt_topic_has_wildcards(value);
    return fits ? value : span_of(NULL, 0);
}
