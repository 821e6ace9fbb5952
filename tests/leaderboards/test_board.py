"""The board: tie groups from per-example results, pools, and the uncertainty of rankings."""

import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.stats.multitest import multipletests

from bob.leaderboards import make_board, to_markdown, to_terminal, write_leaderboard
from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.gather import gather
from bob.leaderboards.per_example import per_example_values
from bob.leaderboards.render.latex import escape, to_latex
from bob.leaderboards.render.ranking_table import pool_text, ranking_frame
from bob.leaderboards.render.terminal import leader_sentence
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task
from tests.builders.stored_sweep import N, sample_correct, store

ELPV = BoardColumn("linear", "elpv")


def stored_board(folder: Path) -> Board:
    return gather([folder]).board()


def one_setting(folder: Path, **correct: np.ndarray) -> Board:
    """Return the board of one setting, given which examples each backbone has right."""
    for name, examples in correct.items():
        store(folder, name, {("linear", "elpv"): examples})
    return stored_board(folder)


# --- tie groups of a column


def test_p_values_against_the_best_are_mcnemar_with_holm(tmp_path: Path) -> None:
    correct = {
        "a": sample_correct(0.8, 1),
        "b": sample_correct(0.79, 2),
        "c": sample_correct(0.6, 3),
    }
    verdicts = one_setting(tmp_path, **correct).verdicts[ELPV]
    p = []
    for name in ("b", "c"):
        only_a = int((correct["a"] & ~correct[name]).sum())
        only_other = int((correct[name] & ~correct["a"]).sum())
        p.append(stats.binomtest(only_a, only_a + only_other).pvalue)
    adjusted = multipletests(p, method="holm")[1].tolist()
    for name, single, family in zip("bc", p, adjusted, strict=True):
        assert verdicts.p_values("a", name) == pytest.approx((single, family))
    assert verdicts.groups == {"a": 1, "b": 1, "c": 2}
    assert [verdicts.status(name) for name in "abc"] == ["tied", "tied", "worse"]
    assert verdicts.test == "mcnemar"


def test_identical_backbones_tie_and_a_clearly_better_one_does_not(tmp_path: Path) -> None:
    same = sample_correct(0.7, 1)
    verdicts = one_setting(tmp_path, a=same, b=same, c=np.zeros(N, bool)).verdicts[ELPV]
    assert verdicts.relation("b", "a") == "tied"
    assert verdicts.p_values("a", "b") == (1, 1)
    assert (verdicts.relation("c", "a"), verdicts.relation("a", "c")) == ("worse", "better")
    all_or_none = {"a": np.ones(60, bool), "b": np.zeros(60, bool)}
    clear = one_setting(tmp_path / "other", **all_or_none).verdicts[ELPV]
    assert (clear.status("a"), clear.status("b")) == ("clear", "worse")


def test_baselines_are_not_ranked(tmp_path: Path) -> None:
    store(tmp_path, "pixels", {("linear", "elpv"): np.ones(N, bool)}, family="baseline")
    board = one_setting(tmp_path, a=sample_correct(0.8, 1), b=sample_correct(0.5, 2))
    verdicts = board.verdicts[ELPV]
    assert verdicts.order == ("a", "b")
    assert verdicts.status("pixels") is None
    assert verdicts.relation("pixels", "a") == "better"
    assert board.overall.pool == ("a", "b")


def test_nothing_is_tested_without_per_example_arrays() -> None:
    board = make_board([record("a", 0.9), record("b", 0.1)])
    assert board.verdicts[ELPV].basis == board.overall.basis == "none"
    assert board.verdicts[ELPV].status("a") == "untested"
    assert board.verdicts[ELPV].p_values("a", "b") is None
    assert [standing.tie_group for standing in board.overall.standings] == [None, None]


def test_arrays_of_other_examples_are_not_paired(tmp_path: Path) -> None:
    """b has other examples than a and c, whose comparison is a family of one."""
    store(tmp_path, "a", {("linear", "elpv"): sample_correct(0.8, 1)})
    store(tmp_path, "b", {("linear", "elpv"): sample_correct(0.7, 1, n=100)})
    store(tmp_path, "c", {("linear", "elpv"): sample_correct(0.3, 2)})
    board = stored_board(tmp_path)
    verdicts = board.verdicts[ELPV]
    assert (verdicts.relation("a", "b"), verdicts.relation("a", "c")) == ("untested", "better")
    single, family = verdicts.p_values("a", "c") or (None, None)
    assert single == family
    assert verdicts.groups == {"a": 1, "b": None, "c": 2}
    text = to_markdown(board)
    assert "**85.5 [83.5–87.5]** ? |" in text  # bold, but not all others were tested


