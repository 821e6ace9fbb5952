"""Which layout a checkpoint has, told to a person whose entry does not fit it: never used to load anything."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bob.backbones.weights.tensors import State, read_file
from bob.errors import BackboneError

MOST_SHOWN = 3
"""Layouts that a message offers: a checkpoint may hold student and teacher."""
MOST_DROPPED = 8
"""Prefixes to drop that a message can still show."""


@dataclass(frozen=True)
class CheckpointLayout:
    """Where in a file the whole architecture is, as an entry's `weights` say it."""

    state_dict: str | None
    strip: str
    drop: tuple[str, ...]

    def in_words(self) -> str:
        told = [f"state_dict: {self.state_dict}"] if self.state_dict else []
        told += [f"strip: {self.strip}"] if self.strip else []
        told += [f"drop: [{', '.join(self.drop)}]"] if self.drop else []
        return f"{{{', '.join(told)}}}"


def fitting_layouts(values: Any, wanted: State) -> list[CheckpointLayout]:
    """The layouts under which what a file holds fills every tensor of an architecture, in the order of the file."""
    found = [_layout(place, state, wanted) for place, state in _states(values)]
    return [layout for layout in found if layout is not None]


def with_layout_advice(error: BackboneError, name: str, file: Path, wanted: State) -> BackboneError:
    """The error, and what to write into the entry instead; where nothing fits, how the two sides name their tensors."""
    try:
        values = read_file(name, file)
    except BackboneError:
        return error
    if layouts := [layout.in_words() for layout in fitting_layouts(values, wanted)][:MOST_SHOWN]:
        return BackboneError(
            f"{error} It fits with loader checkpoint and, beside the file, weights: {' or '.join(layouts)}."
        )
    state = next((state for _, state in _states(values)), None)
    return (
        BackboneError(
            f"{error} The file's names begin {_first(state)}; the architecture's {_first(wanted)}."
        )
        if state
        else error
    )


def _states(values: Any, place: str = "") -> Iterator[tuple[str | None, State]]:
    """Every mapping of names to tensors in what a file holds, and the key that leads there."""
    if not isinstance(values, Mapping):
        return
    if values and all(isinstance(value, torch.Tensor) for value in values.values()):
        yield place or None, values
    for key, inner in values.items():
        yield from _states(inner, f"{place}.{key}".lstrip("."))


def _layout(place: str | None, state: State, wanted: State) -> CheckpointLayout | None:
    prefix = _prefix(state, wanted)
    own = {prefix + name for name in wanted}
    if any(
        name not in state or state[name].shape != wanted[name.removeprefix(prefix)].shape
        for name in own
    ):
        return None
    drop = _droppable([name for name in state if name not in own], own)
    return None if drop is None else CheckpointLayout(place, prefix, tuple(drop))


def _prefix(state: State, wanted: State) -> str:
    """What stands before most of the architecture's names in the file."""
    names = set(wanted)
    before = Counter(name[:cut] for name in state for cut in _cuts(name) if name[cut:] in names)
    return max(before, key=lambda prefix: (before[prefix], -len(prefix)), default="")


def _cuts(name: str) -> list[int]:
    """Where a name can be cut: at its beginning and after each dot."""
    return [0, *(i + 1 for i, character in enumerate(name) if character == ".")]


def _droppable(strangers: Sequence[str], own: set[str]) -> list[str] | None:
    """The shortest beginnings, up to a dot or whole, of all strangers that none of the backbone's own tensors has; None where there are none such,
    or too many to show."""
    drop: dict[str | None, None] = {}
    for name in strangers:
        beginnings = [*(name[:cut] for cut in _cuts(name)[1:]), name]
        drop[
            next(
                (part for part in beginnings if not any(one.startswith(part) for one in own)), None
            )
        ] = None
    parts = [part for part in drop if part is not None]
    return parts if len(parts) == len(drop) <= MOST_DROPPED else None


def _first(state: State) -> str:
    return ", ".join(list(state)[:2])
