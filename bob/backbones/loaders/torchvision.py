"""torchvision's classifiers without their last linear layer, for checkpoints trained on them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.loaders.preprocessing import geometry_and_normalisation, with_defaults
from bob.errors import ConfigError, nearest
from bob.specs import DEFAULT, BackboneSpec, Output


class TorchvisionFeatures(nn.Module):
    """A classifier without its last linear layer: (B, 3, H, W) → the layer's input (B, D)."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, [DEFAULT], "a classifier of torchvision")
        return {DEFAULT: self.model(x)}


def outline(spec: BackboneSpec, architecture: str) -> Loaded:
    """Build the architecture without head or weights, on torch's current default device.

    Preprocessing defaults to that of torchvision's first weights of the architecture.
    """
    import torchvision

    architectures = torchvision.models.list_models(torchvision.models)
    if architecture not in architectures:
        raise ConfigError(
            f"backbone {spec.name!r}: torchvision {torchvision.__version__} has no classifier "
            f"{architecture!r}{nearest(architecture, architectures)}"
        )
    model = torchvision.models.get_model(architecture, weights=None, **dict(spec.options))
    _remove_head(spec, model)
    weights = next(iter(torchvision.models.get_model_weights(architecture)))
    geometry, normalisation = geometry_and_normalisation(
        with_defaults(spec.preprocessing, _defaults(weights.transforms()))
    )
    return Loaded(
        TorchvisionFeatures(model, spec.name),
        geometry,
        normalisation,
        f"torchvision {torchvision.__version__}",
    )


def _remove_head(spec: BackboneSpec, model: nn.Module) -> None:
    """Replace the last linear layer, which is the last of all layers in torchvision, by identity.

    Layers before it stay.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError(
            f"backbone {spec.name!r}: {spec.architecture!r} has no linear classifier to remove; "
            "use an architecture of timm."
        )
    parent, _, child = linear[-1].rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())


def _defaults(transforms: Any) -> dict[str, Any]:
    """Return the preprocessing of torchvision's transforms, in the terms of an entry."""
    (crop_px,), (resize_px,) = transforms.crop_size, transforms.resize_size
    return {
        "input_px": crop_px,
        "crop_pct": min(crop_px / resize_px, 1.0),
        "crop_mode": "center",
        "interpolation": transforms.interpolation.value,
        "mean": tuple(transforms.mean),
        "std": tuple(transforms.std),
    }
