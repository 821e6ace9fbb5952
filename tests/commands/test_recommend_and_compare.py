"""`bob-bench recommend` and `bob-bench compare`, on results with known per-example arrays."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bob.commands.compare import comparison_json
from bob.io.text import short_number
from bob.leaderboards import board_cells
from bob.leaderboards.advice import BetterBaseline, advise
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.costs import COSTS, cost_of
from bob.leaderboards.gather import gather
from bob.leaderboards.limits import BackboneLimits
from bob.leaderboards.pairwise import compare
from bob.leaderboards.per_example import no_per_example, per_example_values
from bob.leaderboards.render.advice import advice_sentences
from bob.leaderboards.render.comparison import comparison_sentences, overall_row
from bob.leaderboards.speeds import speeds
from bob.metrics import metric_named
from bob.outcomes import ClassPredictions, OodScores, ShiftResults
from bob.records.record import Cost, Record
from tests.builders.leaderboard_records import dataset, facts, record, score, task
from tests.builders.stored_sweep import N, sample_correct, store

Bob = Callable[..., tuple[int, str, str]]
SETTINGS = [("linear", "elpv"), ("knn", "textiles")]
SMALL, LARGE, SLOW = (
    sample_correct(0.75, 1),
    sample_correct(0.80, 2),
    sample_correct(0.9, 3),
)
"""Which examples each backbone of `sweep` has right."""


def points(a: np.ndarray, b: np.ndarray) -> str:
    """Return the difference of two accuracies in percentage points."""
    return f"{100 * (a.mean() - b.mean()):+.1f}"


def cost(images_per_s: float, device: str = "cpu") -> Cost:
    return Cost(
        device=device,
        images_per_s=images_per_s,
        threads=2,
        batch_size=8,
        images=100,
        decode_seconds=1.0,
        forward_seconds=1.0,
        probe_seconds=1.0,
    )


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A results folder with four backbones in two settings, and a baseline in the first.

    large beats small by 5 points; twin equals small, with fewer parameters; slow is the best.
    """
    results = tmp_path / "results"
    for name, correct, params, speed in (
        ("small", SMALL, 20_000_000, 300),
        ("twin", SMALL, 10_000_000, 900),
        ("large", LARGE, 90_000_000, 100),
        ("slow", SLOW, 5_000_000, 2),
    ):
        licence = "MIT" if name == "large" else "Apache-2.0"
        store(
            results,
            name,
            dict.fromkeys(SETTINGS, correct),
            backbone=facts(name, params=params, licence=licence),
            cost=cost(speed),
        )
    store(results, "pixels", {SETTINGS[0]: np.ones(N, bool)}, family="baseline")
    return results


def one_line(text: str) -> str:
    return " ".join(text.split())


# --- recommend


def test_recommend_names_the_pick_its_ties_and_the_cost_of_the_limits(
    sweep: Path, bob: Bob
) -> None:
    limits = ("--max-params", "30M", "--min-images-per-s", "200")
    code, out, _ = bob("recommend", *limits, "--tasks", "linear,knn")
    text = one_line(out)
    assert code == 0
    assert text.startswith(
        "Use small: the best backbone with at most 30 M parameters, at least 200 images/s, "
        "over 2 backbones × 2 settings on 2 datasets ("
    )
    assert (
        "Statistically tied with it: "
        "twin (+0.0 points [+0.0, +0.0], 10 M parameters, 900 images/s on cpu)."
    ) in text
    assert (
        "The smallest of these is twin: 10 M parameters, versus 20. "
        "The fastest of these is twin: 900 images/s, versus 300."
    ) in text
    assert f"Without the limits, the best is slow ({points(SLOW, SMALL)} points [" in text
    assert "): this difference is what the limits cost." in text
    excluded = "Excluded by the limits: large (90 M parameters, 100 images/s); slow (2 images/s)."
    assert excluded in text


def test_recommend_as_json(sweep: Path, bob: Bob) -> None:
    limits = ("--max-params", "30M", "--min-images-per-s", "200")
    advice = json.loads(bob("recommend", *limits, "--json")[1])
    assert advice["pick"]["backbone"] == "small"
    assert [alternative["backbone"] for alternative in advice["tied"]] == ["twin"]
    assert advice["pick"]["costs"]["params"] == 20
    assert advice["basis"] == "examples"
    assert advice["without_limits"]["backbone"] == "slow"
    assert set(advice["excluded"]) == {"large", "slow"}
    assert advice["baseline_is_better"] == {
        "linear/elpv": {"backbone": "pixels", "relation": "better"}
    }


