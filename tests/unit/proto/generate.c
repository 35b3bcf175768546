#include "generate.h"

#include "proto/encode.h"
#include "proto/topic.h"

static uint64_t below(struct generator *g, uint64_t bound) { return random_below(&g->random, bound); }
static bool coin(struct generator *g) { return below(g, 2); }
static uint16_t packet_id(struct generator *g) { return (uint16_t)(1 + below(g, 65535)); }

static struct span take(struct generator *g, size_t bytes)
{
    struct span span = span_of(g->arena + g->used, bytes);
    g->used += bytes;
    return span;
}

static struct span binary(struct generator *g, size_t bytes_max)
{
    struct span span = take(g, below(g, bytes_max + 1));
    for (size_t i = 0; i < span.bytes; i++)
        ((uint8_t *)span.data)[i] = (uint8_t)random_next(&g->random);
    return span;
}

static const char *const pieces[] = {"a", "b", "sensor", "ä", "温度", "/", "x1", "-", " ", "0123456789abcdef", "😀"};

static struct span text(struct generator *g, size_t pieces_max)
{
    size_t start = g->used;
    for (size_t n = below(g, pieces_max + 1); n; n--) {
        const char *piece = pieces[below(g, sizeof pieces / sizeof *pieces)];
        memcpy(g->arena + g->used, piece, strlen(piece));
        g->used += strlen(piece);
    }
    return span_of(g->arena + start, g->used - start);
}

static struct span topic(struct generator *g)
{
    struct span name = text(g, 6);
    return name.bytes ? name : SPAN_LITERAL("t");
}

static struct span filter(struct generator *g)
{
    static const char *const filters[] = {"#", "+", "a/+/b", "/#", "$share/g/a/#", "$share/group/+", "$SYS/#", "+/+/+"};
    uint64_t i = below(g, 12);
    return i < 8 ? span_of_string(filters[i]) : topic(g);
}

/* A legal random value for every property the packet may have, each with a chance of one in three. */
static void properties(struct generator *g, uint32_t packet, enum mqtt_role from, struct mqtt_properties *p,
                       struct mqtt_user_property *pairs)
{
    p->present = 0;
    p->raw = (struct span){NULL, 0};
    for (uint32_t id = 1; id <= 0x2A; id++) {
        const struct mqtt_property_kind *kind = mqtt_property_kind(id);
        if (kind->name == NULL || !(kind->packets & packet) || below(g, 3)) continue;
        if (id == MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER && packet == MQTT_IN(PUBLISH) && from == MQTT_FROM_CLIENT) continue;
        if (packet == MQTT_IN(DISCONNECT) && id == MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL && from == MQTT_FROM_SERVER) continue;
        if (packet == MQTT_IN(DISCONNECT) && id == MQTT_PROPERTY_SERVER_REFERENCE && from == MQTT_FROM_CLIENT) continue;
        void *field = (uint8_t *)p + kind->offset;
        switch (kind->wire) {
        case MQTT_WIRE_BYTE: *(uint8_t *)field = (uint8_t)below(g, 2); break;
        case MQTT_WIRE_U16: *(uint16_t *)field = packet_id(g); break;
        case MQTT_WIRE_U32: *(uint32_t *)field = (uint32_t)(1 + below(g, UINT32_MAX)); break;
        case MQTT_WIRE_STRING: *(struct span *)field = id == MQTT_PROPERTY_RESPONSE_TOPIC ? topic(g) : text(g, 4); break;
        case MQTT_WIRE_BINARY: *(struct span *)field = binary(g, 20); break;
        case MQTT_WIRE_VARINT:
            p->subscription_ids_count = packet == MQTT_IN(PUBLISH) ? 1 + (uint32_t)below(g, 8) : 1;
            for (uint32_t i = 0; i < p->subscription_ids_count; i++)
                g->subscription_ids[i] = 1 + (uint32_t)(below(g, MQTT_VARINT_MAX) >> (7 * below(g, 4)));
            p->subscription_id = g->subscription_ids[0];
            p->subscription_ids = coin(g) && p->subscription_ids_count == 1 ? NULL : g->subscription_ids;
            break;
        case MQTT_WIRE_PAIR:
            p->user_properties_count = 1 + (uint32_t)below(g, 4);
            for (uint32_t i = 0; i < p->user_properties_count; i++)
                pairs[i] = (struct mqtt_user_property){text(g, 3), text(g, 3)};
            p->user_properties = pairs;
            break;
        case MQTT_WIRE_NONE: break;
        }
        mqtt_set(p, id);
    }
    if (mqtt_has(p, MQTT_PROPERTY_AUTHENTICATION_DATA) || packet == MQTT_IN(AUTH)) {
        p->authentication_method = text(g, 2);
        mqtt_set(p, MQTT_PROPERTY_AUTHENTICATION_METHOD);
    }
}

