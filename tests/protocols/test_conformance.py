"""Every protocol, with the settings of every shipped task: one suite of checks for all."""

import contextlib
import functools
import json
import pkgutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest

import bob.protocols
from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.image_sets import ImageSet
from bob.engine.facts import task_facts
from bob.engine.scores import scores
from bob.errors import NotApplicableError, UndefinedError
from bob.extraction.accumulators import AccumulatorSpec
from bob.features.store import Features
from bob.leaderboards.board import Board, make_board
from bob.leaderboards.page.encode import float64s
from bob.leaderboards.page.payload import PageLayout
from bob.leaderboards.render.latex import to_latex
from bob.leaderboards.render.markdown import to_markdown
from bob.leaderboards.render.text import cell_text
from bob.leaderboards.render.tidy_table import tidy
from bob.metrics import METRICS, metric_named
from bob.metrics.intervals import interval
from bob.numerics.linear.ridge_path import DECOMPOSITIONS
from bob.outcomes import ClassPredictions
from bob.protocols import (
    FeatureNeed,
    Inputs,
    Protocol,
    Result,
    StatisticsNeed,
    TextNeed,
    load_protocols,
    needs_of_task,
    protocol_named,
)
from bob.protocols.linear import SELECTIONS
from bob.protocols.needs import Need, Needs
from bob.records.record import Score
from bob.registry import load_registry
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.dataset import DatasetKind
from tests.builders.boxes import image_boxes, with_boxes
from tests.builders.correspondence import point_dataset, random_points
from tests.builders.depth import blocky_depths, with_depths
from tests.builders.leaderboard_records import record
from tests.builders.protocols import BASELINE, TWO_TOWERS, make_inputs
from tests.builders.segmentation import blocky_masks, mask_dataset, statistics_of
from tests.builders.splits import digests, features_from, make_dataset, make_split

TASKS = load_registry().tasks
each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
each_protocol = pytest.mark.parametrize("protocol", load_protocols().values(), ids=load_protocols())

CLASSES, PER_CLASS = 6, {"train": 12, "test": 16}


@functools.cache
def dataset() -> Dataset:
    """Return a dataset that carries every protocol: classes, captions, attributes and shifts."""
    names = tuple(f"class_{c}" for c in range(CLASSES))
    splits = {}
    for name, per_class in PER_CLASS.items():
        n = CLASSES * per_class
        splits[name] = make_split(
            digests(n, name),
            [i % CLASSES for i in range(n)],
            attributes={
                "emoji": [f"{i % 7}" for i in range(n)],
                "size": [f"{(i % CLASSES == 2) + i * 31 % 17 / 8}" for i in range(n)],
            },
            captions=[(f"{name} {i}",) for i in range(n)],
        )
    shifts = {
        "poly": Shift(make_split(digests(30, "poly"), [i % 5 for i in range(30)]), "shift"),
        "textiles": Shift(make_split(digests(20, "textiles"), [-1] * 20), "near"),
    }
    return make_dataset(splits, names, shifts=shifts, normal=(0,), target="size")


def features(need: FeatureNeed | TextNeed) -> Features:
    """Return features of a need that depend on its images or texts alone: noisy classes."""
    if isinstance(need, TextNeed):
        rows = np.random.default_rng(len(need.texts)).normal(size=(len(need.texts), 8))
        return features_from(rows.astype(np.float32))
    split = need.images.open(triplets_dataset() if need.name in SIDES else dataset())
    seed = int(split.images_fingerprint[:8], 16)
    noise = np.random.default_rng(seed).normal(size=(len(split), 8))
    centres = 2 * np.random.default_rng(0).normal(size=(CLASSES, 8))
    return features_from((centres[split.y] + noise).astype(np.float32))


SIDES = ("query", "gallery")
INPUTS = Inputs(features, make_inputs({}).statistics)


