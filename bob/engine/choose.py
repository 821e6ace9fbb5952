"""The engine of a run: this process, or a Ray cluster, whose package is imported only on demand."""

import os
from collections.abc import Sequence
from types import ModuleType

import torch

from bob.engine.checking import check_backbones
from bob.engine.engine import Engine, EngineListener
from bob.engine.local import LocalEngine
from bob.errors import ConfigError
from bob.io.shared_storage import storage_notes, storage_problems
from bob.plan import CardReport, Machine, Places, Workspace
from bob.specs import BackboneSpec

LOCAL = "local"
"""Name of the engine that is this process."""
MOST_PROCESSES = 16
"""Processes that score on one machine: each holds PyTorch, 0.3 GiB, and its features."""


def connect_engine(name: str) -> ModuleType | None:
    """Connect to the Ray cluster that an engine's name stands for; None for this process."""
    if name == LOCAL:
        return None
    from bob.engine.ray_cluster import connect

    return connect(name)


def make_engine(
    cluster: ModuleType | None, workspace: Workspace, workers: int | None, listener: EngineListener
) -> Engine:
    """Return what carries out the units of a run, and on a cluster also checks backbones.

    `workers` are the decoding threads of each worker of a cluster. ConfigError where the folders
    cannot be shared.
    """
    if cluster is None:
        return LocalEngine(workspace, scoring_processes(workspace.machine))
    from bob.engine.ray_engine import RayEngine

    require_shareable(workspace.places, listener)
    engine = RayEngine(cluster, workspace, workers)

    def check(specs: Sequence[BackboneSpec]) -> Sequence[CardReport]:
        return check_backbones(specs, workspace.settings, engine, listener)

    workspace.card_source = check
    return engine


def require_shareable(places: Places, listener: EngineListener) -> None:
    """Raise ConfigError where several machines cannot share the folders of a run.

    What they merely lack is noted. A read-only folder is not tried: nothing is shared through it.
    """
    for folder in (places.cache, places.results):
        if folder.exists() and not os.access(folder, os.W_OK):
            continue
        if problems := storage_problems(folder):
            raise ConfigError("\n".join(problems))
        for note in storage_notes(folder):
            listener.notice(note)


def scoring_processes(machine: Machine) -> int:
    """Return how many processes score side by side: one per core, one in all on a GPU."""
    device = machine.scoring_device or machine.device
    return min(torch.get_num_threads(), MOST_PROCESSES) if device == "cpu" else 1


def device_of_cluster(cluster: ModuleType, requested: str) -> str:
    """Return the device of each worker of a cluster."""
    from bob.engine.ray_cluster import cluster_device, node_resources

    return cluster_device(node_resources(cluster), requested)
