"""Sessions, wills, keep alive, DISCONNECT, PING (sections 3.1.2, 3.1.3.2, 3.12, 3.14, 4.1, 4.4, 4.5)."""
from conformance_wire import *  # noqa: F401,F403

FOREVER = [(SESSION_EXPIRY, 0xFFFFFFFF)]


def lasting(version):
    """Arguments of a client whose session outlives its connection."""
    return {"clean": False, "props": FOREVER if version == 5 else ()}


# ---- sessions -----------------------------------------------------------------------------------------------------------

@proves("MQTT-3.1.2-5", "MQTT-3.2.2-3", "MQTT-3.1.2-23", "MQTT-4.1.0-1", "MQTT-4.5.0-1", "MQTT3-3.1.2-4", "MQTT3-3.1.2-5", "MQTT3-3.2.2-2",
        "MQTT3-4.1.0-1", "MQTT3-4.1.0-2", "MQTT3-4.5.0-1", "MQTT3-3.1.4-3", "MQTT-3.1.4-4")
@versions(4, 5)
def test_session_is_resumed_with_what_was_queued(b, version):
    topic = b.name("t")
    c = b.client(version, **lasting(version))
    c.subscribe((topic, 2))
    c.quit()
    publisher = b.client()
    for number in range(10):
        publisher.publish(topic, str(number), 1 + number % 2)
    again = b.client(version, c.client_id, **lasting(version))
    check(again.connack.present, "session present is not set")
    got = [again.message() for _ in range(10)]
    equal(sorted(m.payload for m in got), sorted(str(n).encode() for n in range(10)), "what was queued")
    check(not any(m.dup for m in got), "DUP on a first delivery")
    publisher.publish(topic, "later", 1)
    equal(again.message().payload, b"later", "after the queue")


@proves("MQTT-3.1.2-4", "MQTT-3.2.2-2", "MQTT3-3.1.2-6", "MQTT3-3.2.2-1", "MQTT-3.1.4-4", "MQTT3-3.1.4-3")
@versions(4, 5)
def test_clean_start_discards_the_session(b, version):
    topic = b.name("t")
    c = b.client(version, **lasting(version))
    c.subscribe((topic, 1))
    c.quit()
    publisher = b.client()
    publisher.publish(topic, "old", 1)
    again = b.client(version, c.client_id, clean=True)
    check(not again.connack.present, "session present after a clean start")
    publisher.publish(topic, "not for it", 1)
    again.subscribe((topic, 1))
    publisher.publish(topic, "marker", 1)
    equal(again.payloads(b"marker"), [], "messages of the discarded session")
    again.quit()
    third = b.client(version, c.client_id, clean=False)  # what began clean (and without expiry) ended with its connection
    check(not third.connack.present, "a session without expiry outlived its connection")


@proves("MQTT-4.1.0-2", "MQTT-3.1.2-23")
def test_session_expires(b):
    for _ in range(5):
        c = b.client(props=[(SESSION_EXPIRY, 4)], clean=False)
        c.subscribe((b.name("t"), 1))
        ends = time.monotonic() + 3.9
        c.quit()
        here = b.client(client_id=c.client_id, clean=False, props=[(SESSION_EXPIRY, 4)])
        if here.connack.present or time.monotonic() < ends:  # else its time may be over, and that was no proof
            break
    check(here.connack.present, "the session was gone before its time")
    here.quit()
    time.sleep(5.2)
    late = b.client(client_id=c.client_id, clean=False, props=[(SESSION_EXPIRY, 4)])
    check(not late.connack.present, "the session is there after its time")


@proves("MQTT-4.1.0-1", "MQTT3-4.1.0-2")
def test_session_does_not_expire_while_connected(b):
    topic = b.name("t")
    c = b.client(props=[(SESSION_EXPIRY, 1)])
    c.subscribe((topic, 1))
    zero = b.client(props=[(SESSION_EXPIRY, 0)])
    zero.subscribe((topic, 1))
    time.sleep(2.5)
    b.client().publish(topic, "x", 1)
    equal(c.message().payload, b"x", "after more than its expiry")
    equal(zero.message().payload, b"x", "with an expiry of 0")


