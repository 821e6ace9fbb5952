"""From encoded images to uint8 crops.

Exact preprocessing gives the pixels of timm and open_clip bit for bit; fast preprocessing stays
within a stated distance of them.
"""

import dataclasses
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL import __version__ as PIL_VERSION

from bob.backbones.pixels import kernels, region
from bob.backbones.pixels.geometry import FAST_LEVELS, Geometry, region_of
from bob.backbones.pixels.resample import FILTERS, Axis, columns_first, taps
from bob.datasets.content.images import decode

MEAN = (0.2, 0.5, 0.7)
"""A backbone's own mean, with which its images are padded; it differs from ImageNet's."""
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
    """Return an encoded image and its description.

    The seed chooses format, mode and odd sides of 33 to 199 px; the image is smooth with noise.
    """
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(16, 100, 2) * 2 + 1)
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
    )
    pixels = np.clip(smooth.astype(int) + rng.integers(-20, 21, smooth.shape), 0, 255).astype(
        np.uint8
    )
    encodings = [(kind, mode) for kind, modes in MODES.items() for mode in modes]
    kind, mode = encodings[seed % len(encodings)]
    buffer = BytesIO()
    image = Image.fromarray(pixels)
    (image.quantize(64) if mode == "P" else image.convert(mode)).save(buffer, kind)
    return buffer.getvalue(), f"{kind} {mode} {width} x {height}"


@pytest.fixture(scope="module")
def photographs() -> list[tuple[bytes, str]]:
    return [photograph(seed) for seed in range(COUNT)]


def levels(tensor: torch.Tensor) -> torch.Tensor:
    """Return the uint8 values that torchvision's ToTensor divided by 255."""
    return (tensor * 255).round().to(torch.uint8)


@pytest.mark.parametrize(
    "geometry",
    GEOMETRIES,
    ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}",
)
def test_exact_pixels_equal_timm_s(photographs, geometry):
    """timm's transform, its normalisation undone, on images as PIL reads them."""
    from timm.data import create_transform

    timm_transform = create_transform(
        input_size=(3, geometry.height_px, geometry.width_px),
        interpolation=geometry.interpolation,
        crop_pct=geometry.crop_pct,
        crop_mode=geometry.crop_mode,
        mean=MEAN,
        std=(1, 1, 1),
    )
    for data, what in photographs:
        expected = levels(
            timm_transform(Image.open(BytesIO(data)).convert("RGB"))
            + torch.tensor(MEAN).view(3, 1, 1)
        )
        assert torch.equal(geometry.with_fill(MEAN).crop(decode(data, what)), expected), what


@pytest.fixture
def kernels_at_once(monkeypatch):
    """Verify the kernels on the first image of a size, and use them from the second on."""
    monkeypatch.setattr(region, "COMPILED_AFTER", 0)
    region_of.cache_clear()
    yield
    region_of.cache_clear()


@pytest.mark.parametrize(
    "geometry",
    GEOMETRIES[:3],
    ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}",
)
def test_pixels_of_compiled_kernels_equal_timm_s(photographs, geometry, kernels_at_once):
    for _ in range(2):
        test_exact_pixels_equal_timm_s(photographs, geometry)
    regions = [region_of(geometry, decode(data, what).size) for data, what in photographs]
    by_kernels = sum(bool(region and region.kernels_agree) for region in regions)
    assert by_kernels == sum(region is not None for region in regions) > 100, (
        "most images must be made by the kernels, or little is tested"
    )


