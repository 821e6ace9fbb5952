"""Figures for papers: which exist, that their bytes are reproducible, and hostile names."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bob.leaderboards import make_board
from bob.leaderboards.published import read_published
from bob.leaderboards.render.figure_panels import shift_panels, shot_panels
from bob.leaderboards.render.figures import figures, plain_text, quality_cost, write_figures
from bob.records.record import Record, Score
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task

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


def texts(figure: Figure) -> str:
    """Return the title of a figure and those of its panels."""
    title = figure.get_suptitle()
    return "\n".join([title, *(axes.get_title() for axes in figure.axes)])


def few_shot_records() -> list[Record]:
    """Two datasets and heads: accuracies 0.1 and 0.3 for ridge, 0.5 and 0.7 for centroid."""
    on = task("fewshot", metrics=("label_efficiency", "few_shot_top1"))
    return [
        record(
            "a",
            task=on,
            dataset=dataset(name),
            scores=(
                score("label_efficiency", 0.5),
                *(
                    score(
                        f"few_shot_top1_{head}_{shots}shot",
                        value + added,
                        facets={"head": head, "shots": shots},
                        half_width=width,
                    )
                    for head, value in (("ridge", 0.1), ("centroid", 0.5))
                    for shots in (1, 5)
                ),
            ),
        )
        for name, added, width in (("elpv", 0.0, 0.03), ("textiles", 0.2, 0.04))
    ]


def test_heads_have_panels_of_their_own() -> None:
    """The mean over two datasets of ± 3 and ± 4 points is ± sqrt(3² + 4²) / 2 = 2.5."""
    panels = {panel.title: panel for panel in shot_panels(make_board(few_shot_records()))}
    assert list(panels) == ["fewshot: head centroid", "fewshot: head ridge"]
    for title, value in (("fewshot: head ridge", 0.2), ("fewshot: head centroid", 0.6)):
        assert panels[title].datasets == ("elpv", "textiles")
        assert list(panels[title].curves["a"]) == [1, 5]
        point = panels[title].curves["a"][5]
        assert point == pytest.approx((value, value - 0.025, value + 0.025))
    text = texts(figures(make_board(few_shot_records()))["few_shot"])
    assert "Few-shot accuracy\nmean over elpv, textiles; bars: 95 % intervals" in text


def test_unlike_datasets_are_not_averaged() -> None:
    """A dataset without 5 shots, and one that a backbone lacks."""
    first, second = few_shot_records()
    shorter = second.model_copy(update={"scores": second.scores[::2]})
    other = first.model_copy(update={"backbone_name": "b", "key": "b-first"})
    for records in ([first, shorter], [first, second, other]):
        titles = [panel.title for panel in shot_panels(make_board(records))]
        assert titles == [
            f"fewshot: head {head}, {name}"
            for head in ("centroid", "ridge")
            for name in ("elpv", "textiles")
        ]


def test_shifts_have_a_panel_for_each_dataset_and_no_lines() -> None:
    scores = (
        score("top1", 0.8),
        *(score(f"top1_{name}", 0.5, facets={"shift": name}) for name in ("poly", "test")),
        score("top1_poly_test", 0.6, facets={"shift": "test", "classes_of": "poly"}),
    )
    records = [record("a", scores=scores, dataset=dataset(name)) for name in ("elpv", "photos")]
    board = make_board(records)
    panels = shift_panels(board)
    assert [panel.title for panel in panels] == ["linear: elpv", "linear: photos"]
    assert list(panels[0].curves["a"]) == ["test", "poly"]
    figure = figures(board)["shifts"]
    for axes in figure.axes:
        assert all(line.get_linestyle() == "None" for line in axes.lines if len(line.get_xdata()))
        assert len(axes.containers) == 1  # the error bars of one backbone


def test_titles_name_datasets_and_intervals() -> None:
    few = figures(make_board([one for one in sweep("a", "b") if one.dataset_name in ("d0", "d1")]))
    assert texts(few["quality_params"]).strip() == (
        "Quality against parameters\n"
        "2 backbones × 2 settings on d0, d1; bars: 95 % intervals over test images"
    )
    assert "on 7 datasets" in texts(figures(make_board(sweep("a", "b")))["heatmap"])


def test_a_power_law_is_drawn_through_six_sizes_and_predicts_the_largest() -> None:
    """Errors 2 x^-0.5 + 0.1 of 16 to 512 M parameters; of five sizes nothing is drawn."""
    records = [
        record(f"b{m}", 0.9 - 2 * m**-0.5, backbone=facts(f"b{m}", params=m * 1_000_000))
        for m in (16, 32, 64, 128, 256, 512)
    ]
    drawn = figures(make_board(records))
    assert {name for name in drawn if "scaling" in name} == {"scaling_params"}
    title = texts(drawn["scaling_params"])
    assert "error falls as x to the power -0.50" in title
    assert "the largest, left out: 81.2 % predicted, 81.2 % measured" in title
    (line,) = drawn["scaling_params"].axes[0].lines
    assert np.asarray(line.get_ydata())[[0, -1]] == pytest.approx([40.0, 81.16], abs=0.01)
    assert "scaling_params" not in figures(make_board(records[1:]))


def test_quality_has_the_interval_of_the_mean() -> None:
    """Seven datasets of ± 2 points: sqrt(7) * 2 / 7 = 0.76 points on each side."""
    figure = quality_cost(make_board(sweep("a", "b")), "params")
    assert figure is not None
    (bars,) = figure.axes[0].containers
    segments = bars[2][0].get_segments()
    heights = [segment[1, 1] - segment[0, 1] for segment in segments]
    assert heights == pytest.approx([2 * 2 / 7**0.5] * 2)


@pytest.mark.parametrize("name", ["quality_params", "scaling_params"])
def test_no_legend_covers_an_interval(name: str) -> None:
    """Of six families, at whose points and intervals there is no free corner."""
    families = ("supervised", "ssl", "clip", "domain", "precomputed", "supervised")
    records = [
        record(
            f"b{b}",
            0.5 + 0.08 * b * (-1) ** b,
            backbone=facts(f"b{b}", family, params=10**b + 1),
            scores=(score("top1", 0.5 + 0.08 * b * (-1) ** b, half_width=0.45),),
        )
        for b, family in enumerate(families)
    ]
    figure = figures(make_board(records))[name]
    figure.draw_without_rendering()
    (legend,), (axes,) = figure.legends, figure.axes
    below, labels = legend.get_window_extent(), axes.get_tightbbox()
    assert axes.get_legend() is None and labels is not None
    assert below.y0 >= 0 and below.y1 <= labels.y0
    assert below.x0 >= 0 and below.x1 <= figure.bbox.x1


def test_better_is_blue_in_a_heat_map_where_lower_values_are_better() -> None:
    """z-scores of two values are ± 1 / √2."""
    calibration = task("calibration", metrics=("log_loss",))
    records = [
        made
        for name, top1, loss in (("better", 0.9, 0.1), ("worse", 0.8, 0.2))
        for made in (record(name, top1), record(name, loss, task=calibration))
    ]
    axes = figures(make_board(records))["heatmap"].axes[0]
    (image,) = axes.get_images()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["better", "worse"]
    assert np.asarray(image.get_array()) == pytest.approx(np.array([[1, 1], [-1, -1]]) / 2**0.5)


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
