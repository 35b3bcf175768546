"""PUBLISH and its acknowledgements, retained messages, properties, aliases, flow control (sections 3.3 to 3.7, 4.3, 4.6, 4.9)."""
from conformance_wire import *  # noqa: F401,F403

FOREVER = [(SESSION_EXPIRY, 0xFFFFFFFF)]
NO_LOCAL, AS_PUBLISHED, NOT_IF_THERE, NEVER = 4, 8, 16, 32


def pair(b, version=5, qos=2, topic=None, **more):
    """A subscriber to a topic of its own, and a publisher."""
    topic = topic or b.name("t")
    c = b.client(version, **more)
    c.subscribe((topic, qos))
    return topic, c, b.client(version)


# ---- the three flows --------------------------------------------------------------------------------------------------------

@proves("MQTT-3.3.4-1", "MQTT-4.3.1-1", "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-4", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-4",
        "MQTT-4.3.3-8", "MQTT-4.3.3-11", "MQTT-2.2.1-2", "MQTT-2.2.1-4", "MQTT-2.2.1-5", "MQTT-3.3.1-2", "MQTT3-3.3.4-1",
        "MQTT3-4.3.1-1", "MQTT3-4.3.2-1", "MQTT3-4.3.2-2", "MQTT3-4.3.3-1", "MQTT3-4.3.3-2", "MQTT3-2.3.1-5", "MQTT3-2.3.1-6", "MQTT3-3.3.1-2")
@versions(3, 4, 5)
def test_flows_of_each_qos(b, version):
    topic, c, publisher = pair(b, version)
    for number in range(5):
        for qos in (0, 1, 2):
            packet_id = 0 if qos == 0 else 1000 * qos + number
            publisher.send(publish(version, topic, f"{qos}{number}", qos, packet_id=packet_id))
            if qos:
                answer = publisher.packet(PUBACK if qos == 1 else PUBREC)
                equal((answer.packet_id, answer.reason), (packet_id, 0), "the acknowledgement")
            if qos == 2:
                publisher.send(ack(version, PUBREL, packet_id))
                answer = publisher.packet(PUBCOMP)
                equal((answer.packet_id, answer.reason), (packet_id, 0), "PUBCOMP")
            message = c.packet(PUBLISH)
            equal((message.payload, message.qos, message.dup, message.retain), (f"{qos}{number}".encode(), qos, False, False), "the message")
            check(bool(message.packet_id) == bool(qos), "packet id")
            if qos == 1:
                c.send(ack(version, PUBACK, message.packet_id))
            if qos == 2:
                c.send(ack(version, PUBREC, message.packet_id))
                equal(c.packet(PUBREL).packet_id, message.packet_id, "id of PUBREL")
                c.send(ack(version, PUBCOMP, message.packet_id))
    publisher.alive()
    c.alive()


@proves("MQTT-4.3.2-5", "MQTT3-4.3.2-2", "MQTT-3.3.1-3", "MQTT3-3.3.1-3", "MQTT-4.3.1-1", "MQTT-4.3.2-2")
@versions(4, 5)
def test_qos_1_with_the_same_id_is_a_new_message(b, version):
    topic, c, publisher = pair(b, version)
    for number, dup in enumerate((False, True, True, False)):
        publisher.send(publish(version, topic, str(number), 1, dup=dup, packet_id=9))
        publisher.packet(PUBACK)
        message = c.message()
        equal((message.payload, message.dup), (str(number).encode(), False), "the message: DUP is not handed on")


@proves("MQTT-4.3.3-10", "MQTT-4.3.3-12", "MQTT-4.3.3-11", "MQTT3-4.3.3-2", "MQTT-3.3.1-3", "MQTT3-3.3.1-3", "MQTT-4.3.3-2")
@versions(4, 5)
def test_qos_2_with_the_same_id_is_the_same_message_until_pubrel(b, version):
    topic, c, publisher = pair(b, version)
    for _ in range(3):
        publisher.send(publish(version, topic, "once", 2, dup=_ > 0, packet_id=9))
        equal(publisher.packet(PUBREC).packet_id, 9, "id of PUBREC")
    publisher.send(ack(version, PUBREL, 9))
    equal((lambda p: (p.packet_id, p.reason))(publisher.packet(PUBCOMP)), (9, 0), "PUBCOMP")
    publisher.send(ack(version, PUBREL, 9))
    again = publisher.packet(PUBCOMP)
    equal((again.packet_id, again.reason), (9, 0x92 if version == 5 else 0), "the second PUBCOMP")
    publisher.send(publish(version, topic, "new", 2, dup=True, packet_id=9))
    publisher.packet(PUBREC)
    messages = [c.message(), c.message()]
    equal([m.payload for m in messages], [b"once", b"new"], "what reached the subscriber")
    check(not any(m.dup for m in messages), "DUP is handed on")
    c.alive()


