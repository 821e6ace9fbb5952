"""Backbone entries, loaded backbones and random crops."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bob.backbones.backbone import Backbone
from bob.backbones.card import card, load_backbone
from bob.backbones.card_data import Card
from bob.specs import BackboneSpec, Output
from bob.specs.yaml import build

SMALL = "resnet10t"
"""An architecture of timm that is built and run in milliseconds."""
SQUARE = {"crop_pct": 1.0, "crop_mode": "center", "interpolation": "bilinear"}
"""A complete preprocessing, without size and normalisation."""


def entry(loader: str = "timm", architecture: str = SMALL, **fields: Any) -> BackboneSpec:
    """Return the entry of a backbone called `mine`."""
    values = {"name": "mine", "family": "ssl", "loader": loader, "architecture": architecture}
    return build(BackboneSpec, {**values, **fields}, "test")


def preprocessing(input_px: int, mean: float = 0.5, std: float = 0.5) -> dict[str, Any]:
    """Return a complete preprocessing for an entry."""
    return {"input_px": input_px, **SQUARE, "mean": [mean] * 3, "std": [std] * 3}


def load(spec: BackboneSpec) -> Backbone:
    """Load a backbone on the CPU, in float32 and without network access."""
    return load_backbone(spec, "cpu", "float32", offline=True)


def make_card(spec: BackboneSpec, cache: Path) -> Card:
    """Return the card of a backbone on the CPU."""
    return card(spec, cache, "cpu", "float32", offline=True)


def random_crops(n: int, size_px: int, seed: int = 0) -> torch.Tensor:
    """Return (n, 3, size, size) uint8 crops."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 3, size_px, size_px), dtype=torch.uint8, generator=generator)


def embed(backbone: Backbone, crops: torch.Tensor, text: str = "default") -> NDArray[np.float32]:
    """Return the features of one output, written as text."""
    output = Output.model_validate(text)
    return backbone.embed(crops, [output])[output]


def relative_difference(a: Any, b: Any) -> float:
    """Return the largest difference, relative to the largest value of `b`."""
    return float(np.abs(a - b).max() / np.abs(b).max())
