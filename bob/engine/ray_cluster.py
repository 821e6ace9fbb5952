"""Connection to a Ray cluster, and what one worker on it asks for."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bob.errors import ConfigError, first_line

LOCAL = "local"
"""Address that starts a cluster on this machine, which ends with the run."""
PRIVATE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_AUTH_MODE": "token",
}
"""Environment of a cluster that this process starts: it sends no usage statistics and refuses
connections without its token. The address is needed because Ray also reports that its statistics
are switched off."""
EMBED_SHARE = 0.75
"""Share of a node's processor cores for workers that embed, more than half, so that Ray does not
place a second one where scoring needs the rest."""
SCORE_CPUS = 4
"""Cores of a worker that scores: solvers gain little from more."""
REPORT_SECONDS = 20.0
"""Time after which a unit that no node can take is reported."""
PATIENCE_SECONDS = 200.0
"""Time after which an attempt at a unit that no node can take ends; three are ten minutes."""
GIB = 2**30


@dataclass(frozen=True)
class Slot:
    """What one worker asks a node for."""

    gpus: int
    cpus: float
    memory_bytes: int = 0
    share: float = 1.0
    """Share of a node's cores that such workers may take together."""

    @property
    def threads(self) -> int:
        """Return the number of threads that the worker uses."""
        return max(1, int(self.cpus))

    @property
    def resources(self) -> dict[str, float]:
        """Return what is asked for, by Ray's names of resources."""
        return {"GPU": self.gpus, "CPU": self.cpus, "memory": self.memory_bytes}

    def options(self) -> dict[str, Any]:
        """Return Ray's options for an actor or a task in this slot."""
        options: dict[str, Any] = {"num_gpus": self.gpus, "num_cpus": self.cpus}
        return options | ({"memory": self.memory_bytes} if self.memory_bytes else {})

    def places(self, node: Mapping[str, float]) -> int:
        """Return how many such workers a node with these resources can hold."""
        available = {**node, "CPU": self.share * node.get("CPU", 0.0)}
        return min(
            int(available.get(name, 0.0) / amount + 1e-6)
            for name, amount in self.resources.items()
            if amount
        )

    def text(self) -> str:
        """Return the request as a person reads it."""
        gpus = f"{self.gpus} GPU and " if self.gpus else ""
        memory = f" and {self.memory_bytes / GIB:.1f} GiB" if self.memory_bytes else ""
        return f"{gpus}{self.cpus:g} CPU{memory}"


class PlacementWatch:
    """Notices units that no node can take: Ray waits for a place without a word."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def problem(self, slot: Slot, nodes: Sequence[Mapping[str, float]]) -> str | None:
        """Return why no node can ever take a request; None where one can."""
        if any(slot.places(node) for node in nodes):
            return None
        return f"no node of the cluster can take a unit that needs {slot.text()}"

    def notice(self, problem: str, nodes: Sequence[Mapping[str, float]], waited: float) -> str:
        """Return what to report of a unit that has waited for some seconds; once per problem."""
        if waited <= REPORT_SECONDS or problem in self._reported:
            return ""
        self._reported.add(problem)
        here = [f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in nodes]
        return f"{problem} (nodes: {'; '.join(here) or 'none'}); waiting for one that can"

    def is_hopeless(self, waited: float) -> bool:
        """Whether a unit that no node can take has waited long enough."""
        return waited > PATIENCE_SECONDS


def slots(
    nodes: Sequence[Mapping[str, float]], device: str, workers: int | None
) -> tuple[Slot, Slot]:
    """Return what a worker that embeds and one that scores ask for, so that every node holds both.

    `nodes` are the resources of the nodes, `workers` are the decoding threads of a worker, None for
    a share of the smallest node's cores.
    """
    gpus = int(device.startswith("cuda"))
    sizes = [
        (node.get("CPU", 0.0), node.get("GPU", 0.0) if gpus else 1.0)
        for node in nodes
        if node.get("GPU" if gpus else "CPU", 0.0) > 0
    ]
    cores, count = min(sizes, key=lambda size: size[0] / size[1], default=(4.0, 1.0))
    share = EMBED_SHARE * cores / count
    embed = float(min(workers, share) if workers else math.floor(share) if share >= 2 else share)
    left = cores - EMBED_SHARE * cores
    score = min(float(SCORE_CPUS), math.floor(left)) if left >= 1 else left or 1.0
    return Slot(gpus, embed, share=EMBED_SHARE), Slot(0, score)


def cluster_device(nodes: Sequence[Mapping[str, float]], requested: str) -> str:
    """Return the device of each worker; `auto` is a GPU where a node has one.

    ConfigError for a device with a number: each worker has one device, which Ray chooses.
    """
    if requested == "auto":
        return "cuda" if any(node.get("GPU", 0) for node in nodes) else "cpu"
    if requested not in ("cpu", "cuda"):
        raise ConfigError(f"--device {requested!r} is of one machine; on a cluster, use cuda.")
    return requested


def node_resources(ray: ModuleType) -> list[dict[str, float]]:
    """Return the resources of each living node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def connect(engine: str) -> ModuleType:
    """Connect to the cluster of `--engine`: `ray` finds one that runs, `ray:local` starts one.

    ConfigError where Ray is not installed or no cluster is found.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if engine == f"ray:{LOCAL}":
        os.environ.update(PRIVATE)
        options |= {"address": LOCAL, "include_dashboard": False}
    else:
        options |= {"address": os.environ.get("RAY_ADDRESS", "auto")}
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            f"--engine {engine!r} needs Ray: pip install 'bob-bench[ray]', on every node."
        ) from error
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"--engine {engine!r}: no cluster at address {options['address']!r} "
            f"({first_line(error)}). Start one with `ray start`, name it in RAY_ADDRESS, or use "
            "ray:local."
        ) from error
    return ray  # type: ignore[no-any-return]
