"""Interface of runtimes, which compute a backbone's forward pass.

A runtime changes how long features take, and no value by more than 1e-5 of the largest.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bob.backbones.backbone import Backbone, Embedded
from bob.specs import Output

TOLERANCE = 1e-5
"""Largest difference from eager PyTorch's features that a runtime may show, relative to the largest
value; measured on images of the pass."""


class Runtime(Protocol):
    """A backbone that is ready to embed."""

    name: str
    backbone: Backbone
    batch_size: int

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """Embed crops (n, 3, H, W) uint8 of any number, in batches of the runtime's size.

        BackboneError where a value is not finite.
        """


class Fused(nn.Module):
    """Normalisation and forward pass as one graph, so that a compiler sees both."""

    def __init__(self, backbone: Backbone, outputs: Sequence[Output]) -> None:
        super().__init__()
        self.module, self.normalisation = backbone.module, backbone.normalisation
        self.outputs = list(outputs)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return a float32 tensor per output for crops (B, 3, H, W) uint8."""
        features = self.module(self.normalisation.apply(crops), self.outputs)
        return tuple(features[output].float() for output in self.outputs)


def agree(features: Embedded, reference: Embedded) -> bool:
    """Return whether features equal those of the reference up to TOLERANCE."""
    return largest_difference(features, reference) <= TOLERANCE


def largest_difference(features: Embedded, reference: Embedded) -> float:
    """Return the largest difference of any output, relative to its largest value.

    Infinite where shapes differ or a value is not finite.
    """
    return max(
        _relative_difference(features[output], expected) for output, expected in reference.items()
    )


def _relative_difference(features: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference relative to the largest expected value.

    Infinite where shapes differ or a value is not finite.
    """
    if features.shape != expected.shape or not np.isfinite(features).all():
        return float("inf")
    scale = max(np.abs(expected).max(initial=0), 1e-30)
    return float(np.abs(features - expected).max(initial=0) / scale)


def fixed_batches(crops: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield batches of exactly `size` images, and how many of them are real.

    The last batch is filled up with black images, for graphs of a fixed shape.
    """
    for start in range(0, len(crops), size):
        part = crops[start : start + size]
        blank = part.new_zeros((size - len(part), *part.shape[1:]))
        yield (torch.cat([part, blank]) if len(blank) else part), len(part)


def concatenate(
    batches: Sequence[Sequence[NDArray[np.float32]]],
    outputs: Sequence[Output],
    wanted: Sequence[Output],
) -> Embedded:
    """Concatenate batches, each with one array per output, into the features of some outputs."""
    return {
        output: np.concatenate([batch[outputs.index(output)] for batch in batches])
        for output in wanted
    }


def checked(backbone: Backbone, features: Embedded, count: int) -> Embedded:
    """Return the features of `count` images; BackboneError where they are wrong."""
    for output, values in features.items():
        backbone.check_features(output, values, count)
    return features