@proves("MQTT-4.1.0-2", "MQTT-3.1.2-23", "MQTT-3.2.2-3")
def test_session_without_expiry_ends_with_its_connection(b):
    for props in ((), [(SESSION_EXPIRY, 0)]):
        c = b.client(clean=False, props=props)
        c.subscribe(b.name("t"))
        c.quit()
        check(not b.client(client_id=c.client_id, clean=False).connack.present, f"the session is there, expiry {props}")


@proves("MQTT-4.1.0-2", "MQTT-3.1.2-23")
def test_disconnect_changes_the_expiry(b):
    c = b.client(clean=False, props=[(SESSION_EXPIRY, 100)])
    c.quit(0, [(SESSION_EXPIRY, 0)])
    check(not b.client(client_id=c.client_id, clean=False).connack.present, "100 s, then 0: the session is there")
    c = b.client(clean=False, props=[(SESSION_EXPIRY, 1)])
    c.quit(0, [(SESSION_EXPIRY, 100)])
    time.sleep(2.2)
    check(b.client(client_id=c.client_id, clean=False).connack.present, "1 s, then 100 s: the session is gone")


@proves("MQTT-4.13.1-1", "MQTT-3.14.2-2", "MQTT-3.14.2-1")
def test_disconnect_cannot_give_a_session_an_expiry(b):
    c = b.client()
    c.send(disconnect(5, 0, [(SESSION_EXPIRY, 10)]))
    c.ends(0x82)
    check(not b.client(client_id=c.client_id, clean=False).connack.present, "the session is there")


@settings("mqtt.session_expiry_interval=1s")
@proves("MQTT-4.1.0-2", "MQTT3-3.1.2-4")
def test_session_expiry_ceiling(b):
    c = b.client(clean=False, props=[(SESSION_EXPIRY, 500)])
    equal(c.connack.props.get(SESSION_EXPIRY), 1, "session expiry in CONNACK")
    check(SESSION_EXPIRY not in b.client(props=[(SESSION_EXPIRY, 1)]).connack.props, "told although it is the client's own")
    for _ in range(10):
        old = b.client(4, clean=False)
        ends = time.monotonic() + 0.9
        old.quit()
        present = b.client(4, old.client_id, False).connack.present
        if present or time.monotonic() < ends:  # else its second may be over, and that was no proof
            break
    c.quit()
    check(present, "the 3.1.1 session is gone at once")


@proves("MQTT3-3.1.2-7", "MQTT-4.1.0-2")
@versions(4, 5)
def test_retained_messages_outlive_the_session(b, version):
    topic = b.name("t")
    c = b.client(version)
    c.publish(topic, "kept", 1, True)
    c.quit()
    reader = b.client(version)
    reader.subscribe((topic, 1))
    equal(reader.message().payload, b"kept", "the retained message")


@proves("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-2.2.1-4", "MQTT-2.2.1-5",
        "MQTT3-4.4.0-1", "MQTT3-3.3.1-1", "MQTT3-4.3.2-1", "MQTT3-4.3.3-1", "MQTT3-2.3.1-4", "MQTT3-4.6.0-1")
@versions(4, 5)
def test_unacknowledged_messages_are_sent_again(b, version):
    topic = b.name("t")
    c = b.client(version, **lasting(version))
    c.subscribe((topic, 2))
    publisher = b.client()
    for number in range(6):
        publisher.publish(topic, str(number), 2 if number >= 3 else 1)
    first = [c.packet(PUBLISH) for _ in range(6)]
    check(not any(m.dup for m in first), "DUP on a first delivery")
    equal(len({m.packet_id for m in first}), 6, "different packet ids")
    c.send(ack(version, PUBACK, first[1].packet_id), ack(version, PUBREC, first[4].packet_id))
    equal(c.packet(PUBREL).packet_id, first[4].packet_id, "id of PUBREL")
    c.drop()
    again = b.client(version, c.client_id, **lasting(version))
    check(again.connack.present, "session present is not set")
    got = [again.packet() for _ in range(5)]
    wanted = [(m.packet_id, m.payload, True) for m in first]
    del wanted[1]
    wanted[3] = (first[4].packet_id, PUBREL)
    equal([(m.packet_id, PUBREL) if m.type == PUBREL else (m.packet_id, m.payload, m.dup) for m in got], wanted,
          "what is sent again, in its order")
    again.alive()  # and nothing twice
    again.send(ack(version, PUBCOMP, first[4].packet_id))
    for m in (first[0], first[2]):
        again.send(ack(version, PUBACK, m.packet_id))
    for m in (first[3], first[5]):
        again.send(ack(version, PUBREC, m.packet_id))
        equal(again.packet(PUBREL).packet_id, m.packet_id, "id of PUBREL")
        again.send(ack(version, PUBCOMP, m.packet_id))
    again.alive()
    again.drop()
    third = b.client(version, c.client_id, **lasting(version))
    third.alive()  # nothing is left to send