def test_recommend_without_limits(sweep: Path, bob: Bob) -> None:
    text = one_line(bob("recommend")[1])
    assert text.startswith("Use slow: the best backbone over 4 backbones × 2 settings on 2 ")
    assert "All other backbones are significantly worse." in text
    assert "limits" not in text


def test_recommend_says_if_the_limits_cost_nothing(sweep: Path, bob: Bob) -> None:
    text = one_line(bob("recommend", "--max-params", "6M")[1])
    assert "The limits cost nothing: it is also the best without them." in text


def test_recommend_says_if_the_cost_of_the_limits_is_not_significant(
    tmp_path: Path, bob: Bob
) -> None:
    """The larger backbone is better by one example of 400."""
    correct = {"small": np.arange(N) < 200, "large": np.arange(N) < 201}
    for name, params in (("small", 10_000_000), ("large", 90_000_000)):
        settings = dict.fromkeys(SETTINGS, correct[name])
        store(tmp_path / "results", name, settings, backbone=facts(name, params=params))
    text = one_line(bob("recommend", "--max-params", "30M")[1])
    assert "the limits may cost nothing, since this difference is not significant." in text


def test_recommend_fails_if_no_backbone_meets_the_limits(sweep: Path, bob: Bob) -> None:
    code, out, _ = bob("recommend", "--max-params", "1M")
    assert code == 1
    assert one_line(out).startswith("No backbone meets the limits (at most 1 M parameters).")


def test_recommend_fails_if_no_backbone_within_the_limits_is_complete(
    sweep: Path, bob: Bob
) -> None:
    store(sweep, "partial", {SETTINGS[0]: SMALL}, backbone=facts("partial", params=500_000))
    code, out, _ = bob("recommend", "--max-params", "1M", "--tasks", "linear")
    assert code == 0
    assert "No other ranked backbone meets the limits." in one_line(out)
    store(sweep, "other", {SETTINGS[1]: SMALL}, backbone=facts("other", params=500_000))
    code, out, _ = bob("recommend", "--max-params", "1M")
    assert code == 1
    text = one_line(out)
    assert text.startswith(
        "No backbone within the limits (at most 1 M parameters) has a value in every setting. "
        "`--tasks` and `--datasets` select fewer. Not ranked, because values are missing: "
        "other (missing: linear/elpv); partial (missing: knn/textiles)."
    )


def test_recommend_by_licence_and_dataset(sweep: Path, bob: Bob, tmp_path: Path) -> None:
    text = one_line(bob("recommend", "--licence", "mit", "--data", tmp_path / "elpv")[1])
    assert text.startswith(
        "Use large: the best backbone with licence mit, over 1 backbone × 1 setting on 1 dataset"
    )
    assert "No other ranked backbone meets the limits." in text
    assert "licence Apache-2.0" in text


def test_an_unknown_cost_violates_a_limit_on_it(sweep: Path, bob: Bob) -> None:
    text = one_line(bob("recommend", "--min-images-per-s", "1", "--device", "cuda")[1])
    assert text.startswith("No backbone meets the limits (at least 1 images/s).")
    assert "small (images/s not measured on cuda)" in text
    store(sweep, "bare", {SETTINGS[0]: sample_correct(0.5, 9)}, backbone=None)
    text = one_line(bob("recommend", "--max-gflops", "9", "--max-width", "99")[1])
    assert "bare (GFLOPs per image unknown, embedding width unknown)" in text
    text = one_line(bob("recommend", "--max-peak-mib", "9")[1])
    assert "large (memory of a forward pass (MiB) unknown)" in text


def test_a_device_without_speeds_is_named(sweep: Path, bob: Bob) -> None:
    text = one_line(bob("recommend", "--device", "cuda")[1])
    assert "No speed was measured on cuda." in text and "images/s" not in text
    text = one_line(bob("recommend", "--device", "cuda", "--runtime", "eager")[1])
    assert "No speed was measured on cuda with eager." in text
    assert "No speed" not in one_line(bob("recommend", "--device", "cpu")[1])