def test_damaged_arrays_give_no_verdict(tmp_path: Path) -> None:
    for name, share in (("a", 0.8), ("b", 0.2)):
        store(tmp_path, name, {("linear", "elpv"): sample_correct(share, 1)})
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    assert stored_board(tmp_path).verdicts[ELPV].status("a") == "untested"


def test_per_example_values_are_averaged_over_seeds() -> None:
    ranks = {"0.rank": np.array([0, 1]), "1.rank": np.array([0, 0])}
    others = {
        f"{seed}.{name}": np.array([0, 0]) for seed in (0, 1) for name in ("y", "predicted")
    } | {"0.classes": np.array(2), "1.classes": np.array(2)}
    further_part = {"0.k5.rank": np.array([1, 1])}
    values = per_example_values(record("a"), ranks | others | further_part)
    assert values is not None
    assert values.tolist() == [1.0, 0.5]


def test_per_example_values_are_none_for_arrays_of_another_version() -> None:
    assert per_example_values(record("a"), {"0.rank": np.array([0])}) is None


def test_values_of_a_metric_that_is_not_a_mean_average_to_it() -> None:
    """Of macro F1 by its jackknife; of an ECE without probabilities there are none."""
    predicted = np.array([0, 1, 1, 0, 1, 0])
    arrays = {
        "0.rank": np.array([0, 0, 1, 0, 0, 1]),
        "0.y": np.array([0, 1, 0, 0, 1, 1]),
        "0.predicted": predicted,
        "0.classes": np.array(2),
    }
    macro_f1 = record("a", task=task(metrics=("macro_f1",)))
    values = per_example_values(macro_f1, arrays)
    assert values is not None
    assert values.mean() == pytest.approx(f1_score(arrays["0.y"], predicted, average="macro"))
    assert per_example_values(record("a", task=task(metrics=("ece",))), arrays) is None


# --- rankings


def test_a_single_setting_is_ranked_by_its_exact_test(tmp_path: Path) -> None:
    ranking = one_setting(
        tmp_path,
        a=sample_correct(0.8, 1),
        b=sample_correct(0.79, 2),
        c=sample_correct(0.6, 3),
    ).overall
    assert ranking.basis == "examples"
    groups = [(standing.backbone, standing.tie_group) for standing in ranking.standings]
    assert groups == [("a", 1), ("b", 1), ("c", 2)]
    shares = [standing.win_share for standing in ranking.standings]
    assert sum(share for share in shares if share is not None) == pytest.approx(1)
    assert shares[2] == 0


def test_two_tasks_on_the_same_images_are_not_independent_evidence(tmp_path: Path) -> None:
    """b trails a on the same examples in both tasks: the win share is that of one task.

    The expected share comes from a bootstrap over examples.
    """
    a, b = sample_correct(0.8, 1), sample_correct(0.79, 2)
    for name, correct in (("a", a), ("b", b)):
        store(tmp_path, name, {(task_name, "elpv"): correct for task_name in ("knn", "linear")})
    first, second = stored_board(tmp_path).overall.standings
    draws = np.random.default_rng(0).integers(N, size=(4000, N))
    means_a, means_b = a[draws].mean(1), b[draws].mean(1)
    expected = float(((means_a > means_b) + 0.5 * (means_a == means_b)).mean())
    assert first.win_share == pytest.approx(expected, abs=0.03)
    assert (first.tie_group, second.tie_group) == (1, 1)


@pytest.mark.parametrize("order", [np.arange(10), np.arange(10)[::-1]])
def test_as_many_draws_as_test_images_are_not_paired_with_them(order: np.ndarray) -> None:
    """Ten draws and ten images of one dataset are two samples, whose variances add up."""
    rng = np.random.default_rng(3)
    images = rng.uniform([[0.4], [0.2]], [[1.0], [0.8]], (2, 10))
    draws = rng.normal([[0.7], [0.6]], 0.04, (2, 10))
    records, examples = [], {}
    for b, name in enumerate("ab"):
        for task_name, metric, values in (
            ("retrieval", "mean_ap", images[b][order]),
            ("fewshot", "few_shot_top1", draws[b]),
        ):
            made = record(name, float(values.mean()), task=task(task_name, metrics=(metric,)))
            records.append(made)
            examples[made.key] = values
    verdicts = make_board(records, lambda of: examples[of.key]).overall.verdicts
    gaps = [(values[0] - values[1]) / np.ptp(values.mean(1)) for values in (images, draws)]
    of_images, of_draws = (gaps[0] ** 2).sum() / 10**2, gaps[1].var(ddof=1) / 10
    freedom = (of_images + of_draws) ** 2 / (of_draws**2 / 9)
    statistic = sum(gap.mean() for gap in gaps) / np.sqrt(of_images + of_draws)
    expected = 2 * stats.t.sf(abs(statistic), freedom)
    (p, _) = verdicts.p_values("a", "b") or (None, None)
    assert p == pytest.approx(expected)


