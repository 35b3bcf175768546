"""MQTT packets by hand, and a small client that does exactly what it is told: for what no library would send."""
import socket
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

# name -> (identifier, struct format; "s" string or binary, "v" variable byte integer, "p" pair of strings)
PROPERTIES = {
    "payload_format": (0x01, ">B"), "message_expiry": (0x02, ">I"), "content_type": (0x03, "s"),
    "response_topic": (0x08, "s"), "correlation_data": (0x09, "s"), "subscription_id": (0x0B, "v"),
    "session_expiry": (0x11, ">I"), "assigned_client_id": (0x12, "s"), "server_keep_alive": (0x13, ">H"),
    "auth_method": (0x15, "s"), "auth_data": (0x16, "s"), "request_problem_information": (0x17, ">B"),
    "will_delay": (0x18, ">I"), "request_response_information": (0x19, ">B"), "response_information": (0x1A, "s"),
    "server_reference": (0x1C, "s"), "reason_string": (0x1F, "s"), "receive_maximum": (0x21, ">H"),
    "topic_alias_maximum": (0x22, ">H"), "topic_alias": (0x23, ">H"), "maximum_qos": (0x24, ">B"),
    "retain_available": (0x25, ">B"), "user_property": (0x26, "p"), "maximum_packet_size": (0x27, ">I"),
    "wildcard_available": (0x28, ">B"), "subscription_ids_available": (0x29, ">B"), "shared_available": (0x2A, ">B"),
}
BY_ID = {identifier: (name, form) for name, (identifier, form) in PROPERTIES.items()}


def varint(number):
    out = bytearray()
    while True:
        number, seven = number >> 7, number & 127
        out.append(seven | (128 if number else 0))
        if not number:
            return bytes(out)


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data


