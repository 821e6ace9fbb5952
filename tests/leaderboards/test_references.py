"""The majority class and chance in tables, notes and ranks."""

import io

from rich.console import Console

from bob.leaderboards.advice import advise
from bob.leaderboards.board import make_board
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.limits import BackboneLimits
from bob.leaderboards.page.payload import PageLayout
from bob.leaderboards.per_example import no_per_example
from bob.leaderboards.references import reference_rows
from bob.leaderboards.render.latex import to_latex
from bob.leaderboards.render.markdown import to_markdown
from bob.leaderboards.render.terminal import to_terminal
from bob.leaderboards.render.tidy_table import tidy
from bob.leaderboards.rows import board_rows
from bob.records.record import Record
from tests.builders.leaderboard_records import record, score, task

NOTE = "linear/elpv: close: the interval reaches the majority class (68.8 %), which needs no image."


def scored(name: str, value: float, **changes: object) -> Record:
    """Return a record with top-1 `value` ± 2 percent where the majority class gives 68.8 %."""
    return record(name, scores=(score("top1", value, majority=0.688, chance=0.5),), **changes)


BOARD = make_board([scored("good", 0.8), scored("close", 0.7)])


def test_references_are_rows_of_their_own_and_never_rank() -> None:
    column = BoardColumn("linear", "elpv")
    rows = [(row.name, row.values) for row in reference_rows(BOARD.cells)]
    assert rows == [("majority class", {column: 0.688}), ("chance", {column: 0.5})]
    assert [row.name for row in board_rows(BOARD.cells)[1]] == ["good", "close"]
    assert BOARD.verdicts[column].order == ("good", "close")


def test_markdown_shows_references_below_the_backbones_and_notes_who_does_not_clear_them() -> None:
    text = to_markdown(BOARD)
    assert "| *majority class* | – | 68.8 |\n| *chance* | – | 50.0 |" in text
    assert text.index("| close |") < text.index("*majority class*")
    assert NOTE in text and "good: the interval" not in text


def test_latex_shows_references_below_a_rule() -> None:
    """In the table of one task, in that of several on one dataset, and in its transpose."""
    end = (
        r"\midrule"
        + "\n"
        + r"majority class & -- & 68.8 & -- \\"
        + "\n"
        + r"chance & -- & 50.0 & -- \\"
    )
    assert end + "\n" + r"\bottomrule" in to_latex(BOARD)
    knn = scored("good", 0.9, task=task("knn", metrics=("top1",)))
    several = to_latex(make_board([*BOARD.records, knn]))
    assert r"majority class & -- & 68.8 & 68.8 \\" in several
    transposed = to_latex(make_board([scored("good", 0.8), knn]))
    assert r"Task & Metric & good & majority class & chance \\" in transposed
    assert r"knn & top1 & \textbf{90.0 [88.0--92.0]} & 68.8 & 50.0 \\" in transposed


def test_terminal_shows_references() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(to_terminal(BOARD))
    text = console.export_text()
    assert "majority class" in text and "68.8" in text and NOTE[:60] in text


def test_tidy_table_has_columns_of_references() -> None:
    frame = tidy(BOARD)
    assert frame["majority"].tolist() == [0.688] * 2 and frame["chance"].tolist() == [0.5] * 2


def test_baselines_may_fail_to_clear_the_majority_class_without_a_note() -> None:
    board = make_board([scored("pixels", 0.69, family="baseline")])
    assert "majority class (" not in to_markdown(board)


def test_where_lower_is_better_the_upper_end_of_the_interval_counts() -> None:
    """Log-loss 0.60 to 0.64 against 0.62: not clear. 0.40 to 0.44 is clear."""
    metric = task(metrics=("log_loss",))
    board = make_board(
        [
            record("near", task=metric, scores=(score("log_loss", 0.62, majority=0.62),)),
            record("far", task=metric, scores=(score("log_loss", 0.42, majority=0.62),)),
        ]
    )
    assert "near: the interval reaches the majority class (0.620)" in to_markdown(board)
    assert "far: the interval" not in to_markdown(board)


def test_scores_without_references_add_no_rows() -> None:
    board = make_board([record("plain", 0.8)])
    assert reference_rows(board.cells) == [] and "majority" not in to_markdown(board)


# --- fusions

FUSED = scored("good + close", 0.9).model_copy(
    update={"family": "fused", "fused": ("good", "close")}
)


def test_a_fusion_is_a_row_beside_the_backbones_in_no_ranking_and_no_test() -> None:
    board, column = make_board([FUSED, *BOARD.records]), BoardColumn("linear", "elpv")
    assert board.fused == (FUSED,)
    assert board.verdicts[column].order == ("good", "close")
    assert [standing.backbone for standing in board.overall.standings] == ["good", "close"]
    assert reference_rows(board.cells, board.fused)[0].values == {column: 0.9}
    text = to_markdown(board)
    assert "| *good + close (fused)* | – | 90.0 |" in text
    assert r"good + close (fused) & -- & 90.0 & -- \\" in to_latex(board)
    advice = advise([FUSED, *BOARD.records], BackboneLimits(), no_per_example)
    assert advice.pick is not None and advice.pick.backbone == "good"
    frame = tidy(board).set_index("backbone")
    assert frame["fused"].fillna("").to_dict() == {
        "good": "",
        "close": "",
        "good + close": "good + close",
    }
    references = PageLayout(board).payload()["columns"][0]["references"]
    assert references[0] == ["good + close (fused)", 0.9]


def test_of_fusions_the_newest_counts_and_only_with_the_settings_of_the_column() -> None:
    newer = FUSED.model_copy(update={"key": "newer", "provenance": {"created": "2026-02-01"}})
    other = FUSED.model_copy(update={"key": "other", "task": task(version=2)})
    alone = FUSED.model_copy(update={"dataset_name": "textiles"})
    board = make_board([newer, other, FUSED, alone, *BOARD.records])
    assert board.fused == (newer, alone)
    assert "good + close" not in to_markdown(make_board([other, *BOARD.records]))
