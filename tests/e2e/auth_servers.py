"""Real servers for the tests of authentication, each with a folder and a port of its own: start(), stop(), freeze(), thaw()."""
import glob
import hashlib
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from harness import Failure, check, free_port, wait_for

SHA256 = {"ann": ("x", "ann-secret"), "root": ("y", "root-secret")}  # user: salt, password


def hashed(user):
    salt, password = SHA256[user]
    return hashlib.sha256((salt + password).encode()).hexdigest()


def states_of(pid):
    """Of its threads: R, S, T …"""
    states = []
    for path in glob.glob(f"/proc/{pid}/task/*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                states.append(file.read().rsplit(")", 1)[1].split()[0])
        except OSError:
            pass  # it has ended
    return states


class Server:
    """tls: a class Certificates: the server has server.pem and wants clients with certificates of ca.pem; there is nothing without TLS."""
    user = None  # who it must run as when we are root
    grace = 60

    def __init__(self, tls=None):
        self.folder = tempfile.mkdtemp(prefix="ringmq-auth-", dir="/tmp")
        self.port = free_port()
        self.process = None
        self.tls = tls is not None
        for name in ("ca.pem", "server.pem", "server.key") if tls else ():
            shutil.copy(tls.path(name), self.path(name))
            os.chmod(self.path(name), 0o600)
            if self.as_other():
                shutil.chown(self.path(name), self.user, self.user)
        if self.as_other():
            shutil.chown(self.folder, self.user, self.user)

    def path(self, name):
        return os.path.join(self.folder, name)

    def as_other(self):
        return self.user and os.geteuid() == 0

    def options(self):
        if not self.as_other():
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def run(self, *command, **more):
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False, **self.options(), **more)
        if done.returncode:
            raise Failure(f"{command[0]}: {done.stdout[-800:]} {done.stderr[-800:]}")
        return done.stdout

    def start(self):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, **self.options())
        wait_for(self.is_ready, lambda: f"{type(self).__name__} is ready: {self.log()[-1500:]}", self.grace, 0.05)
        return self

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def is_ready(self):
        check(self.process.poll() is None, f"{type(self).__name__} ended: {self.log()[-1500:]}")
        return self.answers()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(signal.SIGINT if self.user == "postgres" else signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def family(self):
        """The server and its children, which may have process groups of their own."""
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, timeout=20, check=False).stdout
        return [self.process.pid] + [int(pid) for pid in found.split()]

    def signal_all(self, number):
        for pid in self.family():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def freeze(self):
        """The signal stops nothing until one thread of the process has run to see it, which takes its time on a busy machine."""
        self.signal_all(signal.SIGSTOP)
        wait_for(lambda: all(state in "TZ" for pid in self.family() for state in states_of(pid)), f"{type(self).__name__} stops")

    def thaw(self):
        self.signal_all(signal.SIGCONT)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def quiet(*command):
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


SQL = """CREATE TABLE users (name VARCHAR(100), password_hash VARCHAR(200), salt VARCHAR(50), is_superuser INT);
CREATE TABLE acl (name VARCHAR(100), permission VARCHAR(10), action VARCHAR(10), topic VARCHAR(200));
INSERT INTO users VALUES ('ann', '{ann}', 'x', 0), ('root', '{root}', 'y', 1);
INSERT INTO acl VALUES ('ann', 'allow', 'publish', 'ann/${{clientid}}/#'), ('ann', 'allow', 'all', 'shared');"""


class PostgreSQL(Server):
    user = "postgres"
    BIN = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:] or [""]

    def start(self):
        if not os.path.exists(os.path.join(self.folder, "db")):
            self.run(self.BIN[0] + "/initdb", "-D", "db", "-A", "trust", "-U", "t", "--no-sync", "-E", "UTF8", "--locale=C")
            if self.tls:
                with open(self.path("db/pg_hba.conf"), "w", encoding="utf-8") as file:
                    file.write("local all all trust\nhostssl all all all trust clientcert=verify-ca\n")
            super().start()
            self.run(self.BIN[0] + "/psql", "-h", self.folder, "-p", str(self.port), "-U", "t", "-d", "postgres", "-c",
                     SQL.format(ann=hashed("ann"), root=hashed("root")))
            return self
        return super().start()

    def command(self):
        return [self.BIN[0] + "/postgres", "-D", "db", "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1", "-c", "fsync=off"] + \
            [word for key, name in (("cert", "server.pem"), ("key", "server.key"), ("ca", "ca.pem")) if self.tls for word in ("-c", f"ssl_{key}_file={self.path(name)}")] + \
            (["-c", "ssl=on"] if self.tls else [])

    def answers(self):
        return quiet(self.BIN[0] + "/pg_isready", "-h", self.folder if self.tls else "127.0.0.1", "-p", str(self.port), "-d", "postgres", "-U", "t")

    def sets(self, kind="authentication"):
        query = ("SELECT password_hash, salt, is_superuser FROM users WHERE name = ${username}" if kind == "authentication"
                 else "SELECT permission, action, topic FROM acl WHERE name = '${username}'")
        return {"backend": "postgresql", "server": f"127.0.0.1:{self.port}", "database": "postgres", "username": "t", "query": query}


