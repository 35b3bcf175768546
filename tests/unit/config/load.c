/* Sources, their order, what is wrong with values; and the settings that come out. */
#include "support.h"

Test(load, defaults)
{
    struct config *config = load_sound(NULL, NULL, NULL);
    const struct settings *settings = config_settings(config);
    cr_assert_eq(settings->node.shards, 0);
    cr_assert_eq(settings->node.connections_max, 100000);
    cr_assert_str_eq(settings->node.data_dir, "data");
    cr_assert_eq(settings->mqtt.packet_bytes_max, 1048576);
    cr_assert_eq(settings->mqtt.receive_max, 1024);
    cr_assert_eq(settings->mqtt.session_expiry_max_s, 604800);
    cr_assert_eq(settings->mqtt.allow_anonymous, ANONYMOUS_LOOPBACK);
    cr_assert_eq(settings->mqtt.share_strategy, 1);
    cr_assert_eq(settings->mqtt.pause_ms, 2);
    cr_assert_eq(settings->mqtt.retained_bytes_max, 1ull << 30);
    cr_assert_eq(settings->mqtt.queue_policy, QUEUE_DROP_NEWEST);
    cr_assert_eq(settings->io.receive_buffers_bytes, 2u << 20);
    cr_assert(settings->io.min_wait && settings->mqtt.retain_available);
    cr_assert_eq(settings->log.level, 1);
    cr_assert_eq(settings->sys.interval_s, 10);
    cr_assert_eq(settings->listeners_count, 1);
    cr_assert_str_eq(settings->listeners[0].name, "default");
    cr_assert_str_eq(settings->listeners[0].bind, "127.0.0.1:1883");
    cr_assert_eq(settings->listeners[0].connect_timeout_ms, 10000);
    cr_assert(settings->listeners[0].enable);
    config_release(config);
}

Test(load, every_key_can_be_set)
{
    file_write("all.conf",
               "node { name = n, data_dir = /d, shards = 3, pin_cores = off, max_connections = 77 }\n"
               "listeners.tcp {\n"
               "  west { bind = \"127.0.0.1:2000\", backlog = 9, max_connections = 5, connect_timeout = 1s, tcp_nodelay = no\n"
               "         congestion_control = bbr }\n"
               "  default.enable = false\n"
               "}\n"
               "mqtt { max_packet_size = 2k, max_qos_allowed = 1, session_expiry_interval = never, keepalive_max = 1m\n"
               "  mqueue_policy = drop-oldest, shared_subscription_strategy = hash-topic, max_mqueue_bytes = 5GiB\n"
               "  response_information = \"r/\", publisher_pause = 0, allow_anonymous = true }\n"
               "retainer { max_messages = infinity, max_payload_size = 1MiB }\n"
               "io { spin = 50us, ring_entries = 128, multishot_receive = false }\n"
               "log { level = warning, format = JSON }\n"
               "sys.interval = 0\n");
    struct config *config = load_sound(LIST("all.conf"), NULL, NULL);
    const struct settings *settings = config_settings(config);
    cr_assert_str_eq(settings->node.name, "n");
    cr_assert_eq(settings->node.shards, 3);
    cr_assert_not(settings->node.pin);
    cr_assert_eq(settings->node.connections_max, 77);
    cr_assert_eq(settings->listeners_count, 2);
    cr_assert_not(settings->listeners[0].enable);
    cr_assert_str_eq(settings->listeners[1].name, "west");
    cr_assert_str_eq(settings->listeners[1].bind, "127.0.0.1:2000");
    cr_assert_eq(settings->listeners[1].backlog, 9);
    cr_assert_eq(settings->listeners[1].connections_max, 5);
    cr_assert_eq(settings->listeners[1].connect_timeout_ms, 1000);
    cr_assert_not(settings->listeners[1].tcp_nodelay);
    cr_assert_str_eq(settings->listeners[1].congestion, "bbr");
    cr_assert_eq(settings->mqtt.packet_bytes_max, 2048);
    cr_assert_eq(settings->mqtt.qos_max, 1);
    cr_assert_eq(settings->mqtt.session_expiry_max_s, UINT32_MAX);
    cr_assert_eq(settings->mqtt.keep_alive_max_s, 60);
    cr_assert_eq(settings->mqtt.queue_policy, QUEUE_DROP_OLDEST);
    cr_assert_eq(settings->mqtt.share_strategy, 4);
    cr_assert_eq(settings->mqtt.queue_bytes_max, 5ull << 30);
    cr_assert_str_eq(settings->mqtt.response_information, "r/");
    cr_assert_eq(settings->mqtt.pause_ms, 0);
    cr_assert_eq(settings->mqtt.allow_anonymous, ANONYMOUS_ALLOW);
    cr_assert_eq(settings->mqtt.retained_messages_max, 0);
    cr_assert_eq(settings->io.spin_us, 50);
    cr_assert_not(settings->io.multishot_receive);
    cr_assert(settings->io.multishot_accept);
    cr_assert_eq(settings->log.level, 3);
    cr_assert_eq(settings->log.format, 1);
    cr_assert_eq(settings->sys.interval_s, 0);
    config_release(config);
}

