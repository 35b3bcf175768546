"""SUBSCRIBE, UNSUBSCRIBE, matching, shared subscriptions, malformed packets (sections 3.8 to 3.11, 4.7, 4.8, 4.13)."""
import struct

from conformance_wire import *  # noqa: F401,F403

FOREVER = [(SESSION_EXPIRY, 0xFFFFFFFF)]
NO_LOCAL, AS_PUBLISHED, NOT_IF_THERE, NEVER = 4, 8, 16, 32


# ---- SUBSCRIBE and SUBACK ---------------------------------------------------------------------------------------------------

@proves("MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2", "MQTT-2.2.1-6",
        "MQTT3-3.8.4-1", "MQTT3-3.8.4-2", "MQTT3-3.8.4-4", "MQTT3-3.8.4-5", "MQTT3-3.9.3-1", "MQTT3-3.9.3-2", "MQTT3-2.3.1-7")
@versions(3, 4, 5)
def test_suback(b, version):
    c = b.client(version)
    root = b.name("t")
    for packet_id in (1, 2, 255, 256, 65535):
        c.send(subscribe(version, packet_id, f"{root}/{packet_id}"))
        suback = c.packet(SUBACK)
        equal((suback.packet_id, suback.codes), (packet_id, [0]), "SUBACK")
    qos = [n * n * 7 % 3 for n in range(40)]
    c.send(subscribe(version, 7, *[(f"{root}/many/{n}", q) for n, q in enumerate(qos)]))
    equal(c.packet(SUBACK).codes, qos, "granted QoS, in order")
    publisher = b.client(version)
    for n, q in enumerate(qos):  # each of them is in force
        publisher.publish(f"{root}/many/{n}", "x", 2)
        message = c.message()
        equal((message.topic, message.qos), (f"{root}/many/{n}", q), "the message")


@settings("mqtt.denied_filters=denied/one,denied/#", "mqtt.max_subscriptions=4")
@proves("MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2", "MQTT3-3.8.4-4", "MQTT3-3.8.4-5", "MQTT3-3.9.3-1",
        "MQTT3-3.9.3-2")
@versions(4, 5)
def test_suback_codes_of_refused_subscriptions(b, version):
    c = b.client(version)
    root = b.name("t")
    codes = c.subscribe((f"{root}/a", 1), ("denied/one", 2), (f"{root}/b", 2), ("denied/#", 0), (f"{root}/c", 0), (f"{root}/d", 0), f"{root}/e")
    equal(codes, [1, 0x80, 2, 0x80, 0, 0, 0x97 if version == 5 else 0x80], "codes")
    c.publish("denied/one", "x", 1)
    c.publish(f"{root}/e", "x", 1)
    c.publish(f"{root}/d", "x", 1)
    equal(c.message().topic, f"{root}/d", "the refused ones are not in force, the others are")
    c.alive()


@settings("mqtt.wildcard_subscription=false", "mqtt.shared_subscription=false")
@proves("MQTT3-3.8.3-2", "MQTT-3.9.3-2", "MQTT-3.8.4-7")
@versions(4, 5)
def test_no_wildcards_and_no_shared_subscriptions(b, version):
    c = b.client(version)
    if version == 5:
        equal((c.connack.props.get(WILDCARD_AVAILABLE), c.connack.props.get(SHARED_AVAILABLE)), (0, 0), "what CONNACK says")
    codes = c.subscribe("a/+", "#", "$share/g/a", "plain")
    equal(codes, [0xA2, 0xA2, 0x9E, 0] if version == 5 else [0x80, 0x80, 0x80, 0], "codes")


@proves("MQTT-3.8.4-8", "MQTT3-3.8.4-6")
@versions(3, 4, 5)
def test_qos_is_the_lower_of_both(b, version):
    topic = b.name("t")
    c, publisher = b.client(version), b.client(version)
    for granted in (0, 1, 2):
        c.subscribe((topic, granted))
        for published in (0, 1, 2):
            publisher.publish(topic, "x", published)
            equal(c.message().qos, min(granted, published), f"published {published}, granted {granted}")
            publisher.publish(topic + "/r", "x", published, True)
            publisher.alive()  # QoS 0 is not acknowledged: it has been processed now
            later = b.client(version)
            later.subscribe((topic + "/r", granted))
            equal(later.message().qos, min(granted, published), "of a retained one")


