"""The page of a large leaderboard in Chromium: its making, size, first view and search.

    python benchmarks/page.py [--backbones 70] [--datasets 40] [--rounds 20]

Writes the leaderboard of a synthetic sweep (six tasks) into a temporary folder, which `build` times
from its records in memory to all tables and the page. `first view` is the time from the navigation
to the end of the page's own scripts, in a new browser context each time, and `its scripts` and `its
layout` are the parts of it that Chromium's DevTools count as such; `search` is that from an entered
text to the layout of the filtered table of one task, and `first search` includes creating its rows.
Chromium is found on the PATH, or by CHROMIUM. Prints medians with the smallest and largest value.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from bob.leaderboards.board import make_board
from bob.leaderboards.write import write_board
from tests.builders import synthetic_sweep
from tests.builders.chromium import CHROMIUM_FLAGS, chromium_path

FIRST_VIEW = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
SEARCH = """(text) => {
    const field = document.getElementById("search");
    const start = performance.now();
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight; // forces the layout
    return performance.now() - start;
}"""
PARTS = {
    "its scripts": ("ScriptDuration",),
    "its layout": ("LayoutDuration", "RecalcStyleDuration"),
}
"""Metrics of DevTools, in seconds."""
TERMS = ("ssl", "vit", "clip", "resnet", "")


def first_views(browser: Browser, page: Path, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of first views and of their parts.

    Each is in a browser context without a cache.
    """
    milliseconds: dict[str, list[float]] = {name: [] for name in ("first view", *PARTS)}
    for _ in range(rounds):
        context = browser.new_context()
        tab = context.new_page()
        devtools = context.new_cdp_session(tab)
        devtools.send("Performance.enable")
        tab.goto(page.as_uri())
        milliseconds["first view"].append(tab.evaluate(FIRST_VIEW))
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        seconds = {metric["name"]: metric["value"] for metric in metrics}
        for name, parts in PARTS.items():
            milliseconds[name].append(1000 * sum(seconds[part] for part in parts))
        context.close()
    return milliseconds


def searches(browser: Browser, page: Path, rounds: int) -> list[float]:
    """Return the milliseconds of searches in one open table."""
    tab = browser.new_page()
    tab.goto(f"{page.as_uri()}#view=table&task=linear")
    return [tab.evaluate(SEARCH, TERMS[number % len(TERMS)]) for number in range(rounds)]


def report(name: str, milliseconds: list[float]) -> None:
    """Print the median of some times, and their range."""
    middle, low, high = statistics.median(milliseconds), min(milliseconds), max(milliseconds)
    print(f"{name:>12}: {middle:7.1f} ms ({low:.1f}-{high:.1f}, {len(milliseconds)} rounds)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--backbones", type=int, default=70)
    parser.add_argument("--datasets", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    path = chromium_path()
    if path is None:
        sys.exit("Chromium is not installed; install it, or set CHROMIUM to its path.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        records = synthetic_sweep.records(options.backbones, options.datasets)
        start = time.perf_counter()
        write_board(make_board(records), Path(folder))
        print(f"{'build':>12}: {time.perf_counter() - start:7.2f} s, with all tables")
        page = Path(folder) / "leaderboard.html"
        print(f"{'size':>12}: {page.stat().st_size / 1e6:7.2f} MB")
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        for name, milliseconds in first_views(browser, page, options.rounds).items():
            report(name, milliseconds)
        first, *others = searches(browser, page, options.rounds)
        report("first search", [first])
        report("search", others)
        browser.close()


if __name__ == "__main__":
    main()