@proves("MQTT-4.4.0-1", "MQTT3-4.4.0-1")
@versions(4, 5)
def test_nothing_is_sent_again_on_a_living_connection(b, version):
    topic = b.name("t")
    c = b.client(version)
    c.subscribe((topic, 1))
    b.client().publish(topic, "x", 1)
    c.packet(PUBLISH)
    time.sleep(3)
    c.alive()


@proves("MQTT-4.4.0-2")
def test_refused_messages_are_not_sent_again(b):
    topic = b.name("t")
    c = b.client(**lasting(5))
    c.subscribe((topic, 2))
    publisher = b.client()
    publisher.publish(topic, "one", 1)
    publisher.publish(topic, "two", 2)
    one, two = c.packet(PUBLISH), c.packet(PUBLISH)
    c.send(ack(5, PUBACK, one.packet_id, 0x80), ack(5, PUBREC, two.packet_id, 0x97))
    c.alive()  # in particular no PUBREL
    c.drop()
    b.client(client_id=c.client_id, **lasting(5)).alive()


@proves("MQTT-4.3.3-10", "MQTT-4.3.3-12", "MQTT3-4.3.3-2", "MQTT-4.1.0-1")
@versions(4, 5)
def test_incoming_qos_2_survives_a_reconnect(b, version):
    topic = b.name("t")
    watcher = b.client()
    watcher.subscribe((topic, 2))
    c = b.client(version, **lasting(version))
    c.send(publish(version, topic, "once", 2, packet_id=7))
    c.packet(PUBREC)
    c.drop()
    again = b.client(version, c.client_id, **lasting(version))
    again.send(publish(version, topic, "once", 2, dup=True, packet_id=7))
    equal(again.packet(PUBREC).packet_id, 7, "id of PUBREC")
    again.send(ack(version, PUBREL, 7))
    equal(again.packet(PUBCOMP).packet_id, 7, "id of PUBCOMP")
    again.publish(topic, "marker", 2, packet_id=7)
    equal(watcher.payloads(b"marker"), [b"once"], "what reached the subscriber")


@proves("MQTT-3.1.3-2", "MQTT3-3.1.3-2")
@versions(4, 5)
def test_sessions_are_told_apart_by_client_id(b, version):
    one, two = b.client(version, **lasting(version)), b.client(version, **lasting(version))
    topic = b.name("t")
    one.subscribe((topic, 1))
    one.quit()
    two.quit()
    b.client().publish(topic, "x", 1)
    two = b.client(version, two.client_id, **lasting(version))
    two.alive()
    one = b.client(version, one.client_id, **lasting(version))
    equal(one.message().payload, b"x", "the subscriber's message")
    other_case = b.client(version, one.client_id.upper(), **lasting(version))
    check(not other_case.connack.present, "client ids are compared without case")


@proves("MQTT-4.5.0-1", "MQTT3-4.5.0-1")
def test_every_matching_session_gets_the_message(b):
    topic = b.name("t")
    here = [b.client(version) for version in (3, 4, 5)]
    away = [b.client(version, **lasting(version)) for version in (4, 5)]
    for c in here + away:
        c.subscribe((topic, 1))
    for c in away:
        c.drop()
    b.client().publish(topic, "x", 1)
    for c in here:
        equal(c.message().payload, b"x", "connected")
    for c in away:
        equal(b.client(c.version, c.client_id, **lasting(c.version)).message().payload, b"x", "away")


# ---- wills ----------------------------------------------------------------------------------------------------------------

def watching(b, topic, qos=2, **more):
    c = b.client(**more)
    c.subscribe((topic, qos))
    return c


