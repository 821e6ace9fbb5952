"""From encoded images to uint8 crops: `exact` is timm's and open_clip's own pixels to the bit, `fast` is within a stated distance of them."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bob.backbones import region
from bob.backbones.geometry import FAST_LEVELS, Geometry, _region
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


@pytest.fixture
def always_in_part(monkeypatch):
    """Crops are made in part from the first image of a size on, wherever that gives the same pixels."""
    monkeypatch.setattr(region, "TRIED_AFTER", 0)
    monkeypatch.setattr(region, "WORTH", 2.0)
    _region.cache_clear()
    yield
    _region.cache_clear()


@pytest.mark.parametrize("geometry", GEOMETRIES[:3], ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}")
def test_pixels_are_timm_s_where_only_the_crop_is_resized(photographs, geometry, always_in_part):
    test_exact_pixels_are_timm_s(photographs, geometry)
    ways = [_region(geometry, decode(data, what).size) for data, what in photographs]
    assert any(way is not None and way.same for way in ways), "else nothing was tested"


@pytest.mark.parametrize("resample", region.SUPPORT, ids=lambda resample: resample.name)
@pytest.mark.parametrize(("width", "resized"), [(128, 64), (60, 64), (77, 50), (40, 90), (64, 64)])
@pytest.mark.parametrize(("height", "resized_height"), [(128, 64), (60, 64), (77, 50), (40, 90), (64, 64)])
def test_a_part_is_the_whole_s_crop(width, resized, height, resized_height, resample):
    """Against PIL itself, passes one by one, rows first: whichever comes first in this version of Pillow. Dyadic and other scales on either side, up
    and down; crops that touch an end and that do not."""
    pixels = Image.fromarray(np.random.default_rng(width + height).integers(0, 256, (height, width, 3), dtype=np.uint8))
    expected = pixels.resize((resized, height), resample).resize((resized, resized_height), resample)
    for left, top, wide, high in ((0, 0, 20, 31), (7, 5, 33, 32), (resized - 9, resized_height - 8, 9, 8), (0, 0, resized, resized_height)):
        made = region.Region(region.Axis(width, resized, left, wide), region.Axis(height, resized_height, top, high), resample)
        if made.x.box and made.y.box:
            continue  # one call of PIL's, which chooses the order anew
        assert made.in_part(pixels).tobytes() == expected.crop((left, top, left + wide, top + high)).tobytes(), (left, top, wide, high)


def test_a_box_is_given_only_where_float32_holds_it():
    """375 to 256: denominator 256. 500 to 341: 341. 1,111,111 to 256: numerators beyond 2^24 = 16,777,216, since 1,111,111 * 256 = 284,444,416."""
    assert region.Axis(375, 256, 16, 224).box == (16 * 375 / 256, 240 * 375 / 256)
    assert region.Axis(500, 341, 58, 224).box is None and region.Axis(1_111_111, 256, 16, 224).box is None


def test_a_size_is_tried_when_it_was_met_often_enough_and_left_alone_where_pixels_would_differ():
    """The height stays as it is, so that there is one pass alone, in any version of Pillow."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 100, 3), dtype=np.uint8))
    axes = region.Axis(100, 68, 6, 40), region.Axis(64, 64, 16, 32)
    sound, unsound = (kind(*axes, Image.Resampling.BICUBIC) for kind in (region.Region, Shifted))
    for made in (sound, unsound):
        crops = [made.crop(image).tobytes() for _ in range(region.TRIED_AFTER + 2)]
        assert set(crops) == {sound.whole(image).tobytes()}
    assert (sound.same, unsound.same) == (True, False) and sound.met == region.TRIED_AFTER + 2


class Shifted(region.Region):
    """As if PIL passed in the other order: other pixels."""

    def in_part(self, image):
        return super().in_part(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


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


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux lists them")
@pytest.mark.parametrize("fast", [False, True])
def test_a_crop_wakes_no_thread_of_torch_s(fast):
    """Each thread that decodes would get helpers of its own, which spin while the forward needs the cores. The addition at the end shows that
    helpers would be seen: a thread's first large operation starts them."""
    image, geometry = Image.new("RGB", (500, 400), "red"), Geometry(224, 224, 0.875, "center", "bicubic", fast=fast)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        started = [pool.submit(threads_started, lambda: [geometry.crop(image).numpy() for _ in range(12)]).result()]
        started += [pool.submit(threads_started, lambda: torch.zeros(3, 224, 224).add_(1)).result()]
    torch.set_num_threads(before)
    assert started[0] == 0 < started[1]


def threads_started(act) -> int:
    before = set(Path("/proc/self/task").iterdir())
    act()
    return len(set(Path("/proc/self/task").iterdir()) - before)


def test_fast_is_part_of_the_identity_and_exact_leaves_it_as_it_was():
    exact, fast = (Geometry(64, 64, 1.0, "center", "bicubic", fast=fast).facts() for fast in (False, True))
    assert fast == {**exact, "preprocessing": "fast"} and "preprocessing" not in exact


def test_a_decoded_rgb_image_is_not_copied(monkeypatch):
    """PIL's `convert` copies an image that is RGB already, which takes longer than decoding a large JPEG."""
    monkeypatch.setattr(Image.Image, "convert", None)
    buffer = BytesIO()
    Image.new("RGB", (5, 5), "red").save(buffer, "JPEG")
    assert decode(buffer.getvalue(), "x").size == (5, 5)