def test_pixels_of_compiled_kernels_equal_timm_s_at_any_size(kernels_at_once):
    """120 sizes of 8 to 1,500 px, with sides at most 1 : 40, in two threads at the same time.

    Each size occurs twice: the kernels are verified on the first image and make the second.
    """
    from timm.data import create_transform

    geometries = [
        Geometry(224, 224, 0.875, "center", "bicubic"),
        Geometry(224, 224, 0.9, "center", "bilinear"),
        Geometry(384, 384, 1.0, "squash", "bicubic"),
        Geometry(518, 518, 1.0, "center", "bicubic"),
        Geometry(96, 96, 0.95, "center", "bilinear"),
        Geometry(32, 32, 1.0, "center", "bicubic"),
    ]

    def made_by_kernels(seed: int) -> bool:
        rng, geometry = np.random.default_rng(seed), geometries[seed % len(geometries)]
        timm_transform = create_transform(
            geometry.height_px,
            interpolation=geometry.interpolation,
            crop_pct=geometry.crop_pct,
            crop_mode=geometry.crop_mode,
            use_prefetcher=True,
        )
        width, ratio = np.exp(rng.uniform(np.log((8, 1 / 40)), np.log((1500, 40))))
        size = int(width), int(np.clip(width * ratio, 8, 1500))
        for _ in range(2):
            coarse = Image.fromarray(
                rng.integers(0, 256, (size[1] // 7 + 2, size[0] // 7 + 2, 3), dtype=np.uint8)
            )
            image = coarse.resize(size, Image.Resampling.BILINEAR)
            assert torch.equal(geometry.crop(image), torch.as_tensor(timm_transform(image))), (
                size,
                geometry,
            )
        sized = region_of(geometry, size)
        return sized is not None and sized.kernels_agree is True

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(made_by_kernels, range(120))) > 100, (
            "most images must be made by the kernels, or little is tested"
        )


@pytest.mark.parametrize("resample", FILTERS, ids=lambda resample: resample.name)
@pytest.mark.parametrize(
    ("width", "resized"), [(128, 64), (77, 50), (40, 90), (64, 64), (1, 7), (300, 9)]
)
@pytest.mark.parametrize(
    ("height", "resized_height"), [(128, 64), (77, 50), (40, 90), (64, 64), (7, 1)]
)
@pytest.mark.parametrize("block_bytes", [2**20, 1])
def test_kernels_resample_as_pil_does(
    width, resized, height, resized_height, resample, block_bytes, monkeypatch
):
    """Each pass equals PIL's, in either order.

    Enlarging and shrinking, crops that touch a side and that do not, in one block and in several.
    """
    monkeypatch.setattr(kernels, "BLOCK_BYTES", block_bytes)
    pixels = Image.fromarray(
        np.random.default_rng(width + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )
    passes = [(resized, height), (width, resized_height)]
    for order in (passes, passes[::-1]):
        after_one_pass = pixels.resize(order[0], resample)
        expected = np.asarray(after_one_pass.resize((resized, resized_height), resample)).transpose(
            2, 0, 1
        )
        for left, top, right, bottom in (
            (0, 0, 1, 1),
            (resized // 3, resized_height // 4, resized, resized_height),
            (0, 0, resized, resized_height),
        ):
            axes = (
                Axis(width, resized, left, right - left),
                Axis(height, resized_height, top, bottom - top),
            )
            crop = kernels.resize_and_crop(
                pixels, *axes, resample, columns_first=order is not passes
            )
            assert np.array_equal(crop, expected[:, top:bottom, left:right]), (
                left,
                top,
                right,
                bottom,
            )


def test_weights_by_hand():
    """4 pixels resized to 2 by a bilinear filter: a triangle that is zero at distance 2.

    The centre of pixel 0 is at 1. The source pixels 0, 1, 2 have centres 0.5, 1.5, 2.5, distances
    0.5, 0.5, 1.5 and weights 3/4, 3/4, 1/4, normalised 3/7, 3/7, 1/7: in units of 2^-22, 1797558.9,
    1797558.9 and 599186.3. Pixel 1 is the mirror image.
    """
    weights = taps(Axis(4, 2, 0, 2), Image.Resampling.BILINEAR)
    assert weights.first.tolist() == [0, 1]
    assert weights.count.tolist() == [3, 3] and weights.end == 4
    assert weights.weights[:, :3].tolist() == [
        [1797559, 1797559, 599186],
        [599186, 1797559, 1797559],
    ]


def test_the_order_of_passes_is_pillow_s():
    """The kernels equal PIL for wide images, and for tall ones from Pillow 13 on.

    The sizes include those at and around the bound of `columns_first`.
    """
    sizes = [
        (w, h, rw, rh)
        for w, h in ((60, 200), (60, 129), (60, 128), (60, 127), (200, 60), (30, 31))
        for rw, rh in ((30, 67), (30, 68), (90, 20), (20, 90))
    ]
    for width, height, resized, resized_height in sizes:
        image = Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        )
        resizing = region.Region(
            Axis(width, resized, 0, resized),
            Axis(height, resized_height, 0, resized_height),
            Image.Resampling.BICUBIC,
        )
        tall_before_13 = (
            columns_first(resizing.x, resizing.y) and int(PIL_VERSION.split(".")[0]) < 13
        )
        equal = np.array_equal(resizing.by_kernels(image), resizing.by_pil(image))
        assert equal is not tall_before_13, (
            width,
            height,
            resized,
            resized_height,
        )
    assert (
        0
        < sum(columns_first(Axis(w, rw, 0, rw), Axis(h, rh, 0, rh)) for w, h, rw, rh in sizes)
        < len(sizes)
    )


def test_kernels_are_used_once_they_are_verified(monkeypatch):
    """A plain image verifies nothing; if a bit of another image differs, PIL is used for good."""
    monkeypatch.setattr(region, "COMPILED_AFTER", 3)
    monkeypatch.setattr(region, "_crops_made", itertools.count())
    axes = Axis(100, 68, 6, 40), Axis(90, 61, 10, 32)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8))
    plain = Image.new("RGB", (100, 90), "red")
    correct, wrong = (kind(*axes, Image.Resampling.BICUBIC) for kind in (region.Region, Mirrored))
    expected = correct.by_pil(noise)
    for image, verified in (
        (noise, None),
        (noise, None),
        (noise, None),
        (plain, None),
        (noise, True),
        (noise, True),
    ):
        assert np.array_equal(correct.crop(image), correct.by_pil(image))
        assert correct.kernels_agree is verified
    for _ in range(2):
        assert np.array_equal(wrong.crop(noise), expected) and wrong.kernels_agree is False


