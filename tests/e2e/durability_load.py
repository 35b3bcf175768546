"""Clients for the crash harness: they number what they publish, remember what was promised to them, and keep to the protocol over
any number of lost connections. One thread, non-blocking sockets."""
import random
import select
import socket
import time

import mqtt
from harness import Failure, check, wait_for

PUBLISHERS, SUBSCRIBERS, MEMBERS, RETAINED_TOPICS, MARKED_FILTERS = 3, 2, 2, 6, 4


class Link:
    """One client id with a durable session. Subclasses say what happens with packets."""

    def __init__(self, name, version):
        self.name, self.version = name, version
        self.socket, self.parser, self.out, self.ready, self.was_connected = None, None, bytearray(), False, False

    def dial(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.parser, self.out, self.ready = mqtt.Parser(self.version), bytearray(), False
        options = {"session_expiry": 3600} if self.version == 5 else {}
        self.out += mqtt.connect(self.name, self.version, clean=False, **options)

    def hang_up(self):
        if self.socket:
            self.socket.close()
        self.socket, self.ready = None, False

    def step(self):
        """Moves bytes. False: the connection has gone."""
        try:
            if self.out:
                del self.out[:self.socket.send(self.out)]
        except BlockingIOError:
            pass
        except OSError:
            self.hang_up()
            return False
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.hang_up()
            return False
        for packet in self.parser.feed(data):
            if packet.kind == mqtt.CONNACK:
                check(packet.reason == 0, f"{self.name}: CONNACK {packet.reason:#x}")
                check(packet.session_present or not self.was_connected, f"{self.name}: the session is gone")
                self.was_connected = self.ready = True
                self.resumed()
            else:
                self.take(packet)
        return True


class Publisher(Link):
    """Sends numbers with QoS 1 to p/NAME/1 and with QoS 2 to p/NAME/2, and retained ones."""

    def __init__(self, name, version):
        super().__init__(name, version)
        self.next = {1: 0, 2: 0}
        self.open = {}  # packet id -> (qos, number, topic, payload, retain, released)
        self.acked = {1: set(), 2: set()}
        self.retained_sent, self.retained_acked = {}, {}  # topic -> last number
        self.packet_id = 0

    def new_id(self):
        while True:
            self.packet_id = self.packet_id % 65535 + 1
            if self.packet_id not in self.open:
                return self.packet_id

    def send(self, packet_id, dup):
        qos, _, topic, payload, retain, released = self.open[packet_id]
        if released:
            self.out += mqtt.ack(mqtt.PUBREL, packet_id)
        else:
            self.out += mqtt.publish(topic, payload, qos, packet_id, retain, dup, self.version)

    def resumed(self):
        for packet_id in self.open:
            self.send(packet_id, True)

    def publish(self, chance):
        if not self.ready or len(self.open) > 40:
            return
        qos, packet_id = chance.choice((1, 2)), self.new_id()
        if chance.random() < 0.2:
            place = chance.randrange(RETAINED_TOPICS)
            topic, qos = f"r/{self.name}/{place}", 1 + place % 2  # one QoS each: what is sent again keeps its order only within one
            number = self.retained_sent.get(topic, 0) + 1
            self.retained_sent[topic] = number
            self.open[packet_id] = (qos, number, topic, b"%d" % number, True, False)
        else:
            number = self.next[qos]
            self.next[qos] += 1
            payload = b"%d " % number + b"x" * (chance.randrange(200) if chance.random() < 0.95 else chance.randrange(100000))
            self.open[packet_id] = (qos, number, f"p/{self.name}/{qos}", payload, False, False)
        self.send(packet_id, False)

    def finish(self, packet_id):
        qos, number, topic, _, retain, _ = self.open.pop(packet_id)
        if retain:
            self.retained_acked[topic] = max(number, self.retained_acked.get(topic, 0))
        else:
            self.acked[qos].add(number)

    def take(self, packet):
        if packet.packet_id not in self.open:
            return
        entry = self.open[packet.packet_id]
        if packet.kind == mqtt.PUBREC:
            check(packet.reason < 0x80, f"{self.name}: PUBREC {packet.reason:#x}")
            self.open[packet.packet_id] = entry[:5] + (True,)
            self.out += mqtt.ack(mqtt.PUBREL, packet.packet_id)
        elif packet.kind in (mqtt.PUBACK, mqtt.PUBCOMP):
            check(packet.reason < 0x80 or packet.kind == mqtt.PUBCOMP, f"{self.name}: PUBACK {packet.reason:#x}")
            self.finish(packet.packet_id)


class Subscriber(Link):
    """Subscribed to everything (or, a member, to its share of it); acknowledges with delay; is away now and then. Beside that it subscribes to m/NAME/N and
    unsubscribes again, and remembers what was acknowledged of it."""

    def __init__(self, name, version, filter="p/#"):
        super().__init__(name, version)
        self.filter = filter
        self.subscribed = False
        self.marked = {}    # m/NAME/N -> the last state that was acknowledged
        self.changing = {}  # packet id -> (m/NAME/N, subscribed)
        self.unknown = {}   # asked for on a connection that was lost: either may be so until it is asked for again
        self.packet_id = 1
        self.got = {}       # topic -> numbers in the order of first arrival
        self.times = {}     # (topic, number) -> how often (QoS 2: after removal of duplicates by packet id)
        self.holding = set()  # QoS 2 packet ids received and not released
        self.answers = []

    def resumed(self):
        self.answers = []
        self.unknown.update({topic: on for topic, on in self.changing.values()})
        self.changing = {}
        for topic, on in self.unknown.items():
            self.change(topic, on)
        if not self.subscribed:
            self.out += mqtt.subscribe(1, [(self.filter, 2)], self.version)

    def change(self, topic, on):
        self.packet_id = self.packet_id % 60000 + 2
        self.changing[self.packet_id] = (topic, on)
        self.out += mqtt.subscribe(self.packet_id, [(topic, 1)], self.version) if on else mqtt.unsubscribe(self.packet_id, [topic], self.version)

    def change_one(self, chance):
        topic = f"m/{self.name}/{chance.randrange(MARKED_FILTERS)}"
        if self.ready and all(topic != other for other, _ in self.changing.values()):
            self.change(topic, not self.marked.get(topic, False))

    def take(self, packet):
        if packet.kind in (mqtt.SUBACK, mqtt.UNSUBACK) and packet.packet_id in self.changing:
            topic, on = self.changing.pop(packet.packet_id)
            self.marked[topic] = on
            self.unknown.pop(topic, None)
        elif packet.kind == mqtt.SUBACK:
            self.subscribed = True
        elif packet.kind == mqtt.PUBLISH:
            self.take_message(packet)
        elif packet.kind == mqtt.PUBREL:
            self.holding.discard(packet.packet_id)
            self.answers.append(mqtt.ack(mqtt.PUBCOMP, packet.packet_id))

    def take_message(self, packet):
        self.answers.append(mqtt.ack(mqtt.PUBACK if packet.qos == 1 else mqtt.PUBREC, packet.packet_id))
        if packet.qos == 2 and packet.packet_id in self.holding:
            return
        if packet.qos == 2:
            self.holding.add(packet.packet_id)
        number = int(packet.payload.split(b" ")[0])
        key = (packet.topic, number)
        self.times[key] = self.times.get(key, 0) + 1
        if self.times[key] == 1:
            numbers = self.got.setdefault(packet.topic, [])
            # What is sent again may go to another member of the group than before.
            check(not numbers or numbers[-1] < number or self.filter[0] == "$", f"{self.name}: {packet.topic} {number} came after {numbers[-1:]}")
            numbers.append(number)
        elif packet.qos == 2:
            raise Failure(f"{self.name}: QoS 2 {key} came {self.times[key]} times")

    def answer(self, chance):
        if self.ready and self.answers and chance.random() < 0.5:
            self.out += b"".join(self.answers)
            self.answers = []


class Load:
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.publishers = [Publisher(f"pub{i}", (4, 5)[i % 2]) for i in range(PUBLISHERS)]
        self.subscribers = [Subscriber(f"sub{i}", (5, 4)[i % 2]) for i in range(SUBSCRIBERS)]
        self.members = [Subscriber(f"member{i}", (4, 5)[i % 2], "$share/group/p/#") for i in range(MEMBERS)]
        self.takers = self.subscribers + self.members
        self.links = self.publishers + self.takers
        self.marks = 0

    def turn(self, port, chaos=True):
        """One look at everything."""
        for link in self.links:
            if link.socket is None:
                if chaos and isinstance(link, Subscriber) and link.subscribed and self.chance.random() < 0.9:
                    continue  # away for a while
                try:
                    link.dial(port)
                except OSError:
                    continue
            link.step()
        if chaos:
            for publisher in self.publishers:
                publisher.publish(self.chance)
            subscriber = self.chance.choice(self.takers)
            if subscriber.subscribed and self.chance.random() < 0.005:
                subscriber.hang_up()
            elif self.chance.random() < 0.05:
                subscriber.change_one(self.chance)
        for subscriber in self.takers:
            if subscriber.socket:
                subscriber.answer(self.chance)
        sockets = [link.socket for link in self.links if link.socket]
        if sockets:
            select.select(sockets, [], [], 0.001)
        else:
            time.sleep(0.001)

    def begin(self, port):
        wait_for(lambda: self.turn(port, False) or all(s.subscribed for s in self.takers), "the subscribers are subscribed", every=0)

    def run(self, port, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn(port)

    def cut(self):
        for link in self.links:
            link.hang_up()

    def settled(self):
        if any(p.open for p in self.publishers) or any(s.answers or s.holding or s.changing or not s.ready for s in self.takers):
            return False
        return not self.missing()

    def missing(self):
        missing = [(s.name, p.name, qos, number) for s in self.subscribers for p in self.publishers for qos in (1, 2)
                   for number in p.acked[qos] if (f"p/{p.name}/{qos}", number) not in s.times]
        return missing + [("group", p.name, qos, number) for p in self.publishers for qos in (1, 2) for number in p.acked[qos]
                          if not any((f"p/{p.name}/{qos}", number) in m.times for m in self.members)]

    def check_group(self):
        """QoS 2 exactly once, whichever member has it."""
        for publisher in self.publishers:
            for number in publisher.acked[2]:
                times = [m.times.get((f"p/{publisher.name}/2", number), 0) for m in self.members]
                check(sum(times) == 1, f"QoS 2 message {number} of {publisher.name} came to the members of a shared group {times} times")

    def check_marks(self, port):
        """Subscriptions are what was acknowledged of them: everybody is here and nothing is under way."""
        self.marks += 1
        with mqtt.Client(port, "marker", 5) as marker:
            for taker in self.takers:
                for topic in taker.marked:
                    marker.publish(topic, b"%d " % self.marks, 1)
            marker.disconnect()

        def got():
            self.turn(port, False)
            return all((topic, self.marks) in taker.times for taker in self.takers for topic, on in taker.marked.items() if on)
        wait_for(got, "subscriptions that were acknowledged get what is published", every=0)
        for _ in range(20):
            self.turn(port, False)
        for taker in self.takers:
            for topic, on in taker.marked.items():
                check(on or (topic, self.marks) not in taker.times, f"{taker.name} gets {topic} although its UNSUBACK had come")

    def drain(self, port, patience=30):
        deadline = time.monotonic() + patience
        while not self.settled():
            if time.monotonic() > deadline:
                opened = {p.name: len(p.open) for p in self.publishers}
                raise Failure(f"acknowledged and never delivered: {self.missing()[:5]} of {len(self.missing())}; still open: {opened}")
            self.turn(port, False)
        self.check_group()
        self.check_marks(port)

    def check_retained(self, port):
        with mqtt.Client(port, "looker", 5) as looker:
            looker.subscribe("r/#", 1)
            found = {}

            def all_found():
                looker.poll(0.1)
                found.update({p.topic: int(p.payload) for p in looker.pending if p.kind == mqtt.PUBLISH})
                return all(found.get(topic, 0) >= number for publisher in self.publishers for topic, number in publisher.retained_acked.items())
            deadline = time.monotonic() + 60
            while not all_found() and time.monotonic() < deadline:
                pass
            looker.disconnect()
        for publisher in self.publishers:
            for topic, number in publisher.retained_acked.items():
                check(found.get(topic, 0) >= number, f"retained {topic}: {found.get(topic)} although {number} was acknowledged")

    def acknowledged(self):
        return sum(len(p.acked[1]) + len(p.acked[2]) for p in self.publishers)
