"""CONNECT and CONNACK (sections 3.1, 3.2), and what every connection begins with."""
import select
import struct

from conformance_wire import *  # noqa: F401,F403

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82


@proves("MQTT-3.1.4-5", "MQTT-3.2.0-1", "MQTT-3.2.0-2", "MQTT-3.2.2-8", "MQTT-4.2-1", "MQTT3-3.1.4-4", "MQTT3-3.2.0-1",
        "MQTT3-7.1.1-1", "MQTT3-7.0.0-2")
@versions(3, 4, 5)
def test_connect_is_acknowledged_first_and_once(b, version):
    c = b.raw(version)
    # Everything in one segment: CONNACK must still come first.
    c.send(connect(version, b.name("c")), subscribe(version, 1, b.name("t")), publish(version, b.name("t"), "x", 1, packet_id=2), PING)
    equal(c.packet(CONNACK).reason, 0, "reason")
    equal({c.packet().type for _ in range(3)}, {SUBACK, PUBACK, PINGRESP}, "the packets after CONNACK")
    c.alive()


@reacts("MQTT-3.1.0-1", "MQTT3-3.1.0-1")
@proves("MQTT-3.14.0-1", "MQTT3-4.8.0-1", "MQTT-4.13.1-1")
def test_first_packet_is_not_connect(b):
    firsts = (PING, publish(5, "a", "x"), publish(4, "a", "x", 1, packet_id=1), subscribe(4, 1, "a"), disconnect(4), ack(4, PUBACK, 1),
              frame(0xF0, b"\x18" + properties([(AUTH_METHOD, "m")])), b"\x20\x02\x00\x00", b"\x00\x00", b"GET / HTTP/1.1\r\n\r\n")
    for first in firsts:
        c = b.raw()
        c.send(first)
        c.ends(None)


@proves("MQTT-3.1.0-2", "MQTT3-3.1.0-2", "MQTT-4.13.1-1", "MQTT3-4.8.0-1", "MQTT-3.2.0-2")
@versions(3, 4, 5)
def test_second_connect(b, version):
    c = b.client(version)
    c.send(connect(version, c.client_id))
    c.error(PROTOCOL_ERROR)
    c = b.raw(version)
    c.send(connect(version, b.name("c")), connect(version, b.name("c")))
    c.packet(CONNACK)
    c.error(PROTOCOL_ERROR)


@proves("MQTT-3.1.2-1", "MQTT3-3.1.2-1")
@versions(3, 4, 5)
def test_wrong_protocol_name(b, version):
    for name in ("MQTX", "mqtt", "MQTTx", "MQT", ""):
        c = b.raw(version)
        c.send(connect(version, b.name("c"), name=name))
        c.ends(None)


@proves("MQTT-3.1.2-2", "MQTT3-3.1.2-2", "MQTT3-3.2.2-5", "MQTT3-3.2.2-4")
def test_unknown_protocol_level(b):
    for name, level in (("MQTT", 6), ("MQTT", 0), ("MQTT", 3), ("MQTT", 127), ("MQIsdp", 4)):
        c = b.raw(4)
        c.send(connect(4, b.name("c"), name=name, level=level))
        c.refused(0x84, 1)


@proves("MQTT-3.1.2-3", "MQTT3-3.1.2-3", "MQTT3-3.1.4-1", "MQTT-3.1.4-1", "MQTT3-3.2.2-6")
@versions(4, 5)
def test_reserved_connect_flag(b, version):
    c = b.raw(version)
    c.send(connect(version, b.name("c"), flags=3))
    c.refused(MALFORMED)


@reacts("MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13", "MQTT3-3.1.2-11", "MQTT3-3.1.2-13", "MQTT3-3.1.2-14", "MQTT3-3.1.2-15")
@proves("MQTT-3.1.4-1", "MQTT3-3.1.4-1", "MQTT3-3.2.2-6")
@versions(4, 5)
def test_will_flags(b, version):
    will = block(version, []) + text("w") + text("m")
    for flags, payload in ((2 | 8, b""), (2 | 16, b""), (2 | 32, b""), (2 | 4 | 24, will), (2, will)):
        body = text("MQTT") + bytes([version, flags]) + struct.pack(">H", 60) + block(version, []) + text(b.name("c")) + payload
        c = b.raw(version)
        c.send(frame(0x10, body))
        c.refused(MALFORMED)


