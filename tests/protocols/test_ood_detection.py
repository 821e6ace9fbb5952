"""OOD detection: scores against scikit-learn and by hand, laws, and degenerate features."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from bob.datasets.dataset import Shift
from bob.errors import NotApplicableError
from bob.metrics.ood_detection import auroc
from bob.numerics.arrays import Floats, Ints
from bob.outcomes import OodScores
from bob.protocols.classification import ClassificationProblem
from bob.protocols.ood_detection import (
    PROTOCOL,
    SCORES,
    OodDetectionProblem,
    OodDetectionSettings,
    logit_scores,
)
from bob.protocols.protocol import Result
from tests.builders.protocols import BASELINE
from tests.builders.splits import make_dataset, make_split

SETTINGS = OodDetectionSettings(log10_c=(-4.0, 4.0, 5), held_out=0.2, tolerance=1e-4, k=5)


def make_problem(n: int = 200, width: int = 12) -> tuple[ClassificationProblem, Floats]:
    """Return a problem of three classes, and 60 rows of none of them.

    Classes overlap, so that the best strength of the probe is inside its grid.
    """
    rng = np.random.default_rng(0)
    means = 0.7 * rng.standard_normal((3, width))
    mix = rng.standard_normal((width, width))

    def rows(labels: Ints) -> Floats:
        x = (means[labels] + rng.standard_normal((len(labels), width))) @ mix + 5
        return np.asarray(x, np.float32)

    y, test_y = rng.integers(3, size=n), rng.integers(3, size=60)
    held_out = np.arange(n) % 5 == 0
    problem = ClassificationProblem(rows(y), y, held_out, rows(test_y), test_y, 3)
    return problem, (rng.standard_normal((60, width)) @ mix).astype(np.float32)


def solve(
    problem: ClassificationProblem, other: Floats, settings: OodDetectionSettings = SETTINGS
) -> Result:
    detection = OodDetectionProblem(problem, {"other": other}, {"other": "near"})
    return PROTOCOL.solve(detection, settings, "cpu")


def outcomes_of(result: Result) -> dict[str, OodScores]:
    """Return the outcomes of a single set by the name of the score."""
    outcomes = {}
    for part in result.parts[1:]:
        assert isinstance(part.outcome, OodScores)
        outcomes[str(part.facets["score"])] = part.outcome
    return outcomes


def test_scores_are_those_of_scikit_learn() -> None:
    problem, other = make_problem()
    outcomes = outcomes_of(solve(problem, other))
    x = problem.x.astype(np.float64)
    queries = np.concatenate([problem.test_x, other]).astype(np.float64)
    distance, _ = NearestNeighbors(n_neighbors=5).fit(normalize(x)).kneighbors(normalize(queries))
    assert outcomes["knn"].score == pytest.approx(-distance[:, -1], abs=1e-5)
    means = np.stack([x[problem.y == c].mean(0) for c in range(3)])
    within = EmpiricalCovariance(assume_centered=True).fit(x - means[problem.y])
    to_class = np.stack([within.mahalanobis(queries - mean) for mean in means]).min(0)
    to_mean = EmpiricalCovariance().fit(x).mahalanobis(queries)
    assert outcomes["mahalanobis"].score == pytest.approx(-to_class, rel=1e-5)
    assert outcomes["relative_mahalanobis"].score == pytest.approx(
        -to_class + to_mean, rel=1e-4, abs=1e-4
    )


def test_scores_of_logits_by_hand() -> None:
    """Logits log 3 and 0 are probabilities 3/4 and 1/4, and their exponentials sum to 4."""
    scores = logit_scores(np.log([[3.0, 1.0]]))
    assert {name: float(value[0]) for name, value in scores.items()} == pytest.approx(
        {"msp": np.log(3 / 4), "max_logit": np.log(3), "energy": np.log(4)}
    )


def test_the_energy_of_large_logits_does_not_overflow() -> None:
    logits = np.array([[2000.0, 0.0], [1000.0, 0.0]])
    assert logit_scores(logits)["energy"].tolist() == [2000, 1000]


def test_distant_images_are_separated_and_equal_ones_are_not() -> None:
    problem, _ = make_problem()
    distant = outcomes_of(solve(problem, (-1000 - problem.test_x).astype(np.float32)))
    assert auroc(distant["mahalanobis"]) == auroc(distant["knn"]) == 1
    equal = outcomes_of(solve(problem, problem.test_x))
    assert all(auroc(outcome) == 0.5 for outcome in equal.values())


def test_rotating_features_changes_nothing() -> None:
    problem, other = make_problem()
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((12, 12)))[0]
    x, test_x, turned = (
        (rows @ turn).astype(np.float32) for rows in (problem.x, problem.test_x, other)
    )
    here = outcomes_of(solve(problem, other))
    there = outcomes_of(solve(replace(problem, x=x, test_x=test_x), turned))
    for name in SCORES:
        assert auroc(there[name]) == pytest.approx(auroc(here[name]), abs=2e-3)


def test_more_features_than_rows_and_constant_features_have_finite_scores() -> None:
    problem, other = make_problem(n=30, width=50)
    x, test_x, other = (
        np.concatenate([rows, np.full((len(rows), 1), 7, np.float32)], 1)
        for rows in (problem.x, problem.test_x, other)
    )
    settings = SETTINGS.model_copy(update={"k": 100})
    result = solve(replace(problem, x=x, test_x=test_x), other, settings)
    assert all(np.isfinite(outcome.score).all() for outcome in outcomes_of(result).values())
    assert result.detail["k"] == 30


def test_both_mahalanobis_distances_are_taken_in_one_space() -> None:
    """The covariance within classes is never above that of all, so that rows further out are less
    like train. In two spaces, which fewer rows than features would give, they would be more.
    """
    problem, _ = make_problem(n=30, width=50)
    mean = problem.x.mean(0)
    far = (mean + 1000 * (problem.x[np.arange(60) % 30] - mean)).astype(np.float32)
    assert auroc(outcomes_of(solve(problem, far))["relative_mahalanobis"]) > 0.95


def test_no_choice_depends_on_test_images_or_other_sets() -> None:
    problem, other = make_problem()
    changed = replace(problem, test_x=problem.test_x * 0 + 1, test_y=(problem.test_y + 1) % 3)
    assert solve(problem, other).detail == solve(changed, other * 0 - 1).detail


def test_the_first_near_set_is_the_headline() -> None:
    problem, other = make_problem()
    others, kinds = {"distant": other + 9, "close": other}, {"distant": "far", "close": "near"}
    result = PROTOCOL.solve(OodDetectionProblem(problem, others, kinds), SETTINGS, "cpu")
    headline = result.parts[0]
    assert headline.facets == {"set": "close", "kind": "near", "score": "knn"}
    assert headline.suffix == "" and len(result.outcome) == 120
    assert {part.suffix for part in result.parts[1:]} == {
        f"{name}_{score}" for name in ("distant", "close") for score in SCORES
    }


def test_a_dataset_without_other_sets_is_not_applicable() -> None:
    splits = {name: make_split("ab", [0, 1]) for name in ("train", "test")}
    shifted = make_dataset(splits, shifts={"poly": Shift(make_split("c", [0]), "shift")})
    with pytest.raises(
        NotApplicableError,
        match=r"has no similar images of foreign classes .* and no unlike ones",
    ):
        PROTOCOL.needs(SETTINGS, shifted, BASELINE)
    near = make_dataset(splits, shifts={"others": Shift(make_split("c", [-1]), "near")})
    assert [need.name for need in PROTOCOL.needs(SETTINGS, near, BASELINE)] == [
        "train",
        "test",
        "others",
    ]
