"""leaderboard.html: one self-contained page. Its data travels as JSON inside it; its scripts (page/scripts) draw tables, charts and cards from that.

Nothing from a record reaches the page as markup: Jinja escapes what it prints, the JSON holds no `<`, and the scripts set text, never HTML.
A content security policy lets only the page's own script run, and lets nothing be fetched.
"""

from collections.abc import Iterable
from functools import cache

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from bob.leaderboard.board import Board, as_board
from bob.leaderboard.page.assets import asset, csp_hash, script, style
from bob.leaderboard.page.encode import script_json
from bob.leaderboard.page.payload import Layout
from bob.records.record import Record


def to_html(given: Board | Iterable[Record]) -> str:
    """The whole page of a board, or of records alone, without paired tests."""
    layout = Layout(as_board(given))
    return _template().render(
        data=Markup(script_json(layout.payload())),
        parts=Markup(script_json(layout.parts())),
        style=Markup(style()),
        script=Markup(script()),
        script_hash=csp_hash("\n" + script()),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(asset("template.html"))