@reacts("MQTT-3.1.2-9", "MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT3-3.1.2-9", "MQTT3-3.1.2-18",
        "MQTT3-3.1.2-19", "MQTT3-3.1.2-20", "MQTT3-3.1.2-21", "MQTT3-3.1.3-3", "MQTT-3.1.3-3", "MQTT-3.1.3-1", "MQTT3-3.1.3-1")
@proves("MQTT-3.1.4-1", "MQTT3-3.1.4-1", "MQTT3-3.2.2-6")
@versions(4, 5)
def test_connect_payload_does_not_fit_its_flags(b, version):
    head = lambda flags: text("MQTT") + bytes([version, flags]) + struct.pack(">H", 60) + block(version, [])
    will = block(version, []) + text("w") + text("m")
    cases = ((2, b""), (2, text("c") + text("user")), (0x82, text("c")), (0xC2, text("c") + text("user")),
             (0xC2, text("c") + text("user") + text("pw") + b"x"), (0x82, text("c") + text("user") + text("pw")),
             (6, text("c")), (6, text("c") + will[:-3]), (0xC6, text("c") + text("u") + text("p")))
    for flags, payload in cases:
        c = b.raw(version)
        c.send(frame(0x10, head(flags) + payload))
        c.refused(MALFORMED)


@proves("MQTT-3.1.3-1", "MQTT3-3.1.3-1", "MQTT3-3.1.2-9", "MQTT-3.1.2-9")
@versions(3, 4, 5)
def test_connect_with_everything_in_its_order(b, version):
    topic = b.name("t")
    watcher = b.client(version)
    watcher.subscribe((topic, 1))
    c = b.client(version, will=Will(topic, b"will-payload", 1, False, [(USER, ("a", "b"))]), user="user", password=b"\x00\xff\x80")
    c.alive()
    c.drop()
    message = watcher.message()
    equal((message.topic, message.payload, message.qos), (topic, b"will-payload", 1), "the will")


@reacts("MQTT3-3.1.2-22")
def test_password_without_user_name_3(b):
    c = b.raw(4)
    c.send(connect(4, b.name("c"), password="secret"))
    c.refused(MALFORMED)


@proves("MQTT-3.1.2-18", "MQTT-3.1.2-19")
def test_password_without_user_name_5(b):
    b.client(5, password=b"\x00\x01secret").alive()


