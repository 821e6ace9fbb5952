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
    x, y = rng.normal(size=(240, 8)), rng.integers(0, 2, 240)
    twins, labels, groups = (
        np.concatenate([x, x + 1e-4]),
        np.concatenate([y, y]),
        [f"object {i}" for i in range(240)] * 2,
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


def test_arrays_in_memory_have_the_scores_of_a_file(
    bob: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """No split but test is there: held-out examples and draws are sampled alike."""
    np.savez(tmp_path / "x.npz", x_train=X[:300], y_train=Y[:300], x_test=X[300:], y_test=Y[300:])
    tasks = "knn,ridge,fewshot_big_vision,learning_curve"
    bob("evaluate", tmp_path / "x.npz", "--dataset", "features", "--tasks", tasks)
    records, _ = RecordStore(tmp_path / "results").read_all()
    solutions = evaluate(TRAIN, TEST, tasks=tasks)
    assert len(records) == 4
    for record in records:
        assert list(record.scores) == list(solutions[record.task.name].scores)


def test_splits_and_draws_do_not_depend_on_the_features() -> None:
    """Otherwise a paired test of two backbones would compare different examples."""
    rng = np.random.default_rng(0)
    tasks = "knn_euclidean,fewshot_big_vision"
    several = [
        evaluate((x, Y), tasks=tasks) for x in (X, 1024 * X, X[:, ::-1], rng.normal(size=X.shape))
    ]
    truths = [s["knn_euclidean"].results[0].outcome.y for s in several]
    assert all((truth == truths[0]).all() for truth in truths)
    scaled = [solutions["fewshot_big_vision"].score for solutions in several[:2]]
    assert scaled[0].value == pytest.approx(scaled[1].value, abs=1e-12)


def test_equal_rows_are_not_taken_for_copies_of_one_image() -> None:
    """A backbone that gives the same features for all images is right by chance, in every task."""
    solutions = evaluate(
        (np.zeros((40, 3)), np.arange(40) % 4),
        (np.zeros((20, 3)), np.arange(20) % 4),
        tasks="linear,knn,ridge,retrieval",
    )
    assert [solutions[task].score.value for task in ("linear", "knn", "ridge")] == [0.25] * 3
    # of 19 others in random order 4 are of the class: E[AP] = (1 / R) Σ_k (k-th positive's) =
    # Σ_r [1 / n · (1 + (r − 1)(R − 1) / (n − 1)) / r] with n = 19, R = 4
    n, positives = 19, 4
    expected = sum(
        (1 + (rank - 1) * (positives - 1) / (n - 1)) / (n * rank) for rank in range(1, n + 1)
    )
    assert solutions["retrieval"].score.value == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "gradient", "strided", "table", "lists"])
def test_features_come_in_many_kinds(kind: str) -> None:
    import pandas as pd
    import torch

    x = X.round()  # whole numbers up to 16, which every type holds
    values: Any = {
        "float16": lambda: x.astype(np.float16),
        "bfloat16": lambda: torch.tensor(x).bfloat16(),
        "gradient": lambda: torch.tensor(x, requires_grad=True),
        "strided": lambda: np.asfortranarray(np.repeat(x, 2, axis=0))[::2],
        "table": lambda: pd.DataFrame(x).astype(object),
        "lists": lambda: x.tolist(),
    }[kind]()
    expected = evaluate((x, Y), tasks="knn")["knn"].score
    assert evaluate((values, Y), tasks="knn")["knn"].score == expected


@pytest.mark.parametrize("kind", ["floats", "column", "bytes", "objects", "nullable", "unsigned"])
def test_labels_come_in_many_kinds(kind: str) -> None:
    import pandas as pd

    values: Any = {
        "floats": lambda: Y.astype(np.float64),
        "column": lambda: Y[:, None],
        "bytes": lambda: Y.astype("S2"),
        "objects": lambda: np.array([np.int64(y) for y in Y], object),
        "nullable": lambda: pd.Series(Y, dtype="Int64"),
        "unsigned": lambda: Y.astype(np.uint64),
    }[kind]()
    expected = evaluate((X, Y), tasks="knn")["knn"].score
    assert evaluate((X, values), tasks="knn")["knn"].score == expected


def test_groups_of_test_alone_are_read() -> None:
    """Each query's only positive is of its own group, which retrieval excludes."""
    rng = np.random.default_rng(1)
    twins = np.repeat(rng.normal(size=(10, 4)), 2, axis=0)
    test = LabelledFeatures(twins, np.repeat(Y[:10] % 2, 2), [f"pair {i // 2}" for i in range(20)])
    with_groups, without = (
        evaluate((rng.normal(size=(8, 4)), np.arange(8) % 2), of, tasks="retrieval")["retrieval"]
        for of in (test, (test.x, test.y))
    )
    low, high = with_groups.score.value, without.score.value
    assert low is not None and high is not None and low < high


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
        r"train: x: must be of shape \(N, D\) with N and D at least 1; got \(64,\)",
    ),
    "nan": (
        lambda: evaluate((NAN, Y[:300])),
        DatasetError,
        "train: x: 300 of 300 rows hold NaN, infinity or numbers beyond float32",
    ),
    "labels": (
        lambda: evaluate((X, Y[:5])),
        DatasetError,
        "train: x has 600 rows and y has 5 labels",
    ),
    "floats": (
        lambda: evaluate((X, Y / 2)),
        DatasetError,
        "train: y: labels must be whole numbers or text; got float64 with the value 0.5",
    ),
    "width": (
        lambda: evaluate(TRAIN, (X[:9, :5], Y[:9])),
        DatasetError,
        "features must have one width D in all sets; got train 64, test 5",
    ),
    "masked": (
        lambda: evaluate((np.ma.array(X, mask=X > 15), Y)),
        DatasetError,
        "train: x: .* rows hold NaN",
    ),
    "ragged": (
        lambda: evaluate(([[1.0, 2.0], [3.0]], [0, 1])),
        DatasetError,
        "train: x: is not a rectangular array",
    ),
    "complex": (
        lambda: evaluate((X + 1j, Y)),
        DatasetError,
        "train: x: must hold numbers; got complex64",
    ),
    "too small for float32": (
        lambda: evaluate((X.astype(np.float64) * 1e-60, Y)),
        DatasetError,
        "train: x: no number is larger than 2e-59, below the smallest of float32",
    ),
    "too far from 0 for float32": (
        lambda: evaluate((X.astype(np.float64) + 1e9, Y)),
        DatasetError,
        "train: x: float32, .*, changes the numbers by",
    ),
    "missing labels": (
        lambda: evaluate((X, np.where(Y == 3, np.nan, Y))),
        DatasetError,
        "train: y: .* are missing",
    ),
    "missing among text": (
        lambda: evaluate((X, [float("nan") if y == 3 else f"digit {y}" for y in Y])),
        DatasetError,
        "train: y: .* are missing",
    ),
    "one-hot": (
        lambda: evaluate((X, np.eye(10)[Y])),
        DatasetError,
        r"train: y: is one-hot, .* np.argmax\(y, axis=1\)",
    ),
    "missing groups": (
        lambda: evaluate(LabelledFeatures(X, Y, [None] * 600)),  # type: ignore[list-item]
        DatasetError,
        "train: groups: 600 of 600 are missing",
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
