"""torchvision's classifiers without their last linear layer, for checkpoints that were trained on them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.errors import ConfigError, nearest
from bob.specs import DEFAULT, BackboneSpec, Output


class TorchvisionRows(nn.Module):
    """(B, 3, H, W) → what the classifier's last linear layer would read, (B, D)."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, [DEFAULT], "a classifier of torchvision")
        return {DEFAULT: self.model(x)}


def outline(spec: BackboneSpec, architecture: str) -> Loaded:
    """The architecture without its weights, on torch's current default device; preprocessing as for torchvision's first weights of it."""
    import torchvision

    known = torchvision.models.list_models(torchvision.models)
    if architecture not in known:
        near = nearest(architecture, known)
        raise ConfigError(
            f"backbone {spec.name!r}: torchvision {torchvision.__version__} has no classifier {architecture!r}{near}"
        )
    model = torchvision.models.get_model(architecture, weights=None, **dict(spec.options))
    _behead(spec, model)
    geometry, normalisation = _preprocessing(
        spec, next(iter(torchvision.models.get_model_weights(architecture))).transforms()
    )
    return Loaded(
        TorchvisionRows(model, spec.name),
        geometry,
        normalisation,
        f"torchvision {torchvision.__version__}",
    )


def _behead(spec: BackboneSpec, model: nn.Module) -> None:
    """Takes out the last linear layer, which in torchvision's classifiers is the last module of all; what comes before it stays."""
    last = next(
        (
            name
            for name, module in reversed(list(model.named_modules()))
            if isinstance(module, nn.Linear)
        ),
        None,
    )
    if last is None:
        raise ConfigError(
            f"backbone {spec.name!r}: {spec.architecture!r} has no linear classifier to take out; use an architecture of timm's."
        )
    parent, _, child = last.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())


def _preprocessing(spec: BackboneSpec, theirs: Any) -> tuple[Geometry, Normalisation]:
    own, (size,) = spec.preprocessing, theirs.crop_size
    size_px = own.input_px or size
    crop_pct = own.crop_pct or min(size / theirs.resize_size[0], 1.0)
    geometry = Geometry(
        size_px,
        size_px,
        crop_pct,
        own.crop_mode or "center",
        own.interpolation or theirs.interpolation.value,
    )
    return geometry, Normalisation(tuple(own.mean or theirs.mean), tuple(own.std or theirs.std))