def test_few_parameters_are_counted_in_thousands_or_one_by_one(sweep: Path, bob: Bob) -> None:
    for name, params in (("tiny", 49_152), ("none", 0)):
        backbone = facts(name, params=params)
        store(sweep, name, dict.fromkeys(SETTINGS, SMALL), backbone=backbone)
    text = one_line(bob("recommend", "--max-params", "1")[1])
    assert "with at most 1 parameter, over" in text and "0 parameters" in text
    assert "tiny (49.2 k parameters)" in text and "large (90 M parameters)" in text
    text = one_line(bob("recommend", "--max-params", "49152")[1])
    assert "at most 49.152 k parameters" in text
    text = one_line(bob("recommend")[1])
    assert "M M" not in text and "e-0" not in text


def test_names_without_records_are_errors(sweep: Path, bob: Bob) -> None:
    code, _, err = bob("recommend", "--tasks", "linaer")
    assert code == 2
    assert (
        "no records of task 'linaer'; did you mean 'linear'? Records exist for: knn, linear."
    ) in one_line(err)
    code, _, err = bob("recommend", "--data", "mine.csv")
    assert code == 2
    assert "no records of dataset 'mine'" in err


def test_an_empty_results_folder_is_an_error(bob: Bob) -> None:
    code, _, err = bob("recommend")
    assert code == 2
    assert "no records; run `bob-bench run` first" in one_line(err)


def test_limits_as_text() -> None:
    assert BackboneLimits(30_000_000, 4.5, 768, 200, "apache*", max_peak_mib=900).describe() == (
        "at most 30 M parameters, at most 4.5 GFLOPs per image, width at most 768, "
        "at most 900 MiB in a forward pass of 4 images, at least 200 images/s, licence apache*"
    )


def test_settings_in_which_a_baseline_is_better_are_named() -> None:
    """The backbone is worse than the baseline on elpv and equal to it on textiles."""
    values = {
        ("a", "elpv"): 0.5,
        ("a", "textiles"): 0.9,
        ("pixels", "elpv"): 0.6,
        ("pixels", "textiles"): 0.9,
    }
    records = [
        record(
            name,
            value,
            family="baseline" if name == "pixels" else "supervised",
            backbone=facts(name),
            dataset=dataset(dataset_name),
        )
        for (name, dataset_name), value in values.items()
    ]
    advice = advise(records, BackboneLimits(), no_per_example)
    assert advice.better_baselines == {
        BoardColumn("linear", "elpv"): BetterBaseline("pixels", "untested")
    }
    sentence = "A baseline has a better score in 1 of 2 settings: linear/elpv (pixels: not tested)."
    assert sentence in advice_sentences(advice)


# --- costs


def test_costs_are_the_stated_facts_and_the_best_measurement() -> None:
    records = [
        record("a", cost=cost(100), backbone=facts("a", peak_mib=65.5)),
        record("a", cost=cost(140), dataset=dataset("b")),  # without peak_mib
        record("a", cost=cost(9000, "cuda"), dataset=dataset("c")),
    ]
    assert {name: cost_of(name, "a", records) for name in COSTS} == {
        "params": 3.371024,
        "gflops": 0.77,
        "width": 1280,
        "weights_mib": 12.9,
        "images_per_s": 140,
        "peak_mib": 65.5,
    }
    assert cost_of("images_per_s", "a", records, speeds(records, "cuda")) == 9000


def test_unknown_costs_are_none() -> None:
    assert cost_of("images_per_s", "a", [record("a", cost=None)]) is None
    assert cost_of("params", "a", [record("a", backbone=None)]) is None


@pytest.mark.parametrize(
    ("value", "text"), [(4587.2, "4590"), (1011.6, "1010"), (90, "90"), (0.7731, "0.773")]
)
def test_short_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert short_number(value) == text


# --- compare