def test_values_of_a_tiny_unit_are_ranked_by_value() -> None:
    """A difference in the tenth decimal is large where all values are that small."""
    metrics = ("mean_absolute_error",)
    records = [
        record(name, value, task=task("regress", metrics=metrics))
        for name, value in (("a", 3e-11), ("b", 1e-11), ("c", 2e-11))
    ]
    assert make_board(records).overall.pool == ("b", "c", "a")


def board_of_values(values: dict[str, list[float]]) -> Board:
    """Return the board of one value per backbone and dataset d0, d1, ..."""
    return make_board(
        [
            record(name, value, dataset=dataset(f"d{d}"))
            for name, row in values.items()
            for d, value in enumerate(row)
        ]
    )


def test_six_datasets_are_resampled() -> None:
    ranking = board_of_values(
        {"a": [0.9] * 6, "b": [0.8] * 6, "c": [0.9, 0.9, 0.9, 0.9, 0.7, 0.95]}
    ).overall
    assert ranking.basis == "datasets"
    assert pool_text(ranking) == "3 backbones × 6 settings on 6 datasets"
    groups = {standing.backbone: standing.tie_group for standing in ranking.standings}
    assert groups == {"a": 1, "b": 2, "c": 1}


def test_winning_on_five_datasets_is_not_significant() -> None:
    """A sign test over five datasets gives p = 2 / 2^5 = 6 %: five are not resampled."""
    ranking = board_of_values({"a": [0.9] * 5, "b": [0.8] * 5}).overall
    assert ranking.verdicts.relation("a", "b") == "untested"
    assert [standing.win_share for standing in ranking.standings] == [None, None]


def test_incomplete_backbones_and_settings_are_excluded_and_listed() -> None:
    records = [
        *(record(name, 0.8, dataset=dataset(data)) for name in "ab" for data in ("x", "y")),
        failed("c", dataset=dataset("x")),
        record("c", 0.9, dataset=dataset("y")),
        record("pixels", 0.1, family="baseline"),
    ]
    zero_shot = task("zeroshot", metrics=("top1",))
    records += [
        record("a", 0.5, task=zero_shot, dataset=dataset("x")),
        record(
            "b",
            task=zero_shot,
            dataset=dataset("x"),
            status="not_applicable",
            reason="no text tower",
            scores=(),
        ),
    ]
    broken = task("broken", metrics=("top1",))
    records += [failed(name, task=broken, dataset=dataset("x")) for name in "abc"]
    board = make_board(records)
    assert board.overall.pool == ("a", "b")
    assert board.overall.incomplete == {"c": "failed: linear/x"}
    reasons = {str(column): why for column, why in board.overall.excluded_settings.items()}
    assert reasons == {
        "zeroshot/x": "does not apply to every backbone",
        "broken/x": "no backbone has a value",
    }
    assert board.by_task["zeroshot"].pool == ("a",)  # ranked among those that it applies to
    assert "zeroshot does not apply to b: no text tower" in to_markdown(board)
    assert "| b | 3.37 | n/a |" in to_markdown(board)


def test_a_pool_of_one_has_no_z_score() -> None:
    (standing,) = make_board([record("a", 0.8)]).overall.standings
    assert (standing.mean_rank, standing.mean_value) == (1, 0.8)
    assert (standing.mean_z, standing.win_rate, standing.win_share) == (None, None, None)


def test_values_on_different_scales_have_no_mean() -> None:
    log_loss = task("odd", metrics=("log_loss",))
    records = [
        record(name, value, task=record_task)
        for name, value in (("a", 0.9), ("b", 0.5))
        for record_task in (task(), log_loss)
    ]
    standings = make_board(records).overall.standings
    assert [standing.mean_value for standing in standings] == [None, None]


