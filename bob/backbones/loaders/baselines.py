"""Floors: what one gets without any learning. A backbone that does not clear them has learned nothing that the task needs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from bob.backbones.backbone import Loaded
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.errors import ConfigError, nearest
from bob.specs import BackboneSpec, Output

VERSION = "bob floors 1"
INPUT_PX = 224
PIXELS_SIDE = 16
"""Raw pixels: 16 × 16 × 3 = 768 values, the width of a ViT-B."""
FILTERS = 256
KERNEL_PX = 4
BIAS = -1.0
"""Random convolutional features: kernel and bias as in torchgeo's RCF, which follows Rolf et al. 2021 (MOSAIKS)."""


class ChannelStatistics(nn.Module):
    """Per-channel mean, standard deviation, minimum and maximum: (B, 3, H, W) → (B, 12), as torchgeo-bench's image statistics."""

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        flat = x.flatten(2)
        rows = torch.cat(
            [flat.mean(2), flat.std(2, correction=0), flat.amin(2), flat.amax(2)], dim=1
        )
        return dict.fromkeys(outputs, rows)


class RawPixels(nn.Module):
    """The image averaged over a 16 × 16 grid: (B, 3, H, W) → (B, 768)."""

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        return dict.fromkeys(outputs, F.adaptive_avg_pool2d(x, PIXELS_SIDE).flatten(1))


class RandomConvolution(nn.Module):
    """One layer of random filters, both signs rectified, averaged over the image: (B, 3, H, W) → (B, 512).

    Random convolutional features in their Gaussian form (Rolf et al. 2021, arXiv:2010.08168; torchgeo's RCF).
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        weight = torch.randn(
            FILTERS,
            3,
            KERNEL_PX,
            KERNEL_PX,
            generator=torch.Generator("cpu").manual_seed(seed),
            device="cpu",
        )
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.full((FILTERS,), BIAS, device="cpu"))

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        response = F.conv2d(x, self.weight, stride=KERNEL_PX)
        bias = self.bias.view(-1, 1, 1)
        rows = torch.cat(
            [F.relu(sign * response + bias).mean(dim=(2, 3)) for sign in (1.0, -1.0)], dim=1
        )
        return dict.fromkeys(outputs, rows)


FLOORS: dict[str, Callable[[int], nn.Module]] = {
    "channel_statistics": lambda _: ChannelStatistics(),
    "raw_pixels": lambda _: RawPixels(),
    "random_convolution": RandomConvolution,
}


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """A floor needs no file. It sees 224 px crops as a supervised ImageNet backbone does, normalised to mean 0.5 and standard deviation 0.5."""
    if spec.architecture not in FLOORS:
        raise ConfigError(
            f"backbone {spec.name!r}: unknown floor {spec.architecture!r}{nearest(spec.architecture, FLOORS)} Known: {', '.join(FLOORS)}."
        )
    seed = spec.weights.random if spec.weights and spec.weights.random is not None else 0
    own = spec.preprocessing
    size = own.input_px or INPUT_PX
    geometry = Geometry(
        size, size, own.crop_pct or 0.875, own.crop_mode or "center", own.interpolation or "bicubic"
    )
    return Loaded(
        FLOORS[spec.architecture](seed),
        geometry,
        Normalisation(own.mean or (0.5,) * 3, own.std or (0.5,) * 3),
        VERSION,
    )


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """All there is of a floor."""
    return load(spec, None, offline=offline)
