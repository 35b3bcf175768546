#include "support.h"

/* What is printed can be read, and means the same. */
Test(print, effective_reads_back)
{
    struct config *config = load_sound(NULL, NULL, LIST("node.name=\"a\\\\b\"", "mqtt.response_information=\"x\\\"\\u0007 ü\"",
                                                        "listeners.tcp.x.bind=[::1]:9", "io.spin=30us", "mqtt.max_packet_size=1000001",
                                                        "mqtt.session_expiry_interval=never", "mqtt.keepalive_max=61s"));
    char *text = effective(config), *errors;
    file_write("effective.conf", text);
    struct config *again = load(LIST("effective.conf"), NULL, NULL, &errors);
    cr_assert(again, "%s", errors);
    cr_assert_eq(config_diff(config, again, NULL, NULL), 0);
    config_release(config);
    config_release(again);
    memory_release(errors);
    memory_release(text);
}
