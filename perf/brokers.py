"""The brokers that perf/compare knows: how each is found, tuned and started.

An adapter is a function (program, port, folder, shards) -> (command line, environment) that writes the broker's configuration into `folder`.
Tuning follows each project's own advice for throughput: no persistence, no rate limits, queues and windows that do not drop, the given
number of threads. TUNING tells it in words, for the report.
"""
import os, re, shutil, subprocess

import runner


def _write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def ringmq(program, port, folder, shards):
    alone = shards < len(os.sched_getaffinity(0))  # else the generator is on the same cores: docs/configuration.md says not to pin there
    return [program, "--set", f"listeners.tcp.default.bind=127.0.0.1:{port}", "--set", f"node.shards={shards}", "--set", f"node.pin_cores={'true' if alone else 'false'}",
            "--set", "log.level=warn", "--set", "admin.enable=false", "--set", f"node.data_dir={folder}", "--set", "listeners.tcp.default.max_connections=infinity", "--set", "node.max_connections=200000", "--set", "mqtt.max_inflight=4096"], {}


def mosquitto(program, port, folder, shards):
    path = _write(folder, "mosquitto.conf", f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_queued_bytes 0\n"
                  "max_inflight_messages 0\npersistence false\nset_tcp_nodelay true\nlog_type error\nmax_connections -1\n")
    return [program, "-c", path], {}


def emqx(program, port, folder, shards):
    return [program, "foreground"], {
        "EMQX_NODE__DATA_DIR": folder, "EMQX_NODE__COOKIE": "ringmq-perf", "EMQX_LOG__CONSOLE__LEVEL": "error",
        "EMQX_LISTENERS__TCP__DEFAULT__BIND": f"127.0.0.1:{port}", "EMQX_LISTENERS__TCP__DEFAULT__MAX_CONNECTIONS": "infinity",
        "EMQX_LISTENERS__SSL__DEFAULT__ENABLE": "false", "EMQX_LISTENERS__WS__DEFAULT__ENABLE": "false", "EMQX_LISTENERS__WSS__DEFAULT__ENABLE": "false",
        "EMQX_DASHBOARD__LISTENERS__HTTP__BIND": str(runner.free_port()), "EMQX_MQTT__MAX_MQUEUE_LEN": "infinity", "EMQX_MQTT__MAX_INFLIGHT": "1024",
        "EMQX_LISTENERS__TCP__DEFAULT__TCP_OPTIONS__NODELAY": "true", "ERL_FLAGS": f"+S {shards}:{shards} +sbwt none +sbwtdcpu none +sbwtdio none"}


def nanomq(program, port, folder, shards):
    path = _write(folder, "nanomq.conf", f'system {{ num_taskq_thread = {shards}\n max_taskq_thread = {shards}\n parallel = {32 * shards} }}\n'
                  f'mqtt {{ max_packet_size = 10MB\n max_mqueue_len = 100000\n max_inflight_window = 2048\n retry_interval = 3600s }}\n'
                  f'listeners.tcp {{ bind = "127.0.0.1:{port}" }}\nauth {{ allow_anonymous = true\n no_match = allow }}\n')
    return [program, "start", "--conf", path], {}


def flashmq(program, port, folder, shards):
    path = _write(folder, "flashmq.conf", f"thread_count {shards}\nallow_anonymous true\nlog_level error\nmax_packet_size 10000000\n"
                  "max_qos_msg_pending_per_client 65535\nmax_qos_bytes_pending_per_client 100000000\nclient_max_write_buffer_size 100000000\n"
                  f"listen {{\n  protocol mqtt\n  port {port}\n  inet_protocol ip4\n  inet4_bind_address 127.0.0.1\n  tcp_nodelay true\n}}\n")
    return [program, "--config-file", path], {}


