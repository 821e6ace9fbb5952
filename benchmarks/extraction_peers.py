"""What others do with the same photographs and weights: the bare forward in eager PyTorch, a plain PyTorch loop, VisBench's feature cache."""

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

SIDE_PX = (500, 400)
PLAIN_BATCH = 64
EAGER_BATCHES = (4, 16, 32)
TRIED = 32
"""Images that a layout and batch size are tried on."""


def photograph(seed: int) -> bytes:
    """A JPEG of about 60 KB with smooth and rough parts."""
    rng = np.random.default_rng(seed)
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (25, 31, 3), dtype=np.uint8)).resize(
            SIDE_PX, Image.Resampling.BICUBIC
        )
    )
    pixels = np.clip(smooth.astype(int) + rng.integers(-12, 13, smooth.shape), 0, 255).astype(
        np.uint8
    )
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def spec_of(name: str) -> BackboneSpec:
    """A registered backbone, or any architecture of timm's with weights from a seed: speed does not depend on them."""
    own = {
        "name": name,
        "family": "baseline",
        "loader": "timm",
        "architecture": name,
        "weights": {"random": 0},
    }
    return load_registry().backbones.get(name) or BackboneSpec.model_validate(own)


def as_written(name: str) -> Backbone:
    """The backbone as its library gives it: contiguous, nothing folded."""
    backbone = load_backbone(spec_of(name), "cpu", "float32", offline=True)
    backbone.module = backbone.module.to(memory_format=torch.contiguous_format)
    return backbone


class Eager:
    """The forward of eager PyTorch alone, on normalised float32 images that lie in memory, in the layout and batch size that suit it best."""

    def __init__(
        self, name: str, crops: torch.Tensor, sizes: Sequence[int] = EAGER_BATCHES
    ) -> None:
        self.backbone = as_written(name)
        self.images = self.backbone.normalisation.apply(crops)
        ways = [
            (layout, size)
            for layout in (torch.contiguous_format, torch.channels_last)
            for size in sizes
        ]
        self.layout, self.size = min(ways, key=lambda way: self._trial(*way))
        self._lay(self.layout)

    def run(self, n: int) -> None:
        done = 0
        while done < n:
            done += self._forward(self.images[: n - done], self.size)

    def _trial(self, layout: torch.memory_format, size: int) -> float:
        """Seconds for a few images, after a first batch."""
        self._lay(layout)
        self._forward(self.images[:size], size)
        start = time.perf_counter()
        self._forward(self.images[:TRIED], size)
        return time.perf_counter() - start

    def _lay(self, layout: torch.memory_format) -> None:
        self.backbone.module.to(memory_format=layout)
        self.images = self.images.contiguous(memory_format=layout)

    @torch.inference_mode()
    def _forward(self, images: torch.Tensor, size: int) -> int:
        for batch in images.split(size):
            self.backbone.module(batch, ["default"])
        return len(images)


def transform_of(backbone: Backbone) -> Any:
    """timm's, normalising on the processor."""
    from timm.data import create_transform

    return create_transform(
        input_size=(3, backbone.geometry.height_px, backbone.geometry.width_px),
        interpolation=backbone.geometry.interpolation,
        crop_pct=backbone.geometry.crop_pct,
        mean=backbone.normalisation.mean,
        std=backbone.normalisation.std,
    )


class Files(torch.utils.data.Dataset):
    """As people write it."""

    def __init__(
        self, files: Sequence[Path], transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[i]).convert("RGB"))


def plain(backbone: Backbone, files: Sequence[Path], workers: int) -> np.ndarray:
    """PIL, timm's transform, DataLoader, batches of 64, eager PyTorch under no_grad: contiguous, nothing folded."""
    rows = []
    with torch.no_grad():
        for x in torch.utils.data.DataLoader(
            Files(files, transform_of(backbone)), batch_size=PLAIN_BATCH, num_workers=workers
        ):
            rows.append(backbone.module(x, ["default"])["default"].numpy())
    return np.concatenate(rows)


class Photographs:
    """The images as VisBench asks for them: it knows an image that it has seen by `cache_identity`, and does not decode it again."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Image.Image:
        return Image.open(self.files[i]).convert("RGB")

    def cache_identity(self, i: int) -> str:
        return f"{self.files[i]} {self.files[i].stat().st_mtime_ns}"


def visbench(backbone: Backbone, files: Sequence[Path], folder: Path, *, warm: bool) -> np.ndarray:
    """VisBench's feature cache around the same module and the same transform, in its own batches of 32."""
    from visbench import CustomBackbone
    from visbench.cache.feature_cache import FeatureCache

    def rows(
        module: torch.nn.Module, x: torch.Tensor
    ) -> tuple[torch.Tensor, None, tuple[int, int]]:
        return module(x, ["default"])["default"][:, None], None, (1, 1)

    if not warm:
        shutil.rmtree(folder, ignore_errors=True)
    own = CustomBackbone(
        backbone.module,
        transform_of(backbone),
        feature_fn=rows,
        weights_id="benchmark",
        device="cpu",
    )
    found = FeatureCache(folder).extract_dataset(own, Photographs(files), keep="pooled")
    return found["pooled"].numpy()
