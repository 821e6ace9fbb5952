"""Figures for papers, as SVG and PNG.

They are quality against cost, a power law of the error, a heat map, rank intervals, few-shot
curves, and accuracy under shift. Each has one function, which returns None if the records have no
data for it. The colours are those of Okabe & Ito, which colour-blind readers can distinguish, and
each family has its own marker. The same board gives the same bytes.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bob.io.files import write_atomically
from bob.io.text import visible
from bob.leaderboards.board import Board
from bob.leaderboards.cells import facts_by_backbone
from bob.leaderboards.costs import COSTS, cost_of
from bob.leaderboards.ranking import Ranking, Standing
from bob.leaderboards.render.figure_panels import (
    Curve,
    CurvePanel,
    best_of,
    shift_panels,
    shot_panels,
)
from bob.leaderboards.render.ranking_table import pool_text
from bob.leaderboards.speeds import Speeds, speeds
from bob.records.record import BackboneFacts
from bob.statistics.pareto import pareto_front
from bob.statistics.scaling import scaling_fit

STYLE = {
    "supervised": ("#0072B2", "o"),
    "ssl": ("#D55E00", "s"),
    "clip": ("#009E73", "^"),
    "domain": ("#CC79A7", "D"),
    "precomputed": ("#E69F00", "X"),
    "external": ("#000000", "P"),
}
"""Family → colour and marker."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "bob-bench",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
SCALES: dict[str, tuple[str, Callable[[BackboneFacts], float | None]]] = {
    "params": ("parameters (M)", lambda facts: facts.params and facts.params / 1e6),
    "gflops": ("GFLOPs per image", lambda facts: facts.gflops),
    "pretraining_images": (
        "pretraining images (M)",
        lambda facts: (
            facts.pretraining.images / 1e6
            if facts.pretraining and facts.pretraining.images
            else None
        ),
    ),
}
"""Sizes against which a power law of the error is fitted: label of the axis, and a function of the
facts of a backbone."""
MAX_ROWS = 60
"""Most rows in a heat map or a plot of ranks, best first; more are not legible on a page."""
MAX_CURVES = len(COLOURS)
"""Most backbones in a plot of curves, best first."""
ROUND = (1, 2, 5, 10)
"""Steps between ticks of a linear axis, times powers of ten."""
MAX_PANELS = 12
PANEL_COLUMNS = 3
MAX_NAMED = 6
"""Most datasets that a title names."""


def write_figures(board: Board, folder: Path) -> list[Path]:
    """Write every figure for which the board has data, as SVG and PNG, and return the paths."""
    written = []
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # an emoji in a name is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # a name of 40 wide characters leaves no room for its axes
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        for name, figure in figures(board).items():
            for kind in ("svg", "png"):
                written.append(folder / f"{name}.{kind}")
                write_atomically(written[-1], _bytes(figure, kind))
    return written


def figures(board: Board) -> dict[str, Figure]:
    """Return every figure for which the board has data, by file name."""
    candidates: dict[str, Figure | None] = {
        f"quality_{cost}": quality_cost(board, cost) for cost in COSTS
    }
    candidates |= {f"scaling_{name}": scaling(board, name) for name in SCALES}
    candidates |= {
        "heatmap": heatmap(board),
        "places": rank_intervals(board),
        "few_shot": few_shot(board),
        "shifts": shifts(board),
    }
    return {name: figure for name, figure in candidates.items() if figure is not None}


@dataclass(frozen=True)
class CostPoint:
    """A ranked backbone whose cost is known."""

    name: str
    family: str
    quality: float
    """Mean value in percent, or mean z-score."""
    cost: float
    reach: tuple[float, float]
    """Distances of the lower and the upper interval limit from the quality."""