static const char *line_of(const char *text, const char *path, char *ret_line)
{
    const char *found = strstr(text, path);
    cr_assert(found, "%s", path);
    snprintf(ret_line, 256, "%.*s", (int)strcspn(found, "\n"), found);
    return ret_line;
}

Test(load, later_sources_win_and_each_is_named)
{
    char line[256];
    file_write("one.conf", "node { shards = 1, name = one }\nmqtt.max_inflight = 10\nmqtt.receive_maximum = 10\nlog.level = debug");
    file_write("two.conf", "\n  node.shards = 2\n mqtt { max_inflight = 20 }\nlog.level = null");
    struct config *config =
        load_sound(LIST("one.conf", "two.conf"),
                   LIST("RINGMQ__MQTT__MAX_INFLIGHT=30", "ringmq__mqtt__receive_maximum = 5", "RINGMQ__MQTT__RECEIVE_MAXIMUM=30",
                        "RINGMQ__LISTENERS__TCP__DEFAULT__BIND=127.0.0.1:7", "RINGMQ_OTHER=x", "RINGMQ__SYS__INTERVAL=7s"),
                   LIST("mqtt.receive_maximum=40", "mqtt.receive_maximum = 50", "listeners.tcp.x={bind=\"[::1]:5\"}"));
    const struct settings *settings = config_settings(config);
    cr_assert_eq(settings->node.shards, 2);
    cr_assert_eq(settings->mqtt.inflight_max, 30);
    cr_assert_eq(settings->mqtt.receive_max, 50);
    cr_assert_eq(settings->sys.interval_s, 7);
    cr_assert_str_eq(settings->listeners[0].bind, "127.0.0.1:7");
    cr_assert_str_eq(settings->listeners[1].bind, "[::1]:5");
    char *text = effective(config);
    cr_assert_str_eq(line_of(text, "node.name", line), "node.name = \"one\"  # one.conf:1:27");
    cr_assert_str_eq(line_of(text, "node.shards", line), "node.shards = 2  # two.conf:2:17");
    cr_assert_str_eq(line_of(text, "mqtt.max_inflight", line), "mqtt.max_inflight = 30  # environment RINGMQ__MQTT__MAX_INFLIGHT");
    cr_assert_str_eq(line_of(text, "mqtt.receive_maximum", line),
                     "mqtt.receive_maximum = 50  # command line --set mqtt.receive_maximum ");
    cr_assert_str_eq(line_of(text, "listeners.tcp.x.bind", line),
                     "listeners.tcp.x.bind = \"[::1]:5\"  # command line --set listeners.tcp.x:1:7");
    cr_assert_str_eq(line_of(text, "log.level", line), "log.level = info  # default");
    memory_release(text);
    config_release(config);
}

