"""Round trips of a client beside something that might disturb them: quiet first, then meanwhile, and a bound that a blocked shard would break.

    with Beat(broker.port) as beat:
        quiet = beat.listen(0.5)
        with beat.during() as meanwhile:
            ...                                   # 5,000 handshakes
        return undisturbed(quiet, meanwhile)

A shard that does all of a storm before it looks at anybody else shows in each of three numbers: few round trips in the time, a long median, many long
ones. None of them is about speed, and each is compared with the quiet time just before, so a machine that is slow for other reasons passes."""
import contextlib
import threading
import time

from harness import check
from mqtt import Client

PAUSE_S = 0.002
LONG_S = 0.05


class Took(list):
    """Seconds of each round trip; `seconds`: over how long they were taken."""
    seconds = 0.0


class Beat:
    def __init__(self, port):
        self.client = Client(port, "beat", 5)
        self.took, self.stop = [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.failed = None

    def run(self):
        try:
            while not self.stop.is_set():
                start = time.monotonic()
                self.client.publish("beat", b"x", 1)
                self.took.append((start, time.monotonic() - start))
                time.sleep(PAUSE_S)
        except Exception as error:  # shown by whoever looks at the numbers
            self.failed = error

    @contextlib.contextmanager
    def during(self):
        found, start = Took(), time.monotonic()
        yield found
        end = time.monotonic()
        time.sleep(0.01)
        check(self.failed is None, f"the client beside: {self.failed}")
        if self.took and self.took[-1][0] < start:  # one round trip, and it is not over
            found.append(end - start)
        found.extend(took for at, took in list(self.took) if start - took < at < end)
        found.seconds = end - start

    def listen(self, seconds):
        """For so long, and until there is something to compare with."""
        with self.during() as found:
            end = time.monotonic() + seconds
            before = len(self.took)
            while time.monotonic() < end or (len(self.took) < before + 30 and not self.failed and time.monotonic() < end + 60):
                time.sleep(0.02)
        return found

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        with contextlib.suppress(Exception):
            self.client.disconnect()


def median(took):
    return sorted(took)[len(took) // 2]


def undisturbed(quiet, meanwhile, share=0.1):
    """share: of the quiet rate of round trips that must be left. Returns a note."""
    check(len(quiet) > 20, f"only {len(quiet)} round trips in {quiet.seconds:.1f} quiet seconds")
    check(meanwhile, "no round trip at all")
    wanted = len(quiet) / quiet.seconds * share
    rate, long_quiet = len(meanwhile) / meanwhile.seconds, LONG_S + 2 * sorted(quiet)[len(quiet) * 99 // 100]
    longer = sum(took > long_quiet for took in meanwhile)
    note = (f"{len(meanwhile)} round trips in {meanwhile.seconds:.1f} s: p50 {median(meanwhile) * 1000:.1f} ms (quiet {median(quiet) * 1000:.1f}), "
            f"{longer} above {long_quiet * 1000:.0f} ms, longest {max(meanwhile) * 1000:.0f} ms")
    check(rate > wanted, f"{rate:.0f} round trips a second, {wanted:.0f} wanted; {note}")
    check(median(meanwhile) < 5 * median(quiet) + 0.02, note)
    check(longer <= max(2, len(meanwhile) // 20), note)
    return note
