"""What the perf/ scripts share: a broker (or the bare relay) on one core, `ringmq bench` on another, one JSON object a run."""
import json, os, signal, socket, statistics, subprocess, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
RELEASE = os.path.normpath(os.path.join(HERE, "..", "build", "release"))
RINGMQ = os.path.join(RELEASE, "ringmq")
RINGMQD = os.path.join(RELEASE, "ringmqd")
RELAY = os.path.join(RELEASE, "relay")


class NotRun(Exception):
    """A run that gave no result; the text says why."""


def build(*targets):
    """Builds the release and what is not built by default."""
    root = os.path.join(HERE, "..")
    if not os.path.exists(os.path.join(RELEASE, "build.ninja")):
        subprocess.run(["cmake", "--preset", "release"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    for target in ("all", *targets):
        done = subprocess.run(["cmake", "--build", "--preset", "release", "--target", target], cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Running:
    """A started broker: use as a context manager. `command(port, folder)` gives its command line (and writes its configuration)."""

    def __init__(self, command, cores, environment=None, patience=30):
        self.folder = tempfile.TemporaryDirectory(prefix="ringmq-perf-")
        self.port = free_port()
        self.log = os.path.join(self.folder.name, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["taskset", "-c", cores, *command(self.port, self.folder.name)], stdout=log, stderr=log,
                                            env={**os.environ, **(environment or {})}, cwd=self.folder.name, start_new_session=True)
        until = time.time() + patience
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.time() > until:
                    said = open(self.log, errors="replace").read().strip().splitlines()
                    self.stop()
                    raise NotRun("did not start: " + (said[-1] if said else "it said nothing"))
                time.sleep(0.05)
        self.pid = self.served_by()

    def served_by(self):
        """The process that listens: a launcher's child may be the broker."""
        inode = None
        for path in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in open(path).read().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == self.port:
                    inode = fields[9]
        for pid in self.family():
            try:
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                        return pid
            except OSError:
                continue
        return self.process.pid

    def family(self):
        """This process and what it started, all in one session."""
        pids = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if os.getsid(int(name)) == self.process.pid:
                        pids.append(int(name))
                except OSError:
                    pass
        return pids

    def stop(self):
        for how, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
            for pid in self.family():
                try:
                    os.kill(pid, how)
                except OSError:
                    pass
            until = time.time() + seconds
            while self.family() and time.time() < until:
                self.process.poll()
                time.sleep(0.05)
        self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def bench(arguments, port, pid, cores, timeout=300):
    """One run of `ringmq bench`: its JSON object. Lost, repeated or disordered messages are in it; anything else raises NotRun."""
    command = ["taskset", "-c", cores, RINGMQ, "bench", *arguments, "-h", "127.0.0.1", "-p", str(port), "--broker-pid", str(pid), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise NotRun(f"no end after {timeout} s")
    if done.stdout.startswith("{"):
        return json.loads(done.stdout)
    raise NotRun(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}")


def relay(port, folder):
    return [RELAY, str(port)]


def ringmq(port, folder, shards=1):
    return [RINGMQD, "--set", f"listeners.tcp.default.bind=127.0.0.1:{port}", "--set", f"node.shards={shards}", "--set", "log.level=warn", "--set", "admin.enable=false",
            "--set", f"node.data_dir={folder}"]


def unharmed(run):
    return not (run["lost"] or run["duplicated"] or run["disordered"])


def median(runs, pick):
    return statistics.median(pick(r) for r in runs)
