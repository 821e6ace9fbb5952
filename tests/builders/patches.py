"""A backbone with feature maps, and statistics over them, that a direct computation can check.

The network's weights are whole numbers and so are its inputs, so every sum is exact in float32:
features do not depend on the batch in which an image is embedded, nor on the processor.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.datasets.content.images import decode
from bob.datasets.dataset import Split
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    add_arrays,
    register_accumulator,
)
from bob.features.key import FeatureKey
from bob.features.shard import Arrays
from bob.registry import load_registry
from bob.specs import DEFAULT, GRID, BackboneSpec, Output
from tests.builders.features import KEY

SPEC: BackboneSpec = load_registry().backbones["raw_pixels"].model_copy(update={"loader": "python"})
CLASSES, SIDE_PX = 3, 16
GRID_SHAPE = (6, 6, 5)
"""Rows, columns and features of a feature map: 16 px become 7 by a 3 x 3 kernel of stride 2, and 6
by a 2 x 2 kernel."""
MEAN_PATCH = Output(pool="mean_patch")


class PatchNetwork(nn.Module):
    """Two convolutions; outputs `grid`, `default` (the maximum) and `mean_patch`."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 5, 2)
        for layer in (self.first, self.second):
            for parameter in layer.parameters():
                weights = rng.integers(-2, 3, tuple(parameter.shape)).astype(np.float32)
                parameter.data = torch.from_numpy(weights)
        self.calls: list[list[Output]] = []
        """Outputs that each forward pass computed."""

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        """Return thirds of whole numbers, so that sums of them are rounded."""
        self.calls.append(list(outputs))
        levels = (x * 255).round()
        patches = self.second(self.first(levels).relu())
        features = {
            GRID: patches.permute(0, 2, 3, 1) / 3,
            DEFAULT: patches.amax((2, 3)) / 3,
            MEAN_PATCH: patches.sum((2, 3)) / 128,
        }
        return {output: features[output] for output in outputs}


def patch_backbone(name: str = "patches") -> Backbone:
    """Return the network as a backbone on the CPU."""
    geometry = Geometry(SIDE_PX, SIDE_PX, 1.0, "center", "bilinear")
    loaded = Loaded(PatchNetwork(), geometry, Normalisation((0.0,) * 3, (1.0,) * 3), "test")
    return Backbone(SPEC.model_copy(update={"name": name}), loaded, "cpu")


def random_split(count: int) -> Split:
    """Return a split of random images of changing sizes, with one label of three each."""

    def read(position: int) -> bytes:
        rng = np.random.default_rng(position)
        pixels = rng.integers(0, 256, (18 + position % 3, 18, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    ids = [f"{position}.png" for position in range(count)]
    return Split(ids, np.arange(count) % CLASSES, ids, read)


def features_key(output: Output, count: int, name: str = "patches") -> FeatureKey:
    """Return the key of an output of the network."""
    shape = GRID_SHAPE if output.is_grid else GRID_SHAPE[2:]
    return replace(KEY, weights_hash=name, output=str(output), shape=shape, count=count)


def direct_features(split: Split, positions: Sequence[int], output: Output) -> NDArray[np.float64]:
    """Return the features (n, *shape) of some images in one batch, without a pass."""
    backbone = patch_backbone()
    crops = torch.stack(
        [backbone.geometry.crop(decode(split.read(i), split.ids[i])) for i in positions]
    )
    return backbone.embed(crops, [output])[output].astype(np.float64)


@dataclass(frozen=True)
class PatchMoments:
    """Sums, products and class sums over patches: an accumulator.

    N images, P patches in all, D features, C classes.
    """

    y: NDArray[np.int64]

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return sums of nothing."""
        dim = shape[-1]
        return {
            "images": np.zeros((), np.int64),
            "position_sum": np.zeros((), np.int64),
            "sums": np.zeros(dim),
            "gram": np.zeros((dim, dim)),
            "class_sums": np.zeros((CLASSES, dim)),
            "class_patches": np.zeros(CLASSES, np.int64),
        }

    def update(
        self,
        statistics: dict[str, NDArray[Any]],
        positions: NDArray[np.int64],
        features: NDArray[np.float32],
    ) -> None:
        """Add images."""
        for name, values in moments(self.y, positions, features.astype(np.float64)).items():
            statistics[name] += values

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Add the sums of shards."""
        return add_arrays(parts)


def moments(
    y: NDArray[np.int64], positions: NDArray[np.int64], features: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the moments of the features (n, H, W, D) of the images at `positions` (n,)."""
    n, height, width, dim = features.shape
    patches = features.reshape(-1, dim)
    labels = np.repeat(y[positions], height * width)
    one_hot = np.eye(CLASSES)[labels]
    return {
        "images": n,
        "position_sum": int(positions.sum()),
        "sums": patches.sum(axis=0),
        "gram": patches.T @ patches,
        "class_sums": one_hot.T @ patches,
        "class_patches": np.bincount(labels, minlength=CLASSES),
    }


def make_moments(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> PatchMoments:
    """Make the accumulator for the labels of a split."""
    return PatchMoments(split.y)


MOMENTS = AccumulatorSpec("test_patch_moments", 1)
register_accumulator(MOMENTS.name, make_moments)
