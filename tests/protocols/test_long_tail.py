"""Long-tailed train sets: LDAM's counts, the same images for all, and the plain task at 1."""

import numpy as np
import pytest

from bob.features.store import Features
from bob.metrics.classification import mean_per_class
from bob.outcomes import ClassPredictions, ConceptResults, FrequencyResults
from bob.protocols.linear import PROTOCOL as LINEAR
from bob.protocols.linear import LinearSettings
from bob.protocols.long_tail import PROTOCOL, LongTailSettings, tail_rows, tail_sizes
from bob.protocols.protocol import Result
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, make_dataset, make_split

PROBE = {"log10_c": (-3.0, 3.0, 7), "held_out": 0.25, "tolerance": 1e-4}
TAIL = LongTailSettings(**PROBE, imbalance=20)
PLAIN = LongTailSettings(**PROBE, imbalance=1)
Y = np.arange(240) % 4
DATASET = make_dataset(
    {name: make_split(digests(240, name), Y.tolist()) for name in ("train", "test")},
    ("a", "b", "c", "d"),
)


def features(seed: int) -> Features:
    noise = np.random.default_rng(seed).normal(size=(240, 6))
    return features_from((1.5 * np.eye(4, 6)[Y] + noise).astype(np.float32))


INPUTS = make_inputs({"train": features(0), "test": features(1)})


def solve(settings: LongTailSettings) -> Result:
    needs = PROTOCOL.needs(settings, DATASET, BASELINE)
    problem = PROTOCOL.build(settings, DATASET, needs, INPUTS, 0)
    return PROTOCOL.solve(problem, settings, "cpu")


def test_sizes_are_those_of_ldam() -> None:
    """CIFAR-10-LT with ratio 0.01: 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50."""
    sizes = tail_sizes(np.full(10, 5000), 100)
    assert sizes.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert tail_sizes(np.array([10, 3, 2]), 100).tolist() == [10, 1, 1]
    assert tail_sizes(np.array([4]), 100).tolist() == [4]


def test_the_images_that_are_kept_do_not_depend_on_their_order() -> None:
    content = digests(40)
    y = np.arange(40) % 2
    kept = {content[i] for i in tail_rows(y, content, 2, 5)}
    order = np.random.default_rng(0).permutation(40)
    shuffled = [content[i] for i in order]
    assert {shuffled[i] for i in tail_rows(y[order], shuffled, 2, 5)} == kept
    assert len(kept) == 20 + 4


def test_an_imbalance_of_1_is_the_plain_probe() -> None:
    needs = LINEAR.needs(LinearSettings(**PROBE), DATASET, BASELINE)
    settings = LinearSettings(**PROBE)
    plain = LINEAR.solve(LINEAR.build(settings, DATASET, needs, INPUTS, 0), settings, "cpu")
    result = solve(PLAIN)
    assert np.array_equal(result.outcome.log_prob, plain.outcome.log_prob)
    assert result.detail["train_images_per_class"] == [60] * 4


def test_rare_classes_suffer_and_the_adjustment_helps() -> None:
    result = solve(TAIL)
    assert result.detail["train_images_per_class"] == [60, 22, 8, 3]
    outcomes = {
        part.suffix: part.outcome
        for part in result.parts
        if isinstance(part.outcome, ClassPredictions)
    }
    balanced = solve(PLAIN).outcome
    assert mean_per_class(outcomes[""]) < mean_per_class(outcomes["adjusted"])
    assert mean_per_class(outcomes["adjusted"]) <= mean_per_class(balanced) + 0.02
    frequencies = [part.outcome for part in result.parts if part.suffix == ""][1]
    assert isinstance(frequencies, FrequencyResults)
    assert frequencies.train_images.tolist() == [[60, 22, 8, 3][c] for c in Y]
    by_class = [part.outcome for part in result.parts if part.metrics == ("frequency_correlation",)]
    assert len(by_class) == 2 and isinstance(by_class[0], ConceptResults)
    assert by_class[0].count.tolist() == [60, 22, 8, 3]
    right = outcomes[""].rank == 0
    assert by_class[0].accuracy == pytest.approx([right[c == Y].mean() for c in range(4)])


def test_an_imbalance_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        LongTailSettings(**PROBE, imbalance=0.5)