def quality_cost(board: Board, cost: str) -> Figure | None:
    """Plot mean value, or mean z-score if scales differ, against one cost, with Pareto front.

    The bars are 95 % intervals: of the mean value over test images, of the mean z-score over what
    the ranking resamples.
    """
    ranking, measured = board.overall, speeds(board.records)
    points = _cost_points(board, cost, measured)
    if len(points) < 2:
        return None
    y = np.array([point.quality for point in points], np.float64)
    costs = np.array([point.cost for point in points], np.float64)
    reach = [point.reach for point in points]
    figure, axes = _axes(6.3, 4.2)
    _scatter_families(axes, costs, y, [point.family for point in points], area=26, zorder=3)
    axes.errorbar(costs, y, yerr=np.array(reach).T, fmt="none", ecolor="#bbbbbb", lw=1, zorder=1)
    _draw_front(axes, y, costs, COSTS[cost].less_is_better, [point.name for point in points])
    _log_scale(axes, float(costs.max() / costs.min()))
    in_percent = ranking.standings[0].mean_value is not None
    label = COSTS[cost].label
    if cost == "images_per_s" and measured.reference is not None:
        label += f" on {measured.reference.text()}"
    axes.set(xlabel=label, ylabel="mean value (%)" if in_percent else "mean z-score")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    _legend(figure, axes)
    bars = ""
    if any(low or high for low, high in reach):
        bars = "; bars: 95 % intervals over "
        bars += "test images" if in_percent else f"resampled {ranking.basis}"
    title = f"Quality against {COSTS[cost].label.partition(' (')[0]}"
    _set_title(figure, title, f"{_scope_text(ranking)}{bars}")
    return figure


def _cost_points(board: Board, cost: str, measured: Speeds) -> list[CostPoint]:
    """Return the ranked backbones with a quality and a cost, best first."""
    facts = facts_by_backbone(board.records)
    points = []
    for standing in board.overall.standings:
        name, quality = standing.backbone, _quality(standing)
        fact, value = facts.get(name), cost_of(cost, name, board.records, measured)
        if fact is not None and value and quality is not None:
            reach = _limits_reach(standing, quality)
            points.append(CostPoint(name, fact.family, quality, value, reach))
    return points


def _scatter_families(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    families: Sequence[str],
    area: float | None = None,
    zorder: float | None = None,
) -> None:
    """Plot points (N,) in the colour and with the marker of their families."""
    for family in dict.fromkeys(families):
        inside = np.array([other == family for other in families])
        colour, marker = STYLE[family]
        axes.scatter(
            x[inside], y[inside], area, c=colour, marker=marker, label=family, zorder=zorder
        )


def scaling(board: Board, name: str) -> Figure | None:
    """Plot the mean value against one of SCALES, with a power law of the error.

    None for fewer than six ranked backbones of known size, and for values that are not shares.
    """
    facts, ranking = facts_by_backbone(board.records), board.overall
    families: list[str] = []
    points: list[tuple[float, float]] = []
    for standing in ranking.standings:
        fact = facts.get(standing.backbone)
        size = None if fact is None else SCALES[name][1](fact)
        if fact is not None and size and standing.mean_value is not None:
            families.append(fact.family)
            points.append((size, 1 - standing.mean_value))
    x, error = np.array(points, np.float64).reshape(-1, 2).T
    fit = scaling_fit(x, error)
    if fit is None:
        return None
    figure, axes = _axes(6.3, 4.2)
    _scatter_families(axes, x, 100 * (1 - error), families)
    along = np.geomspace(x.min(), x.max(), 100)
    axes.plot(along, 100 * (1 - fit.law(along)), color="#888888", lw=1)
    _log_scale(axes, float(x.max() / x.min()))
    axes.set(xlabel=SCALES[name][0], ylabel="mean value (%)")
    _legend(figure, axes)
    largest, predicted = (100 * (1 - of) for of in (fit.largest, fit.largest_predicted))
    law = (
        f"error falls as x to the power -{fit.law.exponent:.2f}, 95 % over backbones "
        f"{fit.exponent_low:.2f} to {fit.exponent_high:.2f}".replace("--", "")
    )
    miss = f"the largest, left out: {predicted:.1f} % predicted, {largest:.1f} % measured"
    caveat = "families and data differ with size: no cause is shown"
    _set_title(figure, _scope_text(ranking), f"{law}\n{miss}; {caveat}")
    return figure


def _quality(standing: Standing) -> float | None:
    return 100 * standing.mean_value if standing.mean_value is not None else standing.mean_z


def _limits_reach(standing: Standing, quality: float) -> tuple[float, float]:
    """Return the distances of the limits below and above the quality; 0 without limits."""
    low, high = standing.z_low, standing.z_high
    if standing.mean_value is not None:
        low, high = (
            None if limit is None else 100 * limit
            for limit in (standing.value_low, standing.value_high)
        )
    if low is None or high is None:
        return 0.0, 0.0
    return max(0.0, quality - low), max(0.0, high - quality)


