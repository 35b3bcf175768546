"""paho_test.py PORT VERSION PREFIX [hang]: paho-mqtt (1.6 or 2.x, whichever this Python has) against a broker. A line per test,
`ok NAME` or `FAILED NAME: why`. With `hang`: connects with a will, says `ready` and waits to be killed."""
import os
import queue
import sys
import time
import traceback

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT, VERSION, PREFIX = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
V5 = VERSION == 5
TRANSPORT = os.environ.get("TRANSPORT", "tcp")
PAHO_2 = hasattr(mqtt, "CallbackAPIVersion")


def code(reason):
    return reason.value if hasattr(reason, "value") else int(reason)


def props(kind, **values):
    result = Properties(kind)
    for name, value in values.items():
        setattr(result, name, value)
    return result


class Peer:
    def __init__(self, name, clean=True, expiry=None, will=None, will_props=None, connect_props=None, setup=None):
        arguments = {"client_id": name and f"{PREFIX}-{name}", "protocol": VERSION,
                     "transport": {"ws": "websockets", "wss": "websockets", "tls": "tcp"}.get(TRANSPORT, TRANSPORT)}
        if not V5:
            arguments["clean_session"] = clean
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **arguments) if PAHO_2 else mqtt.Client(**arguments)
        self.messages, self.events = queue.Queue(), queue.Queue()
        self.client.on_message = lambda c, u, m: self.messages.put(m)
        self.client.on_connect = lambda c, u, flags, reason, *rest: self.events.put(
            ("connect", flags["session present"] if isinstance(flags, dict) else flags.session_present, code(reason),
             rest[0] if rest else None))
        self.client.on_subscribe = lambda c, u, mid, codes, *rest: self.events.put(
            ("subscribe", mid, [code(one) for one in (codes if not PAHO_2 or isinstance(codes, (list, tuple)) else [codes])]))
        self.client.on_unsubscribe = self.unsubscribed
        self.client.on_publish = lambda c, u, mid, *rest: self.events.put(("publish", mid, code(rest[0]) if rest else 0))
        self.client.on_disconnect = lambda c, u, *rest: self.events.put(("disconnect",))
        if will:
            self.client.will_set(*will, **({"properties": will_props} if will_props else {}))
        if setup:
            setup(self.client)
        options = {}
        if V5:
            connecting = connect_props or Properties(PacketTypes.CONNECT)
            if expiry is not None:
                connecting.SessionExpiryInterval = expiry
            options = {"clean_start": clean, "properties": connecting}
        if TRANSPORT in ("ws", "wss"):
            self.client.ws_set_options(path="/mqtt")
        if TRANSPORT in ("wss", "tls"):
            self.client.tls_set(ca_certs=os.environ["CA_FILE"])
        self.client.connect(os.environ["SOCKET"] if TRANSPORT == "unix" else "localhost" if TRANSPORT in ("wss", "tls") else "127.0.0.1", PORT, 60, **options)
        self.client.loop_start()
        _, self.present, reason, self.connack = self.event("connect")
        assert reason == 0, f"CONNACK {reason}"

    def unsubscribed(self, client, userdata, mid, *rest):
        codes = []
        for one in rest:
            if isinstance(one, list):
                codes = [code(each) for each in one]
            elif type(one).__name__ in ("ReasonCode", "ReasonCodes"):
                codes = [code(one)]
        self.events.put(("unsubscribe", mid, codes))

    def event(self, kind, mid=None):
        kept, deadline = [], time.monotonic() + 30
        try:
            while True:
                event = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
                if event[0] == kind and (mid is None or event[1] == mid):
                    return event
                kept.append(event)
        finally:
            for event in kept:
                self.events.put(event)

    def subscribe(self, topic, qos=0, **options):
        _, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos, **options)) if options \
            else self.client.subscribe(topic, qos)
        return self.event("subscribe", mid)[2][0]

    def subscribe_with_id(self, topic, qos, number):
        _, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos),
                                       properties=props(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=number))
        return self.event("subscribe", mid)[2][0]

    def publish(self, topic, payload, qos=0, retain=False, **properties):
        options = {"properties": props(PacketTypes.PUBLISH, **properties)} if properties else {}
        info = self.client.publish(topic, payload, qos, retain, **options)
        if qos:
            info.wait_for_publish(10)
            assert info.is_published(), "no acknowledgement"
        return info

    def message(self, timeout=30):
        return self.messages.get(timeout=timeout)

    def nothing(self, seconds=0.3):
        try:
            raise AssertionError(f"a message on {self.messages.get(timeout=seconds).topic} that should not come")
        except queue.Empty:
            pass

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def topic(name):
    return f"{PREFIX}/{name}"