@proves("MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-14", "MQTT3-3.1.2-8", "MQTT3-3.1.2-16", "MQTT3-3.1.2-14", "MQTT-3.1.2-12")
@versions(3, 4, 5)
def test_will_is_published_when_the_connection_is_lost(b, version):
    for qos in (0, 1, 2):
        topic = b.name("w")
        watcher = watching(b, topic)
        c = b.client(version, will=Will(topic, b"gone", qos))
        c.alive()
        c.drop()
        message = watcher.message()
        equal((message.topic, message.payload, message.qos, message.retain), (topic, b"gone", qos, False), "the will")
        late = watching(b, topic)
        late.alive()  # not retained


@proves("MQTT-3.1.2-15", "MQTT3-3.1.2-17")
@versions(3, 4, 5)
def test_retained_will(b, version):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(version, will=Will(topic, b"gone", 1, True))
    c.alive()
    c.drop()
    equal((watcher.message().retain, b"gone"), (False, b"gone"), "the will as a live message")
    late = watching(b, topic)
    message = late.message()
    equal((message.payload, message.retain), (b"gone", True), "the retained will")
    late.publish(topic, "", 0, True)


@proves("MQTT-3.1.2-10", "MQTT-3.14.4-3", "MQTT3-3.1.2-10", "MQTT3-3.14.4-3", "MQTT3-3.1.2-8", "MQTT-3.1.2-8")
@versions(3, 4, 5)
def test_disconnect_removes_the_will(b, version):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(version, will=Will(topic))
    c.quit()
    if version == 5:
        c = b.client(5, will=Will(topic), clean=False, props=FOREVER)
        c.quit(0)
        c = b.client(5, c.client_id, clean=True)
        c.drop()
    b.client().publish(topic, "marker", 2)
    equal(watcher.payloads(b"marker"), [], "wills after DISCONNECT")


@proves("MQTT-3.1.2-8", "MQTT-3.1.2-10")
def test_disconnect_with_will(b):
    topic = b.name("w")
    watcher = watching(b, topic)
    for reason in (0x04, 0x80):
        c = b.client(will=Will(topic, bytes([reason]), 1))
        c.quit(reason)
        equal(watcher.message().payload, bytes([reason]), f"the will after DISCONNECT 0x{reason:02x}")
    b.client().publish(topic, "marker", 2)
    equal(watcher.payloads(b"marker"), [], "a second copy of the will")


@proves("MQTT-3.1.2-10", "MQTT3-3.1.2-10", "MQTT3-3.1.2-12")
@versions(4, 5)
def test_will_is_published_once_and_only_with_the_flag(b, version):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(version, will=Will(topic, b"once", 1), **lasting(version))
    c.drop()
    equal(watcher.message().payload, b"once", "the will")
    again = b.client(version, c.client_id, **lasting(version))  # no will this time
    again.alive()
    again.drop()
    b.client().publish(topic, "marker", 2)
    equal(watcher.payloads(b"marker"), [], "wills of a connection that has none")


@proves("MQTT-3.1.2-8", "MQTT3-3.1.2-8", "MQTT-3.1.2-22", "MQTT3-3.1.2-24")
@versions(4, 5)
def test_will_after_a_protocol_error_and_after_keep_alive(b, version):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(version, will=Will(topic, b"error", 1))
    c.send(connect(version, c.client_id))
    equal(watcher.message().payload, b"error", "the will after a protocol error")
    silent = b.client(version, keep_alive=1, will=Will(topic, b"silent", 1))
    equal(watcher.message().payload, b"silent", "the will after the keep alive")
    silent.error(0x8D)


@proves("MQTT-3.1.2-8", "MQTT3-3.1.2-8")
@versions(4, 5)
def test_will_after_a_takeover(b, version):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(version, will=Will(topic, b"taken over", 1))
    b.client(version, c.client_id).alive()
    equal(watcher.message().payload, b"taken over", "the will")


@proves("MQTT-3.1.2-8")
def test_will_delay(b):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(will=Will(topic, b"later", 1, props=[(WILL_DELAY, 2)]), clean=False, props=[(SESSION_EXPIRY, 100)])
    c.alive()
    started = time.monotonic()
    c.drop()
    equal(watcher.message().payload, b"later", "the will")
    took = time.monotonic() - started
    check(1.8 < took < 20, f"published after {took:.1f} s, its delay is 2 s")