@functools.cache
def masks_dataset() -> Dataset:
    """Return a dataset for protocols that read masks, depth maps or boxes."""
    names = {"train": 0, "test": 1}
    masks = mask_dataset({name: blocky_masks(6, 3, 4, 3, i) for name, i in names.items()}, 3)
    data = with_depths(masks, {name: blocky_depths(6, 4, 3, i) for name, i in names.items()})
    box = image_boxes([[0, 0, 9, 6], [3, 5, 12, 12]], [0, 2], size=(12, 12))
    return with_boxes(data, dict.fromkeys(names, [box] * 6))


def maps(split: Split, at: Any) -> Any:
    """Return feature maps of some images, which depend on these alone."""
    seeds = [int(split.content[i][:8], 16) for i in at.tolist()]
    grids = [np.random.default_rng(seed).normal(size=(4, 4, 5)) for seed in seeds]
    return np.stack(grids).astype(np.float32)


@functools.cache
def points_dataset() -> Dataset:
    """Return a dataset for protocols that read points of images."""
    return point_dataset(random_points(6, 3, 0), random_points(6, 3, 1))


@functools.cache
def video_dataset() -> Dataset:
    """Return a dataset for protocols that read masks of frames: two videos."""
    masks = mask_dataset({"test": blocky_masks(8, 3, 4, 3, 0)}, 3)
    test = replace(masks.splits["test"], groups=[*"aaaabbbb"])
    return replace(masks, splits={"test": test}, kind="video")


@functools.cache
def triplets_dataset() -> Dataset:
    """Return a dataset for protocols that read choices between two images."""
    splits = {
        "query": make_split(digests(6, "query"), [-1] * 6, attributes={"prompts": [*"ababab"]}),
        "gallery": make_split(digests(12, "gallery"), [-1] * 12),
    }
    judged = {level: [(2 * i + side,) for i in range(6)] for side, level in enumerate(CHOICES)}
    return make_dataset(splits, kind="triplets", judgements=judged, group_by=("prompts",))


CHOICES = ("chosen", "other")


def dataset_of(task: TaskSpec) -> Dataset:
    kinds = protocol_named(task.protocol).kinds
    if "correspondence" in kinds:
        return points_dataset()
    if "triplets" in kinds:
        return triplets_dataset()
    if "video" in kinds:
        return video_dataset()
    return masks_dataset() if "segmentation" in kinds else dataset()


def reads_rows(task: TaskSpec) -> bool:
    """Return whether a task reads one row per image, and no statistics of maps."""
    return dataset_of(task) in (dataset(), triplets_dataset())


def needs_of(task: TaskSpec) -> Needs:
    return needs_of_task(task, dataset_of(task), backbone_of(task))


def backbone_of(task: TaskSpec) -> BackboneSpec:
    """Return a backbone with text, or one with layers and maps where these are read."""
    reads_maps = dataset_of(task) in (points_dataset(), masks_dataset(), video_dataset())
    reads_layers = task.protocol == "anomaly_levels" or reads_maps
    return BASELINE if reads_layers else TWO_TOWERS


def solve(task: TaskSpec, seed: int = 0) -> Result:
    protocol, needs, data = protocol_named(task.protocol), needs_of(task), dataset_of(task)
    inputs = INPUTS if reads_rows(task) else statistics_of(needs, data, maps)
    SELECTIONS.clear()  # so that a probe is fitted again
    DECOMPOSITIONS.clear()
    problem = protocol.build(task.settings, data, needs, inputs, seed)
    return protocol.solve(problem, task.settings, "cpu")


@functools.cache
def result_of(name: str) -> Result:
    """Return the result of a shipped task at seed 0."""
    return solve(TASKS[name])


@functools.cache
def scores_of(name: str) -> tuple[Score, ...]:
    """Return the scores of this result, with their intervals."""
    task = TASKS[name]
    return tuple(of for part in result_of(name).parts for of in scores(part, task.metrics, None))


def assert_equal(first: Result, second: Result) -> None:
    assert first.detail == second.detail
    assert len(first.parts) == len(second.parts)
    for one, other in zip(first.parts, second.parts, strict=True):
        assert (one.suffix, one.metrics, one.facets) == (other.suffix, other.metrics, other.facets)
        assert (one.stored, one.undefined) == (other.stored, other.undefined)
        assert type(one.outcome) is type(other.outcome)
        if one.outcome is not None and other.outcome is not None:
            expected = other.outcome.to_arrays()
            for name, values in one.outcome.to_arrays().items():
                assert np.array_equal(values, expected[name], equal_nan=values.dtype.kind == "f")


