"""Ridge regression of numbers: against scikit-learn, what chooses, and where numbers come from."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import NotApplicableError, UndefinedError
from bob.metrics.regression import r2
from bob.protocols.regress import PROTOCOL, RegressionProblem, RegressionSettings
from tests.builders.images import png
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, make_dataset, make_split

SETTINGS = RegressionSettings(log10_l2=(-3.0, 3.0, 7), held_out=0.25)


def problem(noise: float = 1.0) -> RegressionProblem:
    rng = np.random.default_rng(0)
    x, test_x = (rng.normal(size=(n, 12)).astype(np.float32) for n in (120, 80))
    weight = rng.normal(size=12)
    target, test_target = (
        rows @ weight + 3 + noise * rng.normal(size=len(rows)) for rows in (x, test_x)
    )
    return RegressionProblem(x, target, np.arange(120) % 4 == 0, test_x, test_target)


def test_predictions_are_those_of_scikit_learn_at_the_chosen_penalty() -> None:
    data = problem()
    result = PROTOCOL.solve(data, SETTINGS, "cpu")
    l2 = result.detail["l2_per_example"]
    reference = make_pipeline(StandardScaler(), Ridge(alpha=l2 * 120)).fit(data.x, data.target)
    assert result.outcome.predicted == pytest.approx(reference.predict(data.test_x), abs=1e-5)
    errors = {}
    for value in 10.0 ** np.linspace(-3, 3, 7):
        fit = make_pipeline(StandardScaler(), Ridge(alpha=value * 90))
        fit.fit(data.x[~data.held_out], data.target[~data.held_out])
        error = fit.predict(data.x[data.held_out]) - data.target[data.held_out]
        errors[value] = (error**2).mean()
    assert l2 == pytest.approx(min(errors, key=errors.__getitem__))


def test_linear_targets_are_found_and_shifted_ones_too() -> None:
    assert r2(PROTOCOL.solve(problem(0.0), SETTINGS, "cpu").outcome) > 0.999


def dataset(**attributes: list[str]):
    splits = {
        name: make_split(digests(8, name), [0, 1] * 4, attributes=attributes)
        for name in ("train", "test")
    }
    return make_dataset(splits, target="age")


def test_numbers_come_from_the_attribute() -> None:
    data = dataset(age=[f"{i}.5" for i in range(8)])
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    rows = np.arange(16, dtype=np.float32).reshape(8, 2)
    inputs = make_inputs(
        {"train": features_from(rows), "test": features_from(rows[2:], range(2, 8))}
    )
    built = PROTOCOL.build(SETTINGS, data, needs, inputs, 0)
    assert built.target.tolist() == [i + 0.5 for i in range(8)]
    assert built.test_target.tolist() == [i + 0.5 for i in range(2, 8)]
    assert 0 < built.held_out.sum() < 8


def test_val_chooses_where_there_is_one() -> None:
    ages = {"attributes": {"age": ["1", "2"]}}
    splits = {
        name: make_split(digests(2, name), [0, 0], **ages) for name in ("train", "val", "test")
    }
    data = make_dataset(splits, target="age")
    rows = features_from(np.eye(2, dtype=np.float32))
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    inputs = make_inputs(dict.fromkeys(("train", "val", "test"), rows))
    assert PROTOCOL.build(SETTINGS, data, needs, inputs, 0).held_out.tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert not PROTOCOL.uses_seed(SETTINGS, data)


def test_datasets_without_numbers_are_not_applicable() -> None:
    with pytest.raises(NotApplicableError, match="'age' of '1' in dataset 'd' is 'old'"):
        PROTOCOL.needs(SETTINGS, dataset(age=["1", "old"] * 4), BASELINE)
    with pytest.raises(NotApplicableError, match="'age' of '0' in dataset 'd' is 'inf'"):
        PROTOCOL.needs(SETTINGS, dataset(age=["inf"] * 8), BASELINE)
    with pytest.raises(NotApplicableError, match="train of dataset 'd' has no 'age'"):
        PROTOCOL.needs(SETTINGS, dataset(size=["1"] * 8), BASELINE)
    splits = {name: make_split("ab", [0, 1]) for name in ("train", "test")}
    with pytest.raises(NotApplicableError, match="dataset 'd' has none"):
        PROTOCOL.needs(SETTINGS, make_dataset(splits), BASELINE)


def test_a_single_train_image_leaves_nothing_to_choose_on() -> None:
    ages = {"attributes": {"age": ["1"]}}
    data = make_dataset(
        {name: make_split(digests(1, name), [0], **ages) for name in ("train", "test")},
        target="age",
    )
    rows = features_from(np.ones((1, 2), np.float32))
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    with pytest.raises(UndefinedError, match="no train images can be held out"):
        PROTOCOL.build(SETTINGS, data, needs, make_inputs({"train": rows, "test": rows}), 0)


def test_a_column_of_your_table_is_the_target(tmp_path: Path) -> None:
    lines = ["path,label,split,target"]
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(png(i))
        lines.append(f"{i}.png,a,{'train' if i < 5 else 'test'},{i / 10}")
    (tmp_path / "ages.csv").write_text("\n".join(lines) + "\n")
    data = open_dataset(spec_from_data_flag(str(tmp_path / "ages.csv")), tmp_path / "cache")
    assert data.target == "target"
    assert PROTOCOL.needs(SETTINGS, data, BASELINE)
