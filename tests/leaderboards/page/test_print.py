"""The page on paper."""

from io import BytesIO

from pypdf import PdfReader

from tests.builders.leaderboard_pages import OpenPage, two_tasks, varied_tasks
from tests.builders.leaderboard_records import dataset, failed, record
from tests.leaderboards.page.conftest import Opener

TITLES = (
    "Which backbone is best?",
    "Standings",
    "Best of each task and dataset",
    "Notes",
    "Tables",
    "Quality and cost",
    "Scores by task and dataset",
    "Correlation of tasks",
    "Curves",
    "Under shift",
    "Datasets",
)


def test_print_hides_the_controls(board: OpenPage) -> None:
    page = board.page
    page.emulate_media(media="print")
    for hidden in ("#controls", "#tabs", ".tools"):
        assert not page.locator(hidden).is_visible()
    assert page.locator("#board").is_visible() and page.locator("#caption").is_visible()


def test_paper_has_every_view_and_leaves_the_page_as_it_was(show: Opener) -> None:
    """Print from the table of a dark page with a search."""
    records = [*varied_tasks(), failed("broken", "out of memory")]
    opened = show(records, "#view=table&q=a", color_scheme="dark")
    pdf = PdfReader(BytesIO(opened.page.pdf(prefer_css_page_size=True)))
    sheets = [sheet.extract_text() for sheet in pdf.pages]
    text = "\n".join(sheets)
    assert 3 <= len(sheets) <= 12
    assert all(sheet.strip() for sheet in sheets)
    for present in (*TITLES, "search: a."):
        assert present in text, present
    for absent in ("Copy link", "Download CSV", "Filters"):
        assert absent not in text
    assert opened.page.locator("#paper").count() == 0
    assert opened.names
    assert opened.page.evaluate("document.documentElement.dataset.theme") == ""
    opened.page.fill("#search", "broken")
    assert opened.names == ["broken"]


def test_paper_tables_have_few_columns_and_every_row(show: Opener) -> None:
    """Seven datasets are printed as five and two, with intervals and failures."""
    records = [
        record(name, 0.5 + 0.01 * d, dataset=dataset(f"set{d}"))
        for name in ("one", "two")
        for d in range(7)
    ]
    page = show([*records, failed("three", "out of memory", dataset=dataset("set0"))]).page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    tables = page.locator("table.paper")
    # A backbone column each, and five means, five datasets, two datasets.
    assert [table.locator("thead th").count() for table in tables.all()] == [6, 6, 3]
    rows = tables.nth(1).locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[0].strip() for row in rows] == ["one", "two", "three"]
    assert "failed" in tables.nth(1).inner_text()
    assert "50.0 48.0–52.0" in tables.nth(1).inner_text()
    assert "1 cell without a value" not in tables.nth(2).inner_text()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("#paper").count() == 0


def test_paper_ranks_no_baseline_and_prints_no_button(show: Opener) -> None:
    """Two backbones are too few for a correlation: on the screen, a button leads to the table."""
    records = [
        record(name, value, dataset=dataset(where), family=family)
        for name, value, family in (
            ("a", 0.9, "ssl"),
            ("b", 0.8, "ssl"),
            ("pixels", 0.2, "baseline"),
        )
        for where in ("d1", "d2")
    ]
    page = show(records).page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    rows = page.locator("table.paper").first.locator("tbody tr").all_inner_texts()
    (baseline,) = [row.split("\t") for row in rows if "baseline" in row]
    assert baseline[2:4] == ["–", "–"]  # mean z-score and mean rank
    button = page.locator("#paper").get_by_text("Show the table")
    assert button.count() == 1 and not button.is_visible()


def test_paper_marks_the_best_and_contaminated_cells(show: Opener) -> None:
    """large is best everywhere, and was pretrained on textiles."""
    page = show(two_tasks()).page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    linear = page.locator("section", has_text="linear: top1")
    assert linear.locator("td.best").all_inner_texts() == ["90.0 88.0–92.0"] * 2
    (seen,) = linear.locator("td.contaminated").all()
    assert "large" in seen.locator("..").inner_text()
    assert "†: contaminated" in linear.inner_text()
    weight = "element => Number(getComputedStyle(element).fontWeight)"
    assert linear.locator("td.best .val").first.evaluate(weight) >= 600
    assert linear.locator("td:not(.best) .val").first.evaluate(weight) == 400