# --- settings and metrics


@each_protocol
def test_a_protocol_is_named_like_its_module_and_has_a_shipped_task(
    protocol: Protocol[Any, Any],
) -> None:
    assert type(protocol).__module__ == f"bob.protocols.{protocol.name}"
    assert any(task.protocol == protocol.name for task in TASKS.values())


@each_protocol
def test_every_kind_of_outcome_has_a_metric(protocol: Protocol[Any, Any]) -> None:
    read = {metric.outcome for metric in METRICS.values()}
    assert protocol.outcomes and set(protocol.outcomes) <= read
    assert {metric.name for metric in protocol.metrics} <= set(METRICS)


@each_task
def test_settings_are_those_of_the_protocol_and_round_trip(task: TaskSpec) -> None:
    settings = protocol_named(task.protocol).settings
    assert type(task.settings) is settings
    plain = json.loads(json.dumps(task.settings.model_dump(mode="json")))
    assert settings.model_validate(plain) == task.settings


@each_task
def test_metrics_read_an_outcome_of_the_protocol(task: TaskSpec) -> None:
    outcomes = protocol_named(task.protocol).outcomes
    assert all(metric_named(name).outcome in outcomes for name in task.metrics)


# --- needs


@each_task
def test_needs_are_hashable_and_equal_when_computed_again(task: TaskSpec) -> None:
    first, second = needs_of(task), needs_of(task)
    assert list(first) == list(second)
    assert {need: i for i, need in enumerate(first)} == {need: i for i, need in enumerate(second)}
    assert len(set(first)) == len(first)


@each_task
def test_needs_round_trip_through_json(task: TaskSpec) -> None:
    for need in needs_of(task):
        assert from_json(json.loads(json.dumps(to_json(need)))) == need


def to_json(need: Need) -> dict[str, Any]:
    backbone = {"backbone": need.backbone.model_dump(mode="json"), "optional": need.optional}
    if isinstance(need, TextNeed):
        return {**backbone, "name": need.name, "texts": need.texts}
    images = {**backbone, "images": need.images.plain()}
    if isinstance(need, StatisticsNeed):
        facts = need.accumulator.facts()
        return {**images, "accumulator": facts, "after": [to_json(each) for each in need.after]}
    return {**images, "grids": need.accepts_grids, "max_bytes": need.max_bytes}


def from_json(values: Mapping[str, Any]) -> Need:
    backbone = BackboneSpec.model_validate(values["backbone"])
    if "texts" in values:
        return TextNeed(backbone, values["name"], tuple(values["texts"]), values["optional"])
    images, optional = ImageSet.from_plain(values["images"]), values["optional"]
    if "accumulator" not in values:
        return FeatureNeed(backbone, images, optional, values["grids"], values["max_bytes"])
    facts = values["accumulator"]
    accumulator = AccumulatorSpec(
        facts["name"], facts["version"], tuple(sorted(facts["settings"].items()))
    )
    after = tuple(from_json(each) for each in values["after"])
    return StatisticsNeed(backbone, images, accumulator, optional, after)  # type: ignore[arg-type]


@each_task
def test_needs_name_images_of_the_dataset(task: TaskSpec) -> None:
    for need in needs_of(task):
        if isinstance(need, FeatureNeed):
            assert len(need.images.open(dataset_of(task)))


# --- problems and results


@each_task
def test_building_and_solving_again_gives_the_same_result(task: TaskSpec) -> None:
    assert_equal(result_of(task.name), solve(task))


@each_task
def test_results_depend_on_the_seed_only_where_the_protocol_says_so(task: TaskSpec) -> None:
    if not protocol_named(task.protocol).uses_seed(task.settings, dataset_of(task)):
        assert_equal(result_of(task.name), solve(task, seed=1))


