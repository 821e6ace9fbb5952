"""`bob-bench recommend` and `bob-bench compare`, on a folder whose per-example results are made by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bob.leaderboard import cells
from bob.leaderboard.advice import advise
from bob.leaderboard.cells import BoardColumn
from bob.leaderboard.costs import COSTS, cost_of, devices
from bob.leaderboard.gather import gather
from bob.leaderboard.limits import Limits
from bob.leaderboard.pairwise import compare, paired_difference
from bob.leaderboard.render.advice import advice_sentences
from bob.outcomes import ClassPredictions
from bob.records.record import Cost, Record
from tests.builders.leaderboard_records import dataset, facts, record, score, task
from tests.builders.stored_sweep import N, right, store

Bob = Callable[..., tuple[int, str, str]]
SETTINGS = [("linear", "elpv"), ("knn", "textiles")]


def points(a: np.ndarray, b: np.ndarray) -> str:
    return f"{100 * (a.mean() - b.mean()):+.1f}"


def cost(images_per_s: float, device: str = "cpu") -> Cost:
    values: dict[str, Any] = {
        "threads": 2,
        "batch_size": 8,
        "images": 100,
        "decode_seconds": 1.0,
        "forward_seconds": 1.0,
        "probe_seconds": 1.0,
    }
    return Cost(device=device, images_per_s=images_per_s, **values)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """large beats small by 5 points; twin is a copy of small, with fewer parameters; slow is the best of all; a floor."""
    held = {
        "small": (right(0.75, 1), 20e6, 300),
        "twin": (right(0.75, 1), 10e6, 900),
        "large": (right(0.80, 2), 90e6, 100),
        "slow": (right(0.9, 3), 5e6, 2),
    }
    for name, (values, params, speed) in held.items():
        about = {
            "backbone": facts(
                name, params=int(params), licence="MIT" if name == "large" else "Apache-2.0"
            ),
            "cost": cost(speed),
        }
        store(tmp_path / "results", name, dict.fromkeys(SETTINGS, values), **about)
    store(tmp_path / "results", "pixels", {SETTINGS[0]: np.ones(N, bool)}, family="baseline")
    return tmp_path / "results"


# ---- recommend


def test_the_pick_its_ties_and_what_one_gives_up(sweep: Path, bob: Bob) -> None:
    code, out, _ = bob(
        "recommend", "--max-params", "30M", "--min-images-per-s", "200", "--tasks", "linear,knn"
    )
    text = " ".join(out.split())
    assert code == 0
    assert text.startswith(
        "Use small: the best of those with at most 30 M parameters, at least 200 images/s, over 2 backbones × 2 settings on 2 datasets"
    )
    assert (
        "Not told apart from it: twin (+0.0 points [+0.0, +0.0], 10 M parameters, 900 images/s on cpu)"
        in text
    )
    assert (
        "The smallest of these is twin, 10 M parameters against 20. The fastest of these is twin, 900 images/s against 300."
        in text
    )
    assert (
        f"Without the limits it would be slow ({points(right(0.9, 3), right(0.75, 1))} points"
        in text
        and "that is what you give up." in text
    )
    assert "Beyond the limits: large (90 M parameters, 100 images/s); slow (2 images/s)." in text


def test_recommend_as_json(sweep: Path, bob: Bob) -> None:
    found = json.loads(
        bob("recommend", "--max-params", "30M", "--min-images-per-s", "200", "--json")[1]
    )
    assert (found["pick"]["backbone"], [trade["backbone"] for trade in found["tied"]]) == (
        "small",
        ["twin"],
    )
    assert found["pick"]["costs"]["params"] == 20 and found["basis"] == "examples"
    assert found["without_limits"]["backbone"] == "slow" and set(found["excluded"]) == {
        "large",
        "slow",
    }


def test_without_limits(sweep: Path, bob: Bob) -> None:
    text = " ".join(bob("recommend")[1].split())
    assert text.startswith("Use slow: the best, over 4 backbones × 2 settings on 2 datasets")
    assert "Every other one is told apart from it." in text and "give up" not in text


def test_limits_that_cost_nothing(sweep: Path, bob: Bob) -> None:
    assert "The limits cost nothing: it is the best without them too." in " ".join(
        bob("recommend", "--max-params", "6M")[1].split()
    )


def test_nobody_meets_the_limits(sweep: Path, bob: Bob) -> None:
    code, out, _ = bob("recommend", "--max-params", "1M")
    assert (
        code == 1
        and "No backbone that meets the limits (at most 1 M parameters) has a value in every setting."
        in " ".join(out.split())
    )


def test_a_licence_and_a_dataset(sweep: Path, bob: Bob, tmp_path: Path) -> None:
    text = " ".join(bob("recommend", "--licence", "mit", "--data", tmp_path / "elpv")[1].split())
    assert text.startswith(
        "Use large: the best of those with licence mit, over 1 backbone × 1 setting on 1 dataset"
    )
    assert (
        "It is the only one, so that nothing was compared." in text and "licence Apache-2.0" in text
    )


def test_a_limit_on_what_is_not_known_is_not_kept(sweep: Path, bob: Bob) -> None:
    text = " ".join(bob("recommend", "--min-images-per-s", "1", "--device", "cuda")[1].split())
    assert text.startswith("No backbone") and "small (images/s not measured here)" in text
    store(sweep, "bare", {SETTINGS[0]: right(0.5, 9)}, backbone=None)
    assert "bare (GFLOPs per image not known, embedding width not known" in " ".join(
        bob("recommend", "--max-gflops", "9", "--max-width", "99")[1].split()
    )
    assert "large (memory of a forward (MiB) not known)" in " ".join(
        bob("recommend", "--max-peak-mib", "9")[1].split()
    )


def test_names_without_records(sweep: Path, bob: Bob) -> None:
    code, _, err = bob("recommend", "--tasks", "linaer")
    assert (
        code == 2
        and "no records of task 'linaer'; did you mean 'linear'? There are records of: knn, linear."
        in " ".join(err.split())
    )
    code, _, err = bob("recommend", "--data", "mine.csv")
    assert code == 2 and "no records of dataset 'mine'" in err


def test_no_records_at_all(bob: Bob) -> None:
    code, _, err = bob("recommend")
    assert code == 2 and "holds no records; run `bob-bench run` first" in " ".join(err.split())


def test_limits_in_words() -> None:
    assert Limits(30_000_000, 4.5, 768, 200, "apache*", max_peak_mib=900).words() == (
        "at most 30 M parameters, at most 4.5 GFLOPs per image, width at most 768, at most 900 MiB in a forward of 4 images, at least 200 images/s, "
        "licence apache*"
    )


# ---- costs


def test_costs_are_the_newest_facts_and_the_best_measurement() -> None:
    records = [
        record("a", cost=cost(100), backbone=facts("a", peak_mib=65.5)),
        record("a", cost=cost(140), dataset=dataset("b")),  # of before, when this was not told
        record("a", cost=cost(9000, "cuda"), dataset=dataset("c")),
    ]
    assert devices(records) == ["cpu", "cuda"]
    assert [cost_of(name, "a", records) for name in COSTS] == [
        3.371024,
        0.77,
        1280,
        12.9,
        140,
        65.5,
    ]
    assert cost_of("images_per_s", "a", records, "cuda") == 9000
    assert cost_of("images_per_s", "a", [record("a", cost=None)]) is None
    assert cost_of("params", "a", [record("a", backbone=None)]) is None


# ---- compare


def test_compare_against_scipy(sweep: Path) -> None:
    gathered = gather([sweep])
    found = compare("large", "small", cells(gathered.records), gathered.outcomes)
    a, b = right(0.80, 2), right(0.75, 1)
    p = stats.binomtest(int((a & ~b).sum()), int((a ^ b).sum())).pvalue
    assert [duel.column for duel in found.duels] == [
        BoardColumn("knn", "textiles"),
        BoardColumn("linear", "elpv"),
    ]
    assert [duel.difference.p for duel in found.duels if duel.difference] == pytest.approx([p, p])
    assert [duel.p for duel in found.duels] == pytest.approx(
        [2 * p, 2 * p]
    )  # Holm over two settings
    assert [duel.winner for duel in found.duels] == [1, 1]
    assert found.overall is not None and found.overall.value == pytest.approx(a.mean() - b.mean())
    # the mean of two independent differences: the standard error of one, over the root of 2
    error = (a.astype(float) - b).std(ddof=1) / np.sqrt(N) / np.sqrt(2)
    assert (
        found.overall.high is not None
        and found.overall.high - found.overall.value == pytest.approx(1.96 * error, rel=1e-3)
    )


def test_compare_in_words_and_json(sweep: Path, bob: Bob) -> None:
    code, out, _ = bob("compare", "large", "twin")
    text = " ".join(out.split())
    assert code == 0 and "exact McNemar; p adjusted for 2 settings (Holm)." in text
    assert "large is better in 2, twin in 0, not told apart in 0, not tested in 0." in text
    assert (
        f"Mean difference over 2 settings: {points(right(0.80, 2), right(0.75, 1))} [" in text
        and "too few datasets to test over them" in text
    )
    found = json.loads(bob("compare", "small", "twin", "--tasks", "linear", "--json")[1])
    assert (
        found["settings"][0]["verdict"] == "not told apart" and found["settings"][0]["p_holm"] == 1
    )
    assert found["overall"]["basis"] == "examples" and found["overall"]["value"] == 0


def test_what_cannot_be_compared(sweep: Path, bob: Bob) -> None:
    for words, message in [
        (("small", "twni"), "no records of backbone 'twni'; did you mean 'twin'?"),
        (("small", "small"), "backbone 'small' is given twice; name two."),
        (("small", "pixels", "--tasks", "knn"), "no records of backbone 'pixels'"),
    ]:
        code, _, err = bob("compare", *words)
        assert code == 2 and message in " ".join(err.split())
    store(sweep, "elsewhere", {("linear", "other"): right(0.5, 1)})
    code, _, err = bob("compare", "small", "elsewhere")
    assert code == 2 and "share no setting in which both have a value" in " ".join(err.split())


def none(_: Record) -> list[Any]:
    return []


def test_without_per_example_results_nothing_is_tested() -> None:
    found = compare("a", "b", cells([record("a", 0.9), record("b", 0.1)]), none)
    assert found.duels[0].difference is None and found.duels[0].winner == 0
    assert found.overall is not None and (
        found.overall.low,
        found.overall.basis,
        found.overall.told_apart,
    ) == (None, "none", False)


def test_six_datasets_are_resampled_for_the_mean_difference() -> None:
    records = [
        record(name, value + d / 100, dataset=dataset(f"d{d}"))
        for name, value in (("a", 0.8), ("b", 0.7))
        for d in range(6)
    ]
    overall = compare("a", "b", cells(records), none).overall
    assert overall is not None and overall.basis == "datasets" and overall.told_apart
    assert (overall.low, overall.high) == pytest.approx((0.1, 0.1))


def test_no_mean_difference_over_different_scales() -> None:
    odd = task("odd", metrics=("log_loss",))
    records = [record(name, 0.5, task=of) for name in "ab" for of in (task(), odd)]
    assert compare("a", "b", cells(records), none).overall is None


def outcome(seed: int, skill: float) -> ClassPredictions:
    rng = np.random.default_rng(seed)
    y = np.arange(300) % 4
    return ClassPredictions.from_logits(rng.normal(size=(300, 4)) + skill * np.eye(4)[y], y)


def test_a_metric_that_is_no_mean_is_resampled() -> None:
    held = {"a": outcome(0, 3.0), "b": outcome(1, 1.0), "c": outcome(0, 3.0)}
    of = task("linear", metrics=("macro_f1",))
    own = {
        cell.record.backbone_name: cell
        for cell in cells([record(name, 0.5, task=of) for name in held])
    }
    told = paired_difference(own["a"], own["b"], lambda one: [held[one.backbone_name]])
    assert told is not None and told.test == "bootstrap" and told.p < 0.01
    assert told.low is not None and told.high is not None and 0 < told.low < told.value < told.high
    copy = paired_difference(own["a"], own["c"], lambda one: [held[one.backbone_name]])
    assert copy is not None and (copy.value, copy.p) == (0, 1)


def test_lower_is_better_where_it_is() -> None:
    of = task("linear", metrics=("log_loss",))
    held = {"a": outcome(0, 3.0), "b": outcome(1, 1.0)}
    records = [
        record(name, value, task=of, scores=(score("log_loss", value),))
        for name, value in (("a", 0.2), ("b", 0.9))
    ]
    found = compare("a", "b", cells(records), lambda one: [held[one.backbone_name]])
    assert found.duels[0].winner == 1


def test_settings_in_which_a_floor_is_better_are_named() -> None:
    """The only backbone beats the floor on one dataset and loses on the other."""
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
            dataset=dataset(held),
        )
        for (name, held), value in values.items()
    ]
    advice = advise(records, Limits(), lambda held: None, lambda held: ())
    assert advice.no_better == {BoardColumn("linear", "elpv"): "pixels"}  # equal on textiles
    assert "A floor is better in 1 of 2 settings: linear/elpv (pixels)." in advice_sentences(advice)
