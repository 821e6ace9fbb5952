"""One pass, many backbones: images are decoded once, failures stay separate, passes resume."""

import dataclasses
import threading
import weakref
from collections import Counter
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.loaders.timm_features import TimmFeatures
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.datasets import dataset as dataset_module
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import UnreadableImageError
from bob.extraction import blocks
from bob.extraction.blocks import BLOCK_IMAGES
from bob.extraction.embedder import Embedder
from bob.extraction.messages import bad_images_message
from bob.extraction.passes import Member, Target, auto_workers, run_pass
from bob.features.sharding import SPAN_IMAGES
from bob.features.store import FeatureStore
from bob.registry import load_registry
from bob.specs import DEFAULT, Output
from tests.builders.backbones import Count
from tests.builders.features import KEY
from tests.builders.photos import make_photos

SPEC = load_registry().backbones["raw_pixels"].model_copy(update={"loader": "python"})
CLS = Output(pool="cls")


class MeanColour(nn.Module):
    """The mean colour of an image; `problem` is called on each batch first."""

    def __init__(self, problem=None) -> None:
        super().__init__()
        self.problem, self.batches = problem, []

    def forward(self, x, outputs):
        self.batches.append(len(x))
        if self.problem:
            self.problem(self, x)
        return dict.fromkeys(outputs, x.mean((2, 3)))


def mean_colour(problem=None, name: str = "mine", size: int = 16) -> Backbone:
    loaded = Loaded(
        MeanColour(problem),
        Geometry(size, size, 1.0, "center", "bilinear"),
        Normalisation((0.5,) * 3, (0.5,) * 3),
        "test",
    )
    return Backbone(SPEC.model_copy(update={"name": name}), loaded, "cpu")


def member(split, *problems, name: str = "mine", size: int = 16, batch_size: int = 16) -> Member:
    """Return a backbone on one device per problem (on one device without any)."""
    backbones = [mean_colour(problem, name, size) for problem in problems or (None,)]
    key = dataclasses.replace(KEY, weights_hash=name, count=len(split))
    return Member(Embedder(backbones, batch_size=batch_size), [Target(DEFAULT, key)])


def key_of(member: Member):
    return member.targets[0].key


def batches_of(member: Member, device: int = 0) -> list[int]:
    """Return the sizes of the batches that a device has embedded."""
    return member.embedder.backbones[device].module.batches


def runtimes_of(member: Member):
    return member.embedder.runtimes


@pytest.fixture
def split(tmp_path):
    folder = make_photos(tmp_path / "photos", per_class=50, side_px=8)
    return open_dataset(spec_from_data_flag(str(folder)), tmp_path).splits["train"]


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features")


def embed(split, members, store, **options):
    listener = Count()
    run_pass(split, members, store, listener, **{"workers": 2, "skip_bad": False, **options})
    return listener


def test_images_are_decoded_once_and_cropped_once_per_geometry(split, store, monkeypatch):
    decoded, crops = Counter(), Counter()
    real_decode, real_crop = dataset_module.decode, Geometry.crop
    monkeypatch.setattr(
        dataset_module,
        "decode",
        lambda data, name, alpha: (decoded.update([name]), real_decode(data, name, alpha))[1],
    )
    monkeypatch.setattr(
        Geometry, "crop", lambda self, image: (crops.update([self]), real_crop(self, image))[1]
    )
    members = [member(split, name="a"), member(split, name="b"), member(split, name="c", size=8)]
    listener = embed(split, members, store)
    assert set(decoded) == set(split.ids) and set(decoded.values()) == {1}
    assert sorted(crops.values()) == [len(split), len(split)], "two geometries, three backbones"
    assert listener.images == len(split)


def test_backbones_come_first_in_a_block_in_proportion_to_their_time(
    split, short_spans, store, monkeypatch
):
    """Seconds so far per turn, the next one included, before each block, by hand:
    all 0; then a 1/2, b 3, c 2; then a 2/2, b 6/2, c 4; then a 3/2, b 9/2, c 6/2."""
    seconds, order = {"a": 1.0, "b": 3.0, "c": 2.0}, []
    real = Embedder.embed

    def embed_and_measure(self, *arguments):
        name = self.backbone.spec.name
        order.append(name)
        embedded, effort = real(self, *arguments)
        return embedded, dataclasses.replace(effort, forward_seconds=seconds[name])

    monkeypatch.setattr(Embedder, "embed", embed_and_measure)
    embed(split, [member(split, name=name) for name in seconds], store)
    blocks = ["".join(order[start : start + 3]) for start in range(0, len(order), 3)]
    assert blocks == ["abc", "bca", "cba", "bca"]


