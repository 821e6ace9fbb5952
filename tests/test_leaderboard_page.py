"""leaderboard.html in a real browser: it works from the file system, asks for nothing, and no record can break it."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from leaderboard_records import dataset, facts, failed, record, score, task
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bob.leaderboard import write_leaderboard
from bob.records import Record

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'> \"'` {{ 7 * 7 }} 🦊👩🏽‍🚀 שלום مرحبا " + "wide" * 75
BACKBONES = [
    ("small", "supervised", 3_000_000, 0.80),
    ("large", "ssl", 90_000_000, 0.90),
    ("middle", "clip", 20_000_000, 0.89),
    ("pixels", "baseline", 0, 0.50),
]


def chromium() -> str:
    """Chromium's path; without one the tests of the page are skipped on a developer's machine, never in continuous integration."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing = "THE PAGE IS NOT TESTED: no chromium on this machine. Install one, or set CHROMIUM to its path."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


class Visit:
    """An open page, with everything it asked for and complained about."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.requests, self.complaints = page, list[str](), list[str]()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path.as_uri())

    @property
    def names(self) -> list[str]:
        return [text.strip() for text in self.page.locator("#board tbody .name").all_inner_texts()]

    @property
    def heads(self) -> list[str]:
        return [" ".join(text.split()) for text in self.page.locator("#board thead button").all_inner_texts()]

    def cell(self, name: str, column: int) -> str:
        row = self.page.locator("#board tbody tr").nth(self.names.index(name))
        return row.locator("th, td").nth(column).inner_text()

    def sort(self, name: str) -> None:
        self.page.locator("#board thead button", has_text=name).first.click()


def sweep() -> list[Record]:
    """Two tasks × two datasets; `middle` failed on knn/textiles."""
    records = []
    for name, family, params, value in BACKBONES:
        for held in (dataset("elpv"), dataset("textiles")):
            for of, lower in ((task("linear"), 0.0), (task("knn", metrics=("top1",)), 0.1)):
                backbone = facts(name, family, params=params)
                if (name, held.name, of.name) == ("middle", "textiles", "knn"):
                    records.append(failed(name, "out of memory at batch 1", family=family, dataset=held, task=of, backbone=backbone))
                else:
                    scores = (score("top1", value - lower), *([score("ece", 0.031)] if of.name == "linear" else []))
                    records.append(record(name, family=family, dataset=held, task=of, backbone=backbone, scores=scores))
    return records


def open_page(browser: Browser, folder: Path, records: list[Record], **options: object) -> Visit:
    path = write_leaderboard(records, folder)[-1]
    return Visit(browser.new_context(**options).new_page(), path)  # type: ignore[arg-type]


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    opened = open_page(browser, tmp_path, sweep())
    yield opened
    assert opened.complaints == []
    assert opened.requests == [(tmp_path / "leaderboard.html").as_uri()]
    opened.page.context.close()


def test_first_view(visit: Visit) -> None:
    assert visit.names == ["large", "small", "pixels", "middle"]  # by mean; the incomplete row last
    assert visit.heads == ["Backbone", "Params (M)", "Mean", "knn elpv", "knn textiles", "linear elpv", "linear textiles"]
    assert visit.cell("large", 2) == "85.0"  # (80 + 80 + 90 + 90) / 4
    assert visit.cell("large", 5).split() == ["90.0", "88.0–92.0"]
    assert (visit.cell("middle", 2), visit.cell("middle", 4)) == ("–", "failed")
    assert "floor" in visit.cell("pixels", 0)
    assert visit.page.locator("#status").inner_text() == "4 of 4 backbones"


def test_the_page_rounds_once(browser: Browser, tmp_path: Path) -> None:
    visit = open_page(browser, tmp_path, [record("a", 0.9305032)])  # by way of 0.93050 it would become 93.0
    assert "93.1 [91.1–95.1]" in visit.page.locator(".lead").inner_text()
    assert visit.cell("a", 2).split() == ["93.1", "91.1–95.1"]
    visit.page.context.close()


def test_many_columns_start_with_one_task(browser: Browser, tmp_path: Path) -> None:
    records = [record("a", 0.8, dataset=dataset(f"d{d:02d}"), task=task(name)) for d in range(13) for name in ("knn", "linear")]
    visit = open_page(browser, tmp_path, records)
    assert len(visit.heads) == 3 + 13 and visit.page.locator("#task").input_value() == "knn"
    assert visit.page.locator(".lead:visible").count() == 6
    visit.page.locator("summary").click()
    assert visit.page.locator(".lead:visible").count() == 26
    visit.page.context.close()


def test_who_leads(visit: Visit) -> None:
    cards = visit.page.locator(".lead").all_inner_texts()
    assert len(cards) == 4
    assert "knn on textiles" in cards[1] and "large" in cards[1]
    assert "Clear: ahead of small, 70.0 [68.0–72.0], without overlap." in cards[1]
    assert "Not settled: its interval overlaps that of middle, 89.0 [87.0–91.0]." in cards[2]


def test_sort(visit: Visit) -> None:
    head = visit.page.locator("#board thead th").nth(1)
    visit.sort("Params")
    assert visit.names == ["pixels", "small", "middle", "large"]
    assert head.get_attribute("aria-sort") == "ascending"
    visit.sort("Params")
    assert visit.names == ["large", "middle", "small", "pixels"]
    assert head.get_attribute("aria-sort") == "descending"
    assert visit.page.locator("[aria-sort]").count() == 1


def test_what_has_no_value_sorts_last_either_way(visit: Visit) -> None:
    for expected in (["large", "small", "pixels", "middle"], ["pixels", "small", "large", "middle"]):
        visit.page.locator("#board thead button").nth(4).click()
        assert visit.names == expected


def test_sort_with_the_keyboard(visit: Visit) -> None:
    visit.page.locator("#board thead button").first.focus()
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Enter")  # the focus stays on the button
    assert visit.names == ["small", "pixels", "middle", "large"]


def test_search_filter_and_reset(visit: Visit) -> None:
    page = visit.page
    page.fill("#search", "LARGE")
    assert visit.names == ["large"]
    page.fill("#search", "nothing like this")
    assert visit.names == [] and page.locator("#status").inner_text() == "0 of 4 backbones"
    page.fill("#search", "")
    page.locator("#families input[value=baseline]").uncheck()
    assert visit.names == ["large", "small", "middle"]
    page.fill("#params", "25")
    assert visit.names == ["small", "middle"]
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#status")).to_have_text("4 of 4 backbones")
    assert visit.names == ["large", "small", "pixels", "middle"]


def test_task_and_dataset(visit: Visit) -> None:
    visit.page.select_option("#task", "linear")
    assert visit.heads[2:] == ["Mean", "elpv", "textiles"]
    assert visit.names == ["large", "middle", "small", "pixels"]
    assert visit.cell("middle", 2) == "89.0"  # complete once knn is out of view
    visit.page.select_option("#dataset", "textiles")
    assert visit.heads[2:] == ["textiles"]
    assert visit.page.locator("#plot .point").count() == 4
    assert visit.page.locator("#plot .whisker").count() == 4


def test_the_plot_leaves_out_incomplete_rows_and_says_so(visit: Visit) -> None:
    assert visit.page.locator("#plot .point").count() == 3
    assert "not drawn: 1" in visit.page.locator("#plot-note").inner_text()
    visit.page.locator("#plot .point").first.focus()
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("#card").is_visible()


def test_details(visit: Visit) -> None:
    visit.page.get_by_role("button", name="middle", exact=True).first.click()
    card = visit.page.locator("#card")
    text = card.inner_text()
    for fact in (
        "hash-of-middle",
        "crop_pct 0.875",
        "mean 0.5, 0.5, 0.5",
        "float32",
        "Apache-2.0",
        "1,281,167 images",
        "130.9 images/s on cpu",
        "20 M",
    ):
        assert fact in text
    assert "knn on textiles: failed" in text and "out of memory at batch 1" in text
    assert "linear on elpv: 89.0 [87.0–91.0] top1, n = 650" in text and "ece 3.1" in text and "c 0.1" in text
    visit.page.keyboard.press("Escape")
    assert not card.is_visible()


def test_details_close_with_the_button(visit: Visit) -> None:
    visit.page.locator("#board .name").first.click()
    visit.page.get_by_role("button", name="Close").click()
    assert not visit.page.locator("#card").is_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_text_is_shown_as_it_is(browser: Browser, tmp_path: Path, width: int) -> None:
    of, held = task(HOSTILE), dataset(HOSTILE, fingerprint=HOSTILE)
    backbone = facts(HOSTILE, licence=HOSTILE, weights=HOSTILE, paper=HOSTILE, architecture=HOSTILE)
    records = [
        record(HOSTILE, dataset=held, task=of, backbone=backbone, details=({HOSTILE: HOSTILE},)),
        record("plain", 0.7),
        failed("b" + HOSTILE, HOSTILE),
    ]
    visit = open_page(browser, tmp_path, records, viewport={"width": width, "height": 800})
    visit.page.locator("#board .name").first.click()
    assert HOSTILE in visit.page.locator("#card").text_content().replace("\u200b", "")  # type: ignore[union-attr]
    assert visit.page.evaluate("window.broken") is None
    assert visit.page.locator("img").count() == 0
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.complaints == [] and len(visit.requests) == 1
    visit.page.context.close()


@pytest.mark.parametrize("records", [[], [failed("only", backbone=None, dataset=None)]], ids=["none", "one failure"])
def test_a_page_without_values(browser: Browser, tmp_path: Path, records: list[Record]) -> None:
    visit = open_page(browser, tmp_path, records)
    assert visit.names == [one.backbone_name for one in records]
    assert visit.page.locator("#plot").inner_text() == "Nothing to draw."
    for name in visit.page.locator("#board .name").all():
        name.click()
        assert "never loaded" in visit.page.locator("#card").inner_text()
    assert visit.complaints == []
    visit.page.context.close()


def luminance(colour: str) -> float:
    """WCAG 2 relative luminance of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(page: Page, selector: str) -> float:
    """WCAG contrast of an element's text with the table's background."""
    colour = "([selector, property]) => getComputedStyle(document.querySelector(selector))[property]"
    lights = [luminance(page.evaluate(colour, [selector, "color"])), luminance(page.evaluate(colour, [".scroll", "backgroundColor"]))]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser: Browser, tmp_path: Path, scheme: str) -> None:
    visit = open_page(browser, tmp_path, sweep(), color_scheme=scheme)
    for selector in (".lede", ".val", ".ci", ".failed", ".sub", ".hint"):
        assert contrast(visit.page, selector) >= 4.5, selector
    visit.page.context.close()


def test_phone_width_scrolls_inside_the_table_only(browser: Browser, tmp_path: Path) -> None:
    visit = open_page(browser, tmp_path, sweep(), viewport={"width": 360, "height": 740})
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.page.evaluate("document.querySelector('.scroll').scrollWidth > innerWidth")
    visit.page.context.close()


def test_print_hides_the_controls(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    assert not visit.page.locator("#controls").is_visible()
    assert visit.page.locator("#board").is_visible()
