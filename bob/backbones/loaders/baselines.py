"""Baselines: features without any learning.

A backbone that is not better than these has learned nothing that the task needs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.loaders.preprocessing import geometry_and_normalisation, with_defaults
from bob.errors import ConfigError, nearest
from bob.specs import DEFAULT, GRID, BackboneSpec, Output

VERSION = "bob baselines 2"
PREPROCESSING = {
    "input_px": 224,
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}
"""The crop of supervised ImageNet backbones, normalised to [-1, 1]."""
PIXELS_SIDE = 16
"""Raw pixels: 16 × 16 × 3 = 768 values, the width of a ViT-B."""
FILTERS = 256
KERNEL_PX = 4
BIAS = -1.0
"""Random convolutional features: kernel and bias as in torchgeo's RCF, after Rolf et al. 2021."""


class Baseline(nn.Module):
    """A function from normalised pixels (B, 3, H, W) to rows (B, D), the output `default`.

    Some also have a map (B, 16, 16, D), the output `grid`.
    """

    name: str
    """The architecture in an entry."""
    outputs: tuple[Output, ...] = (DEFAULT,)

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, self.outputs, "a baseline")
        return {output: self.grid(x) if output.is_grid else self.rows(x) for output in outputs}

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class ChannelStatistics(Baseline):
    """Mean, standard deviation, minimum and maximum per channel: (B, 3, H, W) → (B, 12).

    The same as torchgeo-bench's image statistics.
    """

    name = "channel_statistics"

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.contiguous().flatten(2)
        mean = flat.mean(2)
        # torch's std takes twenty times as long; the second term is the rounding of the mean
        centred = flat - mean.unsqueeze(2)
        variance = centred.square().mean(2) - centred.mean(2).square()
        deviation = variance.clamp_(min=0).sqrt()
        return torch.cat([mean, deviation, flat.amin(2), flat.amax(2)], dim=1)


class RawPixels(Baseline):
    """The image averaged over a 16 × 16 grid: (B, 3, H, W) → (B, 768), or (B, 16, 16, 3)."""

    name = "raw_pixels"
    outputs = (DEFAULT, GRID)

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, PIXELS_SIDE).flatten(1)

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, PIXELS_SIDE).permute(0, 2, 3, 1)


class RandomConvolution(Baseline):
    """One layer of random filters, rectified in both signs and averaged: (B, 3, H, W) → (B, 512).

    The map holds averages over the cells of a 16 × 16 grid.

    Random convolutional features in their Gaussian form (Rolf et al. 2021, arXiv:2010.08168;
    torchgeo's RCF).
    """

    name = "random_convolution"
    outputs = (DEFAULT, GRID)

    def __init__(self, seed: int) -> None:
        super().__init__()
        shape = (FILTERS, 3, KERNEL_PX, KERNEL_PX)
        generator = torch.Generator("cpu").manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(shape, generator=generator, device="cpu"))
        self.bias = nn.Parameter(torch.full((FILTERS,), BIAS, device="cpu"))

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        halves = [half.mean(dim=(2, 3)) for half in self._rectified(x)]
        return torch.cat(halves, dim=1)

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        halves = [F.adaptive_avg_pool2d(half, PIXELS_SIDE) for half in self._rectified(x)]
        return torch.cat(halves, dim=1).permute(0, 2, 3, 1)

    def _rectified(self, x: torch.Tensor) -> list[torch.Tensor]:
        response = F.conv2d(x, self.weight, stride=KERNEL_PX)
        bias = self.bias.view(-1, 1, 1)
        return [(response + bias).relu_(), (bias - response).relu_()]


BASELINES: dict[str, Callable[[int], Baseline]] = {
    ChannelStatistics.name: lambda _: ChannelStatistics(),
    RawPixels.name: lambda _: RawPixels(),
    RandomConvolution.name: RandomConvolution,
}
"""Architecture → the baseline with a seed."""


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Build a baseline, which needs no file."""
    if spec.architecture not in BASELINES:
        raise ConfigError(
            f"backbone {spec.name!r}: unknown baseline {spec.architecture!r}"
            f"{nearest(spec.architecture, BASELINES)} Available: {', '.join(BASELINES)}."
        )
    seed = spec.weights.random if spec.weights and spec.weights.random is not None else 0
    geometry, normalisation = geometry_and_normalisation(
        with_defaults(spec.preprocessing, PREPROCESSING)
    )
    return Loaded(BASELINES[spec.architecture](seed), geometry, normalisation, VERSION)


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Build the baseline, which has no weights to leave out."""
    return load(spec, None, offline=offline)
