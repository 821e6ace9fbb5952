"""The only module of the leaderboard that touches the disk."""

from collections.abc import Sequence
from pathlib import Path

from bob.io.files import write_whole
from bob.leaderboard.board import Board, make_board
from bob.leaderboard.page.html import to_html
from bob.leaderboard.per_example import Evidence, no_evidence
from bob.leaderboard.render.latex import to_latex
from bob.leaderboard.render.markdown import to_markdown
from bob.leaderboard.render.ranking_table import ranking_frame, task_frame
from bob.leaderboard.render.robustness_table import robustness_frame
from bob.leaderboard.render.tidy_table import tidy_parts
from bob.leaderboard.render.wide_table import wide
from bob.records.record import Record


def write_leaderboard(
    records: Sequence[Record], folder: Path, evidence: Evidence = no_evidence
) -> list[Path]:
    """The leaderboard's files of these records into `folder`."""
    return write_board(make_board(records, evidence), folder)


def write_board(board: Board, folder: Path) -> list[Path]:
    """Writes leaderboard.{csv,md,tex,html}, leaderboard_wide.csv, ranking.csv and ranking_by_task.csv into `folder`, each at once or not at all;
    robustness.csv where some task has shifts.

    UTF-8 with LF line ends. CSV floats are the shortest text that reads back as the same float.
    """
    texts = {
        "leaderboard.csv": tidy_parts(board).csv(),
        "leaderboard_wide.csv": wide(board).to_csv(index=False, lineterminator="\n"),
        "ranking.csv": ranking_frame(board.rankings).to_csv(index=False, lineterminator="\n"),
        "ranking_by_task.csv": task_frame(board.by_task.values()).to_csv(
            index=False, lineterminator="\n"
        ),
        "leaderboard.md": to_markdown(board),
        "leaderboard.tex": to_latex(board),
        "leaderboard.html": to_html(board),
    }
    if board.robustness:
        texts["robustness.csv"] = robustness_frame(board.robustness).to_csv(
            index=False, lineterminator="\n"
        )
    for name, text in texts.items():
        write_whole(folder / name, text.encode("utf-8"))
    return [folder / name for name in texts]
