"""From encoded images to uint8 crops: `exact` is timm's and open_clip's own pixels to the bit, `fast` is within a stated distance of them."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from bob.backbones.geometry import FAST_LEVELS, Geometry
from bob.datasets.images import decode

MEAN = (0.2, 0.5, 0.7)
"""Not ImageNet's: what a backbone's own mean pads with."""
MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("RGB", "L"),
    "GIF": ("P",),
    "TIFF": ("RGB", "CMYK", "L"),
}
COUNT = 200
GEOMETRIES = [
    Geometry(96, 96, 0.875, "center", "bicubic"),
    Geometry(64, 64, 0.95, "center", "bilinear"),
    Geometry(64, 64, 1.0, "squash", "bilinear"),
    Geometry(48, 80, 0.9, "center", "bicubic"),
    Geometry(64, 64, 1.0, "border", "bicubic"),
]


def photograph(seed: int) -> tuple[bytes, str]:
    """An image of odd size, 33 to 200 px a side, with smooth and rough parts, in the seed's own format and mode."""
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(16, 100, 2) * 2 + 1)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC))
    pixels = np.clip(smooth.astype(int) + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)
    ways = [(kind, mode) for kind, modes in MODES.items() for mode in modes]
    kind, mode = ways[seed % len(ways)]
    buffer = BytesIO()
    image = Image.fromarray(pixels)
    (image.quantize(64) if mode == "P" else image.convert(mode)).save(buffer, kind)
    return buffer.getvalue(), f"{kind} {mode} {width} x {height}"


@pytest.fixture(scope="module")
def photographs() -> list[tuple[bytes, str]]:
    return [photograph(seed) for seed in range(COUNT)]


def levels(tensor: torch.Tensor) -> torch.Tensor:
    """The uint8 that torchvision's ToTensor divided by 255."""
    return (tensor * 255).round().to(torch.uint8)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}")
def test_exact_pixels_are_timm_s(photographs, geometry):
    """timm's transform as a user of timm builds it, its normalisation undone, on the image as a user of PIL reads it."""
    from timm.data import create_transform

    theirs = create_transform(
        input_size=(3, geometry.height_px, geometry.width_px),
        interpolation=geometry.interpolation,
        crop_pct=geometry.crop_pct,
        crop_mode=geometry.crop_mode,
        mean=MEAN,
        std=(1, 1, 1),
    )
    for data, what in photographs:
        expected = levels(theirs(Image.open(BytesIO(data)).convert("RGB")) + torch.tensor(MEAN).view(3, 1, 1))
        assert torch.equal(geometry.padded_with(MEAN).crop(decode(data, what)), expected), what


@pytest.mark.parametrize(("resize_mode", "crop_mode"), [("shortest", "center"), ("squash", "squash")])
def test_exact_pixels_are_open_clip_s(photographs, resize_mode, crop_mode):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(size=64, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic", resize_mode=resize_mode)
    theirs = image_transform_v2(config, is_train=False)
    geometry = Geometry(64, 64, 1.0, crop_mode, "bicubic")
    for data, what in photographs:
        assert torch.equal(geometry.crop(decode(data, what)), levels(theirs(Image.open(BytesIO(data)).convert("RGB")))), what


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}")
def test_fast_pixels_are_within_the_stated_distance(photographs, geometry):
    """Two levels at most and a tenth of one on average. Where torchvision has no such step (padding), the exact ones."""
    quick = Geometry(geometry.height_px, geometry.width_px, geometry.crop_pct, geometry.crop_mode, geometry.interpolation, fast=True)
    differences = []
    for data, what in photographs:
        image = decode(data, what)
        differences.append((quick.crop(image).int() - geometry.crop(image).int()).abs())
    assert max(int(difference.max()) for difference in differences) <= FAST_LEVELS
    assert torch.cat([difference.flatten() for difference in differences]).float().mean() < 0.1
    assert sum(int(difference.sum()) for difference in differences) > 0 or geometry.crop_mode == "border" or geometry.height_px != geometry.width_px


def test_fast_is_part_of_the_identity_and_exact_leaves_it_as_it_was():
    exact, fast = (Geometry(64, 64, 1.0, "center", "bicubic", fast=fast).facts() for fast in (False, True))
    assert fast == {**exact, "preprocessing": "fast"} and "preprocessing" not in exact


def test_a_decoded_rgb_image_is_not_copied(monkeypatch):
    """PIL's `convert` copies an image that is RGB already, which takes longer than decoding a large JPEG."""
    monkeypatch.setattr(Image.Image, "convert", None)
    buffer = BytesIO()
    Image.new("RGB", (5, 5), "red").save(buffer, "JPEG")
    assert decode(buffer.getvalue(), "x").size == (5, 5)
