"""Backbones from training checkpoints: an architecture of timm or torchvision, and its file.

The layout of the file is stated in the entry, never guessed: `weights.state_dict` is the key of the
tensors, `strip` the prefix of the backbone's tensors, `drop` the prefixes of all others. Every
tensor of the file is then either used or dropped by name, and every tensor of the architecture is
filled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import bob.backbones.loaders.timm
import bob.backbones.loaders.torchvision
from bob.backbones.backbone import Loaded
from bob.backbones.weights.layouts import with_layout_advice
from bob.backbones.weights.positions import (
    Resampling,
    position_mismatches,
    require_requested,
)
from bob.backbones.weights.read import read_checkpoint
from bob.backbones.weights.tensors import (
    MAX_LISTED,
    State,
    load_strictly,
    match_in_order,
    mismatches,
    with_counters,
)
from bob.errors import BackboneError, ConfigError
from bob.specs import BackboneSpec, Weights

TORCHVISION = "torchvision:"
"""Prefix of torchvision's architectures; a name without it is one of timm's."""


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Build the architecture without its head and fill it from the file, tensor by tensor."""
    if file is None or spec.weights is None:
        raise ConfigError(
            f"backbone {spec.name!r}: loader checkpoint needs weights: "
            "give file, url, hub or package."
        )
    loaded = outline(spec, offline=offline)
    module: Any = loaded.module
    expected = module.model.state_dict()
    try:
        content = read_checkpoint(spec.name, file, spec.weights.state_dict)
        state = backbone_tensors(spec.name, content.tensors, spec.weights)
        if spec.weights.match == "order":
            state = match_in_order(spec.name, state, expected)
        positions = _other_size(state, expected)
        if not positions.tensors:
            load_strictly(spec.name, module.model, state, spec.architecture)
    except BackboneError as error:
        raise with_layout_advice(error, spec.name, file, expected) from error
    if positions.tensors:
        require_requested(spec, positions, loaded.geometry.height_px)
        module.model = bob.backbones.loaders.timm.fit(spec, with_counters(state, expected))
    return replace(loaded, forward=positions.facts(), notes=(*content.notes, *positions.notes()))


def _other_size(state: State, expected: State) -> Resampling:
    """Return the position embeddings for another input size, if all else fits."""
    fitting = with_counters(state, expected)
    positions = list(position_mismatches(fitting, expected))
    if len(positions) < len(mismatches(fitting, expected)):
        return Resampling()
    return Resampling(
        {name: (tuple(fitting[name].shape), tuple(expected[name].shape)) for name in positions}
    )


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build the architecture without head or weights, on torch's current default device."""
    if spec.architecture.startswith(TORCHVISION):
        architecture = spec.architecture.removeprefix(TORCHVISION)
        return bob.backbones.loaders.torchvision.outline(spec, architecture)
    return bob.backbones.loaders.timm.outline(spec, offline=offline)


def backbone_tensors(
    name: str, state: Mapping[str, torch.Tensor], weights: Weights
) -> dict[str, torch.Tensor]:
    """Return the backbone's tensors under the architecture's names.

    BackboneError where a tensor is neither used nor dropped, or where a prefix in `weights.drop`
    matches nothing.
    """
    for prefix in weights.drop:
        if not any(key.startswith(prefix) for key in state):
            raise BackboneError(
                f"backbone {name!r}: weights.drop {prefix!r} matches no tensor; "
                f"the file begins with {_first(state)}."
            )
    remaining = {key: tensor for key, tensor in state.items() if not key.startswith(weights.drop)}
    if unmatched := [key for key in remaining if not key.startswith(weights.strip)]:
        raise BackboneError(
            f"backbone {name!r}: {len(unmatched)} tensors do not begin with weights.strip "
            f"{weights.strip!r}: {_first(unmatched)}. "
            "Name those that are not the backbone's in weights.drop."
        )
    return {key.removeprefix(weights.strip): tensor for key, tensor in remaining.items()}


def _first(names: Iterable[str]) -> str:
    return ", ".join(islice(names, MAX_LISTED))
