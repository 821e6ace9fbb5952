"""Selection of registry entries by names, globs and labels, as typed on the command line."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bob.errors import ConfigError, nearest
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec

Entry = TypeVar("Entry", BackboneSpec, TaskSpec, DatasetSpec)


@dataclass(frozen=True)
class Selected(Generic[Entry]):
    """A selected registry entry."""

    spec: Entry
    exact: bool
    """Whether its own name was typed, so that its absence is an error rather than a skip."""


def select(
    names: str, entries: Mapping[str, Entry], kind: str, labels: Callable[[Entry], Sequence[str]]
) -> list[Selected[Entry]]:
    """Return the entries that a comma-separated list selects, each once, in registry order.

    An item of the list is a name, a glob, a label (`family:clip`, `group:vtab`) or `all`.
    `kind` is the singular noun that error messages use. ConfigError if an item matches nothing.
    """
    items = [item.strip() for item in names.split(",") if item.strip()]
    if not items:
        raise ConfigError(
            f"no {kind} named: give names, globs, groups or 'all', separated by commas."
        )
    exact: dict[str, bool] = {}
    for item in items:
        for name in _matching_names(item, entries, kind, labels):
            exact[name] = exact.get(name, False) or name == item
    return [Selected(entries[name], exact[name]) for name in entries if name in exact]


def backbone_labels(spec: BackboneSpec) -> list[str]:
    """Return the labels that select a backbone: its family and groups."""
    return [f"family:{spec.family}", *(f"group:{group}" for group in spec.groups)]


def dataset_labels(spec: DatasetSpec) -> list[str]:
    """Return the labels that select a dataset: its groups."""
    return [f"group:{group}" for group in spec.groups]


def task_labels(spec: TaskSpec) -> list[str]:
    """Return the labels that select a task: its protocol and groups."""
    return [f"protocol:{spec.protocol}", *(f"group:{group}" for group in spec.groups)]


def _matching_names(
    item: str, entries: Mapping[str, Entry], kind: str, labels: Callable[[Entry], Sequence[str]]
) -> list[str]:
    if item == "all":
        return list(entries)
    if item in entries:
        return [item]
    if ":" in item:
        if names := [name for name, spec in entries.items() if item in labels(spec)]:
            return names
        available = sorted({label for spec in entries.values() for label in labels(spec)})
        raise ConfigError(
            f"no {kind} in {item!r}{nearest(item, available)} "
            f"Available: {', '.join(available) or 'none'}."
        )
    list_command = f"Run `bob-bench list {kind}s` to see all {len(entries)}."
    if any(character in item for character in "*?["):
        if names := fnmatch.filter(entries, item):
            return names
        raise ConfigError(f"no {kind} matches {item!r}. {list_command}")
    alias_of = next((name for name, spec in entries.items() if item in _aliases(spec)), None)
    hint = f"; it is registered as {alias_of!r}." if alias_of else nearest(item, entries)
    raise ConfigError(f"unknown {kind} {item!r}{hint} {list_command}")


def _aliases(spec: BackboneSpec | TaskSpec | DatasetSpec) -> tuple[str | None, ...]:
    """Return a backbone's names elsewhere: its architecture and the hub repository of its weights.

    They appear in error messages only and select nothing.
    """
    if not isinstance(spec, BackboneSpec):
        return ()
    return spec.architecture, spec.weights.hub if spec.weights else None
