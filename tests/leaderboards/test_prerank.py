"""Predicted orders of registered backbones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bob.errors import ConfigError
from bob.leaderboards.prerank import (
    PublishedScores,
    ordering_errors,
    parse_matches,
    prerank,
    published_scores,
)
from bob.leaderboards.published import read_published
from bob.leaderboards.render.prerank import prerank_sentences
from bob.records.record import Record
from bob.registry import load_registry
from tests.builders.leaderboard_records import failed, record, task
from tests.builders.published_table import read_published_table

SPECS = load_registry([], []).backbones
# Qualities 0.3, 0.4, 0.5, 0.8 and 0.6, on datasets that scale them by 1, 0.9, 0.8 and 0.7.
TABLE = """model,Birds,Cars,Pets,Food
resnet18.a1_in1k,0.30,0.27,0.24,0.21
resnet50.a1_in1k,0.40,0.36,0.32,0.28
ResNet50.TV_in1k,0.50,0.45,0.40,0.35
resnet101_a1_in1k,0.80,0.72,0.64,0.56
timm/convnext_tiny.fb_in1k,0.60,0.54,0.48,0.42
house model,0.55,0.495,0.44,0.385
"""
# One's own dataset halves every quality.
OWN = {"resnet18_a1_in1k": 0.15, "resnet50_a1_in1k": 0.2, "resnet50_tv_in1k": 0.25}


def _published(text: str = TABLE, **matches: str) -> PublishedScores:
    return published_scores([read_published(text, "paper.csv")[0]], SPECS, matches)


def _own(scores: dict[str, float] = OWN) -> list[Record]:
    return [record(name, value) for name, value in scores.items()]


def test_the_order_of_a_table_of_rank_one_is_continued() -> None:
    result = prerank(_published(), _own(), SPECS)
    assert (result.task, result.dataset, result.metric) == ("linear", "elpv", "top1")
    assert result.observed == tuple(OWN)
    assert [each.name for each in result.order] == ["resnet101_a1_in1k", "convnext_tiny_in1k"]
    assert [each.value for each in result.order] == pytest.approx([0.4, 0.3], abs=1e-6)
    assert [each.low for each in result.order] == pytest.approx([0.4, 0.3], abs=1e-5)
    assert result.unregistered == ("house model",)
    assert result.methods[0].spearman == pytest.approx(1)
    assert result.methods[0].worst_regret == 0


def test_a_prediction_beyond_all_scores_is_cut_and_has_no_interval() -> None:
    """Qualities of 0.3, 0.4 and 0.5 give 0.3, 0.6 and 0.9: those of 0.8 and 0.6 are above 1."""
    steep = dict(zip(OWN, (0.3, 0.6, 0.9), strict=True))
    result = prerank(_published(), _own(steep), SPECS)
    assert [(each.value, each.low, each.high) for each in result.order] == 2 * [(1.0, None, None)]
    assert all(each.is_cut for each in result.order)
    assert "2 of 2 predictions lay beyond 0 to 100 %" in " ".join(prerank_sentences(result))
    within = prerank(_published(), _own(), SPECS)
    assert not any(each.is_cut for each in within.order)
    assert "beyond" not in " ".join(prerank_sentences(within))


def test_a_method_is_no_better_by_what_rounding_hides() -> None:
    result = prerank(_published(), _own(), SPECS)
    first, second, *_ = result.methods
    same = replace(second, spearman=0.9996), replace(second, spearman=0.9)
    first = replace(first, spearman=0.9995)
    texts = [
        " ".join(prerank_sentences(replace(result, methods=(first, *others))))
        for others in (same, (replace(second, spearman=0.7),))
    ]
    assert not any("higher Spearman" in text for text in texts)
    worse = replace(result, methods=(replace(first, spearman=0.7), second))
    assert "higher Spearman" in " ".join(prerank_sentences(worse))


def test_backbones_that_ran_are_not_listed() -> None:
    records = [*_own(), failed("resnet101_a1_in1k")]
    assert [each.name for each in prerank(_published(), records, SPECS).order] == [
        "convnext_tiny_in1k"
    ]
    records.append(record("convnext_tiny_in1k", 0.3))
    with pytest.raises(ConfigError, match="every registered backbone of the tables has a record"):
        prerank(_published(), records, SPECS)


def test_a_match_names_what_the_registry_calls_otherwise() -> None:
    published = _published(**{"house model": "efficientnet_b0_ra_in1k"})
    names = [each.name for each in prerank(published, _own(), SPECS).order]
    assert names == ["resnet101_a1_in1k", "convnext_tiny_in1k", "efficientnet_b0_ra_in1k"]


def test_errors_are_turned_and_other_metrics_left_out() -> None:
    """An error of 0.25 is an accuracy of 0.75; the second metric of a dataset is not used."""
    text = (
        "backbone,dataset,metric,value\n"
        "a,Birds,error,0.25\nb,Birds,error,0.5\na,Birds,top1,0.7\na,Cars,perplexity,7\n"
    )
    published = _published(text)
    assert published.datasets == ("birds",)
    assert published.values[:, 0].tolist() == [0.75, 0.5]
    assert len(published.left_out) == 2


def test_methods_are_compared_on_datasets_that_are_held_out() -> None:
    """By hand: of three others, parameters put the worst first on all of five equal datasets.

    The best has 0.8 and the worst 0.5, so that 0.3 is lost.
    """
    column = [0.3, 0.4, 0.45, 0.5, 0.6, 0.8]
    datasets = tuple("abcde")
    values = np.tile(np.array(column)[:, None], (1, 5))
    published = PublishedScores(tuple("uvwxyz"), datasets, values, ())
    params = np.array([1.0, 1, 1, 9, 8, 7])
    prediction, mean, size = ordering_errors(published, np.arange(6) < 3, params)
    assert (prediction.spearman, mean.spearman, size.spearman) == pytest.approx((1, 1, -1))
    assert (prediction.kendall, mean.kendall, size.kendall) == pytest.approx((1, 1, -1))
    assert (prediction.regret, mean.regret, size.regret) == pytest.approx((0, 0, 0.3))
    assert [each.columns for each in (prediction, mean, size)] == [5, 5, 5]
    assert [each.backbones for each in (prediction, mean, size)] == [3, 3, 3]


@pytest.mark.parametrize(
    ("text", "records", "message"),
    [
        (
            TABLE,
            _own({"resnet18_a1_in1k": 0.1, "raw_pixels": 0.2}),
            r"at least 3 backbones .* the records have 1\. The smallest .*: resnet18_a1_in1k, ",
        ),
        (
            "\n".join(line.rpartition(",")[0] for line in TABLE.splitlines()),
            _own(),
            "at least 4 datasets are needed.*got 3",
        ),
    ],
    ids=["one score", "three datasets"],
)
def test_too_little_is_an_error_that_says_what_is_needed(
    text: str, records: Sequence[Record], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        prerank(_published(text), records, SPECS)


def test_records_must_be_of_one_task_with_a_share() -> None:
    two = [*_own(), record("resnet18_a1_in1k", 0.2, task=task("knn"))]
    with pytest.raises(ConfigError, match="one task on one dataset are needed; got 2: knn/elpv, "):
        prerank(_published(), two, SPECS)
    losses = [record(name, value, task=task(metrics=("nll",))) for name, value in OWN.items()]
    with pytest.raises(ConfigError, match="'nll' is not a share"):
        prerank(_published(), losses, SPECS)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["house model"], "expected PUBLISHED=BACKBONE"),
        (["a=b", "a=c"], "already has a match"),
        (["hose model=efficientnet_b0_ra_in1k"], "no table has this backbone.*house model"),
        (["house model=resnet_18"], "unknown backbone 'resnet_18'"),
        (["house model=resnet101_a1_in1k"], "have a backbone 'resnet101_a1_in1k' of their own"),
    ],
    ids=["no name", "repeated", "unknown in tables", "unregistered", "taken"],
)
def test_a_wrong_match_is_an_error(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _published(**parse_matches(texts))


def test_a_real_table_is_ordered_better_than_by_its_means() -> None:
    """Battle of the Backbones' retrieval table: five backbones are observed, the others ordered."""
    names, values = read_published_table()
    published = PublishedScores(tuple(names), tuple("abcdefgh"), values, ())
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(5):
        observed = np.isin(np.arange(len(names)), rng.choice(len(names), 5, replace=False))
        prediction, mean = ordering_errors(published, observed, np.full(len(names), np.nan))
        assert prediction.spearman is not None and mean.spearman is not None
        gains.append(prediction.spearman - mean.spearman)
    assert np.mean(gains) > 0