@proves("MQTT-4.3.3-9")
def test_qos_2_refused_and_sent_again_is_new(b):
    publisher = b.client()
    for _ in range(3):
        equal(publisher.publish("$SYS/not/yours", "x", 2, packet_id=5), 0x87, "reason of PUBREC")
    topic, c, _ = pair(b)
    equal(publisher.publish(topic, "x", 2, packet_id=5), 0, "the id is free")
    equal(c.message().payload, b"x", "the message")


@proves("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT3-3.3.5-2")
@versions(4, 5)
def test_acknowledgements_of_messages_nobody_gets_and_nobody_may_send(b, version):
    publisher = b.client(version)
    for qos in (1, 2):
        equal(publisher.publish(b.name("t"), "x", qos), 0x10 if version == 5 else 0, "no matching subscribers")
        equal(publisher.publish("$SYS/x", "x", qos), 0x87 if version == 5 else 0, "not authorised")
    publisher.publish("$SYS/x", "x", 0)
    publisher.alive()


@proves("MQTT-3.6.2-1", "MQTT-3.7.2-1", "MQTT-4.3.3-4")
@versions(4, 5)
def test_acknowledgements_of_unknown_ids(b, version):
    c = b.client(version)
    c.send(ack(version, PUBACK, 77), ack(version, PUBCOMP, 77))
    c.alive()
    c.send(ack(version, PUBREL, 78))
    equal((lambda p: (p.packet_id, p.reason))(c.packet(PUBCOMP)), (78, 0x92 if version == 5 else 0), "PUBCOMP")
    c.send(ack(version, PUBREC, 79))
    equal((lambda p: (p.packet_id, p.reason))(c.packet(PUBREL)), (79, 0x92 if version == 5 else 0), "PUBREL")
    if version == 5:
        c.send(ack(5, PUBREC, 80, 0x80))
    c.alive()


@proves("MQTT-4.13.1-1", "MQTT3-4.8.0-1")
@versions(4, 5)
def test_acknowledgements_of_another_qos(b, version):
    for qos, kind in ((1, PUBREC), (1, PUBCOMP), (2, PUBACK), (2, PUBCOMP)):
        topic, c, publisher = pair(b, version)
        publisher.publish(topic, "x", qos)
        c.send(ack(version, kind, c.packet(PUBLISH).packet_id))
        c.error(0x82)


@proves("MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-2.2.1-4", "MQTT3-2.3.1-4", "MQTT3-4.3.2-1", "MQTT3-4.3.3-1")
@versions(4, 5)
def test_the_servers_packet_ids_are_unused(b, version):
    topic, c, publisher = pair(b, version)
    used, held = set(), []
    for number in range(120):
        publisher.publish(topic, str(number), 1 + number % 2)
        message = c.take(PUBLISH)
        check(message.packet_id not in used, f"id {message.packet_id} is in use")
        used.add(message.packet_id)
        held.append(message)
        if number % 3 == 0:
            message = held.pop(0)
            if message.qos == 1:
                c.send(ack(version, PUBACK, message.packet_id))
            else:
                c.send(ack(version, PUBREC, message.packet_id))
                c.take(PUBREL, message.packet_id)
                c.send(ack(version, PUBCOMP, message.packet_id))
            used.discard(message.packet_id)


@proves("MQTT-4.3.3-7", "MQTT-4.3.3-13", "MQTT-4.4.0-1")
def test_what_was_sent_does_not_expire(b):
    topic = b.name("t")
    c = b.client(clean=False, props=FOREVER)
    c.subscribe((topic, 2))
    b.client().publish(topic, "x", 2, props=[(EXPIRY, 4)])
    packet_id = c.packet(PUBLISH).packet_id
    c.drop()
    time.sleep(5.2)
    again = b.client(client_id=c.client_id, clean=False, props=FOREVER)
    message = again.packet(PUBLISH)
    equal((message.packet_id, message.payload, message.dup), (packet_id, b"x", True), "sent again")
    time.sleep(0.1)
    again.send(ack(5, PUBREC, packet_id))
    equal(again.packet(PUBREL).packet_id, packet_id, "the flow goes on")
    again.send(ack(5, PUBCOMP, packet_id))
    again.alive()


# ---- retained ------------------------------------------------------------------------------------------------------------

@proves("MQTT-3.3.1-5", "MQTT-3.3.1-9", "MQTT-3.3.1-12", "MQTT3-3.3.1-5", "MQTT3-3.3.1-6", "MQTT3-3.3.1-7", "MQTT3-3.3.1-8",
        "MQTT3-3.3.1-9", "MQTT-3.8.4-4")
@versions(3, 4, 5)
def test_retained_messages(b, version):
    topic, live, publisher = pair(b, version)
    for qos in (2, 1, 0):
        publisher.publish(topic, f"first {qos}", 1, True)
        publisher.publish(topic, f"second {qos}", qos, True)
        for text_, qos_ in ((f"first {qos}", 1), (f"second {qos}", qos)):
            message = live.message()
            equal((message.payload, message.qos, message.retain), (text_.encode(), qos_, False), "live")
        later = b.client(version)
        later.subscribe((topic, 2))
        message = later.message()
        equal((message.payload, message.qos, message.retain), (f"second {qos}".encode(), qos, True), "for a new subscription")
        later.alive()


