/* ringmq_property.h - MQTT 5 properties from the command line (-D command property value), by the table of
 * proto/properties.h. */
#ifndef RINGMQ_CMD_PROPERTY_H
#define RINGMQ_CMD_PROPERTY_H

#include "cmd/ringmq_options.h"
#include "proto/properties.h"

/* The packets -D can speak of. */
enum property_command {
    PROPERTY_CONNECT,
    PROPERTY_PUBLISH,
    PROPERTY_SUBSCRIBE,
    PROPERTY_UNSUBSCRIBE,
    PROPERTY_DISCONNECT,
    PROPERTY_WILL,
    PROPERTY_AUTH,
    PROPERTY_COMMANDS
};

struct property_set {
    struct mqtt_properties properties;
    struct mqtt_user_property *users;
};

/* Takes "command property value", or "command user-property name value". Complains and returns false when that is no
 * property or not its value. `sets` has PROPERTY_COMMANDS entries. */
bool property_take(struct property_set *sets, struct option_arguments *arguments);

/* "message-expiry-interval": the standard's name in lower case with dashes. Returns `out`. */
#define PROPERTY_NAME_MAX 48
char *property_word(const char *name, char out[PROPERTY_NAME_MAX]);

#endif