def hivemq(program, port, folder, shards):
    conf = os.path.join(folder, "conf")
    os.mkdir(conf)
    _write(conf, "config.xml", '<?xml version="1.0"?><hivemq><listeners><tcp-listener>'
           f"<port>{port}</port><bind-address>127.0.0.1</bind-address></tcp-listener></listeners>"
           "<mqtt><queued-messages><max-queue-size>100000</max-queue-size></queued-messages><receive-maximum><server-receive-maximum>65535"
           "</server-receive-maximum></receive-maximum></mqtt><persistence><mode>in-memory</mode></persistence>"
           "<anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics></hivemq>")
    return [program], {"HIVEMQ_CONFIG_FOLDER": conf, "HIVEMQ_DATA_FOLDER": folder, "HIVEMQ_LOG_FOLDER": folder,
                       "JAVA_OPTS": f"-XX:ActiveProcessorCount={shards} -XX:+UseG1GC"}


def vernemq(program, port, folder, shards):
    """A release folder's bin/vernemq: its settings are environment variables of its start script's cuttlefish."""
    etc = os.path.join(folder, "etc")
    os.mkdir(etc)
    _write(etc, "vernemq.conf", f"listener.tcp.default = 127.0.0.1:{port}\nallow_anonymous = on\nmax_inflight_messages = 0\nmax_online_messages = -1\n"
           f"max_offline_messages = -1\nlog.console = off\nnodename = bench{port}@127.0.0.1\nerlang.schedulers = {shards}\n"
           f"listener.vmq.clustering = 127.0.0.1:{runner.free_port()}\nlistener.http.default = 127.0.0.1:{runner.free_port()}\n"
           f"metadata_plugin = vmq_swc\nplatform_data_dir = {folder}\nplatform_log_dir = {folder}\n")
    return [program, "console", "-noshell", "-noinput"], {"RUNNER_ETC_DIR": etc, "PLATFORM_ETC_DIR": etc, "PLATFORM_DATA_DIR": folder}


def nats(program, port, folder, shards):
    path = _write(folder, "nats.conf", f'port: {runner.free_port()}\nhost: "127.0.0.1"\nserver_name: bench\nmax_connections: 200000\n'
                  f'max_pending: 536870912\nwrite_deadline: "60s"\njetstream {{ store_dir: "{folder}/js" }}\n'
                  f'mqtt {{ port: {port}, host: "127.0.0.1", max_ack_pending: 10000 }}\n')
    return [program, "-c", path], {"GOMAXPROCS": str(shards)}


def rabbitmq(program, port, folder, shards):
    conf = _write(folder, "rabbitmq.conf", f"listeners.tcp.1 = 127.0.0.1:{runner.free_port()}\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\n"
                  "mqtt.allow_anonymous = true\nmqtt.default_user = guest\nmqtt.default_pass = guest\nloopback_users = none\nmqtt.prefetch = 1000\n"
                  "mqtt.tcp_listen_options.nodelay = true\nmqtt.tcp_listen_options.backlog = 4096\nlog.console.level = error\n")
    plugins = _write(folder, "enabled_plugins", "[rabbitmq_mqtt].\n")
    return [program], {"RABBITMQ_CONFIG_FILE": conf[:-5], "RABBITMQ_ENABLED_PLUGINS_FILE": plugins, "RABBITMQ_MNESIA_BASE": folder, "HOME": folder,
                       "RABBITMQ_LOG_BASE": folder, "RABBITMQ_NODENAME": f"bench{port}@localhost", "RABBITMQ_DIST_PORT": str(runner.free_port()),
                       "ERL_EPMD_PORT": str(runner.free_port()), "ERL_EPMD_RELAXED_COMMAND_CHECK": "true",
                       "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S {shards}:{shards} +sbwt none"}


def rumqttd(program, port, folder, shards):
    path = _write(folder, "rumqttd.toml", f"""id = 0
[router]
id = 0
max_connections = 200010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 2097152
max_inflight_count = 1000
dynamic_filters = true
""")
    return [program, "-c", path, "-q"], {"TOKIO_WORKER_THREADS": str(shards)}


