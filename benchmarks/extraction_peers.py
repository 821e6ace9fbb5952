"""Peers on the same photographs and weights: the bare forward in eager PyTorch, a plain PyTorch
loop, and VisBench's feature cache.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.registry import load_registry
from bob.specs import BackboneSpec
from bob.specs.output import DEFAULT

SIDE_PX = (500, 400)
PLAIN_BATCH = 64
EAGER_BATCHES = (4, 16, 32)
TRIED = 32
"""Number of images on which a layout and batch size are tried."""


def photograph(seed: int) -> bytes:
    """Return a JPEG of about 60 KB with smooth and rough parts."""
    rng = np.random.default_rng(seed)
    blocks = Image.fromarray(rng.integers(0, 256, (25, 31, 3), dtype=np.uint8))
    smooth = np.asarray(blocks.resize(SIDE_PX, Image.Resampling.BICUBIC))
    noise = rng.integers(-12, 13, smooth.shape)
    pixels = np.clip(smooth.astype(int) + noise, 0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def spec_of(name: str) -> BackboneSpec:
    """Return a registered backbone, or one of timm's architectures with random weights.

    Speed does not depend on the weights.
    """
    random = {
        "name": name,
        "family": "baseline",
        "loader": "timm",
        "architecture": name,
        "weights": {"random": 0},
    }
    return load_registry().backbones.get(name) or BackboneSpec.model_validate(random)


def as_loaded(name: str) -> Backbone:
    """Return the backbone as its library loads it: contiguous, nothing folded."""
    backbone = load_backbone(spec_of(name), "cpu", "float32", offline=True)
    backbone.module = backbone.module.to(memory_format=torch.contiguous_format)
    return backbone


class Eager:
    """The forward of eager PyTorch alone, on normalised float32 images in memory.

    It runs in the layout and batch size in which it is fastest.
    """

    def __init__(
        self, name: str, crops: torch.Tensor, sizes: Sequence[int] = EAGER_BATCHES
    ) -> None:
        self.backbone = as_loaded(name)
        self.images = self.backbone.normalisation.apply(crops)
        layouts = (torch.contiguous_format, torch.channels_last)
        ways = [(layout, size) for layout in layouts for size in sizes]
        self.layout, self.size = min(ways, key=lambda way: self._trial(*way))
        self._set_layout(self.layout)

    def run(self, n: int) -> None:
        done = 0
        while done < n:
            done += self._forward(self.images[: n - done], self.size)

    def _trial(self, layout: torch.memory_format, size: int) -> float:
        """Return the seconds of a few images, after a first batch."""
        self._set_layout(layout)
        self._forward(self.images[:size], size)
        start = time.perf_counter()
        self._forward(self.images[:TRIED], size)
        return time.perf_counter() - start

    def _set_layout(self, layout: torch.memory_format) -> None:
        self.backbone.module.to(memory_format=layout)
        self.images = self.images.contiguous(memory_format=layout)

    @torch.inference_mode()
    def _forward(self, images: torch.Tensor, size: int) -> int:
        for batch in images.split(size):
            self.backbone.module(batch, [DEFAULT])
        return len(images)


def transform_of(backbone: Backbone) -> Any:
    """Return timm's transform, which normalises on the processor."""
    from timm.data import create_transform

    return create_transform(
        input_size=(3, backbone.geometry.height_px, backbone.geometry.width_px),
        interpolation=backbone.geometry.interpolation,
        crop_pct=backbone.geometry.crop_pct,
        mean=backbone.normalisation.mean,
        std=backbone.normalisation.std,
    )


class Files(torch.utils.data.Dataset):
    """A usual dataset of image files."""

    def __init__(
        self, files: Sequence[Path], transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[i]).convert("RGB"))


def plain(backbone: Backbone, files: Sequence[Path], workers: int) -> np.ndarray:
    """Embed files by PIL, timm's transform, a DataLoader in batches of 64, and eager PyTorch under
    no_grad: contiguous, nothing folded.
    """
    dataset = Files(files, transform_of(backbone))
    loader = torch.utils.data.DataLoader(dataset, batch_size=PLAIN_BATCH, num_workers=workers)
    with torch.no_grad():
        rows = [backbone.module(x, [DEFAULT])[DEFAULT].numpy() for x in loader]
    return np.concatenate(rows)


class Photographs:
    """Images as VisBench takes them.

    It recognises an image by `cache_identity`, and does not decode it again.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Image.Image:
        return Image.open(self.files[i]).convert("RGB")

    def cache_identity(self, i: int) -> str:
        return f"{self.files[i]} {self.files[i].stat().st_mtime_ns}"


def visbench(backbone: Backbone, files: Sequence[Path], folder: Path, *, warm: bool) -> np.ndarray:
    """Embed files by VisBench's feature cache around the same module and transform, in its own
    batches of 32.
    """
    from visbench import CustomBackbone
    from visbench.cache.feature_cache import FeatureCache

    def features(
        module: torch.nn.Module, x: torch.Tensor
    ) -> tuple[torch.Tensor, None, tuple[int, int]]:
        return module(x, [DEFAULT])[DEFAULT][:, None], None, (1, 1)

    if not warm:
        shutil.rmtree(folder, ignore_errors=True)
    custom = CustomBackbone(
        backbone.module,
        transform_of(backbone),
        feature_fn=features,
        weights_id="benchmark",
        device="cpu",
    )
    extracted = FeatureCache(folder).extract_dataset(custom, Photographs(files), keep="pooled")
    return extracted["pooled"].numpy()
