"""What computes a backbone's forward pass. Which one it is changes how long rows take, and no row by more than 1e-5 of the largest value."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bob.backbones.backbone import Backbone, Embedded
from bob.specs import Output

AGREES = 1e-5
"""The largest difference from eager PyTorch's rows that a runtime may show, relative to the largest value; measured on images of the pass."""


class Runtime(Protocol):
    """A backbone made ready to embed."""

    name: str
    backbone: Backbone
    batch_size: int

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """(n, 3, H, W) uint8 → (n, D) float32 per output; n is any number, the runtime cuts it into its batches."""


class Fused(nn.Module):
    """uint8 crops in, one tensor per output out: normalisation and forward as one graph, so that a compiler sees them together."""

    def __init__(self, backbone: Backbone, outputs: Sequence[Output]) -> None:
        super().__init__()
        self.module, self.normalisation, self.outputs = (
            backbone.module,
            backbone.normalisation,
            list(outputs),
        )

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pooled = self.module(self.normalisation.apply(crops), self.outputs)
        return tuple(pooled[output].float() for output in self.outputs)


def agrees(rows: Embedded, reference: Embedded) -> bool:
    """Whether rows are those of the reference, to rounding."""
    return all(_difference(rows[output], wanted) <= AGREES for output, wanted in reference.items())


def _difference(rows: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The largest difference relative to the largest value; infinite where shapes differ or a value is not finite."""
    if rows.shape != wanted.shape or not np.isfinite(rows).all():
        return float("inf")
    return float(np.abs(rows - wanted).max(initial=0) / max(np.abs(wanted).max(initial=0), 1e-30))


def batches(crops: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, int]]:
    """Batches of exactly `size` images, and how many of them are real: the last is filled up with black, for graphs of one fixed shape."""
    for start in range(0, len(crops), size):
        part = crops[start : start + size]
        blank = part.new_zeros((size - len(part), *part.shape[1:]))
        yield (torch.cat([part, blank]) if len(blank) else part), len(part)


def joined(
    parts: Sequence[Sequence[NDArray[np.float32]]],
    outputs: Sequence[Output],
    wanted: Sequence[Output],
) -> Embedded:
    """Outputs per batch, each one array per output, into rows of the outputs wanted."""
    return {
        output: np.concatenate([part[outputs.index(output)] for part in parts]) for output in wanted
    }
