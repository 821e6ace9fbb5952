"""Temporary arrays are in the store while something needs them, and not after a run."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bob.features import sharding
from bob.features.inventory import in_use
from bob.features.key import StatisticsKey, StoreKey
from bob.features.shard import Shard
from bob.features.store import FeatureStore
from bob.plan import (
    Machine,
    Places,
    Plan,
    Request,
    RunSettings,
    Workspace,
    make_plan,
    make_workspace,
    read_plan,
    statistics_need,
)
from bob.records.record import Record
from bob.registry import Selected, load_registry
from tests.builders.fresh_process import run_python
from tests.builders.planned_runs import run

REGISTRY = load_registry()
IMAGES, SPAN = 8, 4
"""Images of each split, and of each shard."""
TASKS = [("correspondence", "openmoji_pairs", 2), ("segment_knn", "openmoji_depth", 3)]
"""Task, dataset and number of image sets: the first has temporary arrays, which the statistics of
the others read."""


MakeRequest = Callable[..., Request]


@pytest.fixture
def request_of(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRequest:
    """Return a function that makes requests, each for one task and dataset, with small shards."""
    monkeypatch.setattr(sharding, "SPAN_IMAGES", SPAN)
    return functools.partial(make_request, tmp_path, shared_cache)


def make_request(
    folder: Path,
    cache: Path,
    task: str = "correspondence",
    dataset: str = "openmoji_pairs",
    backbones: tuple[str, ...] = ("raw_pixels",),
    changes: dict[str, Any] | None = None,
    within: str = "",
    **settings: Any,
) -> Request:
    """Return a request whose features and results are in a folder `within` that of the test."""
    spec = REGISTRY.tasks[task]
    changed = spec.settings.model_copy(update=changes or {})
    return Request(
        backbones=[Selected(REGISTRY.backbones[name], exact=True) for name in backbones],
        tasks=[spec.model_copy(update={"settings": changed})],
        datasets={task: [Selected(REGISTRY.datasets[dataset], exact=True)]},
        entries=REGISTRY.datasets,
        places=Places(cache, folder / within / "results", folder / within / "features"),
        settings=RunSettings(limit=IMAGES, **settings),
        machine=Machine(offline=True, runtime="eager"),
    )


def planned(request: Request) -> tuple[Plan, Workspace]:
    workspace = make_workspace(request)
    return make_plan(request, workspace), workspace


def temporary_key(plan: Plan, workspace: Workspace) -> StatisticsKey:
    """Return the key of the only statistics with temporary arrays."""
    (output,) = plan.temporary
    need = statistics_need(plan.backbones[output.backbone], output.statistics)
    key = workspace.key(output.dataset, need)
    assert isinstance(key, StatisticsKey)
    return key


def record_of(request: Request) -> Record:
    (record,) = request.places.records().read_all()[0]
    assert record.status == "ok", record.reason
    return record


def is_used_up(store: FeatureStore, key: StatisticsKey) -> bool:
    """Whether every shard exists, and none has temporary arrays."""
    return store.is_stored(key) and len(store.missing(key)) == len(key.sharding)


@pytest.mark.parametrize(("task", "dataset", "sets"), TASKS)
def test_after_a_run_no_features_are_stored_and_another_embeds_nothing(
    request_of: MakeRequest, task: str, dataset: str, sets: int
) -> None:
    """Not even where the scores are to be made again; the cost is that of all images."""
    request = request_of(task, dataset)
    plan, workspace = planned(request)
    key, store = temporary_key(plan, workspace), request.places.features()
    assert run(plan, workspace).images == sets * IMAGES
    assert is_used_up(store, key)
    first = record_of(request)
    assert first.cost is not None and first.cost.images == sets * IMAGES

    plan, workspace = planned(request)
    assert not plan.cells and not plan.passes and not plan.temporary
    assert run(plan, workspace).passes == []

    for path in request.places.results.rglob("*.json"):
        path.unlink()
    plan, workspace = planned(request)
    assert plan.cells and run(plan, workspace).passes == []
    assert record_of(request).scores == first.scores and record_of(request).cost is not None
    assert is_used_up(store, key)


class Interrupt:
    """Ends a run just before it writes a shard: the one of that number, counted from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.left, write = number, FeatureStore.write

        def counted(store: FeatureStore, key: StoreKey, number: int, shard: Shard) -> None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            write(store, key, number, shard)

        monkeypatch.setattr(FeatureStore, "write", counted)


@pytest.mark.parametrize(("task", "dataset", "sets"), TASKS)
def test_a_run_that_ends_before_any_write_of_a_shard_is_resumed(
    request_of: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    dataset: str,
    sets: int,
) -> None:
    """Each set of images has two shards; then the arrays of the first set's two are removed.

    They are there until the last shard of the others is written, and no image is embedded twice.
    """
    undisturbed = request_of(task, dataset, within="undisturbed")
    run(*planned(undisturbed))
    written = 2 * sets
    for number in (1, 3, written, written + 1, written + 2):
        request = request_of(task, dataset, within=str(number))
        plan, workspace = planned(request)
        key, store = temporary_key(plan, workspace), request.places.features()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            Interrupt(patch, number)
            run(plan, workspace)
        removed = max(number - 1 - written, 0)
        whole = min(number - 1, 2) - removed
        assert len(store.missing(key)) == 2 - whole, number

        listener = run(*planned(request))
        assert listener.images == SPAN * max(written - (number - 1), 0), number
        assert record_of(request).scores == record_of(undisturbed).scores
        assert is_used_up(store, key)