Test(load, substitutions_see_all_sources)
{
    file_write("one.conf", "node.name = \"node-\"${?SITE}\nmqtt.max_inflight = ${mqtt.receive_maximum}");
    struct config *config = load_sound(LIST("one.conf"), LIST("SITE=north"), LIST("mqtt.receive_maximum=9"));
    cr_assert_str_eq(config_settings(config)->node.name, "node-north");
    cr_assert_eq(config_settings(config)->mqtt.inflight_max, 9);
    config_release(config);
}

Test(load, settings_need_no_quotes)
{
    static const struct {
        const char *set, *name;
    } cases[] = {
        {"node.name=a:b", "a:b"},       {"node.name=\"a:b\"", "a:b"},     {"node.name=a@b", "a@b"}, {"node.name= x ", "x"},
        {"node.name=\"x\"y", "xy"},     {"node.name=${node.data_dir}z", "dz"}, {"node.name=a=b", "a=b"}, {"node.name=7", "7"},
        {"node={name=deep}", "deep"},   {"\"node\".name=q", "q"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config *config = load_sound(NULL, NULL, LIST("node.data_dir=d", cases[i].set));
        cr_assert_str_eq(config_settings(config)->node.name, cases[i].name, "%s", cases[i].set);
        config_release(config);
    }
}

/* One --set each, and the whole error. */
static const struct {
    const char *set, *error;
} wrong[] = {
    {"node.shrads=2", "command line --set node.shrads: there is no key `node.shrads`; did you mean `node.shards`?"},
    {"foo=2", "command line --set foo: there is no key `foo`; ringmqd --print-sample shows all"},
    {"node.shards=many", "command line --set node.shards: `node.shards` is a string \"many\"; write a whole number from 1 to 64, or auto"},
    {"node.shards=0", "command line --set node.shards: `node.shards` is a number 0; write a whole number from 1 to 64, or auto"},
    {"node.shards=[1]", "command line --set node.shards:1:1: `node.shards` is an array; write a whole number from 1 to 64, or auto"},
    {"node.shards.x=1", "command line --set node.shards.x: `node.shards` is an object; write a whole number from 1 to 64, or auto"},
    {"node=1", "command line --set node: `node` is a section, not a value; write node { KEY = VALUE } or node.KEY = VALUE"},
    {"sys.interval=10", "command line --set sys.interval: `sys.interval` is a number 10 without a unit; write a duration from 0s to 1d"},
    {"io.ring_entries=1000", "command line --set io.ring_entries: `io.ring_entries` is \"1000\": the kernel wants a power of two, such as "
                             "2048 or 4096"},
    {"mqtt.mqueue_policy=drop", "command line --set mqtt.mqueue_policy: `mqtt.mqueue_policy` is a string \"drop\"; write drop_newest, "
                                "drop_oldest or disconnect"},
    {"log.level=\"\"", "command line --set log.level:1:1: `log.level` is a string \"\"; write debug, info, notice, warn, error, off or "
                       "warning"},
    {"node.name=a b", "command line --set node.name: `node.name` is \"a b\": it is a level of the $SYS topics; use no blanks, quotes, +, # "
                      "or /"},
    {"node.name=\"\"", "command line --set node.name:1:1: `node.name` is a string \"\"; write a string of 1 to 64 bytes"},
    {"listeners.tcp.x.backlog=1", "command line --set listeners.tcp.x.backlog: `listeners.tcp.x.bind` is missing; write one for this "
                                  "listener"},
    {"listeners.tcp.WEST.bind=1", "command line --set listeners.tcp.WEST.bind: `WEST` cannot be the name of a listener; use up to 32 of "
                                  "a-z, 0-9, _ and -"},
    {"listeners.tcp.default.bind=example.org:1883",
     "command line --set listeners.tcp.default.bind: `listeners.tcp.default.bind` is \"example.org:1883\": the host is no numeric address; "
     "write one, such as 127.0.0.1 or [::1], or localhost"},
    {"listeners.tcp.x.bind=127.0.0.1:1883",
     "command line --set listeners.tcp.x.bind: `listeners.tcp.x.bind` is \"127.0.0.1:1883\", where `listeners.tcp.default.bind` "
     "(\"127.0.0.1:1883\") listens; give it another port, or disable one of the two with enable = false"},
    {"listeners.tcp.default.max_connections=100001",
     "command line --set listeners.tcp.default.max_connections: `listeners.tcp.default.max_connections` is 100001, more than "
     "`node.max_connections` (100000) allows; lower it or raise node.max_connections"},
    {"node.shards", "command line --set node.shards: there is no `=`; write --set KEY=VALUE"},
    {"listeners.ws.x={bind=\"127.0.0.1:5\",websocket.path=mqtt}",
     "command line --set listeners.ws.x:1:36: `listeners.ws.x.websocket.path` is \"mqtt\": a path begins with /"},
    {"listeners.ws.default.proxy_protocol=v2",
     "command line --set listeners.ws.default.proxy_protocol: `listeners.ws.default.proxy_protocol` is v2, but "
     "`listeners.ws.default.trusted_proxies` is empty: nobody could use it; write the proxies' networks there, such as \"127.0.0.1, 10.0.0.0/8\""},
    {"listeners.unix.x.bind=@abstract",
     "command line --set listeners.unix.x.bind: `listeners.unix.x.bind` is \"@abstract\": abstract sockets have no owner and no mode; write a path"},
    {"listeners.tcp.default.owner=x", "command line --set listeners.tcp.default.owner: there is no key "
     "`listeners.tcp.default.owner`; did you mean `listeners.unix.default.owner`?"},
    {"listeners.tcp.default.mountpoint=\"a/${user}/\"", "command line --set listeners.tcp.default.mountpoint:1:1: `listeners.tcp.default.mountpoint` "
     "is \"a/${user}/\": the placeholders are ${client_id}, ${username} and ${client_attrs.NAME}"},
    {"listeners.tcp.default.protocol_versions=4", "command line --set listeners.tcp.default.protocol_versions: "
     "`listeners.tcp.default.protocol_versions` is \"4\": write some of 3.1, 3.1.1 and 5.0, with commas between them"},
    {"listeners.tcp.default.allow=10.0.0.0/40", "command line --set listeners.tcp.default.allow: `listeners.tcp.default.allow` is "
     "\"10.0.0.0/40\": write networks with commas between them, such as \"10.0.0.0/8, 192.0.2.7, 2001:db8::/32\""},
    {"=1", "command line --set : `` is no key; write names with dots between them, as in node.shards"},
    {"a..b=1", "command line --set a..b: `a..b` is no key; write names with dots between them, as in node.shards"},
    {"node.name=\"x", "command line --set node.name:1:1: this \" is never closed; add a \" on the same line, or use \"\"\" for several lines"},
    {"node.name=\"x\",1", "command line --set node.name:1:4: found `,` behind the value; nothing may follow it"},
};

Test(load, wrong_values)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_text(load_wrong(NULL, NULL, LIST(wrong[i].set)), wrong[i].error, wrong[i].set);
}

