"""The heat map of z-scores."""

from tests.builders import synthetic_sweep
from tests.builders.leaderboard_pages import OpenPage, two_tasks
from tests.builders.leaderboard_records import dataset, record, task
from tests.leaderboards.page.conftest import Opener


def test_arrow_keys_move_over_the_heat_map(show: Opener) -> None:
    opened = show(two_tasks(), "#view=heatmap")
    heat = opened.page.locator("#heat")
    heat.focus()
    opened.page.keyboard.press("ArrowRight")
    assert heat.get_attribute("aria-label") == (
        "large, knn on textiles, top1 80.0 [78.0–82.0], n = 650, rank 1 of 2, z-score 0.71, "
        "contaminated: pretrained on this dataset"
    )
    assert opened.status == "4 backbones × 4 cells"


def test_pointer_over_a_row_shows_its_tooltip(show: Opener) -> None:
    opened = show(two_tasks(), "#view=heatmap")
    opened.page.locator("#heat").hover(position={"x": 200, "y": 44})
    assert "large" in opened.text("#tip")


def record_texts(opened: OpenPage) -> None:
    """Collect in `texts` what is drawn on canvases from now on."""
    opened.page.evaluate(
        """() => {
            window.texts = [];
            const { prototype } = CanvasRenderingContext2D;
            const { fillText } = prototype;
            prototype.fillText = function (...words) {
                window.texts.push(words[0]);
                return fillText.apply(this, words);
            };
        }"""
    )


def test_task_names_are_never_cut(show: Opener) -> None:
    """On a phone, six tasks on eight datasets leave 38 px for the name of a task."""
    opened = show(synthetic_sweep.records(3, 8), "#view=heatmap")
    record_texts(opened)
    opened.page.set_viewport_size({"width": 390, "height": 800})
    opened.page.wait_for_function("window.texts.length > 0")
    drawn = set(opened.page.evaluate("window.texts"))
    assert {"fewshot", "knn", "linear", "ood", "ood_detection", "retrieval"} <= drawn


def test_names_that_differ_at_their_ends_differ_on_a_phone(show: Opener) -> None:
    names = [f"efficientnet_lite{i}_in1k" for i in range(3)]
    records = [
        record(name, 0.7 + 0.1 * i, task=task("knn"), dataset=dataset(where))
        for i, name in enumerate(names)
        for where in ("d1", "d2")
    ]
    opened = show(records, "#view=heatmap")
    record_texts(opened)
    opened.page.set_viewport_size({"width": 390, "height": 800})
    opened.page.wait_for_function("texts.filter((text) => text.endsWith('_in1k')).length >= 3")
    texts = opened.page.evaluate("texts")
    assert len({text for text in texts if text.endswith("_in1k") and "…" in text}) == 3


def test_wide_cells_show_their_values(show: Opener) -> None:
    opened = show(two_tasks(), "#view=heatmap")
    assert "Numbers are scores." in opened.text("#heat-note")
    width = opened.page.locator("#heat").evaluate("canvas => canvas.clientWidth")
    assert width == 190 + 4 * 110  # names, and four cells of the largest width
