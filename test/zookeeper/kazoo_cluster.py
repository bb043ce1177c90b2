"""A plugin for pytest that gives kazoo's own tests the coordinator in the place of a ZooKeeper that they would start.

SLUICE_BIN names the program. With KAZOO_PEER=1 it is a real ZooKeeper after all, of test/peers/zookeeper.sh, to see
what that passes.
"""

import atexit
import json
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time

import kazoo.testing.harness as harness

SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="  # kazoo's tests log in as super:test
PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers", "zookeeper.sh")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server, which keeps its port and its data over stop and run."""

    def __init__(self, directory):
        self.dir = directory
        self.port = free_port()
        self.address = "127.0.0.1:%d" % self.port
        self.running = False

    def run(self):
        if not self.running:
            self.start()
            self.running = True

    def stop(self):
        if self.running:
            self.end()
            self.running = False


class Coordinator(Server):
    process = None

    def start(self):
        ready = os.path.join(self.dir, "ready")
        if os.path.exists(ready):
            os.remove(ready)
        settings = {
            "coordinator.dir": os.path.join(self.dir, "data"),
            "coordinator.listeners": self.address,
            "coordinator.admin.listener": "",
            "coordinator.super.digest": SUPER,
            "coordinator.max.client.cnxns": "0",
            "coordinator.4lw.commands.whitelist": "*",
        }
        command = [os.environ["SLUICE_BIN"], "coordinator", "--ready-file", ready]
        for key, value in settings.items():
            command += ["--set", "%s=%s" % (key, value)]
        with open(os.path.join(self.dir, "log"), "ab") as log:
            # the program takes SLUICE_BIN for a setting, and refuses it
            env = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        while not os.path.exists(ready):
            if self.process.poll() is not None:
                with open(os.path.join(self.dir, "log")) as log:
                    raise RuntimeError("the coordinator ended at its start: " + log.read()[-2000:])
            time.sleep(0.01)
        with open(ready) as f:
            json.load(f)

    def end(self):
        self.process.terminate()
        self.process.wait(30)


class Peer(Server):
    def script(self, *args):
        subprocess.run([PEERS, *args, "--data", self.dir], check=True, stdout=subprocess.DEVNULL)

    def start(self):
        self.script("start", "--port", str(self.port), "--set", "DigestAuthenticationProvider.superDigest=" + SUPER)

    def end(self):
        self.script("stop")


class Cluster(list):
    """What kazoo's harness wants a cluster to be: a list of servers."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="kazoo-")
        super().__init__([(Peer if os.environ.get("KAZOO_PEER") else Coordinator)(self.dir)])

    def start(self):
        for server in self:
            server.run()

    def stop(self):
        for server in self:
            server.stop()

    def terminate(self):
        logging.disable()  # clients that tests have left behind tell of the end
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


_cluster = None


def cluster():
    global _cluster
    if _cluster is None:
        _cluster = Cluster()
        atexit.register(_cluster.terminate)
    return _cluster


harness.get_global_cluster = cluster