@proves("MQTT-3.3.1-6", "MQTT-3.3.1-7", "MQTT3-3.3.1-10", "MQTT3-3.3.1-11")
@versions(3, 4, 5)
def test_empty_retained_message_deletes(b, version):
    for qos in (0, 1, 2):
        topic, live, publisher = pair(b, version)
        publisher.publish(topic, "kept", 1, True)
        publisher.publish(topic, "", qos, True)
        equal([live.message().payload, live.message().payload], [b"kept", b""], "live")
        later = b.client(version)
        later.subscribe((topic, 2))
        later.quiet()  # no retained message
        publisher.publish(topic, "marker", 1)
        equal(later.payloads(b"marker"), [], "retained messages of a topic that has none")


@proves("MQTT-3.3.1-8", "MQTT3-3.3.1-12")
@versions(3, 4, 5)
def test_a_message_without_retain_changes_nothing(b, version):
    topic, live, publisher = pair(b, version)
    publisher.publish(topic, "passing", 1)
    live.message()
    before = b.client(version)
    before.subscribe((topic, 1))
    publisher.publish(topic, "kept", 1, True)
    publisher.publish(topic, "passing", 1)
    publisher.publish(topic, "", 1)
    equal([before.message().payload for _ in range(3)], [b"kept", b"passing", b""], "live only")
    later = b.client(version)
    later.subscribe((topic, 1))
    equal(later.message().payload, b"kept", "the retained message")


@proves("MQTT3-3.3.1-6", "MQTT-3.3.1-9", "MQTT-3.8.4-8")
@versions(4, 5)
def test_retained_messages_of_a_wildcard(b, version):
    root = b.name("r")
    publisher = b.client(version)
    topics = [f"{root}/{n}/{m}" for n in range(5) for m in range(3)]
    for topic in topics:
        publisher.publish(topic, topic, 2, True)
    publisher.publish(root, root, 1, True)
    c = b.client(version)
    c.subscribe((f"{root}/#", 1))
    got = [c.message() for _ in range(len(topics) + 1)]
    equal(sorted(m.topic for m in got), sorted(topics + [root]), "topics")
    check(all(m.retain and m.qos == 1 and m.payload == m.topic.encode() for m in got), "flags and payloads")
    c.alive()


@proves("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_retained_messages_expire(b):
    topic, other, publisher = b.name("t"), b.name("t"), b.client()
    publisher.publish(topic, "short", 1, True, [(EXPIRY, 1)])
    begun = time.monotonic()
    publisher.publish(other, "long", 1, True, [(EXPIRY, 100)])
    time.sleep(2.2)
    c = b.client()
    c.subscribe((topic, 1), (other, 1))
    message = c.message()
    equal(message.payload, b"long", "what is left")
    took = time.monotonic() - begun
    check(98 - took <= message.props[EXPIRY] <= 98, f"expiry {message.props[EXPIRY]} after {took:.1f} s of 100")
    c.alive()


# ---- topics and properties ----------------------------------------------------------------------------------------------

@reacts("MQTT-3.3.2-1", "MQTT-3.3.2-2", "MQTT-4.7.0-1", "MQTT-4.7.3-1", "MQTT-4.7.3-2", "MQTT3-3.3.2-1", "MQTT3-3.3.2-2", "MQTT3-4.7.1-1",
        "MQTT3-4.7.3-1", "MQTT3-4.7.3-2")
@proves("MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT3-1.5.3-1", "MQTT3-1.5.3-2", "MQTT-4.13.1-1", "MQTT3-4.8.0-1")
@versions(3, 4, 5)
def test_bad_topics(b, version):
    cases = (("a/#", 0x90), ("+", 0x90), ("a/+/b", 0x90), ("a#", 0x90), (b"a\x00b", 0x81), (b"\xff", 0x81), (b"\xed\xa0\x80", 0x81),
             ("", 0x82), (b"\xc0\xaf", 0x81), (b"a/\xf8\x88\x80\x80\x80", 0x81))
    for topic, reason in cases:
        for qos in (0, 1):
            c = b.client(version)
            c.send(publish(version, topic, "x", qos, packet_id=1))
            c.error(reason)


@proves("MQTT-1.5.4-3", "MQTT3-1.5.3-3", "MQTT-4.7.3-4", "MQTT3-4.7.3-4", "MQTT-3.3.2-3", "MQTT3-3.3.2-3")
@versions(4, 5)
def test_topics_are_left_as_they_are(b, version):
    c, publisher = b.client(version), b.client(version)
    root = b.name("t")
    names = ["\ufeff", "a\ufeffb", "ä", "a\u0308", "A", "a", " ", "a ", "/", "a//b", "\u0001\u007f", "\U0001F600", "\uffff", "%61", "\\", "."]
    for name in names:
        c.subscribe(f"{root}/{name}")
    for name in names:
        publisher.publish(f"{root}/{name}", name)
        message = c.message()
        equal((message.topic, message.payload), (f"{root}/{name}", name.encode()), "the message")
    c.alive()


@proves("MQTT-4.7.3-3", "MQTT3-4.7.3-3")
@versions(4, 5)
def test_the_longest_topic(b, version):
    start = b.name("t")
    topic = start + "x" * (65535 - len(start))
    topic, c, publisher = pair(b, version, topic=topic)
    publisher.publish(topic, "x", 1)
    equal(c.message().topic, topic, "topic")


@proves("MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20", "MQTT-1.5.7-1", "MQTT-2.2.2-1")
def test_properties_travel_unaltered(b):
    topic = b.name("t")
    here, there = b.client(), b.client()
    here.subscribe((topic, 2))
    there.subscribe((topic + "/#", 2))
    pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("\ufeff", "\u20ac" * 500), ("a", "3")]
    sent = {FORMAT: 1, CONTENT_TYPE: "text/ä", RESPONSE_TOPIC: "answers/here", CORRELATION: bytes(range(256)), USER: pairs}
    flat = [(FORMAT, 1), (USER, pairs[0]), (CONTENT_TYPE, sent[CONTENT_TYPE]), (USER, pairs[1]), (RESPONSE_TOPIC, sent[RESPONSE_TOPIC]),
            (CORRELATION, sent[CORRELATION])] + [(USER, p) for p in pairs[2:]]
    publisher = b.client()
    for qos, retain in ((0, False), (1, False), (2, True)):
        publisher.publish(topic, "payload", qos, retain, flat)
        for c in (here, there):
            equal(c.message().props, sent, "properties")
    later = b.client()
    later.subscribe((topic, 2))
    equal(later.message().props, sent, "properties of the retained one")
    old = b.client(4)
    old.subscribe((topic, 2))
    equal(old.message().payload, b"payload", "for a subscriber of 3.1.1")
    publisher.publish(topic, "none", 1)
    equal(here.message().props, {}, "properties of a message that has none")
    publisher.publish(topic, "zero", 1, props=[(FORMAT, 0)])
    equal(here.message().props, {FORMAT: 0}, "format 0")
    publisher.publish(topic, "", 1, True)


