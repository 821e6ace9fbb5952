"""One pass, many backbones: each image decoded once, one failure stays one failure, and a pass goes on where it stopped."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import make_photos
from test_store import KEY
from torch import nn

import bob.features.extract as extract
from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.card import load_backbone
from bob.backbones.geometry import Geometry, Normalisation
from bob.datasets.folder import read_folder
from bob.errors import BadImageError
from bob.features.extract import BLOCK, Member, auto_batch, auto_workers, bad_images_message, run_pass
from bob.features.store import SHARD_ROWS, FeatureStore
from bob.registry import load_registry

FLOOR = load_registry().backbones["raw_pixels"]


class Count:
    """A watcher that counts."""

    def __init__(self) -> None:
        self.images = 0

    def waiting(self) -> None: ...

    def embedded(self, images: int, decode_seconds: float, forward_seconds: float) -> None:
        self.images += images


class Mean(nn.Module):
    """The mean colour, until something goes wrong."""

    def __init__(self, problem=None) -> None:
        super().__init__()
        self.problem, self.batches = problem, []

    def forward(self, x, poolings):
        self.batches.append(len(x))
        if self.problem:
            self.problem(self, x)
        return dict.fromkeys(poolings, x.mean((2, 3)))


def member(problem=None, name: str = "mine", size: int = 16, batch_size: int = 16) -> Member:
    loaded = Loaded(Mean(problem), Geometry(size, size, 1.0, "center", "bilinear"), Normalisation((0.5,) * 3, (0.5,) * 3), "test")
    backbone = Backbone(FLOOR.model_copy(update={"name": name}), loaded, "cpu")
    return Member(backbone, dataclasses.replace(KEY, weights_hash=name), batch_size)


@pytest.fixture
def split(tmp_path):
    return read_folder("photos", make_photos(tmp_path / "photos", per_class=50, side_px=8), tmp_path).splits["train"]


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features")


def go(split, members, store, **options):
    watcher = Count()
    run_pass(split, members, store, watcher, **{"workers": 2, "skip_bad": False, **options})
    return watcher


def test_images_are_decoded_once_and_cropped_once_per_geometry(split, store, monkeypatch):
    decoded, crops = Counter(), Counter()
    real_decode, real_crop = extract.decode, Geometry.crop
    monkeypatch.setattr(extract, "decode", lambda data, name: (decoded.update([name]), real_decode(data, name))[1])
    monkeypatch.setattr(Geometry, "crop", lambda self, image: (crops.update([self]), real_crop(self, image))[1])
    watcher = go(split, [member(name="a"), member(name="b"), member(name="c", size=8)], store)
    assert set(decoded) == set(split.ids) and set(decoded.values()) == {1}
    assert sorted(crops.values()) == [len(split), len(split)], "two geometries, three backbones"
    assert watcher.images == len(split)


def test_a_backbone_that_fails_does_not_take_the_others_down(split, store):
    def fail(module, x):
        if len(module.batches) == 3:
            raise ValueError("no luck")

    good, bad = member(name="good"), member(fail, name="bad")
    go(split, [bad, good], store)
    assert good.failure is None and not store.missing(good.key, len(split))
    assert bad.failure == "backbone 'bad': failed while embedding: ValueError: no luck" and store.missing(bad.key, len(split)) == [0]
    assert len(bad.backbone.module.batches) == 3, "it takes no further part"


def test_rows_that_are_not_finite_are_the_backbone_s_failure(split, store):
    def spoil(module, x):
        x[0] = float("nan")

    bad = member(spoil)
    go(split, [bad], store)
    assert bad.failure is not None and "hold NaN or infinity" in bad.failure
    assert store.missing(bad.key, len(split)) == [0], "wrong rows are never stored"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_halves_the_batch_and_goes_on(split, store, error):
    def tight(module, x):
        if len(x) > 5:
            raise error

    one, other = member(tight, name="tight"), member(name="easy")
    go(split, [one, other], store)
    assert one.failure is None and one.batch_size == 4 and max(one.backbone.module.batches[2:]) == 4
    np.testing.assert_allclose(store.read(one.key, len(split)).rows, store.read(other.key, len(split)).rows, rtol=1e-6)


def test_a_backbone_that_fits_no_single_image_fails(split, store):
    def never(module, x):
        raise MemoryError

    one = member(never)
    go(split, [one], store)
    assert one.failure is not None and "MemoryError" in one.failure


def test_a_pass_goes_on_at_the_first_missing_shard(tmp_path, store, monkeypatch):
    folder = make_photos(tmp_path / "many", per_class=700, classes=2, side_px=4)
    whole = read_folder("many", folder, tmp_path)
    split = whole.splits["train"]
    assert SHARD_ROWS < len(split) <= 2 * SHARD_ROWS
    one = member()
    go(split, [one], store)
    expected = store.read(one.key, len(split)).rows
    (store.folder(one.key) / "000001.safetensors").unlink()
    decoded = Counter()
    real = extract.decode
    monkeypatch.setattr(extract, "decode", lambda data, name: (decoded.update([name]), real(data, name))[1])
    watcher = go(split, [one], store)
    assert set(decoded) == set(split.ids[SHARD_ROWS:])
    assert watcher.images == len(split), "progress counts what was there"
    np.testing.assert_array_equal(store.read(one.key, len(split)).rows, expected)


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (2, 7), (5, 64)])
def test_rows_do_not_depend_on_workers_or_batch_size(split, store, workers, batch_size):
    backbone = load_backbone(load_registry().backbones["random_convolution"], "cpu", "float32", offline=True)
    reference, other = Member(backbone, KEY, 16), Member(backbone, dataclasses.replace(KEY, weights_hash="other"), batch_size)
    go(split, [reference], store)
    go(split, [other], store, workers=workers)
    a, b = store.read(reference.key, len(split)).rows, store.read(other.key, len(split)).rows
    assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


def test_bad_images_are_named_and_store_nothing(split, store, monkeypatch):
    broken = with_bad(split, {3: b"", 70: b"text"})
    one = member()
    with pytest.raises(BadImageError, match=r"(?s)2 images cannot be used:.*0 bytes.*Mend or remove them, or leave them out with --skip-bad-images"):
        go(broken, [one], store)
    assert store.missing(one.key, len(split)) == [0]


def test_bad_images_left_out_are_listed_beside_the_rows(split, store):
    one = member()
    go(with_bad(split, {3: b"", 70: b"text"}), [one], store, skip_bad=True)
    features = store.read(one.key, len(split))
    assert sorted(features.bad) == [3, 70] and len(features.rows) == len(split) - 2
    assert features.positions.tolist() == [i for i in range(len(split)) if i not in (3, 70)]


def test_a_block_of_bad_images_only_is_no_trouble(split, store):
    one = member()
    go(with_bad(split, dict.fromkeys(range(BLOCK), b"")), [one], store, skip_bad=True)
    assert store.read(one.key, len(split)).positions.tolist() == list(range(BLOCK, len(split)))


def test_an_image_that_cannot_be_opened_is_a_bad_image(split, store):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(BadImageError, match=r"cannot be read \(Permission denied\)"):
        go(dataclasses.replace(split, read=refuse), [member()], store)


def test_an_image_that_would_explode_is_a_bad_image(split, store):
    from io import BytesIO

    from PIL import Image

    strip = BytesIO()
    Image.new("RGB", (30_000, 5)).save(strip, "PNG")
    with pytest.raises(BadImageError, match="is 30000 x 5 px: with its shorter side at 512 px it would have"):
        go(with_bad(split, {0: strip.getvalue()}), [member()], store)


def test_a_message_names_the_first_bad_images_only():
    assert bad_images_message([f"image {i}" for i in range(12)]).count("\n  image") == 5
    assert "and 7 more" in bad_images_message(["x"] * 12)


def test_automatic_sizes_are_sensible():
    assert auto_batch("cpu") < auto_batch("cuda") and 1 <= auto_workers() <= 16


def with_bad(split, contents):
    return dataclasses.replace(split, read=lambda i: contents[i] if i in contents else split.read(i))