def test_compare_agrees_with_scipy(sweep: Path) -> None:
    """In each setting, `large` is compared with both backbones below it: Holm over two."""
    gathered = gather([sweep])
    comparison = compare("large", "small", board_cells(gathered.records), gathered.per_example)
    only_large, only_small = int((LARGE & ~SMALL).sum()), int((SMALL & ~LARGE).sum())
    p = stats.binomtest(only_large, only_large + only_small).pvalue
    first, second = comparison.per_setting
    assert first.column == BoardColumn("knn", "textiles")
    assert second.column == BoardColumn("linear", "elpv")
    for setting in (first, second):
        assert setting.difference is not None
        assert setting.difference.p == pytest.approx(p)
        assert setting.p == pytest.approx(2 * p)  # twin, which equals small, is below it as well
        assert setting.relation == "better"
    difference = comparison.overall.difference
    assert difference is not None
    assert difference.value == pytest.approx(LARGE.mean() - SMALL.mean())
    # the mean of two independent differences: the standard error of one divided by the root of 2
    error = (LARGE.astype(float) - SMALL).std(ddof=1) / np.sqrt(N) / np.sqrt(2)
    assert difference.high is not None
    assert difference.high - difference.value == pytest.approx(1.96 * error, rel=1e-3)
    assert comparison.overall.relation == "better"


def test_compare_as_sentences(sweep: Path, bob: Bob) -> None:
    code, out, _ = bob("compare", "large", "twin")
    text = one_line(out)
    assert code == 0
    assert (
        "Paired tests on the same examples: exact McNemar; in each setting, p-values are adjusted "
        "for its pool of 4 backbones (Holm), as on the leaderboard."
    ) in text
    assert (
        "large is significantly better in 2, twin in 0; statistically tied in 0, not tested in 0."
    ) in text
    difference = points(LARGE, SMALL)
    assert f"Mean difference over 2 settings, in percentage points: {difference} [" in text
    assert "(95 % confidence interval over examples, as there are too few datasets)." in text
    assert (
        "Over 4 backbones × 2 settings on 2 datasets, large is significantly better (paired test "
        "on the same examples of mean z-scores, p < 0.001, adjusted for the pool (Holm))."
    ) in text


def test_compare_as_json(sweep: Path, bob: Bob) -> None:
    found = json.loads(bob("compare", "small", "twin", "--tasks", "linear", "--json")[1])
    (setting,) = found["settings"]
    assert setting["verdict"] == "statistically tied"
    assert (setting["p"], setting["p_holm"]) == (1, 1)
    overall = found["overall"]
    assert (overall["basis"], overall["value"], overall["verdict"]) == (
        "examples",
        0,
        "statistically tied",
    )


def test_compare_shows_which_images_both_have_right(sweep: Path, bob: Bob) -> None:
    both, only_large = int((LARGE & SMALL).sum()), int((LARGE & ~SMALL).sum())
    only_small = int((SMALL & ~LARGE).sum())
    found = json.loads(bob("compare", "large", "small", "--json")[1])
    for setting in found["settings"]:
        counts = setting["complementarity"]
        assert (counts["both"], counts["only_a"], counts["only_b"]) == (
            both,
            only_large,
            only_small,
        )
        assert counts["neither"] == N - both - only_large - only_small
        assert counts["oracle_gain"] == pytest.approx(only_small / N)
        low, high = counts["oracle_gain_limits"]
        assert low < counts["oracle_gain"] < high
    text = one_line(bob("compare", "large", "small")[1])
    assert "images that are right, in %" in text and "only bounds what a fusion can gain" in text


def test_a_backbone_is_compared_with_a_baseline(sweep: Path, bob: Bob) -> None:
    """The baseline is right on every image: p is tiny, also for a family of four comparisons."""
    found = json.loads(bob("compare", "pixels", "slow", "--json")[1])
    (setting,) = found["settings"]
    assert setting["verdict"] == "pixels is better"
    wrong = int((~SLOW).sum())
    p = stats.binomtest(wrong, wrong).pvalue
    assert setting["p_holm"] == pytest.approx(p)  # the largest of the four
    assert found["overall"]["not_ranked"] == "pixels (outside the pool)"


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        ((4, 0), "no per-example results of b"),
        ((4, 5), "their results are on different examples (4 and 5)"),
    ],
    ids=["no results", "other examples"],
)
def test_a_pair_without_a_verdict_has_the_reason(examples: tuple[int, int], reason: str) -> None:
    """c, which has results on 4 images, is there so that there is a pool."""
    counts = {"a": examples[0], "b": examples[1], "c": 4}
    cells = board_cells([record(name, 0.5) for name in counts])

    def values(one: Record) -> np.ndarray | None:
        count = counts[one.backbone_name]
        return np.arange(count) % 2.0 if count else None

    found = comparison_json(compare("a", "b", cells, values))
    assert found["settings"][0]["verdict"] == "not tested"
    assert found["settings"][0]["why_untested"].startswith(reason)
    assert comparison_json(compare("a", "c", cells, values))["settings"][0]["why_untested"] is None


