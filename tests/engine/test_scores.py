"""Scores of the parts of a result."""

from bob.engine.scores import scores
from bob.metrics.intervals import interval
from bob.protocols.protocol import ResultPart
from tests.builders.outcomes import class_predictions


def test_scores_carry_the_interval_and_the_facets_of_their_part() -> None:
    outcome = class_predictions(60, 6, seed=4)
    value, low, high, kind = interval("top1", outcome, seed=0)
    part = ResultPart(outcome, "k20", metrics="ranking", facets={"k": 20})
    (score,) = scores(part, ["top1", "top5"], seed=3)
    assert (score.metric, score.facets, score.seed) == ("top1_k20", {"k": 20}, 3)
    assert (score.n, score.undefined) == (60, None)
    assert (score.value, score.low, score.high, score.interval) == (value, low, high, kind)


def test_an_undefined_score_gives_the_reason() -> None:
    (score,) = scores(ResultPart(class_predictions(60, 4, seed=4)), ["top5"], seed=None)
    assert (score.value, score.low, score.high) == (None, None, None)
    assert (score.n, score.interval) == (60, "wilson")
    assert score.undefined == "top5 needs at least 6 classes; there are 4"
