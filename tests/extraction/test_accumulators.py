"""Feature maps through a pass: statistics over patches, and shards smaller than a block.

Statistics are compared with a direct float64 computation over all images at once.
"""

import dataclasses
import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from bob.datasets.content.target_cache import TargetCache
from bob.datasets.dataset import Split
from bob.errors import ConfigError
from bob.extraction import blocks, passes
from bob.extraction.accumulators import Accumulator, AccumulatorSpec, register_accumulator
from bob.extraction.embedder import Embedder
from bob.extraction.passes import Member, Target, run_pass
from bob.features.key import StatisticsKey
from bob.features.shard import Arrays
from bob.features.store import FeatureStore
from bob.specs import DEFAULT, GRID, Output
from tests.builders.backbones import Count
from tests.builders.fresh_process import run_python
from tests.builders.patches import (
    MEAN_PATCH,
    MOMENTS,
    direct_features,
    features_key,
    make_moments,
    moments,
    patch_backbone,
    random_split,
)

COUNT = 100
BAD = {3: b"", 35: b"text", 99: b""} | dict.fromkeys(range(64, 96), b"")
"""Contents of unreadable images; with spans of 32, the third span has no other images."""


@pytest.fixture(scope="module")
def split() -> Split:
    return random_split(COUNT)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def statistics_key(split: Split, name: str = "patches") -> StatisticsKey:
    return MOMENTS.key(features_key(GRID, len(split), name), split.fingerprint)


def statistics_target(split: Split, name: str = "patches") -> Target:
    return Target(GRID, statistics_key(split, name), MOMENTS.create(split))


def rows_target(output: Output, split: Split, **changes: Any) -> Target:
    return Target(output, dataclasses.replace(features_key(output, len(split)), **changes))


def member(*targets: Target, devices: int = 1, batch_size: int = 16) -> Member:
    backbones = [patch_backbone() for _ in range(devices)]
    return Member(Embedder(backbones, batch_size=batch_size), targets)


def embed(split: Split, store: FeatureStore, *members: Member, skip_bad: bool = False) -> None:
    run_pass(split, members, store, Count(), workers=2, skip_bad=skip_bad)


def outputs_of(member: Member, device: int = 0) -> list[list[Output]]:
    """Return the outputs that each forward pass of a device computed."""
    module = member.embedder.backbones[device].module
    return module.calls  # type: ignore[no-any-return, union-attr]


def with_bad(split: Split) -> Split:
    return dataclasses.replace(split, read=lambda i: BAD[i] if i in BAD else split.read(i))


def assert_equal_moments(actual: Arrays, split: Split, positions: "range | list[int]") -> None:
    at = np.array(positions)
    expected = moments(split.y, at, direct_features(split, list(positions), GRID))
    assert set(actual) == set(expected)
    for name, values in expected.items():
        largest = np.abs(values).max()
        np.testing.assert_allclose(actual[name], values, rtol=0, atol=1e-10 * largest)


@dataclasses.dataclass(frozen=True)
class Threads:
    """Notes the threads of matrix products while statistics are summed, and can fail."""

    noted: list[int]
    error: str | None = None

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        return {"none": np.zeros(0)}

    def update(self, statistics: Any, positions: Any, features: Any) -> None:
        if self.error:
            raise ValueError(self.error)
        of_blas = [of for of in threadpool_info() if of["user_api"] == "blas"]
        self.noted.extend(of["num_threads"] for of in of_blas)

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        return parts[0]


def threads_target(split: Split, name: str, noted: list[int], error: str | None = None) -> Target:
    return Target(GRID, statistics_key(split, name), Threads(noted, error))


