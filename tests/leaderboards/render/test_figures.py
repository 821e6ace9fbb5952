"""Figures for papers: which exist, that their bytes are reproducible, and hostile names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bob.leaderboards import make_board
from bob.leaderboards.published import read_published
from bob.leaderboards.render.figures import figures, plain_text, quality_cost, write_figures
from bob.records.record import Record, Score
from tests.builders.leaderboard_records import dataset, facts, failed, record, score

HOSTILE = "$x_1$ & <b> \\frac{ 🦊 שלום " + "x" * 300


def sweep(*names: str) -> list[Record]:
    """Three backbones, or those named, on seven datasets."""
    backbones = {"a": (0.9, 90_000_000), "b": (0.8, 20_000_000), HOSTILE: (0.7, 50_000_000)}
    return [
        record(
            name,
            value + d / 100,
            backbone=facts(name, params=params),
            dataset=dataset(f"d{d}"),
        )
        for name, (value, params) in backbones.items()
        if name in (names or backbones)
        for d in range(7)
    ]


def few_shot_scores(*shots: int) -> list[Score]:
    return [
        score(f"few_shot_top1_ridge_{n}shot", 0.1 * n, facets={"head": "ridge", "shots": n})
        for n in shots
    ]


def test_figures_of_a_sweep() -> None:
    assert set(figures(make_board(sweep()))) == {
        "quality_params",
        "quality_gflops",
        "quality_width",
        "quality_weights_mib",
        "quality_images_per_s",
        "heatmap",
        "places",
    }


def test_figures_of_few_shot_and_shift_scores() -> None:
    scores = (
        score("top1", 0.8),
        *few_shot_scores(1, 5),
        *(score(f"top1_{name}", 0.5, facets={"shift": name}) for name in ("poly", "test")),
        score("drop_poly", 0.3, facets={"shift": "poly"}),
    )
    assert set(figures(make_board([record("a", scores=scores)]))) == {"few_shot", "shifts"}


def test_the_heat_map_leaves_out_a_backbone_with_a_failed_cell() -> None:
    records = [*sweep("a", "b"), failed("c", dataset=dataset("d0"))]
    heatmap = figures(make_board(records))["heatmap"]
    names = [label.get_text() for label in heatmap.axes[0].get_yticklabels()]
    assert names == ["a", "b"]


def test_there_are_no_figures_without_data() -> None:
    assert figures(make_board([])) == {}
    assert figures(make_board([record("a")])) == {}


def test_files_are_reproducible(tmp_path: Path) -> None:
    board = make_board(sweep("a", "b"))
    paths = write_figures(board, tmp_path / "a")
    write_figures(board, tmp_path / "b")
    assert len(paths) == 14
    for path in paths:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    with Image.open(tmp_path / "a" / "places.png") as image:
        assert image.size[0] > 600


def test_logarithmic_axes_have_plain_numbers() -> None:
    """No powers of ten; the few-shot axis names the measured numbers of shots."""
    scores = (score("top1", 0.8), *few_shot_scores(1, 2, 5))
    few_shot = figures(make_board([record("a", scores=scores)]))["few_shot"]
    quality_params = figures(make_board(sweep("a", "b")))["quality_params"]
    for figure in (quality_params, few_shot):
        figure.draw_without_rendering()
        axes = figure.axes[0]
        low, high = axes.get_xlim()
        ticks = [
            label.get_text()
            for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if low <= place <= high
        ]
        assert len(ticks) >= 3, ticks
        assert all(float(tick) > 0 for tick in ticks), ticks
    assert ticks == ["1", "2", "5"]


def test_a_heat_map_of_two_backbones_has_room_for_its_labels() -> None:
    """Every row is at least as high as a line of text, and no label leaves the page."""
    figure = figures(make_board(sweep("a", "b")))["heatmap"]
    figure.draw_without_rendering()
    axes, bar = figure.axes
    row_height = axes.get_window_extent().height / len(axes.get_yticks())
    assert row_height > axes.get_yticklabels()[0].get_window_extent().height
    for label in (*axes.get_xticklabels(), bar.yaxis.label):
        box = label.get_window_extent()
        assert box.y0 >= 0, label.get_text()
        assert box.y1 <= figure.bbox.height, label.get_text()
        assert box.x1 <= figure.bbox.width, label.get_text()


def test_hostile_names_do_not_break_a_figure(tmp_path: Path) -> None:
    write_figures(make_board(sweep("b", HOSTILE)), tmp_path)
    assert "<b>" not in (tmp_path / "places.svg").read_text()  # names are drawn as paths
    assert plain_text(HOSTILE).startswith(r"\$x_1\$")
    assert len(plain_text("x" * 99)) == 40


def test_the_front_excludes_dominated_backbones() -> None:
    """The third backbone has 50 M parameters and is worse than the one with 20 M."""
    figure = quality_cost(make_board(sweep()), "params")
    assert figure is not None
    (line,) = figure.axes[0].get_lines()
    assert np.asarray(line.get_xdata()).tolist() == [20, 90]
    assert np.asarray(line.get_ydata()) == pytest.approx([83, 93])


def test_figures_of_a_published_table() -> None:
    header = "m," + ",".join(f"d{d}" for d in range(6))
    table = f"{header}\na{',0.5' * 6}\nb{',0.4' * 6}\n"
    board = make_board(read_published(table, "t.csv")[0])
    assert set(figures(board)) == {"heatmap", "places"}
