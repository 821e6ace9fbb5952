"""Heads of N-shot probes against scikit-learn at the same objective."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from bob.numerics.arrays import Floats
from bob.numerics.fewshot.heads import fit_head
from bob.numerics.linear import batched_dual
from bob.numerics.linear.batched_dual import DualSolution
from tests.builders.fewshot import HEADS, sklearn_scores


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Limit threads, which on few cores cost scikit-learn's small products up to 20 times more
    than they save.
    """
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("classes", "shots", "width"),
    [(4, 1, 30), (4, 5, 30), (2, 3, 30), (2, 1, 30), (9, 2, 64), (4, 8, 20), (2, 9, 12)],
)
@pytest.mark.parametrize("l2", [1.0, 0.05])
def test_scores_agree_with_scikit_learn(
    head: str, classes: int, shots: int, width: int, l2: float
) -> None:
    """The last two have more rows than features, which the solvers of the linear probe fit."""
    rng = np.random.default_rng(classes * shots)
    y = np.repeat(np.arange(classes), shots)
    x = rng.standard_normal((3, len(y), width)) + rng.standard_normal((classes, width))[y] + 1
    samples = x.astype(np.float32)
    test_x = (rng.standard_normal((20, width)) + 1).astype(np.float32)

    def prepared(rows: Floats) -> Floats:
        if head != "centroid":
            return rows
        unit: Floats = normalize(rows.reshape(-1, width)).reshape(rows.shape)
        return unit

    # a gap of 1e-7 leaves weights a few times its root away from the optimum
    tolerance = 2e-3 if head == "logistic" else 1e-4
    weight, bias, gap = fit_head(head, torch.from_numpy(prepared(samples)), y, classes, l2)
    assert gap <= 1e-7
    for i in range(len(samples)):
        ours = prepared(test_x) @ weight[i].numpy().T + bias[i].numpy()
        wide, wide_test = samples[i].astype(np.float64), test_x.astype(np.float64)
        expected = sklearn_scores(head, wide, y, classes, l2, wide_test)
        assert ours - ours.mean(1, keepdims=True) == pytest.approx(
            expected, abs=tolerance * np.abs(expected).max()
        )


def test_the_gap_bounds_the_distance_from_the_optimum() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1, 20, 50))
    y = np.arange(20) % 4
    gram = batched_dual.centred(torch.from_numpy(rows @ rows.transpose(0, 2, 1)))

    def objective(solution: DualSolution) -> float:
        scores = (gram @ solution.coefficient)[0] + solution.bias
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y), reduction="sum")
        return float(loss + 0.5 * (solution.coefficient * (gram @ solution.coefficient)).sum() * 5)

    rough, exact = (
        batched_dual.logistic(gram, torch.from_numpy(y)[None], 4, torch.tensor([5.0]), tolerance)
        for tolerance in (1e-2, 1e-13)
    )
    # without weights, each of the 20 rows costs log 4
    gain = 20 * np.log(4) - objective(rough)
    distance = (objective(rough) - objective(exact)) / gain
    assert 1e-9 < distance <= rough.gap <= 1e-2


def test_hardly_a_prediction_is_decided_by_the_slack_of_the_solver() -> None:
    """With one image per class, margins are small: a gap of 1e-5 decided 14 of these 8,000."""
    classes, width, queries, decided = 20, 64, 2_000, 0
    y = np.arange(classes)
    for seed in range(7, 11):
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((classes, width))
        train = (centres + rng.standard_normal((classes, width)) + 1).astype(np.float32)
        truth = rng.integers(0, classes, queries)
        test = (centres[truth] + rng.standard_normal((queries, width)) + 1).astype(np.float32)
        weight, bias, _ = fit_head("logistic", torch.from_numpy(train[None]), y, classes, 1.0)
        ours = test @ weight[0].numpy().T + bias[0].numpy()
        wide = train.astype(np.float64), y, classes, 1.0, test.astype(np.float64)
        decided += int((ours.argmax(1) != sklearn_scores("logistic", *wide).argmax(1)).sum())
    assert decided <= 4
