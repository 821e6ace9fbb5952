"""Features."""

import numpy as np

from bob.features.key import FeatureKey
from bob.features.store import Effort, Shard

KEY = FeatureKey(
    weights_hash="w",
    forward={"loader": "timm", "architecture": "resnet18", "library": "timm 1"},
    geometry={"input_px": 224},
    normalisation={"mean": [0.5]},
    pooling="default",
    precision="float32",
    images="f",
    split="train",
)


def shard(n: int = 5, width: int = 3, seed: int = 0) -> Shard:
    rows = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return Shard(
        rows, np.arange(n), {str(n): "image 'x' is empty"}, Effort(n, 0.5, 0.25, "cpu", 16)
    )
