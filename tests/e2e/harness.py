"""What the end-to-end tests share: the broker as a process, counting, waiting.

Environment: RINGMQD (build/asan/ringmqd), RINGMQ (build/release/ringmq), RINGMQD_RELEASE (the ringmqd beside RINGMQ),
E2E_SETS (KEY=VALUE … for every broker, such as
durability.enable=true), E2E_CACHE (build/e2e-cache), E2E_ONLY (a regular expression: run only these tests), E2E_KEEP (keep the brokers' logs of
tests that passed, too)."""
import concurrent.futures
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests", "e2e")


def _program(variable, default):
    return os.path.abspath(os.environ.get(variable) or os.path.join(ROOT, default))


RINGMQD = _program("RINGMQD", "build/asan/ringmqd")
RINGMQ = _program("RINGMQ", "build/release/ringmq")
RINGMQD_RELEASE = _program("RINGMQD_RELEASE", os.path.join(os.path.dirname(RINGMQ), "ringmqd"))
CACHE = _program("E2E_CACHE", "build/e2e-cache")

REPORT = re.compile(rb"(?:Leak|Address|Thread|UndefinedBehavior|Memory)Sanitizer|runtime error:|internal error")


class Failure(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failure(what)


def equal(got, wanted, what):
    if got != wanted:
        raise Failure(f"{what}: got {str(got)[:400]!r}, wanted {str(wanted)[:400]!r}")


def wait_for(condition, what, timeout=60.0, every=0.01):
    """Polls until condition() is true (its value is returned) or the deadline is over."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(every)


def _below_the_ephemeral():
    """(first, last) of the ports to choose from, or None: the kernel hands out nearly all of them itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low = int(file.read().split()[0])
    return (max(10000, low - 20000), low - 1) if low >= 12000 else None


_ports_kept = []  # UDP sockets that say to the other test programs: this one is mine


def free_port(host="127.0.0.1"):
    """A port that is this process's until its end, for what cannot bind to 0 and say which port it got. Not from the range that the kernel chooses from
    for connect() and bind(0): there somebody else's connection may take it before it is bound. No two test programs get the same (a UDP socket is held on it)."""
    span = _below_the_ephemeral()
    for _ in range(1000):
        keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            keeper.bind(("127.0.0.1", random.randint(*span) if span else 0))
            port = keeper.getsockname()[1]
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError:
            keeper.close()
            continue
        _ports_kept.append(keeper)
        return port
    raise Failure("there is no free port")


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def proc_status(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(rf"^{field}:\s+(\d+)", status.read(), re.M).group(1))


class SlowCalls:
    """For the environment of a program that is no sanitizer's: names that end with ".slow" are not resolved until let_go(). See slow_calls.c."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="ringmq-e2e-")
        library, self.until = f"{self.directory}/slow_calls.so", f"{self.directory}/until"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, f"{HERE}/slow_calls.c"], check=True, timeout=60)
        self.environment = {"LD_PRELOAD": library, "SLOW_NAMES_UNTIL": self.until}
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)

    def asked(self):
        return open(f"{self.until}.asked", encoding="ascii").read().split() if os.path.exists(f"{self.until}.asked") else []

    def let_go(self):
        with open(self.until, "w", encoding="ascii"):
            pass


class Broker:
    """One ringmqd with a temporary directory of its own. `with Broker("node.shards=2") as broker:` stops it at the end
    with SIGTERM and fails when it does not end with 0 or its log holds a sanitizer's report."""

    def __init__(self, *sets, program=None, port=0, config="", environment=None, start=True, wait=True,
                 descriptors=None):
        self.program = program or RINGMQD
        self.directory = tempfile.mkdtemp(prefix="ringmq-e2e-")
        self.config_file = os.path.join(self.directory, "test.conf")
        self.log_file = os.path.join(self.directory, "log")
        self.sets = list(sets)
        self.port = port
        self.environment = environment or {}
        self.descriptors = descriptors
        self.process = None
        self.ended = False
        self.write_config(config)
        if start:
            self.start(wait)

    def write_config(self, text):
        """At once: a broker that is still at an earlier SIGHUP reads the old file or the new one, never half of it."""
        with open(self.config_file + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.config_file + ".new", self.config_file)

    def start(self, wait=True):
        check(os.access(self.program, os.X_OK), f"{self.program} is not there; build it first")
        command = [self.program, "--config", self.config_file,
                   "--set", f"listeners.tcp.default.bind=127.0.0.1:{self.port}", "--set", "node.pin_cores=false",
                   "--set", "admin.enable=false"]
        for value in os.environ.get("E2E_SETS", "").split() + self.sets:
            command += ["--set", value]
        if self.descriptors:
            command = ["prlimit", f"--nofile={self.descriptors}:{self.descriptors}", *command]
        environment = {key: value for key, value in os.environ.items()
                       if not key.upper().startswith("RINGMQ__") and key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        environment.update(ASAN_OPTIONS="exitcode=99:detect_leaks=1", UBSAN_OPTIONS="print_stacktrace=1",
                           TSAN_OPTIONS="exitcode=66:second_deadlock_stack=1", **self.environment)
        self.ended = False
        self.log_start = os.path.getsize(self.log_file) if os.path.exists(self.log_file) else 0
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment)
        if not wait:
            return
        try:
            self.wait_ready()
        except BaseException:
            self.kill()  # nobody else would: a constructor that fails makes no `with`
            raise

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise Failure(f"ringmqd ended with {self.process.returncode} at start:\n{self.log()[-2000:]}")
            return re.search(r"listening: listener=tcp\.default .* port=(\d+)[\s\S]* is ready", self.log())
        self.port = int(wait_for(ready, "ringmqd is ready", 60).group(1))

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        """Since the last start."""
        with open(self.log_file, "rb") as file:
            file.seek(self.log_start)
            return file.read().decode("utf-8", "replace")

    def wait_log(self, pattern, timeout=60.0, after=0):
        return wait_for(lambda: re.search(pattern, self.log()[after:]), f"/{pattern}/ in the log", timeout)

    def rss(self):
        return proc_status(self.pid, "VmRSS") * 1024

    def signal(self, number):
        os.kill(self.pid, number)

    def wait_end(self, timeout=60.0):
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.ended = True
            raise Failure(f"ringmqd did not end within {timeout} s; it was killed") from None
        self.ended = True
        self.check_log()
        return status

    def stop(self):
        if self.ended or self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.wait_end()
        equal(status, 0, "ringmqd's exit status after SIGTERM")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.ended = True

    def check_log(self):
        with open(self.log_file, "rb") as file:
            found = REPORT.search(content := file.read())
        if found:
            raise Failure("the broker's log holds a report:\n"
                          + content[max(0, found.start() - 300):found.start() + 6000].decode("utf-8", "replace"))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.stop()
            elif self.process and self.process.poll() not in (None, 0):
                crashed = self.process.returncode
                print(f"    (ringmqd had ended with {crashed})\n{self.log()[-5000:]}", flush=True)
        except BaseException:
            kind = kind or Failure
            raise
        finally:
            self.kill()
            if kind is not None or os.environ.get("E2E_KEEP"):
                print(f"    (the broker's log: {self.log_file})", flush=True)
            else:
                shutil.rmtree(self.directory, ignore_errors=True)


class Suite:
    """Tests are functions, registered with @suite.test or suite.add(name, function); run() prints a line each and the
    last line that scripts/test counts."""

    def __init__(self):
        self.tests = []
        self.print_lock = threading.Lock()

    def test(self, function):
        self.add(function.__name__.replace("_", " "), function)
        return function

    def add(self, name, function, *arguments, alone=False):
        """alone: not beside others; such tests come first."""
        self.tests.append((name, function, arguments, alone))

    def _one(self, name, function, arguments):
        start = time.monotonic()
        note = None
        try:
            result = function(*arguments)
            verdict, text = True, f"ok {name}"
            note = result if isinstance(result, str) else None
        except Failure as failure:
            verdict, text = False, f"FAILED {name}: {failure}"
        except Exception:
            verdict, text = False, f"FAILED {name}:\n{traceback.format_exc()}"
        with self.print_lock:
            print(f"{text} ({time.monotonic() - start:.1f} s){': ' + note if note else ''}", flush=True)
        return verdict

    def run(self, workers=1, last=()):
        """last: (name, function, arguments) to run when all others have."""
        raise_descriptor_limit()
        only = os.environ.get("E2E_ONLY")
        tests = [test for test in self.tests if not only or re.search(only, test[0])]
        results = [self._one(*test[:3]) for test in tests if test[3]]
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            results += pool.map(lambda test: self._one(*test[:3]), [test for test in tests if not test[3]])
        results += [self._one(*test) for test in last]
        passed = sum(results)
        failed = len(results) - passed
        if not results:
            failed = 1
        print(f"{passed} passed, {failed} failed", flush=True)
        sys.exit(1 if failed else 0)
