"""Rank correlations of descriptions with the probe: by hand, and what is left out."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from bob.leaderboards.description_agreement import description_agreements, tau_limits
from bob.leaderboards.render.markdown import to_markdown
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, record, score, task


def described(name: str, rank: float, nleep: float | None = -1.0, **changes: object) -> Record:
    scores = (
        score("rank_me", rank, low=rank, high=rank),
        score("nleep", nleep, low=nleep, high=nleep),
    )
    of_task = task("diagnostics", metrics=("rank_me", "nleep"))
    return record(name, task=of_task, scores=scores, **changes)


PROBES = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}


def records() -> list[Record]:
    """RankMe orders c and d the other way; N-LEEP is undefined for d."""
    ranks = {"a": 40.0, "b": 30.0, "c": 10.0, "d": 20.0}
    nleeps = {"a": -3.0, "b": -2.0, "c": -1.0, "d": None}
    return [
        *(record(name, value) for name, value in PROBES.items()),
        *(described(name, ranks[name], nleeps[name]) for name in PROBES),
    ]


def test_tau_by_hand() -> None:
    """Five of six pairs agree: (5 - 1) / 6. All three pairs of N-LEEP disagree."""
    ranks, nleep = description_agreements(records())
    assert (ranks.dataset, ranks.description, ranks.measured) == ("elpv", "rank_me", "top1")
    assert ranks.tau == pytest.approx(4 / 6) and ranks.backbones == 4
    assert nleep.tau == -1 and nleep.backbones == 3
    assert ranks.low is None and nleep.high is None


def test_baselines_and_other_datasets_do_not_count() -> None:
    pixels = [
        record("pixels", 0.1, family="baseline"),
        described("pixels", 1.0, family="baseline"),
    ]
    textiles = dataset("textiles")
    elsewhere = [described(name, 1.0 + i, dataset=textiles) for i, name in enumerate("abcd")]
    expected = description_agreements(records())
    assert description_agreements([*records(), *pixels, *elsewhere]) == expected
    assert description_agreements(records()[:2] + records()[4:]) == []


def test_distances_of_shifts_are_compared_with_the_loss_of_accuracy() -> None:
    """Distances 1, 2, 4, 3 and losses .1, .2, .3, .4: five of six pairs agree, (5 - 1) / 6."""
    drops = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}
    distances = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 3.0}
    of_ood, of_sets = task("ood", metrics=("drop",)), task("x", metrics=("frechet_distance",))
    lost = [record(name, task=of_ood, scores=(score("drop", drops[name]),)) for name in drops]
    far = [
        record(name, task=of_sets, scores=(score("frechet_distance", distances[name]),))
        for name in distances
    ]
    (agreement,) = description_agreements([*records()[:4], *lost, *far])
    assert (agreement.description, agreement.measured) == ("frechet_distance", "drop")
    assert agreement.tau == pytest.approx(4 / 6)


def test_a_description_without_a_score_is_left_out() -> None:
    other = task("diagnostics", metrics=("rank_me", "log_me"))
    lacking = [one.model_copy(update={"task": other}) for one in records()[4:]]
    assert len(description_agreements([*records()[:4], *lacking])) == 1


def test_limits_contain_the_true_tau() -> None:
    """400 samples of 12 normal pairs with correlation 0.6, tau 2 asin(0.6) / pi: error 1.1 %."""
    rng, truth, covered = np.random.default_rng(0), 2 * np.arcsin(0.6) / np.pi, 0
    for _ in range(400):
        x = rng.normal(size=12)
        y = 0.6 * x + 0.8 * rng.normal(size=12)
        limits = tau_limits(float(kendalltau(x, y).statistic), 12)
        covered += limits is not None and limits[0] <= truth <= limits[1]
    assert 0.92 <= covered / 400 <= 0.985


def test_no_limits_of_few_backbones_or_of_a_single_order() -> None:
    assert tau_limits(0.5, 5) is None and tau_limits(1.0, 30) is None


def test_markdown_shows_the_agreement_as_a_description() -> None:
    text = to_markdown(records())
    assert "## Descriptions beside the probe" in text
    assert "| rank_me | top1 | elpv | 4 | 0.67 |" in text
    assert "Descriptions beside" not in to_markdown(records()[:4])
