"""Pages of images on a phone, in the browser of the leaderboard's page."""

from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from bob.pictures.page import PageSection, Picture, Strip, thumbnail, to_page

PHONE = {"width": 390, "height": 800}


def test_pairs_of_images_are_as_wide_as_a_phone(browser: Browser, tmp_path: Path) -> None:
    """Their place is 408 pixels wide where there is room, and the phone's screen 390."""
    wide = thumbnail(Image.new("RGB", (400, 200), (200, 0, 0)))
    pictures = [Picture(wide, f"pair {i}", ("2 of 12 points found",), is_wide=True) for i in "ab"]
    sections = [PageSection("Worst", "about", [Strip("", pictures)])]
    (tmp_path / "pairs.html").write_text(to_page("title", [], sections))
    page = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    page.goto((tmp_path / "pairs.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.locator("img").first.evaluate("each => each.getBoundingClientRect().width") > 300
    page.close()
