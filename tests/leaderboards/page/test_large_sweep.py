"""The page of 70 backbones × 40 datasets × 6 tasks: its size, and what a search changes.

`benchmarks/page.py` measures how long it takes to open and to search.
"""

from pathlib import Path

import pytest

from bob.leaderboards.board import make_board
from bob.leaderboards.page.html import to_html
from tests.builders import synthetic_sweep
from tests.builders.leaderboard_pages import Tabs

MAX_BYTES = 3_000_000

MARK = """() => {
    for (const element of document.querySelectorAll("#board tr, #board th, #board td"))
        element.isFirst = true;
}"""
COUNT_NEW = """() => [...document.querySelectorAll("#board tr, #board th, #board td")].filter(
    (element) => !element.isFirst).length"""


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a synthetic sweep."""
    path = tmp_path_factory.mktemp("large") / "leaderboard.html"
    path.write_text(to_html(make_board(synthetic_sweep.records(70, 40))), encoding="utf-8")
    return path


def test_large_sweep_is_small(large_page: Path) -> None:
    assert large_page.stat().st_size < MAX_BYTES


def test_large_sweep_opens_with_its_standings(tabs: Tabs, large_page: Path) -> None:
    opened = tabs.open(large_page)
    assert opened.page.locator(".standings tbody tr").count() >= 15
    assert opened.page.locator("#board tr").count() == 0, "the table is filled when it is opened"
    assert opened.messages == []
    tabs.close(opened)


def test_a_search_hides_rows_and_lays_out_nothing_again(tabs: Tabs, large_page: Path) -> None:
    opened = tabs.open(large_page, "#view=table&task=linear")
    assert len(opened.names) == 70
    assert len(opened.heads) == 7 + 40
    opened.page.evaluate(MARK)
    for term in ("ssl", "vit", "clip", "resnet"):
        opened.page.locator("#search").fill(term)
        assert len(opened.names) < 70
    opened.page.locator("#search").fill("")
    assert len(opened.names) == 70
    assert opened.page.evaluate(COUNT_NEW) == 0
    assert opened.messages == []
    tabs.close(opened)
