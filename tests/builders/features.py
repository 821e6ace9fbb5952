"""A key of stored features, and shards that belong to it."""

import numpy as np

from bob.features.key import FeatureKey
from bob.features.shard import Effort, Shard

KEY = FeatureKey(
    weights_hash="w",
    forward={"loader": "timm", "architecture": "resnet18", "library": "timm 1"},
    geometry={"input_px": 224},
    normalisation={"mean": [0.5]},
    output="default",
    shape=(3,),
    precision="float32",
    images="f",
    count=6,
    split="train",
)
"""Features of six images, of which `shard()` holds five and names the last as unreadable."""


def shard(n: int = 5, width: int = 3, seed: int = 0) -> Shard:
    """Return n random rows; the image after them could not be read."""
    rows = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return Shard.of_rows(
        rows, np.arange(n), {str(n): "image 'x' is empty"}, Effort(n, 0.5, 0.25, "cpu", 16)
    )
