"""Figures for papers: which there are, that they are the same bytes each time, and that no name breaks them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bob.leaderboard import make_board
from bob.leaderboard.published import published
from bob.leaderboard.render.figures import figures, plain_text, quality_cost, write_figures
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, facts, record, score

HOSTILE = "$x_1$ & <b> \\frac{ 🦊 שלום " + "x" * 300


def sweep() -> list[Record]:
    """Three backbones on seven datasets."""
    held = {"a": (0.9, 90e6), "b": (0.8, 20e6), HOSTILE: (0.7, 50e6)}
    return [
        record(
            name,
            value + d / 100,
            backbone=facts(name, params=int(params)),
            dataset=dataset(f"d{d}"),
        )
        for name, (value, params) in held.items()
        for d in range(7)
    ]


def test_which_figures_there_are() -> None:
    assert set(figures(make_board(sweep()))) == {
        "quality_params",
        "quality_gflops",
        "quality_width",
        "quality_weights_mib",
        "quality_images_per_s",
        "heatmap",
        "places",
    }
    assert figures(make_board([])) == {} and figures(make_board([record("a")])) == {}
    few_shot = [
        score(
            f"few_shot_top1_ridge_{shots}shot",
            0.1 * shots,
            facets={"head": "ridge", "shots": shots},
        )
        for shots in (1, 5)
    ]
    shifted = [score(f"top1_{name}", 0.5, facets={"shift": name}) for name in ("poly", "test")]
    scores = (
        score("top1", 0.8),
        *few_shot,
        *shifted,
        score("drop_poly", 0.3, facets={"shift": "poly"}),
    )
    assert set(figures(make_board([record("a", scores=scores)]))) == {"few_shot", "shifts"}


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    board = make_board(sweep()[:14])
    paths = write_figures(board, tmp_path / "a")
    write_figures(board, tmp_path / "b")
    assert len(paths) == 14 and all(
        path.read_bytes() == (tmp_path / "b" / path.name).read_bytes() for path in paths
    )
    with Image.open(tmp_path / "a" / "places.png") as image:
        assert image.size[0] > 600


def test_axes_name_plain_numbers_and_a_small_heat_map_holds_its_labels() -> None:
    """No powers of ten; the shots that were measured; every row of two backbones is as high as a line, and no label leaves the page."""
    shots = [
        score(f"few_shot_top1_ridge_{n}shot", 0.1 * n, facets={"head": "ridge", "shots": n})
        for n in (1, 2, 5)
    ]
    drawn = figures(make_board(sweep()[:14]))
    drawn["few_shot"] = figures(make_board([record("a", scores=(score("top1", 0.8), *shots))]))[
        "few_shot"
    ]
    for name in ("quality_params", "few_shot"):
        drawn[name].draw_without_rendering()
        axes = drawn[name].axes[0]
        low, high = axes.get_xlim()
        ticks = [
            label.get_text()
            for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if low <= place <= high
        ]
        assert len(ticks) >= 3 and all(float(tick) > 0 for tick in ticks), ticks
        assert name != "few_shot" or ticks == ["1", "2", "5"]
    heat = drawn["heatmap"]
    heat.draw_without_rendering()
    axes, bar = heat.axes
    assert (
        axes.get_window_extent().height / len(axes.get_yticks())
        > axes.get_yticklabels()[0].get_window_extent().height
    )
    for label in (*axes.get_xticklabels(), bar.yaxis.label):
        box = label.get_window_extent()
        assert box.y0 >= 0 and box.y1 <= heat.bbox.height and box.x1 <= heat.bbox.width, (
            label.get_text()
        )


def test_no_name_breaks_a_figure(tmp_path: Path) -> None:
    write_figures(make_board(sweep()[7:]), tmp_path)
    assert "<b>" not in (tmp_path / "places.svg").read_text()  # text is drawn, not written
    assert plain_text(HOSTILE).startswith(r"\$x_1\$") and len(plain_text("x" * 99)) == 40


def test_the_front_is_drawn_through_what_nothing_beats() -> None:
    figure = quality_cost(make_board(sweep()), "params")
    assert figure is not None
    (line,) = figure.axes[0].get_lines()
    assert np.asarray(line.get_xdata()).tolist() == [
        20,
        90,
    ]  # 50 M parameters for less than 20 M give: not on it
    assert np.asarray(line.get_ydata()) == pytest.approx([83, 93])


def test_a_published_table_alone(tmp_path: Path) -> None:
    rows = (
        "m," + ",".join(f"d{d}" for d in range(6)) + "\na" + ",0.5" * 6 + "\nb" + ",0.4" * 6 + "\n"
    )
    assert set(figures(make_board(published(rows, "t.csv")[0]))) == {"heatmap", "places"}
