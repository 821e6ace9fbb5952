"""From records to what people read: tidy and wide CSV, Markdown, one self-contained HTML page, a terminal table. Reads no files, loads no torch."""

from bob.leaderboard.cells import Cell, SetAside, cells, comparable
from bob.leaderboard.html import to_html
from bob.leaderboard.markdown import to_markdown
from bob.leaderboard.table import tidy, wide
from bob.leaderboard.terminal import to_terminal
from bob.leaderboard.write import write_leaderboard

__all__ = ["Cell", "SetAside", "cells", "comparable", "tidy", "to_html", "to_markdown", "to_terminal", "wide", "write_leaderboard"]
