"""Fixtures that open leaderboard.html in a browser."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from bob.leaderboards.board import make_board
from bob.leaderboards.page.assets import asset, wrap_module
from bob.leaderboards.page.html import to_html
from bob.leaderboards.per_example import PerExample, no_per_example
from bob.leaderboards.similarities import SimilarityMatrix
from bob.records.record import Record
from tests.builders.chromium import CHROMIUM_FLAGS, chromium_path
from tests.builders.leaderboard_pages import OpenPage, Tabs, two_tasks


def chromium() -> str:
    """Return the path of Chromium.

    Without it, the tests that need it are skipped, but fail in continuous integration.
    """
    path = chromium_path()
    if path is None:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("Chromium is not installed; install it, or set CHROMIUM to its path.")
    return path


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def tabs(browser: Browser) -> Tabs:
    return Tabs(browser)


Evaluate = Callable[[str], Any]


def evaluating(browser: Browser, module: str) -> Iterator[Evaluate]:
    """Yield a function that evaluates expressions with the functions of a script of the page."""
    page = browser.new_page()
    text = asset(f"scripts/{module}.js")
    exports = re.findall(r"^export (?:const|function) (\w+)", text, re.MULTILINE)
    setup = f"{wrap_module(module, text)} const {{ {', '.join(exports)} }} = {module}_;"
    yield lambda expression: page.evaluate(f"(() => {{ {setup} return {expression}; }})()")
    page.close()


Opener = Callable[..., OpenPage]


@pytest.fixture
def show(tabs: Tabs, tmp_path: Path) -> Iterator[Opener]:
    """Open the page of some records; check at the end that it logged and requested nothing."""
    pages: list[OpenPage] = []

    def open_page(
        records: Sequence[Record],
        link: str = "",
        per_example: PerExample = no_per_example,
        images: Sequence[str] = (),
        similar: Sequence[SimilarityMatrix] = (),
        **options: Any,
    ) -> OpenPage:
        path = tmp_path / f"page{len(pages)}.html"
        board = replace(make_board(records, per_example), similarities=tuple(similar))
        path.write_text(to_html(board, images), encoding="utf-8")
        pages.append(tabs.open(path, link, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        assert page.messages == []
        assert {url.split("#")[0] for url in page.requests} == {page.path.as_uri()}
        tabs.close(page)


@pytest.fixture
def overview(show: Opener) -> OpenPage:
    """The page of `two_tasks`."""
    return show(two_tasks())


@pytest.fixture
def board(show: Opener) -> OpenPage:
    """The page of `two_tasks`, showing its table."""
    return show(two_tasks(), "#view=table")
