"""Detection of a checkpoint's layout, to advise a user whose entry does not fit the file.

It only improves error messages: nothing is ever loaded by a detected layout.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bob.backbones.weights.read import read_file
from bob.backbones.weights.tensors import State, without_counters
from bob.errors import BackboneError

MAX_LAYOUTS = 3
"""Number of layouts that a message offers: a checkpoint may contain a student and a teacher."""
MAX_DROPPED = 8
"""Number of prefixes to drop that a message can still show."""


@dataclass(frozen=True)
class CheckpointLayout:
    """Where a file contains an architecture's tensors, in the terms of an entry's `weights`."""

    state_dict: str | None
    strip: str
    drop: tuple[str, ...]

    def to_yaml(self) -> str:
        """Return the layout as the YAML mapping to write into the entry."""
        items = [f"state_dict: {self.state_dict}"] if self.state_dict else []
        items += [f"strip: {self.strip}"] if self.strip else []
        items += [f"drop: [{', '.join(self.drop)}]"] if self.drop else []
        return f"{{{', '.join(items)}}}"


def fitting_layouts(content: Any, expected: State) -> list[CheckpointLayout]:
    """List the layouts by which a file fills every tensor of an architecture, in file order."""
    return [
        layout
        for key, state in _state_dicts(content)
        for layout in _layouts(key, without_counters(state), without_counters(expected))
    ]


def with_layout_advice(
    error: BackboneError, name: str, file: Path, expected: State
) -> BackboneError:
    """Return the error with the layouts that fit or, if none does, both sides' first names."""
    try:
        content = read_file(name, file)
    except BackboneError:
        return error
    if layouts := fitting_layouts(content, expected)[:MAX_LAYOUTS]:
        options = " or ".join(layout.to_yaml() for layout in layouts)
        return BackboneError(
            f"{error} It fits with loader checkpoint and, beside the file, weights: {options}."
        )
    state = next((state for _, state in _state_dicts(content)), None)
    if not state:
        return error
    return BackboneError(
        f"{error} The file's names begin {_first_names(state)}; "
        f"the architecture's {_first_names(expected)}."
    )


def _state_dicts(content: Any) -> Iterator[tuple[str | None, State]]:
    """Yield every mapping of names to tensors in a file's content, with its dotted key.

    A mapping is visited once, wherever else the file refers to it.
    """
    visited: set[int] = set()
    pending: list[tuple[str, Any]] = [("", content)]
    while pending:
        key, values = pending.pop()
        if not isinstance(values, Mapping) or id(values) in visited:
            continue
        visited.add(id(values))
        if values and all(isinstance(value, torch.Tensor) for value in values.values()):
            yield key or None, values
            continue
        inner = [(f"{key}.{name}".lstrip("."), value) for name, value in values.items()]
        pending += reversed(inner)


def _layouts(key: str | None, state: State, expected: State) -> Iterator[CheckpointLayout]:
    """Yield a layout for each network of the architecture in a state dict.

    Several are in one where a student and a teacher were saved as parts of one module.
    """
    for prefix in _prefixes(state, expected):
        used = {prefix + name for name in expected}
        if any(state[prefix + name].shape != tensor.shape for name, tensor in expected.items()):
            continue
        drop = prefixes_to_drop([name for name in state if name not in used], used)
        if drop is not None:
            yield CheckpointLayout(key, prefix, tuple(drop))


def _prefixes(state: State, expected: State) -> list[str]:
    """Return the prefixes that all of the architecture's names have in the file, in its order."""
    prefixes = Counter(
        name[:cut] for name in state for cut in _cuts(name) if name[cut:] in expected
    )
    return [prefix for prefix, count in prefixes.items() if count == len(expected)]


def _cuts(name: str) -> list[int]:
    """Return the positions where a name can be cut: its beginning, and after each dot."""
    return [0, *(i + 1 for i, character in enumerate(name) if character == ".")]


def prefixes_to_drop(unused: Sequence[str], used: set[str]) -> list[str] | None:
    """Return the shortest prefixes that cover all unused names and no used one.

    A prefix ends after a dot or is a full name. None if there are no such prefixes, or more than a
    message can show.
    """
    prefixes: dict[str, None] = {}
    for name in unused:
        candidates = [*(name[:cut] for cut in _cuts(name)[1:]), name]
        prefix = next(
            (part for part in candidates if not any(key.startswith(part) for key in used)), None
        )
        if prefix is None:
            return None
        prefixes[prefix] = None
    return list(prefixes) if len(prefixes) <= MAX_DROPPED else None


def _first_names(state: State) -> str:
    return ", ".join(list(state)[:2])
