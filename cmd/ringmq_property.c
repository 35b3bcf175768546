#include "cmd/ringmq_property.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"

static const struct {
    const char *word;
    uint32_t packet;
} commands[PROPERTY_COMMANDS] = {
    [PROPERTY_CONNECT] = {"connect", MQTT_IN(CONNECT)},
    [PROPERTY_PUBLISH] = {"publish", MQTT_IN(PUBLISH)},
    [PROPERTY_SUBSCRIBE] = {"subscribe", MQTT_IN(SUBSCRIBE)},
    [PROPERTY_UNSUBSCRIBE] = {"unsubscribe", MQTT_IN(UNSUBSCRIBE)},
    [PROPERTY_DISCONNECT] = {"disconnect", MQTT_IN(DISCONNECT)},
    [PROPERTY_WILL] = {"will", MQTT_IN_WILL},
    [PROPERTY_AUTH] = {"auth", MQTT_IN(AUTH)},
};

char *property_word(const char *name, char out[PROPERTY_NAME_MAX])
{
    size_t i = 0;
    for (; name[i] && i < PROPERTY_NAME_MAX - 1; i++)
        out[i] = name[i] == ' ' ? '-' : (char)tolower((unsigned char)name[i]);
    out[i] = 0;
    return out;
}

static bool find_command(const char *word, enum property_command *ret_command)
{
    const char *words[PROPERTY_COMMANDS];
    for (int i = 0; i < PROPERTY_COMMANDS; i++) {
        words[i] = commands[i].word;
        if (strcmp(word, commands[i].word) != 0) continue;
        *ret_command = (enum property_command)i;
        return true;
    }
    const char *nearest = nearest_word(word, words, PROPERTY_COMMANDS);
    say_error(
        "-D: '%s' is no command%s%s; they are connect, publish, subscribe, unsubscribe, disconnect, will and auth",
        word, nearest ? ", did you mean " : "", nearest ? nearest : "");
    return false;
}

#define IDS_END 0x2B

static bool find_property(const char *word, enum property_command command, uint8_t *ret_id)
{
    char names[IDS_END][PROPERTY_NAME_MAX];
    const char *allowed[IDS_END];
    uint32_t allowed_count = 0;
    for (uint8_t id = 1; id < IDS_END; id++) {
        const struct mqtt_property_kind *kind = mqtt_property_kind(id);
        if (kind->name == NULL) continue;
        bool fits = kind->packets & commands[command].packet;
        if (fits) allowed[allowed_count++] = property_word(kind->name, names[id]);
        if (strcmp(word, property_word(kind->name, names[id])) != 0) continue;
        *ret_id = id;
        if (!fits) say_error("-D: %s cannot have the property %s", commands[command].word, word);
        return fits;
    }
    const char *nearest = nearest_word(word, allowed, allowed_count);
    say_error("-D: '%s' is no property%s%s", word, nearest ? "; did you mean " : "", nearest ? nearest : "");
    return false;
}

static uint64_t largest(enum mqtt_property_wire wire)
{
    switch (wire) {
    case MQTT_WIRE_BYTE: return 1; /* every byte-sized property is a yes or no */
    case MQTT_WIRE_U16: return UINT16_MAX;
    case MQTT_WIRE_VARINT: return MQTT_VARINT_MAX;
    default: return UINT32_MAX;
    }
}

static bool store_number(struct mqtt_properties *properties, const struct mqtt_property_kind *kind, const char *value)
{
    uint64_t number;
    if (!parse_number(value, 0, largest(kind->wire), &number)) {
        char word[PROPERTY_NAME_MAX];
        say_error("-D: %s wants a number from 0 to %lu, not '%s'", property_word(kind->name, word),
                  (unsigned long)largest(kind->wire), value);
        return false;
    }
    void *field = (char *)properties + kind->offset;
    if (kind->wire == MQTT_WIRE_BYTE) *(uint8_t *)field = (uint8_t)number;
    if (kind->wire == MQTT_WIRE_U16) *(uint16_t *)field = (uint16_t)number;
    if (kind->wire == MQTT_WIRE_U32 || kind->wire == MQTT_WIRE_VARINT) *(uint32_t *)field = (uint32_t)number;
    return true;
}

static bool too_long(const char *value)
{
    if (strlen(value) <= MQTT_STRING_BYTES_MAX) return false;
    say_error("-D: a value has more than %d bytes", MQTT_STRING_BYTES_MAX);
    return true;
}

static void add_user_property(struct property_set *set, const char *name, const char *value)
{
    struct mqtt_properties *properties = &set->properties;
    if (!mqtt_has(properties, MQTT_PROPERTY_USER_PROPERTY)) properties->user_properties_count = 0;
    uint32_t count = properties->user_properties_count + 1;
    set->users = memory_resize(set->users, count * sizeof *set->users);
    set->users[count - 1] = (struct mqtt_user_property){span_of_string(name), span_of_string(value)};
    properties->user_properties = set->users;
    properties->user_properties_count = count;
}

/* The decoder is the judge: what it takes from a client, one may send. Authentication data may come before its method.
 */
static bool judge(const struct mqtt_properties *properties, uint8_t id, enum property_command command, const char *word)
{
    struct mqtt_properties alone = *properties;
    alone.present = 1ull << id;
    if (id == MQTT_PROPERTY_AUTHENTICATION_DATA) return true;
    size_t bytes = mqtt_properties_bytes(&alone);
    uint8_t *block = memory_acquire(bytes);
    mqtt_properties_write(block, &alone);
    struct mqtt_properties decoded;
    struct mqtt_properties_verdict verdict =
        mqtt_properties_decode(span_of(block, bytes), commands[command].packet, MQTT_FROM_CLIENT, &decoded);
    memory_release(block);
    if (verdict.reason) say_error("-D %s %s: %s", commands[command].word, word, verdict.what);
    return verdict.reason == MQTT_REASON_SUCCESS;
}

bool property_take(struct property_set *sets, struct option_arguments *arguments)
{
    const char *command_word = option_value(arguments), *word = option_value(arguments),
               *value = option_value(arguments);
    if (value == NULL) {
        say_error("-D wants COMMAND PROPERTY VALUE, as in: -D publish content-type text/plain");
        return false;
    }
    enum property_command command;
    uint8_t id;
    if (!find_command(command_word, &command) || !find_property(word, command, &id)) return false;
    struct property_set *set = &sets[command];
    const struct mqtt_property_kind *kind = mqtt_property_kind(id);
    if (too_long(value)) return false;
    if (kind->wire == MQTT_WIRE_PAIR) {
        const char *name = value;
        value = option_value(arguments);
        if (value == NULL) {
            say_error("-D: user-property wants a name and a value, as in: -D publish user-property colour red");
            return false;
        }
        if (too_long(value)) return false;
        add_user_property(set, name, value);
    } else if (kind->wire == MQTT_WIRE_STRING || kind->wire == MQTT_WIRE_BINARY) {
        *(struct span *)((char *)&set->properties + kind->offset) = span_of_string(value);
    } else if (!store_number(&set->properties, kind, value)) {
        return false;
    }
    if (id == MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER) {
        set->properties.subscription_ids = NULL;
        set->properties.subscription_ids_count = 1;
    }
    mqtt_set(&set->properties, id);
    return judge(&set->properties, id, command, word);
}
