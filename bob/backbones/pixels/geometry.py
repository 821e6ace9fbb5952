"""Preprocessing: from a decoded image to uint8 crops, and from crops to normalised input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from bob.backbones.pixels.region import LONGEST_PX, Region
from bob.backbones.pixels.resample import FILTERS, Axis
from bob.backbones.timm_library import import_timm

FAST_LEVELS = 2
"""Largest difference of a `fast` pixel from the exact one, of 255 levels.

The mean difference is less than 0.1. PIL and torchvision both round between the passes over rows
and columns, but at different places.
"""


USUAL_PX = 224


@dataclass(frozen=True)
class Geometry:
    """How an image becomes a crop of (3, height, width) uint8.

    Backbones with equal geometries share their crops.
    """

    height_px: int
    width_px: int
    crop_pct: float
    """The crop's share of the resized image's short side."""
    crop_mode: str
    """As in timm: `center` resizes the short side and crops the centre, `squash` ignores the
    aspect ratio, `border` pads."""
    interpolation: str
    fast: bool = False
    """Whether torchvision's 8-bit kernels resize instead of PIL.

    They take half the time; most pixels are equal, and none differs by more than FAST_LEVELS.
    """
    fill: tuple[float, ...] | None = None
    """The padding of `border`, per channel in [0, 1]; None is timm's default, ImageNet's mean."""
    resize: tuple[int, ...] | None = None
    """The size before the crop, as processors of transformers state it: the shorter side, or height
    and width. They round the offset of the crop down, and pad images that are smaller than it with
    black. None is timm's arithmetic, which follows from `crop_pct`."""

    @property
    def usual_images(self) -> float:
        """How many crops of 224 x 224 have the pixels of one of these, at least 1.

        Numbers of images that are held or computed together are divided by it.
        """
        return max(1.0, self.height_px * self.width_px / USUAL_PX**2)

    def crop(self, image: Image.Image) -> torch.Tensor:
        """Return the (3, height, width) uint8 crop of an RGB image.

        Unless `fast`, its pixels are bit for bit those of timm's own evaluation transform or, with
        `resize`, of transformers' processors. ValueError for an image of another mode: how colours
        and transparency become RGB is for the caller to say.
        """
        if image.mode != "RGB":
            raise ValueError(f"crop needs an RGB image, got mode {image.mode!r}: convert('RGB').")
        if self.fast and (transform := _fast_transform(self)):
            return transform(torch.from_numpy(np.array(image)).permute(2, 0, 1))
        if region := region_of(self, image.size):
            return torch.from_numpy(region.crop(image))
        if self.resize:
            return torch.from_numpy(_resize_region(self, image.size).by_pil(image))
        return _transform(self)(image)

    def with_fill(self, mean: tuple[float, ...]) -> "Geometry":
        """Return a geometry that pads with `mean`, as timm does; unchanged if nothing is padded."""
        return replace(self, fill=mean) if self.crop_mode == "border" else self

    def facts(self) -> dict[str, Any]:
        """Return JSON-ready values for keys and records; `input_px` of a square is one number."""
        square = self.height_px == self.width_px
        values: dict[str, Any] = {
            "input_px": self.height_px if square else [self.height_px, self.width_px],
            "crop_pct": self.crop_pct,
            "crop_mode": self.crop_mode,
            "interpolation": self.interpolation,
        }
        if self.fast:
            values["preprocessing"] = "fast"
        if self.resize:
            values["resize"] = list(self.resize)
        if self.fill:
            values["fill"] = list(self.fill)
        return values


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation, for pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, crops: torch.Tensor) -> torch.Tensor:
        """Normalise (B, 3, H, W) uint8 crops to float32 on their own device.

        The operations are in the order of torchvision's ToTensor and Normalize.
        """
        mean, std = (
            torch.tensor(values, device=crops.device).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return crops.float().div_(255).sub_(mean).div_(std)

    def facts(self) -> dict[str, Any]:
        """Return JSON-ready values for keys and records."""
        return {"mean": list(self.mean), "std": list(self.std)}


@lru_cache
def _transform(geometry: Geometry) -> Callable[[Image.Image], torch.Tensor]:
    """Return timm's own evaluation transform up to the uint8 tensor.

    `use_prefetcher` leaves the normalisation to the device.
    """
    import_timm()
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
    """Return the region that the transform crops from images of one (width, height).

    None if the transform does anything but resize and crop the centre, or with another filter than
    ours, or if the image is smaller than the crop or too long.
    """
    region = _resize_region(geometry, size) if geometry.resize else _timm_region(geometry, size)
    if region is None or (
        region.resample not in FILTERS
        or any(axis.crop_px > axis.resized_px for axis in (region.x, region.y))
        or max(size) > LONGEST_PX
    ):
        return None
    return region


def _resize_region(geometry: Geometry, size: tuple[int, int]) -> Region:
    """Return the region that a processor of transformers crops: around images that are smaller."""
    assert geometry.resize is not None
    target = geometry.resize[0] if len(geometry.resize) == 1 else geometry.resize
    width, height = _resized(size, target)
    return Region(
        Axis(size[0], width, (width - geometry.width_px) // 2, geometry.width_px),
        Axis(size[1], height, (height - geometry.height_px) // 2, geometry.height_px),
        Image.Resampling[geometry.interpolation.upper()],
    )


def _timm_region(geometry: Geometry, size: tuple[int, int]) -> Region | None:
    """Return the region that timm's transform crops; None if it does anything else."""
    from torchvision.transforms import CenterCrop, Resize

    steps: list[Any] = list(getattr(_transform(geometry), "transforms", ()))
    if [type(step).__name__ for step in steps] != ["Resize", "CenterCrop", "MaybePILToTensor"]:
        return None
    resize, crop = steps[:2]
    assert isinstance(resize, Resize) and isinstance(crop, CenterCrop)
    resample = Image.Resampling[resize.interpolation.name]
    (crop_height, crop_width), (width, height) = crop.size, _resized(size, resize.size)
    axes = (
        Axis(size[0], width, round((width - crop_width) / 2), crop_width),
        Axis(size[1], height, round((height - crop_height) / 2), crop_height),
    )
    return Region(*axes, resample)


def _resized(size: tuple[int, int], target: int | Sequence[int]) -> tuple[int, int]:
    """Return (width, height) after torchvision's Resize to `target`.

    An integer is the length of the shorter side, with the longer one truncated to whole pixels; a
    pair is (height, width).
    """
    if not isinstance(target, int):
        return target[1], target[0]
    width, height = size
    if width <= height:
        return target, int(target * height / width)
    return int(target * width / height), target


@lru_cache
def _fast_transform(geometry: Geometry) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the same steps for (3, H, W) uint8 tensors.

    None if a step has no 8-bit kernel (padding, lanczos), so that the exact transform is used.
    """
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize, v2

    if geometry.resize:
        return _FastResize(geometry) if geometry.interpolation in ("bilinear", "bicubic") else None
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
    transform: Callable[[torch.Tensor], torch.Tensor] = v2.Compose(steps)
    return transform


class _FastResize:
    """The steps of a processor of transformers, for (3, H, W) uint8 tensors."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional

        region = _resize_region(self.geometry, (pixels.shape[2], pixels.shape[1]))
        resized = functional.resize(
            pixels,
            [region.y.resized_px, region.x.resized_px],
            interpolation=InterpolationMode(self.geometry.interpolation),
            antialias=True,
        )
        crop: torch.Tensor = functional.crop(
            resized, region.y.start, region.x.start, region.y.crop_px, region.x.crop_px
        )
        return crop