def test_baselines_without_a_pool_have_the_reason() -> None:
    cells = board_cells([record(name, 0.5, family="baseline") for name in "ab"])
    (setting,) = compare("a", "b", cells, lambda _: np.ones(4)).per_setting
    assert setting.why_untested == (
        "both are baselines, and there is no pool of backbones beside them"
    )


def test_a_pool_of_one_backbone_has_no_verdict_over_settings() -> None:
    """With a baseline beside it, each setting is tested, and their mean z-score is undefined."""
    cells = board_cells(
        [
            record(name, value, family=family, dataset=dataset(on))
            for name, value, family in (("a", 0.9, "ssl"), ("pixels", 0.1, "baseline"))
            for on in ("elpv", "textiles")
        ]
    )
    comparison = compare("a", "pixels", cells, lambda one: np.ones(4) * (one.family == "ssl"))
    assert comparison_sentences(comparison)[-1] == (
        "Over 1 backbone × 2 settings on 2 datasets, their difference cannot be tested: mean "
        "z-scores need a pool of two backbones beside baselines."
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("small", "twni"), "no records of backbone 'twni'; did you mean 'twin'?"),
        (("small", "small"), "backbone 'small' is given twice"),
        (("small", "pixels", "--tasks", "knn"), "no records of backbone 'pixels'"),
        (("small", "elsewhere"), "share no setting in which both have a value"),
    ],
)
def test_backbones_that_cannot_be_compared_are_errors(
    sweep: Path, bob: Bob, words: tuple[str, ...], message: str
) -> None:
    store(sweep, "elsewhere", {("linear", "other"): sample_correct(0.5, 1)})
    code, _, err = bob("compare", *words)
    assert code == 2
    assert message in one_line(err)


def test_nothing_is_tested_without_per_example_results() -> None:
    cells = board_cells([record("a", 0.9), record("b", 0.1)])
    comparison = compare("a", "b", cells, no_per_example)
    (setting,) = comparison.per_setting
    assert setting.difference is None
    assert setting.relation == "untested"
    overall = comparison.overall
    assert overall.difference is not None
    assert (overall.difference.low, overall.difference.basis) == (None, "none")
    assert overall.relation == "untested"
    assert comparison_sentences(comparison) == [
        "Not tested: no per-example results of a and b.",
        "a is significantly better in 0, b in 0; statistically tied in 0, not tested in 1.",
    ]


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_single_setting_has_one_interval(is_binary: bool) -> None:
    """That of the pair: by counts of right and wrong, or by the means over several seeds."""
    rng = np.random.default_rng(0)
    values = {name: rng.random(60) for name in "ab"}
    if is_binary:
        values = {name: np.round(of_name) for name, of_name in values.items()}
    records = [record(name, float(of_name.mean())) for name, of_name in values.items()]
    comparison = compare("a", "b", board_cells(records), lambda of: values[of.backbone_name])
    (setting,) = comparison.per_setting
    assert setting.difference is not None and setting.difference.low is not None
    overall = overall_row(comparison)
    pair = setting.difference.value, setting.difference.low, setting.difference.high
    assert (overall["value"], overall["low"], overall["high"]) == pytest.approx(pair)
    text = " ".join(comparison_sentences(comparison))
    assert "ean difference" not in text and "[" not in text


def test_the_mean_difference_over_six_datasets_has_an_interval_over_datasets() -> None:
    """The difference is 0.1 on each dataset, so that its interval has no width."""
    records = [
        record(name, value + d / 100, dataset=dataset(f"d{d}"))
        for name, value in (("a", 0.8), ("b", 0.7))
        for d in range(6)
    ]
    overall = compare("a", "b", board_cells(records), no_per_example).overall
    assert overall.difference is not None
    assert overall.difference.basis == overall.ranking.basis == "datasets"
    assert overall.relation == "better"
    assert (overall.difference.low, overall.difference.high) == pytest.approx((0.1, 0.1))


