"""Images with several labels: metrics against scikit-learn and by hand, the probe against scikit-learn's ridge, and one run from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from bob.errors import OK, UndefinedError
from bob.metrics.binary import eleven_point_precision
from bob.metrics.metric import Metric
from bob.metrics.multilabel import (
    METRICS,
    label_ap,
    label_ap_11_point,
    label_set_top1,
    roc_auc,
)
from bob.outcomes.multilabel import MultilabelPredictions
from bob.protocols.multilabel import MultilabelProblem, fit_path, multilabel, predictions
from bob.specs.settings.multilabel import MultilabelSettings
from tests.builders.photos import make_photos


def made(n: int = 200, classes: int = 5, ties: bool = False) -> MultilabelPredictions:
    rng = np.random.default_rng(0)
    labels = rng.random((n, classes)) < 0.3
    values = labels + rng.normal(0, 1, (n, classes))
    return MultilabelPredictions((values.round(1) if ties else values).astype(np.float32), labels)


@pytest.mark.parametrize("ties", [False, True])
def test_as_scikit_learn_has_it(ties: bool) -> None:
    outcome = made(ties=ties)
    assert label_ap(outcome) == pytest.approx(
        average_precision_score(outcome.labels, outcome.scores), abs=1e-12
    )
    assert roc_auc(outcome) == pytest.approx(
        roc_auc_score(outcome.labels, outcome.scores), abs=1e-12
    )


@pytest.mark.parametrize(
    "metric", [one for one in METRICS if one.leave_one_out], ids=lambda metric: metric.name
)
def test_leaving_out_is_the_metric_on_the_others(metric: Metric) -> None:
    """Of 25 images; one class has a single image, one all but one, one none: they come and go with an image."""
    outcome = made(25, 6, ties=True)
    labels = outcome.labels.copy()
    labels[:, 0], labels[:, 1], labels[:, 2] = np.arange(25) == 3, np.arange(25) != 5, False
    outcome = MultilabelPredictions(outcome.scores, labels)
    assert metric.leave_one_out is not None
    expected = [metric.function(outcome.take(np.delete(np.arange(25), i))) for i in range(25)]
    assert metric.leave_one_out(outcome) == pytest.approx(expected, abs=1e-6)  # scores are float32


def test_eleven_point_precision_by_hand() -> None:
    """Ranked: yes, no, yes, no. Precision and recall: 1 at 1/2, 1/2 at 1/2, 2/3 at 1, 1/2 at 1.
    At the 6 recalls 0 to 0.5 the best is 1, at the 5 above it is 2/3: (6 + 10/3) / 11.
    """
    there = np.array([True, False, True, False])
    assert eleven_point_precision(np.array([4, 3, 2, 1], np.float32), there) == pytest.approx(
        (6 + 10 / 3) / 11
    )


def test_label_sets_by_hand() -> None:
    """Best classes 0, 2, 1; the first and the third image have theirs, the fourth has no class and is not counted."""
    values = np.array([[9, 1, 2], [0, 1, 5], [3, 4, 1], [1, 0, 0]], np.float32)
    labels = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert label_set_top1(MultilabelPredictions(values, labels)) == pytest.approx(2 / 3)


def test_laws() -> None:
    outcome, order = made(), np.random.default_rng(1).permutation(200)
    perfect = MultilabelPredictions(outcome.labels.astype(np.float32), outcome.labels)
    for metric in (label_ap, label_ap_11_point, roc_auc, label_set_top1):
        assert (
            metric(outcome.take(order)) == pytest.approx(metric(outcome))
            and metric(perfect.take(np.flatnonzero(outcome.labels.any(1)))) == 1
        )
    stored = MultilabelPredictions.from_arrays(outcome.to_arrays())
    assert label_ap(stored) == label_ap(outcome) and len(stored) == 200


def test_classes_without_images_and_nothing_at_all() -> None:
    """A class that no test image has is left out of the mean; without any, there is no value."""
    outcome = made(classes=3)
    wider = MultilabelPredictions(
        np.pad(outcome.scores, ((0, 0), (0, 1))), np.pad(outcome.labels, ((0, 0), (0, 1)))
    )
    assert label_ap(wider) == label_ap(outcome)
    none = MultilabelPredictions(np.zeros((4, 2), np.float32), np.zeros((4, 2), bool))
    with pytest.raises(UndefinedError, match="no class has test images both with and without it"):
        roc_auc(none)
    with pytest.raises(UndefinedError, match="no test image has a class"):
        label_set_top1(none)
    with pytest.raises(ValueError, match=r"both have shape \(N, C\); got \(2, 3\) and \(2, 2\)"):
        MultilabelPredictions(np.zeros((2, 3), np.float32), np.zeros((2, 2), bool))


def rows(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = (rng.normal(3, 2, (n, width)) * np.linspace(0.1, 30, width)).astype(np.float32)
    x[:, 0] = 7  # constant
    labels = (x - x.mean(0)) @ np.random.default_rng(9).normal(0, 1, (width, 4)) / 30 + rng.normal(
        0, 1, (n, 4)
    ) > 0
    return x, labels


@pytest.mark.parametrize("width", [12, 80])
def test_the_fit_is_scikit_learn_s_ridge(width: int) -> None:
    """alpha is the penalty per example times N; more features than rows (80 of 60) included."""
    x, labels = rows(60, width)
    scaler = StandardScaler().fit(x.astype(np.float64))
    for penalty, fit in zip((1e-3, 1.0), fit_path(x, labels, np.array([1e-3, 1.0])), strict=True):
        reference = Ridge(alpha=penalty * 60).fit(
            scaler.transform(x.astype(np.float64)), 2.0 * labels - 1
        )
        np.testing.assert_allclose(
            predictions(fit, x, labels).scores,
            reference.predict(scaler.transform(x.astype(np.float64))),
            atol=2e-5,
        )


def test_the_penalty_is_chosen_on_held_out_rows() -> None:
    (x, labels), (test_x, test_labels) = rows(120, 20), rows(50, 20, 1)
    held = np.arange(120) % 4 == 0
    settings = MultilabelSettings(log10_l2=(-4.0, 2.0, 7), held_out=0.2)
    result = multilabel(MultilabelProblem(x, labels, held, test_x, test_labels), settings)
    by_hand = {
        p: label_ap(
            predictions(fit_path(x[~held], labels[~held], np.array([p]))[0], x[held], labels[held])
        )
        for p in 10.0 ** np.arange(-4, 3)
    }
    assert result.detail["held_out_label_ap"] == pytest.approx(max(by_hand.values()))
    assert result.detail["l2_per_example"] == pytest.approx(
        max(p for p, value in by_hand.items() if value == max(by_hand.values()))
    )
    assert label_ap(result.outcome) > 0.8
    flipped = multilabel(MultilabelProblem(x, labels, held, test_x, ~test_labels), settings)
    assert flipped.detail == result.detail, "the test labels choose nothing"


def test_a_run_from_end_to_end(tmp_path: Path, bob) -> None:  # type: ignore[no-untyped-def]
    """Photographs of three colours; each also has the label 'any', and those of class 0 also 'first'."""
    make_photos(tmp_path / "photos", per_class=12)
    (tmp_path / "tasks").mkdir()
    lines = ["path,label,split"]
    for path in sorted((tmp_path / "photos").rglob("*.png")):
        extra = "|first" if path.parent.name == "class0" else ""
        lines.append(
            f"{path.relative_to(tmp_path / 'photos')},{path.parent.name}{extra},{'test' if int(path.stem) >= 9 else 'train'}"
        )
    (tmp_path / "photos" / "table.csv").write_text("\n".join(lines))
    (tmp_path / "tasks" / "datasets.yaml").write_text("""
several:
  source: {reader: table, path: ../photos/table.csv, label_separator: "|"}
  kind: multi-label
  classes: 4
""")
    words = [
        "--backbones",
        "channel_statistics",
        "--tasks",
        "multilabel,knn",
        "--datasets",
        "several",
        "--tasks-dir",
        str(tmp_path / "tasks"),
    ]
    assert bob("run", *words)[0] == OK
    (record,) = json.loads(bob("list", "records", "--json")[1])
    assert record["metric"] == "label_ap" and record["status"] == "ok" and record["value"] > 0.7, (
        "and k-NN is not asked of label sets"
    )
