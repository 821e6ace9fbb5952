"""Size and speed of the page of 70 backbones × 40 datasets × 6 tasks."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bob.leaderboards.board import make_board
from bob.leaderboards.write import write_board
from tests.builders import synthetic_sweep
from tests.builders.leaderboard_pages import OpenPage

MAX_BYTES = 3_000_000
MAX_BUILD_SECONDS = 10.0
MAX_FIRST_VIEW_MS = 1000.0
MAX_FILTER_MS = 100.0
TRIES = 3
"""The fastest counts, since other load on the machine can only slow a page down."""

TYPE_SEARCH = """(text) => {
    const field = document.getElementById("search");
    const start = performance.now();
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight; // forces the layout
    return performance.now() - start;
}"""


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The page of a synthetic sweep, and the CPU seconds of the statistics and all files."""
    records, folder = synthetic_sweep.records(70, 40), tmp_path_factory.mktemp("large")
    start = time.process_time()
    write_board(make_board(records), folder)
    return folder / "leaderboard.html", time.process_time() - start


def test_large_sweep_is_small_and_quick_to_build(large_page: tuple[Path, float]) -> None:
    path, seconds = large_page
    assert path.stat().st_size < MAX_BYTES
    assert seconds < MAX_BUILD_SECONDS


def test_large_sweep_opens_quickly(browser: Browser, large_page: tuple[Path, float]) -> None:
    timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    milliseconds = []
    for _ in range(TRIES):
        opened = OpenPage(browser.new_context().new_page(), large_page[0])
        milliseconds.append(opened.page.evaluate(timing))
        assert opened.page.locator(".standings tbody tr").count() >= 15
        assert opened.messages == []
        opened.page.context.close()
    assert min(milliseconds) < MAX_FIRST_VIEW_MS


def test_large_sweep_is_filtered_quickly(browser: Browser, large_page: tuple[Path, float]) -> None:
    page = browser.new_context().new_page()
    opened = OpenPage(page, large_page[0], "#view=table&task=linear")
    assert len(opened.names) == 70
    assert len(opened.heads) == 7 + 40
    terms = ("ssl", "vit", "clip", "resnet", "")
    assert min(page.evaluate(TYPE_SEARCH, term) for term in terms) < MAX_FILTER_MS
    assert len(opened.names) == 70
    assert opened.messages == []
    page.context.close()
