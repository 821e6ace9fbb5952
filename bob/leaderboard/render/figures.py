"""figures/*.svg and *.png for papers: quality against cost, heat map, places with their intervals, few-shot curves, drops under shift.

One function per figure; each gives None where the records hold nothing for it. Colours are Okabe & Ito's, told apart by colour-blind readers;
families have markers of their own as well. The same board gives the same bytes.
"""

import io
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bob.io.files import write_whole
from bob.leaderboard.board import Board
from bob.leaderboard.cells import facts_by_backbone, mean
from bob.leaderboard.costs import COSTS, cost_of
from bob.leaderboard.ranking import Standing
from bob.leaderboard.render.ranking_table import pool_text
from bob.records.record import Record
from bob.statistics.pareto import pareto_front

STYLE = {
    "supervised": ("#0072B2", "o"),
    "ssl": ("#D55E00", "s"),
    "clip": ("#009E73", "^"),
    "domain": ("#CC79A7", "D"),
    "given": ("#E69F00", "X"),
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
SHOWN = 60
"""Rows of a heat map or place plot at most, best first; more cannot be read on a page."""
CURVES = len(COLOURS)
"""Backbones in a plot of curves, best first."""


def write_figures(board: Board, folder: Path) -> list[Path]:
    """Every figure for which the board has data, as SVG and PNG."""
    written = []
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from"
        )  # emoji in a name: a box is drawn
        for name, figure in figures(board).items():
            for kind in ("svg", "png"):
                written.append(folder / f"{name}.{kind}")
                write_whole(written[-1], _bytes(figure, kind))
    return written