def mochi(program, port, folder, shards):
    free = lambda: f"127.0.0.1:{runner.free_port()}"
    return [program, "-tcp", f"127.0.0.1:{port}", "-ws", free(), "-info", free()], {"GOMAXPROCS": str(shards)}


# name: adapter, programs looked for, how to ask the version, what it cannot do (rows left out), its tuning in words
BROKERS = {
    "ringmq": (ringmq, [runner.RINGMQD], ["--version"], (), "one shard a core (pinned where the generator has a core of its own), a window of 4096, nothing else changed but the connection limit"),
    "mosquitto": (mosquitto, ["mosquitto", "/usr/sbin/mosquitto"], ["-h"], (), "unlimited queues and windows, TCP_NODELAY, no persistence; one thread"),
    "emqx": (emqx, ["emqx"], ["version"], (), "unlimited queues, in-flight 1024, no busy-waiting schedulers, one scheduler a core"),
    "nanomq": (nanomq, ["nanomq"], ["--version"], (), "queue 100,000, window 2048, one task thread a core"),
    "flashmq": (flashmq, ["flashmq"], ["--version"], (), "one thread a core, write buffers and pending QoS messages raised, TCP_NODELAY"),
    "hivemq-ce": (hivemq, ["hivemq"], None, (), "in-memory persistence, queue 100,000, one processor a core"),
    "vernemq": (vernemq, ["vernemq"], ["version"], (), "unlimited queues and windows"),
    "nats-server": (nats, ["nats-server", "/usr/sbin/nats-server"], ["-v"], ("shared",), "pending 512 MiB, 10,000 unacknowledged a subscription, JetStream on disk; no shared subscriptions in its MQTT"),
    "rabbitmq": (rabbitmq, ["rabbitmq-server"], None, ("shared",), "prefetch 1000, one scheduler a core, no busy waiting; no shared subscriptions before 4.0"),
    "rumqttd": (rumqttd, ["rumqttd"], ["--version"], ("shared", "burst"), "in-flight 1000, outgoing packets 200; clients with keep-alive 10 s, since it refuses 0"),
    "mochi": (mochi, ["mochi"], None, (), "its own command with defaults; GOMAXPROCS = cores"),
}


class Found:
    """A broker that can be run here."""

    def __init__(self, name, given, folder):
        adapter, programs, self.version_arguments, self.cannot, self.tuning = BROKERS[name.split(":")[0]]
        self.name, self.adapter = name, adapter
        private = [os.path.join(folder, "bin", os.path.basename(p)) for p in programs]
        self.more = ["--keep-alive", "10"] if name.startswith("rumqttd") else []
        self.program = given or next((shutil.which(p) for p in private + programs if shutil.which(p)), None)
        if given and not shutil.which(given):
            raise SystemExit(f"{name}: {given} is no program")
        if self.program:
            self.program = os.path.abspath(shutil.which(self.program))

    def version(self):
        if not self.version_arguments:
            return ""
        said = subprocess.run([self.program, *self.version_arguments], capture_output=True, text=True, timeout=20)
        lines = (said.stdout or said.stderr).strip().splitlines()
        return lines[0].strip() if lines else ""

    def start(self, cores, shards):
        environment = {}

        def command(port, folder):
            line, more = self.adapter(self.program, port, folder, shards)
            environment.update(more)
            return line

        return runner.Running(command, cores, environment, patience=60)


# ---- --install ------------------------------------------------------------------------------------------------------

def _debian(package, folder):
    """The package and what it needs and is missing, unpacked into `folder`; its programs then are wrappers in folder/bin."""
    tree, debs = os.path.join(folder, "debian"), os.path.join(folder, "debs")
    os.makedirs(debs, exist_ok=True)
    said = subprocess.run(["apt-get", "install", "-y", "--reinstall", "--no-install-recommends", "--print-uris", package], capture_output=True, text=True)
    names = [line.split()[1].split("_")[0] for line in said.stdout.splitlines() if line.startswith("'")]
    if not names:
        raise RuntimeError("apt knows no such package (apt-get update?)")
    subprocess.run(["apt-get", "download", "-qq", *names], cwd=debs, check=True)
    for deb in os.listdir(debs):
        subprocess.run(["dpkg-deb", "-x", os.path.join(debs, deb), tree], check=True)
    return tree


