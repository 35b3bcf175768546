"""tests/e2e/storm.py PORT SECONDS SEED [CROWD]: a crowd of clients, fewer client ids than clients, all misbehaving. Ends with 0 when the
broker was there to the end; what it did is on standard output as JSON. run-storm and run-io-fallbacks start it.

It goes on for SECONDS, and longer until standard input ends and LEAST is done: on a slow machine that takes more than SECONDS. LONGEST_S ends it in any case."""
import asyncio
import collections
import json
import os
import random
import socket
import struct
import sys
import threading
import time

import mqtt

IDS = [f"storm-{number}" for number in range(24)]
TOPICS = [f"storm/{a}/{b}" for a in range(4) for b in range(6)] + ["storm", "storm/0", "storm/+odd".replace("+", "plus"), "other/x"]
FILTERS = TOPICS + ["storm/#", "storm/+/1", "storm/+/+", "+/0/#", "#", "+/+/2", "storm/2/#", "other/+"]
SHARED = ["$share/g1/storm/#", "$share/g1/storm/1/+", "$share/g2/storm/+/3", "$share/g3/#"]
SIZES = [0, 1, 20, 20, 20, 100, 100, 900, 1024, 1025, 3000, 20000, 70000, 300000]
SIZE_WEIGHTS = [2, 5, 20, 20, 20, 20, 10, 4, 3, 3, 4, 1.5, 0.4, 0.1]
# What makes it a storm, by the size of its crowd.
LEAST = {48: {"lives": 100, "published": 1000, "got 3": 1000, "got 6": 10, "got 9": 100}, 16: {"got 3": 201}}
LONGEST_S = 150
ANSWER_S = 60  # for a CONNECT
counts = collections.Counter()


class Actor(asyncio.Protocol):
    """One connection. Acknowledges what it gets, mostly."""

    def __init__(self, dice, version):
        self.dice, self.version = dice, version
        self.parser = mqtt.Parser(version)
        self.accepted = asyncio.get_running_loop().create_future()
        self.gone = asyncio.get_running_loop().create_future()
        self.packet_id = 0
        self.forgetful = dice.random() < 0.15
        self.ended = False
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport):
        self.transport = transport

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def connection_lost(self, error):
        self.writable.set()
        for future in (self.accepted, self.gone):
            if not future.done():
                future.set_result(None)

    def data_received(self, data):
        out = bytearray()
        for p in self.parser.feed(data):
            counts[f"got {p.kind}"] += 1
            if p.kind == mqtt.CONNACK and not self.accepted.done():
                self.accepted.set_result(p)
            if self.forgetful and self.dice.random() < 0.3:
                continue
            if p.kind == mqtt.PUBLISH and p.qos:
                out += mqtt.ack(mqtt.PUBACK if p.qos == 1 else mqtt.PUBREC, p.packet_id)
            elif p.kind == mqtt.PUBREC and p.reason < 0x80:
                out += mqtt.ack(mqtt.PUBREL, p.packet_id)
            elif p.kind == mqtt.PUBREL:
                out += mqtt.ack(mqtt.PUBCOMP, p.packet_id)
        if out and not self.ended and not self.transport.is_closing():
            self.transport.write(bytes(out))

    def send(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)

    def new_id(self):
        self.packet_id = self.packet_id % 2000 + 1
        return self.packet_id


def random_connect(dice, version):
    will = (dice.choice(TOPICS), b"will", dice.randrange(3), dice.random() < 0.2) if dice.random() < 0.5 else None
    options = {}
    if version == 5:
        options["session_expiry"] = dice.choice([0, 1, 2, 600])
        if dice.random() < 0.5:
            options["receive_maximum"] = dice.choice([1, 2, 20])
        if dice.random() < 0.5:
            options["topic_alias_maximum"] = dice.choice([1, 3, 100])
        if dice.random() < 0.1:
            options["maximum_packet_size"] = dice.choice([200, 2000])
        if will and dice.random() < 0.5:
            options["will_properties"] = {"will_delay": dice.choice([0, 1, 3]), "message_expiry": dice.choice([0, 1, 100])}
    client_id = dice.choice(IDS) if dice.random() < 0.9 else ""
    clean = dice.random() < 0.4 or client_id == ""
    if client_id == "" and "session_expiry" in options:  # nobody will come back to end it
        options["session_expiry"] %= 600
    return mqtt.connect(client_id, version, clean, dice.choice([0, 1, 60]), will, **options)


def random_publish(dice, actor):
    qos = dice.choice([0, 0, 0, 1, 1, 2])
    size = dice.choices(SIZES, SIZE_WEIGHTS)[0]
    options, topic = {}, dice.choice(TOPICS)
    if actor.version == 5:
        if dice.random() < 0.3:
            options["message_expiry"] = dice.choice([0, 1, 60])
        if dice.random() < 0.3:
            options["user_property"] = [("a", "b")] * dice.randrange(1, 4)
        if dice.random() < 0.2:
            options["topic_alias"] = dice.randrange(1, 10)
    counts["published"] += 1
    return mqtt.publish(topic, b"x" * size, qos, actor.new_id() if qos else 0, dice.random() < 0.08,
                        version=actor.version, **options)