def test_any_image_verifies_a_size_with_a_single_pass(monkeypatch):
    monkeypatch.setattr(region, "COMPILED_AFTER", 0)
    one_pass = region.Region(Axis(100, 68, 6, 40), Axis(64, 64, 16, 32), Image.Resampling.BICUBIC)
    one_pass.crop(Image.new("RGB", (100, 64), "red"))
    assert one_pass.kernels_agree is True


def test_images_with_very_long_sides_are_left_to_pil(kernels_at_once):
    geometry = Geometry(8, 8, 1.0, "squash", "bilinear")
    assert region_of(geometry, (region.LONGEST_PX, 3)) is not None
    assert region_of(geometry, (region.LONGEST_PX + 1, 3)) is None
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (200, region.LONGEST_PX, 3), dtype=np.uint8)
    )
    longest = region_of(geometry, image.size)
    assert longest and np.array_equal(longest.by_kernels(image), longest.by_pil(image))


class Mirrored(region.Region):
    """A region whose kernels give other pixels than PIL."""

    def by_kernels(self, image, *, other_order=False):
        return super().by_kernels(
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), other_order=other_order
        )


def test_pil_is_used_if_numba_cannot_be_imported(monkeypatch, kernels_at_once):
    """For example because NumPy is newer than numba supports."""
    monkeypatch.delitem(sys.modules, "bob.backbones.pixels.kernels")
    monkeypatch.setitem(sys.modules, "numba", None)
    resizing = region.Region(Axis(100, 68, 6, 40), Axis(90, 61, 10, 32), Image.Resampling.BICUBIC)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8))
    for _ in range(2):
        assert np.array_equal(resizing.crop(noise), resizing.by_pil(noise))
        assert resizing.kernels_agree is False


def test_kernels_run_without_a_writable_cache_folder(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("no locator available")
        return lambda loop: loop

    monkeypatch.setattr(kernels.numba, "njit", njit)
    assert kernels._compiled(len)([1, 2]) == 2


@pytest.mark.parametrize(
    ("resize_mode", "crop_mode"), [("shortest", "center"), ("squash", "squash")]
)
def test_exact_pixels_equal_open_clip_s(photographs, resize_mode, crop_mode):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(
        size=64, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic", resize_mode=resize_mode
    )
    transform = image_transform_v2(config, is_train=False)
    geometry = Geometry(64, 64, 1.0, crop_mode, "bicubic")
    for data, what in photographs:
        assert torch.equal(
            geometry.crop(decode(data, what)),
            levels(transform(Image.open(BytesIO(data)).convert("RGB"))),
        ), what


@pytest.mark.parametrize(
    "geometry",
    GEOMETRIES,
    ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}",
)
def test_fast_pixels_are_within_the_stated_distance(photographs, geometry):
    """At most two levels and on average a tenth; exact if torchvision has no 8-bit kernel."""
    fast = Geometry(
        geometry.height_px,
        geometry.width_px,
        geometry.crop_pct,
        geometry.crop_mode,
        geometry.interpolation,
        fast=True,
    )
    differences = []
    for data, what in photographs:
        image = decode(data, what)
        differences.append((fast.crop(image).int() - geometry.crop(image).int()).abs())
    assert max(int(difference.max()) for difference in differences) <= FAST_LEVELS
    assert torch.cat([difference.flatten() for difference in differences]).float().mean() < 0.1
    assert (
        sum(int(difference.sum()) for difference in differences) > 0
        or geometry.crop_mode == "border"
        or geometry.height_px != geometry.width_px
    )


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="threads are counted as Linux lists them"
)
@pytest.mark.parametrize("fast", [False, True])
def test_a_crop_starts_no_thread_of_torch(fast, kernels_at_once):
    """Each decoding thread would get torch threads, which spin while the forward needs the cores.

    The addition at the end shows that such threads would be counted: the first large operation of a
    thread starts them.
    """
    image = Image.new("RGB", (500, 400), "red")
    geometry = Geometry(224, 224, 0.875, "center", "bicubic", fast=fast)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        by_crops = pool.submit(
            threads_started, lambda: [geometry.crop(image).numpy() for _ in range(12)]
        ).result()
        by_addition = pool.submit(
            threads_started, lambda: torch.zeros(3, 224, 224).add_(1)
        ).result()
    torch.set_num_threads(before)
    assert by_crops == 0 < by_addition


