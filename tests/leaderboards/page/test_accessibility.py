"""Contrast, narrow screens and the keyboard."""

import pytest

from tests.builders.contrast import contrast
from tests.builders.leaderboard_pages import OpenPage, two_tasks, two_tasks_values
from tests.leaderboards.page.conftest import Opener

MIN_CONTRAST = 4.5
"""WCAG 2, level AA."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(show: Opener, scheme: str) -> None:
    page = show(two_tasks(), "#view=table", two_tasks_values, color_scheme=scheme).page
    for is_switched in (False, True):
        if is_switched:
            page.get_by_role("button", name="Dark").click()
        for background in (".scroll", "td.in-tie", "body"):
            for selector in (".caption", ".cell .val", ".ci", ".failed", ".hint", ".size"):
                assert contrast(page, selector, background) >= MIN_CONTRAST, (
                    selector,
                    background,
                    is_switched,
                )
    other = {"light": "dark", "dark": "light"}[scheme]
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == other
    assert f"theme={other}" in page.url


def test_narrow_screen_scrolls_only_inside_tables(show: Opener) -> None:
    opened = show(two_tasks(), viewport={"width": 360, "height": 740})
    page = opened.page
    for view in ("overview", "table", "cost", "heatmap", "correlation", "datasets"):
        opened.open(view)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    opened.open("table")
    scroll = page.locator("#view .scroll")
    assert scroll.evaluate("(box) => box.scrollWidth > box.clientWidth")


def test_arrow_keys_change_the_tab(overview: OpenPage) -> None:
    page = overview.page
    page.locator("#tab-overview").focus()
    page.keyboard.press("ArrowRight")
    selected = page.locator("[role=tab][aria-selected=true]")
    assert selected.get_attribute("data-view") == "table"
    assert page.locator("#board").is_visible()
    assert page.locator("#panel").get_attribute("aria-labelledby") == "tab-table"
