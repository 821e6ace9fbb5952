"""Robustness to corruptions: known answers, needs, and unreadable images."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from bob.datasets.corruptions import CORRUPTION_FAMILIES
from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.metrics import metric_named
from bob.metrics.corruptions import corruption_drop, corruption_error
from bob.outcomes import CorruptionProbabilities, CorruptionResults
from bob.protocols import FeatureNeed, Inputs
from bob.protocols.calibration import PROTOCOL as CALIBRATION
from bob.protocols.calibration import CalibrationProblem, CalibrationSettings
from bob.protocols.classification import ClassificationProblem
from bob.protocols.corruptions import PROTOCOL, CorruptionsProblem, CorruptionsSettings
from bob.protocols.linear import LinearSettings
from bob.protocols.protocol import Result
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

PROBE = LinearSettings(log10_c=(-2.0, 2.0, 3), held_out=0.25, tolerance=1e-3)
SETTINGS = CorruptionsSettings(
    families=("noise", "digital"), severities=(1, 5), images=None, side_px=32, probe=PROBE
)
NAMES = (*CORRUPTION_FAMILIES["noise"], *CORRUPTION_FAMILIES["digital"])


# --- solving


def make_problem() -> ClassificationProblem:
    """Return two separated classes along the first two of three features."""
    rng = np.random.default_rng(0)
    y, test_y = rng.integers(2, size=80), rng.integers(2, size=40)
    x, test_x = (
        (rng.normal(size=(len(labels), 3)) * 0.1 + np.eye(3)[labels] * 3).astype(np.float32)
        for labels in (y, test_y)
    )
    return ClassificationProblem(x, y, np.arange(80) < 20, test_x, test_y, 2)


def test_corruptions_that_change_nothing_cost_nothing_and_swapped_classes_cost_all() -> None:
    """One of the four conditions swaps the features of the classes, and loses every image."""
    clean = make_problem()
    x, swapped = clean.test_x, clean.test_x[:, [1, 0, 2]]
    corrupted = {"gaussian_noise": np.stack([x, x]), "contrast": np.stack([x, swapped])}
    problem = CorruptionsProblem(clean, iter(corrupted.items()))
    result = PROTOCOL.solve(problem, SETTINGS, "cpu")
    parts = {
        part.suffix: part
        for part in result.parts
        if not isinstance(part.outcome, CorruptionProbabilities)
    }
    assert corruption_error(result.outcome) == corruption_drop(result.outcome) == 1 / 4
    errors = {
        name: corruption_error(part.outcome)
        for name, part in parts.items()
        if name in ("gaussian_noise", "contrast", "severity1", "severity5")
        and isinstance(part.outcome, CorruptionResults)
    }
    assert errors == {"gaussian_noise": 0, "contrast": 0.5, "severity1": 0, "severity5": 0.5}
    for family, error in (("noise", 0), ("digital", 0.5)):
        outcome = parts[family].outcome
        assert isinstance(outcome, CorruptionResults) and corruption_error(outcome) == error
    top1 = {
        part.suffix: metric_named("top1").function(part.outcome)
        for part in result.parts
        if part.metrics == ("top1",)
    }
    assert top1 == {
        "clean": 1,
        "gaussian_noise_1": 1,
        "gaussian_noise_5": 1,
        "contrast_1": 1,
        "contrast_5": 0,
    }
    assert parts["contrast_5"].facets == {"corruption": "contrast", "severity": 5}


def parts_by_metrics(result: Result) -> dict[str, Any]:
    return {p.suffix: p for p in result.parts if isinstance(p.outcome, CorruptionProbabilities)}


def test_one_temperature_of_clean_held_out_rows_serves_every_corruption() -> None:
    """It changes no prediction, and equals that of the calibration task on the same rows."""
    clean = make_problem()
    conditions = np.stack([clean.test_x + 1, clean.test_x[:, [1, 0, 2]]])
    problem = CorruptionsProblem(clean, iter({"contrast": conditions}.items()))
    settings = SETTINGS.model_copy(update={"families": ("digital",)})
    result = PROTOCOL.solve(problem, settings, "cpu")
    of = parts_by_metrics(result)
    suffixes = ["clean", "", "digital", "contrast", "severity1", "severity5"]
    assert set(of) == {*suffixes, *(f"{name}_raw".lstrip("_") for name in suffixes)}
    for name in suffixes:
        calibrated, raw = of[name].outcome, of[f"{name}_raw".lstrip("_")].outcome
        assert np.array_equal(calibrated.right, raw.right)
        assert not np.allclose(calibrated.confidence, raw.confidence)
    probe = CalibrationSettings(**PROBE.model_dump(), coverages=(1.0,))
    expected = CALIBRATION.solve(CalibrationProblem(clean, {}), probe, "cpu").detail
    assert result.detail["temperature"] == expected["temperature"]
    assert of["severity5_raw"].facets == {"severity": 5, "probabilities": "raw"}
    assert of["clean"].facets["severity"] == 0


def test_folds_leave_no_rows_for_a_temperature_but_raw_scores_stay() -> None:
    clean = dataclasses.replace(make_problem(), held_out=np.zeros(80, bool), fold=np.arange(80) % 4)
    probe = PROBE.model_copy(update={"held_out": None, "folds": 4})
    settings = SETTINGS.model_copy(update={"probe": probe, "families": ("noise",)})
    conditions = {"gaussian_noise": np.stack([clean.test_x, clean.test_x])}
    result = PROTOCOL.solve(CorruptionsProblem(clean, iter(conditions.items())), settings, "cpu")
    assert "temperature" not in result.detail
    assert all(suffix.endswith("raw") for suffix in parts_by_metrics(result))


# --- from a dataset to its features


def dataset() -> Dataset:
    train, test = (
        make_split([f"{name}{i}" for i in range(n)], [i % 2 for i in range(n)])
        for name, n in (("train", 8), ("test", 4))
    )
    return make_dataset({"train": train, "test": test})


def solve(
    unreadable: tuple[str, ...] = (), images: int | None = None
) -> tuple[dict[str, Features], Result]:
    """Return the features by need, which hold (class, position, 1), and the result.

    `unreadable` are ids of images, and `ID CORRUPTION SEVERITY` of corrupted ones.
    """
    settings, data = SETTINGS.model_copy(update={"images": images}), dataset()
    needs = PROTOCOL.needs(settings, data, BASELINE)
    features = {
        need.name: _features(need.images.open(data), need.name, unreadable)
        for need in needs
        if isinstance(need, FeatureNeed)
    }
    problem = PROTOCOL.build(settings, data, needs, make_inputs(features), seed=0)
    return features, PROTOCOL.solve(problem, settings, "cpu")


def _features(split: Split, name: str, unreadable: tuple[str, ...]) -> Features:
    ids = split.ids if name != "train" else [f"train {i}" for i in split.ids]
    readable = [i for i, image in enumerate(ids) if image not in unreadable]
    rows = np.ones((len(readable), 3), np.float32)
    rows[:, 0], rows[:, 1] = split.y[readable] * 2 - 1, readable
    return features_from(rows, readable)


def test_each_corruption_is_one_need_with_all_severities() -> None:
    features, result = solve()
    assert set(features) == {"train", "test", *NAMES}
    assert len(features["contrast"]) == 2 * 4
    assert result.outcome.right.shape == (4, 14)


def test_unreadable_images_are_excluded_from_all_conditions() -> None:
    corrupted = (f"1 {name} {severity}" for name in NAMES for severity in (1, 5))
    _, result = solve(unreadable=("1", *corrupted))
    assert result.outcome.right.shape == (3, 14)


def test_a_limit_samples_test_images() -> None:
    features, result = solve(images=2)
    assert len(features["test"]) == 4, "the features of other tasks, of which two are read"
    assert len(features["contrast"]) == 2 * 2
    assert len(result.outcome) == 2


def test_corrupted_features_are_read_one_corruption_at_a_time() -> None:
    settings, data = SETTINGS, dataset()
    needs = PROTOCOL.needs(settings, data, BASELINE)
    read: list[str] = []

    def features(need: Any) -> Features:
        read.append(need.name)
        return _features(need.images.open(data), need.name, ())

    inputs = Inputs(features, make_inputs({}).statistics)
    problem = PROTOCOL.build(settings, data, needs, inputs, seed=0)
    assert read == ["train", "test"]
    next(problem.corrupted)
    assert read == ["train", "test", NAMES[0]]


def test_without_the_library_the_task_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bob.datasets.corruptions.DISTRIBUTION", "no-such-distribution")
    with pytest.raises(
        NotApplicableError,
        match=r"no-such-distribution not installed. Run: pip install 'bob-bench\[corruptions\]'",
    ):
        PROTOCOL.needs(SETTINGS, dataset(), BASELINE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ("noise", "noise")}, r"families must differ; got \['noise', 'noise'\]"),
        ({"severities": (1, 1)}, "severities must differ"),
        ({"severities": (6,)}, "less than or equal to 5"),
        ({"side_px": 16}, "side_px must be at least 32"),
    ],
)
def test_inconsistent_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorruptionsSettings.model_validate({**SETTINGS.model_dump(), **changes})
