"""Division of a large page: its first view's data stay in it, the rest goes into a file beside it.

The file is a script, since a page opened from the disk may read no other file. The page loads it
when a view first needs it, and checks by a stamp that both were written together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import xxhash

from bob.leaderboards.page.encode import script_json

DETAIL_FILE = "leaderboard_detail.js"
LIMITS = ("low", "high")
"""The arrays of cells that the first view does not need."""


def divided(payload: Mapping[str, Any], details: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the payload of the first view, and the script with everything else.

    The first view is the overview of everything. It needs the values of all cells, and the verdicts
    over whole tasks.
    """
    cells, columns = payload["cells"], payload["columns"]
    rest = script_json(
        {
            **details,
            "cells": {name: cells[name] for name in LIMITS},
            "views": [view for view in payload["views"] if not _is_whole(view, columns)],
        }
    )
    stamp = xxhash.xxh3_128_hexdigest(rest.encode())
    first = {
        **payload,
        "cells": {name: values for name, values in cells.items() if name not in LIMITS},
        "views": [view for view in payload["views"] if _is_whole(view, columns)],
        "beside": {"file": DETAIL_FILE, "stamp": stamp},
    }
    return first, f"window.leaderboardDetail = {script_json({'stamp': stamp, 'text': rest})};\n"


def _is_whole(view: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a view holds every column of its tasks."""
    tasks = {columns[column]["task"] for column in view["columns"]}
    return len(view["columns"]) == sum(column["task"] in tasks for column in columns)