@proves("MQTT-3.1.3-9")
def test_will_delay_is_cut_short_by_a_return(b):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(will=Will(topic, b"never", 1, props=[(WILL_DELAY, 4)]), clean=False, props=[(SESSION_EXPIRY, 100)])
    c.drop()
    again = b.client(client_id=c.client_id, clean=False, props=[(SESSION_EXPIRY, 100)])
    check(again.connack.present, "the session was not resumed")
    time.sleep(5.5)
    b.client().publish(topic, "marker", 2)
    equal(watcher.payloads(b"marker"), [], "wills of a client that came back in time")


@proves("MQTT-3.1.2-8")
def test_will_comes_with_the_end_of_the_session(b):
    topic = b.name("w")
    watcher = watching(b, topic)
    c = b.client(will=Will(topic, b"expired", 1, props=[(WILL_DELAY, 100)]), clean=False, props=[(SESSION_EXPIRY, 1)])
    c.drop()
    equal(watcher.message().payload, b"expired", "the will of a session that expired")
    c = b.client(will=Will(topic, b"discarded", 1, props=[(WILL_DELAY, 100)]), clean=False, props=[(SESSION_EXPIRY, 100)])
    c.drop()
    b.client(client_id=c.client_id, clean=True).alive()
    equal(watcher.message().payload, b"discarded", "the will of a session that a clean start ended")
    c = b.client(will=Will(topic, b"no session", 1, props=[(WILL_DELAY, 100)]))
    c.drop()
    equal(watcher.message().payload, b"no session", "the will of a session without expiry")


@proves("MQTT-3.1.3-10", "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-20")
def test_will_properties(b):
    topic = b.name("w")
    watcher = watching(b, topic)
    pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("b", "\ufeffx")]
    c = b.client(will=Will(topic, b"text", 1, props=[(FORMAT, 1), (EXPIRY, 60), (CONTENT_TYPE, "text/plain"), (RESPONSE_TOPIC, "r/t"),
                                                     (CORRELATION, b"\x00\xff")] + [(USER, pair) for pair in pairs]))
    c.drop()
    props = watcher.message().props
    check(50 <= props.pop(EXPIRY) <= 60, "message expiry")
    equal(props, {FORMAT: 1, CONTENT_TYPE: "text/plain", RESPONSE_TOPIC: "r/t", CORRELATION: b"\x00\xff", USER: pairs}, "properties")


@proves("MQTT-3.1.2-8")
@versions(4, 5)
def test_will_of_a_large_payload_and_with_retained_delete(b, version):
    topic = b.name("w")
    watcher = watching(b, topic)
    watcher.publish(topic, "old", 1, True)
    equal(watcher.message().payload, b"old", "the retained one, live")
    c = b.client(version, will=Will(topic, b"", 1, True))
    c.drop()
    equal(watcher.message().payload, b"", "a will without payload")
    watching(b, topic).alive()  # and it deleted the retained message
    c = b.client(version, will=Will(topic, b"y" * 60000, 1))
    c.drop()
    equal(watcher.message().payload, b"y" * 60000, "a large will")


# ---- keep alive and PING --------------------------------------------------------------------------------------------------

@proves("MQTT-3.12.4-1", "MQTT3-3.12.4-1")
@versions(3, 4, 5)
def test_ping(b, version):
    c = b.client(version)
    c.send(PING, PING, PING)
    for _ in range(3):
        c.packet(PINGRESP)
    c.alive()


@proves("MQTT-3.1.2-22", "MQTT3-3.1.2-24", "MQTT-3.2.2-22")
@reacts("MQTT-3.1.2-20", "MQTT3-3.1.2-23")
@versions(3, 4, 5)
def test_keep_alive(b, version):
    for _ in range(10):
        c, longest = b.client(version, keep_alive=2), 0
        started = time.monotonic()
        try:
            for _ in range(3):  # it is the silence that counts, not the age
                time.sleep(1)
                before, started = started, time.monotonic()
                longest = max(longest, started - before)
                c.alive()
            break
        except Failed:
            check(longest > 2.5, f"closed after a silence of {longest:.1f} s, keep alive is 2 s")  # else it was we who were silent for too long
    c.error(0x8D)
    took = time.monotonic() - started
    check(2.8 < took < 30, f"closed after {took:.1f} s of silence, keep alive is 2 s")