Test(load, all_wrong_values_of_a_file)
{
    file_write("bad.conf", "node { shrads = 2\n  shards = x }\nmqtt.max_packet_size = 1\nlisteners.tcp.default.bind = nowhere\n\"a.b\" = 1\n");
    assert_text(load_wrong(LIST("bad.conf"), LIST("RINGMQ__LOG__LEVEL=loud", "RINGMQ__LOGS=1"), NULL),
                "bad.conf:1:8: there is no key `node.shrads`; did you mean `node.shards`?\n"
                "bad.conf:5:1: there is no key `a.b`; ringmqd --print-sample shows all\n"
                "environment RINGMQ__LOGS: there is no key `logs`; ringmqd --print-sample shows all\n"
                "bad.conf:2:12: `node.shards` is a string \"x\"; write a whole number from 1 to 64, or auto\n"
                "bad.conf:4:30: `listeners.tcp.default.bind` is \"nowhere\": there is no port from 0 to 65535; write HOST:PORT, "
                "[IPV6]:PORT or PORT\n"
                "bad.conf:3:24: `mqtt.max_packet_size` is a number 1; write a size from 64B to 256MiB\n"
                "environment RINGMQ__LOG__LEVEL: `log.level` is a string \"loud\"; write debug, info, notice, warn, error, off or warning",
                "");
}