@each_task
def test_outcomes_are_of_the_declared_kinds(task: TaskSpec) -> None:
    outcomes = protocol_named(task.protocol).outcomes
    for part in result_of(task.name).parts:
        assert part.outcome is None or isinstance(part.outcome, outcomes)
        assert (part.outcome is None) == (part.undefined is not None)


@each_task
def test_the_headline_has_the_ranking_metric_and_score_names_are_unique(task: TaskSpec) -> None:
    names = [score.metric for score in scores_of(task.name)]
    assert names[0] == task.metrics[0] and result_of(task.name).parts[0].suffix == ""
    assert len(set(names)) == len(names)


@each_task
def test_few_examples_have_a_value_in_its_interval_or_none(task: TaskSpec) -> None:
    """No example, a single one, and one five times: undefined is not zero, and nothing fails."""
    first = {type(part.outcome): part.outcome for part in reversed(result_of(task.name).parts)}
    for outcome, metric in product(first.values(), METRICS.values()):
        if outcome is None or metric.outcome is not type(outcome) or metric.describes:
            continue
        with pytest.raises(UndefinedError):
            metric.function(outcome.take(np.array([], np.int64)))
        for positions in ([0], [0] * 5):
            with contextlib.suppress(UndefinedError):
                few = outcome.take(np.array(positions))
                value, low, high, _ = interval(metric.name, few, 0)
                assert np.isfinite(value), metric.name
                if low is not None and high is not None:
                    assert low - 1e-9 <= value <= high + 1e-9, metric.name


@each_task
def test_details_are_json(task: TaskSpec) -> None:
    detail = dict(result_of(task.name).detail)
    assert json.loads(json.dumps(detail)) == detail


# --- datasets

CLASSIFIERS = (
    *("linear", "ridge", "knn", "fewshot", "episodes"),
    *("ood", "ood_detection", "corruptions", "resize_normalise", "centroid", "incremental"),
    *("calibration", "compression", "groups", "diagnostics", "long_tail", "learning_curve"),
)
OTHERS = (
    *("retrieval", "image_text", "multilabel", "zeroshot", "anomaly", "anomaly_levels"),
    *("cluster", "regress", "shift_distance"),
)
"""Protocols that need no train images of the test images' classes."""


def task_of(protocol: str) -> TaskSpec:
    """Return the first shipped task of a protocol."""
    return next(task for task in TASKS.values() if task.protocol == protocol)


WITHOUT_CLASSES = (
    *("segment", "segment_knn", "segment_sgd", "depth", "correspondence"),
    *("detect", "detect_fcos", "detect_masks", "discover", "triplets", "video_objects"),
)
"""Protocols of datasets with masks, depth maps, points, boxes or choices."""


def test_every_protocol_is_a_classifier_or_not() -> None:
    assert sorted((*CLASSIFIERS, *OTHERS, *WITHOUT_CLASSES)) == sorted(load_protocols())


def with_train_labels(y: Any) -> Dataset:
    """Return the dataset with other labels of its train images."""
    splits = dict(dataset().splits)
    train = splits["train"]
    splits["train"] = make_split(train.content, y, attributes=train.attributes)
    facts = {"shifts": dataset().shifts, "normal": (0,), "target": "size"}
    return make_dataset(splits, dataset().classes, **facts)


@pytest.mark.parametrize("protocol", (*CLASSIFIERS, *OTHERS))
def test_a_single_class_in_train_is_not_applicable_for_classifiers(protocol: str) -> None:
    one_class = with_train_labels([0] * len(dataset().splits["train"]))
    task = task_of(protocol)
    if protocol in CLASSIFIERS:
        with pytest.raises(
            NotApplicableError, match=f"^task '{task.name}': needs at least two classes"
        ):
            needs_of_task(task, one_class, backbone_of(task))
    else:
        assert needs_of_task(task, one_class, backbone_of(task))


