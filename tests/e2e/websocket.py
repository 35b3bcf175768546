"""A WebSocket client that can do everything wrong: frames are made by hand. As `transport` of mqtt.Client it behaves."""
import os
import random
import socket
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length_bytes=None):
    """length_bytes: 0, 2 or 8 in place of the fewest."""
    count = len(payload)
    if length_bytes is None:
        length_bytes = 0 if count < 126 else 2 if count < 65536 else 8
    length = count if length_bytes == 0 else 126 if length_bytes == 2 else 127
    head = struct.pack("!BB", (FIN if fin else 0) | rsv << 4 | opcode, (0x80 if masked else 0) | length)
    head += {0: b"", 2: struct.pack("!H", count & 0xffff), 8: struct.pack("!Q", count)}[length_bytes]
    if not masked:
        return head + payload
    mask = os.urandom(4)
    whole = int.from_bytes(payload, "little") ^ int.from_bytes((mask * (count // 4 + 1))[:count], "little")
    return head + mask + whole.to_bytes(count, "little")


def request(path="/mqtt", protocol="mqtt", key=KEY, version=13, method="GET", http="1.1", more=""):
    lines = [f"{method} {path} HTTP/{http}", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Version: {version}"] if version else []
    lines += [f"Sec-WebSocket-Key: {key}"] if key else []
    lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
    return ("\r\n".join(lines) + "\r\n" + more + "\r\n").encode()


class WebSocket:
    """What is received is a stream; control frames are kept in .controls as (opcode, payload), pings answered when `pongs` is set."""

    def __init__(self, port, host="127.0.0.1", upgrade=None, before=b"", timeout=60.0, split=None, source=None):
        self.socket = socket.create_connection((host, port), timeout, source_address=source)
        self.buffer, self.stream, self.controls, self.pongs, self.ended = b"", b"", [], True, False
        self.frames = 0
        self.split = split  # send() cuts what it is given into frames of at most so many bytes, and those into writes
        self.socket.sendall(before + (upgrade or request()))
        self.response = self._head()
        self.status = int(self.response.split(b" ")[1]) if self.response else 0

    def _head(self):
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                break
            self.buffer += data
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        if b" 101 " in head.split(b"\r\n")[0] + b" ":
            self.buffer = rest
            return head
        while True:  # an error: to the end
            data = self.socket.recv(65536)
            if not data:
                return self.buffer
            self.buffer += data

    def settimeout(self, timeout):
        self.socket.settimeout(timeout)

    def send_frame(self, *arguments, **options):
        self.socket.sendall(frame(*arguments, **options))

    def sendall(self, data):
        if not self.split:
            return self.send_frame(BINARY, data)
        pieces = []
        while data:  # one fragmented message, with pings in it
            count = random.randint(1, self.split)
            pieces.append(data[:count])
            data = data[count:]
        for number, piece in enumerate(pieces):
            wire = frame(BINARY if number == 0 else CONTINUATION, piece, fin=number == len(pieces) - 1)
            if random.random() < 0.2:
                wire = frame(PING, b"in between") + wire
            while wire:
                count = random.randint(1, 2 * self.split)
                self.socket.sendall(wire[:count])
                wire = wire[count:]

    def _take_frame(self):
        """False: more bytes are needed."""
        if len(self.buffer) < 2:
            return False
        first, length, at = self.buffer[0], self.buffer[1] & 0x7f, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(self.buffer) < 2 + size:
                return False
            length, at = int.from_bytes(self.buffer[2:2 + size], "big"), 2 + size
        assert not self.buffer[1] & 0x80, "a server masks nothing"
        if len(self.buffer) < at + length:
            return False
        payload, self.buffer, opcode = self.buffer[at:at + length], self.buffer[at + length:], first & 0x0f
        assert first & 0xf0 == FIN, f"first byte {first:#x}"
        self.frames += 1
        if opcode == BINARY:
            self.stream += payload
            return True
        self.controls.append((opcode, payload))
        if opcode == PING and self.pongs:
            self.send_frame(PONG, payload)
        return True

    def pump(self):
        """Reads once and takes all whole frames."""
        if self.ended:
            return
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        self.ended = not data
        while self._take_frame():
            pass

    def recv(self, count):
        while not self.stream and not self.ended:
            self.pump()
        data, self.stream = self.stream[:count], self.stream[count:]
        return data

    def to_the_end(self):
        while not self.ended:
            self.pump()
        return self.controls

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