static void properties_for(struct generator *g, enum mqtt_version version, uint32_t packet, enum mqtt_role from,
                           struct mqtt_properties *p, struct mqtt_user_property *pairs)
{
    if (version == MQTT_5 && below(g, 4)) {
        properties(g, packet, from, p, pairs);
        return;
    }
    p->present = 0;
    p->raw = (struct span){NULL, 0};
    if (packet == MQTT_IN(AUTH)) properties(g, packet, from, p, pairs);
}

static enum mqtt_reason reason(struct generator *g, enum mqtt_packet_type type, enum mqtt_role from)
{
    for (;;) {
        uint8_t code = (uint8_t)random_next(&g->random);
        if (mqtt_reason_legal(type, from, code)) return code;
    }
}

static void connect(struct generator *g, enum mqtt_version version, struct mqtt_connect *c)
{
    c->version = version;
    c->bridge = version != MQTT_5 && coin(g);
    c->clean_start = coin(g);
    c->keep_alive_s = (uint16_t)below(g, 65536);
    c->client_id = text(g, 5);
    if (version == MQTT_3_1_1 && c->client_id.bytes == 0) c->clean_start = true;
    if (version == MQTT_3_1 && c->client_id.bytes == 0) c->client_id = SPAN_LITERAL("id");
    properties_for(g, version, MQTT_IN(CONNECT), MQTT_FROM_CLIENT, &c->properties, g->user_properties[0]);
    c->has_will = coin(g);
    if (c->has_will) {
        c->will.qos = (uint8_t)below(g, 3);
        c->will.retain = coin(g);
        c->will.topic = topic(g);
        c->will.payload = binary(g, 200);
        properties_for(g, version, MQTT_IN_WILL, MQTT_FROM_CLIENT, &c->will.properties, g->user_properties[1]);
    }
    c->has_user_name = coin(g);
    c->user_name = text(g, 4);
    c->has_password = coin(g) && (version == MQTT_5 || c->has_user_name);
    c->password = binary(g, 20);
}

static void publish(struct generator *g, enum mqtt_version version, enum mqtt_role from, struct mqtt_publish *p)
{
    p->qos = (uint8_t)below(g, 3);
    p->dup = p->qos && coin(g);
    p->retain = coin(g);
    p->packet_id = p->qos ? packet_id(g) : 0;
    p->topic = topic(g);
    p->payload = binary(g, below(g, 8) ? 100 : 20000);
    properties_for(g, version, MQTT_IN(PUBLISH), from, &p->properties, g->user_properties[0]);
    if (mqtt_has(&p->properties, MQTT_PROPERTY_TOPIC_ALIAS) && coin(g)) p->topic.bytes = 0;
}

static void subscribe(struct generator *g, enum mqtt_version version, struct mqtt_subscribe *s)
{
    s->packet_id = packet_id(g);
    s->count = 1 + (uint32_t)below(g, 8);
    s->subscriptions = g->subscriptions;
    for (uint32_t i = 0; i < s->count; i++) {
        struct mqtt_subscription *subscription = &g->subscriptions[i];
        *subscription = (struct mqtt_subscription){.full_filter = filter(g), .qos = (uint8_t)below(g, 3)};
        if (version != MQTT_5) continue;
        subscription->retain_handling = (uint8_t)below(g, 3);
        subscription->retain_as_published = coin(g);
        subscription->no_local = coin(g) && !span_starts_with(subscription->full_filter, SPAN_LITERAL("$share/"));
    }
    properties_for(g, version, MQTT_IN(SUBSCRIBE), MQTT_FROM_CLIENT, &s->properties, g->user_properties[0]);
}

