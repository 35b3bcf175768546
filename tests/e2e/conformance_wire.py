"""MQTT on the wire, for the conformance tests: packets are built and taken apart here and nowhere in ringmq's own code.

A Client is a raw socket with a parser; nothing is acknowledged, answered or repeated unless a test says so.
A test is a function with @proves(...) (the statements whose keeping it shows) or @reacts(...) (statements that bind the client:
the test shows what the server does when a client breaks them). Versions: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0."""
import itertools
import select
import socket
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE = range(1, 9)
SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(9, 16)
NAMES = ("reserved CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP "
         "DISCONNECT AUTH").split()

# Properties: id -> how the value is written.
FORMAT, EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION, SUBSCRIPTION_ID = 1, 2, 3, 8, 9, 11
SESSION_EXPIRY, ASSIGNED_ID, SERVER_KEEP_ALIVE, AUTH_METHOD, AUTH_DATA = 17, 18, 19, 21, 22
REQUEST_PROBLEM, WILL_DELAY, REQUEST_RESPONSE, RESPONSE_INFORMATION, SERVER_REFERENCE, REASON_STRING = 23, 24, 25, 26, 28, 31
RECEIVE_MAXIMUM, ALIAS_MAXIMUM, ALIAS, MAXIMUM_QOS, RETAIN_AVAILABLE, USER, MAXIMUM_PACKET = 33, 34, 35, 36, 37, 38, 39
WILDCARD_AVAILABLE, IDS_AVAILABLE, SHARED_AVAILABLE = 40, 41, 42
KINDS = {1: "B", 2: "I", 3: "s", 8: "s", 9: "b", 11: "v", 17: "I", 18: "s", 19: "H", 21: "s", 22: "b", 23: "B", 24: "I",
         25: "B", 26: "s", 28: "s", 31: "s", 33: "H", 34: "H", 35: "H", 36: "B", 37: "B", 38: "p", 39: "I", 40: "B", 41: "B",
         42: "B"}
# Reason codes that the standard gives each of the server's packets (5.0, tables of sections 3.2 to 3.15).
REASONS = {
    CONNACK: {0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B,
              0x9C, 0x9D, 0x9F},
    PUBACK: {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}, PUBREC: {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    PUBREL: {0, 0x92}, PUBCOMP: {0, 0x92},
    SUBACK: {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
                 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2},
    AUTH: {0, 0x18}}
# Properties that the standard gives each of the server's packets.
ALLOWED = {
    CONNACK: {17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42}, PUBLISH: {1, 2, 3, 8, 9, 11, 35, 38},
    PUBACK: {31, 38}, PUBREC: {31, 38}, PUBREL: {31, 38}, PUBCOMP: {31, 38}, SUBACK: {31, 38}, UNSUBACK: {31, 38},
    DISCONNECT: {31, 38, 28}, AUTH: {21, 22, 31, 38}}

PATIENCE = 60.0  # seconds until a test stops waiting for what must come; sanitizers on a busy machine are slow


class Failed(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failed(what)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


# ---- tests and what they prove ----------------------------------------------------------------------------------------

TESTS = []


class Test:
    def __init__(self, function):
        self.function, self.name = function, function.__name__
        self.proves, self.reacts, self.settings, self.versions = (), (), (), (None,)


def registered(function):
    if not isinstance(function, Test):
        function = Test(function)
        TESTS.append(function)
    return function


def proves(*statements):
    def mark(function):
        test = registered(function)
        test.proves += statements
        return test
    return mark


def reacts(*statements):
    def mark(function):
        test = registered(function)
        test.reacts += statements
        return test
    return mark


def versions(*numbers):
    """The test runs once for each version and gets it as its second argument."""
    def mark(function):
        test = registered(function)
        test.versions = numbers
        return test
    return mark


def settings(*assignments):
    """The test needs a broker of its own with these keys."""
    def mark(function):
        test = registered(function)
        test.settings = assignments
        return test
    return mark


# ---- building ----------------------------------------------------------------------------------------------------------

def varint(value):
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (128 if value else 0))
        if not value:
            return bytes(out)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(value)) + value


def properties(pairs):
    out = b""
    for number, value in pairs:
        kind = KINDS.get(number, "raw")
        out += bytes([number])
        if kind in "BHI":
            out += struct.pack(">" + kind, value)
        elif kind == "v":
            out += varint(value)
        elif kind == "p":
            out += text(value[0]) + text(value[1])
        elif kind == "raw":
            out += value
        else:
            out += text(value)
    return varint(len(out)) + out


def frame(first, body):
    return bytes([first]) + varint(len(body)) + body


def block(version, props):
    return properties(props) if version == 5 else b""


