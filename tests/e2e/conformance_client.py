"""The duties of a client, at our own: `ringmq pub` and `ringmq sub` talk to a server made of this file.

The program is taken from beside ringmqd, or from the environment variable RINGMQ."""
import os
import socket
import struct
import subprocess

from conformance_wire import *  # noqa: F401,F403


class Server:
    """Accepts the program's connection and speaks for a server; every packet in and out is explicit."""

    def __init__(self, b, *arguments, version=5, connack=(), present=False, text_in=None):
        beside = os.path.join(os.path.dirname(b.broker.program), "ringmq")
        program = os.environ.get("RINGMQ") or beside
        check(os.access(program, os.X_OK), f"there is no program {program} (set RINGMQ)")
        self.version, self.data, self.listener = version, b"", socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        b.opened += [self, type("Listener", (), {"socket": self.listener})]
        port = self.listener.getsockname()[1]
        self.process = subprocess.Popen([program, arguments[0], "-h", "127.0.0.1", "-p", str(port), "-V", {3: "31", 4: "311", 5: "5"}[version],
                                         *arguments[1:]], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        b.started.append(self.process)
        if text_in is not None:
            self.process.stdin.write(text_in)
            self.process.stdin.close()
        self.accept(connack, present)

    def accept(self, connack=(), present=False):
        self.socket, _ = self.listener.accept()
        self.data = b""
        first, self.connect = self.read()
        equal(first, 0x10, "the first packet's first byte: CONNECT")
        self.send(frame(0x20, bytes([1 if present else 0, 0]) + block(self.version, connack)))

    def send(self, *packets):
        self.socket.sendall(b"".join(packets))

    def read(self, patience=PATIENCE):
        """First byte and body of the next packet; Closed at the end, Failed when nothing comes."""
        while True:
            size = shift = 0
            for at, byte in enumerate(self.data[1:5], 1):
                size |= (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    equal(at, len(varint(size)), "bytes of the remaining length")
                    if len(self.data) > at + size:
                        first, body = self.data[0], self.data[at + 1:at + 1 + size]
                        self.data = self.data[at + 1 + size:]
                        return first, body
                    break
            self.socket.settimeout(patience)
            try:
                more = self.socket.recv(65536)
            except socket.timeout:
                raise Failed(f"nothing came within {patience} s") from None
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed("the client closed the connection")
            self.data += more

    def take(self, kind):
        first, body = self.read()
        equal(NAMES[first >> 4], NAMES[kind], "packet")
        return first, body

    def suback(self):
        """Answers the SUBSCRIBE."""
        _, body = self.take(SUBSCRIBE)
        self.send(frame(0x90, body[:2] + block(self.version, []) + b"\x02"))

    def published(self):
        """(first byte, id, the rest behind the topic) of the next PUBLISH."""
        first, body = self.take(PUBLISH)
        behind = 2 + struct.unpack(">H", body[:2])[0]
        return first, struct.unpack(">H", body[behind:behind + 2])[0], body[behind + 2:]


def ids(packets):
    return [struct.unpack(">H", body[:2])[0] for _, body in packets]


@proves("MQTT-4.5.0-2", "MQTT-4.6.0-2", "MQTT-4.6.0-3", "MQTT3-4.5.0-2", "MQTT3-4.6.0-2", "MQTT3-4.6.0-3", "MQTT-3.1.0-1", "MQTT3-3.1.0-1")
@versions(4, 5)
def test_client_acknowledges_in_order_also_what_it_ignores(b, version):
    s = Server(b, "sub", "-t", "#", "-q", "2", "-T", "ignored/#", "-R", version=version)
    s.suback()
    sent = [(7 * n + 3, 1 + n % 2) for n in range(20)]
    s.send(*[publish(version, "ignored/x" if n % 3 == 0 else "t", str(n), qos, n % 5 == 0, packet_id=i) for n, (i, qos) in enumerate(sent)])
    answers = [s.read() for _ in sent]
    for kind, qos in ((PUBACK, 1), (PUBREC, 2)):
        equal(ids(a for a in answers if a[0] >> 4 == kind), [i for i, q in sent if q == qos], f"ids of {NAMES[kind]}, in order")


@proves("MQTT-4.6.0-4", "MQTT3-4.6.0-4", "MQTT-2.2.1-3", "MQTT3-2.3.1-1", "MQTT3-2.3.1-2", "MQTT-4.3.3-4", "MQTT3-4.3.3-1")
@versions(4, 5)
def test_client_sends_pubrel_in_the_order_of_pubrec(b, version):
    count = 10
    s = Server(b, "pub", "-t", "t", "-q", "2", "-l", version=version, text_in=b"line\n" * count)
    found = [s.published() for _ in range(count)]
    numbers = [packet_id for _, packet_id, _ in found]
    check(len(set(numbers)) == count and 0 not in numbers, f"packet ids {numbers}")
    check(all(first == 0x34 for first, _, _ in found), "QoS 2 and no DUP")
    order = numbers[::2] + numbers[1::2][::-1]
    s.send(*[ack(version, PUBREC, i) for i in order])
    equal(ids(s.take(PUBREL) for _ in order), order, "ids of PUBREL")
    s.send(*[ack(version, PUBCOMP, i) for i in order])
    s.take(DISCONNECT)
    try:
        s.read()
    except Closed:
        equal(s.process.wait(PATIENCE), 0, "exit status")
        return
    raise Failed("something followed DISCONNECT")


@proves("MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT3-3.14.4-1", "MQTT3-3.14.4-2")
@versions(4, 5)
def test_client_closes_after_disconnect(b, version):
    s = Server(b, "pub", "-t", "t", "-m", "x", version=version)
    s.take(PUBLISH)
    s.take(DISCONNECT)
    try:
        s.read()
    except Closed:
        return
    raise Failed("something followed DISCONNECT")


@proves("MQTT-3.3.4-7", "MQTT-4.9.0-1", "MQTT-4.9.0-2")
def test_client_keeps_to_the_servers_receive_maximum(b):
    s = Server(b, "pub", "-t", "t", "-q", "1", "-l", connack=[(RECEIVE_MAXIMUM, 3)], text_in=b"line\n" * 7)
    held = [s.published()[1] for _ in range(3)]
    try:
        packet = s.read(1.0)
        raise Failed(f"{packet} came with three unacknowledged")
    except Closed:
        raise
    except Failed as failure:
        check(str(failure).startswith("nothing came"), str(failure))
    for _ in range(4):
        s.send(ack(5, PUBACK, held.pop(0)))
        held.append(s.published()[1])
    s.send(*[ack(5, PUBACK, i) for i in held])
    s.take(DISCONNECT)


@proves("MQTT-3.3.4-8", "MQTT-4.9.0-3")
def test_client_holds_back_nothing_but_publish(b):
    s = Server(b, "pub", "-t", "t", "-q", "2", "-l", "-k", "1", connack=[(RECEIVE_MAXIMUM, 1)], text_in=b"a\nb\n")
    packet_id = s.published()[1]
    s.take(PINGREQ)
    s.send(b"\xd0\x00", ack(5, PUBREC, packet_id))
    equal(ids([s.take(PUBREL)]), [packet_id], "id of PUBREL")
    s.take(PINGREQ)  # and still no second PUBLISH
    s.send(b"\xd0\x00", ack(5, PUBCOMP, packet_id))
    s.published()


@proves("MQTT-3.1.2-20", "MQTT3-3.1.2-23", "MQTT-3.1.2-21", "MQTT-3.2.2-21")
@versions(4, 5)
def test_client_sends_pingreq_in_time(b, version):
    s = Server(b, "sub", "-t", "#", "-k", "2" if version == 4 else "600", version=version, connack=[(SERVER_KEEP_ALIVE, 2)])
    s.suback()
    times = []
    for _ in range(3):
        started = time.monotonic()
        s.take(PINGREQ)
        times.append(time.monotonic() - started)
        s.send(b"\xd0\x00")
    check(min(times) < 2.9, f"PINGREQ after {times} s with a keep alive of 2 s")  # the shortest: one or the other of us may have been held up


@proves("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1", "MQTT3-4.4.0-1", "MQTT3-3.3.1-1", "MQTT3-2.3.1-3", "MQTT3-4.6.0-1")
@versions(4, 5)
def test_client_sends_again_on_the_next_connection(b, version):
    s = Server(b, "pub", "-t", "t", "-q", "1", "-l", "-i", "keeps", "-c", "--retry", "1", version=version, text_in=b"a\nb\nc\n")
    first = [s.published() for _ in range(3)]
    s.send(ack(version, PUBACK, first[1][1]))
    s.socket.close()
    s.accept(present=True)
    again = [s.published() for _ in range(2)]
    equal([(f, i, body) for f, i, body in again], [(0x3A, i, body) for _, i, body in (first[0], first[2])], "sent again, with DUP")
    s.send(*[ack(version, PUBACK, i) for _, i, _ in again])
    s.take(DISCONNECT)


@proves("MQTT-3.2.2-5")
def test_client_discards_its_session_when_the_server_has_none(b):
    s = Server(b, "sub", "-t", "t", "-q", "2", "-i", "keeps", "-c", "--retry", "1")
    s.suback()
    s.send(publish(5, "t", "x", 2, packet_id=5))
    equal(ids([s.take(PUBREC)]), [5], "id of PUBREC")
    s.socket.close()
    s.accept(present=False)
    s.suback()  # it knows that its subscriptions are gone
    s.send(publish(5, "t", "new", 2, packet_id=5))
    equal(ids([s.take(PUBREC)]), [5], "id of PUBREC")


@proves("MQTT-3.2.2-4")
def test_client_closes_when_the_server_has_a_session_it_does_not_know(b):
    s = Server(b, "sub", "-t", "t", present=True)
    try:
        packet = s.read()
        while packet[0] >> 4 == DISCONNECT:
            packet = s.read()
    except Closed:
        return
    raise Failed(f"the client went on with {NAMES[packet[0] >> 4]}")


@proves("MQTT-3.3.2-10")
def test_client_accepts_every_alias_up_to_its_maximum(b):
    s = Server(b, "sub", "-t", "#", "-q", "1", "-D", "connect", "topic-alias-maximum", "10")
    check(properties([(ALIAS_MAXIMUM, 10)])[1:] in s.connect, "the maximum is not in CONNECT")
    s.suback()
    for alias in range(1, 11):
        s.send(publish(5, f"t/{alias}", "x", 1, packet_id=alias, props=[(ALIAS, alias)]),
               publish(5, "", "x", 1, packet_id=alias + 20, props=[(ALIAS, alias)]))
        equal(ids([s.take(PUBACK), s.take(PUBACK)]), [alias, alias + 20], "ids of PUBACK")