def _draw_front(
    axes: Axes, quality: np.ndarray, costs: np.ndarray, less_is_better: bool, names: Sequence[str]
) -> None:
    """Draw the Pareto front: a line through the points that no other beats in both, with names."""
    front = np.flatnonzero(pareto_front(quality, costs if less_is_better else -costs))
    front = front[np.argsort(costs[front], kind="stable")]
    axes.plot(costs[front], quality[front], color="#888888", lw=1, zorder=2)
    for i in front.tolist():
        axes.annotate(
            plain_text(names[i]),
            (costs[i], quality[i]),
            xytext=(4, -9),
            textcoords="offset points",
            fontsize=7,
        )


def heatmap(board: Board) -> Figure | None:
    """Plot backbones × settings, coloured by z-score within the pool; better is blue.

    The values themselves are in leaderboard_wide.csv.
    """
    ranking = board.overall
    if len(ranking.standings) < 2:
        return None
    names = ranking.pool[:MAX_ROWS]
    rows = {name: row for row, name in enumerate(ranking.data.names)}
    z = ranking.data.z[[rows[name] for name in names]]
    one_task = len({column.task for column in ranking.settings}) == 1
    labels = [
        plain_text(column.dataset if one_task else str(column)) for column in ranking.settings
    ]
    label_height = 0.05 * max(map(len, labels))
    figure, axes = _axes(2.2 + 0.32 * len(labels), 0.9 + label_height + max(0.17 * len(names), 0.8))
    image = axes.imshow(z, cmap="RdBu", vmin=-2.5, vmax=2.5, aspect="auto")
    axes.set_yticks(range(len(names)), [plain_text(name) for name in names], fontsize=7)
    axes.set_xticks(range(len(labels)), labels, fontsize=7, rotation=60, ha="right")
    figure.colorbar(image, ax=axes, label="z-score", ticks=[-2, 0, 2])
    _set_title(figure, "z-scores within the pool", _scope_text(ranking))
    return figure


def rank_intervals(board: Board) -> Figure | None:
    """Plot the order by mean z-score with the 95 % interval of each rank over resamples.

    Filled markers are statistically tied with the first.
    """
    ranking = board.overall
    rows = [
        (standing, standing.rank_low, standing.rank_high)
        for standing in ranking.standings
        if standing.rank_low is not None and standing.rank_high is not None
    ][:MAX_ROWS]
    if len(rows) < 2:
        return None
    figure, axes = _axes(6.3, 1.2 + 0.17 * len(rows))
    for y, (standing, low, high) in enumerate(rows):
        tied = standing.tie_group == 1
        colour, fill = ("#0072B2", "full") if tied else ("#888888", "none")
        axes.plot([low, high], [y, y], color=colour, lw=2, solid_capstyle="butt")
        axes.plot(y + 1, y, "o", color=colour, fillstyle=fill, ms=5)
    names = [plain_text(standing.backbone) for standing, _, _ in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"rank, with its 95 % interval over resampled {ranking.basis}")
    scope = f"{_scope_text(ranking)}; blue: statistically tied with the first"
    _set_title(figure, "Ranks by mean z-score", scope)
    return figure


def few_shot(board: Board) -> Figure | None:
    """Plot accuracy against shots per class, one panel for each head, best backbones first."""
    panels = shot_panels(board)
    figure, grid, names = _panel_grid("Few-shot accuracy", panels)
    if figure is None:
        return None
    for axes, panel in zip(grid, panels, strict=False):
        for name, colour in zip(names, COLOURS, strict=False):
            curve = panel.curves.get(name, {})
            shots = [float(shot) for shot in curve]
            axes.plot(shots, _percent(curve), "o-", color=colour, ms=4, lw=1.2)
            axes.errorbar(
                shots,
                _percent(curve),
                yerr=_reach(curve),
                fmt="none",
                ecolor=colour,
                elinewidth=0.8,
            )
        axes.set(xlabel="examples per class")
        _log_ticks_at_points(axes)
    return figure


