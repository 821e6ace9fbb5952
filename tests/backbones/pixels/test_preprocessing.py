"""From encoded images to uint8 crops: `exact` is timm's and open_clip's own pixels to the bit, `fast` is within a stated distance of them."""

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
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
    )
    pixels = np.clip(smooth.astype(int) + rng.integers(-20, 21, smooth.shape), 0, 255).astype(
        np.uint8
    )
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


@pytest.mark.parametrize(
    "geometry",
    GEOMETRIES,
    ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}",
)
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
        expected = levels(
            theirs(Image.open(BytesIO(data)).convert("RGB")) + torch.tensor(MEAN).view(3, 1, 1)
        )
        assert torch.equal(geometry.with_fill(MEAN).crop(decode(data, what)), expected), what


@pytest.fixture
def loops_at_once(monkeypatch):
    """The first image of a size tries the compiled loops, the second is made by them."""
    monkeypatch.setattr(region, "COMPILED_AFTER", 0)
    region_of.cache_clear()
    yield
    region_of.cache_clear()


@pytest.mark.parametrize(
    "geometry",
    GEOMETRIES[:3],
    ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}",
)
def test_pixels_of_compiled_loops_are_timm_s(photographs, geometry, loops_at_once):
    for _ in range(2):
        test_exact_pixels_are_timm_s(photographs, geometry)
    ways = [region_of(geometry, decode(data, what).size) for data, what in photographs]
    by_loops = sum(bool(way and way.same) for way in ways)
    assert by_loops == sum(way is not None for way in ways) > 100, "else little was tested"


def test_pixels_of_compiled_loops_are_timm_s_at_any_size(loops_at_once):
    """300 sizes from 8 to 1,500 px, no side more than 40 times the other, by two threads at once, each size twice: tried, then used."""
    from timm.data import create_transform

    geometries = [
        Geometry(224, 224, 0.875, "center", "bicubic"),
        Geometry(224, 224, 0.9, "center", "bilinear"),
        Geometry(384, 384, 1.0, "squash", "bicubic"),
        Geometry(518, 518, 1.0, "center", "bicubic"),
        Geometry(96, 96, 0.95, "center", "bilinear"),
        Geometry(32, 32, 1.0, "center", "bicubic"),
    ]

    def by_loops(seed: int) -> bool:
        rng, geometry = np.random.default_rng(seed), geometries[seed % len(geometries)]
        theirs = create_transform(
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
            assert torch.equal(geometry.crop(image), torch.as_tensor(theirs(image))), (
                size,
                geometry,
            )
        made = region_of(geometry, size)
        return made is not None and made.same is True

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(by_loops, range(300))) > 250, "else little was tested"


@pytest.mark.parametrize("resample", FILTERS, ids=lambda resample: resample.name)
@pytest.mark.parametrize(
    ("width", "resized"), [(128, 64), (77, 50), (40, 90), (64, 64), (1, 7), (300, 9)]
)
@pytest.mark.parametrize(
    ("height", "resized_height"), [(128, 64), (77, 50), (40, 90), (64, 64), (7, 1)]
)
@pytest.mark.parametrize("part_bytes", [2**20, 1])
def test_loops_pass_as_pil_does(
    width, resized, height, resized_height, resample, part_bytes, monkeypatch
):
    """Against PIL itself, one pass after the other, in either order: up and down, crops that touch an end and that do not, in parts and whole."""
    monkeypatch.setattr(kernels, "PART_BYTES", part_bytes)
    pixels = Image.fromarray(
        np.random.default_rng(width + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )
    passes = [(resized, height), (width, resized_height)]
    for order in (passes, passes[::-1]):
        once = pixels.resize(order[0], resample)
        expected = np.asarray(once.resize((resized, resized_height), resample)).transpose(2, 0, 1)
        for left, top, right, bottom in (
            (0, 0, 1, 1),
            (resized // 3, resized_height // 4, resized, resized_height),
            (0, 0, resized, resized_height),
        ):
            axes = (
                Axis(width, resized, left, right - left),
                Axis(height, resized_height, top, bottom - top),
            )
            made = kernels.cropped(pixels, *axes, resample, columns_first=order is not passes)
            assert np.array_equal(made, expected[:, top:bottom, left:right]), (
                left,
                top,
                right,
                bottom,
            )


def test_a_weight_by_hand():
    """4 pixels to 2, bilinear: a triangle of 2 pixels to either side of 1 and of 3, at distances 1.5, 0.5, 0.5, 1.5 where all lie in the image.
    Pixel 0: distances of 0, 1, 2 are 0.5, 0.5, 1.5, weights 3 : 3 : 1 of 7, in units of 2^-22 599186.3 and 1797558.9."""
    made = taps(Axis(4, 2, 0, 2), Image.Resampling.BILINEAR)
    assert made.first.tolist() == [0, 1] and made.count.tolist() == [3, 3] and made.end == 4
    assert made.weights[:, :3].tolist() == [[1797559, 1797559, 599186], [599186, 1797559, 1797559]]


def test_the_order_of_passes_is_pillow_s():
    """Among the sizes are tall ones, on which Pillow 13 passes along columns first, at and around the bound, and wide ones."""
    sizes = [
        (w, h, rw, rh)
        for w, h in ((60, 200), (60, 129), (60, 128), (60, 127), (200, 60), (30, 31))
        for rw, rh in ((30, 67), (30, 68), (90, 20), (20, 90))
    ]
    for width, height, resized, resized_height in sizes:
        image = Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        )
        made = region.Region(
            Axis(width, resized, 0, resized),
            Axis(height, resized_height, 0, resized_height),
            Image.Resampling.BICUBIC,
        )
        tall_before_13 = columns_first(made.x, made.y) and int(PIL_VERSION.split(".")[0]) < 13
        assert np.array_equal(made.by_loops(image), made.by_pil(image)) is not tall_before_13, (
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


def test_loops_are_used_when_they_were_seen_to_give_the_same(monkeypatch):
    """A plain image cannot tell; one that can is tried once; where a bit differs, PIL is asked for good."""
    monkeypatch.setattr(region, "COMPILED_AFTER", 3)
    monkeypatch.setattr(region, "_made", itertools.count())
    axes = Axis(100, 68, 6, 40), Axis(90, 61, 10, 32)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8))
    plain = Image.new("RGB", (100, 90), "red")
    sound, unsound = (kind(*axes, Image.Resampling.BICUBIC) for kind in (region.Region, Shifted))
    expected = sound.by_pil(noise)
    for image, known in (
        (noise, None),
        (noise, None),
        (noise, None),
        (plain, None),
        (noise, True),
        (noise, True),
    ):
        assert np.array_equal(sound.crop(image), sound.by_pil(image)) and sound.same is known
    for _ in range(2):
        assert np.array_equal(unsound.crop(noise), expected) and unsound.same is False


