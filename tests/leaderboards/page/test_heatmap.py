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
    assert opened.status == "4 backbones × 4 settings"


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


def test_scores_without_a_z_score_have_the_colour_of_an_average(show: Opener) -> None:
    """A single backbone beside baselines has none."""
    records = [
        record(name, value, task=task(kind), family=family)
        for name, value, family in (("only", 0.8, "ssl"), ("pixels", 0.5, "baseline"))
        for kind in ("knn", "linear")
    ]
    opened = show(records, "#view=heatmap")
    opened.page.evaluate(
        """() => {
            window.values = [];
            const { prototype } = CanvasRenderingContext2D;
            const { fillRect, fillText } = prototype;
            let behind;
            prototype.fillRect = function (...at) {
                behind = this.fillStyle;
                return fillRect.apply(this, at);
            };
            prototype.fillText = function (...words) {
                if (/^[0-9]/.test(words[0])) window.values.push([behind, this.fillStyle]);
                return fillText.apply(this, words);
            };
        }"""
    )
    opened.page.set_viewport_size({"width": 1000, "height": 800})
    opened.wait_until("values.length >= 4")
    heat = opened.page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--heat')"
    )
    behind = "#" + "".join(f"{int(channel):02x}" for channel in heat.split(","))
    assert opened.page.evaluate("values") == [[behind, "#000000"]] * 4


def drawn_on_a_phone(opened: OpenPage) -> set[str]:
    """The texts that the heat map draws at 390 px."""
    record_texts(opened)
    opened.page.set_viewport_size({"width": 390, "height": 800})
    opened.wait_until("texts.length")
    return set(opened.page.evaluate("texts"))


def test_task_names_are_never_cut(show: Opener) -> None:
    """On a phone, six tasks on eight datasets leave 38 px for the name of a task."""
    drawn = drawn_on_a_phone(show(synthetic_sweep.records(3, 8), "#view=heatmap"))
    assert {"fewshot", "knn", "linear", "ood", "ood_detection", "retrieval"} <= drawn


def test_names_that_differ_at_their_ends_differ_on_a_phone(show: Opener) -> None:
    names = [f"tf_efficientnetv2_lite{i}_in21k_ft_in1k" for i in range(3)]
    records = [
        record(name, 0.7 + 0.1 * i, task=task("knn"), dataset=dataset(where))
        for i, name in enumerate(names)
        for where in ("d1", "d2")
    ]
    texts = drawn_on_a_phone(show(records, "#view=heatmap"))
    assert len({text for text in texts if text.endswith("_in1k") and "…" in text}) == 3


def test_names_of_common_length_are_never_cut(show: Opener) -> None:
    """Two of 23 and 22 letters; datasets stand upright over cells of 12 px."""
    records = [
        record("efficientnet_lite0_in1k", 0.8, task=task("knn"), dataset=dataset(where))
        for where in [f"imagenet-c.contrast.{i}" for i in range(1, 18)]
    ]
    texts = drawn_on_a_phone(show(records, "#view=heatmap"))
    assert {"efficientnet_lite0_in1k", "imagenet-c.contrast.1"} <= texts
    assert not any("…" in text for text in texts)


def test_the_name_of_the_only_dataset_is_not_repeated_over_the_columns(show: Opener) -> None:
    records = [record(name, 0.8, task=task(of_task)) for name in "ab" for of_task in ("knn", "ood")]
    texts = drawn_on_a_phone(show(records, "#view=heatmap"))
    assert {"a", "b", "knn", "ood"} <= texts and "elpv" not in texts


def test_the_map_uses_its_width_and_wide_cells_have_intervals(show: Opener) -> None:
    opened = show(two_tasks(), "#view=heatmap")
    assert "Numbers are scores with 95 % intervals." in opened.text("#heat-note")
    free = opened.page.locator("#heat").evaluate(
        """canvas => {
            const style = getComputedStyle(canvas.parentElement);
            const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
            return canvas.parentElement.clientWidth - padding - canvas.clientWidth;
        }"""
    )
    assert 0 <= free < 4  # four cells, whose widths are quarters of a pixel


def test_narrow_cells_have_values_without_intervals(show: Opener) -> None:
    opened = show(two_tasks(), "#view=heatmap", viewport={"width": 560, "height": 800})
    assert "Numbers are scores. " in opened.text("#heat-note")