def test_ranking_files(tmp_path: Path) -> None:
    records = [
        record(name, value, task=record_task, dataset=dataset(f"d{d}"))
        for name, value in (("a", 0.9), ("b", 0.5))
        for record_task in (task(), task("knn"))
        for d in range(2)
    ]
    write_leaderboard([*records, failed("c", dataset=dataset("d0"))], tmp_path)
    frame = pd.read_csv(tmp_path / "ranking.csv")
    assert frame["backbone"].tolist() == ["a", "b", "c"]
    assert frame["mean_rank"].tolist()[:2] == [1, 2]
    assert frame["pool"].unique().tolist() == ["2 backbones × 4 settings on 2 datasets"]
    by_task = pd.read_csv(tmp_path / "ranking_by_task.csv")
    assert by_task["task"].tolist() == ["knn", "knn", "linear", "linear", "linear"]
    assert ranking_frame([]).columns.tolist() == frame.columns.tolist()


def test_the_terminal_names_the_leader_and_marks_ties(tmp_path: Path) -> None:
    for name, share in (("a", 0.8), ("b", 0.798), ("c", 0.5)):
        correct = sample_correct(share, ord(name))
        store(tmp_path, name, {("linear", data): correct for data in ("x", "y")})
    text = printed(stored_board(tmp_path))
    assert "≈ statistically tied with the best" in text
    assert text.count("≈") == 5  # the legend, a twice and b twice
    assert "Over 3 backbones × 2 settings on 2 datasets, a has the highest mean z-score" in text
    assert "statistically tied with it: b." in text
    assert "• top1: accuracy of the best-scored class." in text


@pytest.mark.parametrize(
    ("datasets", "ending"),
    [
        (6, "; all others are significantly worse."),
        (2, "; differences cannot be tested: too few datasets, and no per-example results."),
        (1, ""),
    ],
)
def test_the_leader_sentence_says_how_certain_the_order_is(datasets: int, ending: str) -> None:
    ranking = board_of_values({"a": [0.9] * datasets, "b": [0.8] * datasets}).overall
    sentence = leader_sentence(ranking)
    assert sentence.endswith(ending)
    assert bool(sentence) == bool(ending)


def printed(board: Board, width: int = 200) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(to_terminal(board))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


# --- facets and LaTeX


def test_facets_are_columns(tmp_path: Path) -> None:
    few_shot = [
        score(f"top1_{shots}shot", 0.1 * shots, facets={"shots": shots, "head": "ridge"})
        for shots in (1, 5)
    ]
    write_leaderboard([record("a", scores=(score("top1", 0.8), *few_shot))], tmp_path)
    frame = pd.read_csv(tmp_path / "leaderboard.csv", dtype={"facet_shots": "Int64"})
    assert frame.columns[-2:].tolist() == ["facet_head", "facet_shots"]
    assert frame["facet_shots"].fillna(0).tolist() == [0, 1, 5]
    assert frame.query("facet_shots == 5")["value"].item() == 0.5


def test_latex_table() -> None:
    baseline = record("pixels", 0.1, family="baseline")
    text = to_latex(make_board([record("a_b", 0.9), record("b", 0.5), baseline, failed("c")]))
    assert r"a\_b & 3.37 & \textbf{90.0 [88.0--92.0]}$^?$ & 90.0 \\" in text
    assert r"pixels (baseline) & 3.37 & 10.0 [8.0--12.0] & 10.0 \\" in text
    assert r"c & -- & failed & -- \\" in text
    assert text.count(r"\begin{tabular}{lrrr}") == text.count(r"\end{tabular}") == 1
    assert r"Pool: 2 backbones × 1 setting on 1 dataset." in text


def tasks_on_one_dataset(*tasks: str) -> list[Record]:
    """Two backbones and a baseline; the baseline failed on the last task."""
    names = {"a_b": 0.9, "b&c": 0.5, "pixels": 0.1}
    records = [
        record(
            name,
            value,
            task=task(one, metrics=("top1",)),
            family="baseline" if name == "pixels" else "supervised",
        )
        for name, value in names.items()
        for one in tasks
    ]
    return [*records[:-1], failed("pixels", task=task(tasks[-1]), family="baseline")]


def test_latex_has_one_table_for_tasks_on_a_single_dataset() -> None:
    text = to_latex(make_board(tasks_on_one_dataset("knn", "linear_probe")))
    assert text.count(r"\begin{tabular}{lrrr}") == text.count(r"\end{tabular}") == 1
    assert r"Backbone & Params (M) & knn & linear\_probe \\" in text
    assert r" &  & top1 & top1 \\" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [line.split(" & ")[0] for line in rows[2:]] == [r"a\_b", r"b\&c", "pixels (baseline)"]
    assert rows[-1].endswith(r"& 10.0 [8.0--12.0] & failed \\")
    assert "Results on elpv, shares in percent" in text and r"\label{tab:elpv}" in text
    assert "Pool: 2 backbones × 2 settings on 1 dataset." in text