def test_a_size_with_one_pass_needs_no_other_order(monkeypatch):
    monkeypatch.setattr(region, "COMPILED_AFTER", 0)
    made = region.Region(Axis(100, 68, 6, 40), Axis(64, 64, 16, 32), Image.Resampling.BICUBIC)
    made.crop(Image.new("RGB", (100, 64), "red"))
    assert made.same is True


def test_very_long_sides_are_left_to_the_library(loops_at_once):
    geometry = Geometry(8, 8, 1.0, "squash", "bilinear")
    assert (
        region_of(geometry, (region.LONGEST_PX, 3))
        and region_of(geometry, (region.LONGEST_PX + 1, 3)) is None
    )
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (200, region.LONGEST_PX, 3), dtype=np.uint8)
    )
    longest = region_of(geometry, image.size)
    assert longest and np.array_equal(longest.by_loops(image), longest.by_pil(image))


class Shifted(region.Region):
    """As if Pillow came to weigh its pixels otherwise."""

    def by_loops(self, image, *, other_order=False):
        return super().by_loops(
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), other_order=other_order
        )


def test_pil_does_alone_where_numba_cannot_be_imported(monkeypatch, loops_at_once):
    """As where NumPy is newer than numba knows."""
    monkeypatch.delitem(sys.modules, "bob.backbones.pixels.kernels")
    monkeypatch.setitem(sys.modules, "numba", None)
    made = region.Region(Axis(100, 68, 6, 40), Axis(90, 61, 10, 32), Image.Resampling.BICUBIC)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8))
    for _ in range(2):
        assert np.array_equal(made.crop(noise), made.by_pil(noise)) and made.same is False


def test_loops_run_where_compiled_code_cannot_be_kept(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("no locator available")
        return lambda loop: loop

    monkeypatch.setattr(kernels.numba, "njit", njit)
    assert kernels._compiled(len)([1, 2]) == 2


@pytest.mark.parametrize(
    ("resize_mode", "crop_mode"), [("shortest", "center"), ("squash", "squash")]
)
def test_exact_pixels_are_open_clip_s(photographs, resize_mode, crop_mode):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(
        size=64, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic", resize_mode=resize_mode
    )
    theirs = image_transform_v2(config, is_train=False)
    geometry = Geometry(64, 64, 1.0, crop_mode, "bicubic")
    for data, what in photographs:
        assert torch.equal(
            geometry.crop(decode(data, what)),
            levels(theirs(Image.open(BytesIO(data)).convert("RGB"))),
        ), what


@pytest.mark.parametrize(
    "geometry",
    GEOMETRIES,
    ids=lambda geometry: f"{geometry.crop_mode} {geometry.height_px}x{geometry.width_px}",
)
def test_fast_pixels_are_within_the_stated_distance(photographs, geometry):
    """Two levels at most and a tenth of one on average. Where torchvision has no such step (padding), the exact ones."""
    quick = Geometry(
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
        differences.append((quick.crop(image).int() - geometry.crop(image).int()).abs())
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
def test_a_crop_wakes_no_thread_of_torch_s(fast, loops_at_once):
    """Each thread that decodes would get helpers of its own, which spin while the forward needs the cores. The addition at the end shows that
    helpers would be seen: a thread's first large operation starts them."""
    image, geometry = (
        Image.new("RGB", (500, 400), "red"),
        Geometry(224, 224, 0.875, "center", "bicubic", fast=fast),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        started = [
            pool.submit(
                threads_started, lambda: [geometry.crop(image).numpy() for _ in range(12)]
            ).result()
        ]
        started += [pool.submit(threads_started, lambda: torch.zeros(3, 224, 224).add_(1)).result()]
    torch.set_num_threads(before)
    assert started[0] == 0 < started[1]


def threads_started(act) -> int:
    before = set(Path("/proc/self/task").iterdir())
    act()
    return len(set(Path("/proc/self/task").iterdir()) - before)


def test_fast_is_part_of_the_identity_and_exact_leaves_it_as_it_was():
    exact, fast = (
        Geometry(64, 64, 1.0, "center", "bicubic", fast=fast).facts() for fast in (False, True)
    )
    assert fast == {**exact, "preprocessing": "fast"} and "preprocessing" not in exact


def test_a_decoded_rgb_image_is_not_copied(monkeypatch):
    """PIL's `convert` copies an image that is RGB already, which takes longer than decoding a large JPEG."""
    monkeypatch.setattr(Image.Image, "convert", None)
    buffer = BytesIO()
    Image.new("RGB", (5, 5), "red").save(buffer, "JPEG")
    assert decode(buffer.getvalue(), "x").size == (5, 5)