def test_freed_memory_is_returned_again_and_again_during_a_pass(split, store, monkeypatch):
    """After 3 images or more: of blocks of 2 images, that is every second one."""
    monkeypatch.setattr("bob.extraction.blocks.BLOCK_IMAGES", 2)
    monkeypatch.setattr("bob.extraction.passes.RELEASED_IMAGES", 3)
    calls: list[None] = []
    monkeypatch.setattr("bob.extraction.passes.release_freed_memory", lambda: calls.append(None))
    embed(split, [member(split)], store)
    assert len(calls) == 2 + len(split) // 4, "before and after the pass, and every 4 images"


def test_one_forward_gives_all_outputs_and_only_those_that_are_missing(split, store):
    """Second pass: the shards of one output are gone, so that one alone is computed."""
    requested: list[list[Output]] = []

    class TwoOutputs(MeanColour):
        def forward(self, x, outputs):
            requested.append(list(outputs))
            return {output: x.mean((2, 3)) * (1 if output == DEFAULT else 2) for output in outputs}

    tested = member(split)
    tested.embedder.backbone.module = TwoOutputs()
    default_key = key_of(tested)
    cls_key = dataclasses.replace(default_key, output="cls")
    tested.targets = [Target(DEFAULT, default_key), Target(CLS, cls_key)]
    embed(split, [tested], store)
    assert requested and all(outputs == [DEFAULT, CLS] for outputs in requested)
    default, cls = (store.read(key).rows for key in (default_key, cls_key))
    np.testing.assert_array_equal(cls, 2 * default)
    requested.clear()
    store.forget(cls_key)
    embed(split, [tested], store)
    assert requested and all(outputs == [CLS] for outputs in requested)
    np.testing.assert_array_equal(store.read(cls_key).rows, cls)


def test_images_are_altered_between_decoding_and_cropping(split, store):
    """Every second image is inverted: the mean m of its levels becomes 255 - m.

    (x / 255 - 0.5) / 0.5 turns that into the opposite. Resizing rounds each level, so the rows
    agree to within one of 255 / 2 of the normalised range.
    """
    plain, inverted = member(split, name="plain"), member(split, name="inverted")
    embed(split, [plain], store)
    altered = dataclasses.replace(
        split, alter=lambda i, image: ImageOps.invert(image) if i % 2 else image
    )
    embed(altered, [inverted], store)
    before, after = (store.read(key_of(each)).rows for each in (plain, inverted))
    np.testing.assert_array_equal(after[::2], before[::2])
    np.testing.assert_allclose(after[1::2], -before[1::2], atol=2 / 255)


def test_a_failing_backbone_leaves_the_others_unharmed(split, store):
    def fail(module, x):
        if len(module.batches) == 3:
            raise ValueError("no luck")

    good, bad = member(split, name="good"), member(split, fail, name="bad")
    embed(split, [bad, good], store)
    assert good.failure is None and not store.missing(key_of(good))
    assert bad.failure == "backbone 'bad': failed while embedding: ValueError: no luck"
    assert store.missing(key_of(bad)) == [0]
    assert len(batches_of(bad)) == 3, "it takes no further part"


def test_features_that_are_not_finite_are_a_failure_of_the_backbone(split, store):
    def spoil(module, x):
        x[0] = float("nan")

    bad = member(split, spoil)
    embed(split, [bad], store)
    assert bad.failure is not None and "hold NaN or infinity" in bad.failure
    assert store.missing(key_of(bad)) == [0], "wrong rows are never stored"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_the_batch_and_the_pass_continues(split, store, error):
    def fail_above_five(module, x):
        if len(x) > 5:
            raise error

    tight, easy = member(split, fail_above_five, name="tight"), member(split, name="easy")
    embed(split, [tight, easy], store)
    (runtime,) = runtimes_of(tight)
    assert tight.failure is None and runtime.batch_size == 4 and max(batches_of(tight)[2:]) == 4
    np.testing.assert_allclose(
        store.read(key_of(tight)).rows, store.read(key_of(easy)).rows, rtol=1e-6
    )


def test_a_backbone_that_fits_no_single_image_fails(split, store):
    def never(module, x):
        raise MemoryError

    tested = member(split, never)
    embed(split, [tested], store)
    assert tested.failure is not None and "MemoryError" in tested.failure


