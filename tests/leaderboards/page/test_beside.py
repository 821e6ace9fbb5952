"""Large pages: the first view is in the page, the rest in a script beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bob.leaderboards.board import Board, make_board
from bob.leaderboards.page import html
from bob.leaderboards.page.beside import DETAIL_FILE
from bob.leaderboards.page.html import PAGE_FILE, page_files
from bob.leaderboards.write import write_board
from tests.builders import synthetic_sweep
from tests.builders.leaderboard_pages import OpenPage, Tabs, paired_results


@pytest.fixture(scope="module")
def board() -> Board:
    """5 backbones × 7 datasets × 6 tasks, some of them contaminated."""
    return make_board(synthetic_sweep.records(5, 7))


@pytest.fixture(scope="module")
def folders(board: Board, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A folder with the divided page, and one with the self-contained page."""
    folders = {is_divided: tmp_path_factory.mktemp("page") for is_divided in (True, False)}
    for is_divided, folder in folders.items():
        for name, text in page_files(board, most_bytes=0 if is_divided else 10**9).items():
            (folder / name).write_text(text, encoding="utf-8")
    return folders


@pytest.fixture
def pages(tabs: Tabs, folders: dict[bool, Path]) -> Iterator[dict[bool, OpenPage]]:
    """Both pages, open."""
    opened = {is_divided: tabs.open(folder / PAGE_FILE) for is_divided, folder in folders.items()}
    yield opened
    for page in opened.values():
        assert page.messages == []
        tabs.close(page)


def requested(page: OpenPage) -> list[str]:
    """The files that a page requested, each once."""
    return [*dict.fromkeys(url.split("#")[0].rsplit("/", 1)[-1] for url in page.requests)]


def texts(pages: dict[bool, OpenPage], selector: str) -> tuple[str, str]:
    """The text of one element of the divided and of the self-contained page."""
    return pages[True].text(selector), pages[False].text(selector)


def test_the_first_view_loads_nothing_and_is_that_of_a_self_contained_page(
    pages: dict[bool, OpenPage],
) -> None:
    divided, whole = texts(pages, "#view")
    assert divided == whole and "Best of each task" in divided
    assert requested(pages[True]) == [PAGE_FILE]


@pytest.mark.parametrize("view", ["table", "heatmap", "curves", "shifts"])
def test_other_views_load_the_file_beside_the_page_once(
    pages: dict[bool, OpenPage], view: str
) -> None:
    for page in pages.values():
        page.page.locator(f"#tab-{view}").click()
    pages[True].wait_until("!document.body.innerText.includes('Loading…')")
    divided, whole = texts(pages, "#view")
    assert divided == whole and len(divided) > 100
    for page in pages.values():
        page.page.locator("#task").select_option("linear")
        page.page.locator("#dataset").select_option("birds")
        page.page.locator("#tab-overview").click()
    divided, whole = texts(pages, "#view")
    assert divided == whole and "linear on birds" in divided
    assert requested(pages[True]) == [PAGE_FILE, DETAIL_FILE]
    assert requested(pages[False]) == [PAGE_FILE]


def test_a_card_and_a_link_to_one_cell_load_the_details(
    tabs: Tabs, folders: dict[bool, Path]
) -> None:
    name = "clip-convnext_base-v0"
    link = f"#task=linear&dataset=cars&card=backbone%3A{name}"
    cards = []
    for folder in folders.values():
        opened = tabs.open(folder / PAGE_FILE, link)
        opened.page.locator("#card[open]").wait_for()
        cards.append((opened.text("#card"), opened.page.locator("#view").inner_text()))
        assert opened.messages == []
        tabs.close(opened)
    assert cards[0] == cards[1] and "linear on cars" in cards[0][1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "leaderboard_detail.js is missing: this page needs it in its own folder"),
        ("window.leaderboardDetail = {stamp: '0', text: '{}'};", "is that of another leaderboard"),
    ],
)
def test_without_its_file_a_page_says_what_to_do(
    tabs: Tabs, folders: dict[bool, Path], tmp_path: Path, content: str | None, words: str
) -> None:
    page = tmp_path / PAGE_FILE
    page.write_text((folders[True] / PAGE_FILE).read_text(encoding="utf-8"), encoding="utf-8")
    if content is not None:
        (tmp_path / DETAIL_FILE).write_text(content)
    opened = tabs.open(page)
    assert opened.page.locator(".standings tbody tr").count() == 3  # without the two baselines
    opened.page.locator("#tab-table").click()
    opened.page.locator("#view .failed").wait_for()
    assert words in opened.text("#view")
    opened.page.locator("#csv").click()
    opened.wait_until("document.getElementById('status').innerText")
    assert words in opened.status
    # once the file is there, the next view finds it
    detail = (folders[True] / DETAIL_FILE).read_text(encoding="utf-8")
    (tmp_path / DETAIL_FILE).write_text(detail, encoding="utf-8")
    opened.page.locator("#tab-heatmap").click()
    opened.page.locator("#view svg, #view canvas, #view table").first.wait_for()
    tabs.close(opened)


def test_a_page_is_divided_where_it_would_be_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = make_board(*paired_results())
    monkeypatch.setattr(html.page_files, "__defaults__", ((), 1000))
    names = [path.name for path in write_board(small, tmp_path)]
    assert names[:2] == [PAGE_FILE, DETAIL_FILE]
    monkeypatch.undo()
    assert DETAIL_FILE not in [path.name for path in write_board(small, tmp_path)]
    assert not (tmp_path / DETAIL_FILE).exists()
    assert "file:" not in (tmp_path / PAGE_FILE).read_text().partition("<body>")[0]


def test_the_page_of_the_whole_registry_stays_under_3_mb() -> None:
    """116 backbones on 119 datasets, by the sizes of four small boards.

    Sizes grow with backbones (cards), with datasets (cards, columns) and with their product (11.7
    characters per cell and more); verdicts on pairs of backbones add 14 views of 116² / 12
    characters, 16 kB.
    """
    size = {
        (b, d): len(page_files(make_board(synthetic_sweep.records(b, d)), most_bytes=0)[PAGE_FILE])
        for b in (4, 8)
        for d in (7, 14)
    }
    more_backbones, more_datasets = size[8, 7] - size[4, 7], size[4, 14] - size[4, 7]
    both = size[8, 14] - size[4, 14] - more_backbones
    b_steps, d_steps = (116 - 4) / 4, (119 - 7) / 7
    expected = size[4, 7] + more_backbones * b_steps + more_datasets * d_steps
    expected += both * b_steps * d_steps + 16_000
    assert expected < html.MOST_BYTES
