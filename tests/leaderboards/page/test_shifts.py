"""Scores under distribution shift."""

import numpy as np

from bob.records.record import Record
from bob.statistics.effective_robustness import effective_robustness
from tests.builders.leaderboard_pages import IN_DISTRIBUTION_TOP1, SHIFTED_TOP1, varied_tasks
from tests.builders.leaderboard_records import dataset, record, score, task
from tests.leaderboards.page.conftest import Opener

OOD = task("ood", metrics=("shifted_top1", "top1"))


def test_shift_states_both_scores_and_effective_robustness(show: Opener) -> None:
    page = show(varied_tasks(), "#view=shifts").page
    robustness = effective_robustness(np.array(IN_DISTRIBUTION_TOP1), np.array(SHIFTED_TOP1))
    assert robustness is not None
    points = f"{100 * robustness.residual[4]:+.1f}".replace("-", "−")
    assert page.locator(".dumbbell").first.get_attribute("aria-label") == (
        "e, in distribution 70.0, shifted 55.0 [53.0–57.0], change −15.0 points, "
        f"effective robustness {points} points"
    )


def shifted(dataset_name: str, shifts: tuple[str, ...]) -> list[Record]:
    """Return two backbones, with 10 points less on the first shift, and 20 on the next."""
    records = []
    for name, top1 in (("a", 0.6), ("b", 0.7)):
        scores = [
            score("shifted_top1", top1),
            score("top1_test", top1, facets={"shift": "test"}),
            *(
                score(f"top1_{shift}", top1 - 0.1 * (i + 1), facets={"shift": shift})
                for i, shift in enumerate(shifts)
            ),
        ]
        on = dataset(dataset_name)
        records.append(record(name, task=OOD, dataset=on, scores=tuple(scores)))
    return records


def test_an_axis_has_two_ticks_where_the_roundest_step_has_one(show: Opener) -> None:
    """Three steps from 2 to 82 percent, and margins, are steps of 50."""
    scores = tuple(
        score(name, value, facets={"shift": shift})
        for name, value, shift in (("top1_test", 0.8, "test"), ("top1_far", 0.04, "far"))
    )
    records = [
        record(name, task=OOD, scores=(score("shifted_top1", 0.04), *scores)) for name in "ab"
    ]
    page = show(records, "#view=shifts").page
    assert len(page.locator("#panel .notch + .tick").all_text_contents()) >= 2


def test_shifts_of_all_datasets_stand_side_by_side_with_intervals(show: Opener) -> None:
    opened = show([*shifted("elpv", ("poly",)), *shifted("openmoji", ("line", "dots"))])
    opened.open("shifts")
    page = opened.page
    heads = page.locator("#panel .axis.panel").all_text_contents()
    assert heads == ["elpv", "openmoji", "openmoji"]
    assert page.locator(".dumbbell .whisker").count() == page.locator(".dumbbell").count() == 6
    assert page.locator(".dumbbell").first.get_attribute("aria-label") == (
        "b, in distribution 70.0, shifted 60.0 [58.0–62.0], change −10.0 points"
    )
    # all panels have one axis
    ticks = page.locator("#panel .notch + .tick").all_text_contents()
    assert len(ticks) % 3 == 0 and ticks[: len(ticks) // 3] * 3 == ticks
    page.select_option("#shift", label="ood: top1, line")
    assert page.locator(".dumbbell").count() == 2
    page.select_option("#shift", "all")
    assert page.locator(".dumbbell").count() == 6
    opened.page.set_viewport_size({"width": 360, "height": 700})
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_of_a_single_dataset_the_panels_are_named_after_their_shifts(show: Opener) -> None:
    page = show(shifted("openmoji", ("line", "dots")), "#view=shifts").page
    assert page.locator("#panel .axis.panel").all_text_contents() == ["line", "dots"]


def test_scores_without_a_reference_are_not_offered(show: Opener) -> None:
    page = show(varied_tasks(), "#view=shifts").page
    # The score drop_poly has no counterpart in distribution.
    assert page.locator("#shift option").all_inner_texts() == ["ood: top1, poly"]