def test_a_pass_resumes_at_the_first_missing_shard(tmp_path, store, monkeypatch):
    folder = make_photos(tmp_path / "many", per_class=700, classes=2, side_px=4)
    split = open_dataset(spec_from_data_flag(str(folder)), tmp_path).splits["train"]
    assert SPAN_IMAGES < len(split) <= 2 * SPAN_IMAGES
    tested = member(split)
    embed(split, [tested], store)
    expected = store.read(key_of(tested)).rows
    (store.folder(key_of(tested)) / "000001.safetensors").unlink()
    decoded = Counter()
    real = dataset_module.decode
    monkeypatch.setattr(
        dataset_module,
        "decode",
        lambda data, name, alpha: (decoded.update([name]), real(data, name, alpha))[1],
    )
    listener = embed(split, [tested], store)
    assert set(decoded) == set(split.ids[SPAN_IMAGES:])
    assert listener.images == len(split), "progress counts stored images too"
    np.testing.assert_array_equal(store.read(key_of(tested)).rows, expected)


@pytest.fixture
def short_spans(monkeypatch):
    """Spans of 32 images, so that a few images fill several."""
    monkeypatch.setattr("bob.features.sharding.SPAN_IMAGES", 32)


WAYS = {
    "another batch size": {"batch_size": 7},
    "one image at a time": {"batch_size": 1},
    "one worker": {"workers": 1},
    "five workers": {"workers": 5},
    "two devices": {"devices": 2},
    "three devices": {"devices": 3, "batch_size": 5},
    "openvino": {"runtime": "openvino"},
    "openvino on two devices": {"runtime": "openvino", "devices": 2, "batch_size": 8},
    "onnxruntime": {"runtime": "onnxruntime"},
    "the fastest runtime": {"runtime": "auto", "batch_size": None},
    "resumed at the second shard": {"resume": True},
    "resumed at the second shard by another runtime": {"resume": True, "runtime": "openvino"},
}


@pytest.mark.parametrize("way", WAYS)
def test_features_do_not_depend_on_how_they_were_computed(split, short_spans, way, store):
    """Batch size, workers, devices (all CPU), runtime and resume point.

    No value moves by more than 1e-5 of the largest.
    """
    how: dict = {
        "batch_size": 16,
        "workers": 2,
        "devices": 1,
        "runtime": "eager",
        "resume": False,
    } | WAYS[way]
    key = dataclasses.replace(KEY, count=len(split))
    embed(split, [small_network(key, 16)], store, workers=1)
    reference = store.read(key).rows.copy()
    if how["resume"]:
        (store.folder(key) / "000001.safetensors").unlink()
    else:
        store.forget(key)
    tested = small_network(key, how["batch_size"], how["devices"], how["runtime"])
    listener = embed(split, [tested], store, workers=how["workers"])
    assert tested.failure is None and listener.images == len(split)
    if how["runtime"] not in ("eager", "auto"):
        assert {runtime.name for runtime in runtimes_of(tested)} == {how["runtime"]}
    features = store.read(key)
    assert features.positions.tolist() == list(range(len(split)))
    assert np.abs(features.rows - reference).max() <= 1e-5 * np.abs(reference).max()


def small_network(key, batch_size, devices=1, runtime="eager"):
    """Return timm's small residual network at 64 px, with weights from a seed."""
    import timm

    def backbone():
        torch.manual_seed(0)
        module = TimmFeatures(timm.create_model("test_resnet", num_classes=0), "small")
        loaded = Loaded(
            module,
            Geometry(64, 64, 1.0, "center", "bilinear"),
            Normalisation((0.5,) * 3, (0.5,) * 3),
            "test",
        )
        return Backbone(SPEC, loaded, "cpu")

    backbones = [backbone() for _ in range(devices)]
    ready = Embedder(backbones, runtime, batch_size, expected_images=key.count)
    return Member(ready, [Target(DEFAULT, key)])


def test_several_devices_share_the_spans(split, short_spans, store):
    """Each device embeds a span: it waits in its first batch until the other is in its own."""
    barrier = threading.Barrier(2)

    def meet(module, x):
        if len(module.batches) == 1:
            barrier.wait(timeout=60)

    tested = member(split, meet, meet)
    embed(split, [tested], store)
    assert tested.failure is None and store.missing(key_of(tested)) == []
    assert batches_of(tested, 0) and batches_of(tested, 1)


def test_a_failure_on_one_device_is_a_failure_of_the_backbone(split, short_spans, store):
    def fail(module, x):
        raise ValueError("no luck")

    failing, other = member(split, None, fail), member(split, None, None, name="other")
    embed(split, [failing, other], store)
    assert failing.failure == "backbone 'mine': failed while embedding: ValueError: no luck"
    assert other.failure is None and store.missing(key_of(other)) == []


def test_an_unreadable_image_on_one_device_ends_the_pass_on_all(split, short_spans, store):
    with pytest.raises(UnreadableImageError, match="1 image cannot be used"):
        embed(with_contents(split, {100: b""}), [member(split, None, None)], store)
    assert not list(store.root.rglob("*.lease"))


