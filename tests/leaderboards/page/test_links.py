"""Links that reproduce a view."""

from playwright.sync_api import expect

from tests.builders.leaderboard_pages import OpenPage, two_tasks
from tests.leaderboards.page.conftest import Opener


def test_link_reproduces_the_view(show: Opener) -> None:
    first = show(two_tasks(), "#view=table")
    first.page.select_option("#task", "linear")
    first.page.fill("#search", "l")
    first.sort("Params")
    first.page.get_by_role("button", name="large").click()
    second = show(two_tasks(), first.page.evaluate("location.hash"))
    assert second.text("#card-name") == "large"
    assert second.names == first.names == ["pixels", "small", "middle", "large"]
    assert second.heads == first.heads


def test_page_follows_the_address(show: Opener) -> None:
    page = show(two_tasks(), "#view=table&card=backbone:large").page
    assert page.locator("#card").is_visible()
    page.evaluate("location.hash = 'view=cost'")
    expect(page.locator("#plot .point")).to_have_count(3)
    assert not page.locator("#card").is_visible()


def test_link_is_in_the_address_bar_where_there_is_no_clipboard(overview: OpenPage) -> None:
    page = overview.page
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#status")).to_have_text("The link to this view is in the address bar.")
