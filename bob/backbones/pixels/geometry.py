"""From a decoded image to the uint8 pixels that a backbone sees, and from those to its normalised input."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from PIL import Image

from bob.backbones.pixels.region import LONGEST_PX, Region
from bob.backbones.pixels.resample import FILTERS, Axis

FAST_LEVELS = 2
"""The largest difference of a `fast` pixel from the exact one, of 255 levels; less than a tenth on average.
PIL and torchvision both round between the passes over rows and columns, at other places."""


@dataclass(frozen=True)
class Geometry:
    """How an image becomes a crop of (3, height, width) uint8. Backbones with equal geometries share their crops."""

    height_px: int
    width_px: int
    crop_pct: float
    """The crop's share of the resized image's short side."""
    crop_mode: str
    """timm's: center (resize the short side, crop the centre), squash (ignore the aspect ratio), border (pad)."""
    interpolation: str
    fast: bool = False
    """Resized by torchvision's 8-bit kernels instead of PIL's: half the time, most pixels the same, none further than FAST_LEVELS from it."""
    fill: tuple[float, ...] | None = None
    """What `border` pads with, per channel in [0, 1]; None is timm's default, ImageNet's mean."""

    def crop(self, image: Image.Image) -> torch.Tensor:
        """(3, height, width) uint8 of an RGB image: bit for bit the pixels of timm's own evaluation transform, unless `fast`."""
        if self.fast and (quick := _fast(self)):
            return quick(torch.from_numpy(np.array(image)).permute(2, 0, 1))
        if region := region_of(self, image.size):
            return torch.from_numpy(region.crop(image))
        return _transform(self)(image)

    def with_fill(self, mean: tuple[float, ...]) -> "Geometry":
        """Padded as timm pads: with the backbone's own mean. The same geometry where nothing is padded."""
        return replace(self, fill=mean) if self.crop_mode == "border" else self

    def facts(self) -> dict[str, Any]:
        """For keys and records; `input_px` is one number where the input is square."""
        size = (
            self.height_px if self.height_px == self.width_px else [self.height_px, self.width_px]
        )
        own = {
            "input_px": size,
            "crop_pct": self.crop_pct,
            "crop_mode": self.crop_mode,
            "interpolation": self.interpolation,
        }
        return (
            own
            | ({"preprocessing": "fast"} if self.fast else {})
            | ({"fill": list(self.fill)} if self.fill else {})
        )


def pixel_libraries(facts: Mapping[str, Any]) -> str:
    """The libraries whose versions a geometry's pixels depend on."""
    fast = ["torchvision"] if facts.get("preprocessing") == "fast" else []
    return ", ".join(f"{library} {version(library)}" for library in ("pillow", *fast))


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation, for pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, crops: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) uint8 → float32, normalised on the crops' own device in the order of torchvision's ToTensor and Normalize."""
        mean, std = (
            torch.tensor(values, device=crops.device).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return crops.float().div_(255).sub_(mean).div_(std)

    def facts(self) -> dict[str, Any]:
        return {"mean": list(self.mean), "std": list(self.std)}


@lru_cache
def _transform(geometry: Geometry) -> Callable[[Image.Image], torch.Tensor]:
    """timm's own evaluation transform up to the uint8 tensor; `use_prefetcher` leaves the normalisation to the device."""
    from timm.data import create_transform

    transform: Callable[[Image.Image], torch.Tensor] = create_transform(
        input_size=(3, geometry.height_px, geometry.width_px),
        interpolation=geometry.interpolation,
        crop_pct=geometry.crop_pct,
        crop_mode=geometry.crop_mode,
        is_training=False,
        use_prefetcher=True,
        **({"mean": geometry.fill} if geometry.fill else {}),
    )
    return transform


@lru_cache(maxsize=4096)
def region_of(geometry: Geometry, size: tuple[int, int]) -> Region | None:
    """What the transform makes of images of one size, where it resizes and crops the centre; None where it does anything else."""
    from torchvision.transforms import CenterCrop, Resize

    steps: list[Any] = list(getattr(_transform(geometry), "transforms", ()))
    if [type(step).__name__ for step in steps] != ["Resize", "CenterCrop", "MaybePILToTensor"]:
        return None
    resize, crop = steps[:2]
    assert isinstance(resize, Resize) and isinstance(crop, CenterCrop)
    resample = Image.Resampling[resize.interpolation.name]
    (crop_height, crop_width), (width, height) = crop.size, _resized(size, resize.size)
    if (
        resample not in FILTERS
        or crop_width > width
        or crop_height > height
        or max(size) > LONGEST_PX
    ):
        return None
    axes = (
        Axis(size[0], width, round((width - crop_width) / 2), crop_width),
        Axis(size[1], height, round((height - crop_height) / 2), crop_height),
    )
    return Region(*axes, resample)


def _resized(size: tuple[int, int], wanted: int | Sequence[int]) -> tuple[int, int]:
    """(width, height) after torchvision's Resize: the shorter side at `wanted`, the other one cut to whole pixels; or (height, width) as wanted."""
    if not isinstance(wanted, int):
        return wanted[1], wanted[0]
    width, height = size
    return (
        (wanted, int(wanted * height / width))
        if width <= height
        else (int(wanted * width / height), wanted)
    )


@lru_cache
def _fast(geometry: Geometry) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The same steps for (3, H, W) uint8; None where a step has no such kernel (padding, lanczos), so that exact pixels are taken."""
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize, v2

    steps: list[Any] = []
    for step in getattr(_transform(geometry), "transforms", ()):
        if isinstance(step, Resize) and step.interpolation in (
            InterpolationMode.BILINEAR,
            InterpolationMode.BICUBIC,
        ):
            steps.append(v2.Resize(step.size, interpolation=step.interpolation, antialias=True))
        elif isinstance(step, CenterCrop):
            steps.append(v2.CenterCrop(step.size))
        elif type(step).__name__ not in ("ToNumpy", "MaybePILToTensor", "PILToTensor"):
            return None
    quick: Callable[[torch.Tensor], torch.Tensor] = v2.Compose(steps)
    return quick
