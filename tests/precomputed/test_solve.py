"""What tasks may need of precomputed features: features of unchanged images, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bob.precomputed.solve as solve
from bob.datasets.image_sets import Corruption, ImageSet
from bob.errors import NotApplicableError
from bob.extraction.accumulators import AccumulatorSpec
from bob.numerics.threads import torch_threads
from bob.precomputed.evaluate import evaluate
from bob.precomputed.solve import UNKNOWN_BACKBONE, feature_needs
from bob.protocols import FeatureNeed, Need, StatisticsNeed, TextNeed
from bob.registry import load_tasks
from bob.specs import Output, Preprocessing
from tests.builders.feature_files import SPLIT, X, Y, examples_of

TASKS = load_tasks()
TEST = ImageSet("test")
UNAVAILABLE: dict[str, tuple[Need, str]] = {
    "texts": (TextNeed(UNKNOWN_BACKBONE, "texts", ("a",)), "a text tower for 'texts'"),
    "another output": (
        FeatureNeed(UNKNOWN_BACKBONE.variant(output=Output(pool="cls")), TEST),
        "images for 'test'",
    ),
    "another input size": (
        FeatureNeed(UNKNOWN_BACKBONE.variant(preprocessing=Preprocessing(input_px=64)), TEST, True),
        "images for 'test'",
    ),
    "a corruption": (
        FeatureNeed(UNKNOWN_BACKBONE, ImageSet("test", Corruption("fog", (1,), 64))),
        "images for 'fog'",
    ),
    "statistics": (
        StatisticsNeed(UNKNOWN_BACKBONE, TEST, AccumulatorSpec("moments", 1)),
        "images for 'test moments'",
    ),
}


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_needs_of_images_or_texts_do_not_apply(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need, source = UNAVAILABLE[name]
    dataset = examples_of(tmp_path, x=X, y=Y, split=SPLIT).dataset
    needs = [FeatureNeed(UNKNOWN_BACKBONE, TEST), need]
    monkeypatch.setattr(solve, "needs_of_task", lambda *_: needs)
    message = rf"^task 'knn': needs {source}; only features are available\.$"
    with pytest.raises(NotApplicableError, match=message) as caught:
        feature_needs(TASKS["knn"], dataset)
    assert caught.value.subject == "backbone"


@pytest.mark.parametrize("task", ["corruptions", "resize_normalise", "zeroshot"])
def test_tasks_that_need_images_or_texts_do_not_apply(task: str, tmp_path: Path) -> None:
    dataset = examples_of(tmp_path, x=X, y=Y, split=SPLIT).dataset
    with pytest.raises(NotApplicableError, match=rf"^task '{task}': needs ") as caught:
        feature_needs(TASKS[task], dataset)
    assert caught.value.subject == "backbone"


def test_tasks_on_features_need_every_split(tmp_path: Path) -> None:
    dataset = examples_of(tmp_path, x=X, y=Y, split=SPLIT).dataset
    needs = feature_needs(TASKS["knn"], dataset)
    assert [need.images for need in needs] == [ImageSet(name) for name in ("train", "val", "test")]
    assert {need.backbone for need in needs} == {UNKNOWN_BACKBONE}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": X, "y": np.zeros(12, int)},
            "task 'knn': needs at least two classes; all train images of dataset 'mine' are of '0'",
        ),
        (
            {"x_train": X[Y < 2], "y_train": Y[Y < 2], "x_test": X, "y_test": Y},
            "test of dataset 'mine' holds images of '2', of which train has none",
        ),
    ],
)
def test_classifiers_do_not_apply_without_two_trained_classes(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(NotApplicableError, match=message):
        feature_needs(TASKS["knn"], examples_of(tmp_path, **arrays).dataset)


@pytest.mark.parametrize(("least_bytes", "threads"), [(2**26, 1), (1, 2)])
def test_small_problems_have_one_thread_as_in_a_run(
    least_bytes: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 rows of 2 features take 3 x 40 x 2 x 4 = 960 bytes."""
    seen: list[int] = []
    real = solve.solve_task

    def watched(*arguments: Any) -> solve.Solution:
        seen.append(torch.get_num_threads())
        return real(*arguments)

    monkeypatch.setattr(solve, "solve_task", watched)
    monkeypatch.setattr("bob.engine.scoring_memory.SMALL_BYTES", least_bytes)
    rows = np.random.default_rng(0).standard_normal((40, 2))
    with torch_threads(2):
        evaluate((rows, np.arange(40) % 2), tasks="knn_euclidean")
    assert seen == [threads]