static void unsubscribe(struct generator *g, enum mqtt_version version, struct mqtt_unsubscribe *u)
{
    u->packet_id = packet_id(g);
    u->count = 1 + (uint32_t)below(g, 8);
    u->filters = g->filters;
    for (uint32_t i = 0; i < u->count; i++)
        g->filters[i] = filter(g);
    properties_for(g, version, MQTT_IN(UNSUBSCRIBE), MQTT_FROM_CLIENT, &u->properties, g->user_properties[0]);
}

static void suback(struct generator *g, enum mqtt_version version, enum mqtt_packet_type type, struct mqtt_suback *s)
{
    static const uint8_t v3_codes[] = {0, 1, 2, 0x80};
    s->packet_id = packet_id(g);
    s->codes = take(g, version != MQTT_5 && type == MQTT_UNSUBACK ? 0 : 1 + below(g, 8));
    for (size_t i = 0; i < s->codes.bytes; i++)
        ((uint8_t *)s->codes.data)[i] =
            version == MQTT_5 ? (uint8_t)reason(g, type, MQTT_FROM_SERVER) : v3_codes[below(g, 4)];
    properties_for(g, version, MQTT_IN_OF(type), MQTT_FROM_SERVER, &s->properties, g->user_properties[0]);
}

static void connack(struct generator *g, enum mqtt_version version, struct mqtt_connack *c)
{
    c->reason = version == MQTT_5 ? reason(g, MQTT_CONNACK, MQTT_FROM_SERVER)
                                  : mqtt_reason_of_connack_code((uint8_t)below(g, 6));
    c->session_present = version != MQTT_3_1 && !c->reason && coin(g);
    properties_for(g, version, MQTT_IN(CONNACK), MQTT_FROM_SERVER, &c->properties, g->user_properties[0]);
}

void generate_packet(struct generator *g, enum mqtt_version version, enum mqtt_role from, struct mqtt_packet *ret)
{
    static const enum mqtt_packet_type client[] = {MQTT_CONNECT, MQTT_PUBLISH, MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL,
        MQTT_PUBCOMP, MQTT_SUBSCRIBE, MQTT_UNSUBSCRIBE, MQTT_PINGREQ, MQTT_DISCONNECT, MQTT_AUTH};
    static const enum mqtt_packet_type server[] = {MQTT_CONNACK, MQTT_PUBLISH, MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL,
        MQTT_PUBCOMP, MQTT_SUBACK, MQTT_UNSUBACK, MQTT_PINGRESP, MQTT_DISCONNECT, MQTT_AUTH};
    g->used = 0;
    memset(ret, 0xA5, sizeof *ret); /* whoever reads what is not set shall notice */
    uint64_t kinds = version == MQTT_5 ? 11 : from == MQTT_FROM_CLIENT ? 10 : 9;
    ret->type = (from == MQTT_FROM_CLIENT ? client : server)[below(g, kinds)];
    struct mqtt_user_property *pairs = g->user_properties[0];
    switch (ret->type) {
    case MQTT_CONNECT: connect(g, version, &ret->connect); break;
    case MQTT_CONNACK: connack(g, version, &ret->connack); break;
    case MQTT_PUBLISH: publish(g, version, from, &ret->publish); break;
    case MQTT_SUBSCRIBE: subscribe(g, version, &ret->subscribe); break;
    case MQTT_UNSUBSCRIBE: unsubscribe(g, version, &ret->unsubscribe); break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: suback(g, version, ret->type, &ret->suback); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        ret->ack.packet_id = packet_id(g);
        ret->ack.reason = version == MQTT_5 ? reason(g, ret->type, from) : MQTT_REASON_SUCCESS;
        properties_for(g, version, MQTT_IN_OF(ret->type), from, &ret->ack.properties, pairs);
        break;
    case MQTT_DISCONNECT:
        ret->disconnect.reason = version == MQTT_5 ? reason(g, MQTT_DISCONNECT, from) : MQTT_REASON_SUCCESS;
        properties_for(g, version, MQTT_IN(DISCONNECT), from, &ret->disconnect.properties, pairs);
        break;
    case MQTT_AUTH:
        ret->auth.reason = reason(g, MQTT_AUTH, from);
        properties_for(g, version, MQTT_IN(AUTH), from, &ret->auth.properties, pairs);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: break;
    }
}