class Will:
    def __init__(self, topic, payload=b"gone", qos=0, retain=False, props=()):
        self.topic, self.payload, self.qos, self.retain, self.props = topic, payload, qos, retain, props


def connect(version, client_id, clean=True, keep_alive=120, props=(), will=None, user=None, password=None, flags=None,
            name=None, level=None):
    bits = 2 if clean else 0
    if will:
        bits |= 4 | will.qos << 3 | (32 if will.retain else 0)
    bits |= (128 if user is not None else 0) | (64 if password is not None else 0)
    body = text(name if name is not None else "MQIsdp" if version == 3 else "MQTT")
    body += bytes([level if level is not None else version, bits if flags is None else flags]) + struct.pack(">H", keep_alive)
    body += block(version, props) + text(client_id)
    if will:
        body += block(version, will.props) + text(will.topic) + text(will.payload)
    for field in (user, password):
        if field is not None:
            body += text(field)
    return frame(0x10, body)


def publish(version, topic, payload=b"", qos=0, retain=False, dup=False, packet_id=0, props=()):
    payload = payload.encode() if isinstance(payload, str) else payload
    body = text(topic) + (struct.pack(">H", packet_id) if qos else b"") + block(version, props) + payload
    return frame(0x30 | (8 if dup else 0) | qos << 1 | (1 if retain else 0), body)


def ack(version, kind, packet_id, reason=None, props=None):
    body = struct.pack(">H", packet_id)
    if reason is not None or props is not None:
        body += bytes([reason or 0])
    if props is not None:
        body += properties(props)
    return frame(kind << 4 | (2 if kind == PUBREL else 0), body)


def subscribe(version, packet_id, *entries, props=()):
    body = struct.pack(">H", packet_id) + block(version, props)
    for entry in entries:
        filter_, options = entry if isinstance(entry, tuple) else (entry, 0)
        body += text(filter_) + bytes([options])
    return frame(0x82, body)


def unsubscribe(version, packet_id, *filters, props=()):
    body = struct.pack(">H", packet_id) + block(version, props)
    return frame(0xA2, body + b"".join(text(f) for f in filters))


def disconnect(version, reason=None, props=None):
    if version != 5 or (reason is None and props is None):
        return b"\xe0\x00"
    return frame(0xE0, bytes([reason or 0]) + (b"" if props is None else properties(props)))


PING = b"\xc0\x00"


