"""A Ray cluster of fake nodes on this machine, controlled line by line from another process.

`python ray_nodes.py` starts a first node, prints the address, and then obeys `add NAME CPUS` until
its standard input ends. Each answer is one line.

A worker of a node forks from a process that has imported PyTorch (`fresh_process`), instead of
importing it for three seconds of processor time, and takes the node's name for that of its host.
Leases of a node are thus those of another machine for the others.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from tests.builders.fresh_process import running_python

QUICK = {
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
}
"""Workers start when they are needed, and a node that ended is noticed within seconds."""
WORKER = """
import os, runpy, socket

name = os.environ["NODE_NAME"]
socket.gethostname = lambda: name
runpy.run_module("ray._private.workers.default_worker", run_name="__main__", alter_sys=True)
"""


def serve() -> None:
    """Start a first node, which nothing may kill, and obey."""
    from ray.cluster_utils import Cluster

    def node(name: str, cpus: str) -> dict[str, Any]:
        start = str(Path(__file__).with_name("ray_worker_start.py"))
        names = {"NODE_NAME": name}
        return {"num_cpus": int(cpus), "env_vars": names, "setup_worker_path": start}

    out, sys.stdout = sys.stdout, sys.stderr
    unneeded = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args={**node("first", "1"), **unneeded})
    print(cluster.address, file=out, flush=True)
    for line in sys.stdin:
        _, name, cpus = line.split()
        cluster.add_node(**node(name, cpus))
        print("done", file=out, flush=True)
    cluster.shutdown()


class FakeNodes(contextlib.ExitStack):
    """The other side of `serve`, and of `ray_worker_start`."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        socket = Path(self.enter_context(tempfile.TemporaryDirectory())) / "workers"
        self._listener = self.enter_context(Listener(str(socket)))
        thread = threading.Thread(target=self._fork_workers, daemon=True)
        thread.start()
        self.callback(thread.join)
        self.callback(lambda: Client(str(socket)).close())
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**environment, **QUICK, "WORKER_SOCKET": str(socket)},
        )
        self.callback(self._process.communicate, timeout=60)
        self.address = self._line()

    def add(self, name: str, cpus: int = 1) -> None:
        """Add a node."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"add {name} {cpus}\n")
        self._process.stdin.flush()
        assert self._line() == "done"

    def _fork_workers(self) -> None:
        """Fork workers as nodes ask for them, until somebody connects and asks for nothing."""
        with contextlib.ExitStack() as workers, contextlib.suppress(EOFError):
            while True:
                with self._listener.accept() as connection:
                    arguments, environment, folder = connection.recv()
                words = ["-c", WORKER, *arguments]
                workers.enter_context(running_python(words, environment, folder))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    serve()
