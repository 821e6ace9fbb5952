"""Class predictions: ranks and probabilities from logits and from votes, checks and storage."""

import numpy as np
import pytest
from scipy.special import log_softmax

import bob.outcomes.classification
from bob.outcomes import ClassPredictions


def test_from_logits_by_hand() -> None:
    logits = np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0], [3.0, 3.0, 0.0], [1.0, 1.0, 1.0]])
    outcome = ClassPredictions.from_logits(logits, np.array([2, 0, 1, 2]))
    assert outcome.predicted.tolist() == [1, 0, 0, 0]  # ties go to the lower index
    assert outcome.rank.tolist() == [1, 0, 1, 2]
    assert outcome.log_prob is not None and outcome.confidence is not None
    assert outcome.log_prob[3] == pytest.approx(np.log(1 / 3))
    assert outcome.confidence[0] == pytest.approx(np.e**2 / (1 + np.e**2 + np.e))


def test_from_votes_never_ranks_a_class_without_votes() -> None:
    votes = np.array([[0.0, 0.7, 0.3], [0.0, 0.7, 0.3], [0.5, 0.5, 0.0]])
    outcome = ClassPredictions.from_votes(votes, np.array([0, 2, 1]))
    assert outcome.predicted.tolist() == [1, 1, 0]
    assert outcome.rank.tolist() == [3, 1, 1]  # class 0 of the first row has no vote: rank C
    assert outcome.log_prob is None and outcome.confidence is None


@pytest.mark.parametrize(
    ("n", "classes", "dtype"),
    [(1, 2, np.float32), (40, 7, np.float64), (300, 130, np.float32), (25, 6, np.float16)],
)
def test_ranks_and_probabilities_agree_with_a_stable_sort_and_with_scipy(
    n: int, classes: int, dtype: type
) -> None:
    rng = np.random.default_rng(n)
    logits = rng.integers(-4, 5, (n, classes)).astype(dtype)  # integers give many ties
    y = rng.integers(classes, size=n)
    outcome = ClassPredictions.from_logits(logits, y)
    order = np.argsort(-logits, axis=1, kind="stable")
    assert outcome.rank.tolist() == [
        list(row).index(true) for row, true in zip(order, y, strict=True)
    ]
    assert outcome.predicted.tolist() == order[:, 0].tolist()
    expected = log_softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(outcome.log_prob, expected[np.arange(n), y], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(outcome.confidence, np.exp(expected.max(1)), rtol=1e-12)


def test_block_size_does_not_change_the_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(50, 4)), rng.integers(4, size=50)
    expected = ClassPredictions.from_logits(logits, y).to_arrays()
    monkeypatch.setattr(bob.outcomes.classification, "BLOCK_CELLS", 7)
    for name, value in ClassPredictions.from_logits(logits, y).to_arrays().items():
        np.testing.assert_array_equal(value, expected[name])


def test_logits_computed_in_blocks_give_the_same_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(23, 5)), rng.integers(5, size=23)
    expected = ClassPredictions.from_logits(logits, y)
    monkeypatch.setattr(bob.outcomes.classification, "BLOCK_CELLS", 20)
    slices: list[slice] = []

    def logits_of(rows: slice) -> np.ndarray:
        slices.append(rows)
        return logits[rows]

    outcome = ClassPredictions.from_logits_in_blocks(logits_of, y, 5)
    assert [(rows.stop - rows.start) * 5 for rows in slices] == [20] * 6
    for name, values in expected.to_arrays().items():
        np.testing.assert_array_equal(outcome.to_arrays()[name], values)
    assert len(ClassPredictions.from_logits_in_blocks(lambda rows: logits[:0], y[:0], 5)) == 0


def test_huge_logits_do_not_overflow() -> None:
    outcome = ClassPredictions.from_logits(
        np.array([[1e300, 0.0], [-1e300, -1e300]]), np.array([0, 1])
    )
    assert outcome.log_prob is not None
    assert outcome.log_prob.tolist() == [0.0, pytest.approx(-np.log(2))]


def test_a_masked_class_has_probability_zero() -> None:
    outcome = ClassPredictions.from_logits(np.array([[0.0, -np.inf]]), np.array([1]))
    assert outcome.log_prob is not None and outcome.confidence is not None
    assert outcome.log_prob.tolist() == [-np.inf]
    assert outcome.confidence.tolist() == [1.0]


@pytest.mark.parametrize("kind", ["logits", "votes"])
def test_arrays_restore_the_outcome(kind: str) -> None:
    rng = np.random.default_rng(1)
    scores, y = rng.random((9, 3)), rng.integers(3, size=9)
    outcome = (
        ClassPredictions.from_logits(scores, y)
        if kind == "logits"
        else ClassPredictions.from_votes(scores, y)
    )
    arrays = outcome.to_arrays()
    restored = ClassPredictions.from_arrays(arrays)
    assert ("log_prob" in arrays) == (kind == "logits")
    assert restored.classes == 3 and isinstance(restored.classes, int)
    for name, value in restored.to_arrays().items():
        np.testing.assert_array_equal(value, arrays[name])
        assert value.dtype == arrays[name].dtype


def test_take_selects_and_repeats_examples() -> None:
    outcome = ClassPredictions.from_logits(
        np.array([[2.0, 0.0], [0.0, 1.0], [5.0, 4.0]]), np.array([0, 0, 1])
    )
    taken = outcome.take(np.array([2, 2, 0]))
    assert taken.y.tolist() == [1, 1, 0]
    assert taken.rank.tolist() == [1, 1, 0]
    assert taken.classes == 2 and len(taken) == 3
    assert outcome.log_prob is not None and taken.log_prob is not None
    assert taken.log_prob.tolist() == outcome.log_prob[[2, 2, 0]].tolist()


def test_an_outcome_may_have_no_examples() -> None:
    assert len(ClassPredictions.from_logits(np.empty((0, 3)), np.empty(0, int))) == 0
    assert len(ClassPredictions.from_votes(np.empty((0, 3)), np.empty(0, int))) == 0


@pytest.mark.parametrize(
    ("scores", "y", "message"),
    [
        (
            np.zeros((2, 3)),
            np.zeros(3, int),
            r"shape \(N, C\) and y \(N,\); got \(2, 3\) and \(3,\)",
        ),
        (np.zeros(2), np.zeros(2, int), "shape"),
        (np.zeros((2, 3)), np.array([0, 3]), r"0\.\.2; got 0\.\.3"),
        (np.zeros((2, 3)), np.array([-1, 0]), r"0\.\.2; got -1\.\.0"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "no NaN"),
        (np.array([[np.inf, 1.0]]), np.array([0]), r"no \+inf"),
    ],
)
def test_invalid_scores_are_rejected(scores: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassPredictions.from_logits(scores, y)


@pytest.mark.parametrize("votes", [[[0.0, 0.0]], [[-1.0, 2.0]]])
def test_invalid_votes_are_rejected(votes: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="votes must be at least 0"):
        ClassPredictions.from_votes(np.array(votes), np.array([0]))


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_missing_and_extra_arrays_are_rejected(change: str) -> None:
    arrays = ClassPredictions.from_votes(np.eye(2), np.array([0, 1])).to_arrays()
    arrays = (
        {name: value for name, value in arrays.items() if name != "rank"}
        if change == "missing"
        else arrays | {"extra": np.zeros(2)}
    )
    with pytest.raises(ValueError, match="a stored outcome holds the arrays"):
        ClassPredictions.from_arrays(arrays)
