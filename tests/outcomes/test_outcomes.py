"""Every kind of outcome: what is stored is read again bit for bit, and wrong shapes are refused."""

from dataclasses import fields

import numpy as np
import pytest

from bob.outcomes import (
    ClassProbabilities,
    ClassSubsets,
    ClusterAssignments,
    ConceptResults,
    CorruptionProbabilities,
    CorruptionResults,
    FeatureDiagnostics,
    FewShotCurves,
    FrequencyResults,
    GroupResults,
    IncrementalResults,
    LearningCurve,
    MultilabelPredictions,
    OodScores,
    Outcome,
    PairedPreprocessing,
    RecallSums,
    RegressionResults,
    RetrievalResults,
    SelectivePredictions,
    ShiftResults,
    TopKResults,
)

RNG = np.random.default_rng(0)
RIGHT, WRONG = np.array([True, False]), np.array([False])
COUNTS = RNG.integers(1, 9, size=(3, 4))
OUTCOMES: tuple[tuple[Outcome, int], ...] = (
    (FewShotCurves(RNG.random((3, 2)), np.array([1, 5])), 3),
    (ShiftResults.from_test_sets([RIGHT, WRONG]), 3),
    (OodScores.from_scores(RNG.random(5), RNG.random(6)), 11),
    (CorruptionResults(RIGHT, RNG.random((2, 3)) < 0.5), 2),
    (CorruptionProbabilities(RNG.random((2, 3)) < 0.5, *RNG.random((3, 2, 3))), 2),
    (PairedPreprocessing(RIGHT, ~RIGHT), 2),
    (MultilabelPredictions(RNG.random((4, 2)).astype(np.float32), RNG.random((4, 2)) < 0.5), 4),
    (RetrievalResults(*COUNTS[:2], *RNG.random((5, 4))), 4),
    (TopKResults(3, COUNTS[0], *RNG.random((4, 4))), 4),
    (ClassProbabilities(COUNTS[0], RNG.random((4, 3))), 4),
    (ClassSubsets(COUNTS[0], COUNTS[1], 12, np.array([1, 5])), 4),
    (ClusterAssignments(*COUNTS[:2]), 4),
    (ConceptResults(RNG.random(4), COUNTS[0]), 4),
    (FeatureDiagnostics(RNG.random(10), RNG.random((5, 10))), 5),
    (FrequencyResults(RNG.random(4) < 0.5, *COUNTS[:2]), 4),
    (GroupResults(RNG.random(4), *COUNTS[:2]), 4),
    (IncrementalResults(RNG.random((4, 3)) < 0.5, COUNTS[0]), 4),
    (LearningCurve(RNG.random((4, 2)) < 0.5, np.array([5, 9])), 4),
    (RecallSums(RNG.random((4, 3)), COUNTS[0] % 2), 4),
    (RegressionResults(*RNG.random((2, 4))), 4),
    (SelectivePredictions(RIGHT, RNG.random(2), 0.5), 2),
)


@pytest.mark.parametrize(
    ("outcome", "n"), OUTCOMES, ids=[type(one).__name__ for one, _ in OUTCOMES]
)
def test_outcomes_are_stored_bit_for_bit(outcome: Outcome, n: int) -> None:
    again = type(outcome).from_arrays(outcome.to_arrays())
    assert len(outcome) == len(again) == n
    for field in fields(type(outcome)):  # type: ignore[arg-type]
        first, second = getattr(outcome, field.name), getattr(again, field.name)
        assert np.array_equal(first, second)
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype


@pytest.mark.parametrize(
    ("outcome", "n"), OUTCOMES, ids=[type(one).__name__ for one, _ in OUTCOMES]
)
def test_examples_can_be_taken_in_any_order_and_repeatedly(outcome: Outcome, n: int) -> None:
    order = np.array([n - 1, 0, 0])
    taken, arrays = outcome.take(order).to_arrays(), outcome.to_arrays()
    for name, values in arrays.items():
        per_example = values.ndim and len(values) == n
        assert np.array_equal(taken[name], values[order] if per_example else values)


def test_few_shot_curves_need_accuracies_per_number_of_shots() -> None:
    with pytest.raises(
        ValueError, match=r"top1 must have shape \(R, S\) and shots \(S,\); got \(3,\) and \(1,\)"
    ):
        FewShotCurves(np.zeros(3), np.array([1]))
    with pytest.raises(ValueError, match=r"shots must ascend from at least 1; got \[2, 2\]"):
        FewShotCurves(np.zeros((3, 2)), np.array([2, 2]))


def test_shift_results_need_arrays_of_one_length() -> None:
    with pytest.raises(
        ValueError,
        match=r"right, shift and group must all have shape \(N,\); got \(2,\), \(3,\) and \(2,\)",
    ):
        ShiftResults(np.zeros(2, bool), np.zeros(3, int), np.zeros(2, int))


def test_ood_scores_need_numbers_and_arrays_of_one_length() -> None:
    with pytest.raises(
        ValueError, match=r"score and inside must both have shape \(N,\); got \(2,\) and \(3,\)"
    ):
        OodScores(np.zeros(2), np.zeros(3, bool))
    with pytest.raises(ValueError, match="scores must hold no NaN"):
        OodScores(np.array([np.nan]), np.array([True]))


def test_corruption_results_need_conditions() -> None:
    with pytest.raises(
        ValueError, match=r"clean must have shape \(N,\) and right \(N, K\), K at least 1"
    ):
        CorruptionResults(np.ones(2, bool), np.ones((2, 0), bool))


def test_paired_preprocessing_needs_arrays_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"own and other must both have shape \(N,\)"):
        PairedPreprocessing(np.ones(2, bool), np.ones(3, bool))


def test_multilabel_predictions_need_a_score_per_label() -> None:
    with pytest.raises(ValueError, match=r"both have shape \(N, C\); got \(2, 3\) and \(2, 2\)"):
        MultilabelPredictions(np.zeros((2, 3), np.float32), np.zeros((2, 2), bool))
