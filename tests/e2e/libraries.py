"""Client libraries that are not in Debian, installed into build/e2e-cache once. Each function returns the command that runs its test program in
clients/; what follows is PORT VERSION PREFIX [hang]. The programs take TRANSPORT (tcp, ws, wss, unix), SOCKET (unix: the path) and CA_FILE (wss)
from the environment."""
import os
import shutil
import subprocess
import sys

from harness import CACHE, HERE, check

CLIENTS = os.path.join(HERE, "clients")


def quietly(*command, **options):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False, **options)
    check(run.returncode == 0, f"{' '.join(command)} ended with {run.returncode}: {run.stdout[-1500:]}")


def once(name, make):
    """make(directory) unless an earlier run has; half of it counts for nothing."""
    directory, done = os.path.join(CACHE, name), os.path.join(CACHE, name + ".done")
    if not os.path.exists(done):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        make(directory)
        with open(done, "w", encoding="ascii"):
            pass
    return directory


def paho_python(version):
    def make(directory):
        quietly(sys.executable, "-m", "venv", directory)
        quietly(f"{directory}/bin/pip", "install", "--quiet", "--disable-pip-version-check", f"paho-mqtt=={version}")
    return [f"{once(f'paho-mqtt-{version}', make)}/bin/python", f"{CLIENTS}/paho_test.py"]


def mqttjs():
    def make(directory):
        quietly("npm", "install", "--no-audit", "--no-fund", "--prefix", directory, "mqtt@5.10.4")
    os.environ["MQTTJS"] = once("mqttjs-5.10.4", make)
    return ["node", f"{CLIENTS}/mqttjs_test.mjs"]


def browser():
    def make(directory):
        quietly("npm", "install", "--no-audit", "--no-fund", "--prefix", directory, "mqtt@5.10.4", "puppeteer-core@23.11.1")
    os.environ["BROWSER_MODULES"] = once("browser-mqttjs-5.10.4-puppeteer-23.11.1", make)
    return ["node", f"{CLIENTS}/browser_test.mjs"]
