"""One pass, many backbones: each image decoded once, one failure stays one failure, and a pass goes on where it stopped."""

import dataclasses
import threading
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import ImageOps
from torch import nn

from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.loaders.timm import TimmRows
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.datasets.open import from_data_flag, open_dataset
from bob.errors import BadImageError
from bob.extraction import blocks, passes
from bob.extraction.blocks import BLOCK
from bob.extraction.passes import Member, auto_batch, auto_workers, bad_images_message, run_pass
from bob.features.store import SHARD_ROWS, FeatureStore
from bob.registry.registry import load_registry
from tests.builders.backbones import Count
from tests.builders.features import KEY
from tests.builders.photos import make_photos

OWN = load_registry().backbones["raw_pixels"].model_copy(update={"loader": "python"})


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
    loaded = Loaded(
        Mean(problem),
        Geometry(size, size, 1.0, "center", "bilinear"),
        Normalisation((0.5,) * 3, (0.5,) * 3),
        "test",
    )
    backbone = Backbone(OWN.model_copy(update={"name": name}), loaded, "cpu")
    return Member(backbone, {"default": dataclasses.replace(KEY, weights_hash=name)}, batch_size)


@pytest.fixture
def split(tmp_path):
    return open_dataset(
        from_data_flag(str(make_photos(tmp_path / "photos", per_class=50, side_px=8))), tmp_path
    ).splits["train"]


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features")


def go(split, members, store, **options):
    watcher = Count()
    run_pass(split, members, store, watcher, **{"workers": 2, "skip_bad": False, **options})
    return watcher


def test_images_are_decoded_once_and_cropped_once_per_geometry(split, store, monkeypatch):
    decoded, crops = Counter(), Counter()
    real_decode, real_crop = blocks.decode, Geometry.crop
    monkeypatch.setattr(
        blocks, "decode", lambda data, name: (decoded.update([name]), real_decode(data, name))[1]
    )
    monkeypatch.setattr(
        Geometry, "crop", lambda self, image: (crops.update([self]), real_crop(self, image))[1]
    )
    watcher = go(split, [member(name="a"), member(name="b"), member(name="c", size=8)], store)
    assert set(decoded) == set(split.ids) and set(decoded.values()) == {1}
    assert sorted(crops.values()) == [len(split), len(split)], "two geometries, three backbones"
    assert watcher.images == len(split)


def test_one_forward_gives_all_poolings_and_only_those_that_are_missing(split, store):
    """Second run: the shard of one pooling is gone, so that one alone is computed."""
    asked: list[list[str]] = []

    class Two(Mean):
        def forward(self, x, poolings):
            asked.append(list(poolings))
            return {
                pooling: x.mean((2, 3)) * (1 if pooling == "default" else 2) for pooling in poolings
            }

    one = member()
    one.backbone.module = Two()
    one.keys = {"default": KEY, "cls": dataclasses.replace(KEY, pooling="cls")}
    go(split, [one], store)
    assert asked and all(poolings == ["default", "cls"] for poolings in asked)
    default, cls = (store.read(key, len(split)).rows for key in one.keys.values())
    np.testing.assert_array_equal(cls, 2 * default)
    asked.clear()
    store.forget(one.keys["cls"])
    go(split, [one], store)
    assert asked and all(poolings == ["cls"] for poolings in asked)
    np.testing.assert_array_equal(store.read(one.keys["cls"], len(split)).rows, cls)


def test_a_split_s_images_are_altered_between_decoding_and_cropping(split, store):
    """Every second image inverted: the mean m of its levels becomes 255 - m, which (x / 255 - 0.5) / 0.5 turns into the opposite;
    resizing rounds each level, so to within one of 255 / 2 of the normalised range."""
    plain, inverted = member(name="plain"), member(name="inverted")
    go(split, [plain], store)
    go(
        dataclasses.replace(
            split, alter=lambda i, image: ImageOps.invert(image) if i % 2 else image
        ),
        [inverted],
        store,
    )
    before, after = (store.read(one.keys["default"], len(split)).rows for one in (plain, inverted))
    np.testing.assert_array_equal(after[::2], before[::2])
    np.testing.assert_allclose(after[1::2], -before[1::2], atol=2 / 255)


def test_a_backbone_that_fails_does_not_take_the_others_down(split, store):
    def fail(module, x):
        if len(module.batches) == 3:
            raise ValueError("no luck")

    good, bad = member(name="good"), member(fail, name="bad")
    go(split, [bad, good], store)
    assert good.failure is None and not store.missing(good.keys["default"], len(split))
    assert (
        bad.failure == "backbone 'bad': failed while embedding: ValueError: no luck"
        and store.missing(bad.keys["default"], len(split)) == [0]
    )
    assert len(bad.backbone.module.batches) == 3, "it takes no further part"


