"""Numbers as text on the page are those of the tables of the command line."""

from playwright.sync_api import Browser

from bob.leaderboards.page.assets import asset, wrap_module


def test_ties_are_rounded_as_in_the_tables(browser: Browser) -> None:
    """69 of 80 images are 86.25 %, a tie: Python writes 86.2, and toFixed would write 86.3."""
    cases = [(value / 80, 1) for value in range(0, 8001, 50)]
    cases += [(-86.25, 1), (0.125, 2), (2.5, 0), (0.0625, 3), (86.249, 1), (99.95, 1), (-0.25, 1)]
    page = browser.new_page()
    script = wrap_module("format", asset("scripts/format.js"))
    found = page.evaluate(
        f"(cases) => {{ {script} return cases.map(([v, d]) => format_.rounded(v, d)); }}", cases
    )
    page.close()
    assert found == [f"{value:.{digits}f}" for value, digits in cases]