@proves("MQTT-3.1.2-22", "MQTT3-3.1.2-24")
@versions(4, 5)
def test_every_packet_counts_for_keep_alive_and_received_ones_do_not(b, version):
    topic = b.name("t")
    for _ in range(10):
        c, longest, last = b.client(version, keep_alive=2), 0, time.monotonic()
        try:
            for _ in range(6):
                time.sleep(0.6)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
                c.send(publish(version, topic, "x"))
            c.alive()
            break
        except Failed:
            check(longest > 2.5, f"closed after a silence of {longest:.1f} s, keep alive is 2 s")  # else it was we who were silent for too long
    c.subscribe(topic)
    publisher = b.client()
    end, packet = time.monotonic() + 30, None
    while time.monotonic() < end:
        publisher.publish(topic, "still here?", 1)
        try:
            packet = c.packet(patience=0.2)
        except Closed:
            packet = None
            break
        except Failed:
            continue
        if packet.type == DISCONNECT:
            break
    check(time.monotonic() < end, "what the server sends kept the connection alive")
    check(version == 4 or packet.reason == 0x8D, f"the end: {packet}")


@proves("MQTT-3.1.2-22", "MQTT3-3.1.2-24")
@versions(4, 5)
def test_keep_alive_0_is_none(b, version):
    c = b.client(version, keep_alive=0)
    time.sleep(4)
    c.alive()


# ---- DISCONNECT -----------------------------------------------------------------------------------------------------------

@reacts("MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT3-3.14.4-1", "MQTT3-3.14.4-2")
@versions(3, 4, 5)
def test_the_server_ends_the_connection_after_disconnect(b, version):
    topic = b.name("t")
    watcher = b.client()
    watcher.subscribe(topic)
    c = b.client(version)
    c.send(disconnect(version), publish(version, topic, "never"), PING)
    c.closed()
    watcher.publish(topic, "marker")
    equal(watcher.payloads(b"marker"), [], "what came after DISCONNECT")


@proves("MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT-4.13.2-1")
def test_nothing_follows_the_servers_disconnect(b):
    topic = b.name("t")
    c = b.client()
    c.subscribe(topic)
    publisher = b.client()
    for _ in range(50):
        publisher.send(publish(5, topic, "x"))
    c.send(connect(5, c.client_id), PING, PING)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:  # Raw.parse() fails when something follows a DISCONNECT
        try:
            c.packet()
        except Closed:
            break
    check(c.seen_disconnect, "closed without DISCONNECT")
    publisher.alive()


@proves("MQTT-3.14.1-1", "MQTT3-3.14.1-1", "MQTT-3.14.2-1")
@versions(4, 5)
def test_malformed_disconnect(b, version):
    topic = b.name("w")
    watcher = watching(b, topic)
    for flags in (1, 2, 4, 8):
        c = b.client(version, will=Will(topic, bytes([flags]), 1))
        c.send(bytes([0xE0 | flags, 0]))
        c.error(0x81)
        equal(watcher.message().payload, bytes([flags]), "the will: this was no DISCONNECT")
    if version == 5:
        for bad, reason in ((b"\xe0\x01\x01", 0x82), (b"\xe0\x01\x8e", 0x82), (frame(0xE0, b"\0" + properties([(SERVER_REFERENCE, "x")])), 0x82),
                            (frame(0xE0, b"\0" + properties([(ALIAS, 1)])), 0x81), (b"\xe0\x02\x00\x05", 0x81)):
            c = b.client()
            c.send(bad)
            c.ends(reason)


@settings("node.name=stopping")
@proves("MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-3.14.4-2", "MQTT-3.14.0-1")
def test_a_server_that_stops_says_so(b):
    clients = [b.client() for _ in range(8)]
    old = b.client(4)
    nobody = b.raw()
    b.broker.stop()
    for c in clients:
        c.ends(0x8B)
    old.ends(None)
    nobody.ends(None)