def same(got, wanted):
    assert got == wanted, f"got {str(got)[:200]!r}, wanted {str(wanted)[:200]!r}"


def round_trips():
    a, b = Peer("a"), Peer("b")
    for peer, mine in ((a, "to/a"), (b, "to/b")):
        same(peer.subscribe(topic(mine), 2), 2)
    for sender, receiver, where in ((a, b, "to/b"), (b, a, "to/a")):
        for qos in (0, 1, 2):
            sender.publish(topic(where), f"qos {qos}", qos)
            message = receiver.message()
            same((message.topic, message.payload, message.qos, message.retain), (topic(where), f"qos {qos}".encode(), qos, False))
    for granted in (0, 1):
        same(a.subscribe(topic("low"), granted), granted)
        b.publish(topic("low"), "x", 2)
        same(a.message().qos, granted)
    a.close()
    b.close()


def retained():
    a = Peer("a")
    for qos in (0, 1, 2):
        a.publish(topic(f"kept/{qos}"), f"kept {qos}", qos, True)
    b = Peer("b")
    b.subscribe(topic("kept/#"), 2)
    got = sorted((m.topic, m.payload, m.qos, m.retain) for m in (b.message() for _ in range(3)))
    same(got, [(topic(f"kept/{q}"), b"kept %d" % q, q, True) for q in (0, 1, 2)])
    for qos in (0, 1, 2):
        a.publish(topic(f"kept/{qos}"), b"", 1, True)
        same((b.message().retain), False)
    c = Peer("c")
    c.subscribe(topic("kept/#"), 2)
    c.nothing()
    for peer in (a, b, c):
        peer.close()


def session_resume():
    keep = Peer("keep", clean=False, expiry=100 if V5 else None)
    keep.subscribe(topic("queue"), 1)
    keep.close()
    a = Peer("a")
    for i in range(50):
        a.publish(topic("queue"), str(i), 1 + i % 2)
    keep = Peer("keep", clean=False, expiry=100 if V5 else None)
    same(bool(keep.present), True)
    same([int(keep.message().payload) for _ in range(50)], list(range(50)))
    keep.nothing()
    keep.close()
    keep = Peer("keep", clean=True)
    same(bool(keep.present), False)
    a.publish(topic("queue"), "lost", 1)
    keep.nothing()
    keep.close()
    a.close()


def large_payload():
    a = Peer("a")
    a.subscribe(topic("large"), 2)
    payload = bytes(i * 7 % 256 for i in range(1000)) * 300
    for qos in (0, 1, 2):
        a.publish(topic("large"), payload, qos)
        same(a.message().payload == payload, True)
    a.close()


def many_in_order():
    a, b = Peer("a", setup=lambda client: client.max_inflight_messages_set(100)), Peer("b")
    for qos, count in ((0, 1500), (1, 1500), (2, 600)):
        b.subscribe(topic(f"many/{qos}"), qos)
        infos = [a.client.publish(topic(f"many/{qos}"), str(i), qos) for i in range(count)]
        same([int(b.message().payload) for _ in range(count)], list(range(count)))
        infos[-1].wait_for_publish(10)
    b.nothing(0.1)
    a.close()
    b.close()


def shared():
    members = [Peer("s1"), Peer("s2")]
    sender = Peer("a")
    for member in members:
        same(member.subscribe(f"$share/{PREFIX}/{topic('work')}", 1), 1)
    for i in range(100):
        sender.publish(topic("work"), str(i), 1)
    got = [[], []]
    deadline = time.monotonic() + 30
    while sum(map(len, got)) < 100 and time.monotonic() < deadline:
        for member, mine in zip(members, got):
            while not member.messages.empty():
                mine.append(int(member.messages.get().payload))
        time.sleep(0.01)
    same(sorted(got[0] + got[1]), list(range(100)))
    assert got[0] and got[1], "one member got everything"
    same([mine == sorted(mine) for mine in got], [True, True])
    for peer in members + [sender]:
        peer.close()


def properties():
    a, b = Peer("a"), Peer("b")
    same(b.subscribe_with_id(topic("props/#"), 1, 7), 1)
    same(b.subscribe_with_id(topic("props/+"), 1, 268435455), 1)
    a.publish(topic("props/x"), "hällo", 1, ContentType="text/plain", ResponseTopic="answer/here", CorrelationData=b"\0\1\2",
              MessageExpiryInterval=100, PayloadFormatIndicator=1, UserProperty=[("k", "1"), ("k", "2"), ("", "é")])
    got = b.message().properties
    same((got.ContentType, got.ResponseTopic, got.CorrelationData, got.PayloadFormatIndicator), ("text/plain", "answer/here", b"\0\1\2", 1))
    same(got.UserProperty, [("k", "1"), ("k", "2"), ("", "é")])
    same(sorted(got.SubscriptionIdentifier), [7, 268435455])
    assert 98 <= got.MessageExpiryInterval <= 100, got.MessageExpiryInterval
    for i in range(3):  # an alias: the topic once, then the number alone
        b_topic = topic("props/alias")
        a.publish(b_topic if i == 0 else "", str(i), 1, TopicAlias=5)
        message = b.message()
        same((message.topic, message.payload), (b_topic, b"%d" % i))
    a.close()
    b.close()


