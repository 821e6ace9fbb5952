"""The page's JavaScript by module, and the lines that chart and table libraries could replace.

    python benchmarks/page_code.py

Counts lines with code, without blank lines and comments, and the bytes of the files. Replaceable
are the top-level functions and constants of REPLACEABLE: whatever draws scales, axes, marks,
legends and tooltips, or creates and sorts rows, as if the calls of a library took no lines in their
place. See docs/decisions/012-charts-and-table.md.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bob.leaderboards.page.assets import SCRIPTS, asset

REPLACEABLE = {
    "axes": "*",
    "tooltip": "*",
    "names": "pointNames freePlaces boxOf startOf overlap PLACES familyLegend LETTER WIDE_LETTER",
    "scatter": "plotOf scaledPoints costScale qualityScale place corners "
    "frontSteps stairs whiskers boxOf pointMark pointLabels",
    "heatmap": "scaleBar layout contextOf clampTo widest fitted taskLabels property mix luminance "
    "colour paint paintRow paintCell SHADES shade paintHeads STEPS clamp listen",
    "correlation": "matrix matrixCell pairChart pairPoint",
    "curves": "PALETTE DASHES legend panelWidth rangeOf panel curveMark pointMarks",
    "shifts": "drawPanels panelOf extentOf rowName dumbbells capped dumbbell",
    "race": "bars bar means meanLine",
    "table": "rowSets rowSetOf ensureRow sortValue isDescendingFirst initialSort sorted headIds "
    "heads headClass headCell referenceRows fillTable placeMoreButton placeHeads placeRows",
    "rows": "rowElement nameCell summaryCells scaleOf percentScale columnCell withBar groupCell",
    "download": "download",
}
"""Module → names of its top-level items; all of them for `*`."""

ITEM = re.compile(r"^(?:export )?(?:const|let|function|async function) ([\w$]+)")


def items(text: str) -> Iterator[tuple[str, int]]:
    """Yield the top-level items of a module with their lines of code; the imports have no name."""
    name, lines = "", 0
    for line in text.splitlines():
        if found := ITEM.match(line):
            yield name, lines
            name, lines = found.group(1), 0
        stripped = line.strip()
        lines += bool(stripped) and not stripped.startswith("//")
    yield name, lines


def main() -> None:
    print(f"{'module':>12} {'lines':>6} {'bytes':>7} {'replaceable':>12}")
    totals = [0, 0, 0]
    for module in SCRIPTS:
        text = asset(f"scripts/{module}.js")
        counts = list(items(text))
        listed = REPLACEABLE.get(module, "")
        names = {name for name, _ in counts} if listed == "*" else set(listed.split())
        row = (
            sum(lines for _, lines in counts),
            len(text.encode()),
            sum(lines for name, lines in counts if name in names),
        )
        totals = [total + value for total, value in zip(totals, row, strict=True)]
        print(f"{module:>12} {row[0]:6d} {row[1]:7d} {row[2]:12d}")
    print(f"{'all':>12} {totals[0]:6d} {totals[1]:7d} {totals[2]:12d}")


if __name__ == "__main__":
    main()
