"""The engine of `bob-bench run`: this process, or a Ray cluster, imported only where it is used."""

import argparse
from collections.abc import Sequence
from types import ModuleType

from bob.commands.terminal import Terminal
from bob.engine.checking import check_backbones
from bob.engine.engine import Engine
from bob.engine.local import LocalEngine
from bob.plan import CardReport, Workspace
from bob.specs import BackboneSpec


def connect_engine(arguments: argparse.Namespace) -> ModuleType | None:
    """Connect to the Ray cluster that `--engine` names; None where this process computes."""
    if arguments.engine == "local":
        return None
    from bob.engine.ray_cluster import connect

    return connect(arguments.engine)


def make_engine(
    arguments: argparse.Namespace,
    workspace: Workspace,
    cluster: ModuleType | None,
    terminal: Terminal,
) -> Engine:
    """Return what carries out the units of a run, and on a cluster also checks backbones."""
    if cluster is None:
        return LocalEngine(workspace)
    from bob.engine.ray_engine import RayEngine  # imports Ray

    engine = RayEngine(cluster, workspace, arguments.workers)

    def check(specs: Sequence[BackboneSpec]) -> Sequence[CardReport]:
        return check_backbones(specs, workspace.settings, engine, terminal)

    workspace.card_source = check
    return engine


def device_of_cluster(arguments: argparse.Namespace, cluster: ModuleType) -> str:
    """Return the device of each worker of a cluster."""
    from bob.engine.ray_cluster import cluster_device, node_resources

    return cluster_device(node_resources(cluster), arguments.device)
