"""Class-incremental heads: second opinions, what order does not change, and RanPAC's two forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from bob.metrics.incremental import forgetting, last_top1
from bob.numerics.incremental import IncrementalLda, RandomRidge, random_projection
from bob.outcomes import IncrementalResults
from bob.protocols.centroid import PROTOCOL as CENTROID
from bob.protocols.centroid import CentroidSettings
from bob.protocols.classification import ClassificationProblem
from bob.protocols.incremental import (
    PROTOCOL,
    IncrementalProblem,
    IncrementalSettings,
    task_order,
)
from bob.protocols.protocol import Result

SETTINGS = IncrementalSettings(
    tasks=3,
    order_seed=1993,
    heads=("lda", "ranpac", "centroid"),
    projection=200,
    log10_l2=(-2.0, 4.0, 7),
    held_out=0.2,
    epsilon=1e-4,
)


def problem(classes: int = 6, n: int = 90, skill: float = 1.0) -> ClassificationProblem:
    rng = np.random.default_rng(0)
    means = skill * rng.normal(size=(classes, 10))
    y, test_y = np.arange(n) % classes, np.arange(60) % classes
    x, test_x = (
        (means[labels] + rng.normal(size=(len(labels), 10)) + 1).astype(np.float32)
        for labels in (y, test_y)
    )
    return ClassificationProblem(x, y, np.arange(n) % 5 == 0, test_x, test_y, classes)


def solve(data: ClassificationProblem, settings: IncrementalSettings = SETTINGS) -> Result:
    return PROTOCOL.solve(IncrementalProblem(data, 0), settings, "cpu")


def outcomes_of(result: Result) -> dict[str, IncrementalResults]:
    outcomes = {}
    for part in result.parts[1:]:
        assert isinstance(part.outcome, IncrementalResults)
        outcomes[part.suffix] = part.outcome
    return outcomes


def tensor(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows.astype(np.float64))


def test_the_order_is_that_of_the_official_codes() -> None:
    """The first classes of 100 and of 200, as their logs print them."""
    assert task_order(100, SETTINGS).order[:10].tolist() == [68, 56, 78, 8, 23, 84, 90, 65, 74, 76]
    assert task_order(200, SETTINGS).order[:5].tolist() == [168, 136, 51, 9, 183]


def test_lda_scores_are_those_of_the_joint_scatter() -> None:
    data = problem()
    x, test = tensor(data.x), tensor(data.test_x)
    lda = IncrementalLda(6, 10, 1e-4, "cpu")
    for classes in ([2, 5], [0], [1, 3, 4]):
        rows = np.flatnonzero(np.isin(data.y, classes))
        lda.learn(x[rows], data.y[rows])
    means = np.stack([data.x[data.y == c].astype(np.float64).mean(0) for c in range(6)])
    centred = data.x - means[data.y]
    inverse = np.linalg.pinv((1 - 1e-4) * centred.T @ centred / 90 + 1e-4 * np.eye(10))
    bias = np.einsum("cd,de,ce->c", means, inverse, means) / 2
    expected = data.test_x @ inverse @ means.T - bias
    assert lda.scores(test, np.arange(6)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [40, 300])
def test_ranpac_is_ridge_on_random_features(size: int) -> None:
    """300 features are more than 90 rows, so that products of rows are used; 40 are fewer."""
    data, seen = problem(), np.array([0, 2, 3])
    projection = random_projection(10, size, 0)
    ridge = RandomRidge(tensor(data.x), data.y, tensor(data.test_x), projection, 6)
    assert ridge.dual == (size > 90)
    rows, held = np.arange(50), np.arange(60, 80)
    ridge.add(rows[:20])
    first = ridge.weights(seen, 7.0)
    ridge.add(rows[20:])
    hidden, other, test = (
        np.maximum(values.astype(np.float64) @ projection.numpy(), 0)
        for values in (data.x[rows], data.x[held], data.test_x)
    )
    targets = (data.y[rows][:, None] == seen).astype(np.float64)
    fitted = Ridge(alpha=7.0, fit_intercept=False).fit(hidden, targets)
    before, after = ridge.scores([first, ridge.weights(seen, 7.0)])
    assert after == pytest.approx(fitted.predict(test), abs=1e-8)
    fitted_first = Ridge(alpha=7.0, fit_intercept=False).fit(hidden[:20], targets[:20])
    assert before == pytest.approx(fitted_first.predict(test), abs=1e-8)
    wanted = (data.y[held][:, None] == seen).astype(np.float64)
    error = ((fitted.predict(other) - wanted) ** 2).mean()
    assert ridge.errors(held, seen, [7.0]) == pytest.approx([error])


@pytest.mark.parametrize("size", [40, 300])
def test_float32_random_features_change_scores_by_their_rounding(size: int) -> None:
    data, seen = problem(), np.arange(6)
    scores = []
    for kind in (torch.float32, torch.float64):
        projection = random_projection(10, size, 0).to(kind)
        ridge = RandomRidge(tensor(data.x), data.y, tensor(data.test_x), projection, 6)
        ridge.add(np.arange(90))
        scores += ridge.scores([ridge.weights(seen, 7.0)])
    assert scores[0].dtype == np.float64
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_random_features_are_standard_normal() -> None:
    projection = random_projection(100, 200, 0).numpy()
    assert abs(projection.mean()) < 0.03 and projection.std() == pytest.approx(1, abs=0.03)
    assert np.isfinite(projection).all()
    assert not np.array_equal(projection, random_projection(100, 200, 1).numpy())


def test_the_end_depends_on_neither_order_nor_number_of_tasks() -> None:
    data = problem()
    fixed = {"log10_l2": (1.0, 1.0, 1)}
    last: dict[str, set[float]] = {"lda": set(), "ranpac": set(), "centroid": set()}
    for tasks, seed in ((2, 0), (3, 1993), (6, 5)):
        settings = SETTINGS.model_copy(update={"tasks": tasks, "order_seed": seed, **fixed})
        for head, outcome in outcomes_of(solve(data, settings)).items():
            last[head].add(last_top1(outcome))
    assert {head: len(values) for head, values in last.items()} == dict.fromkeys(last, 1)
    centroid = CENTROID.solve(data, CentroidSettings(metric="cosine", tasks=3), "cpu").outcome
    assert last["centroid"] == {(centroid.rank == 0).mean()}


def test_separated_classes_are_learned_and_not_forgotten() -> None:
    for outcome in outcomes_of(solve(problem(skill=50))).values():
        assert last_top1(outcome) == 1 and forgetting(outcome) == 0


def test_equal_features_go_to_the_lowest_class_seen() -> None:
    data = problem()
    equal = replace(data, x=np.ones_like(data.x), test_x=np.ones_like(data.test_x))
    for outcome in outcomes_of(solve(equal)).values():
        assert last_top1(outcome) == pytest.approx(1 / 6)


def test_the_penalty_is_the_strongest_without_held_out_rows() -> None:
    data = problem()
    result = solve(replace(data, held_out=np.zeros(90, bool)))
    assert result.detail["ranpac_l2"] == [1e4] * 3


def test_no_choice_depends_on_test_images() -> None:
    data = problem()
    other = replace(data, test_x=data.test_x * 0 + 1, test_y=(data.test_y + 1) % 6)
    assert solve(data).detail == solve(other).detail