def aliases_towards_the_client():
    a = Peer("a", connect_props=props(PacketTypes.CONNECT, TopicAliasMaximum=2))
    a.subscribe(topic("al/#"), 0)
    for i in range(20):  # paho leaves resolving aliases to its user: at most 2 are used, each first with its topic
        a.publish(topic(f"al/{i % 3}"), str(i), 1)
    known = {}
    for i in range(20):
        message = a.message()
        alias = getattr(message.properties, "TopicAlias", None)
        if alias:
            assert 1 <= alias <= 2, f"alias {alias}"
            if message.topic:
                known[alias] = message.topic
        same((message.topic or known.get(alias), message.payload), (topic(f"al/{i % 3}"), b"%d" % i))
    assert known, "no alias was used"
    a.close()


def expiry():
    keep = Peer("exp", clean=False, expiry=100)
    keep.subscribe(topic("exp"), 1)
    keep.close()
    a = Peer("a")
    a.publish(topic("exp"), "short", 1, MessageExpiryInterval=1)
    a.publish(topic("exp"), "long", 1, MessageExpiryInterval=50)
    a.publish(topic("exp/kept"), "gone", 1, True, MessageExpiryInterval=1)
    brief = Peer("brief", clean=False, expiry=1)
    brief.close()
    time.sleep(2.2)
    keep = Peer("exp", clean=False, expiry=0)
    same(bool(keep.present), True)
    message = keep.message()
    same(message.payload, b"long")
    assert message.properties.MessageExpiryInterval <= 48, message.properties.MessageExpiryInterval
    keep.subscribe(topic("exp/kept"), 1)
    keep.nothing()
    keep.close()
    brief = Peer("brief", clean=False, expiry=0)
    same(bool(brief.present), False)
    brief.close()
    a.close()


def reason_codes():
    a = Peer("")
    assert a.connack.AssignedClientIdentifier, "no client id was assigned"
    same(a.connack.MaximumPacketSize, 1 << 20)
    _, mid = a.client.unsubscribe(topic("never"))
    same(a.event("unsubscribe", mid)[2], [0x11])
    if PAHO_2:  # 1.6 does not show them
        info = a.client.publish(topic("nobody"), "x", 1)
        same(a.event("publish", info.mid)[2], 0x10)
        info = a.client.publish("$SYS/broker/x", "x", 1)
        same(a.event("publish", info.mid)[2], 0x87)
    same(a.subscribe(topic("no-local"), 1, noLocal=True), 1)
    a.publish(topic("no-local"), "x", 1)
    a.nothing()
    a.publish(topic("rap"), "x", 1, True)
    same(a.subscribe(topic("rap"), 1, retainAsPublished=True, retainHandling=1), 1)
    same(a.message().retain, True)
    same(a.subscribe(topic("rap"), 1, retainAsPublished=True, retainHandling=1), 1)
    a.nothing()
    a.publish(topic("rap"), "", 1, True)
    same(a.message().retain, True)
    a.close()


def takeover():
    first = Peer("taken", clean=False, expiry=100 if V5 else None)
    first.subscribe(topic("taken"), 1)
    second = Peer("taken", clean=False, expiry=100 if V5 else None)
    first.event("disconnect")
    first.client.loop_stop()
    same(bool(second.present), True)
    second.publish(topic("taken"), "x", 1)
    same(second.message().payload, b"x")
    second.close()
    Peer("taken", clean=True).close()


def hang():
    will_props = props(PacketTypes.WILLMESSAGE, ContentType="text/x-will", UserProperty=[("w", "1")]) if V5 else None
    Peer("hang", will=(topic("will"), "killed", 1, True), will_props=will_props)
    print("ready", flush=True)
    time.sleep(60)


tests = [round_trips, retained, session_resume, large_payload, many_in_order, shared, takeover]
tests += [properties, aliases_towards_the_client, expiry, reason_codes] if V5 else []
if sys.argv[4:] == ["hang"]:
    hang()
else:
    for test in tests:
        try:
            test()
            print(f"ok {test.__name__}", flush=True)
        except Exception:
            print(f"FAILED {test.__name__}: {traceback.format_exc()}", flush=True)