def test_rows_that_are_not_finite_are_the_backbone_s_failure(split, store):
    def spoil(module, x):
        x[0] = float("nan")

    bad = member(spoil)
    go(split, [bad], store)
    assert bad.failure is not None and "hold NaN or infinity" in bad.failure
    assert store.missing(bad.keys["default"], len(split)) == [0], "wrong rows are never stored"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(split, store, error):
    def tight(module, x):
        if len(x) > 5:
            raise error

    one, other = member(tight, name="tight"), member(name="easy")
    go(split, [one, other], store)
    assert (
        one.failure is None
        and one.ready[0].batch_size == 4
        and max(one.backbone.module.batches[2:]) == 4
    )
    np.testing.assert_allclose(
        store.read(one.keys["default"], len(split)).rows,
        store.read(other.keys["default"], len(split)).rows,
        rtol=1e-6,
    )


def test_a_backbone_that_fits_no_single_image_fails(split, store):
    def never(module, x):
        raise MemoryError

    one = member(never)
    go(split, [one], store)
    assert one.failure is not None and "MemoryError" in one.failure


def test_a_pass_goes_on_at_the_first_missing_shard(tmp_path, store, monkeypatch):
    folder = make_photos(tmp_path / "many", per_class=700, classes=2, side_px=4)
    whole = open_dataset(from_data_flag(str(folder)), tmp_path)
    split = whole.splits["train"]
    assert SHARD_ROWS < len(split) <= 2 * SHARD_ROWS
    one = member()
    go(split, [one], store)
    expected = store.read(one.keys["default"], len(split)).rows
    (store.folder(one.keys["default"]) / "000001.safetensors").unlink()
    decoded = Counter()
    real = blocks.decode
    monkeypatch.setattr(
        blocks, "decode", lambda data, name: (decoded.update([name]), real(data, name))[1]
    )
    watcher = go(split, [one], store)
    assert set(decoded) == set(split.ids[SHARD_ROWS:])
    assert watcher.images == len(split), "progress counts what was there"
    np.testing.assert_array_equal(store.read(one.keys["default"], len(split)).rows, expected)


@pytest.fixture
def short_shards(monkeypatch):
    """Shards of 32 images, so that a few images fill several."""
    monkeypatch.setattr("bob.features.store.SHARD_ROWS", 32)


WAYS = {
    "another batch size": {"batch_size": 7},
    "one image at a time": {"batch_size": 1},
    "one worker": {"workers": 1},
    "five workers": {"workers": 5},
    "two devices": {"lanes": 2},
    "three devices": {"lanes": 3, "batch_size": 5},
    "openvino": {"runtime": "openvino"},
    "openvino on two devices": {"runtime": "openvino", "lanes": 2, "batch_size": 8},
    "onnxruntime": {"runtime": "onnxruntime"},
    "whatever is fastest": {"runtime": "auto", "batch_size": None},
    "from the second shard on": {"resume": True},
    "from the second shard on, by another runtime": {"resume": True, "runtime": "openvino"},
}


@pytest.mark.parametrize("way", WAYS)
def test_no_row_depends_on_how_it_was_computed(split, short_shards, way, store):
    """Batch size, workers, devices (lanes on the CPU), runtime, resume point: no value moves by more than 1e-5 of the largest."""
    how: dict = {
        "batch_size": 16,
        "workers": 2,
        "lanes": 1,
        "runtime": "eager",
        "resume": False,
    } | WAYS[way]
    go(split, [small_network(KEY, 16)], store, workers=1)
    reference = store.read(KEY, len(split)).rows.copy()
    if how["resume"]:
        (store.folder(KEY) / "000001.safetensors").unlink()
    else:
        store.forget(KEY)
    one = small_network(KEY, how["batch_size"], lanes=how["lanes"], runtime=how["runtime"])
    watcher = go(split, [one], store, workers=how["workers"])
    assert one.failure is None and watcher.images == len(split)
    if how["runtime"] not in ("eager", "auto"):
        assert {runtime.name for runtime in one.ready.values()} == {how["runtime"]}
    found = store.read(KEY, len(split))
    assert found.positions.tolist() == list(range(len(split)))
    assert np.abs(found.rows - reference).max() <= 1e-5 * np.abs(reference).max()


def test_a_pass_that_goes_on_chooses_as_the_one_that_was_stopped(
    split, short_shards, store, monkeypatch
):
    """By all images of the split: what is stored of them already must not change by which runtime the rest is computed."""
    told = []
    real = passes.make_ready
    monkeypatch.setattr(
        passes,
        "make_ready",
        lambda backbone, images, *how: told.append(images.total) or real(backbone, images, *how),
    )
    go(split, [small_network(KEY, None)], store)
    (store.folder(KEY) / "000001.safetensors").unlink()
    go(split, [small_network(KEY, None)], store)
    assert told == [len(split), len(split)]


def small_network(key, batch_size, lanes=1, runtime="eager"):
    """A residual network of timm's, 64 px, with weights from a seed."""
    import timm

    def made():
        torch.manual_seed(0)
        rows = TimmRows(timm.create_model("test_resnet", num_classes=0), "small")
        return Backbone(
            OWN,
            Loaded(
                rows,
                Geometry(64, 64, 1.0, "center", "bilinear"),
                Normalisation((0.5,) * 3, (0.5,) * 3),
                "test",
            ),
            "cpu",
        )

    return Member(
        made(),
        {"default": key},
        batch_size,
        replicas=[made() for _ in range(lanes - 1)],
        runtime=runtime,
    )


