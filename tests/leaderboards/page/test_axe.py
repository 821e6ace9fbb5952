"""No view violates a rule of axe-core (https://github.com/dequelabs/axe-core), light or dark."""

from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page

from bob.leaderboards.similarities import similarity_matrices
from bob.pictures.page import (
    PageSection,
    PageTable,
    Picture,
    Strip,
    TableCell,
    thumbnail,
    to_page,
)
from bob.records.record import Record
from tests.builders.leaderboard_pages import (
    VIEWS,
    Scheme,
    Tabs,
    raced,
    two_tasks,
    two_tasks_values,
    varied_tasks,
)
from tests.builders.similarities import similar_pair, similarities
from tests.leaderboards.page.conftest import Opener

SCHEMES = ("light", "dark")


def violations(page: Page) -> list[str]:
    """Return the rules that the page violates, with the first element of each."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found]


def values(record: Record) -> np.ndarray | None:
    """Return the results of two backbones on each image."""
    return two_tasks_values(record) if record.backbone_name in ("large", "small") else None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_view_violates_a_rule(show: Opener, scheme: str) -> None:
    """Of a page that has every view; with a comparison, and with a card of results."""
    records = [*two_tasks(), *varied_tasks(), *raced()]
    pair = similar_pair("large", "small", 0.95)
    matrices, _ = similarity_matrices([similarities(pair)], records)
    opened = show(records, per_example=values, similar=matrices, color_scheme=scheme)
    for view in (*VIEWS, "pairs", "race", "scaling"):
        opened.open(view)
        if view == "table":
            opened.page.get_by_label("Compare large", exact=True).check()
            opened.page.get_by_label("Compare small", exact=True).check()
        assert violations(opened.page) == [], view
    opened.open("table")
    opened.page.locator("#board .name").first.click()
    assert opened.page.locator("#card").is_visible()
    assert violations(opened.page) == []


@pytest.fixture
def page_of_images(tmp_path: Path) -> Path:
    """A page with every element that pages of images have."""
    picture = Picture(
        thumbnail(Image.new("RGB", (64, 48), (0, 200, 0))), "a.png", ("is cat",), True
    )
    cells = [TableCell("9", 1.0, right=True), TableCell("1", 0.1), TableCell("10")]
    table = PageTable("10 test images", ["true class", "cat", "dog", "total"], [("cat", cells)])
    sections = [
        PageSection("Confusion", "Rows are true classes.", table=table),
        PageSection("Mistakes", "The first ones.", [Strip("cat", [picture, picture], leads=True)]),
    ]
    path = tmp_path / "images.html"
    path.write_text(to_page("title", ["fact"], sections), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_of_images_violates_no_rule(
    tabs: Tabs, page_of_images: Path, scheme: Scheme
) -> None:
    opened = tabs.open(page_of_images, color_scheme=scheme)
    all_loaded = "[...document.images].every((image) => image.naturalWidth > 0)"
    assert opened.page.evaluate(all_loaded)
    assert (opened.messages, violations(opened.page)) == ([], [])
    tabs.close(opened)