def test_severities_of_a_corruption_are_not_six_datasets() -> None:
    """Five severities are the same images: the mean over them has no interval over datasets."""
    names = [*(f"imagenet-c.fog.{severity}" for severity in range(1, 6)), "pets"]
    records = [
        record(name, value, dataset=dataset(data))
        for name, value in (("a", 0.8), ("b", 0.7))
        for data in names
    ]
    overall = compare("a", "b", board_cells(records), no_per_example).overall
    assert overall.difference is not None
    assert (overall.difference.basis, overall.relation) == ("none", "untested")


def test_there_is_no_mean_difference_over_different_scales() -> None:
    log_loss = task("odd", metrics=("log_loss",))
    records = [
        record(name, 0.5, task=record_task) for name in "ab" for record_task in (task(), log_loss)
    ]
    comparison = compare("a", "b", board_cells(records), no_per_example)
    assert comparison.overall.difference is None
    assert comparison_sentences(comparison)[-2] == (
        "No mean difference over settings: their metrics are on different scales."
    )


def predictions(seed: int, skill: float) -> ClassPredictions:
    """Return predictions between four classes that are better for a higher `skill`."""
    rng = np.random.default_rng(seed)
    y = np.arange(300) % 4
    return ClassPredictions.from_logits(rng.normal(size=(300, 4)) + skill * np.eye(4)[y], y)


def compared(metric: str, **outcomes: Any) -> dict[str, Any]:
    """Return the comparison of backbones a and the others, by name, from their outcomes."""

    def values(of: Record) -> np.ndarray | None:
        arrays = outcomes[of.backbone_name].to_arrays()
        return per_example_values(of, {f"0.{name}": array for name, array in arrays.items()})

    records = [
        record(name, task=task("linear", metrics=(metric,)), scores=(score(metric, value),))
        for name, outcome in outcomes.items()
        for value in [metric_named(metric).function(outcome)]
    ]
    others = [name for name in outcomes if name != "a"]
    return {
        name: compare("a", name, board_cells(records), values).per_setting[0] for name in others
    }


@pytest.mark.parametrize(
    ("metric", "test"), [("macro_f1", "jackknife"), ("worst_group", "bootstrap")]
)
def test_metrics_that_are_not_means_are_compared(metric: str, test: str) -> None:
    outcomes: dict[str, Any] = {
        name: predictions(seed, skill)
        for name, seed, skill in (("a", 0, 3.0), ("b", 1, 1.0), ("c", 0, 3.0))
    }
    if metric == "worst_group":
        groups = np.arange(300) % 3
        outcomes = {
            name: ShiftResults(outcome.rank == 0, groups, groups)
            for name, outcome in outcomes.items()
        }
    found = compared(metric, **outcomes)
    difference = found["b"].difference
    assert difference.test == test
    assert difference.p < 0.01
    assert 0 < difference.low < difference.value < difference.high
    assert (found["c"].difference.value, found["c"].p, found["c"].relation) == (0, 1, "tied")


def test_areas_are_compared_as_delong_did() -> None:
    """The variance of the difference of two areas is DeLong's, from the shares that each image
    wins; the test adds the square of the difference, as sign flips do."""
    rng = np.random.default_rng(3)
    inside = np.arange(120) < 50
    noise = rng.normal(size=(3, 120))
    strong, weak = 1.5 * inside + noise[0], 0.7 * inside + 0.5 * noise[0] + noise[1]
    found = compared("auroc", a=OodScores(strong, inside), b=OodScores(weak, inside))["b"]
    won = [score[inside, None] > score[None, ~inside] for score in (strong, weak)]
    gap = won[0].mean() - won[1].mean()
    positives, negatives = ((won[0].mean(axis) - won[1].mean(axis)) for axis in (1, 0))
    variance = positives.var(ddof=1) / 50 + negatives.var(ddof=1) / 70
    expected = 2 * stats.norm.sf(gap / np.sqrt(variance * 119 / 120 + gap**2 / 120))
    assert found.difference.value == pytest.approx(gap)
    assert found.difference.p == pytest.approx(expected)


def test_the_winner_has_the_lower_value_if_lower_is_better() -> None:
    found = compared("log_loss", a=predictions(0, 3.0), b=predictions(1, 1.0))["b"]
    assert found.a < found.b and found.relation == "better"
