"""Backbones from training checkpoints: an architecture of timm's or torchvision's, and a file in whatever layout it was published.

The layout is told, never guessed: `weights.state_dict` is where the tensors lie, `strip` the prefix of the backbone's own, `drop` the prefixes of
what is not the backbone's. Every tensor of the file is then either used or dropped by name, and every tensor of the architecture is filled.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

import bob.backbones.loaders.timm
import bob.backbones.loaders.torchvision
from bob.backbones.backbone import Loaded
from bob.backbones.weights.layouts import with_layout_advice
from bob.backbones.weights.tensors import MAX_LISTED, load_strictly, match_in_order, read_tensors
from bob.errors import BackboneError, ConfigError
from bob.specs import BackboneSpec, Weights

TORCHVISION = "torchvision:"
"""Prefix of torchvision's architectures; a name without it is timm's."""


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """The architecture without its head, filled from the file, tensor by tensor."""
    if file is None or spec.weights is None:
        raise ConfigError(
            f"backbone {spec.name!r}: loader checkpoint needs weights: give file, url, hub or package."
        )
    loaded = outline(spec, offline=offline)
    body = loaded.module.get_submodule("model")
    try:
        state = own_tensors(
            spec.name, read_tensors(spec.name, file, spec.weights.state_dict), spec.weights
        )
        if spec.weights.match == "order":
            state = match_in_order(spec.name, state, body.state_dict())
        load_strictly(spec.name, body, state, spec.architecture)
    except BackboneError as error:
        raise with_layout_advice(error, spec.name, file, body.state_dict()) from error
    return loaded


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """The architecture without its head and without its weights, on torch's current default device."""
    if spec.architecture.startswith(TORCHVISION):
        return bob.backbones.loaders.torchvision.outline(
            spec, spec.architecture.removeprefix(TORCHVISION)
        )
    return bob.backbones.loaders.timm.outline(spec, offline=offline)


def own_tensors(
    name: str, state: Mapping[str, torch.Tensor], weights: Weights
) -> dict[str, torch.Tensor]:
    """The backbone's tensors under the architecture's names; a tensor that is neither taken nor dropped is an error, and so is an idle `drop`."""
    if idle := [
        prefix for prefix in weights.drop if not any(key.startswith(prefix) for key in state)
    ]:
        raise BackboneError(
            f"backbone {name!r}: weights.drop {idle[0]!r} is the beginning of no tensor's name; the file begins with {_first(state)}."
        )
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(weights.drop)}
    if strangers := [key for key in kept if not key.startswith(weights.strip)]:
        raise BackboneError(
            f"backbone {name!r}: {len(strangers)} tensors do not begin with weights.strip {weights.strip!r}: {_first(strangers)}. "
            "Name those that are not the backbone's in weights.drop."
        )
    return {key.removeprefix(weights.strip): tensor for key, tensor in kept.items()}


def _first(names: "Mapping[str, torch.Tensor] | list[str]") -> str:
    return ", ".join(list(names)[:MAX_LISTED])