@reacts("MQTT-3.3.2-13", "MQTT-3.3.2-14", "MQTT-3.3.2-19", "MQTT-3.3.4-6", "MQTT-3.3.2-8")
@proves("MQTT-4.13.1-1", "MQTT-1.5.4-1")
def test_bad_publish_properties(b):
    cases = (([(RESPONSE_TOPIC, "a/+")], 0x82), ([(RESPONSE_TOPIC, "#")], 0x82), ([(RESPONSE_TOPIC, b"\xff")], 0x81),
             ([(CONTENT_TYPE, b"\xed\xa0\x80")], 0x81), ([(SUBSCRIPTION_ID, 1)], 0x82), ([(ALIAS, 0)], 0x94), ([(FORMAT, 2)], 0x82),
             ([(FORMAT, 1), (FORMAT, 1)], 0x82), ([(EXPIRY, 1), (EXPIRY, 1)], 0x82), ([(ALIAS, 1), (ALIAS, 1)], 0x82),
             ([(RESPONSE_TOPIC, "a"), (RESPONSE_TOPIC, "a")], 0x82), ([(CORRELATION, "a"), (CORRELATION, "a")], 0x82),
             ([(CONTENT_TYPE, "a"), (CONTENT_TYPE, "a")], 0x82), ([(SESSION_EXPIRY, 1)], 0x81), ([(0x7F, b"")], 0x81))
    for props, reason in cases:
        c = b.client()
        c.send(publish(5, "t", "x", props=props))
        c.ends(reason)


@proves("MQTT-3.3.2-5", "MQTT-3.3.2-6", "MQTT-4.3.3-13")
def test_messages_expire_and_are_counted_down(b):
    topic = b.name("t")
    c = b.client(clean=False, props=FOREVER)
    c.subscribe((topic, 2))
    c.quit()
    publisher, begun = b.client(), time.monotonic()
    for name, expiry in (("short", 1), ("long", 50), ("zero", 0), ("forever", 0xFFFFFFFF)):
        publisher.publish(topic, name, 2, props=[(EXPIRY, expiry)])
    publisher.publish(topic, "none", 2)
    time.sleep(2.2)
    again = b.client(client_id=c.client_id, clean=False, props=FOREVER)
    got = {}
    for _ in range(3):
        message = again.message()
        got[message.payload] = message.props.get(EXPIRY)
    again.alive()
    equal(sorted(got), [b"forever", b"long", b"none"], "what is left")
    took = time.monotonic() - begun
    check(48 - took <= got[b"long"] <= 48, f"expiry {got[b'long']} after {took:.1f} s of 50")
    check(0xFFFFFFFF - 2 - took <= got[b"forever"] <= 0xFFFFFFFF - 2, f"expiry {got[b'forever']} after {took:.1f} s of {0xFFFFFFFF}")
    equal(got[b"none"], None, "expiry of a message without")