@pytest.mark.parametrize("protocol", (*CLASSIFIERS, *OTHERS))
def test_test_classes_that_train_lacks_are_not_applicable_for_classifiers(protocol: str) -> None:
    unseen = with_train_labels([i % 5 for i in range(len(dataset().splits["train"]))])
    task = task_of(protocol)
    if protocol in CLASSIFIERS:
        message = (
            f"^task '{task.name}': needs train images of every class; test of dataset 'd' holds "
            "images of 'class_5', of which train has none"
        )
        with pytest.raises(NotApplicableError, match=message):
            needs_of_task(task, unseen, backbone_of(task))
    else:
        assert needs_of_task(task, unseen, backbone_of(task))


@each_protocol
def test_other_kinds_of_datasets_are_not_applicable(protocol: Protocol[Any, Any]) -> None:
    task = task_of(protocol.name)
    for kind in get_args(DatasetKind):
        data = replace(dataset_of(task), kind=kind)
        if kind in protocol.kinds:
            assert needs_of_task(task, data, backbone_of(task))
        else:
            reason = f"takes datasets of kind .*; dataset 'd' is of kind {kind}"
            with pytest.raises(NotApplicableError, match=f"^task '{task.name}': {reason}"):
                needs_of_task(task, data, TWO_TOWERS)


# --- modules


def test_importing_protocols_imports_no_heavy_library() -> None:
    """Every command line imports them."""
    modules = [module.name for module in pkgutil.iter_modules(bob.protocols.__path__)]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(f'bob.protocols.{name}')\n"
        "print([name for name in ('torch', 'faiss', 'numba', 'open_clip', 'sklearn', 'timm')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PREDICTIONS_OF_OTHER_TASKS = frozenset({"calibration", "resize_normalise"})
"""Tasks whose headline has the predictions of `linear`, and of k-NN."""


@each_task
def test_classifiers_state_the_answers_of_their_headline(task: TaskSpec) -> None:
    """From these, accuracy is reported by groups; see `bob.protocols.attribute_groups`."""
    result = result_of(task.name)
    if isinstance(result.outcome, ClassPredictions) and task.name not in PREDICTIONS_OF_OTHER_TASKS:
        assert np.array_equal(result.answers[""].right, result.outcome.rank == 0)
    for answers in result.answers.values():
        images = dataset_of(task).with_shifts([answers.images]).shifts.get(answers.images)
        split = dataset_of(task).splits["test"] if images is None else images.split
        answered = len(split) if answers.rows is None else answers.rows.sum()
        assert len(answers.right) == answered


# --- leaderboards


def board_of(task: TaskSpec) -> Board:
    """Return the board of one record with all scores of a task."""
    return make_board([record("mine", task=task_facts(task), scores=scores_of(task.name))])


@each_task
def test_every_score_is_in_the_csv_and_on_the_page(task: TaskSpec) -> None:
    """With its value and limits: the one that ranks in the page's grid, the others in details."""
    board = board_of(task)
    expected = {score.metric: score for score in board.records[0].scores}
    table = tidy(board).set_index("metric")
    assert set(table.index) == set(expected)
    for column in ("value", "low", "high"):
        numbers = table[column].to_dict()
        for name, score in expected.items():
            number = numbers[name]
            assert getattr(score, column) == (None if np.isnan(number) else number)
    layout = PageLayout(board)
    shown = layout.details()["tasks"][task.name]["scores"]
    ranking = task.metrics[0]
    assert [score["name"] for score in shown] == [name for name in expected if name != ranking]
    cells = layout.payload()["cells"]
    for column in ("value", "low", "high"):
        assert cells[column] == float64s([getattr(expected[ranking], column)])


@each_task
def test_the_score_that_ranks_is_in_markdown_and_latex(task: TaskSpec) -> None:
    board = board_of(task)
    (cell,) = board.cells
    text = cell_text(cell)
    assert f"| mine | 3.37 | {text} |" in to_markdown(board).replace("**", "")
    latex = to_latex(board).replace(r"\textbf{", "").replace("}", "")
    assert f"mine & 3.37 & {text.replace('–', '--')} & " in latex
    if cell.value is not None and METRICS[task.metrics[0]].interval != "bootstrap":
        assert "[" in text, "the interval is shown"