def shifts(board: Board) -> Figure | None:
    """Plot accuracy in distribution (`test`) and on each shifted set, one panel for each dataset.

    The best backbones come first. Test sets have no order, so no line connects the points.
    """
    panels = shift_panels(board)
    figure, grid, names = _panel_grid("Accuracy in distribution (test) and under shift", panels)
    if figure is None:
        return None
    for axes, panel in zip(grid, panels, strict=False):
        places = list(dict.fromkeys(place for curve in panel.curves.values() for place in curve))
        for i, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
            curve = panel.curves.get(name, {})
            offset = 0.09 * (i - (len(names) - 1) / 2)
            axes.errorbar(
                [places.index(place) + offset for place in curve],
                _percent(curve),
                yerr=_reach(curve),
                fmt="o",
                color=colour,
                ms=4,
                elinewidth=1,
            )
        axes.set_xticks(
            range(len(places)),
            [plain_text(str(place)) for place in places],
            rotation=30,
            ha="right",
        )
    return figure


def _panel_grid(
    title: str, panels: Sequence[CurvePanel]
) -> tuple[Figure | None, list[Axes], list[str]]:
    """Return a figure with axes for each panel, and the backbones to draw; None without panels."""
    names = best_of(panels, MAX_CURVES)
    if not names:
        return None, [], []
    shown = panels[:MAX_PANELS]
    columns = min(PANEL_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(max(4.2, 2.6 * columns), 1.5 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel().tolist()
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes, panel in zip(grid, shown, strict=False):
        axes.set_title(plain_text(panel.title), fontsize=8)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    for axes in grid[: len(shown) : columns]:
        axes.set_ylabel("%")
    lines = [
        grid[0].plot([], [], "o-", color=colour, label=plain_text(name), ms=4, lw=1.2)[0]
        for name, colour in zip(names, COLOURS, strict=False)
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    sets = {panel.datasets for panel in shown}
    over = f"mean over {datasets_text(max(sets, key=len))}; " if max(map(len, sets)) > 1 else ""
    more = f"; {len(shown)} of {len(panels)} panels" if len(panels) > len(shown) else ""
    _set_title(figure, title, f"{over}bars: 95 % intervals{more}")
    return figure, grid[: len(shown)], names


def _percent(curve: Curve) -> list[float]:
    return [100 * point.value for point in curve.values()]


def _reach(curve: Curve) -> list[list[float]]:
    """Return the distances of the limits below and above each value, in percent."""
    points = list(curve.values())
    return [
        [
            100 * (point.value - (point.value if point.low is None else point.low))
            for point in points
        ],
        [
            100 * ((point.value if point.high is None else point.high) - point.value)
            for point in points
        ],
    ]


def _legend(figure: Figure, axes: Axes) -> None:
    """Draw the legend below the axes, where it covers no point and no interval."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8
    )


def _set_title(figure: Figure, title: str, scope: str) -> None:
    """Set the title, and below it the data that the figure covers."""
    figure.suptitle(f"{title}\n{scope}", fontsize=9)


def datasets_text(names: Sequence[str]) -> str:
    """Return the names of a few datasets, or the number of many."""
    if len(names) > MAX_NAMED:
        return f"{len(names)} datasets"
    return ", ".join(plain_text(name) for name in names)


def _scope_text(ranking: Ranking) -> str:
    """Return the size of the pool and the datasets: `3 backbones × 2 settings on elpv`."""
    names = sorted({column.dataset for column in ranking.settings})
    sizes, _, _ = pool_text(ranking).rpartition(" on ")
    return f"{sizes} on {datasets_text(names)}"


def _log_scale(axes: Axes, ratio: float) -> None:
    """Set a logarithmic x axis with plain numbers, for values up to `ratio` times the smallest."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if ratio > 6 else MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _log_ticks_at_points(axes: Axes) -> None:
    """Set a logarithmic x axis with ticks at the measured values."""
    _log_scale(axes, 1.0)
    axes.set_xticks(sorted({float(x) for line in axes.lines for x in np.asarray(line.get_xdata())}))


def _axes(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.subplots()


def plain_text(text: str) -> str:
    """Return text that matplotlib draws literally: no formula, one line, at most 40 characters."""
    short = visible(" ".join(text.split()))
    return (short if len(short) <= 40 else short[:39] + "…").replace("$", r"\$")


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format=kind,
        dpi=200,
        metadata={"Date": None} if kind == "svg" else {"Software": None},
    )
    return buffer.getvalue()
