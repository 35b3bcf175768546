"""tests/e2e/probe.py PORT: a well-behaved pair of clients; QoS 1 round trips until standard input ends, then prints how long they took
as JSON: count, p50, p99 and max in milliseconds. Ends with 1 when a message was lost, came twice or out of order."""
import json
import select
import sys
import time

import mqtt
from mqtt import Client


def main(port):
    with Client(port, "probe-in", 4, timeout=60) as receiver, Client(port, "probe-out", 5, timeout=60) as sender:
        receiver.subscribe("probe/line", 1)
        took = []
        while not select.select([sys.stdin], [], [], 0.002)[0]:
            begun = time.perf_counter()
            sender.publish("probe/line", str(len(took)), 1)
            message = receiver.message()
            took.append((time.perf_counter() - begun) * 1000)
            if message.payload != str(len(took) - 1).encode():
                sys.exit(f"message {len(took) - 1} came as {message.payload!r}")
        time.sleep(0.05)
        receiver.poll(0.001)
        left = [p for p in receiver.pending if p.kind == mqtt.PUBLISH]
        if left:
            sys.exit(f"messages that came twice: {left[:3]}")
        receiver.disconnect()
        sender.disconnect()
    took.sort()
    at = lambda share: round(took[min(len(took) - 1, int(len(took) * share))], 2)
    print(json.dumps({"count": len(took), "p50": at(0.5), "p99": at(0.99), "max": round(took[-1], 2)}))


main(int(sys.argv[1]))