Test(load, too_many_listeners)
{
    char text[4096] = "listeners.tcp {\n";
    for (int i = 0; i < 70; i++)
        sprintf(text + strlen(text), "l%d.bind = %d\n", i, 2000 + i);
    strcat(text, "}\n");
    file_write("many.conf", text);
    assert_text(load_wrong(LIST("many.conf"), NULL, NULL), "many.conf:65:1: there are more than 64 listeners; remove some", "");
}

/* ---- exposure ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *bind;
    bool loopback;
} binds[] = {
    {"127.0.0.1:1883", true},  {"127.255.1.2:1883", true}, {"[::1]:1883", true},         {"localhost:1883", true},
    {"LOCALHOST:1", true},     {"0.0.0.0:1883", false},    {"1883", false},              {":1883", false},
    {"*:1883", false},         {"[::]:1883", false},       {"192.168.1.1:1883", false},  {"[::ffff:127.0.0.1]:1883", false},
    {"[fe80::1]:1883", false}, {"128.0.0.1:1", false},     {"[0:0:0:0:0:0:0:1]:9", true}, {"127.0.0.1:0", true},
};

Test(exposure, by_address)
{
    for (size_t i = 0; i < sizeof binds / sizeof *binds; i++) {
        char set[128];
        struct config_errors errors = {0};
        snprintf(set, sizeof set, "listeners.tcp.default.bind=%s", binds[i].bind);
        struct config *config = load_sound(NULL, NULL, LIST(set));
        cr_assert_eq(config_check_exposure(config, &errors), binds[i].loopback, "%s", binds[i].bind);
        cr_assert_eq(errors.count, binds[i].loopback ? 0 : 1);
        config_errors_clear(&errors);
        config_release(config);
        config = load_sound(NULL, NULL, LIST(set, "mqtt.allow_anonymous=true"));
        cr_assert(config_check_exposure(config, &errors));
        config_release(config);
        config = load_sound(NULL, NULL, LIST(set, "mqtt.allow_anonymous=false"));
        cr_assert(config_check_exposure(config, &errors));
        config_release(config);
        config = load_sound(NULL, NULL, LIST(set, "listeners.tcp.default.enable=false"));
        cr_assert(config_check_exposure(config, &errors));
        config_release(config);
    }
}

Test(exposure, says_where_and_what_to_write)
{
    struct config_errors errors = {0};
    file_write("open.conf", "listeners.tcp {\n  west.bind = \"0.0.0.0:1884\"\n  east.bind = 1885\n}\n");
    struct config *config = load_sound(LIST("open.conf"), NULL, NULL);
    cr_assert_not(config_check_exposure(config, &errors));
    assert_text(errors_text(&errors),
                "open.conf:3:15: `listeners.tcp.east.bind` is \"1885\", which other machines can reach, and no authentication is "
                "configured: anybody could connect. If that is what you want, write mqtt.allow_anonymous = true; if not, listen on "
                "\"127.0.0.1:1885\"\n"
                "open.conf:2:15: `listeners.tcp.west.bind` is \"0.0.0.0:1884\", which other machines can reach, and no authentication is "
                "configured: anybody could connect. If that is what you want, write mqtt.allow_anonymous = true; if not, listen on "
                "\"127.0.0.1:1884\"", "");
    config_release(config);
}

Test(exposure, wrong_addresses)
{
    static const char *const wrong_binds[] = {"", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:1x", "::1:1883", "[::1]",
                                              "[::1:1883", "[]:1", "[127.0.0.1]:1", "256.0.0.1:1", "127.1:1883", "a.b:1", "127.0.0.1:-1",
                                              "127.0.0.1: 1"};
    for (size_t i = 0; i < sizeof wrong_binds / sizeof *wrong_binds; i++) {
        char set[128];
        snprintf(set, sizeof set, "listeners.tcp.default.bind=\"%s\"", wrong_binds[i]);
        memory_release(load_wrong(NULL, NULL, LIST(set)));
    }
}
