"""Scores of features in memory: those of scikit-learn, and of stored features to the last digit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from bob.errors import ConfigError, DatasetError, NotApplicableError
from bob.precomputed.evaluate import LabelledFeatures, evaluate
from bob.records.store import RecordStore
from tests.builders.photos import make_photos

DIGITS = load_digits()
X, Y = DIGITS.data[:600].astype(np.float32), DIGITS.target[:600]
TRAIN, TEST = (X[:300], Y[:300]), (X[300:], Y[300:])


def test_five_nearest_neighbours_agree_with_scikit_learn() -> None:
    solution = evaluate(TRAIN, TEST, tasks="knn_euclidean")["knn_euclidean"]
    expected = KNeighborsClassifier(5).fit(*TRAIN).score(*TEST)
    score = solution.score
    assert score.metric == "top1" and score.value == pytest.approx(expected, abs=1e-12)
    assert score.n == 300 and score.low is not None and score.high is not None
    assert score.low < expected < score.high
    assert (solution.results[0].outcome.y == TEST[1]).all(), "classes are in natural order"


def test_stored_features_as_arrays_have_the_scores_of_the_run(
    bob: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """The images have all three splits, so that none is sampled by the content of images."""
    for split in ("train", "val", "test"):
        make_photos(
            tmp_path / "photos" / split, per_class={"train": 12, "val": 5, "test": 7}[split]
        )
        for path in (tmp_path / "photos" / split).rglob("*.png"):
            path.write_bytes(path.read_bytes() + split.encode())  # no image is in two splits
    bob(
        "run",
        "--data",
        tmp_path / "photos",
        "--backbones",
        "raw_pixels",
        "--tasks",
        "linear,knn,ridge",
    )
    records, _ = RecordStore(tmp_path / "results").read_all()
    stored = [
        load_file(path)["rows"] for path in (tmp_path / "cache" / "features").rglob("*.safetensors")
    ]
    by_size = {len(rows): rows for rows in stored}
    train, val, test = ((by_size[3 * n], np.repeat(["a", "b", "c"], n)) for n in (12, 5, 7))
    solutions = evaluate(train, test, val=val, tasks="linear,knn,ridge")
    for record in records:
        assert [(s.metric, s.value, s.low, s.high) for s in record.scores] == [
            (s.metric, s.value, s.low, s.high) for s in solutions[record.task.name].scores
        ]


def test_without_test_a_fifth_of_each_class_is_sampled() -> None:
    score = evaluate((X, Y), tasks="knn_euclidean")["knn_euclidean"].score
    assert score.n == sum(int(0.2 * n + 0.5) for n in np.bincount(Y))
    assert score.value is not None and score.value > 0.9


def test_sampled_splits_do_not_divide_groups() -> None:
    """Labels are noise: only the twin of a test row, equal to the fourth digit, shows its label."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)), rng.integers(0, 2, 60)
    twins, labels, groups = (
        np.concatenate([x, x + 1e-4]),
        np.concatenate([y, y]),
        [f"object {i}" for i in range(60)] * 2,
    )
    divided, together = (
        evaluate(examples, tasks="knn")["knn"].score.value
        for examples in ((twins, labels), LabelledFeatures(twins, labels, groups))
    )
    assert divided is not None and together is not None
    assert divided > 0.75 and together < 0.7


def test_shifted_and_foreign_examples_are_scored() -> None:
    far = np.random.default_rng(0).uniform(40, 50, (80, 64))
    solutions = evaluate(
        TRAIN,
        TEST,
        shifts={"noisy": (TEST[0] + 2, TEST[1])},
        foreign={"noise": far},
        tasks="ood,ood_detection",
    )
    assert {score.facets.get("shift") for score in solutions["ood"].scores} >= {"noisy"}
    distance = KNeighborsClassifier(1).fit(*TRAIN).kneighbors
    inside, outside = -distance(TEST[0])[0][:, 0], -distance(far)[0][:, 0]
    assert roc_auc_score([1] * 300 + [0] * 80, [*inside, *outside]) == 1.0
    assert solutions["ood_detection"].score.value == pytest.approx(1.0, abs=0.02)


def test_every_seed_has_scores_and_details() -> None:
    solution = evaluate((X, Y), TEST, tasks="linear", seeds=(0, 1))["linear"]
    assert set(solution.results) == {0, 1} and {score.seed for score in solution.scores} == {0, 1}
    assert solution.results[1].detail["converged"]


def test_labels_may_be_text_in_a_column_of_pandas() -> None:
    import pandas as pd

    table = pd.DataFrame({"label": [f"digit {y}" for y in Y]})
    text, numbers = (
        evaluate((X, y), tasks="knn_euclidean")["knn_euclidean"].score for y in (table["label"], Y)
    )
    assert text == numbers


def test_tasks_that_need_images_raise_if_named_and_are_left_out_if_globbed() -> None:
    for task in ("zeroshot", "image_text", "corruptions", "resize_normalise"):
        with pytest.raises(NotApplicableError, match=rf"^task '{task}': needs "):
            evaluate(TRAIN, TEST, tasks=task)
    assert set(evaluate(TRAIN, TEST, tasks="protocol:zeroshot,knn*")) == {"knn", "knn_euclidean"}


NAN = np.where(np.arange(64) == 3, np.nan, X[:300])
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "flat": (
        lambda: evaluate((X[0], Y[:64])),
        DatasetError,
        r"train: x must be features of shape \(N, D\) with N and D at least 1; got \(64,\)",
    ),
    "nan": (
        lambda: evaluate((NAN, Y[:300])),
        DatasetError,
        "train: 300 of 300 rows of x hold NaN or infinity",
    ),
    "labels": (
        lambda: evaluate((X, Y[:5])),
        DatasetError,
        r"train: y must be 600 labels, whole numbers or text; got int64 of shape \(5,\)",
    ),
    "floats": (
        lambda: evaluate((X, Y / 2)),
        DatasetError,
        "train: y must be 600 labels, whole numbers or text; got float64",
    ),
    "width": (
        lambda: evaluate(TRAIN, (X[:9, :5], Y[:9])),
        DatasetError,
        "features must have one width D in all sets; got train 64, test 5",
    ),
    "groups": (
        lambda: evaluate(LabelledFeatures(X, Y, ["a"])),
        DatasetError,
        "train: groups must be 600 names; got 1",
    ),
    "one class": (
        lambda: evaluate((X, np.zeros(600, int))),
        NotApplicableError,
        "task 'knn': needs at least two classes; all train images of dataset 'features' are of '0'",
    ),
    "new class": (
        lambda: evaluate(TRAIN, (X[:9], Y[:9] + 5)),
        NotApplicableError,
        "test of dataset 'features' holds images of '1[0-4]'",
    ),
    "shifted class": (
        lambda: evaluate(TRAIN, TEST, shifts={"s": (X[:9], Y[:9] + 50)}),
        DatasetError,
        r"s: holds the classes \['50', .*which train lacks",
    ),
    "used name": (
        lambda: evaluate(TRAIN, TEST, foreign={"val": X}),
        ConfigError,
        "shifts and foreign: the name 'val' is already in use",
    ),
    "task": (
        lambda: evaluate(TRAIN, TEST, tasks="lineer"),
        ConfigError,
        "unknown task 'lineer'; did you mean 'linear'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_arrays_are_errors(name: str) -> None:
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()
