"""Paired differences of all pairs, and intervals of means, by hand."""

import numpy as np
import pytest

from bob.leaderboards import pair_gaps as module
from bob.leaderboards.board import make_board
from bob.leaderboards.cells import BoardColumn
from bob.records.record import Record
from bob.statistics.paired_tests import compare_paired
from tests.builders.leaderboard_records import dataset, record, score

RIGHT = {"a": [1, 1, 1, 0, 0, 1], "b": [1, 0, 1, 0, 0, 1], "c": [0, 0, 1, 1, 0, 0]}
COLUMN = BoardColumn("linear", "elpv")


def values(record: Record) -> np.ndarray:
    return np.array(RIGHT[record.backbone_name], float)


def records() -> list[Record]:
    return [record(name, float(np.mean(right))) for name, right in RIGHT.items()]


def test_pairs_have_counts_and_limits() -> None:
    """a and b have 3 right together, a and c 1, b and c 1."""
    gaps = make_board(records(), values).pair_gaps[COLUMN]
    assert (gaps.names, gaps.n) == (("a", "b", "c"), 6)
    assert gaps.right is not None and gaps.both is not None
    assert gaps.right.tolist() == [4, 3, 2] and gaps.both.tolist() == [3, 1, 1]
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    expected = [compare_paired(*(np.array(RIGHT[x], float) for x in pair)) for pair in pairs]
    assert gaps.low == pytest.approx([pair.low for pair in expected], abs=1e-12)
    assert gaps.high == pytest.approx([pair.high for pair in expected], abs=1e-12)


def test_other_numbers_of_examples_and_values_have_no_counts() -> None:
    """c is on 5 examples, and the values of a and b are no zeros and ones."""
    halves = {"a": np.full(6, 0.5), "b": np.arange(6) / 6, "c": np.ones(5)}
    gaps = make_board(records(), lambda one: halves[one.backbone_name]).pair_gaps[COLUMN]
    assert gaps.names == ("a", "b") and gaps.both is None and gaps.low[0] < 1 / 12 < gaps.high[0]
    assert make_board(records()).pair_gaps == {}  # without per-example results


def test_a_board_with_very_many_pairs_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAIRS", 2)
    assert make_board(records(), values).pair_gaps == {}


def test_the_interval_of_a_mean_by_hand() -> None:
    """Two datasets of ± 3 and ± 4 points: ± sqrt(3² + 4²) / 2 = 2.5 of their mean."""
    cells = [
        record(
            "a",
            dataset=dataset(name),
            scores=(score("top1", value, half_width=width),),
        )
        for name, value, width in (("elpv", 0.5, 0.03), ("textiles", 0.7, 0.04))
    ]
    (standing,) = make_board(cells).overall.standings
    assert standing.mean_value == pytest.approx(0.6)
    assert (standing.value_low, standing.value_high) == pytest.approx((0.575, 0.625))
