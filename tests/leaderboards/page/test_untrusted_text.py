"""Text from records cannot break the page, and no other script can run."""

from pathlib import Path

import numpy as np
import pytest

from bob.leaderboards.page.assets import csp_hash, script
from bob.leaderboards.page.html import to_html
from bob.records.record import Record
from tests.builders.leaderboard_pages import HOSTILE, VIEWS, Tabs, hostile, two_tasks
from tests.builders.leaderboard_records import failed
from tests.leaderboards.page.conftest import Opener


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_text_is_shown_literally(show: Opener, width: int) -> None:
    opened = show(
        hostile(),
        per_example=lambda record: np.resize([1.0, 0.0], 10),
        viewport={"width": width, "height": 800},
    )
    page = opened.page
    for view in (*VIEWS, "pairs"):
        opened.open(view)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    opened.open("table")
    page.locator("#board .name", has_text="window.broken").first.click()
    text = page.locator("#card").text_content()
    assert text is not None and HOSTILE in text.replace("\u200b", "")
    for detail in page.locator("#card details").all():
        detail.locator("summary").click()
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    "records", [[], [failed("only", backbone=None, dataset=None)]], ids=["none", "one failure"]
)
def test_page_without_values_opens_every_view(show: Opener, records: list[Record]) -> None:
    opened = show(records)
    for tab in opened.page.locator("[role=tab]").all():
        tab.click()
    opened.open("table")
    assert opened.names == [one.backbone_name for one in records]
    for name in opened.page.locator("#board .name").all():
        name.click()
        assert "never loaded" in opened.text("#card")


def test_policy_admits_only_the_page_s_own_script(tabs: Tabs, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    html = to_html(two_tasks())
    intruder = "<script>window.broken = 1</script></body>"
    path.write_text(html.replace("</body>", intruder), encoding="utf-8")
    opened = tabs.open(path)
    assert opened.page.evaluate("window.broken") is None
    assert opened.text(".winner") == "large"
    (message,) = opened.messages
    assert "Content Security Policy" in message
    assert csp_hash("\n" + script()) in html
    tabs.close(opened)