@proves("MQTT-3.8.4-3", "MQTT-3.8.4-4", "MQTT3-3.8.4-3", "MQTT-3.3.1-9")
@versions(3, 4, 5)
def test_a_subscription_is_replaced(b, version):
    topic = b.name("t")
    c, publisher = b.client(version), b.client(version)
    publisher.publish(topic, "kept", 2, True)
    for qos in (0, 2, 1):
        c.subscribe((topic, qos))
        message = c.message()
        equal((message.payload, message.retain, message.qos), (b"kept", True, qos), "the retained message again")
        publisher.publish(topic, "live", 2)
        message = c.message()
        equal((message.payload, message.qos), (b"live", qos), "one copy, by the new options")
        c.alive()
    equal(c.unsubscribe(topic), [0] if version == 5 else [], "one UNSUBSCRIBE ends it")
    publisher.publish(topic, "never", 1)
    c.alive()
    publisher.publish(topic, "", 0, True)


@proves("MQTT-3.8.4-3", "MQTT-3.3.4-3")
def test_replacing_changes_the_identifier_and_the_options(b):
    topic = b.name("t")
    c, publisher = b.client(), b.client()
    c.subscribe((topic, 1 | AS_PUBLISHED), props=[(SUBSCRIPTION_ID, 5)])
    publisher.publish(topic, "x", 1, True)
    message = c.message()
    equal((message.props.get(SUBSCRIPTION_ID), message.retain), ([5], True), "before")
    c.subscribe((topic, 1 | NEVER), props=[(SUBSCRIPTION_ID, 6)])
    publisher.publish(topic, "x", 1, True)
    message = c.message()
    equal((message.props.get(SUBSCRIPTION_ID), message.retain), ([6], False), "another identifier and no retain as published")
    c.subscribe((topic, 1 | NEVER))
    publisher.publish(topic, "x", 1, True)
    equal(c.message().props.get(SUBSCRIPTION_ID), None, "no identifier")
    publisher.publish(topic, "", 0, True)


