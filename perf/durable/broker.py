"""A broker under measurement: started with settings, asked for its histograms and counters (used by run and turns)."""
import http.client, json, os, re, signal, subprocess, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build/release"))


class Broker:
    def __init__(self, folder, *sets, log="notice", config=None):
        self.folder = folder
        self.log = os.path.join(folder, "log")
        self.begun = time.monotonic()
        command = [os.environ.get("RINGMQD", os.path.join(BUILD, "ringmqd"))]
        for text in ("listeners.tcp.default.bind=127.0.0.1:0", "admin.bind=127.0.0.1:0", "admin.default_password=perf perf perf", "node.data_dir=" + os.path.join(folder, "data"),
                     "log.level=" + log, "mqtt.max_mqueue_len=100000000", "mqtt.max_mqueue_bytes=64GiB") + sets:
            command += ["--set", text]
        if config:
            command += ["--config", config]
        self.process = subprocess.Popen(command, cwd=folder, stderr=open(self.log, "w"))
        self.port = int(self.await_log(r"listener=tcp.default .* port=(\d+)"))
        self.admin_port = int(self.await_log(r"admin API: url=\S+ port=(\d+)"))
        self.token = json.loads(self.ask("POST", "/login", {"username": "admin", "password": "perf perf perf"}, token=False))["token"]

    def await_log(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, open(self.log).read())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the broker did not start:\n" + open(self.log).read()[-2000:])
            time.sleep(0.005)
        return found.group(1)

    def ask(self, method, path, body=None, token=True):
        api = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=120)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + self.token
        api.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, headers)
        answer = api.getresponse()
        return answer.read()

    def numbers(self):
        """(counters, histograms by name)"""
        got = json.loads(self.ask("GET", "/stats"))
        return got["counters"], {h["name"]: h for h in got["histograms"]}

    def cpu_seconds(self):
        parts = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read()).group(1)) / 1024

    def stop(self, kill=False):
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.process.wait(60)


class Spread:
    """What a histogram has counted between two looks: bounds and counts of its buckets."""

    def __init__(self, after, before=None):
        self.bounds = after["bounds"]
        earlier = dict(zip(before["bounds"], before["counts"])) if before else {}
        self.counts = [count - earlier.get(bound, 0) for bound, count in zip(after["bounds"], after["counts"])]
        self.total = sum(self.counts)
        self.sum = after["sum"] - (before["sum"] if before else 0)

    def quantile(self, share):
        """The bound of the bucket it is in."""
        seen = 0
        for bound, count in zip(self.bounds, self.counts):
            seen += count
            if seen >= share * self.total and count:
                return bound
        return 0

    def largest(self):
        return max((bound for bound, count in zip(self.bounds, self.counts) if count), default=0)

    def mean(self):
        return self.sum / self.total if self.total else 0
