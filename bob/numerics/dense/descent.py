"""A linear head on patches, trained by AdamW on the cross-entropy of pixels, as papers train it.

Let z (D,) be the features of a patch, standardised over all train patches. The head is dropout of
channels, batch norm and a linear layer; its logits are upsampled bilinearly to the size of the
mask, and the loss is the mean cross-entropy of the pixels that count. At step s of S, W of which
warm up, the learning rate is the highest one times

    (1 - s / S) (1 - (1 - s / W) (1 - 1e-6))       where s < W,

and afterwards  1 - s / S  (`linear`, DINOv2: mmsegmentation's poly schedule of power 1) or
(1 + cos(pi (s + 1) / S)) / 2  (`cosine`, DINOv3: its `WarmupOneCycleLR` without first phase).

The head that is returned is one affine map of features: in evaluation, batch norm is affine.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.linear.class_sums import CONSTANT_BELOW, LinearHead

WARM_UP_FROM = 1e-6
INITIAL_SD = 0.01
CHUNK = 64
"""Images whose features are read at once for means and variances."""
Labels = NDArray[np.integer[Any]]
Decay = Literal["cosine", "linear"]
ReadMaps = Callable[[Ints], Floats]
"""Numbers of images (n,) → feature maps (n, h, w, D)."""


@dataclass(frozen=True)
class Recipe:
    """How a head is trained."""

    epochs: int
    batch: int
    """Images per step."""
    lr: float
    weight_decay: float
    dropout: float
    """Share of the channels of an image that are set to zero in a step."""
    warm_up: float
    """Share of the steps."""
    decay: Decay


@dataclass(frozen=True, eq=False)
class TrainImages:
    """N images by their numbers."""

    count: int
    maps: ReadMaps
    mask: Callable[[int], Labels]
    """Number → classes (H, W) of pixels, negative where they do not count."""


def rate(step: int, steps: int, warm_up: int, decay: Decay) -> float:
    """Return the learning rate at a step as a share of the highest one."""
    linear = 1 - step / steps
    if step < warm_up:
        return linear * (1 - (1 - step / warm_up) * (1 - WARM_UP_FROM))
    return linear if decay == "linear" else (1 + math.cos(math.pi * (step + 1) / steps)) / 2


def trained_head(
    images: TrainImages, classes: int, recipe: Recipe, seed: int, device: str
) -> LinearHead:
    """Return the head after all epochs; the same for the same seed, device and threads."""
    generator = torch.Generator().manual_seed(seed)
    mean, scale = standardisation(images.maps, images.count)
    head = _Head(len(mean), classes, recipe.dropout, generator).to(device)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * math.ceil(images.count / recipe.batch)
    warm_up = round(recipe.warm_up * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate(step, steps, warm_up, recipe.decay)
    )
    for _ in range(recipe.epochs):
        order = torch.randperm(images.count, generator=generator).numpy()
        for start in range(0, images.count, recipe.batch):
            numbers = order[start : start + recipe.batch]
            z = (images.maps(numbers) - mean) * scale
            logits = head(torch.from_numpy(z.astype(np.float32)).to(device), generator)
            loss = pixel_loss(logits, [images.mask(i) for i in numbers.tolist()])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return head.folded(mean, scale)


def standardisation(read: ReadMaps, count: int) -> tuple[Doubles, Doubles]:
    """Return mean and 1 / standard deviation (D,) over patches; 0 for a constant feature.

    `read` gives the maps of `count` images by their numbers.

    Batch norm alone would do the same, but for features of a size near its epsilon.
    """
    patches, sums, squares = 0, np.zeros(()), np.zeros(())
    for start in range(0, count, CHUNK):
        maps = read(np.arange(start, min(count, start + CHUNK)))
        x = maps.reshape(-1, maps.shape[-1]).astype(np.float64)
        patches += len(x)
        sums, squares = sums + x.sum(axis=0), squares + np.square(x).sum(axis=0)
    mean, square = sums / patches, squares / patches
    variance = square - mean**2
    varies = variance > CONSTANT_BELOW * square
    return mean, np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)


def pixel_loss(logits: torch.Tensor, masks: Sequence[Labels]) -> torch.Tensor:
    """Return the mean cross-entropy of the pixels that count of all images.

    Logits (n, C, h, w) are upsampled to the size of each image's mask.
    """
    losses, counted = [], 0
    for of_image, mask in zip(logits, masks, strict=True):
        target = torch.from_numpy(np.maximum(mask, -1).astype(np.int64))[None].to(logits.device)
        upsampled = F.interpolate(of_image[None], mask.shape, mode="bilinear")
        losses.append(F.cross_entropy(upsampled, target, ignore_index=-1, reduction="sum"))
        counted += int((mask >= 0).sum())
    return torch.stack(losses).sum() / max(1, counted)


class _Head(nn.Module):
    """Dropout of channels, batch norm, and a linear layer."""

    def __init__(
        self, width: int, classes: int, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, classes)
        nn.init.normal_(self.linear.weight, std=INITIAL_SD, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def forward(self, z: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the logits (n, C, h, w) of maps (n, h, w, D)."""
        if self.dropout:
            chosen = torch.rand(len(z), 1, 1, z.shape[3], generator=generator) >= self.dropout
            z = z * (chosen / (1 - self.dropout)).to(z.device)
        logits: torch.Tensor = self.linear(self.norm(z.flatten(0, 2)))
        return logits.reshape(*z.shape[:3], -1).permute(0, 3, 1, 2)

    def folded(self, mean: Doubles, scale: Doubles) -> LinearHead:
        """Return the head in evaluation, of features before their standardisation."""
        state = {name: of.double().cpu().numpy() for name, of in self.state_dict().items()}
        gain = state["norm.weight"] / np.sqrt(state["norm.running_var"] + self.norm.eps)
        weight, bias = state["linear.weight"], state["linear.bias"]
        bias = bias + weight @ (state["norm.bias"] - gain * state["norm.running_mean"])
        of_features = weight * gain * scale
        return LinearHead(of_features, bias - of_features @ mean)
