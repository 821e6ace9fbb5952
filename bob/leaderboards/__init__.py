"""Leaderboards from records: CSV, Markdown, LaTeX, a self-contained HTML page, a terminal table.

Reads no files except in `gather`, writes none except in `write`, and does not import torch.
"""

from bob.leaderboards.board import Board, make_board
from bob.leaderboards.cells import BoardCell, SetAside, board_cells, comparable
from bob.leaderboards.page.html import to_html
from bob.leaderboards.render.markdown import to_markdown
from bob.leaderboards.render.terminal import to_terminal
from bob.leaderboards.render.tidy_table import tidy
from bob.leaderboards.render.wide_table import wide
from bob.leaderboards.write import write_board, write_leaderboard

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