def properties(**values):
    out = b""
    for name, value in values.items():
        identifier, form = PROPERTIES[name]
        for one in value if isinstance(value, list) else [value]:
            out += bytes([identifier])
            if form == "s":
                out += string(one)
            elif form == "v":
                out += varint(one)
            elif form == "p":
                out += string(one[0]) + string(one[1])
            else:
                out += struct.pack(form, one)
    return varint(len(out)) + out


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("the packet ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self):
        return self.take(self.number(">H"))

    def varint(self):
        shift = value = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def properties(self):
        """name -> list of values"""
        found, end = {}, self.varint()
        end += self.at
        while self.at < end:
            name, form = BY_ID[self.take(1)[0]]
            if form == "s":
                value = self.string()
            elif form == "v":
                value = self.varint()
            elif form == "p":
                value = (self.string(), self.string())
            else:
                value = self.number(form)
            found.setdefault(name, []).append(value)
        return found

    def rest(self):
        return self.data[self.at:]


def packet(first, body):
    return bytes([first]) + varint(len(body)) + body


def connect(client_id, version=4, clean=True, keep_alive=0, will=None, will_properties=None, username=None,
            password=None, **props):
    """will: (topic, payload, qos, retain)"""
    flags = (2 if clean else 0) | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    if will:
        flags |= 4 | will[2] << 3 | (0x20 if will[3] else 0)
    body = string("MQIsdp" if version == 3 else "MQTT") + bytes([version, flags]) + struct.pack(">H", keep_alive)
    if version == 5:
        body += properties(**props)
    body += string(client_id)
    if will:
        body += (properties(**(will_properties or {})) if version == 5 else b"") + string(will[0]) + string(will[1])
    body += string(username) if username is not None else b""
    body += string(password) if password is not None else b""
    return packet(0x10, body)


def publish(topic, payload, qos=0, packet_id=0, retain=False, dup=False, version=4, **props):
    body = string(topic) + (struct.pack(">H", packet_id) if qos else b"")
    if version == 5:
        body += properties(**props)
    payload = payload.encode() if isinstance(payload, str) else payload
    return packet(0x30 | qos << 1 | (1 if retain else 0) | (8 if dup else 0), body + payload)


def ack(kind, packet_id):
    return packet(kind << 4 | (2 if kind == PUBREL else 0), struct.pack(">H", packet_id))


def subscribe(packet_id, filters, version=4, **props):
    """filters: [(filter, options)]"""
    body = struct.pack(">H", packet_id) + (properties(**props) if version == 5 else b"")
    for name, options in filters:
        body += string(name) + bytes([options])
    return packet(0x82, body)


def unsubscribe(packet_id, filters, version=4):
    body = struct.pack(">H", packet_id) + (b"\0" if version == 5 else b"")
    return packet(0xA2, body + b"".join(string(name) for name in filters))


def disconnect(version=4, reason=0, **props):
    return packet(0xE0, bytes([reason]) + properties(**props)) if version == 5 and (reason or props) else b"\xe0\0"


PING = b"\xc0\0"


class Packet:
    """kind, flags, body; decoded: packet_id, reason, props; of PUBLISH topic, payload, qos, retain, dup; of CONNACK
    session_present; of SUBACK and UNSUBACK codes."""

    def __init__(self, first, body, version):
        self.kind, self.flags, self.body = first >> 4, first & 15, body
        self.packet_id, self.reason, self.props = 0, 0, {}
        reader = Reader(body)
        if self.kind == PUBLISH:
            self.qos, self.retain, self.dup = self.flags >> 1 & 3, bool(self.flags & 1), bool(self.flags & 8)
            self.topic = reader.string().decode()
            self.packet_id = reader.number(">H") if self.qos else 0
            self.props = reader.properties() if version == 5 else {}
            self.payload = reader.rest()
        elif self.kind == CONNACK:
            self.session_present = reader.number(">B")
            self.reason = reader.number(">B")
            self.props = reader.properties() if version == 5 else {}
        elif self.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            self.packet_id = reader.number(">H")
            if version == 5 and reader.rest():
                self.reason = reader.number(">B")
                self.props = reader.properties() if reader.rest() else {}
        elif self.kind in (SUBACK, UNSUBACK):
            self.packet_id = reader.number(">H")
            self.props = reader.properties() if version == 5 else {}
            self.codes = list(reader.rest())
        elif self.kind == DISCONNECT and body:
            self.reason = reader.number(">B")
            self.props = reader.properties() if reader.rest() else {}

    def __repr__(self):
        return f"<packet {self.kind} id {self.packet_id} reason {self.reason:#x} {self.body[:60]!r}>"


class Parser:
    def __init__(self, version=4):
        self.version, self.buffer = version, bytearray()

    def feed(self, data):
        self.buffer += data
        packets, at = [], 0
        while True:
            length, shift, place = 0, 0, at + 1
            while place < len(self.buffer):
                byte = self.buffer[place]
                length |= (byte & 127) << shift
                shift += 7
                place += 1
                if byte < 128:
                    break
            else:
                break
            if place + length > len(self.buffer):
                break
            packets.append(Packet(self.buffer[at], bytes(self.buffer[place:place + length]), self.version))
            at = place + length
        del self.buffer[:at]
        return packets


class Closed(Exception):
    pass


class NoAnswer(Exception):
    pass


class Client:
    """Blocking. What arrives while something else is waited for is kept in .pending; PUBLISH is acknowledged when
    `acks` is set."""

    def __init__(self, port, client_id="", version=4, acks=True, host="127.0.0.1", handshake=True, receive_buffer=None,
                 timeout=60.0, accept=(0,), transport=None, **options):
        """transport: something connected with settimeout(), sendall(), recv() and close() in place of a TCP socket."""
        self.version, self.acks, self.timeout = version, acks, timeout
        self.parser, self.pending, self.next_id = Parser(version), [], 0
        self.socket = transport or socket.socket()
        self.socket.settimeout(timeout)
        if not transport:
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.connect((host, port))
        if handshake:
            self.send(connect(client_id, version, **options))
            self.connack = self.wait(CONNACK)
            if self.connack.reason not in accept:
                raise Closed(f"CONNACK reason {self.connack.reason:#x}")

    def send(self, data):
        try:
            self.socket.settimeout(self.timeout)
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from None

    def _take(self, arrived):
        if arrived.kind == PUBLISH and self.acks:
            if arrived.qos == 1:
                self.send(ack(PUBACK, arrived.packet_id))
            elif arrived.qos == 2:
                self.send(ack(PUBREC, arrived.packet_id))
        if arrived.kind == PUBREL and self.acks:
            self.send(ack(PUBCOMP, arrived.packet_id))
        self.pending.append(arrived)

    def poll(self, timeout):
        """Reads once: what arrives, or a part of it; whoever waits for something calls it again until it is there (next(), wait(), quiet()). False: nothing came."""
        self.socket.settimeout(max(timeout, 0.000001))
        try:
            data = self.socket.recv(1 << 18)
        except (socket.timeout, BlockingIOError):
            return False
        except ConnectionResetError:
            raise Closed("reset") from None
        if not data:
            raise Closed("closed by the broker")
        for arrived in self.parser.feed(data):
            self._take(arrived)
        return True

    def next(self, wanted, timeout=None, what="a packet"):
        """The first packet, pending or to come, for which wanted(packet) is true."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        seen = 0
        while True:
            for i in range(seen, len(self.pending)):
                if wanted(self.pending[i]):
                    return self.pending.pop(i)
            seen = len(self.pending)
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer(f"{what} did not come; pending: {self.pending[:5]}")
            self.poll(left)

    def wait(self, kind, packet_id=None, timeout=None):
        return self.next(lambda p: p.kind == kind and packet_id in (None, p.packet_id), timeout,
                         f"a packet of type {kind} with id {packet_id}")

    def message(self, timeout=None, topic=None):
        return self.next(lambda p: p.kind == PUBLISH and topic in (None, p.topic), timeout, f"a message on {topic}")

    def new_id(self):
        self.next_id = self.next_id % 65535 + 1
        return self.next_id

    def subscribe(self, name, options=0, **props):
        number = self.new_id()
        self.send(subscribe(number, [(name, options)], self.version, **props))
        return self.wait(SUBACK, number).codes[0]

    def unsubscribe(self, name):
        number = self.new_id()
        self.send(unsubscribe(number, [name], self.version))
        return self.wait(UNSUBACK, number)

    def publish(self, topic, payload, qos=0, retain=False, **props):
        """Returns the acknowledgement (of QoS 2: PUBCOMP, or PUBREC when it refuses)."""
        number = self.new_id() if qos else 0
        self.send(publish(topic, payload, qos, number, retain, version=self.version, **props))
        if qos == 1:
            return self.wait(PUBACK, number)
        if qos == 2:
            received = self.wait(PUBREC, number)
            if received.reason >= 0x80:
                return received
            self.send(ack(PUBREL, number))
            return self.wait(PUBCOMP, number)
        return None

    def ping(self):
        self.send(PING)
        return self.wait(PINGRESP)

    def wait_closed(self, timeout=None):
        """Reads until the broker closes; the packets before that stay pending."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer("the broker did not close the connection")
            try:
                self.poll(left)
            except Closed:
                return

    def quiet(self, seconds):
        """Messages that come within this time: none should."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.poll(left)
        return [p for p in self.pending if p.kind == PUBLISH]

    def disconnect(self, reason=0, **props):
        try:
            self.send(disconnect(self.version, reason, **props))
        except Closed:
            pass
        self.close()

    def close(self):
        """The broker has taken notice when this returns: our end of the connection is closed, and its end has come. What another client does after that, the
        broker does after that, too; otherwise the two would be in a race. (Not for transports of other kinds.)"""
        try:
            if type(self.socket) is socket.socket:
                self.socket.shutdown(socket.SHUT_WR)
                deadline = time.monotonic() + 10
                while (left := deadline - time.monotonic()) > 0:
                    self.socket.settimeout(left)
                    if not self.socket.recv(1 << 18):
                        break
        except OSError:
            pass  # a reset, or too late
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()


def sys_value(client, topic, timeout=60.0):
    """The newest value of $SYS/broker/TOPIC that is published from now on; the client is subscribed to it for the time."""
    name = "$SYS/broker/" + topic
    client.pending = [p for p in client.pending if not (p.kind == PUBLISH and p.topic == name)]
    client.subscribe(name)
    try:
        return client.next(lambda p: p.kind == PUBLISH and p.topic == name and not p.retain, timeout,
                           f"a fresh {name}").payload.decode()
    finally:
        client.unsubscribe(name)


class SysWatch:
    """Follows $SYS/broker/#. wait(topic=condition…) needs all conditions true in one round of publishing."""

    def __init__(self, port, **options):
        self.client = Client(port, "sys-watch", **options)
        self.client.subscribe("$SYS/broker/#")
        self.values = {}

    def follow(self):
        kept = []
        for p in self.client.pending:
            if p.kind == PUBLISH and p.topic.startswith("$SYS/broker/"):
                self.values[p.topic[len("$SYS/broker/"):]] = p.payload.decode()
            else:
                kept.append(p)
        self.client.pending = kept

    def number(self, topic):
        return int(self.values[topic])

    def fresh(self, timeout=60.0):
        """Waits for a whole round that begins after now. What was published before and not read yet is not one."""
        while self.client.poll(0):
            pass
        self.follow()
        marks = 0
        deadline = time.monotonic() + timeout
        while marks < 2:  # 'uptime' comes early in each round: between two of them lies one whole round
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer(f"$SYS is not published within {timeout} s")
            self.client.poll(left)
            marks += sum(1 for p in self.client.pending
                         if p.kind == PUBLISH and p.topic == "$SYS/broker/uptime" and not p.retain)
            self.follow()
        return self.values

    def wait(self, conditions, timeout=60.0):
        """conditions: {topic: predicate of the number}"""
        deadline = time.monotonic() + timeout
        while True:
            self.fresh()
            wrong = {topic: self.values.get(topic) for topic, good in conditions.items()
                     if topic not in self.values or not good(self.number(topic))}
            if not wrong:
                return self.values
            if time.monotonic() > deadline:
                raise NoAnswer(f"$SYS still says {wrong} after {timeout} s")

    def close(self):
        self.client.disconnect()
