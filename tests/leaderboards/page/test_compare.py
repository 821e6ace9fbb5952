"""Two rows of the table that are picked are compared above it."""

import numpy as np
import pytest

from bob.statistics.paired_tests import compare_paired
from tests.builders.leaderboard_pages import (
    OpenPage,
    paired_results,
    two_tasks,
    two_tasks_values,
)
from tests.builders.leaderboard_records import record
from tests.leaderboards.page.conftest import Opener


def pick(opened: OpenPage, *names: str) -> None:
    for name in names:
        opened.page.get_by_label(f"Compare {name}", exact=True).check()


def rows(opened: OpenPage) -> list[str]:
    texts = opened.page.locator("#comparison tbody tr").all_inner_texts()
    return [" ".join(text.split()) for text in texts]


def test_two_picked_rows_show_scores_differences_and_verdicts(show: Opener) -> None:
    opened = show(two_tasks(), "#view=table", per_example=two_tasks_values)
    pick(opened, "large")
    assert "Pick a second backbone to compare with large." in opened.text("#comparison")
    pick(opened, "small")
    # large is right on 65 of 650 images more: 10 points; p = 2 / 2^65. It is right on 585 images,
    # small on the first 520 of them, so that both are right on 520 and neither on 65.
    limits = compare_paired(*(np.repeat([1.0, 0.0], [k, 650 - k]) for k in (585, 520)))
    interval = f"[+{100 * limits.low:.1f}, +{100 * limits.high:.1f}]"
    counts = "520 65 0 65"
    assert rows(opened) == [
        f"knn on elpv +10.0 {interval} large is better 80.0 70.0 {counts}",
        f"knn on textiles +10.0 {interval} large is better 80.0 70.0 {counts}",
        f"linear on elpv +10.0 {interval} large is better 90.0 80.0 {counts}",
        f"linear on textiles +10.0 {interval} large is better 90.0 80.0 {counts}",
    ]
    heads = opened.page.locator("#comparison th").all_inner_texts()
    assert heads[5:] == ["Both right", "Only large", "Only small", "Neither"]
    text = opened.text("#comparison")
    assert "Of 4 cells, large is significantly better in 4 and small in 0; tied in 0." in text
    assert "Mean difference: +10.0 points." in text


def test_a_third_pick_replaces_the_first_and_the_link_holds_both(show: Opener) -> None:
    records, per_example = paired_results()
    opened = show(records, "#view=table", per_example=per_example)
    pick(opened, "best", "copy", "below")
    heads = opened.page.locator("#comparison th").all_inner_texts()
    assert heads[3:5] == ["copy", "below"]
    (row,) = rows(opened)
    assert row.startswith("linear on elpv +2.0 [") and "copy is better 90.0 88.0" in row
    assert row.endswith("] copy is better 90.0 88.0 880 20 0 100")
    link = "#" + opened.page.url.partition("#")[2]
    again = show(records, link, per_example=per_example)
    assert rows(again) == rows(opened)
    again.page.get_by_role("button", name="Close").click()
    assert again.text("#comparison") == ""
    assert again.page.locator(".tick:checked").count() == 0


def test_without_per_image_results_nothing_is_tested(show: Opener) -> None:
    opened = show(two_tasks(), "#view=table")
    pick(opened, "large", "middle")
    assert "not tested" in rows(opened)[0]  # middle failed on knn/textiles
    assert len(rows(opened)) == 3
    assert "has no per-image results" in opened.text("#comparison")


def test_the_order_of_picks_turns_difference_interval_and_counts(show: Opener) -> None:
    """copy minus below is +2.0 [low, high] with 20 images more; below minus copy is the reverse."""
    records, per_example = paired_results()
    opened = show(records, "#view=table", per_example=per_example)
    pick(opened, "below", "copy")
    limits = compare_paired(*(np.repeat([1.0, 0.0], [k, 1000 - k]) for k in (880, 900)))
    interval = f"[−{-100 * limits.low:.1f}, −{-100 * limits.high:.1f}]"
    assert rows(opened) == [f"linear on elpv −2.0 {interval} copy is better 88.0 90.0 880 0 20 100"]


def test_a_baseline_is_tested_against_a_backbone(show: Opener) -> None:
    """pixels is right on 325 of the 520 images of small, and outside the pool of the verdicts."""
    opened = show(two_tasks(), "#view=table&task=linear&dataset=elpv", per_example=two_tasks_values)
    pick(opened, "small", "pixels")
    (row,) = rows(opened)
    assert "small is better" in row and row.endswith("325 195 0 130")


@pytest.mark.parametrize("swapped", [False, True], ids=["same order", "other order"])
def test_pages_of_images_are_linked_where_they_were_written(show: Opener, swapped: bool) -> None:
    records, per_example = paired_results()
    keys = [record.key[:16] for record in records[:2]]
    pages = [f"images/{'_'.join(keys[::-1] if swapped else keys)}.html", f"images/{keys[0]}.html"]
    opened = show(records, "#view=table", per_example=per_example, images=pages)
    pick(opened, "best", "copy")
    assert opened.page.locator("#comparison a").get_attribute("href") == pages[0]
    pick(opened, "below")
    assert opened.page.locator("#comparison a").count() == 0
    opened.page.locator("#board .name", has_text="best").click()
    opened.page.locator("#card summary", has_text="more").click()
    assert opened.page.locator("#card a.images").get_attribute("href") == pages[1]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_comparison_has_its_heads_and_on_a_wide_screen_all_columns(
    show: Opener, width: int
) -> None:
    """Names of 23 and 21 letters stand over the columns, also in `Only ...`."""
    names = ("efficientnet_lite1_in1k", "resnet50thin_opennsfw")
    values = {
        names[0]: np.repeat([1.0, 0.0], [585, 65]),
        names[1]: np.repeat([1.0, 0.0], [520, 130]),
    }
    records = [record(name, of_name.mean()) for name, of_name in values.items()]
    opened = show(
        records,
        "#view=table",
        per_example=lambda of: values[of.backbone_name],
        viewport={"width": width, "height": 800},
    )
    pick(opened, *names)
    table = opened.page.locator("#comparison table")
    assert table.locator("thead").is_visible()
    overflow = table.evaluate("it => it.parentElement.scrollWidth - it.parentElement.clientWidth")
    assert overflow <= 0 or width < 640
    heads = table.locator("thead th")
    assert heads.nth(6).inner_text() == f"Only {names[0]}"
    assert heads.first.evaluate("it => getComputedStyle(it.parentElement).display") == "table-row"
