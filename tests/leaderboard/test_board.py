"""The board: tie groups from per-example results, pools, who is left out, and how sure an order is."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bob.leaderboard import make_board, to_markdown, to_terminal, write_leaderboard
from bob.leaderboard.board import Board
from bob.leaderboard.cells import Column
from bob.leaderboard.gather import gather
from bob.leaderboard.per_example import per_example
from bob.leaderboard.render.latex import escape, to_latex
from bob.leaderboard.render.ranking_table import pool_text, ranking_frame
from bob.leaderboard.render.terminal import first_words
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task
from tests.builders.stored_sweep import N, right, store

ELPV = Column("linear", "elpv")


def board(folder: Path) -> Board:
    return gather([folder]).board()


def one_setting(folder: Path, **correct: np.ndarray) -> Board:
    for name, values in correct.items():
        store(folder, name, {("linear", "elpv"): values})
    return board(folder)


# ---- ties in a column


def test_p_against_the_best_is_mcnemar_s_with_holm(tmp_path: Path) -> None:
    values = {"a": right(0.8, 1), "b": right(0.79, 2), "c": right(0.6, 3)}
    ties = one_setting(tmp_path, **values).ties[ELPV]
    p = []
    for name in ("b", "c"):
        only_a, only_b = (
            int((values["a"] & ~values[name]).sum()),
            int((values[name] & ~values["a"]).sum()),
        )
        p.append(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert [ties[name].p for name in "abc"] == pytest.approx(
        [1, *multipletests(p, method="holm")[1]]
    )
    assert [ties[name].group for name in "abc"] == [1, 1, 2] and ties["a"].test == "mcnemar"


def test_copies_tie_and_a_better_one_on_every_example_does_not(tmp_path: Path) -> None:
    same = right(0.7, 1)
    ties = one_setting(tmp_path, a=same, b=same, c=np.zeros(N, bool)).ties[ELPV]
    assert (ties["a"].group, ties["b"].group, ties["b"].p) == (1, 1, 1.0)
    everywhere = one_setting(tmp_path / "other", a=np.ones(60, bool), b=np.zeros(60, bool)).ties[
        ELPV
    ]
    assert everywhere["b"].group == 2


def test_floors_take_no_part(tmp_path: Path) -> None:
    store(tmp_path, "pixels", {("linear", "elpv"): np.ones(N, bool)}, family="baseline")
    found = one_setting(tmp_path, a=right(0.8, 1), b=right(0.5, 2))
    assert set(found.ties[ELPV]) == {"a", "b"} and found.overall.pool == ("a", "b")


def test_without_arrays_there_are_no_ties(tmp_path: Path) -> None:
    kept = make_board([record("a", 0.9), record("b", 0.1)])
    assert kept.ties == {} and kept.overall.basis == "none"
    store(tmp_path, "a", {("linear", "elpv"): right(0.8, 1)})
    store(
        tmp_path, "b", {("linear", "elpv"): right(0.7, 1, n=100)}
    )  # other examples cannot be paired
    assert set(board(tmp_path).ties[ELPV]) == {"a"}
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    assert board(tmp_path).ties == {}


def test_seeds_are_averaged_per_example() -> None:
    rank = {"0.rank": np.array([0, 1]), "1.rank": np.array([0, 0])}
    others = {
        f"{seed}.{name}": np.array([0, 0]) for seed in (0, 1) for name in ("y", "predicted")
    } | {
        "0.classes": np.array(2),
        "1.classes": np.array(2),
    }
    assert per_example(record("a"), rank | others | {"0.k5.rank": np.array([1, 1])}).tolist() == [
        1.0,
        0.5,
    ]  # type: ignore[union-attr]
    assert per_example(record("a"), {"0.rank": np.array([0])}) is None  # stored by another version
    assert (
        per_example(record("a", task=task(metrics=("macro_f1",))), rank | others) is None
    )  # no mean over examples


# ---- rankings


def test_one_setting_is_ranked_by_its_own_exact_test(tmp_path: Path) -> None:
    found = one_setting(tmp_path, a=right(0.8, 1), b=right(0.79, 2), c=right(0.6, 3))
    assert found.overall.basis == "examples"
    assert [(s.backbone, s.tie_group) for s in found.overall.standings] == [
        ("a", 1),
        ("b", 1),
        ("c", 2),
    ]
    shares = [s.win_share for s in found.overall.standings]
    assert (
        sum(share for share in shares if share is not None) == pytest.approx(1) and shares[2] == 0
    )


def test_tasks_on_the_same_images_are_not_two_findings(tmp_path: Path) -> None:
    """b is behind a by the same examples in both tasks: as sure as in one of them. The bootstrap over examples says how sure that is."""
    a, b = right(0.8, 1), right(0.79, 2)
    for name, values in (("a", a), ("b", b)):
        store(tmp_path, name, {(of, "elpv"): values for of in ("knn", "linear")})
    (first, second) = board(tmp_path).overall.standings
    draws = np.random.default_rng(0).integers(N, size=(4000, N))
    expected = float(
        (
            (a[draws].mean(1) > b[draws].mean(1)) + 0.5 * (a[draws].mean(1) == b[draws].mean(1))
        ).mean()
    )
    assert first.win_share == pytest.approx(expected, abs=0.03)
    assert (first.tie_group, second.tie_group) == (1, 1)


def many(values: dict[str, list[float]]) -> Board:
    """One record per backbone and dataset d0, d1, ..."""
    return make_board(
        [
            record(name, value, dataset=dataset(f"d{d}"))
            for name, row in values.items()
            for d, value in enumerate(row)
        ]
    )


def test_six_datasets_are_resampled() -> None:
    ranking = many({"a": [0.9] * 6, "b": [0.8] * 6, "c": [0.9, 0.9, 0.9, 0.9, 0.7, 0.95]}).overall
    assert (
        ranking.basis == "datasets"
        and pool_text(ranking) == "3 backbones × 6 settings on 6 datasets"
    )
    group = {standing.backbone: standing.tie_group for standing in ranking.standings}
    assert group["a"] == group["c"] == 1 and group["b"] == 2
    assert (
        many({"a": [0.9] * 5, "b": [0.8] * 5}).overall.standings[1].tie_group == 1
    )  # five agree: 6 %


def test_what_is_averaged_and_what_is_left_out() -> None:
    records = [record(name, 0.8, dataset=dataset(held)) for name in "ab" for held in ("x", "y")]
    records += [
        failed("c", dataset=dataset("x")),
        record("c", 0.9, dataset=dataset("y")),
        record("pixels", 0.1, family="baseline"),
    ]
    zero_shot = task("zeroshot", metrics=("top1",))
    records += [record("a", 0.5, task=zero_shot, dataset=dataset("x"))]
    records += [
        record(
            "b",
            task=zero_shot,
            dataset=dataset("x"),
            status="not_applicable",
            reason="no text tower",
            scores=(),
        )
    ]
    records += [
        failed(name, task=task("broken", metrics=("top1",)), dataset=dataset("x")) for name in "abc"
    ]
    found = make_board(records)
    assert found.overall.pool == ("a", "b")
    assert found.overall.left_out == {"c": "failed: linear/x"}
    assert {str(column): why for column, why in found.overall.not_asked.items()} == {
        "zeroshot/x": "does not apply to every backbone",
        "broken/x": "no backbone has a value",
    }
    assert found.by_task["zeroshot"].pool == ("a",)  # its own ranking is over those it applies to
    assert "zeroshot does not apply to b: no text tower" in to_markdown(found)
    assert "| b | 3.37 | n/a |" in to_markdown(found)


def test_a_pool_of_one_has_no_z() -> None:
    (standing,) = make_board([record("a", 0.8)]).overall.standings
    assert (
        standing.mean_z,
        standing.mean_rank,
        standing.mean_value,
        standing.win_rate,
        standing.win_share,
    ) == (None, 1, 0.8, None, None)


def test_no_plain_mean_over_different_scales() -> None:
    odd = task("odd", metrics=("log_loss",))
    records = [
        record(name, value, task=of)
        for name, value in (("a", 0.9), ("b", 0.5))
        for of in (task(), odd)
    ]
    assert [standing.mean_value for standing in make_board(records).overall.standings] == [
        None,
        None,
    ]


def test_ranking_files(tmp_path: Path) -> None:
    records = [
        record(name, value, task=of, dataset=dataset(f"d{d}"))
        for name, value in (("a", 0.9), ("b", 0.5))
        for of in (task(), task("knn"))
        for d in range(2)
    ]
    write_leaderboard([*records, failed("c", dataset=dataset("d0"))], tmp_path)
    frame = pd.read_csv(tmp_path / "ranking.csv")
    assert frame["backbone"].tolist() == ["a", "b", "c"] and frame["mean_rank"].tolist()[:2] == [
        1,
        2,
    ]
    assert frame["pool"].unique().tolist() == ["2 backbones × 4 settings on 2 datasets"]
    by_task = pd.read_csv(tmp_path / "ranking_by_task.csv")
    assert by_task["task"].tolist() == ["knn", "knn", "linear", "linear", "linear"]
    assert ranking_frame([]).columns.tolist() == frame.columns.tolist()


def test_the_terminal_says_who_leads(tmp_path: Path) -> None:
    for name, share in (("a", 0.8), ("b", 0.798), ("c", 0.5)):
        store(tmp_path, name, {("linear", held): right(share, ord(name)) for held in ("x", "y")})
    text = printed(board(tmp_path))
    assert (
        "not told apart from the best" in text and text.count("≈") == 3
    )  # the legend, and b twice
    assert (
        "over 3 backbones × 2 settings on 2 datasets, a has the highest mean z-score" in text
        and "not told apart from it: b." in text
    )
    assert "every other one is told apart from it." in first_words(
        many({"a": [0.9] * 6, "b": [0.8] * 6}).overall
    )
    assert "too few datasets, and no per-example results, to tell anybody apart" in first_words(
        many({"a": [0.9] * 2, "b": [0.8] * 2}).overall
    )
    assert first_words(many({"a": [0.9], "b": [0.8]}).overall) == ""


def printed(found: Board) -> str:
    console = Console(file=StringIO(), width=200, color_system=None)
    console.print(to_terminal(found))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


# ---- facets and LaTeX


def test_facets_are_columns(tmp_path: Path) -> None:
    scores = (
        score("top1", 0.8),
        *(
            score(f"top1_{shots}shot", 0.1 * shots, facets={"shots": shots, "head": "ridge"})
            for shots in (1, 5)
        ),
    )
    write_leaderboard([record("a", scores=scores)], tmp_path)
    frame = pd.read_csv(tmp_path / "leaderboard.csv", dtype={"facet_shots": "Int64"})
    assert frame.columns[-2:].tolist() == ["facet_head", "facet_shots"]
    assert (
        frame["facet_shots"].fillna(0).tolist() == [0, 1, 5]
        and frame.query("facet_shots == 5")["value"].item() == 0.5
    )


def test_latex() -> None:
    text = to_latex(
        make_board(
            [
                record("a_b", 0.9),
                record("b", 0.5),
                record("pixels", 0.1, family="baseline"),
                failed("c"),
            ]
        )
    )
    assert r"a\_b & 3.37 & \textbf{90.0 [88.0--92.0]} & 90.0 \\" in text
    assert r"pixels (floor) & 3.37 & 10.0 [8.0--12.0] & 10.0 \\" in text
    assert r"c & -- & failed & -- \\" in text
    assert text.count(r"\begin{tabular}{lrrr}") == text.count(r"\end{tabular}") == 1
    assert r"Pool: 2 backbones × 1 setting on 1 dataset." in text


def test_latex_marks_ties(tmp_path: Path) -> None:
    lines = to_latex(
        one_setting(tmp_path, a=right(0.8, 1), b=right(0.79, 2), c=right(0.5, 3))
    ).splitlines()
    assert [
        r"$^\dagger$" in next(line for line in lines if line.startswith(f"{name} &"))
        for name in "abc"
    ] == [False, True, False]


def test_latex_escapes() -> None:
    assert escape("50% & $x_1^2$ #1 {a} ~\\ <b>\n|") == (
        r"50\% \& \$x\_1\textasciicircum{}2\$ \#1 \{a\} \textasciitilde{}\textbackslash{} \textless{}b\textgreater{} \textbar{}"
    )


def test_a_backbone_alone_in_its_column_is_tied_with_nobody() -> None:
    """Only a floor beside it: nothing was compared, so that no file marks a tie."""
    alone = [
        record("a", 0.5),
        record("pixels", 0.6, family="baseline", backbone=facts("pixels", "baseline")),
    ]
    board = make_board(alone, lambda held: np.ones(20))
    assert board.tied == {Column("linear", "elpv"): frozenset()}
    assert "≈" not in to_markdown(board).split("## linear")[1]