/* ---- equality ---- */

static bool user_property_at(const struct mqtt_properties *p, uint32_t index, struct mqtt_user_property *ret)
{
    if (p->user_properties) {
        *ret = p->user_properties[index];
        return true;
    }
    struct span rest = p->raw;
    for (uint32_t i = 0; i <= index; i++)
        if (!mqtt_user_property_next(&rest, ret)) return false;
    return true;
}

static bool subscription_id_at(const struct mqtt_properties *p, uint32_t index, uint32_t *ret)
{
    *ret = p->subscription_id;
    if (p->subscription_ids) *ret = p->subscription_ids[index];
    if (p->subscription_ids || index == 0) return true;
    struct span rest = p->raw;
    for (uint32_t i = 0; i <= index; i++)
        if (!mqtt_subscription_id_next(&rest, ret)) return false;
    return true;
}

static bool repeated_equal(const struct mqtt_properties *a, const struct mqtt_properties *b, uint32_t id)
{
    struct mqtt_user_property pair_a, pair_b;
    uint32_t id_a, id_b;
    if (id == MQTT_PROPERTY_USER_PROPERTY) {
        if (a->user_properties_count != b->user_properties_count) return false;
        for (uint32_t i = 0; i < a->user_properties_count; i++) {
            if (!user_property_at(a, i, &pair_a) || !user_property_at(b, i, &pair_b)) return false;
            if (!span_equal(pair_a.name, pair_b.name) || !span_equal(pair_a.value, pair_b.value)) return false;
        }
        return true;
    }
    if (a->subscription_ids_count != b->subscription_ids_count || a->subscription_id != b->subscription_id) return false;
    for (uint32_t i = 0; i < a->subscription_ids_count; i++)
        if (!subscription_id_at(a, i, &id_a) || !subscription_id_at(b, i, &id_b) || id_a != id_b) return false;
    return true;
}

static bool properties_equal(const struct mqtt_properties *a, const struct mqtt_properties *b)
{
    if (a->present != b->present) return false;
    for (uint32_t id = 1; id <= 0x2A; id++) {
        if (!mqtt_has(a, id)) continue;
        const struct mqtt_property_kind *kind = mqtt_property_kind(id);
        const uint8_t *field_a = (const uint8_t *)a + kind->offset, *field_b = (const uint8_t *)b + kind->offset;
        bool equal = false;
        switch (kind->wire) {
        case MQTT_WIRE_BYTE: equal = *field_a == *field_b; break;
        case MQTT_WIRE_U16: equal = memcmp(field_a, field_b, 2) == 0; break;
        case MQTT_WIRE_U32: equal = memcmp(field_a, field_b, 4) == 0; break;
        case MQTT_WIRE_STRING:
        case MQTT_WIRE_BINARY: equal = span_equal(*(const struct span *)field_a, *(const struct span *)field_b); break;
        case MQTT_WIRE_VARINT:
        case MQTT_WIRE_PAIR: equal = repeated_equal(a, b, id); break;
        case MQTT_WIRE_NONE: break;
        }
        if (!equal) return false;
    }
    return true;
}