def test_what_another_process_reads_is_removed_by_a_later_run(request_of: MakeRequest) -> None:
    """That run has nothing else to do."""
    request = request_of()
    plan, workspace = planned(request)
    key, store = temporary_key(plan, workspace), request.places.features()
    with in_use(store.root, [key.digest()]):
        run(plan, workspace)
        assert store.missing(key) == []
        leftover, workspace = planned(request)
        assert not leftover.cells and len(leftover.temporary) == 1
        run(leftover, workspace)
        assert store.missing(key) == []
    assert run(leftover, workspace).passes == []
    assert is_used_up(store, key)


def test_arrays_stay_where_what_depends_on_them_cannot_be_stored(
    request_of: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the search for the points of the second shard fails; the next run embeds it alone."""
    from bob.protocols.correspondence_statistics import PointMatches

    request = request_of()
    plan, workspace = planned(request)
    key, store = temporary_key(plan, workspace), request.places.features()
    update = PointMatches.update

    def failing(self: PointMatches, statistics: Any, positions: Any, features: Any) -> None:
        if positions[0] >= SPAN:
            raise RuntimeError("no luck")
        update(self, statistics, positions, features)

    with monkeypatch.context() as patch:
        patch.setattr(PointMatches, "update", failing)
        run(plan, workspace)
    (record,) = request.places.records().read_all()[0]
    assert record.status == "failed" and "no luck" in str(record.reason)
    assert store.missing(key) == []
    assert run(*planned(request)).images == SPAN
    assert is_used_up(store, key) and record_of(request)


def test_arrays_that_were_removed_are_computed_again_for_other_statistics(
    request_of: MakeRequest,
) -> None:
    """Votes of other neighbours read the same memory; a record in the end is the same."""
    first = request_of("segment_knn", "openmoji_depth")
    run(*planned(first))
    other = request_of("segment_knn", "openmoji_depth", changes={"k": 2})
    plan, workspace = planned(other)
    assert run(plan, workspace).images == 3 * IMAGES
    assert is_used_up(other.places.features(), temporary_key(plan, workspace))
    alone = request_of("segment_knn", "openmoji_depth", changes={"k": 2}, within="alone")
    run(*planned(alone))
    scores = [record.scores for record in other.places.records().read_all()[0]]
    assert record_of(alone).scores in scores


def test_a_fresh_run_computes_them_again_and_removes_them(request_of: MakeRequest) -> None:
    request = request_of()
    run(*planned(request))
    before = record_of(request).scores
    fresh, workspace = planned(request_of(fresh=True))
    assert run(fresh, workspace).images == 2 * IMAGES
    assert is_used_up(request.places.features(), temporary_key(fresh, workspace))
    assert record_of(request).scores == before


def test_a_plan_states_them_and_a_part_those_of_its_cells(request_of: MakeRequest) -> None:
    backbones = ("raw_pixels", "random_convolution")
    plan, _ = planned(request_of(backbones=backbones))
    assert read_plan(plan.to_json(), "plan") == plan and len(plan.temporary) == 2
    parts = [plan.part(number, 2) for number in (1, 2)]
    assert [part.temporary for part in parts] == [(each,) for each in plan.temporary]
    for part in parts:
        (cell,), (output,) = part.cells, part.temporary
        assert [output.statistics.digest, *(each.digest for each in output.until)] == [
            *cell.features
        ]


WORDS = "run --backbones raw_pixels --tasks correspondence --datasets openmoji_pairs --limit 40"
WORDS += " --offline --runtime eager"


def test_two_processes_at_once_leave_no_features(tmp_path: Path) -> None:
    """They compute each shard once between them, and a third one computes nothing."""
    alone, shared = str(tmp_path / "alone"), str(tmp_path / "shared")
    done = run_python(["-m", "tests.builders.counted_run", alone, shared, *WORDS.split()])
    assert done.returncode == 0, done.stderr
    expected, first, second, again = json.loads(done.stdout)
    assert {*first, *second} == {*expected} and again == []
    assert len(expected) == 6, "two shards of each set of images, and two without their arrays"
    sizes = [
        sorted(path.stat().st_size for path in features.rglob("*.safetensors"))
        for features in (tmp_path / name / "cache" / "features" for name in ("alone", "shared"))
    ]
    assert len(sizes[0]) == 4 and sizes[0][1] < 1000 < sizes[0][2]
    assert [size < 1000 for size in sizes[0]] == [size < 1000 for size in sizes[1]]