@proves("MQTT-3.8.4-4", "MQTT3-3.8.4-3")
@versions(4, 5)
def test_nothing_is_lost_while_a_subscription_is_replaced(b, version):
    topic = b.name("t")
    c, publisher = b.client(version), b.client(version)
    c.subscribe((topic, 1))
    count = 300
    for number in range(count):
        publisher.send(publish(version, topic, str(number), 1, packet_id=number + 1))
        if number % 10 == 0:
            c.send(subscribe(version, number + 1, (topic, 1 + number // 10 % 2)))
    got = [c.message() for _ in range(count)]
    equal([int(m.payload) for m in got], list(range(count)), "the messages")
    for _ in range(count // 10):
        c.take(SUBACK)


@proves("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
def test_retain_handling(b):
    topic = b.name("t")
    publisher = b.client()
    publisher.publish(topic, "kept", 1, True)
    for options, first, again in ((0, True, True), (NOT_IF_THERE, True, False), (NEVER, False, False)):
        c = b.client()
        for when, wanted in (("first", first), ("again", again), ("after UNSUBSCRIBE", first)):
            if when == "after UNSUBSCRIBE":
                c.unsubscribe(topic)
            c.subscribe((topic, 1 | options))
            if wanted:
                message = c.message()
                equal((message.payload, message.retain), (b"kept", True), f"retain handling {options >> 4}, {when}")
            c.quiet()
    publisher.publish(topic, "", 0, True)


@proves("MQTT-3.3.1-12", "MQTT-3.3.1-13")
def test_retain_as_published(b):
    topic = b.name("t")
    as_published, plain, both, publisher = b.client(), b.client(), b.client(), b.client()
    as_published.subscribe((topic, 1 | AS_PUBLISHED))
    plain.subscribe((topic, 1))
    for retain in (True, False):
        publisher.publish(topic, "x", 1, retain)
        equal((as_published.message().retain, plain.message().retain), (retain, False), f"published with retain {retain}")
    later = b.client()
    later.subscribe((topic, 1), (topic + "/#", 1 | NEVER))
    equal(later.message().retain, True, "a retained message has the flag whatever the option")
    publisher.publish(topic, "", 0, True)


@proves("MQTT-3.8.3-3")
def test_no_local(b):
    topic = b.name("t")
    c, other = b.client(), b.client()
    c.subscribe((topic, 1 | NO_LOCAL), (topic + "/+", 1))
    other.subscribe((topic, 1 | NO_LOCAL))
    c.publish(topic, "own", 1)
    other.publish(topic, "other", 1)
    c.publish(topic + "/marker", "own, elsewhere", 1)
    equal(sorted([c.message().payload, c.message().payload]), [b"other", b"own, elsewhere"], "what comes to the publisher")
    equal(other.message().payload, b"own", "what comes to the other")
    other.alive()
    c.subscribe((f"{topic}/#", 1))  # overlapping: this one has no such option
    c.publish(topic, "own", 1)
    equal(c.message().payload, b"own", "by the overlapping subscription")
    c.alive()


@proves("MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT3-3.3.5-1", "MQTT-3.3.2-3", "MQTT3-3.3.2-3")
@versions(4, 5)
def test_overlapping_subscriptions(b, version):
    topic = b.name("t") + "/a/b"
    root = topic.split("/")[0]
    c, publisher = b.client(version), b.client(version)
    five = version == 5
    c.subscribe((topic, 0), props=[(SUBSCRIPTION_ID, 1)] if five else ())
    c.subscribe((f"{root}/+/b", 2), props=[(SUBSCRIPTION_ID, 268435455)] if five else ())
    c.subscribe((f"{root}/#", 1))
    c.subscribe((f"{root}/a/c", 2), props=[(SUBSCRIPTION_ID, 9)] if five else ())
    for qos in (2, 1, 0):
        publisher.publish(topic, "x", qos)
        copies = [c.message()]
        publisher.publish(f"{root}/marker", "marker", qos)
        while copies[-1].payload != b"marker":
            copies.append(c.message())
        copies.pop()
        equal(max(m.qos for m in copies), qos, "highest QoS")
        ids = sorted(n for m in copies for n in m.props.get(SUBSCRIPTION_ID, []))
        equal(ids, [1, 268435455] if five else [], "subscription identifiers")
        check(all(m.topic == topic for m in copies), "topics")


@proves("MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
def test_subscription_identifiers_of_queued_and_retained_messages(b):
    topic = b.name("t")
    publisher = b.client()
    publisher.publish(topic, "kept", 1, True)
    c = b.client(clean=False, props=FOREVER)
    c.subscribe((topic, 1), props=[(SUBSCRIPTION_ID, 200)])
    equal(c.message().props.get(SUBSCRIPTION_ID), [200], "of the retained message")
    c.subscribe((topic + "/#", 1 | NEVER), props=[(SUBSCRIPTION_ID, 3)])
    c.quit()
    publisher.publish(topic, "queued", 1)
    again = b.client(client_id=c.client_id, clean=False, props=FOREVER)
    message = again.packet(PUBLISH)
    equal(sorted(message.props.get(SUBSCRIPTION_ID, [])), [3, 200], "of the queued message")
    again.drop()
    third = b.client(client_id=c.client_id, clean=False, props=FOREVER)
    equal(sorted(third.message().props.get(SUBSCRIPTION_ID, [])), [3, 200], "of the message sent again")
    publisher.publish(topic, "", 0, True)


@proves("MQTT-3.8.1-1", "MQTT3-3.8.1-1", "MQTT-2.1.3-1", "MQTT3-2.2.2-1", "MQTT3-2.2.2-2", "MQTT-3.10.1-1", "MQTT3-3.10.1-1", "MQTT-3.6.1-1",
        "MQTT3-3.6.1-1", "MQTT-3.15.1-1", "MQTT-3.14.1-1", "MQTT3-3.14.1-1", "MQTT-4.13.1-1", "MQTT3-4.8.0-1")
@versions(4, 5)
def test_reserved_flags_of_the_fixed_header(b, version):
    bodies = {SUBSCRIBE: subscribe(version, 1, "a"), UNSUBSCRIBE: unsubscribe(version, 1, "a"), PUBREL: ack(version, PUBREL, 1),
              PUBACK: ack(version, PUBACK, 1), PUBREC: ack(version, PUBREC, 1), PUBCOMP: ack(version, PUBCOMP, 1), PINGREQ: PING,
              DISCONNECT: disconnect(version), AUTH: frame(0xF0, b"\x18" + properties([(AUTH_METHOD, "m")]))}
    for kind, packet in bodies.items():
        if kind == AUTH and version == 4:
            continue
        right = packet[0] & 15
        for flags in sorted({0, 1, 2, 3, 4, 8, 15} - {right}):
            c = b.client(version)
            c.send(bytes([kind << 4 | flags]) + packet[1:])
            try:
                c.error(0x81)
            except Failed as failure:
                raise Failed(f"{NAMES[kind]} with flags {flags}: {failure}") from None
    c = b.raw(version)
    c.send(b"\x11" + connect(version, b.name("c"))[1:])
    c.ends(None)


@reacts("MQTT-2.2.1-3", "MQTT3-2.3.1-1", "MQTT-3.8.3-1", "MQTT-3.8.3-2", "MQTT-3.10.3-1", "MQTT-3.10.3-2", "MQTT3-3.8.3-1", "MQTT3-3.8.3-3",
        "MQTT3-3.10.3-1", "MQTT3-3.10.3-2", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT3-4.7.1-2", "MQTT3-4.7.1-3", "MQTT-4.7.3-1", "MQTT-4.7.3-2",
        "MQTT3-4.7.3-1", "MQTT3-4.7.3-2", "MQTT-4.8.2-1", "MQTT-4.8.2-2", "MQTT-3.3.1-2", "MQTT3-3.3.1-2")
@proves("MQTT-4.13.1-1", "MQTT3-4.8.0-1", "MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT3-1.5.3-1", "MQTT3-1.5.3-2", "MQTT-3.3.1-4", "MQTT3-3.3.1-4",
        "MQTT3-2.2.2-2")
@versions(4, 5)
def test_malformed_packets(b, version):
    v, p = version, block(version, [])
    ident = b"\0\1"
    cases = [
        ("QoS 3", b"\x36" + publish(v, "a", "x", 1, packet_id=1)[1:], 0x81), ("DUP and QoS 0", publish(v, "a", "x", dup=True), 0x81),
        ("PUBLISH with id 0", publish(v, "a", "x", 1), 0x82), ("PUBLISH without id", frame(0x32, text("a")), 0x81),
        ("PUBLISH without topic", frame(0x30, b"\0"), 0x81), ("empty PUBLISH", frame(0x30, b""), 0x81),
        ("SUBSCRIBE with id 0", subscribe(v, 0, "a"), 0x82), ("UNSUBSCRIBE with id 0", unsubscribe(v, 0, "a"), 0x82),
        ("SUBSCRIBE of nothing", subscribe(v, 1), 0x82), ("UNSUBSCRIBE of nothing", unsubscribe(v, 1), 0x82),
        ("SUBSCRIBE cut off", frame(0x82, ident + p + text("a")), 0x81), ("empty SUBSCRIBE", frame(0x82, b""), 0x81),
        ("PUBACK cut off", b"\x40\x01\x00", 0x81), ("PUBACK with id 0", ack(v, PUBACK, 0), 0x82), ("PINGREQ with a body", b"\xc0\x01\x00", 0x81),
        ("type 0", b"\x00\x00", 0x81), ("CONNACK from a client", b"\x20\x02\x00\x00", 0x82), ("SUBACK from a client", frame(0x90, ident + p + b"\0"), 0x82),
        ("UNSUBACK from a client", frame(0xB0, ident + p + b"\0"), 0x82), ("PINGRESP from a client", b"\xd0\x00", 0x82)]
    if v == 4:
        cases += [("AUTH in 3.1.1", b"\xf0\x00", 0x81), ("type 15 in 3.1.1", b"\xf0\x01\x00", 0x81), ("DISCONNECT with a body", b"\xe0\x01\x00", 0x81),
                  ("PUBACK with a reason", b"\x40\x03\x00\x01\x00", 0x81)]
    else:
        cases += [("property length missing", frame(0x30, text("a")), 0x81), ("property length too large", frame(0x30, text("a") + b"\x05\x01\x01"), 0x81),
                  ("property cut off", frame(0x30, text("a") + b"\x02\x02\x00"), 0x81), ("property length overlong", frame(0x30, text("a") + b"\x80\x00"), 0x81),
                  ("subscription identifier 0", subscribe(5, 1, "a", props=[(SUBSCRIPTION_ID, 0)]), 0x82),
                  ("subscription identifier twice", subscribe(5, 1, "a", props=[(SUBSCRIPTION_ID, 1), (SUBSCRIPTION_ID, 2)]), 0x82),
                  ("PUBACK with a reason of SUBACK", ack(5, PUBACK, 1, 2), 0x82), ("PUBREC with a reason of PUBREL", ack(5, PUBREC, 1, 0x92), 0x82),
                  ("PUBREL with a reason of PUBACK", ack(5, PUBREL, 1, 0x80), 0x82), ("PUBCOMP with a reason of PUBACK", ack(5, PUBCOMP, 1, 0x10), 0x82),
                  ("two reason strings", ack(5, PUBACK, 1, 0, [(REASON_STRING, "a"), (REASON_STRING, "b")]), 0x82),
                  ("AUTH that says success", frame(0xF0, b"\0" + properties([(AUTH_METHOD, "m")])), 0x82)]
    bad_filters = [("a/#/b", 0x8F), ("a#", 0x8F), ("#/a", 0x8F), ("a+", 0x8F), ("+a/b", 0x8F), ("a/b+/c", 0x8F), ("", 0x8F), ("##", 0x8F),
                   (b"a\0b", 0x81), (b"\xff", 0x81), (b"\xed\xa0\x80", 0x81), ("$share//a", 0x8F), ("$share/g", 0x8F), ("$share/g/", 0x8F),
                   ("$share/g+/a", 0x8F), ("$share/g#/a", 0x8F), ("$share/#/a", 0x8F)]
    for bad, reason in bad_filters:
        cases += [(f"filter {bad!r}", subscribe(v, 1, "fine", bad), reason), (f"UNSUBSCRIBE {bad!r}", unsubscribe(v, 1, "fine", bad), reason)]
    for what, packet, reason in cases:
        c = b.client(v)
        c.send(packet)
        try:
            c.error(reason)
        except Failed as failure:
            raise Failed(f"{what}: {failure}") from None


@proves("MQTT-3.8.3-5", "MQTT3-3.8.3-4", "MQTT-3.8.3-4", "MQTT-4.13.1-1")
@versions(4, 5)
def test_subscription_options(b, version):
    cases = ([(0x40, "a", 0x81), (0x80, "a", 0x81), (0xC0, "a", 0x81), (3, "a", 0x82), (0x30, "a", 0x82), (NO_LOCAL, "$share/g/a", 0x82)] if version == 5
             else [(bit, "a", 0x81) for bit in (4, 8, 16, 32, 64, 128)] + [(3, "a", 0x82)])
    for options, filter_, reason in cases:
        c = b.client(version)
        c.send(subscribe(version, 1, ("fine", 0), (filter_, options)))
        try:
            c.error(reason)
        except Failed as failure:
            raise Failed(f"options 0x{options:02x}: {failure}") from None


@reacts("MQTT-2.2.1-3", "MQTT3-2.3.1-2", "MQTT3-2.3.1-3")
@versions(4, 5)
def test_packet_ids_are_told_apart_by_direction(b, version):
    """The same number may be in use once in each direction, and for a SUBSCRIBE after a PUBLISH is done."""
    topic = b.name("t")
    c, publisher = b.client(version), b.client(version)
    c.subscribe((topic, 2))
    publisher.publish(topic, "down", 2)
    packet_id = c.packet(PUBLISH).packet_id
    c.send(publish(version, b.name("up"), "up", 2, packet_id=packet_id))
    c.packet(PUBREC)
    c.send(ack(version, PUBREC, packet_id))
    c.packet(PUBREL)
    c.send(ack(version, PUBREL, packet_id))
    c.packet(PUBCOMP)
    c.send(ack(version, PUBCOMP, packet_id), subscribe(version, packet_id, b.name("t")))
    equal(c.packet(SUBACK).packet_id, packet_id, "id of SUBACK")
    c.alive()


# ---- UNSUBSCRIBE ------------------------------------------------------------------------------------------------------------

@proves("MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2", "MQTT-2.2.1-6",
        "MQTT3-3.10.4-1", "MQTT3-3.10.4-2", "MQTT3-3.10.4-4", "MQTT3-3.10.4-5", "MQTT3-3.10.4-6", "MQTT3-2.3.1-7")
@versions(3, 4, 5)
def test_unsubscribe(b, version):
    root = b.name("t")
    c, publisher = b.client(version), b.client(version)
    c.subscribe((f"{root}/a", 1), (f"{root}/+", 0), (f"{root}/b", 1), (f"{root}/#", 0))
    # Compared character by character: what merely matches ends nothing.
    c.send(unsubscribe(version, 700, f"{root}/c", f"{root}/+/", f"{root}/A", f"{root}/a", "#", f"{root}/a"))
    unsuback = c.packet(UNSUBACK)
    equal((unsuback.packet_id, unsuback.codes), (700, [0x11, 0x11, 0x11, 0, 0x11, 0x11] if version == 5 else []), "UNSUBACK")
    c.unsubscribe(f"{root}/#")
    publisher.publish(f"{root}/a", "a", 1)
    publisher.publish(f"{root}/b", "b", 1)
    got = [c.message(), c.message()]
    equal([(m.payload, m.qos) for m in got], [(b"a", 0), (b"b", 1)], "what the others still bring")
    equal(c.unsubscribe(f"{root}/+", f"{root}/b", f"{root}/nothing"), [0, 0, 0x11] if version == 5 else [], "UNSUBACK")
    publisher.publish(f"{root}/a", "a", 1)
    publisher.publish(f"{root}/b", "b", 1)
    c.alive()


@proves("MQTT-3.10.4-3", "MQTT3-3.10.4-3", "MQTT-3.10.4-2", "MQTT3-3.10.4-2")
@versions(4, 5)
def test_unsubscribe_completes_what_was_begun(b, version):
    topic = b.name("t")
    arguments = {"clean": False, "props": FOREVER if version == 5 else ()}
    c, publisher = b.client(version, **arguments), b.client(version)
    c.subscribe((topic, 2))
    publisher.publish(topic, "one", 1)
    publisher.publish(topic, "two", 2)
    one, two = c.packet(PUBLISH), c.packet(PUBLISH)
    c.unsubscribe(topic)
    publisher.publish(topic, "never", 1)
    c.send(ack(version, PUBREC, two.packet_id))
    equal(c.packet(PUBREL).packet_id, two.packet_id, "the flow goes on")
    c.drop()
    again = b.client(version, c.client_id, **arguments)
    got = [again.packet(), again.packet()]
    equal([(p.type, p.packet_id) for p in got], [(PUBLISH, one.packet_id), (PUBREL, two.packet_id)], "and is taken up again")
    again.send(ack(version, PUBACK, one.packet_id), ack(version, PUBCOMP, two.packet_id))
    again.alive()


# ---- matching ------------------------------------------------------------------------------------------------------------------

@proves("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-4", "MQTT-3.3.2-3", "MQTT3-4.7.1-2", "MQTT3-4.7.1-3", "MQTT3-4.7.3-4", "MQTT3-3.3.2-3")
@versions(4, 5)
def test_matching(b, version):
    r = b.name("t")
    cases = ((f"{r}/#", [r, f"{r}/", f"{r}/a", f"{r}/a/b/c"], [f"{r}x", f"x/{r}"]), (f"{r}/+", [f"{r}/a", f"{r}/"], [r, f"{r}/a/b", f"{r}/a/"]),
             (f"{r}/+/b", [f"{r}/a/b", f"{r}//b"], [f"{r}/b", f"{r}/a/b/c"]), (f"{r}/a/", [f"{r}/a/"], [f"{r}/a", f"{r}/a//"]),
             (f"+/{r}", [f"a/{r}", f"/{r}"], [f"a/{r}/b", r]), (f"{r}/+/+", [f"{r}//", f"{r}/a/b"], [f"{r}/a"]), (f"/{r}", [f"/{r}"], [r]),
             (f"{r}/A", [f"{r}/A"], [f"{r}/a", f"{r}/\u00c4"]), (f"{r}/+/#", [f"{r}/a", f"{r}/a/b"], [r]))
    publisher = b.client(version)
    for filter_, matching, others in cases:
        c = b.client(version)
        c.subscribe((filter_, 1), (f"marker/{r}", 1))
        for topic in matching + others:
            publisher.publish(topic, topic, 1)
        publisher.publish(f"marker/{r}", "marker", 1)
        equal(c.payloads(b"marker"), [t.encode() for t in matching], f"what {filter_} matches")
        c.quit()


@proves("MQTT-4.7.2-1", "MQTT3-4.7.2-1")
@versions(4, 5)
def test_wildcards_do_not_match_dollar_topics(b, version):
    r = b.name("t")
    c, publisher = b.client(version), b.client(version)
    c.subscribe(("#", 0), (f"+/{r}", 0), ("+/+/#", 0))
    exact = b.client(version)
    exact.subscribe((f"$test/{r}", 1), (f"$test/{r}/#", 1), (f"$test/+/x{r}", 1))
    publisher.publish(f"$test/{r}", "dollar", 1)
    publisher.publish(f"$test/a/x{r}", "dollar", 1)
    publisher.publish(f"plain/{r}", "marker", 1)
    equal([exact.message().topic, exact.message().topic], [f"$test/{r}", f"$test/a/x{r}"], "for filters that say it")
    while True:
        message = c.message()
        check(not message.topic.startswith("$"), f"a wildcard matched {message.topic}")
        if message.topic == f"plain/{r}":
            break
    # $SYS is the server's own, sent to those who ask for it by name (and not to the wildcards above).
    system = b.client(version)
    system.subscribe("$SYS/#")
    check(system.message().topic.startswith("$SYS/"), "nothing comes for $SYS/#")


# ---- shared subscriptions --------------------------------------------------------------------------------------------------------

@proves("MQTT-4.8.2-1", "MQTT-4.8.2-2", "MQTT-4.8.2-3", "MQTT-3.3.4-2")
@versions(4, 5)
def test_shared_subscription(b, version):
    topic = b.name("t")
    members = [b.client(version) for _ in range(4)]
    for number, member in enumerate(members):
        member.subscribe((f"$share/g/{topic}", number % 3))
    alone = b.client(version)
    alone.subscribe((f"$share/other/{topic}", 2))
    plain = b.client(version)
    plain.subscribe((topic, 2))
    publisher = b.client(version)
    for number in range(60):
        publisher.publish(topic, str(number), 2)
    equal([int(alone.message().payload) for _ in range(60)], list(range(60)), "another group has its own copy")
    equal([int(plain.message().payload) for _ in range(60)], list(range(60)), "and so has who subscribed alone")
    got, shares = [], []
    for number, member in enumerate(members):
        member.subscribe((b.name("end"), 0))  # behind it nothing more comes: all PUBLISH above were answered
        share = []
        while True:
            try:
                message = member.message(0.5)
            except Failed:
                break
            equal(message.qos, number % 3, "granted QoS")
            share.append(int(message.payload))
        equal(share, sorted(share), "order within a member")
        shares.append(len(share))
        got += share
    equal(sorted(got), list(range(60)), "each message to one member")
    check(all(shares), f"messages per member: {shares}")


@proves("MQTT-4.8.2-4", "MQTT-4.4.0-1")
def test_a_member_that_reconnects_gets_what_it_did_not_acknowledge(b):
    topic = b.name("t")
    publisher, first = b.client(), b.client(clean=False, props=FOREVER)
    first.subscribe((f"$share/g/{topic}", 2))
    publisher.publish(topic, "x", 2)
    held = first.packet(PUBLISH)
    other = b.client()
    other.subscribe((f"$share/g/{topic}", 2))
    first.drop()
    first = b.client(client_id=first.client_id, clean=False, props=FOREVER)
    message = first.message()
    equal((message.packet_id, message.payload, message.dup), (held.packet_id, b"x", True), "sent again to the same member")
    other.alive()
    first.alive()


@proves("MQTT-4.8.2-5")
def test_a_qos_2_message_of_a_member_whose_session_ends_goes_to_nobody_else(b):
    topic = b.name("t")
    publisher, first = b.client(), b.client(clean=False, props=FOREVER)
    first.subscribe((f"$share/g/{topic}", 2))
    publisher.publish(topic, "x", 2)
    first.packet(PUBLISH)
    other = b.client()
    other.subscribe((f"$share/g/{topic}", 2))
    first.drop()
    b.client(client_id=first.client_id, clean=True).alive()  # the session has ended
    publisher.publish(topic, "marker", 2)
    equal(other.message().payload, b"marker", "the first message the other member gets")


@proves("MQTT-3.3.1-9", "MQTT-3.8.4-3", "MQTT-3.10.4-1")
def test_shared_subscriptions_and_the_others_are_different(b):
    topic = b.name("t")
    publisher = b.client()
    publisher.publish(topic, "kept", 1, True)
    c = b.client()
    c.subscribe((f"$share/g/{topic}", 1))
    c.quiet()  # no retained messages for shared subscriptions
    c.subscribe((topic, 1 | NEVER))
    publisher.publish(topic, "x", 1)
    equal([c.message().payload, c.message().payload], [b"x", b"x"], "one copy for each of the two subscriptions")
    equal(c.unsubscribe(topic), [0], "UNSUBSCRIBE of the one")
    publisher.publish(topic, "y", 1)
    equal(c.message().payload, b"y", "the other is still there")
    equal(c.unsubscribe(f"$share/h/{topic}", f"$share/g/{topic}"), [0x11, 0], "UNSUBSCRIBE of another group and of the right one")
    publisher.publish(topic, "z", 1)
    c.alive()
    publisher.publish(topic, "", 0, True)


@proves("MQTT-4.8.2-6")
def test_a_message_a_member_refuses_goes_to_nobody_else(b):
    topic = b.name("t")
    publisher, members = b.client(), [b.client(), b.client()]
    for member in members:
        member.subscribe((f"$share/g/{topic}", 2))
    for qos in (1, 2):
        for number in range(10):
            publisher.publish(topic, f"{qos}{number}", qos)
    seen = []
    for member in members:
        held = []
        while True:
            try:
                held.append(member.packet(PUBLISH, 0.7))
            except Failed:
                break
        seen.append(held)
        for message in held:
            member.send(ack(5, PUBACK if message.qos == 1 else PUBREC, message.packet_id, 0x83))
        member.alive()
    for member in members:
        member.alive()
    equal(len(seen[0]) + len(seen[1]), 20, "deliveries")
    equal(len({m.payload for held in seen for m in held}), 20, "different messages")


@proves("MQTT-4.8.2-3", "MQTT-4.5.0-1")
def test_a_group_prefers_members_that_are_there(b):
    topic = b.name("t")
    here, away = b.client(), b.client(clean=False, props=FOREVER)
    for c in (here, away):
        c.subscribe((f"$share/g/{topic}", 1))
    away.drop()
    publisher = b.client()
    publisher.publish(topic, "x", 1)
    # On which shard the two live decides whether the group knows in time; no message may get lost in any case.
    for number in range(20):
        publisher.publish(topic, str(number), 1)
    again = b.client(client_id=away.client_id, clean=False, props=FOREVER)
    got = set()
    for c in (here, again):
        while True:
            try:
                got.add(c.message(0.7).payload)
            except Failed:
                break
    equal(len(got), 21, "messages, at both together")


# ---- interplay -------------------------------------------------------------------------------------------------------------------

@proves("MQTT-3.3.2-3", "MQTT3-3.3.2-3", "MQTT-4.5.0-1", "MQTT3-4.5.0-1")
def test_versions_mix(b):
    topic = b.name("t")
    clients = [b.client(version) for version in (3, 4, 5)]
    for c in clients:
        c.subscribe((topic, 2))
    for publisher in clients:
        for qos in (0, 1, 2):
            publisher.publish(topic, f"{publisher.version}{qos}", qos)
            for c in clients:
                message = c.message()
                equal((message.topic, message.payload, message.qos), (topic, f"{publisher.version}{qos}".encode(), qos), "the message")


@proves("MQTT-4.7.3-3", "MQTT3-4.7.3-3", "MQTT-3.9.3-2")
@versions(4, 5)
def test_the_longest_and_deepest_filters(b, version):
    root = b.name("t")
    c = b.client(version)
    long = root + "x" * (65535 - len(root))
    deep = root + "/a" * 127
    equal(c.subscribe((long, 1), (deep, 1)), [1, 1], "granted")
    for topic in (long, deep):
        c.publish(topic, "x", 1)
        equal(c.message().topic, topic, "topic")


@proves("MQTT3-4.8.0-2")
@settings("mqtt.max_sessions=2")
@versions(4, 5)
def test_a_server_that_is_full(b, version):
    clients, refused = [], None
    for _ in range(4):
        c = b.raw(version)
        c.send(connect(version, b.name("c")))
        packet = c.packet(CONNACK)
        if packet.reason:
            equal(packet.reason, 0x97 if version == 5 else 3, "reason")
            c.closed()
            refused = packet
        else:
            clients.append(c)
    check(refused, "nobody was refused")