class MariaDB(Server):
    def start(self):
        if not os.path.exists(os.path.join(self.folder, "db")):
            me = pwd.getpwuid(os.geteuid()).pw_name
            self.run("mariadb-install-db", "--no-defaults", "--datadir=" + self.folder + "/db", "--auth-root-authentication-method=normal",
                     "--user=" + me, "--skip-test-db", env={**os.environ, "TMPDIR": self.folder})  # one that starts clears away the temporary tables of all others in /tmp
            super().start()
            self.run("mariadb", "--no-defaults", "-S", self.folder + "/s", "-u", "root", input="CREATE DATABASE mqtt; USE mqtt;\n" + SQL.format(
                ann=hashed("ann"), root=hashed("root")) + f"CREATE USER t@'%' IDENTIFIED BY 'db-secret'{' REQUIRE X509' if self.tls else ''}; GRANT SELECT ON mqtt.* TO t@'%';")
            return self
        return super().start()

    def command(self):
        return ["mariadbd", "--no-defaults", "--user=" + pwd.getpwuid(os.geteuid()).pw_name, "--datadir=" + self.folder + "/db", "--tmpdir=" + self.folder, f"--port={self.port}",
                "--bind-address=127.0.0.1", "--socket=" + self.folder + "/s", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M",
                "--skip-name-resolve"] + ([f"--ssl-cert={self.path('server.pem')}", f"--ssl-key={self.path('server.key')}", f"--ssl-ca={self.path('ca.pem')}"] if self.tls else [])

    def answers(self):
        return quiet("mariadb", "--no-defaults", "-S", self.folder + "/s", "-u", "root", "-e", "SELECT 1")

    def sets(self, kind="authentication"):
        query = ("SELECT password_hash, salt, is_superuser FROM users WHERE name = ${username}" if kind == "authentication"
                 else "SELECT permission, action, topic FROM acl WHERE name = ${username}")
        return {"backend": "mysql", "server": f"127.0.0.1:{self.port}", "database": "mqtt", "username": "t", "password": "db-secret", "query": query}


class Redis(Server):
    def start(self):
        super().start()
        for user, (salt, _) in SHA256.items():
            self.cli("HSET", f"mqtt_user:{user}", "password_hash", hashed(user), "salt", salt, "is_superuser", "1" if user == "root" else "0")
        self.cli("HSET", "mqtt_acl:ann", "ann/${clientid}/#", "publish", "shared", "all")
        return self

    def cli(self, *words):
        return self.run("redis-cli", "-s", self.path("s"), "-a", "redis-secret", "--no-auth-warning", *words)

    def command(self):
        with_tls = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", self.path("server.pem"), "--tls-key-file", self.path("server.key"),
                    "--tls-ca-cert-file", self.path("ca.pem")]
        return ["redis-server", *(with_tls if self.tls else ["--port", str(self.port)]), "--unixsocket", self.path("s"), "--bind", "127.0.0.1", "--save", "", "--requirepass", "redis-secret", "--dir", self.folder]

    def answers(self):
        return quiet("redis-cli", "-s", self.path("s"), "-a", "redis-secret", "--no-auth-warning", "PING")

    def sets(self, kind="authentication"):
        query = "HMGET mqtt_user:${username} password_hash salt is_superuser" if kind == "authentication" else "HGETALL mqtt_acl:${username}"
        return {"backend": "redis", "server": f"127.0.0.1:{self.port}", "password": "redis-secret", "query": query}


LDIF = """dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=ann,ou=people,dc=example,dc=org
objectClass: account
objectClass: simpleSecurityObject
uid: ann
description: ann/${clientid}/#
host: shared
userPassword: ann-secret

dn: uid=root,ou=people,dc=example,dc=org
objectClass: account
objectClass: simpleSecurityObject
uid: root
l: TRUE
userPassword: %s
"""