@reacts("MQTT-3.1.3-4", "MQTT-3.1.3-11", "MQTT-3.1.3-12", "MQTT3-3.1.3-4", "MQTT3-3.1.3-10", "MQTT3-3.1.3-11")
@proves("MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT3-1.5.3-1", "MQTT3-1.5.3-2", "MQTT-3.1.4-1", "MQTT3-3.1.4-1")
@versions(4, 5)
def test_connect_strings_are_utf8(b, version):
    for bad in (b"\xc3\x28", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"a\x00b", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xe2\x82"):
        for packet in (connect(version, bad), connect(version, b.name("c"), user=bad), connect(version, b.name("c"), will=Will(bad))):
            c = b.raw(version)
            c.send(packet)
            c.refused(MALFORMED)


@proves("MQTT-3.1.3-5", "MQTT3-3.1.3-5", "MQTT-3.1.3-2", "MQTT3-3.1.3-2")
@versions(3, 4, 5)
def test_client_ids_that_must_be_allowed(b, version):
    for client_id in ("0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ" + str(b.number)[:7]):
        c = b.raw(version)
        c.send(connect(version, client_id))
        equal(c.packet(CONNACK).reason, 0, f"reason for {client_id}")


@proves("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
def test_assigned_client_id(b):
    ids = set()
    for clean in (True, False, True, False):
        c = b.client(5, "", clean, [(SESSION_EXPIRY, 100)])
        assigned = c.connack.props.get(ASSIGNED_ID, "")
        check(1 <= len(assigned), "no assigned client id")
        check(not c.connack.present, "session present for a new id")
        ids.add(assigned)
        topic = b.name("t")
        c.subscribe((topic, 1))
        c.quit()
        again = b.client(5, assigned, False, [(SESSION_EXPIRY, 0)])  # it is an id like any other
        check(again.connack.present, "the session of the assigned id is not found again")
        check(ASSIGNED_ID not in again.connack.props, "an id is assigned to a client that has one")
    equal(len(ids), 4, "number of different ids")


@proves("MQTT3-3.1.3-6")
def test_empty_client_id_3(b):
    first, second = b.client(4, ""), b.client(4, "")
    first.alive()  # the second did not take the first one's place
    second.alive()


@proves("MQTT3-3.1.3-8", "MQTT3-3.1.3-9", "MQTT3-3.2.2-5", "MQTT3-3.2.2-4")
@reacts("MQTT3-3.1.3-7")
def test_empty_client_id_without_clean_session(b):
    c = b.raw(4)
    c.send(connect(4, "", clean=False))
    c.refused(0x85, 2)


@settings("mqtt.max_clientid_len=30")
@proves("MQTT-3.1.3-8", "MQTT3-3.1.3-9", "MQTT-3.1.3-5", "MQTT3-3.1.3-5", "MQTT-3.2.2-7", "MQTT-3.2.2-6", "MQTT-3.1.4-2")
@versions(4, 5)
def test_client_id_too_long(b, version):
    b.client(version, f"{b.number:023d}").alive()
    c = b.raw(version)
    c.send(connect(version, "x" * 31))
    c.refused(0x85, 2)


@proves("MQTT-3.1.4-6", "MQTT3-3.1.4-5")
@versions(4, 5)
def test_nothing_after_a_refused_connect_is_processed(b, version):
    topic = b.name("t")
    watcher = b.client()
    watcher.subscribe(topic)
    c = b.raw(version)
    refused = connect(4, "", clean=False) if version == 4 else connect(5, b.name("c"), props=[(AUTH_METHOD, "none-such")])
    c.send(refused, publish(version, topic, "never"), PING)
    c.refused(0x8C, 2)
    watcher.publish(topic, "marker")
    equal(watcher.payloads(b"marker"), [], "what was published after the refused CONNECT")


@proves("MQTT-3.1.4-4", "MQTT-3.1.4-1")
def test_malformed_connects_of_5(b):
    cases = ((properties([(SESSION_EXPIRY, 1), (SESSION_EXPIRY, 1)]), PROTOCOL_ERROR), (properties([(RECEIVE_MAXIMUM, 0)]), PROTOCOL_ERROR),
             (properties([(MAXIMUM_PACKET, 0)]), PROTOCOL_ERROR), (properties([(REQUEST_PROBLEM, 2)]), PROTOCOL_ERROR),
             (properties([(REQUEST_RESPONSE, 2)]), PROTOCOL_ERROR), (properties([(AUTH_DATA, "x")]), PROTOCOL_ERROR),
             (properties([(RECEIVE_MAXIMUM, 1), (RECEIVE_MAXIMUM, 1)]), PROTOCOL_ERROR),
             (properties([(ALIAS_MAXIMUM, 1), (ALIAS_MAXIMUM, 1)]), PROTOCOL_ERROR),
             (properties([(ALIAS, 1)]), MALFORMED), (properties([(0x7E, b"\0")]), MALFORMED), (b"\x7f", MALFORMED), (b"\x80\x00", MALFORMED),
             (properties([(WILL_DELAY, 1)]), MALFORMED), (properties([(USER, (b"\xff", "v"))]), MALFORMED),
             (properties([(USER, ("k", b"\x00"))]), MALFORMED), (b"\x03\x11\x00\x00", MALFORMED))
    for props, reason in cases:
        c = b.raw()
        c.send(frame(0x10, text("MQTT") + b"\x05\x02\x00\x3c" + props + text(b.name("c"))))
        c.refused(reason)


@reacts("MQTT-1.5.7-1")
@proves("MQTT-4.13.2-1", "MQTT-3.2.2-7")
def test_user_property_strings_are_utf8(b):
    for pair in ((b"\xff", "v"), ("k", b"\xc3"), (b"k\x00", "v")):
        c = b.raw()
        c.send(connect(5, b.name("c"), props=[(USER, pair)]))
        c.refused(MALFORMED)
        c = b.client()
        c.send(publish(5, "t", "x", props=[(USER, pair)]))
        c.ends(MALFORMED)


@proves("MQTT-4.12.0-1", "MQTT-4.12.0-4", "MQTT-3.2.2-7", "MQTT-3.2.2-6", "MQTT-3.1.4-2", "MQTT-4.13.2-1")
def test_authentication_method_is_refused(b):
    for props in ([(AUTH_METHOD, "SCRAM-SHA-1")], [(AUTH_METHOD, "SCRAM-SHA-1"), (AUTH_DATA, b"\x01\x02")]):
        c = b.raw()
        c.send(connect(5, b.name("c"), props=props))
        c.refused(0x8C)


@reacts("MQTT-4.12.0-7", "MQTT-3.1.2-30", "MQTT-4.12.1-1", "MQTT-4.12.0-3")
@proves("MQTT-4.12.0-6", "MQTT-4.12.1-2")
def test_auth_without_a_method(b):
    for reason in (0x18, 0x19):
        c = b.client()
        check(AUTH_METHOD not in c.connack.props, "an authentication method nobody asked for")
        c.send(frame(0xF0, bytes([reason]) + properties([(AUTH_METHOD, "m")])))
        c.ends(PROTOCOL_ERROR)
    c = b.client()
    c.send(b"\xf0\x00")
    c.ends(PROTOCOL_ERROR)


@reacts("MQTT-3.1.2-30")
@proves("MQTT-3.1.4-6")
def test_packets_before_connack_with_a_method(b):
    c = b.raw()
    c.send(connect(5, b.name("c"), props=[(AUTH_METHOD, "m")]), publish(5, "t", "x"), PING)
    c.refused(0x8C)


@proves("MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT3-3.2.2-1", "MQTT3-3.2.2-3", "MQTT-3.2.2-3", "MQTT3-3.1.4-4", "MQTT-3.1.2-6")
@versions(4, 5)
def test_session_present_of_new_sessions(b, version):
    for clean in (True, False):
        c = b.client(version, clean=clean)
        check(not c.connack.present, "session present")
        c.quit()


@proves("MQTT-3.1.2-28")
@settings("mqtt.response_information=responses/")
def test_response_information(b):
    told = lambda props: b.client(props=props).connack.props.get(RESPONSE_INFORMATION)
    equal(told([]), None, "without being asked")
    equal(told([(REQUEST_RESPONSE, 0)]), None, "asked not to")
    equal(told([(REQUEST_RESPONSE, 1)]), "responses/", "asked for")


@proves("MQTT-3.2.2-22")
@reacts("MQTT-3.1.2-21", "MQTT-3.2.2-21")
@settings("mqtt.keepalive_max=2s")
def test_server_keep_alive(b):
    c = b.client(keep_alive=1)
    check(SERVER_KEEP_ALIVE not in c.connack.props, "told although the client's own is used")
    for keep_alive in (0, 100):
        started = time.monotonic()
        c = b.client(keep_alive=keep_alive)
        equal(c.connack.props.get(SERVER_KEEP_ALIVE), 2, "server keep alive")
        c.ends(0x8D, 30)  # the client did not use it
        check(2.7 < time.monotonic() - started < 30, f"closed after {time.monotonic() - started:.1f} s, wanted about 3")


@proves("MQTT-3.1.4-2")
@settings("mqtt.allow_anonymous=false")
@versions(4, 5)
def test_anonymous_is_refused(b, version):
    c = b.raw(version)
    c.send(connect(version, b.name("c"), user="u", password="p"))
    c.refused(0x87, 5)


@proves("MQTT-3.1.2-24", "MQTT-3.2.0-1", "MQTT-3.2.2-19", "MQTT-3.2.2-20")
def test_connack_that_is_larger_than_the_client_takes(b):
    for maximum in (1, 2, 4, 5, 8, 12):
        c = b.raw()
        c.maximum = maximum
        c.send(connect(5, b.name("c"), props=[(MAXIMUM_PACKET, maximum), (USER, ("k", "v"))]), PING)
        try:
            first = c.packet()
        except Closed:
            continue
        equal(NAMES[first.type], "CONNACK", f"first packet with a maximum of {maximum}")


@proves("MQTT-3.2.2-19", "MQTT-3.2.2-20")
def test_refusing_connack_leaves_out_what_only_explains(b):
    c = b.raw()
    c.maximum = 8
    c.send(connect(5, b.name("c"), props=[(MAXIMUM_PACKET, 8), (AUTH_METHOD, "m")]))
    try:
        connack = c.packet()
    except Closed:
        return
    equal((NAMES[connack.type], connack.props), ("CONNACK", {}), "the answer")
    c.closed()


@proves("MQTT-3.1.4-3", "MQTT3-3.1.4-2", "MQTT-3.1.3-2", "MQTT3-3.1.3-2")
@versions(3, 4, 5)
def test_takeover(b, version):
    first = b.client(version)
    second = b.client(version, first.client_id)
    first.error(0x8E)
    second.alive()


@proves("MQTT-3.1.4-3")
def test_takeover_by_another_version(b):
    client_id = b.name("c")
    clients = [b.client(5, client_id), b.client(4, client_id), b.client(5, client_id)]
    clients[0].ends(0x8E)
    clients[1].ends(None)
    clients[2].alive()


@proves("MQTT-3.1.2-24", "MQTT-3.2.2-15")
def test_limits_are_told(b):
    props = b.client().connack.props
    check(props.get(MAXIMUM_PACKET, 0) > 0 and props.get(RECEIVE_MAXIMUM, 0) > 0, f"limits in CONNACK: {props}")


@proves("MQTT-1.5.5-1")
@versions(4, 5)
def test_packets_of_every_length_form(b, version):
    """The remaining length of one, two, three bytes, both ways, and packets cut in pieces."""
    c = b.client(version)
    topic = b.name("t")
    c.subscribe(topic)
    for size in (0, 1, 100, 127, 128, 200, 16383, 16384, 70000, 200000):
        packet = publish(version, topic, b"z" * size)
        for at in range(0, len(packet), max(1, len(packet) // 3)):
            c.send(packet[at:at + max(1, len(packet) // 3)])
        equal(len(c.message().payload), size, "payload")


@reacts("MQTT-1.5.5-1")
def test_lengths_longer_than_need_be(b):
    c = b.client()
    c.send(b"\xc0\x80\x00")
    c.ends(MALFORMED)
    c = b.client(4)
    c.send(b"\xc0\x80\x80\x80\x80\x00")
    c.ends(None)
    c = b.client()
    c.send(b"\x30\xff\xff\xff\xff\x01")
    c.ends(MALFORMED)


@proves("MQTT-3.1.4-3", "MQTT3-3.1.4-2", "MQTT-3.1.3-2", "MQTT-3.2.0-2")
@versions(4, 5)
def test_of_many_with_the_same_id_one_stays(b, version):
    for _ in range(5):
        client_id = b.name("c")
        clients = [b.raw(version) for _ in range(12)]
        for c in clients:
            c.send(connect(version, client_id))
        for c in clients:
            equal(c.packet(CONNACK).reason, 0, "reason")
        gone, end = set(), time.monotonic() + PATIENCE
        while len(gone) < len(clients) - 1:
            check(time.monotonic() < end, f"{len(clients) - len(gone)} clients with the same id are left")
            readable = select.select([c.socket for c in clients if c not in gone], [], [], 1)[0]
            for c in clients:
                if c.socket in readable:
                    c.error(0x8E)
                    gone.add(c)
        next(c for c in clients if c not in gone).alive()
