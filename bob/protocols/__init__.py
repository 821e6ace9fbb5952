"""Protocols: ways to score frozen features. See `bob.protocols.protocol.Protocol`."""

import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from bob.datasets.dataset import Dataset
from bob.errors import ConfigError, NotApplicableError, nearest
from bob.metrics import register
from bob.protocols.needs import FeatureNeed, Inputs, Need, Needs, StatisticsNeed, TextNeed
from bob.protocols.protocol import Answers, Protocol, Result, ResultPart
from bob.specs import BackboneSpec, TaskSpec

ENTRY_POINTS = "bob.protocols"
"""Group of the entry points by which other packages announce protocols."""


@functools.cache
def load_protocols() -> Mapping[str, Protocol[Any, Any]]:
    """Return every protocol by its name, and register the metrics that protocols add.

    ConfigError where two protocols, or two metrics, have one name.
    """
    protocols: dict[str, Protocol[Any, Any]] = {}
    for protocol in (*_built_in(), *_installed()):
        if protocol.name in protocols:
            raise ConfigError(f"protocol {protocol.name!r} exists already: choose another name.")
        protocols[protocol.name] = protocol
        for metric in protocol.metrics:
            register(metric)
    return MappingProxyType(protocols)


def protocol_named(name: str) -> Protocol[Any, Any]:
    """Return a protocol by its name; ConfigError for an unknown name."""
    protocols = load_protocols()
    if name not in protocols:
        raise ConfigError(
            f"unknown protocol {name!r}{nearest(name, protocols)} Known: {', '.join(protocols)}."
        )
    return protocols[name]


def needs_of_task(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> Needs:
    """Return what a task needs of a dataset and a backbone.

    NotApplicableError, which begins with the task's name, where the task does not apply to them.
    """
    protocol = protocol_named(task.protocol)
    try:
        if dataset.kind not in protocol.kinds:
            raise NotApplicableError(
                f"takes datasets of kind {' or '.join(sorted(protocol.kinds))}; dataset "
                f"{dataset.name!r} is of kind {dataset.kind}."
            )
        needs = protocol.needs(task.settings, dataset, backbone)
        for need in needs:
            _refuse_grids(need)
        return needs
    except NotApplicableError as error:
        raise NotApplicableError(f"task {task.name!r}: {error}", subject=error.subject) from error


def _refuse_grids(need: Need) -> None:
    """Raise NotApplicableError where one row per image is read and the output is a feature map."""
    if isinstance(need, FeatureNeed) and need.backbone.output.is_grid and not need.accepts_grids:
        raise NotApplicableError(
            f"reads one row per image, and output {str(need.backbone.output)!r} is a feature map; "
            "choose one that is pooled, such as mean_patch.",
            subject="backbone",
        )


def _built_in() -> Iterator[Protocol[Any, Any]]:
    """Yield the protocols of this package's modules, which bind them to `PROTOCOL`."""
    for module in pkgutil.iter_modules(__path__):
        protocol = getattr(importlib.import_module(f"{__name__}.{module.name}"), "PROTOCOL", None)
        if protocol is not None:
            yield protocol


def _installed() -> Iterator[Protocol[Any, Any]]:
    """Yield the protocols that installed packages announce."""
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        protocol = entry_point.load()
        if not isinstance(protocol, Protocol):
            raise ConfigError(
                f"entry point {entry_point.name!r} of group {ENTRY_POINTS!r} must be a Protocol; "
                f"got {type(protocol).__name__}."
            )
        yield protocol


__all__ = [
    "Answers",
    "FeatureNeed",
    "Inputs",
    "Need",
    "Needs",
    "Protocol",
    "Result",
    "ResultPart",
    "StatisticsNeed",
    "TextNeed",
    "load_protocols",
    "needs_of_task",
    "protocol_named",
]