class Slapd(Server):
    plain_port = None  # with TLS: for StartTLS

    def start(self):
        if not os.path.exists(os.path.join(self.folder, "db")):
            os.mkdir(os.path.join(self.folder, "db"))
            tls = "".join(f"TLS{key}File {self.path(name)}\n" for key, name in (("CACertificate", "ca.pem"), ("Certificate", "server.pem"), ("CertificateKey", "server.key"))
                          if self.tls) + ("TLSVerifyClient demand\nsecurity ssf=128\n" if self.tls else "")
            hash_of_root = self.run("/usr/sbin/slappasswd", "-h", "{SSHA}", "-s", "root-secret").strip()
            with open(os.path.join(self.folder, "slapd.conf"), "w", encoding="utf-8") as file:
                file.write(f"""include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.folder}/pid
{tls}database mdb
suffix dc=example,dc=org
directory {self.folder}/db
rootdn cn=admin,dc=example,dc=org
rootpw admin-secret
""")
            with open(os.path.join(self.folder, "ldif"), "w", encoding="utf-8") as file:
                file.write(LDIF % hash_of_root)
            self.run("/usr/sbin/slapadd", "-f", "slapd.conf", "-l", "ldif")
        return super().start()

    def command(self):
        if self.tls and not self.plain_port:
            self.plain_port = free_port()
        urls = f"ldaps://127.0.0.1:{self.port} ldap://127.0.0.1:{self.plain_port}" if self.tls else f"ldap://127.0.0.1:{self.port}"
        return ["/usr/sbin/slapd", "-h", urls, "-f", "slapd.conf", "-d", "0"]

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def sets(self, kind="authentication"):
        sets = {"backend": "ldap", "server": f"127.0.0.1:{self.port}", "username": "cn=admin,dc=example,dc=org", "password": "admin-secret",
                "base_dn": "ou=people,dc=example,dc=org", "filter": "(uid=${username})"}
        if kind == "authentication":
            sets["is_superuser_attribute"] = "l"
        else:
            sets["publish_attribute"] = "description"
        return sets


class Http:
    """An HTTP server whose users are ann and root, in this process. What it was asked is in .requests, as (path, parameters, headers)."""

    def __init__(self, tls=None, port=None):
        self.port = port or free_port()
        self.tls = tls
        self.requests, self.connections = [], set()
        self.reply, self.server = None, None  # reply: (status, content type, body) in place of the usual
        self.gate = threading.Event()
        self.gate.set()

    def start(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one(self):
                url = urlparse(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                json_body = "json" in (self.headers.get("content-type") or "")
                values = json.loads(body) if body and json_body else {k: v[0] for k, v in parse_qs(body.decode() if body else url.query, keep_blank_values=True).items()}
                outer.requests.append((url.path, values, dict(self.headers)))
                outer.connections.add(self.client_address)
                outer.gate.wait(30)
                if outer.reply:
                    return outer.reply
                user, password = values.get("username"), values.get("password")
                if user not in SHA256:
                    return 200, "application/json", '{"result": "ignore"}'
                if SHA256[user][1] != password:
                    return 200, "application/json", '{"result": "deny"}'
                return 200, "application/json", json.dumps({"result": "allow", "is_superuser": user == "root", "client_attrs": {"role": "tester"},
                                                            "acl": [{"permission": "allow", "action": "publish", "topic": "ann/${clientid}/#"},
                                                                    {"permission": "allow", "action": "all", "topic": "shared"}]})

            def do_GET(self):
                status, kind, text = self.handle_one()
                data = text.encode()
                try:
                    self.send_response(status)
                    if data:
                        self.send_header("content-type", kind)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass

            do_POST = do_GET

        class Quick(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            allow_reuse_address = True

            def shutdown_request(self, request):
                super().shutdown_request(request)

            def handle_error(self, *_):
                pass

        self.server = Quick(("127.0.0.1", self.port), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.path("server.pem"), self.tls.path("server.key"))
            context.load_verify_locations(self.tls.path("ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.sockets = []
        accept = self.server.get_request

        def remember():
            request, address = accept()
            self.sockets.append(request)
            return request, address
        self.server.get_request = remember
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        self.gate.set()
        if not self.server:
            return
        self.server.shutdown()
        self.server.server_close()
        for one in self.sockets:  # kept-alive connections end, too
            try:
                one.shutdown(2)
            except OSError:
                pass
        self.server = None

    def freeze(self):
        self.gate.clear()

    def thaw(self):
        self.gate.set()

    def sets(self, kind="authentication"):
        return {"backend": "http", "url": f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/auth"}

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


