"""Features of one's own: the same scores as from stored features, and as scikit-learn's; wrong arrays are told."""

import re

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from bob.errors import ConfigError, DatasetError, NotApplicableError
from bob.io.paths import CHECKOUT
from bob.precomputed.evaluate import Rows, evaluate
from bob.records.store import RecordBook
from tests.builders.photos import make_photos

DIGITS = load_digits()
X, Y = DIGITS.data[:600].astype(np.float32), DIGITS.target[:600]
TRAIN, TEST = (X[:300], Y[:300]), (X[300:], Y[300:])


def test_five_nearest_neighbours_are_scikit_learn_s():
    answer = evaluate(TRAIN, TEST, tasks="knn_euclidean")["knn_euclidean"]
    expected = KNeighborsClassifier(5).fit(*TRAIN).score(*TEST)
    assert answer.score.metric == "top1" and answer.score.value == pytest.approx(
        expected, abs=1e-12
    )
    assert answer.score.n == 300 and answer.score.low < expected < answer.score.high
    assert (answer.results[0].outcome.y == TEST[1]).all(), "classes are in natural order"


def test_stored_features_given_as_arrays_have_the_record_s_scores(bob, tmp_path):
    """Another way in and the same numbers: train, val and test folders, so that no split is drawn from images' content."""
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
    records, _ = RecordBook(tmp_path / "results").read_all()
    stored = [
        load_file(path)["rows"] for path in (tmp_path / "cache" / "features").rglob("*.safetensors")
    ]
    by_size = {len(rows): rows for rows in stored}
    train, val, test = ((by_size[3 * n], np.repeat(["a", "b", "c"], n)) for n in (12, 5, 7))
    answers = evaluate(train, test, val=val, tasks="linear,knn,ridge")
    for record in records:
        assert [(s.metric, s.value, s.low, s.high) for s in record.scores] == [
            (s.metric, s.value, s.low, s.high) for s in answers[record.task.name].scores
        ]


def test_without_test_a_fifth_of_each_class_is_taken():
    score = evaluate((X, Y), tasks="knn_euclidean")["knn_euclidean"].score
    assert score.n == sum(int(0.2 * n + 0.5) for n in np.bincount(Y)) and score.value > 0.9


def test_groups_stay_on_one_side():
    """Labels are noise, so that only the twin of a test row, equal but for the fourth digit, tells its label."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)), rng.integers(0, 2, 60)
    twins, labels, groups = (
        np.concatenate([x, x + 1e-4]),
        np.concatenate([y, y]),
        [f"object {i}" for i in range(60)] * 2,
    )
    free, kept = (
        evaluate(rows, tasks="knn")["knn"].score.value
        for rows in ((twins, labels), Rows(twins, labels, groups))
    )
    assert free > 0.75 and kept < 0.7


def test_shifted_and_foreign_rows_are_asked_about():
    far = np.random.default_rng(0).uniform(40, 50, (80, 64))
    answers = evaluate(
        TRAIN,
        TEST,
        shifts={"noisy": (TEST[0] + 2, TEST[1])},
        foreign={"noise": far},
        tasks="ood,ood_detection",
    )
    assert {score.facets.get("shift") for score in answers["ood"].scores} >= {"noisy"}
    distance = KNeighborsClassifier(1).fit(*TRAIN).kneighbors
    inside, outside = -distance(TEST[0])[0][:, 0], -distance(far)[0][:, 0]
    assert roc_auc_score([1] * 300 + [0] * 80, [*inside, *outside]) == 1.0
    assert answers["ood_detection"].score.value == pytest.approx(1.0, abs=0.02)


def test_seeds_and_details_are_there():
    answer = evaluate((X, Y), TEST, tasks="linear", seeds=(0, 1))["linear"]
    assert set(answer.results) == {0, 1} and {score.seed for score in answer.scores} == {0, 1}
    assert answer.results[1].detail["converged"]


def test_labels_may_be_text_and_columns_of_pandas():
    import pandas as pd

    table = pd.DataFrame({"label": [f"digit {y}" for y in Y]})
    text, numbers = (
        evaluate((X, y), tasks="knn_euclidean")["knn_euclidean"].score for y in (table["label"], Y)
    )
    assert text == numbers


def test_tasks_that_need_images_do_not_apply():
    for task in ("zeroshot", "image_text", "corruptions", "resize_normalise"):
        with pytest.raises(NotApplicableError, match=r"needs"):
            evaluate(TRAIN, TEST, tasks=task)
    assert set(evaluate(TRAIN, TEST, tasks="protocol:zeroshot,knn*")) == {"knn", "knn_euclidean"}


NAN = np.where(np.arange(64) == 3, np.nan, X[:300])
WRONG = {
    "flat": (
        lambda: evaluate((X[0], Y[:64])),
        DatasetError,
        r"train: x must be features of shape \(N, D\), neither of them 0; got \(64,\)",
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
        lambda: evaluate(Rows(X, Y, ["a"])),
        DatasetError,
        "train: groups must be 600 names; got 1",
    ),
    "one class": (
        lambda: evaluate((X, np.zeros(600, int))),
        DatasetError,
        "features: all images are of one class, '0'",
    ),
    "new class": (
        lambda: evaluate(TRAIN, (X[:9], Y[:9] + 5)),
        DatasetError,
        "features: test holds images of '1[0-4]'",
    ),
    "shifted class": (
        lambda: evaluate(TRAIN, TEST, shifts={"s": (X[:9], Y[:9] + 50)}),
        DatasetError,
        r"s: holds the classes \['50', .*which train does",
    ),
    "taken": (
        lambda: evaluate(TRAIN, TEST, foreign={"val": X}),
        ConfigError,
        "shifts and foreign: 'val' is taken",
    ),
    "task": (
        lambda: evaluate(TRAIN, TEST, tasks="lineer"),
        ConfigError,
        "unknown task 'lineer'; did you mean 'linear'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays_are_told(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()


def test_every_example_of_the_page_runs(tmp_path, monkeypatch, photos):
    """docs/python.md, block after block as in one session, beside a folder `photos/`."""
    blocks = re.findall(
        r"```python\n(.*?)```", (CHECKOUT / "docs" / "python.md").read_text(), flags=re.DOTALL
    )
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), session)