def _wrapper(folder, name, lines):
    os.makedirs(os.path.join(folder, "bin"), exist_ok=True)
    path = os.path.join(folder, "bin", name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + lines + "\n")
    os.chmod(path, 0o755)


def _libraries(tree):
    return f"export LD_LIBRARY_PATH={tree}/usr/lib/x86_64-linux-gnu:{tree}/usr/lib/aarch64-linux-gnu:{tree}/lib/x86_64-linux-gnu"


def install_mosquitto(folder):
    tree = _debian("mosquitto", folder)
    _wrapper(folder, "mosquitto", f'{_libraries(tree)}\nexec {tree}/usr/sbin/mosquitto "$@"')


def install_nats(folder):
    tree = _debian("nats-server", folder)
    _wrapper(folder, "nats-server", f'exec {tree}/usr/sbin/nats-server "$@"')


def install_rabbitmq(folder):
    tree = _debian("rabbitmq-server", folder)
    erl = os.path.join(tree, "usr/lib/erlang/bin/erl")
    for script in (erl, os.path.join(tree, "usr/lib/erlang/bin/start_erl")):
        if os.path.exists(script):
            text = re.sub(r"(?<![\w/])/usr/lib/erlang", f"{tree}/usr/lib/erlang", open(script).read())
            open(script, "w").write(text)
    home = os.path.join(tree, "usr/lib/rabbitmq/lib")
    home = os.path.join(home, sorted(os.listdir(home))[-1])
    _wrapper(folder, "rabbitmq-server", f'{_libraries(tree)}\nexport PATH={tree}/usr/lib/erlang/bin:$PATH\nepmd -port "$ERL_EPMD_PORT" &\nuntil epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do sleep 0.05; done\nexec {home}/sbin/rabbitmq-server "$@"')


def install_rumqttd(folder):
    subprocess.run(["cargo", "install", "--quiet", "--root", folder, "rumqttd"], check=True)


def install_mochi(folder):
    subprocess.run(["go", "install", "github.com/mochi-mqtt/server/v2/cmd@latest"], check=True, env={**os.environ, "GOBIN": os.path.join(folder, "bin")})
    os.rename(os.path.join(folder, "bin", "cmd"), os.path.join(folder, "bin", "mochi"))


HIVEMQ = "2024.3"


def install_hivemq(folder):
    """Maven Central has HiveMQ CE as a library to embed: a class of ours starts it."""
    home = os.path.join(folder, "hivemq")
    os.makedirs(home, exist_ok=True)
    _write(home, "pom.xml", '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>bench</groupId>'
           "<artifactId>bench</artifactId><version>1</version><dependencies><dependency><groupId>com.hivemq</groupId>"
           f"<artifactId>hivemq-community-edition-embedded</artifactId><version>{HIVEMQ}</version></dependency></dependencies></project>")
    subprocess.run(["mvn", "-q", "dependency:copy-dependencies", "-DoutputDirectory=lib"], cwd=home, check=True)
    subprocess.run(["javac", "-cp", "lib/*", "-d", ".", os.path.join(runner.HERE, "peers", "HivemqLaunch.java")], cwd=home, check=True)
    _wrapper(folder, "hivemq", f'exec java $JAVA_OPTS -cp "{home}:{home}/lib/*" HivemqLaunch "$HIVEMQ_CONFIG_FOLDER" "$HIVEMQ_DATA_FOLDER"')


INSTALL = {"hivemq-ce": install_hivemq, "mosquitto": install_mosquitto, "nats-server": install_nats, "rabbitmq": install_rabbitmq, "rumqttd": install_rumqttd, "mochi": install_mochi}
