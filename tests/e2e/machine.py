"""A throw-away copy of this machine to install the Debian packages in: an overlay that only this process (and those it starts) sees, with a network of its own.
Nothing is installed here. Needs root. RINGMQ: in the build/release the packages are made of."""
import contextlib
import ctypes
import fcntl
import glob
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

from harness import RINGMQ, ROOT, check, equal, wait_for

PACKAGES = os.path.join(ROOT, "build", "packages")
UNIT = "/usr/lib/systemd/system/ringmq.service"
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


def run(*command, status=0, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False, **options)
    equal(done.returncode, status, f"status of {' '.join(command)[:200]}, which said {done.stdout[-1500:]}")
    return done.stdout


@contextlib.contextmanager
def packages_kept(make):
    """make(fresh) puts the packages there (fresh: they are, of the programs that are there now); inside of the `with` nobody else changes them."""
    with open(PACKAGES + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = glob.glob(f"{PACKAGES}/ringmq_*.deb")
        make(bool(found) and os.path.getmtime(found[0]) > os.path.getmtime(RINGMQ) and os.path.getmtime(found[0]) > os.path.getmtime(os.path.join(os.path.dirname(RINGMQ), "ringmqd")))
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def package(name):
    found = glob.glob(f"{PACKAGES}/{name}_*.deb")
    equal(len(found), 1, f"packages called {name}: {found}")
    return found[0]


# ---- the copy of the machine ------------------------------------------------------------------------------------------------

def loopback_up():
    with socket.socket() as any_socket:
        request = bytearray(struct.pack("16sH22x", b"lo", 1))  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, bytes(request))  # SIOCSIFFLAGS


def enter_copy(kept=()):
    """From here on / is an overlay: what is written goes to the upper folder of what is returned, and vanishes with this process; what is written to the
    folders `kept` stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        raise SystemExit(f"a copy of the machine needs root and namespaces: {os.strerror(ctypes.get_errno())}\n0 passed, 1 failed")
    run("mount", "--make-rprivate", "/")
    base = tempfile.mkdtemp(prefix="ringmq-package-")
    run("mount", "-t", "tmpfs", "ringmq-package", base)
    for name in ("upper", "work", "root"):
        os.mkdir(f"{base}/{name}")
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={base}/upper,workdir={base}/work", f"{base}/root")
    for name in ("proc", "dev", "sys"):
        run("mount", "--rbind", f"/{name}", f"{base}/root/{name}")
    os.makedirs(f"{base}/root{base}/upper")
    run("mount", "--bind", f"{base}/upper", f"{base}/root{base}/upper")  # to look at what was written
    run("mount", "-t", "tmpfs", "run", f"{base}/root/run")  # no systemd there, whatever runs outside
    if not os.path.exists(f"{base}/root{PACKAGES}"):  # the sources lie on a file system of their own
        os.makedirs(f"{base}/root{ROOT}", exist_ok=True)
        run("mount", "--bind", ROOT, f"{base}/root{ROOT}")
    for folder in kept:
        os.makedirs(folder, exist_ok=True)
        run("mount", "--bind", folder, f"{base}/root{folder}")
    os.chroot(f"{base}/root")
    os.chdir("/")
    loopback_up()
    return base


# ---- the service as systemd would start it ----------------------------------------------------------------------------------

def unit_values(key):
    values = []
    with open(UNIT, encoding="utf-8") as file:
        for line in file:
            if line.startswith(f"{key}="):
                values.append(line.split("=", 1)[1].strip())
    check(values, f"the unit has no {key}=")
    return values


class Service:
    """ExecStart= as User= in the state directory, with a socket where systemd would listen for notifications."""

    def __init__(self, *before):
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = tempfile.mktemp(prefix="notify-", dir="/run")
        self.notifications.bind(self.path)
        os.chmod(self.path, 0o666)
        self.told = []  # and not asked for yet
        threading.Thread(target=self._take, daemon=True).start()  # systemd reads them all the time, too
        user, group = unit_values("User")[0], unit_values("Group")[0]
        os.makedirs("/run/ringmq", exist_ok=True)
        shutil.chown("/run/ringmq", user, group)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*before, "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
             *shlex.split(unit_values("ExecStart")[0])],
            cwd="/var/lib/ringmq", stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, umask=0o077,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "600000"})
        try:
            self.expect("READY=1")
        except BaseException:
            self.process.kill()
            raise

    def _take(self):
        while True:
            self.told.append(self.notifications.recv(4096).decode())

    def said(self):
        """The service writes where this file's offset stands: it is not to be moved."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode("utf-8", "replace")

    def expect(self, wanted):
        def told():
            check(self.process.poll() is None or "STOPPING" in wanted, f"it ended with {self.process.returncode}: {self.said()[-1500:]}")
            return bool(self.told) and wanted in self.told.pop(0)
        wait_for(told, lambda: f"systemd is told {wanted}: {self.said()[-1500:]}")

    @property
    def main_pid(self):
        """Behind strace it is the child."""
        children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii").read().split()
        return int(children[0]) if children else self.process.pid

    def reload(self, status=0):
        for command in unit_values("ExecReload"):
            done = subprocess.run(shlex.split(command.replace("$MAINPID", str(self.main_pid))), capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                break
        equal(done.returncode, status, f"systemctl reload ({done.stderr})")

    def stop(self):
        os.kill(self.main_pid, signal.SIGTERM)
        self.expect("STOPPING=1")
        equal(self.process.wait(60), 0, f"exit status; it said {self.said()[-1500:]}")
        os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            if kind is None:
                return self.stop()
            self.process.kill()
            self.process.wait()
        return None