def test_statistics_are_summed_on_one_thread_each(split: Split, store: FeatureStore) -> None:
    """Several threads of products would wait for each other and for the decoders."""
    noted: list[int] = []
    with threadpool_limits(2, "blas"):
        embed(split, store, member(*(threads_target(split, name, noted) for name in "ab")))
        assert {of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas"} == {2}
    assert noted and set(noted) == {1}


def test_an_error_in_one_of_several_sums_fails_it_alone(split: Split, store: FeatureStore) -> None:
    good, bad = threads_target(split, "a", []), threads_target(split, "b", [], "no such class")
    tested = member(good, bad)
    embed(split, store, tested)
    reason = "backbone 'patches': failed while embedding: ValueError: no such class"
    assert tested.failure is None and tested.failures == {bad.key: reason}
    assert store.missing(good.key) == [] and store.missing(bad.key) == [0]


WAYS: dict[str, dict[str, int]] = {
    "one span": {},
    "blocks of 7": {"block": 7},
    "blocks of 1": {"block": 1},
    "blocks longer than the split": {"block": 1000},
    "spans of 32": {"span": 32},
    "spans of 16 in blocks of 5": {"span": 16, "block": 5},
    "batches of 1": {"batch_size": 1, "span": 64},
    "two devices": {"devices": 2, "span": 16},
    "three devices, blocks of 3": {"devices": 3, "span": 8, "block": 3},
}


@pytest.mark.parametrize("with_unreadable", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_statistics_equal_a_direct_computation_however_they_are_computed(
    split: Split,
    store: FeatureStore,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    with_unreadable: bool,
) -> None:
    how = {"block": 64, "span": 1024, "devices": 1, "batch_size": 16} | WAYS[way]
    monkeypatch.setattr(blocks, "BLOCK_IMAGES", how["block"])
    monkeypatch.setattr("bob.features.sharding.SPAN_IMAGES", how["span"])
    target = statistics_target(split)
    tested = member(target, devices=how["devices"], batch_size=how["batch_size"])
    images = with_bad(split) if with_unreadable else split
    embed(images, store, tested, skip_bad=with_unreadable)
    assert tested.failure is None
    read = store.read_statistics(statistics_key(split), MOMENTS.create(split)).arrays
    readable = [i for i in range(COUNT) if not (with_unreadable and i in BAD)]
    assert_equal_moments(read, split, readable)


def test_statistics_of_parts_cover_the_images_of_the_part_alone(
    split: Split, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parts of one split, one of them in another order, beside the whole: one pass."""
    monkeypatch.setattr("bob.features.sharding.SPAN_IMAGES", 32)
    parts = [np.arange(1, 97, 2), np.array([98, 4, 64, 3, 40])]
    targets = [statistics_target(split)]
    for positions in parts:
        part = split.part("whole", positions)
        assert part.origin is not None
        key = MOMENTS.key(features_key(GRID, COUNT), part.fingerprint)
        targets.append(Target(GRID, key, MOMENTS.create(part), part.origin.positions))
    assert len({target.key.digest() for target in targets}) == 3
    tested = member(*targets)
    embed(with_bad(split), store, tested, skip_bad=True)
    assert tested.failure is None
    for target, positions in zip(targets[1:], parts, strict=True):
        assert isinstance(target.key, StatisticsKey)
        read = store.read_statistics(target.key, MOMENTS.create(split))
        readable = [(i, at) for i, at in enumerate(positions.tolist()) if at not in BAD]
        expected = moments(
            split.y[positions],
            np.array([i for i, _ in readable]),
            direct_features(split, [at for _, at in readable], GRID),
        )
        for name, values in expected.items():
            np.testing.assert_allclose(read.arrays[name], values, rtol=1e-10, atol=1e-9)
        unreadable = [i for i, at in enumerate(positions.tolist()) if at in BAD]
        assert sorted(read.bad) == unreadable
        assert read.effort.images == len(readable)


def test_a_resumed_pass_computes_the_missing_spans_only(
    split: Split, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans of 32 images: the second of four is lost, so two batches of 16 are embedded."""
    monkeypatch.setattr("bob.features.sharding.SPAN_IMAGES", 32)
    key = statistics_key(split)
    embed(split, store, member(statistics_target(split)))
    (store.folder(key) / "000001.safetensors").unlink()
    resumed = member(statistics_target(split))
    embed(split, store, resumed)
    assert len(outputs_of(resumed)) == 2
    read = store.read_statistics(key, MOMENTS.create(split)).arrays
    assert_equal_moments(read, split, range(COUNT))


PROGRAM = """
import os, signal, sys
from pathlib import Path
import bob.features.sharding as sharding
sharding.SPAN_IMAGES = 16
from bob.features.store import FeatureStore
from bob.specs import DEFAULT, GRID
from tests.builders.preloaded import LOADED
from tests.builders.patches import random_split
from tests.extraction.test_accumulators import (
    COUNT, embed, member, outputs_of, rows_target, statistics_target
)

def run(kill_at):
    split = random_split(COUNT)
    tested = member(statistics_target(split), rows_target(DEFAULT, split))
    module = tested.embedder.backbone.module
    real = type(module).forward
    def forward(self, x, outputs):
        if len(self.calls) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, x, outputs)
    type(module).forward = forward
    embed(split, FeatureStore(Path(sys.argv[1])), tested)
    return len(outputs_of(tested))

assert LOADED  # imported before the process forks
for kill_at in (2, 1, -1):
    child = os.fork()
    if child == 0:
        print("forward passes:", run(kill_at), flush=True)
        os._exit(0)
    print("exit code:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_statistics_of_killed_passes_equal_a_direct_computation(
    split: Split, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven spans of 16 images, one forward pass each: killed twice, then run to the end.

    The first process stores two spans and is killed in the third, the second stores one more.
    """
    done = run_python(["-c", PROGRAM, str(store.root)])
    expected = ["exit code: -9", "exit code: -9", "forward passes: 4", "exit code: 0"]
    assert done.stdout.splitlines() == expected, done.stderr
    monkeypatch.setattr("bob.features.sharding.SPAN_IMAGES", 16)
    read = store.read_statistics(statistics_key(split), MOMENTS.create(split)).arrays
    assert_equal_moments(read, split, range(COUNT))
    rows = store.read(features_key(DEFAULT, COUNT)).rows
    np.testing.assert_array_equal(rows, direct_features(split, range(COUNT), DEFAULT))


def test_one_forward_gives_pooled_outputs_grids_and_statistics(
    split: Split, store: FeatureStore
) -> None:
    """100 images in batches of 16, blocks of 64 and 36: four and three forward passes."""
    targets = [rows_target(output, split) for output in (DEFAULT, MEAN_PATCH, GRID)]
    tested = member(*targets, statistics_target(split))
    embed(split, store, tested)
    assert outputs_of(tested) == [[DEFAULT, MEAN_PATCH, GRID]] * 7
    for target in targets:
        assert target.key == features_key(target.output, COUNT)
        np.testing.assert_array_equal(
            store.read(features_key(target.output, COUNT)).rows,
            direct_features(split, range(COUNT), target.output),
        )
    read = store.read_statistics(statistics_key(split), MOMENTS.create(split)).arrays
    assert_equal_moments(read, split, range(COUNT))


def test_statistics_that_exist_are_not_computed_again(split: Split, store: FeatureStore) -> None:
    embed(split, store, member(statistics_target(split)))
    again = member(statistics_target(split), rows_target(DEFAULT, split))
    embed(split, store, again)
    assert {tuple(outputs) for outputs in outputs_of(again)} == {(DEFAULT,)}


GRID_BYTES = 6 * 6 * 5 * 4


@pytest.mark.parametrize("images", [1, 4, 32])
@pytest.mark.parametrize("stored", ["float32", "float16"])
@pytest.mark.parametrize("block", [7, 64])
def test_shards_smaller_than_a_block_hold_the_rows_of_large_shards(
    split: Split,
    store: FeatureStore,
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    stored: str,
    block: int,
) -> None:
    """Maps of 720 bytes (360 as float16): a limit below that makes shards of one image."""
    monkeypatch.setattr(blocks, "BLOCK_IMAGES", block)
    broken = with_bad(split)
    target = rows_target(GRID, split, stored=stored)
    embed(broken, store, member(target), skip_bad=True)
    assert len(target.key.sharding) == 1
    large = store.read(target.key)
    store.forget(target.key)
    size = GRID_BYTES if stored == "float32" else GRID_BYTES // 2
    monkeypatch.setattr(
        "bob.features.sharding.SHARD_BYTES", images * size + (-1 if images == 1 else 1)
    )
    assert len(target.key.sharding) == -(-COUNT // images)
    embed(broken, store, member(target), skip_bad=True)
    small = store.read(target.key)
    np.testing.assert_array_equal(small.rows, large.rows)
    np.testing.assert_array_equal(small.positions, large.positions)
    assert small.bad == large.bad and sorted(small.bad) == sorted(BAD)
    assert small.effort.images == large.effort.images == COUNT - len(BAD)
    readable = [i for i in range(COUNT) if i not in BAD]
    expected = direct_features(split, readable, GRID).astype(stored)
    np.testing.assert_array_equal(small.rows, expected.astype(np.float32))


def test_missing_small_shards_are_computed_again_and_others_left_as_they_are(
    split: Split, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards of four images; the sixth and the last are lost."""
    monkeypatch.setattr("bob.features.sharding.SHARD_BYTES", 4 * GRID_BYTES)
    target = rows_target(GRID, split)
    embed(split, store, member(target))
    files = sorted(store.folder(target.key).glob("*.safetensors"))
    assert len(files) == 25
    for number in (5, 24):
        files[number].unlink()
    times = {path: path.stat().st_mtime_ns for path in files if path.exists()}
    embed(split, store, member(target))
    assert {path: path.stat().st_mtime_ns for path in times} == times
    np.testing.assert_array_equal(
        store.read(target.key).rows, direct_features(split, range(COUNT), GRID)
    )


def test_rows_beside_stored_shards_are_not_kept_in_memory(
    split: Split, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last shard is missing: a sink never holds more than its four images."""
    monkeypatch.setattr("bob.features.sharding.SHARD_BYTES", 4 * GRID_BYTES)
    monkeypatch.setattr(blocks, "BLOCK_IMAGES", 5)
    target = rows_target(GRID, split)
    embed(split, store, member(target))
    (store.folder(target.key) / "000024.safetensors").unlink()
    collected = []

    class Watched(passes._RowSink):
        def complete(self, stop: int, bad: Any) -> Any:
            collected.append(sum(len(rows) for rows in self._rows))
            return super().complete(stop, bad)

    monkeypatch.setattr(passes, "_RowSink", Watched)
    embed(split, store, member(target))
    assert max(collected) == 4 and store.missing(target.key) == []


@dataclasses.dataclass(frozen=True)
class LiveMaps:
    """Notes how many bytes of maps are in memory whenever some are summed."""

    maps: list["weakref.ref[NDArray[Any]]"]
    live_bytes: list[int]

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        return {"none": np.zeros(0)}

    def update(self, statistics: Any, positions: Any, features: NDArray[Any]) -> None:
        self.maps.append(weakref.ref(features if features.base is None else features.base))
        alive = [maps for maps in (reference() for reference in self.maps) if maps is not None]
        self.live_bytes.append(sum(maps.nbytes for maps in alive))

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        return parts[0]


@pytest.mark.parametrize("backbones", [1, 3])
def test_maps_in_memory_do_not_grow_with_the_images(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, backbones: int
) -> None:
    """They are those of one block of five images of one backbone, released before the next."""
    monkeypatch.setattr(blocks, "BLOCK_IMAGES", 5)
    most = []
    for count in (10, 100):
        images, noted = random_split(count), LiveMaps([], [])
        names = [f"{count} images {number}" for number in range(backbones)]
        targets = [Target(GRID, statistics_key(images, name), noted) for name in names]
        embed(images, store, *map(member, targets))
        assert len(noted.live_bytes) == backbones * count / 5
        most.append(max(noted.live_bytes))
    assert most == [5 * GRID_BYTES] * 2


def test_targets_are_forgotten_after_a_pass(split: Split, store: FeatureStore) -> None:
    reads: list[int] = []

    def read(position: int) -> NDArray[Any]:
        reads.append(position)
        return np.zeros(1)

    cache = TargetCache(read)
    cache(7)
    cache(7)
    embed(split, store, member(statistics_target(split)))
    cache(7)
    assert reads == [7, 7]


def test_an_accumulator_that_fails_is_a_failure_of_its_statistics(
    split: Split, store: FeatureStore
) -> None:
    class Failing(type(MOMENTS.create(split))):  # type: ignore[misc]
        def update(self, statistics: Any, positions: Any, features: Any) -> None:
            raise ValueError("no luck")

    failing = member(Target(GRID, statistics_key(split, "failing"), Failing(split.y)))
    good = member(statistics_target(split))
    embed(split, store, failing, good)
    (reason,) = failing.failures.values()
    assert reason.endswith("ValueError: no luck")
    assert store.missing(statistics_key(split, "failing")) == [0]
    assert good.failure is None and store.missing(statistics_key(split)) == []


def test_features_that_float16_cannot_hold_fail_alone(
    split: Split, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patches of one backbone are a million times as large."""
    half, full = (rows_target(GRID, split, stored=stored) for stored in ("float16", "float32"))
    large, other = member(half), member(full)
    module: Any = large.embedder.backbone.module
    module.second.weight.data *= 2.0**20
    embed(split, store, large, other)
    reason = large.failures[half.key]
    assert reason.startswith(f"backbone {large.name!r}: features of ")
    assert "cannot be stored as float16" in reason
    assert reason.endswith("Use --store-dtype float32.")
    assert store.missing(half.key) == [0] and store.missing(full.key) == []


def test_a_registered_name_belongs_to_one_accumulator() -> None:
    register_accumulator(MOMENTS.name, make_moments)
    with pytest.raises(ConfigError, match="'test_patch_moments' exists already: choose another"):
        register_accumulator(
            MOMENTS.name, lambda settings, split, earlier: make_moments({}, split, earlier)
        )


def test_an_unknown_accumulator_suggests_a_registered_one(split: Split) -> None:
    with pytest.raises(
        ConfigError, match="unknown accumulator 'test_patch_moment'; did you mean 'test_patch_mom"
    ):
        AccumulatorSpec("test_patch_moment", 1).create(split)


def test_the_facts_of_an_accumulator_are_json_ready() -> None:
    spec = AccumulatorSpec("histogram", 3, (("bins", 8), ("edges", [0.0, 1.0])))
    facts = {"name": "histogram", "version": 3, "settings": {"bins": 8, "edges": [0.0, 1.0]}}
    assert json.loads(json.dumps(spec.facts())) == facts


def test_the_moments_are_an_accumulator(split: Split) -> None:
    accumulator: Accumulator = MOMENTS.create(split)
    empty = accumulator.start((6, 6, 5))
    merged = accumulator.merge([empty, empty])
    assert all(not values.any() for values in merged.values())