def threads_started(function) -> int:
    """Call the function and return how many threads it started."""
    before = set(Path("/proc/self/task").iterdir())
    function()
    return len(set(Path("/proc/self/task").iterdir()) - before)


def test_only_fast_preprocessing_is_named_in_keys():
    exact, fast = (
        Geometry(64, 64, 1.0, "center", "bicubic", fast=fast).facts() for fast in (False, True)
    )
    assert fast == {**exact, "preprocessing": "fast"} and "preprocessing" not in exact


def test_a_decoded_rgb_image_is_not_copied(monkeypatch):
    """PIL's `convert` copies RGB images too, which takes longer than decoding a large JPEG."""
    monkeypatch.setattr(Image.Image, "convert", None)
    buffer = BytesIO()
    Image.new("RGB", (5, 5), "red").save(buffer, "JPEG")
    assert decode(buffer.getvalue(), "x").size == (5, 5)


# --- transformers

RESIZED = [
    Geometry(64, 64, 0.875, "center", "bicubic", resize=(73,)),
    Geometry(48, 80, 1.0, "squash", "bilinear", resize=(48, 80)),
    Geometry(61, 61, 0.9, "squash", "bicubic", resize=(68, 68)),
    Geometry(96, 96, 1.0, "center", "bicubic", resize=(64,)),  # padded
    Geometry(64, 64, 1.0, "center", "lanczos", resize=(70,)),
]


@pytest.mark.parametrize("geometry", RESIZED, ids=str)
def test_exact_pixels_of_resized_geometries_equal_those_of_transformers(
    photographs, geometry, kernels_at_once
):
    """The steps of a processor: a shorter side or (height, width), then a centre crop."""
    from transformers import BitImageProcessorPil

    size = geometry.resize
    processor = BitImageProcessorPil(
        size={"shortest_edge": size[0]}
        if len(size) == 1
        else {"height": size[0], "width": size[1]},
        crop_size={"height": geometry.height_px, "width": geometry.width_px},
        resample=Image.Resampling[geometry.interpolation.upper()],
        do_rescale=False,
        do_normalize=False,
    )
    for data, what in [*photographs, *photographs]:  # kernels make the second round
        image = decode(data, what)
        expected = processor(images=image, return_tensors="np")["pixel_values"][0]
        assert np.array_equal(geometry.crop(image).numpy(), expected), what


@pytest.mark.parametrize("geometry", [RESIZED[0], RESIZED[1], RESIZED[3]], ids=str)
def test_fast_pixels_of_resized_geometries_are_within_the_stated_distance(photographs, geometry):
    fast = dataclasses.replace(geometry, fast=True)
    for data, what in photographs:
        image = decode(data, what)
        difference = (fast.crop(image).int() - geometry.crop(image).int()).abs()
        assert int(difference.max()) <= FAST_LEVELS, what


def test_the_size_before_the_crop_is_part_of_the_key():
    plain = Geometry(64, 64, 0.875, "center", "bicubic")
    assert dataclasses.replace(plain, resize=(73,)).facts() == {**plain.facts(), "resize": [73]}


@pytest.mark.parametrize("fast", [False, True])
def test_a_crop_of_an_image_that_is_not_rgb_is_refused(fast: bool) -> None:
    geometry = Geometry(8, 8, 1.0, "center", "bicubic", fast=fast)
    with pytest.raises(ValueError, match=r"needs an RGB image, got mode 'L': convert\('RGB'\)"):
        geometry.crop(Image.new("L", (9, 9)))