# ---- taking apart, strictly: what the server sends is judged here ------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        check(self.at + count <= len(self.data), "the server's packet is cut off")
        self.at += count
        return self.data[self.at - count:self.at]

    def left(self):
        return len(self.data) - self.at

    def number(self, kind):
        return struct.unpack(">" + kind, self.take(struct.calcsize(kind)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                check(byte or shift == 7, "the server's variable byte integer is longer than it need be")
                return value
            check(shift < 28, "the server's variable byte integer has more than four bytes")

    def binary(self):
        return self.take(self.number("H"))

    def string(self):
        value = self.binary()
        check(b"\0" not in value, "the server sent U+0000 in a string")
        return value.decode("utf-8", "strict")

    def properties(self):
        inner, found = Reader(self.take(self.varint())), {}
        while inner.left():
            number = inner.varint()
            check(number in KINDS, f"the server sent property {number}, which does not exist")
            kind = KINDS[number]
            value = (inner.number(kind) if kind in "BHI" else inner.varint() if kind == "v" else inner.binary() if kind == "b"
                     else (inner.string(), inner.string()) if kind == "p" else inner.string())
            if number in (USER, SUBSCRIPTION_ID):
                found.setdefault(number, []).append(value)
            else:
                check(number not in found, f"the server sent property {number} twice")
                found[number] = value
        return found


class Packet:
    """type, flags, size, and what the type has: props, reason, packet_id, codes, topic, payload, qos, retain, dup, present."""

    def __init__(self, version, first, body, size):
        self.type, self.flags, self.size, self.raw = first >> 4, first & 15, size, body
        self.props, self.reason, self.packet_id = {}, 0, 0
        r = Reader(body)
        five = version == 5
        kind = self.type
        if kind == PUBLISH:
            self.qos, self.retain, self.dup = self.flags >> 1 & 3, bool(self.flags & 1), bool(self.flags & 8)
            check(self.qos < 3, "the server sent QoS 3")
            check(self.qos or not self.dup, "the server sent DUP with QoS 0")
            self.topic = r.string()
            if self.qos:
                self.packet_id = r.number("H")
            if five:
                self.props = r.properties()
            check(self.topic or ALIAS in self.props, "the server sent neither topic nor alias")
            check("#" not in self.topic and "+" not in self.topic, "the server sent a topic with wildcards")
            self.payload = r.take(r.left())
        else:
            equal(self.flags, 2 if kind == PUBREL else 0, f"flags of the server's {NAMES[kind]}")
        if kind == CONNACK:
            flags, self.reason = r.number("B"), r.number("B")
            check(flags < 2, "reserved CONNACK flags")
            self.present = bool(flags)
            check(not (self.present and self.reason), "session present in a failing CONNACK")
            if not five:
                check(self.reason <= 5, f"CONNACK return code {self.reason} is reserved")
            else:
                self.props = r.properties()
        elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            self.packet_id = r.number("H")
            if five and r.left():
                self.reason = r.number("B")
                if r.left():
                    self.props = r.properties()
        elif kind in (SUBACK, UNSUBACK):
            self.packet_id = r.number("H")
            if five:
                self.props = r.properties()
            self.codes = list(r.take(r.left()))
            if five:
                check(all(code in REASONS[kind] for code in self.codes), f"{NAMES[kind]} with codes {self.codes}")
            elif kind == SUBACK:
                check(all(code in (0, 1, 2, 0x80) for code in self.codes), f"SUBACK with codes {self.codes}")
        elif kind in (DISCONNECT, AUTH):
            check(five, f"the server sent {NAMES[kind]} before 5.0")
            if r.left():
                self.reason = r.number("B")
                if r.left():
                    self.props = r.properties()
        elif kind not in (PUBLISH, PINGRESP):
            raise Failed(f"the server sent a packet of type {NAMES[kind]}")
        check(r.left() == 0, f"bytes behind the end of the server's {NAMES[kind]}")
        check(kind in (PUBLISH, CONNACK, PINGRESP) or kind in (DISCONNECT, AUTH) or self.packet_id, "packet identifier 0")
        check(kind != PUBLISH or not self.qos or self.packet_id, "packet identifier 0 in PUBLISH")
        if five:
            check(set(self.props) <= ALLOWED.get(kind, set()), f"properties {set(self.props)} in {NAMES[kind]}")
            if kind in REASONS and kind not in (SUBACK, UNSUBACK):
                check(self.reason in REASONS[kind], f"reason 0x{self.reason:02x} in {NAMES[kind]}")

    def __repr__(self):
        more = f" 0x{self.reason:02x}" if self.reason else ""
        more += f" {self.topic!r} {self.payload[:40]!r} qos={self.qos}" if self.type == PUBLISH else ""
        return f"<{NAMES[self.type]}{more} id={self.packet_id} {self.props or ''}>"


# ---- a connection ----------------------------------------------------------------------------------------------------------

class Closed(Failed):
    pass


class Raw:
    """A socket without a CONNECT."""

    def __init__(self, broker, version=5):
        self.broker, self.version, self.data, self.waiting, self.maximum = broker, version, bytearray(), [], None
        self.socket = socket.create_connection(("127.0.0.1", broker.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen_disconnect = False
        broker.opened.append(self)

    def send(self, *packets):
        try:
            self.socket.sendall(b"".join(packets))
        except OSError as error:
            raise Closed(f"the server closed the connection while we sent: {error}") from None

    def parse(self):
        size = shift = 0
        for at in range(1, 6):
            if len(self.data) <= at:
                return None
            byte = self.data[at]
            size |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        else:
            raise Failed("the server's remaining length is malformed")
        whole = 1 + at + size
        check(at == len(varint(size)), "the server's remaining length is longer than it need be")
        if len(self.data) < whole:
            return None
        packet = Packet(self.version, self.data[0], bytes(self.data[1 + at:whole]), whole)
        del self.data[:whole]
        check(not self.seen_disconnect, f"the server sent {packet} after its DISCONNECT")
        self.seen_disconnect = packet.type == DISCONNECT
        check(self.maximum is None or packet.size <= self.maximum, f"{packet} has {packet.size} bytes, our maximum is {self.maximum}")
        return packet

    def read(self, patience=PATIENCE):
        """The next packet in the order of arrival; Closed at the end of the connection; Failed when nothing comes."""
        end = time.monotonic() + patience
        while True:
            packet = self.parse() if self.data else None
            if packet:
                return packet
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise Failed(f"nothing came within {patience} s")
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                check(not self.data, f"the connection ended within a packet: {bytes(self.data[:40])!r}")
                raise Closed("the server closed the connection")
            self.data += more

    def packet(self, kind=None, patience=PATIENCE):
        packet = self.waiting.pop(0) if self.waiting else self.read(patience)
        check(kind is None or packet.type == kind, f"got {packet}, wanted {NAMES[kind or 0]}")
        return packet

    def take(self, kind, packet_id=None, patience=PATIENCE):
        """The next packet of this kind (and id); others wait for packet()."""
        fits = lambda packet: packet.type == kind and packet_id in (None, packet.packet_id)
        for place, packet in enumerate(self.waiting):
            if fits(packet):
                return self.waiting.pop(place)
        end = time.monotonic() + patience
        while True:
            packet = self.read(max(0.01, end - time.monotonic()))
            if fits(packet):
                return packet
            self.waiting.append(packet)

    def ends(self, reason=None, patience=PATIENCE):
        """The server closes: with DISCONNECT `reason` before it, or without a word (None)."""
        try:
            packet = self.packet(None, patience)
        except Closed:
            check(reason is None, f"closed without DISCONNECT 0x{reason or 0:02x}")
            return None
        check(reason is not None, f"got {packet}, wanted a silent end")
        check(packet.type == DISCONNECT, f"got {packet}, wanted DISCONNECT 0x{reason:02x}")
        equal(hex(packet.reason), hex(reason), "reason of DISCONNECT")
        self.closed(patience)
        return packet

    def closed(self, patience=PATIENCE):
        try:
            packet = self.packet(None, patience)
        except Closed:
            return
        raise Failed(f"got {packet}, wanted the end of the connection")

    def error(self, reason):
        """What a protocol error leads to: DISCONNECT with the reason in 5.0, silence before."""
        return self.ends(reason if self.version == 5 else None)

    def refused(self, reason, code=None):
        """CONNECT was refused: CONNACK with the reason in 5.0; before, with the return code or (None) without CONNACK."""
        if self.version != 5 and code is None:
            return self.ends(None)
        connack = self.packet(CONNACK)
        equal(hex(connack.reason), hex(reason if self.version == 5 else code), "reason of CONNACK")
        check(not connack.present, "session present in a refusing CONNACK")
        self.closed()
        return connack

    def alive(self):
        """PINGREQ is answered, and nothing else came."""
        self.send(PING)
        self.packet(PINGRESP)

    def quiet(self, seconds=0.3):
        """Nothing comes for a while: where no packet behind it could show that."""
        try:
            packet = self.packet(None, seconds)
        except Closed:
            raise
        except Failed:
            return
        raise Failed(f"got {packet}, wanted nothing")

    def drop(self):
        """The network fails: no DISCONNECT."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def quit(self, reason=None, props=None):
        """DISCONNECT, and the server's end of the connection."""
        self.send(disconnect(self.version, reason, props))
        self.closed()
        self.socket.close()


class Client(Raw):
    def __init__(self, broker, version=5, client_id=None, clean=True, props=(), **more):
        super().__init__(broker, version)
        self.client_id = client_id if client_id is not None else broker.name("c")
        self.ids = itertools.count(1)
        for number, value in props:
            if number == MAXIMUM_PACKET:
                self.maximum = value
        self.send(connect(version, self.client_id, clean, props=props, **more))
        self.connack = self.packet(CONNACK)
        equal(self.connack.reason, 0, "reason of CONNACK")

    def subscribe(self, *entries, props=()):
        """Each entry a filter or (filter, options); returns the codes. What else arrives meanwhile waits."""
        packet_id = next(self.ids)
        self.send(subscribe(self.version, packet_id, *entries, props=props))
        codes = self.take(SUBACK, packet_id).codes
        equal(len(codes), len(entries), "number of SUBACK codes")
        return codes

    def unsubscribe(self, *filters):
        packet_id = next(self.ids)
        self.send(unsubscribe(self.version, packet_id, *filters))
        return self.take(UNSUBACK, packet_id).codes

    def publish(self, topic, payload=b"", qos=0, retain=False, props=(), packet_id=None):
        """Sends, and goes through the whole handshake. Returns the reason of the first acknowledgement."""
        packet_id = packet_id or (next(self.ids) if qos else 0)
        self.send(publish(self.version, topic, payload, qos, retain, packet_id=packet_id, props=props))
        if qos == 0:
            return None
        first = self.take(PUBACK if qos == 1 else PUBREC, packet_id)
        if qos == 2 and first.reason < 0x80:
            self.send(ack(self.version, PUBREL, packet_id))
            self.take(PUBCOMP, packet_id)
        return first.reason

    def message(self, patience=PATIENCE, answer=True):
        """The next PUBLISH, acknowledged."""
        packet = self.take(PUBLISH, patience=patience)
        if not answer or packet.qos == 0:
            return packet
        if packet.qos == 1:
            self.send(ack(self.version, PUBACK, packet.packet_id))
        else:
            self.send(ack(self.version, PUBREC, packet.packet_id))
            self.take(PUBREL, packet.packet_id)
            self.send(ack(self.version, PUBCOMP, packet.packet_id))
        return packet

    def payloads(self, last):
        """The payloads up to and without `last`."""
        found = []
        while True:
            payload = self.message().payload
            if payload == last:
                return found
            found.append(payload)


def eventually(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not condition():
        check(time.monotonic() < end, f"{what}: not within {patience} s")
        time.sleep(0.02)
