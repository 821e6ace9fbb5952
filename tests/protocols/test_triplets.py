"""Triplets: choices by cosine against those of people."""

from typing import Any

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.errors import NotApplicableError, UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.numerics.arrays import Floats
from bob.outcomes import TripletChoices
from bob.protocols.protocol import Result
from bob.protocols.triplets import PROTOCOL, TripletProblem, TripletSettings
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, make_dataset, make_split

SETTINGS = TripletSettings()


def solve(references: Floats, images: Floats, **attributes: Any) -> Result:
    """Solve triplets whose image of even row was chosen over the next one."""
    chosen = np.arange(0, 2 * len(references), 2)
    problem = TripletProblem(references, images, chosen, chosen + 1, attributes)
    return PROTOCOL.solve(problem, SETTINGS, "cpu")


def two_afc(outcome: Any) -> float:
    return metric_named("two_afc").function(outcome)


def triplets(**facts: Any) -> Dataset:
    """Return three references with two images each, of which the second was not chosen."""
    splits = {
        "query": make_split(digests(3, "q"), [-1] * 3, attributes={"prompts": ["a", "b", "a"]}),
        "gallery": make_split(digests(6, "g"), [-1] * 6),
    }
    judged = {"chosen": [(0,), (3,), (4,)], "other": [(1,), (2,), (5,)]}
    return make_dataset(splits, kind="triplets", **{"judgements": judged, **facts})


def test_by_hand_with_a_tie() -> None:
    """Cosines with (1, 0): .8 and .6, right; .6 and .8, wrong; (2, 0) and (1, 0), both 1, half."""
    references = np.array([[1, 0]] * 3, np.float32)
    images = np.array([[4, 3], [3, 4], [3, 4], [4, 3], [2, 0], [1, 0]], np.float32)
    result = solve(references, images)
    assert result.outcome.agreement.tolist() == [1, 0, 0.5] and two_afc(result.outcome) == 0.5
    assert result.detail == {"triplets": 3, "tied": pytest.approx(1 / 3)}


def test_the_score_is_that_of_the_official_formula() -> None:
    """(d0 < d1) (1 - p) + (d1 < d0) p + (d0 = d1) / 2 with p = 1 where people chose the right one
    (dreamsim, evaluation/score.py)."""
    rng = np.random.default_rng(0)
    references, images = rng.normal(size=(40, 5)), rng.normal(size=(80, 5))
    left_of = rng.integers(2, size=40)  # the chosen image, 2 i, is shown left where 1
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (references, images)]
    chosen, other = (1 - (unit[0] * unit[1][side::2]).sum(1) for side in (0, 1))
    d0, d1 = np.where(left_of, chosen, other), np.where(left_of, other, chosen)
    p = 1.0 - left_of
    official = (d0 < d1) * (1 - p) + (d1 < d0) * p + (d0 == d1) * 0.5
    result = solve(references.astype(np.float32), images.astype(np.float32))
    assert two_afc(result.outcome) == pytest.approx(official.mean()) and 0 < official.mean() < 1


def test_laws() -> None:
    """The reference itself is chosen, equal features tie, and swapping the images flips."""
    rng = np.random.default_rng(1)
    references, images = rng.normal(size=(20, 4)), rng.normal(size=(40, 4))
    images[::2] = 3 * references  # the cosine ignores the length
    rows = [values.astype(np.float32) for values in (references, images)]
    assert two_afc(solve(*rows).outcome) == 1
    swapped = rows[1].reshape(20, 2, 4)[:, ::-1].reshape(40, 4)
    assert two_afc(solve(rows[0], swapped).outcome) == 0
    same = solve(np.ones_like(rows[0]), np.ones_like(rows[1]))
    assert two_afc(same.outcome) == 0.5 and same.caveats


def test_values_of_named_attributes_have_scores() -> None:
    references = np.array([[1, 0]] * 3, np.float32)
    images = np.array([[4, 3], [3, 4], [3, 4], [4, 3], [4, 3], [3, 4]], np.float32)
    parts = {part.suffix: part for part in solve(references, images, prompts=["a", "b", "a"]).parts}
    assert set(parts) == {"", "prompts=a", "prompts=b"}
    assert two_afc(parts["prompts=a"].outcome) == 1 and two_afc(parts["prompts=b"].outcome) == 0
    assert parts["prompts=b"].facets == {"prompts": "b"}


def test_triplets_with_an_unreadable_image_are_left_out() -> None:
    data = triplets(group_by=("prompts",))
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    readable = [0, 1, 3, 4, 5]  # image 2 is one of the second reference's
    features = {
        "query": features_from(rows[:3]),
        "gallery": features_from(rows[readable], readable),
    }
    problem = PROTOCOL.build(SETTINGS, data, needs, make_inputs(features), 0)
    assert problem.references.tolist() == rows[[0, 2]].tolist()
    assert problem.images[problem.chosen].tolist() == rows[[0, 4]].tolist()
    assert problem.images[problem.other].tolist() == rows[[1, 5]].tolist()
    assert problem.attributes == {"prompts": ("a", "a")}
    features["query"] = features_from(rows[1:2], [1])
    with pytest.raises(UndefinedError, match="no triplet of which all images can be read"):
        PROTOCOL.build(SETTINGS, data, needs, make_inputs(features), 0)


def test_choices_are_needed() -> None:
    with pytest.raises(NotApplicableError, match="needs choices between two images; dataset 'd'"):
        PROTOCOL.needs(SETTINGS, triplets(judgements={"positive": [(0,)] * 3}), BASELINE)


def test_the_interval_is_that_of_a_share() -> None:
    """statsmodels' Wilson interval of 15 of 20: 0.5313 to 0.8881."""
    choices = TripletChoices(np.repeat([1.0, 0.0], [15, 5]))
    value, low, high, kind = interval("two_afc", choices, 0)
    assert (value, kind) == (0.75, "wilson")
    assert (low, high) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    with pytest.raises(UndefinedError, match="there are no triplets"):
        metric_named("two_afc").function(TripletChoices(np.zeros(0)))
