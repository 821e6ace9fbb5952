"""Leaderboards from records: CSV, Markdown, LaTeX, a self-contained HTML page, a terminal table.

Reads no files except in `gather`, writes none except in `write`, and does not import torch.
"""

from bob.leaderboard.board import Board, make_board
from bob.leaderboard.cells import BoardCell, SetAside, board_cells, comparable
from bob.leaderboard.page.html import to_html
from bob.leaderboard.render.markdown import to_markdown
from bob.leaderboard.render.terminal import to_terminal
from bob.leaderboard.render.tidy_table import tidy
from bob.leaderboard.render.wide_table import wide
from bob.leaderboard.write import write_board, write_leaderboard

__all__ = [
    "Board",
    "BoardCell",
    "SetAside",
    "board_cells",
    "comparable",
    "make_board",
    "tidy",
    "to_html",
    "to_markdown",
    "to_terminal",
    "wide",
    "write_board",
    "write_leaderboard",
]