def test_latex_of_more_tasks_than_backbones_has_a_row_for_each_task() -> None:
    text = to_latex(make_board(tasks_on_one_dataset("k1", "k2", "k3", "k4")))
    assert r"\begin{tabular}{llrrr}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert rows[0] == r"Task & Metric & a\_b & b\&c & pixels (baseline) \\"
    assert [line.split(" & ")[0] for line in rows[1:]] == ["k1", "k2", "k3", "k4"]
    assert {line.replace(r"\&", "").count("&") for line in rows} == {4}


def test_markdown_has_one_table_for_tasks_on_a_single_dataset() -> None:
    text = to_markdown(make_board(tasks_on_one_dataset("knn", "linear_probe")))
    tables = text.split("## ")[1:]
    assert [part.splitlines()[0] for part in tables] == ["Overall", "Results on elpv", "Notes"]
    assert "| backbone | params (M) | knn (`top1`) | linear_probe (`top1`) |" in tables[1]
    rows = [line for line in tables[1].splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| a_b",
        "| b\\&c",
        "| pixels *(baseline)*",
    ]
    assert rows[-1] == "| pixels *(baseline)* | 3.37 | 10.0 [8.0–12.0] | failed |"


def test_markdown_of_more_tasks_than_backbones_has_a_row_for_each_task() -> None:
    text = to_markdown(make_board(tasks_on_one_dataset("k1", "k2", "k3", "k4")))
    assert "| task | a_b | b\\&c | pixels *(baseline)* |" in text
    assert "| k4 (`top1`) | **90.0 [88.0–92.0]** ? | 50.0 [48.0–52.0] | failed |" in text


def test_the_terminal_has_one_table_for_tasks_on_a_single_dataset() -> None:
    two = printed(make_board(tasks_on_one_dataset("knn", "linear_probe")), 80)
    assert two.count("┏") == 1
    assert re.search(r"backbone +┃ params \(M\) ┃ +knn top1 ┃ +linear_probe top1", two)
    four = printed(make_board(tasks_on_one_dataset("k1", "k2", "k3", "k4")), 80)
    assert four.count("┏") == 1
    assert re.search(r"task ┃ metric ┃ +a_b ┃ +b&c ┃ pixels \(baseline\)", four)
    assert re.search(r"k4 +│ +top1 │ 90\.0 \[88\.0–92\.0\] \? │ 50\.0", four)


def test_where_one_table_has_no_room_for_intervals_each_task_has_its_own() -> None:
    records = [
        record(f"backbone_{i}", 0.5 + i / 20, task=task(of_task))
        for i in range(7)
        for of_task in [f"task_{t}" for t in range(7)]
    ]
    text = printed(make_board(records), 80)
    assert text.count("┏") == 7 and "Not shown" not in text
    assert len(re.findall(r"\[\d+\.0–\d+\.0\]", text)) == 49


def test_latex_marks_ties(tmp_path: Path) -> None:
    board = one_setting(
        tmp_path,
        a=sample_correct(0.8, 1),
        b=sample_correct(0.79, 2),
        c=sample_correct(0.5, 3),
    )
    lines = to_latex(board).splitlines()
    rows = [next(line for line in lines if line.startswith(f"{name} &")) for name in "abc"]
    assert [r"$^\dagger$" in row for row in rows] == [True, True, False]


def test_latex_escapes_special_characters() -> None:
    assert escape("50% & $x_1^2$ #1 {a} ~\\ <b>\n|") == (
        r"50\% \& \$x\_1\textasciicircum{}2\$ \#1 \{a\} \textasciitilde{}"
        r"\textbackslash{} \textless{}b\textgreater{} \textbar{}"
    )


def test_no_tie_is_marked_for_a_backbone_without_competitors() -> None:
    """A baseline is not compared with, so that no file marks a tie."""
    baseline = facts("pixels", "baseline")
    records = [record("a", 0.5), record("pixels", 0.6, family="baseline", backbone=baseline)]
    board = make_board(records, lambda _: np.ones(20))
    assert board.verdicts[ELPV].status("a") == "alone"
    assert "≈" not in to_markdown(board).split("## linear")[1]