static bool connects_equal(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
    if (a->version != b->version || a->bridge != b->bridge || a->clean_start != b->clean_start) return false;
    if (a->has_will != b->has_will || a->has_user_name != b->has_user_name || a->has_password != b->has_password) return false;
    if (a->keep_alive_s != b->keep_alive_s || !span_equal(a->client_id, b->client_id)) return false;
    if (a->has_user_name && !span_equal(a->user_name, b->user_name)) return false;
    if (a->has_password && !span_equal(a->password, b->password)) return false;
    if (!properties_equal(&a->properties, &b->properties)) return false;
    if (!a->has_will) return true;
    return a->will.qos == b->will.qos && a->will.retain == b->will.retain && span_equal(a->will.topic, b->will.topic) &&
           span_equal(a->will.payload, b->will.payload) && properties_equal(&a->will.properties, &b->will.properties);
}

static bool subscription_at(const struct mqtt_subscribe *s, uint32_t index, struct mqtt_subscription *ret)
{
    if (s->subscriptions) {
        *ret = s->subscriptions[index];
        return true;
    }
    struct span rest = s->raw;
    for (uint32_t i = 0; i <= index; i++)
        if (!mqtt_subscription_next(&rest, ret)) return false;
    return true;
}

static bool subscribes_equal(const struct mqtt_subscribe *a, const struct mqtt_subscribe *b)
{
    if (a->packet_id != b->packet_id || a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        struct mqtt_subscription x, y;
        if (!subscription_at(a, i, &x) || !subscription_at(b, i, &y)) return false;
        if (!span_equal(x.full_filter, y.full_filter) || x.qos != y.qos || x.no_local != y.no_local) return false;
        if (x.retain_handling != y.retain_handling || x.retain_as_published != y.retain_as_published) return false;
    }
    return properties_equal(&a->properties, &b->properties);
}

static bool filter_at(const struct mqtt_unsubscribe *u, uint32_t index, struct span *ret)
{
    if (u->filters) {
        *ret = u->filters[index];
        return true;
    }
    struct span rest = u->raw;
    struct mqtt_subscription subscription;
    for (uint32_t i = 0; i <= index; i++)
        if (!mqtt_unsubscription_next(&rest, &subscription)) return false;
    *ret = subscription.full_filter;
    return true;
}

static bool unsubscribes_equal(const struct mqtt_unsubscribe *a, const struct mqtt_unsubscribe *b)
{
    if (a->packet_id != b->packet_id || a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        struct span x, y;
        if (!filter_at(a, i, &x) || !filter_at(b, i, &y) || !span_equal(x, y)) return false;
    }
    return properties_equal(&a->properties, &b->properties);
}

bool packets_equal(enum mqtt_version version, const struct mqtt_packet *a, const struct mqtt_packet *b)
{
    if (a->type != b->type) return false;
    switch (a->type) {
    case MQTT_CONNECT: return connects_equal(&a->connect, &b->connect);
    case MQTT_CONNACK:
        return a->connack.session_present == b->connack.session_present && a->connack.reason == b->connack.reason &&
               properties_equal(&a->connack.properties, &b->connack.properties);
    case MQTT_PUBLISH:
        return a->publish.dup == b->publish.dup && a->publish.retain == b->publish.retain &&
               a->publish.qos == b->publish.qos && a->publish.packet_id == b->publish.packet_id &&
               span_equal(a->publish.topic, b->publish.topic) && span_equal(a->publish.payload, b->publish.payload) &&
               properties_equal(&a->publish.properties, &b->publish.properties);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return a->ack.packet_id == b->ack.packet_id && a->ack.reason == b->ack.reason &&
               properties_equal(&a->ack.properties, &b->ack.properties);
    case MQTT_SUBSCRIBE: return subscribes_equal(&a->subscribe, &b->subscribe);
    case MQTT_UNSUBSCRIBE: return unsubscribes_equal(&a->unsubscribe, &b->unsubscribe);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return a->suback.packet_id == b->suback.packet_id && span_equal(a->suback.codes, b->suback.codes) &&
               properties_equal(&a->suback.properties, &b->suback.properties);
    case MQTT_DISCONNECT:
        return a->disconnect.reason == b->disconnect.reason &&
               properties_equal(&a->disconnect.properties, &b->disconnect.properties);
    case MQTT_AUTH:
        return a->auth.reason == b->auth.reason && properties_equal(&a->auth.properties, &b->auth.properties);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return true;
    }
    return false;
}