@proves("MQTT-3.3.2-6")
def test_expiry_of_a_message_that_does_not_wait(b):
    topic, c, publisher = pair(b)
    for expiry in (100, 1, 0):
        publisher.publish(topic, "x", 1, props=[(EXPIRY, expiry)])
        got = c.message().props.get(EXPIRY)
        check(got is not None and expiry - 5 <= got <= expiry, f"expiry {got}, sent with {expiry}")


# ---- aliases ----------------------------------------------------------------------------------------------------------------

@proves("MQTT-3.3.2-12", "MQTT-3.2.2-18")
def test_every_alias_the_server_allows(b):
    topic = b.name("t")
    c, publisher = b.client(), b.client()
    c.subscribe(f"{topic}/+")
    maximum = publisher.connack.props.get(ALIAS_MAXIMUM, 0)
    check(maximum > 0, "the server allows no aliases")
    for alias in range(1, maximum + 1):
        publisher.send(publish(5, f"{topic}/{alias}", "set", props=[(ALIAS, alias)]))
    for alias in range(maximum, 0, -1):
        publisher.send(publish(5, "", "used", props=[(ALIAS, alias)]))
    equal([c.message().topic for _ in range(maximum)], [f"{topic}/{n}" for n in range(1, maximum + 1)], "set")
    got = [c.message() for _ in range(maximum)]
    equal([m.topic for m in got], [f"{topic}/{n}" for n in range(maximum, 0, -1)], "used")
    check(not any(ALIAS in m.props for m in got), "the publisher's alias is handed on")
    publisher.send(publish(5, f"{topic}/new", "x", props=[(ALIAS, 1)]), publish(5, "", "x", props=[(ALIAS, 1)]))
    equal([c.message().topic, c.message().topic], [f"{topic}/new"] * 2, "an alias set again")


@reacts("MQTT-3.3.2-9", "MQTT-3.2.2-17", "MQTT-3.3.2-8")
@proves("MQTT-3.3.2-7", "MQTT-4.13.1-1")
def test_aliases_beyond_and_unknown(b):
    c = b.client()
    for alias in (0, c.connack.props[ALIAS_MAXIMUM] + 1, 65535):
        c = b.client()
        c.send(publish(5, "t", "x", props=[(ALIAS, alias)]))
        c.ends(0x94)
    c = b.client()
    c.send(publish(5, "", "x", props=[(ALIAS, 3)]))
    check(c.packet(DISCONNECT).reason in (0x82, 0x94), "reason for an alias never set")
    c = b.client(clean=False, props=FOREVER)
    c.send(publish(5, "t", "x", props=[(ALIAS, 3)]), publish(5, "", "x", props=[(ALIAS, 3)]))
    c.alive()
    c.drop()
    again = b.client(client_id=c.client_id, clean=False, props=FOREVER)
    again.send(publish(5, "", "x", props=[(ALIAS, 3)]))
    check(again.packet(DISCONNECT).reason in (0x82, 0x94), "an alias outlived its connection")
    again.closed()


@reacts("MQTT-3.2.2-18")
@settings("mqtt.max_topic_alias=0")
def test_no_aliases(b):
    c = b.client()
    check(ALIAS_MAXIMUM not in c.connack.props, "a maximum is told")
    c.send(publish(5, "t", "x", props=[(ALIAS, 1)]))
    c.ends(0x94)


@proves("MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-11", "MQTT-3.3.2-7", "MQTT-3.3.2-8")
@reacts("MQTT-3.3.2-10")
def test_the_servers_aliases(b):
    topic = b.name("t")
    publisher = b.client()
    for maximum in (None, 0, 1, 3):
        c = b.client(clean=False, props=FOREVER + ([] if maximum is None else [(ALIAS_MAXIMUM, maximum)]))
        for connection in range(2):
            c.subscribe((f"{topic}/+", 1))
            known, saved = {}, 0
            for number in range(30):
                wanted = f"{topic}/{number // 2 % 5}"
                publisher.publish(wanted, "x", 1)
                message = c.message()
                alias = message.props.get(ALIAS)
                check(alias is None or 1 <= alias <= (maximum or 0), f"alias {alias}, the maximum is {maximum}")
                if message.topic and alias:
                    known[alias] = message.topic
                saved += not message.topic
                equal(message.topic or known.get(alias), wanted, "topic")
            check(bool(saved) == bool(maximum), f"{saved} topics left out with a maximum of {maximum}")
            c.alive()  # it has our acknowledgements
            c.drop()
            c = b.client(client_id=c.client_id, clean=False, props=FOREVER + ([] if maximum is None else [(ALIAS_MAXIMUM, maximum)]))


# ---- flow control --------------------------------------------------------------------------------------------------------------