def test_several_devices_share_the_shards(split, short_shards, store):
    """Each lane embeds a shard: it waits in its first batch until the other is in its own."""
    barrier = threading.Barrier(2)

    def meet(module, x):
        if len(module.batches) == 1:
            barrier.wait(timeout=60)

    one = member(meet)
    one.replicas = [member(meet).backbone]
    go(split, [one], store)
    assert one.failure is None and store.missing(one.keys["default"], len(split)) == []
    assert all(backbone.module.batches for backbone in (one.backbone, *one.replicas))


def test_a_failure_on_one_device_is_the_backbone_s_failure(split, short_shards, store):
    def fail(module, x):
        raise ValueError("no luck")

    one, other = member(), member(name="other")
    one.replicas, other.replicas = [member(fail).backbone], [member(name="other").backbone]
    go(split, [one, other], store)
    assert one.failure == "backbone 'mine': failed while embedding: ValueError: no luck"
    assert other.failure is None and store.missing(other.keys["default"], len(split)) == []


def test_a_bad_image_on_one_device_ends_the_pass_on_all(split, short_shards, store):
    one = member()
    one.replicas = [member().backbone]
    with pytest.raises(BadImageError, match="1 image cannot be used"):
        go(with_bad(split, {100: b""}), [one], store)
    assert not list(store.root.rglob("*.claim"))


def test_memory_does_not_grow_with_the_images(split, short_shards, store, monkeypatch):
    """Of the blocks that are made, no more than those decoded ahead, the one embedded and the one begun live at a time."""
    alive, most = weakref.WeakSet(), []
    real = blocks._begin

    def begin(*arguments):
        coming = real(*arguments)
        alive.update(coming.crops.values())
        most.append(len(alive))
        return coming

    monkeypatch.setattr(blocks, "_begin", begin)
    go(split, [member()], store)
    assert len(most) == -(-len(split) // 32) > blocks.BLOCKS_AHEAD + 1
    assert max(most) <= blocks.BLOCKS_AHEAD + 2


def test_decoding_leaves_torch_s_own_threads_asleep(split, store, monkeypatch):
    """A tensor's copy wakes a thread per core beside each thread that decodes, and those spin while the forward needs the cores."""

    def refuse(*_):
        raise AssertionError("copied by torch")

    monkeypatch.setattr(torch.Tensor, "__setitem__", refuse)
    monkeypatch.setattr(torch.Tensor, "copy_", refuse)
    one = member()
    go(split, [one], store)
    assert one.failure is None and store.missing(one.keys["default"], len(split)) == []


def test_what_a_shard_took_is_stored_with_it(split, store):
    one = member()
    go(split, [one], store)
    effort = store.read(one.keys["default"], len(split)).effort
    assert (effort.images, effort.device, effort.batch_size, effort.runtime) == (
        len(split),
        "cpu",
        16,
        "eager",
    )
    assert effort.decode_seconds > 0 and effort.forward_seconds > 0 and effort.peak_mib > 10
    assert effort.threads == torch.get_num_threads() and effort.device_name


def test_bad_images_are_named_and_store_nothing(split, store, monkeypatch):
    broken = with_bad(split, {3: b"", 70: b"text"})
    one = member()
    with pytest.raises(
        BadImageError,
        match=r"(?s)2 images cannot be used:.*0 bytes.*Mend or remove them, or leave them out with --skip-bad-images",
    ):
        go(broken, [one], store)
    assert store.missing(one.keys["default"], len(split)) == [0]


def test_bad_images_left_out_are_listed_beside_the_rows(split, store):
    one = member()
    go(with_bad(split, {3: b"", 70: b"text"}), [one], store, skip_bad=True)
    features = store.read(one.keys["default"], len(split))
    assert sorted(features.bad) == [3, 70] and len(features.rows) == len(split) - 2
    assert features.positions.tolist() == [i for i in range(len(split)) if i not in (3, 70)]


def test_a_block_of_bad_images_only_is_no_trouble(split, store):
    one = member()
    go(with_bad(split, dict.fromkeys(range(BLOCK), b"")), [one], store, skip_bad=True)
    assert store.read(one.keys["default"], len(split)).positions.tolist() == list(
        range(BLOCK, len(split))
    )


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
    with pytest.raises(
        BadImageError, match="is 30000 x 5 px: with its shorter side at 512 px it would have"
    ):
        go(with_bad(split, {0: strip.getvalue()}), [member()], store)


def test_a_message_names_the_first_bad_images_only():
    assert bad_images_message([f"image {i}" for i in range(12)]).count("\n  image") == 5
    assert "and 7 more" in bad_images_message(["x"] * 12)


def test_automatic_sizes_are_sensible():
    assert auto_batch("cpu") < auto_batch("cuda") and 1 <= auto_workers() <= 16


def with_bad(split, contents):
    return dataclasses.replace(
        split, read=lambda i: contents[i] if i in contents else split.read(i)
    )
