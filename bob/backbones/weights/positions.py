"""Position embeddings that were resampled to another input size, and patch embeddings.

A transformer learns one vector per patch. At another input size there are more patches or fewer,
and libraries interpolate the vectors, which changes every feature. That is done where an entry
asks for a size in pixels, and recorded; otherwise the weights are refused.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from bob.backbones.weights.tensors import State
from bob.errors import BackboneError
from bob.specs import BackboneSpec

_POSITIONS = re.compile(r"pos_?emb|position|rel(ative)?_pos|pos_bias|attention_bias")
_PATCHES = re.compile(r"patch_?emb")
MAX_PREFIX = 16
"""Largest number of class and register tokens that a position embedding may begin with."""
Shapes = tuple[tuple[int, ...], tuple[int, ...]]
"""Of a tensor in the file, and as it is used."""


@dataclass(frozen=True)
class Resampling:
    """The tensors of positions whose values were interpolated."""

    tensors: Mapping[str, Shapes] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what the forward pass depends on: part of every key."""
        if not self.tensors:
            return {}
        shapes = {name: [list(a), list(b)] for name, (a, b) in sorted(self.tensors.items())}
        return {"resampled": shapes}

    def notes(self) -> tuple[str, ...]:
        """Return a note for records, in patches where the shapes show how many there are."""
        if not self.tensors:
            return ()
        name, shapes = next(iter(self.tensors.items()))
        before, after = (_text(name, shape) for shape in shapes)
        more = f" and {len(self.tensors) - 1} more" if len(self.tensors) > 1 else ""
        return (f"position embedding {name}{more} resampled from {before} to {after}",)


def resampling(state: State, fitted: State) -> Resampling:
    """Compare the tensors of a file with those of the model that a library made of them.

    A library may rename tensors, or take a part of one. A tensor was resampled if its values are
    not among those of the file's tensors of positions (or patches).
    """
    changed = {}
    for words in (_POSITIONS, _PATCHES):
        sources = {name: tensor for name, tensor in state.items() if words.search(name)}
        for name, tensor in fitted.items():
            if words.search(name) and (source := _source(name, tensor, sources)) is not None:
                changed[name] = (tuple(source.shape), tuple(tensor.shape))
    return Resampling(changed)


def require_requested(spec: BackboneSpec, found: Resampling, input_px: int) -> None:
    """Raise BackboneError where tensors were resampled without the entry asking for a size.

    Nor can an entry ask for patches of another size: those are of another architecture.
    """
    if patches := [name for name in found.tensors if _PATCHES.search(name)]:
        shapes = found.tensors[patches[0]]
        raise BackboneError(
            f"backbone {spec.name!r}: {patches[0]} is {shapes[0]} in the file and {shapes[1]} in "
            f"architecture {spec.architecture!r}: the weights are for patches of another size."
        )
    if not found.tensors or spec.preprocessing.input_px:
        return
    name, shapes = next(iter(found.tensors.items()))
    theirs, ours = (_patches(name, shape) for shape in shapes)
    size = f" {round(input_px * theirs / ours)}" if theirs and ours else ""
    before, after = (_text(name, shape) for shape in shapes)
    raise BackboneError(
        f"backbone {spec.name!r}: the weights are for another input size than {input_px} px "
        f"({name} is {before} in the file, {after} in architecture {spec.architecture!r}). "
        f"Write preprocessing.input_px: the weights' own size{size}, or {input_px} to resample "
        "their position embedding to it."
    )


def position_mismatches(state: State, expected: State) -> Iterator[str]:
    """Yield the names of tensors of positions that fit an architecture but for their shapes."""
    for name, tensor in expected.items():
        if name in state and state[name].shape != tensor.shape and _POSITIONS.search(name):
            yield name


def _source(name: str, tensor: torch.Tensor, sources: State) -> torch.Tensor | None:
    """Return the tensor of the file that a tensor was resampled from; None if it was not."""
    same = sources.get(name)
    if same is not None and same.shape == tensor.shape:
        return None
    candidates = [same] if same is not None else list(sources.values())
    values = tensor.detach().float().flatten()
    if not candidates or any(
        torch.isin(values, candidate.float().flatten()).all() for candidate in candidates
    ):
        return None
    return candidates[0]


def _patches(name: str, shape: tuple[int, ...]) -> int:
    """Return how many patches an embedding has along each side; 0 where that cannot be seen."""
    if "rel" in name or "bias" in name:
        return 0  # one row per distance between patches
    if len(shape) == 4:  # (1, H, W, D), or (1, D, H, W)
        return next((a for a, b in ((shape[1], shape[2]), (shape[2], shape[3])) if a == b), 0)
    tokens = shape[-2] if len(shape) >= 2 else 0
    for prefix in range(min(tokens, MAX_PREFIX)):
        if math.isqrt(tokens - prefix) ** 2 == tokens - prefix:
            return math.isqrt(tokens - prefix)
    return 0


def _text(name: str, shape: tuple[int, ...]) -> str:
    side = _patches(name, shape)
    return f"{side} x {side} patches" if side else str(shape)
