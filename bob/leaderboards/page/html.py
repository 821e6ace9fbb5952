"""leaderboard.html: a page whose scripts draw everything from embedded JSON.

It is self-contained unless it would be large; then a script beside it holds what its first view
does not need (see `beside.py`).

Nothing from a record reaches the page as markup: Jinja escapes what it prints, the JSON contains no
`<`, and the scripts set text, never HTML. A content security policy lets only the page's own script
run and forbids every request, except that a large page may load scripts from where it lies.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from bob.leaderboards.abridge import short_text
from bob.leaderboards.board import Board, as_board
from bob.leaderboards.page.assets import asset, csp_hash, script, style
from bob.leaderboards.page.beside import DETAIL_FILE, divided
from bob.leaderboards.page.encode import script_json
from bob.leaderboards.page.payload import PageLayout
from bob.records.record import Record

PAGE_FILE = "leaderboard.html"
MOST_BYTES = 3_000_000
"""Size of a self-contained page that is written as it is; a larger one is divided."""
TITLE_LETTERS = 90
"""Letters of a dataset's name in the title."""


def to_html(board: Board | Iterable[Record], images: Sequence[str] = ()) -> str:
    """Render the self-contained page of a board, or of bare records, which have no paired tests.

    `images` are the pages of images to link, relative to the page; see `bob.records.image_pages`.
    """
    layout = PageLayout(as_board(board), images)
    return _render(layout, layout.payload(), script_json(layout.details()))


def page_files(
    board: Board, images: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> dict[str, str]:
    """Return the texts of DETAIL_FILE and PAGE_FILE by name.

    The first is empty if the page is self-contained, which it is up to `most_bytes`.
    """
    layout = PageLayout(board, images)
    payload, details = layout.payload(), layout.details()
    page, detail = _render(layout, payload, script_json(details)), ""
    if len(page.encode()) > most_bytes:
        payload, detail = divided(payload, details)
        page = _render(layout, payload, "null")
    return {DETAIL_FILE: detail, PAGE_FILE: page}


def _render(layout: PageLayout, payload: dict[str, Any], details: str) -> str:
    return _template().render(
        data=Markup(script_json(payload)),
        details=Markup(details),
        beside="beside" in payload,
        style=Markup(style()),
        script=Markup(script()),
        script_hash=csp_hash("\n" + script()),
        title=page_title(layout),
    )


def page_title(layout: PageLayout) -> str:
    """Return the question that the page answers, and its data: `Which backbone for photos?`."""
    if len(layout.datasets) == 1:
        return f"Which backbone for {short_text(layout.datasets[0], TITLE_LETTERS)}?"
    if not layout.datasets:
        return "Which backbone?"
    return f"Which backbone? {len(layout.names)} compared on {len(layout.datasets)} datasets"


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(asset("template.html"))