def figures(board: Board) -> dict[str, Figure]:
    """By file name."""
    made: dict[str, Figure | None] = {
        f"quality_{cost}": quality_cost(board, cost) for cost in COSTS
    }
    made |= {
        "heatmap": heatmap(board),
        "places": places(board),
        "few_shot": few_shot(board),
        "shifts": shifts(board),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def quality_cost(board: Board, cost: str) -> Figure | None:
    """Mean value (mean z where scales differ) against one cost, with the Pareto front."""
    facts, ranking = facts_by_backbone(board.kept), board.overall
    points = [
        (s, facts.get(s.backbone), cost_of(cost, s.backbone, board.kept)) for s in ranking.standings
    ]
    known = [
        (s, fact.family, value)
        for s, fact, value in points
        if fact is not None and value and _quality(s) is not None
    ]
    if len(known) < 2:
        return None
    quality, costs = (
        np.array([_quality(s) for s, _, _ in known], np.float64),
        np.array([value for _, _, value in known]),
    )
    figure, axes = _axes(6.3, 4.2)
    for family in dict.fromkeys(family for _, family, _ in known):
        inside = np.array([other == family for _, other, _ in known])
        colour, marker = STYLE[family]
        axes.scatter(
            costs[inside], quality[inside], c=colour, marker=marker, s=26, label=family, zorder=3
        )
    _draw_front(axes, quality, costs, COSTS[cost].less_is_better, [s.backbone for s, _, _ in known])
    _log_scale(axes, float(costs.max() / costs.min()))
    axes.set(
        xlabel=COSTS[cost].label,
        ylabel="mean value (%)" if known[0][0].mean_value is not None else "mean z-score",
    )
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle(pool_text(ranking), fontsize=9)
    return figure


def _quality(standing: Standing) -> float | None:
    return 100 * standing.mean_value if standing.mean_value is not None else standing.mean_z


def _draw_front(
    axes: Axes, quality: np.ndarray, costs: np.ndarray, less_is_better: bool, names: Sequence[str]
) -> None:
    """A line through what no other beats on both, with names."""
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
    """Backbones × settings, coloured by z-score within the pool; the values stand in leaderboard_wide.csv."""
    ranking = board.overall
    if len(ranking.standings) < 2:
        return None
    pooled = [record for record in board.kept if record.external == ranking.origin]
    held = {
        (record.backbone_name, record.task.name, record.dataset_name): _value(record)
        for record in pooled
    }
    names = ranking.pool[:SHOWN]
    values = np.array(
        [
            [held[name, column.task, column.dataset] for column in ranking.settings]
            for name in ranking.pool
        ],
        np.float64,
    )
    spread = np.where(np.ptp(values, axis=0) > 0, values.std(0, ddof=1), 1.0)
    z = ((values - values.mean(0)) / spread)[: len(names)]
    one_task = len({column.task for column in ranking.settings}) == 1
    labels = [
        plain_text(column.dataset if one_task else str(column)) for column in ranking.settings
    ]
    figure, axes = _axes(
        2.2 + 0.32 * len(labels), 0.9 + 0.05 * max(map(len, labels)) + max(0.17 * len(names), 0.8)
    )
    image = axes.imshow(z, cmap="RdBu", vmin=-2.5, vmax=2.5, aspect="auto")
    axes.set_yticks(range(len(names)), [plain_text(name) for name in names], fontsize=7)
    axes.set_xticks(range(len(labels)), labels, fontsize=7, rotation=60, ha="right")
    figure.colorbar(image, ax=axes, label="z-score", ticks=[-2, 0, 2])
    figure.suptitle(pool_text(ranking), fontsize=9)
    return figure


def places(board: Board) -> Figure | None:
    """Mean z-score order with the places that 95 % of resamples give; filled markers are not told apart from the first."""
    ranking = board.overall
    rows = [
        (s, s.rank_low, s.rank_high)
        for s in ranking.standings
        if s.rank_low is not None and s.rank_high is not None
    ][:SHOWN]
    if len(rows) < 2:
        return None
    figure, axes = _axes(6.3, 1.2 + 0.17 * len(rows))
    for y, (standing, low, high) in enumerate(rows):
        tied = standing.tie_group == 1
        axes.plot(
            [low, high], [y, y], color="#0072B2" if tied else "#888888", lw=2, solid_capstyle="butt"
        )
        axes.plot(
            y + 1,
            y,
            "o",
            color="#0072B2" if tied else "#888888",
            fillstyle="full" if tied else "none",
            ms=5,
        )
    axes.set_yticks(
        range(len(rows)), [plain_text(standing.backbone) for standing, _, _ in rows], fontsize=7
    )
    axes.invert_yaxis()
    resampled = "datasets" if ranking.basis == "none" else ranking.basis
    axes.set_xlabel(f"place, and 95 % of it over resampled {resampled}")
    figure.suptitle(f"{pool_text(ranking)}; blue: not told apart from the first", fontsize=9)
    return figure


def few_shot(board: Board) -> Figure | None:
    """Accuracy against shots per class, mean over datasets and heads, best backbones first."""
    return _curves(board, "shots", "few_shot_top1", "examples per class", _log_ticks_at_points)


def shifts(board: Board) -> Figure | None:
    """Accuracy in distribution (`test`) and on each shifted set, best backbones first."""
    return _curves(
        board, "shift", "top1", "test set", lambda axes: axes.tick_params(axis="x", rotation=30)
    )


def _curves(
    board: Board, facet: str, metric: str, label: str, finish: Callable[[Axes], None]
) -> Figure | None:
    """One line per backbone over the values of a facet."""
    held: dict[str, dict[str | int | float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in board.kept:
        for score in record.scores if record.family != "baseline" else ():
            shown = (
                score.metric.startswith(metric)
                and facet in score.facets
                and "classes_of" not in score.facets
            )
            if shown and score.value is not None:
                held[record.backbone_name][score.facets[facet]].append(100 * score.value)
    if not held:
        return None
    order = sorted(held, key=lambda name: -fmean(fmean(values) for values in held[name].values()))[
        :CURVES
    ]
    figure, axes = _axes(6.3, 4.2)
    for name, colour in zip(order, COLOURS, strict=False):
        xs = sorted(
            held[name], key=lambda x: (isinstance(x, str), x != "test", x)
        )  # the familiar set before the shifted ones
        axes.plot(
            xs,
            [fmean(held[name][x]) for x in xs],
            "o-",
            color=colour,
            label=plain_text(name),
            ms=4,
            lw=1.2,
        )
    axes.set(xlabel=label, ylabel="%")
    finish(axes)
    axes.legend(frameon=False, fontsize=7)
    return figure


def _log_scale(axes: Axes, ratio: float) -> None:
    """A logarithmic x axis of plain numbers, over values up to `ratio` times the least."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if ratio > 6 else MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _log_ticks_at_points(axes: Axes) -> None:
    """A logarithmic x axis that names the values that were measured."""
    _log_scale(axes, 1.0)
    axes.set_xticks(sorted({float(x) for line in axes.lines for x in np.asarray(line.get_xdata())}))


def _value(record: Record) -> float | None:
    return mean(score.value for score in record.scores if score.metric == record.task.metrics[0])


def _axes(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.subplots()


def plain_text(text: str) -> str:
    """Text that matplotlib draws as it is: no formula, one line, 40 characters."""
    short = " ".join(text.split())
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
