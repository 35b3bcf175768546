"""A proxy before a broker that does to its messages what no broker should: what it did is counted, so that what `ringmq bench` finds
can be compared to the message."""
import asyncio
import threading

DROP, REPEAT, SWAP, CHANGE = "drop", "repeat", "swap", "change"


class Proxy:
    """with Proxy(broker_port, DROP, every=10) as proxy: … proxy.port, proxy.done (how many)."""

    def __init__(self, to_port, what, every=10, port=0):
        self.to_port, self.what, self.every, self.wanted = to_port, what, every, port
        self.seen = self.done = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        start = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.accepted, "127.0.0.1", self.wanted), self.loop)
        self.server = start.result(10)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def end(self):
        self.server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def accepted(self, reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(self.copy(reader, to_writer), self.meddle(to_reader, writer), return_exceptions=True)
        except asyncio.CancelledError:
            pass

    @staticmethod
    async def copy(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    @staticmethod
    async def packet(reader):
        """One whole packet and where its variable part begins; b"" at the end."""
        try:
            head = await reader.readexactly(2)
            length, shift, at = head[1] & 127, 7, 1
            while head[at] & 128:
                head += await reader.readexactly(1)
                at += 1
                length |= (head[at] & 127) << shift
                shift += 7
            return head + await reader.readexactly(length), len(head)
        except asyncio.IncompleteReadError:
            return b"", 0

    def chosen(self, packet, start):
        """Every n-th message of a run (not those of $SYS)."""
        if packet[0] >> 4 != 3 or packet[start + 2:start + 8] != b"bench/":
            return False
        self.seen += 1
        return self.seen % self.every == 0

    async def meddle(self, reader, writer):
        held = None
        while True:
            reading = asyncio.ensure_future(self.packet(reader))
            done, _ = await asyncio.wait({reading}, timeout=0.3 if held else None)
            if not done: # nothing follows: it goes as it is
                writer.write(held)
                held = None
            packet, start = await reading
            if not packet:
                break
            message = packet[0] >> 4 == 3
            if self.chosen(packet, start):
                if self.what == DROP:
                    self.done += 1
                    continue
                if self.what == REPEAT:
                    self.done += 1
                    packet += packet
                if self.what == CHANGE:
                    self.done += 1
                    packet = packet[:-16] + b"\xff" * 16
                if self.what == SWAP and held is None:
                    held = packet
                    continue
            writer.write(packet)
            if held and message:
                writer.write(held)
                self.done += 1
                held = None
            await writer.drain()
        if held:
            writer.write(held)
        writer.close()