@proves("MQTT-3.3.4-9", "MQTT-3.3.4-10", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3")
def test_the_clients_receive_maximum(b):
    for qos in (1, 2):
        topic, c, publisher = pair(b, props=[(RECEIVE_MAXIMUM, 3)])
        for number in range(9):
            publisher.publish(topic, str(number), qos)
        held = [c.packet(PUBLISH) for _ in range(3)]
        c.alive()  # no fourth one, but PINGRESP
        equal(c.subscribe(b.name("x")), [0], "SUBSCRIBE with the quota used up")
        c.publish(b.name("y"), "mine", 2)  # and our own flows
        for number in range(3, 9):
            message = held.pop(0)
            if qos == 1:
                c.send(ack(5, PUBACK, message.packet_id))
            else:
                c.send(ack(5, PUBREC, message.packet_id))
                c.packet(PUBREL)
                c.alive()  # PUBREC alone makes no room
                c.send(ack(5, PUBCOMP, message.packet_id))
            held.append(c.packet(PUBLISH))
            equal(held[-1].payload, str(number).encode(), "the next one")
            c.alive()
        if qos == 2:
            publisher.publish(topic, "after an error", 2)
            c.send(ack(5, PUBREC, held[0].packet_id, 0x80))  # makes room at once
            equal(c.packet(PUBLISH).payload, b"after an error", "after PUBREC 0x80")


@proves("MQTT-3.3.4-9", "MQTT-4.9.0-2", "MQTT-4.4.0-1")
def test_the_quota_of_a_new_connection(b):
    topic = b.name("t")
    c = b.client(clean=False, props=FOREVER)
    c.subscribe((topic, 1))
    publisher = b.client()
    for number in range(6):
        publisher.publish(topic, str(number), 1)
    first = [c.packet(PUBLISH) for _ in range(6)]
    c.drop()
    again = b.client(client_id=c.client_id, clean=False, props=FOREVER + [(RECEIVE_MAXIMUM, 2)])
    for number in range(0, 6, 2):
        got = [again.packet(PUBLISH), again.packet(PUBLISH)]
        equal([(m.packet_id, m.dup) for m in got], [(m.packet_id, True) for m in first[number:number + 2]], "sent again")
        again.alive()
        for m in got:
            again.send(ack(5, PUBACK, m.packet_id))
    again.alive()


@settings("mqtt.receive_maximum=5")
@reacts("MQTT-3.3.4-7")
@proves("MQTT-4.9.0-1", "MQTT-3.3.4-10", "MQTT-4.9.0-3")
def test_the_servers_receive_maximum(b):
    c = b.client()
    equal(c.connack.props.get(RECEIVE_MAXIMUM), 5, "receive maximum")
    for packet_id in range(1, 6):
        c.send(publish(5, "t", "x", 2, packet_id=packet_id))
        c.packet(PUBREC)
    c.publish("t", "x", 0)
    c.alive()
    c.send(publish(5, "t", "x", 2, dup=True, packet_id=3))  # not a new one
    c.packet(PUBREC)
    c.send(ack(5, PUBREL, 1))
    c.packet(PUBCOMP)
    c.send(publish(5, "t", "x", 2, packet_id=6))
    c.packet(PUBREC)
    c.send(publish(5, "t", "x", 2, packet_id=7))
    c.ends(0x93)
    old = b.client(4)  # which cannot be told
    for packet_id in range(1, 9):
        old.send(publish(4, "t", "x", 2, packet_id=packet_id))
        old.packet(PUBREC)


@proves("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_the_clients_maximum_packet_size(b):
    topic, c, publisher = pair(b, props=[(MAXIMUM_PACKET, 300), (RECEIVE_MAXIMUM, 2)])
    overhead = len(publish(5, topic, "", 1, packet_id=1)) + 1  # two bytes of remaining length
    fits = 300 - overhead
    for qos in (0, 1, 2):
        publisher.publish(topic, b"a" * fits, qos)
        message = c.message()
        equal(len(message.payload), fits, "the largest that fits")
        for _ in range(4):  # more than the quota: it was as if they had been delivered
            publisher.publish(topic, b"b" * (301 - overhead + 2), qos)
        publisher.publish(topic, b"after", qos)
        equal(c.message().payload, b"after", "behind those that were too large")
    publisher.publish(topic, b"c", 1, props=[(USER, ("k", "v" * 300))])
    publisher.publish(topic, b"after", 1)
    equal(c.message().payload, b"after", "behind one with large properties")


@proves("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_the_maximum_packet_size_and_queued_messages(b):
    topic = b.name("t")
    c = b.client(clean=False, props=FOREVER)
    c.subscribe((topic, 1))
    publisher = b.client()
    publisher.publish(topic, b"d" * 1000, 1)
    c.packet(PUBLISH)  # in flight, and then too large
    c.drop()
    for payload in (b"e" * 1000, b"small"):
        publisher.publish(topic, payload, 1)
    again = b.client(client_id=c.client_id, clean=False, props=FOREVER + [(MAXIMUM_PACKET, 200), (RECEIVE_MAXIMUM, 1)])
    equal(again.message().payload, b"small", "what fits")
    again.alive()


@settings("mqtt.max_packet_size=1KiB")
@reacts("MQTT-3.2.2-15")
@versions(4, 5)
def test_the_servers_maximum_packet_size(b, version):
    topic, c, publisher = pair(b, version)
    if version == 5:
        equal(publisher.connack.props.get(MAXIMUM_PACKET), 1024, "maximum packet size")
    size = 1024 - len(publish(version, topic, b"x" * 200)) + 200
    publisher.publish(topic, b"x" * size)
    equal(len(c.message().payload), size, "the largest")
    publisher.send(publish(version, topic, b"x" * (size + 1)))
    publisher.error(0x95)
    c.alive()


# ---- order ------------------------------------------------------------------------------------------------------------------

@proves("MQTT-4.6.0-5", "MQTT-4.6.0-6", "MQTT3-4.6.0-5", "MQTT3-4.6.0-6")
@versions(4, 5)
def test_order(b, version):
    topic, c, publisher = pair(b, version)
    other = b.client(version)
    other.subscribe((f"{topic}/#", 2))
    count = 150
    for number in range(count):
        qos = number % 3
        publisher.send(publish(version, topic, f"{qos} {number}", qos, packet_id=number + 1))
    for _ in range(count // 3):
        publisher.take(PUBACK)
    for _ in range(count // 3):
        publisher.send(ack(version, PUBREL, publisher.take(PUBREC).packet_id))
    for receiver in (c, other):
        got = [receiver.message().payload.split() for _ in range(count)]
        for qos in (b"0", b"1", b"2"):
            numbers = [int(number) for q, number in got if q == qos]
            equal(numbers, sorted(numbers), f"order of QoS {qos.decode()}")
            equal(len(numbers), count // 3, "number of messages")


@proves("MQTT-3.5.2-1", "MQTT-4.3.3-8", "MQTT3-4.3.3-2")
@versions(4, 5)
def test_acknowledgements_come_in_order(b, version):
    publisher = b.client(version)
    topic = b.name("t")
    publisher.send(*[publish(version, topic, "x", 1 + n % 2, packet_id=n + 1) for n in range(60)])
    got = [publisher.packet() for _ in range(60)]
    equal([(p.type, p.packet_id) for p in got], [(PUBREC if n % 2 else PUBACK, n + 1) for n in range(60)], "acknowledgements")
    publisher.send(*[ack(version, PUBREL, n + 1) for n in range(59, 0, -2)])
    equal([publisher.packet(PUBCOMP).packet_id for _ in range(30)], [n + 1 for n in range(59, 0, -2)], "PUBCOMP in the order of PUBREL")


# ---- what a server may refuse ---------------------------------------------------------------------------------------------------

@settings("mqtt.max_qos_allowed=1")
@proves("MQTT-3.2.2-9", "MQTT-3.2.2-10", "MQTT-3.2.2-12", "MQTT-3.8.4-7", "MQTT-3.8.4-8", "MQTT-3.3.4-2")
@reacts("MQTT-3.2.2-11")
def test_maximum_qos_1(b):
    topic = b.name("t")
    c = b.client()
    equal(c.connack.props.get(MAXIMUM_QOS), 1, "maximum QoS")
    equal(c.subscribe((topic, 0), (topic + "1", 1), (topic + "2", 2)), [0, 1, 1], "granted QoS")
    c.publish(topic + "2", "x", 1)
    equal(c.message().qos, 1, "QoS 1 still works")
    c.send(publish(5, topic, "x", 2, packet_id=9))
    c.ends(0x9B)
    refused = b.raw()
    refused.send(connect(5, b.name("c"), will=Will(topic, qos=2)))
    refused.refused(0x9B)
    old = b.raw(4)
    old.send(connect(4, b.name("c"), will=Will(topic, qos=2)))
    old.refused(0x9B, 5)
    old = b.client(4)
    equal(old.subscribe((topic, 2)), [1], "granted QoS in 3.1.1")


@settings("mqtt.max_qos_allowed=0")
@proves("MQTT-3.2.2-9", "MQTT-3.2.2-10", "MQTT-3.2.2-12")
@reacts("MQTT-3.2.2-11")
def test_maximum_qos_0(b):
    topic = b.name("t")
    c = b.client()
    equal(c.connack.props.get(MAXIMUM_QOS), 0, "maximum QoS")
    equal(c.subscribe((topic, 0), (topic + "1", 1), (topic + "2", 2)), [0, 0, 0], "granted QoS")
    for qos in (1, 2):
        c = b.client()
        c.send(publish(5, topic, "x", qos, packet_id=9))
        c.ends(0x9B)
        refused = b.raw()
        refused.send(connect(5, b.name("c"), will=Will(topic, qos=qos)))
        refused.refused(0x9B)


@settings("mqtt.retain_available=false")
@proves("MQTT-3.2.2-13", "MQTT-3.2.2-7")
@reacts("MQTT-3.2.2-14")
def test_no_retained_messages(b):
    topic, c, publisher = pair(b)
    equal(publisher.connack.props.get(RETAIN_AVAILABLE), 0, "retain available")
    publisher.publish(topic, "x", 1)
    equal(c.message().payload, b"x", "without retain")
    publisher.send(publish(5, topic, "x", 1, True, packet_id=9))
    publisher.ends(0x9A)
    refused = b.raw()
    refused.send(connect(5, b.name("c"), will=Will(topic, retain=True)))
    refused.refused(0x9A)
    b.client(will=Will(topic)).alive()


@settings("mqtt.payload_format_check=true")
@proves("MQTT-3.3.2-4", "MQTT-4.13.1-1")
def test_payload_format_is_checked_on_request(b):
    topic, c, publisher = pair(b)
    publisher.publish(topic, "ä\0", 1, props=[(FORMAT, 1)])
    publisher.publish(topic, b"\xff", 1, props=[(FORMAT, 0)])
    publisher.publish(topic, b"\xff", 1)
    equal([c.message().payload for _ in range(3)], ["ä\0".encode(), b"\xff", b"\xff"], "what is fine")
    publisher.send(publish(5, topic, b"\xff", 1, packet_id=9, props=[(FORMAT, 1)]))
    publisher.ends(0x99)
    c.alive()


@proves("MQTT-3.1.2-29", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", "MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-2",
        "MQTT-3.7.2-3", "MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.11.2-1", "MQTT-3.11.2-2")
def test_no_explanations_where_they_are_not_wanted_or_do_not_fit(b):
    """Every kind of answer, with an error in it, to a client that takes small packets or no problem information."""
    for props in ([(REQUEST_PROBLEM, 0)], [(MAXIMUM_PACKET, 60)], [(REQUEST_PROBLEM, 0), (MAXIMUM_PACKET, 60)]):
        c = b.client(props=props)
        answers = []
        c.send(publish(5, "$SYS/x", "x", 1, packet_id=1), publish(5, "$SYS/x", "x", 2, packet_id=2), ack(5, PUBREL, 3), ack(5, PUBREC, 4),
               unsubscribe(5, 5, b.name("x"), props=[(USER, ("k", "v"))]),
               subscribe(5, 6, b.name("x"), props=[(USER, ("k", "v"))]))
        for kind, reason in ((PUBACK, 0x87), (PUBREC, 0x87), (PUBCOMP, 0x92), (PUBREL, 0x92)):
            packet = c.take(kind)
            equal(packet.reason, reason, NAMES[kind])
            answers.append(packet)
        equal(c.take(UNSUBACK, 5).codes, [0x11], "UNSUBACK")
        answers.append(c.take(SUBACK, 6))
        for packet in answers:
            equal(packet.props, {}, f"properties of {packet}")


@proves("MQTT-3.14.2-3", "MQTT-3.14.2-4", "MQTT-3.1.2-24")
def test_disconnect_keeps_to_the_maximum_packet_size(b):
    told = b.client()
    told.send(connect(5, told.client_id))
    check(told.ends(0x82).props.get(REASON_STRING), "DISCONNECT explains nothing: this test would prove nothing")
    for maximum in (24, 30, 40):
        c = b.client(props=[(MAXIMUM_PACKET, maximum)])
        c.send(publish(5, "a/#", "x"))
        packet = c.ends(0x90)
        check(packet.size <= maximum, f"{packet.size} bytes")


@proves("MQTT-4.6.0-5", "MQTT3-4.6.0-6", "MQTT-3.3.1-5")
@versions(4, 5)
def test_an_old_retained_message_does_not_follow_the_new_one(b, version):
    """SUBSCRIBE and the next retained message of a topic at the same time: whatever comes, the new one is the last."""
    for _ in range(3):
        root, count = b.name("r"), 150
        c, publishers = b.client(version), [b.client(version) for _ in range(3)]
        for n in range(count):
            publishers[n % 3].send(publish(version, f"{root}/{n}", "old", 1, True, packet_id=n + 1))
        for n in range(count):
            publishers[n % 3].take(PUBACK, n + 1)
        for n in range(count):
            c.send(subscribe(version, n + 1, (f"{root}/{n}", 1)))
            publishers[n % 3].send(publish(version, f"{root}/{n}", "new", 1, True, packet_id=n + 1))
        last, missing = {}, set(range(count))
        while missing:
            message = c.message()
            last[message.topic] = message.payload
            if message.payload == b"new":
                missing.discard(int(message.topic.split("/")[1]))
        while True:
            try:
                message = c.message(0.3)
            except Closed:
                raise
            except Failed:
                break
            last[message.topic] = message.payload
        equal([topic for topic, payload in last.items() if payload != b"new"], [], "topics whose last message is the old one")
        for n in range(count):
            publishers[n % 3].send(publish(version, f"{root}/{n}", "", 0, True))