def test_memory_does_not_grow_with_the_images(split, short_spans, store, monkeypatch):
    """At most the blocks decoded ahead, the one embedded and the one begun exist at a time."""
    alive, most = weakref.WeakSet(), []
    real = blocks._begin

    def begin(*arguments):
        pending = real(*arguments)
        alive.update(pending.crops.values())
        most.append(len(alive))
        return pending

    monkeypatch.setattr(blocks, "_begin", begin)
    embed(split, [member(split)], store)
    assert len(most) == -(-len(split) // 32) > blocks.BLOCKS_AHEAD + 1
    assert max(most) <= blocks.BLOCKS_AHEAD + 2


def test_decoding_leaves_torch_s_own_threads_asleep(split, store, monkeypatch):
    """A tensor's copy wakes a thread per core beside each thread that decodes.

    Those spin while the forward pass needs the cores.
    """

    def refuse(*_):
        raise AssertionError("copied by torch")

    monkeypatch.setattr(torch.Tensor, "__setitem__", refuse)
    monkeypatch.setattr(torch.Tensor, "copy_", refuse)
    tested = member(split)
    embed(split, [tested], store)
    assert tested.failure is None and store.missing(key_of(tested)) == []


def test_the_cost_of_a_shard_is_stored_with_it(split, store):
    tested = member(split)
    embed(split, [tested], store)
    effort = store.read(key_of(tested)).effort
    assert (effort.images, effort.device, effort.batch_size, effort.runtime) == (
        len(split),
        "cpu",
        16,
        "eager",
    )
    assert effort.decode_seconds > 0 and effort.forward_seconds > 0 and effort.peak_mib > 10
    assert effort.threads == torch.get_num_threads() and effort.device_name


def test_unreadable_images_are_named_and_nothing_is_stored(split, store):
    broken = with_contents(split, {3: b"", 70: b"text"})
    tested = member(split)
    with pytest.raises(
        UnreadableImageError,
        match=r"(?s)2 images cannot be used:.*0 bytes.*Repair or remove them, or leave them out "
        "with --skip-bad-images",
    ):
        embed(broken, [tested], store)
    assert store.missing(key_of(tested)) == [0]


def test_skipped_unreadable_images_are_listed_beside_the_rows(split, store):
    tested = member(split)
    embed(with_contents(split, {3: b"", 70: b"text"}), [tested], store, skip_bad=True)
    features = store.read(key_of(tested))
    assert sorted(features.bad) == [3, 70] and len(features.rows) == len(split) - 2
    assert features.positions.tolist() == [i for i in range(len(split)) if i not in (3, 70)]


def test_a_block_may_hold_unreadable_images_only(split, store):
    tested = member(split)
    broken = with_contents(split, dict.fromkeys(range(BLOCK_IMAGES), b""))
    embed(broken, [tested], store, skip_bad=True)
    assert store.read(key_of(tested)).positions.tolist() == list(range(BLOCK_IMAGES, len(split)))


def test_an_image_that_cannot_be_opened_is_unreadable(split, store):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(UnreadableImageError, match=r"cannot be read \(Permission denied\)"):
        embed(dataclasses.replace(split, read=refuse), [member(split)], store)


def test_an_image_too_elongated_to_resize_is_unreadable(split, store):
    strip = BytesIO()
    Image.new("RGB", (30_000, 5)).save(strip, "PNG")
    with pytest.raises(
        UnreadableImageError, match="is 30000 x 5 px: with its shorter side at 512 px it would have"
    ):
        embed(with_contents(split, {0: strip.getvalue()}), [member(split)], store)


def test_a_message_names_the_first_unreadable_images_only():
    assert bad_images_message([f"image {i}" for i in range(12)]).count("\n  image") == 5
    assert "and 7 more" in bad_images_message(["x"] * 12)


@pytest.mark.parametrize(
    ("sides", "expected"), [((16, 224), 64), ((16, 448), 16), ((672,), 8), ((32,), 64)]
)
def test_blocks_of_larger_images_have_no_more_pixels(split, store, monkeypatch, sides, expected):
    """448 x 448 are four times the pixels of 224 x 224; 672 x 672 are nine times, of 64 / 9 = 7."""
    sizes = []
    real = Embedder.embed
    monkeypatch.setattr(
        Embedder,
        "embed",
        lambda self, device, crops, *others: (
            sizes.append(len(crops)),
            real(self, device, crops, *others),
        )[1],
    )
    embed(split, [member(split, name=str(side), size=side) for side in sides], store)
    assert max(sizes) == expected


def test_the_automatic_number_of_workers_is_sensible():
    assert 1 <= auto_workers() <= 16


def with_contents(split, contents):
    """Return a split in which some images have other bytes."""
    return dataclasses.replace(
        split, read=lambda i: contents[i] if i in contents else split.read(i)
    )
