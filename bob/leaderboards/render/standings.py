"""The standings of a race on a terminal: bars of intervals, evidence, and what was saved."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from bob.statistics.standing import RaceStanding

BAR_CELLS = 24
LEAST_BAR = 6
"""Cells of the shortest bar that says anything."""
LEAST_NAME = 4
TITLES = ("backbone", "", "mean [95 % limits]", "evidence to drop")
MOST_ROWS = 16
"""Backbones that a table lists."""
MOST_NAMES = 3
"""Backbones that a line names."""


def standings_table(standings: Sequence[RaceStanding], width: int) -> Table:
    """Return a row per backbone, the best first; dropped ones are last, and grey.

    A narrow terminal has shorter bars, or none. Evidence is the share, on a logarithmic scale, of
    what it takes to drop a backbone.
    """
    shown = standings[:MOST_ROWS]
    low = min((each.low for each in shown), default=0.0)
    high = max((each.high for each in shown), default=1.0)
    values, states = [_value_text(each) for each in shown], [_state_text(each) for each in shown]
    names = max([LEAST_NAME, *(len(each.name) for each in shown)])
    fixed = sum(
        max(map(len, (title, *texts))) + 1
        for title, texts in zip(TITLES[2:], (values, states), strict=True)
    )
    cells = min(BAR_CELLS, width - fixed - min(names, width // 3) - 1)
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_header=bool(shown),
        header_style="bright_black",
    )
    for number, title in enumerate(TITLES):
        table.add_column(title, overflow="fold", no_wrap=number > 0)
    for each, value, state in zip(shown, values, states, strict=True):
        style = "bright_black" if each.is_dropped else ""
        bar = interval_bar(each, low, high, cells) if cells >= LEAST_BAR else ""
        table.add_row(
            Text(each.name, style),
            Text(bar, style or "cyan"),
            Text(value, style),
            Text(state, style),
        )
    if len(standings) > MOST_ROWS:
        hidden = standings[MOST_ROWS:]
        dropped = sum(each.is_dropped for each in hidden)
        which = "all" if dropped == len(hidden) else f"{dropped:,}"
        table.add_row(f"and {len(hidden):,} more", "", f"{which} dropped")
    return table


def interval_bar(standing: RaceStanding, low: float, high: float, cells: int) -> str:
    """Return the interval and its mean on a scale from `low` to `high`, as wide as `cells`."""
    span = max(high - low, 1e-12)

    def cell(value: float) -> int:
        return min(cells - 1, max(0, int((value - low) / span * cells)))

    first, mean, last = (cell(value) for value in (standing.low, standing.mean, standing.high))
    return "".join(
        "█" if at == mean else "━" if first <= at <= last else " " for at in range(cells)
    )


def standings_line(standings: Sequence[RaceStanding]) -> str:
    """Return the best backbones that are left, and the one that is nearest to being dropped."""
    left = [each for each in standings if not each.is_dropped]
    names = ", ".join(f"{each.name} {_value_text(each)}" for each in left[:MOST_NAMES])
    text = f"best so far: {names}"
    nearest = max(left, key=lambda each: each.progress, default=None)
    if nearest is not None and nearest.progress > 0 and len(left) > 1:
        text += (
            f"; nearest to being dropped: {nearest.name}, with {100 * nearest.progress:.0f} % of "
            "the evidence it takes"
        )
    return text


def saved_images(standings: Sequence[RaceStanding], full: int) -> int:
    """Return the images × backbones that need not be embedded, of `full` for each backbone."""
    return sum(full - each.images for each in standings if each.is_dropped)


def saved_seconds(
    standings: Sequence[RaceStanding], full: int, seconds_per_image: Mapping[str, float]
) -> float:
    """Return the time that was saved, by the backbones whose speed has been measured."""
    dropped = [each for each in standings if each.is_dropped]
    return _rest_seconds(dropped, full, seconds_per_image)


def seconds_left(
    standings: Sequence[RaceStanding], full: int, seconds_per_image: Mapping[str, float]
) -> float:
    """Return the time to embed all images, if no other backbone is dropped."""
    racing = [each for each in standings if not each.is_dropped]
    return _rest_seconds(racing, full, seconds_per_image)


def _rest_seconds(
    standings: Sequence[RaceStanding], full: int, seconds_per_image: Mapping[str, float]
) -> float:
    return sum((full - each.images) * seconds_per_image.get(each.name, 0.0) for each in standings)


def _value_text(standing: RaceStanding) -> str:
    limits = f"[{100 * standing.low:.1f}–{100 * standing.high:.1f}]"
    return f"{100 * standing.mean:.1f} % {limits}"


def _state_text(standing: RaceStanding) -> str:
    """Return where it was dropped, or how much of the evidence that takes there is."""
    if standing.is_dropped:
        return f"dropped at {standing.images:,}"
    return f"{100 * standing.progress:.0f} %"
