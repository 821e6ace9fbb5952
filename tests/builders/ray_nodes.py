"""A Ray cluster of fake nodes on this machine, controlled line by line from another process.

`python ray_nodes.py` prints the address, and then obeys `add CPUS GPUS` and `kill NUMBER` (as a
machine whose power fails) until its standard input ends. Each answer is one line.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def serve() -> None:
    """Start a head without resources, and obey."""
    from ray.cluster_utils import Cluster

    out, sys.stdout = sys.stdout, sys.stderr
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = []
    print(cluster.address, file=out, flush=True)
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "add":
            cpus, gpus = map(int, numbers)
            nodes.append(cluster.add_node(num_cpus=cpus, num_gpus=gpus))
        else:
            cluster.remove_node(nodes[int(numbers[0])], allow_graceful=False)
        print("done", file=out, flush=True)
    cluster.shutdown()


class FakeNodes:
    """The other side of `serve`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.address = self._line()

    def add(self, cpus: int = 1, gpus: int = 0) -> None:
        """Add a node."""
        self._call(f"add {cpus} {gpus}")

    def kill(self, number: int) -> None:
        """Kill a node (counted from 0) and everything on it."""
        self._call(f"kill {number}")

    def __enter__(self) -> "FakeNodes":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def _call(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._line() == "done"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    serve()
