"""The probe for label sets: scikit-learn's ridge, the choice of the penalty, and one run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from bob.errors import OK, NotApplicableError, UndefinedError
from bob.metrics.multilabel import label_ap
from bob.numerics.arrays import Bools, Floats
from bob.protocols.multilabel import (
    PROTOCOL,
    MultilabelProblem,
    MultilabelSettings,
    fit_path,
    label_sets,
    predictions,
)
from tests.builders.photos import make_photos
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import make_dataset, make_features, make_split

SETTINGS = MultilabelSettings(log10_l2=(-4.0, 2.0, 7), held_out=0.2)


def examples(n: int, width: int, seed: int = 0) -> tuple[Floats, Bools]:
    """Return features of very different scales, the first of them constant, and 4 noisy labels."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(3, 2, (n, width)) * np.linspace(0.1, 30, width)).astype(np.float32)
    x[:, 0] = 7
    weight = np.random.default_rng(9).normal(0, 1, (width, 4))
    labels = (x - x.mean(0)) @ weight / 30 + rng.normal(0, 1, (n, 4)) > 0
    return x, labels


@pytest.mark.parametrize("width", [12, 80])
def test_the_fit_is_scikit_learn_s_ridge(width: int) -> None:
    """Its alpha is the penalty per example times N, with fewer and more features than rows."""
    x, labels = examples(60, width)
    wide = x.astype(np.float64)
    scaler = StandardScaler().fit(wide)
    for penalty, fit in zip((1e-3, 1.0), fit_path(x, labels, np.array([1e-3, 1.0])), strict=True):
        peer = Ridge(alpha=penalty * 60).fit(scaler.transform(wide), 2.0 * labels - 1)
        np.testing.assert_allclose(
            predictions(fit, x, labels).scores, peer.predict(scaler.transform(wide)), atol=2e-5
        )


def test_the_penalty_is_chosen_on_held_out_rows() -> None:
    (x, labels), (test_x, test_labels) = examples(120, 20), examples(50, 20, seed=1)
    held = np.arange(120) % 4 == 0
    problem = MultilabelProblem(x, labels, held, test_x, test_labels)
    result = PROTOCOL.solve(problem, SETTINGS, "cpu")
    held_out_ap = {}
    for penalty in 10.0 ** np.arange(-4, 3):
        (fit,) = fit_path(x[~held], labels[~held], np.array([penalty]))
        held_out_ap[penalty] = label_ap(predictions(fit, x[held], labels[held]))
    best = max(held_out_ap.values())
    assert result.detail["held_out_label_ap"] == pytest.approx(best)
    strongest = max(penalty for penalty, ap in held_out_ap.items() if ap == best)
    assert result.detail["l2_per_example"] == pytest.approx(strongest)
    assert label_ap(result.outcome) > 0.8
    flipped = MultilabelProblem(x, labels, held, test_x, ~test_labels)
    assert PROTOCOL.solve(flipped, SETTINGS, "cpu").detail == result.detail


# --- from a dataset to a problem


def test_single_labels_are_label_sets_of_one() -> None:
    assert label_sets(make_split("abc", [1, 0, 1]), 2).tolist() == [
        [False, True],
        [True, False],
        [False, True],
    ]


def test_the_penalty_is_chosen_on_the_val_split_where_there_is_one() -> None:
    splits = {
        "train": make_split("abc", [0, 1, 0]),
        "val": make_split("de", [1, 0]),
        "test": make_split("f", [0]),
    }
    data = make_dataset(splits)
    inputs = make_inputs({name: make_features(len(split)) for name, split in splits.items()})
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    problem = PROTOCOL.build(SETTINGS, data, needs, inputs, seed=0)
    assert problem.held_out.tolist() == [False, False, False, True, True]
    assert problem.labels.argmax(1).tolist() == [0, 1, 0, 1, 0]
    assert not PROTOCOL.uses_seed(SETTINGS, data)


def test_one_image_leaves_nothing_to_hold_out() -> None:
    splits = {"train": make_split("a", [0]), "test": make_split("f", [0])}
    data = make_dataset(splits)
    inputs = make_inputs({name: make_features(1) for name in splits})
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    with pytest.raises(
        UndefinedError, match="no train images can be held out to choose the penalty"
    ):
        PROTOCOL.build(SETTINGS, data, needs, inputs, seed=0)


def test_train_and_test_images_are_needed() -> None:
    with pytest.raises(NotApplicableError, match="needs train and test images"):
        PROTOCOL.needs(SETTINGS, make_dataset({"test": make_split("f", [0])}), BASELINE)


def test_a_run_from_a_table_of_label_sets(
    tmp_path: Path, bob: Callable[..., tuple[int, str, str]]
) -> None:
    """Photographs of three colours have the label of their folder; those of class 0 also have
    `first`. k-NN does not apply to label sets.
    """
    make_photos(tmp_path / "photos", per_class=12)
    lines = ["path,label,split"]
    for path in sorted((tmp_path / "photos").rglob("*.png")):
        second = "|first" if path.parent.name == "class0" else ""
        split = "test" if int(path.stem) >= 9 else "train"
        relative = path.relative_to(tmp_path / "photos")
        lines.append(f"{relative},{path.parent.name}{second},{split}")
    (tmp_path / "photos" / "table.csv").write_text("\n".join(lines))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "datasets.yaml").write_text("""
several:
  source: {reader: table, path: ../photos/table.csv, label_separator: "|"}
  kind: multi-label
  classes: 4
""")
    code, _, err = bob(
        *("run", "--backbones", "channel_statistics", "--tasks", "multilabel,knn"),
        *("--datasets", "several", "--tasks-dir", str(tmp_path / "tasks")),
    )
    assert code == OK, err
    (record,) = json.loads(bob("list", "records", "--json")[1])
    assert record["metric"] == "label_ap" and record["status"] == "ok" and record["value"] > 0.7