def random_filters(dice, version):
    filters = []
    for _ in range(dice.randrange(1, 4)):
        if version == 5 and dice.random() < 0.3 or dice.random() < 0.1:
            filters.append((dice.choice(SHARED), dice.randrange(3)))
        else:
            options = dice.randrange(3)
            if version == 5:
                options |= dice.choice([0, 4]) | dice.choice([0, 8]) | dice.choice([0, 0x10, 0x20])
            filters.append((dice.choice(FILTERS), options))
    return filters


async def act(dice, actor):
    choice = dice.random()
    if choice < 0.25:
        props = {"subscription_id": dice.randrange(1, 300)} if actor.version == 5 and dice.random() < 0.4 else {}
        actor.send(mqtt.subscribe(actor.new_id(), random_filters(dice, actor.version), actor.version, **props))
    elif choice < 0.4:
        actor.send(mqtt.unsubscribe(actor.new_id(), [dice.choice(FILTERS + SHARED)], actor.version))
    elif choice < 0.85:
        actor.send(b"".join(random_publish(dice, actor) for _ in range(dice.choice([1, 1, 3, 20]))))
    elif choice < 0.9:
        actor.send(mqtt.PING)
    elif choice < 0.93:
        actor.send(mqtt.subscribe(actor.new_id(), [("$SYS/#", 0)], actor.version))
    elif choice < 0.96:
        actor.transport.pause_reading()
        await asyncio.sleep(dice.random() * 0.3)
        if not actor.transport.is_closing():
            actor.transport.resume_reading()
    else:
        await asyncio.sleep(dice.random() * 0.1)
    await actor.writable.wait()
    if dice.random() < 0.5:
        await asyncio.sleep(dice.random() * 0.01)


async def leave(dice, actor):
    how = dice.random()
    counts["lives"] += 1
    if how < 0.3:
        actor.send(mqtt.disconnect(actor.version))
    elif how < 0.4:
        actor.send(mqtt.disconnect(actor.version, 4 if actor.version == 5 else 0))
    elif how < 0.5:
        whole = mqtt.publish("storm/0/0", b"y" * 2000, 1, 7)
        actor.send(whole[:dice.randrange(1, len(whole))])
        await asyncio.sleep(dice.random() * 0.02)
    elif how < 0.55:
        actor.send(bytes(dice.randrange(256) for _ in range(dice.randrange(1, 60))))
        await asyncio.sleep(dice.random() * 0.02)
    elif how < 0.75 and not actor.transport.is_closing():
        # a reset, with whatever was unsent thrown away
        actor.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        actor.transport.abort()
    elif how < 0.8 and actor.transport.can_write_eof() and not actor.transport.is_closing():
        actor.ended = True
        actor.transport.write_eof()
        await asyncio.wait([actor.gone], timeout=1)
    actor.transport.close()
    await asyncio.wait([actor.gone], timeout=0.2)
    if not actor.gone.done():
        actor.transport.abort()


async def life(dice, port):
    version = dice.choice([3, 4, 5, 5])
    loop = asyncio.get_running_loop()
    _, actor = await loop.create_connection(lambda: Actor(dice, version), "127.0.0.1", port)
    hello = random_connect(dice, version)
    if dice.random() < 0.2:  # everything in one segment: the broker may have to move it with the connection
        hello += mqtt.subscribe(actor.new_id(), random_filters(dice, version), version)
        hello += b"".join(random_publish(dice, actor) for _ in range(5))
    if dice.random() < 0.1:  # in pieces
        cut = dice.randrange(1, len(hello))
        actor.send(hello[:cut])
        await asyncio.sleep(0.002)
        hello = hello[cut:]
    actor.send(hello)
    if dice.random() < 0.9:
        await asyncio.wait([actor.accepted], timeout=ANSWER_S)
        if not actor.accepted.done():
            counts["no answer to CONNECT"] += 1
    for _ in range(dice.choice([0, 1, 5, 20, 60])):
        if actor.transport.is_closing():
            counts["closed by the broker"] += 1
            break
        await act(dice, actor)
    await leave(dice, actor)


async def lives(seed, port, on):
    dice = random.Random(seed)
    while on():
        await life(dice, port)


async def main(port, seconds, seed, crowd):
    began, told = time.monotonic(), threading.Event()
    threading.Thread(target=lambda: (os.read(0, 1), told.set()), daemon=True).start()

    def on():
        age = time.monotonic() - began
        enough = told.is_set() and all(counts[what] >= least for what, least in LEAST.get(crowd, {}).items())
        return age < seconds or (not enough and age < LONGEST_S)
    await asyncio.gather(*(lives(seed * 1000 + number, port, on) for number in range(crowd)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 48))
    print(json.dumps(counts))
