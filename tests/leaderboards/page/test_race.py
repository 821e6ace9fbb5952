"""The view of races: how many images each backbone was embedded with until it was dropped."""

from itertools import pairwise

import pytest

from tests.builders.leaderboard_pages import raced, two_tasks
from tests.leaderboards.page.conftest import Opener


def test_bars_end_where_backbones_were_dropped(show: Opener) -> None:
    """Of 1,000 images x 4 backbones, 750 + 875 are not embedded, and 2 x 100 twice: 1,425."""
    page = show(raced(), "#view=race").page
    labels = [point.get_attribute("aria-label") for point in page.locator("#view .point").all()]
    assert labels == [
        "better, run in full: 90.0",
        "good, run in full: 80.0",
        "fair, dropped at 250 images, 60.0 on 100 scored images, better: 90.0",
        "poor, dropped at 125 images, 25.0 on 100 scored images, better: 75.0",
    ]
    lengths = [
        float(line.get_attribute("x2") or 0) - float(line.get_attribute("x1") or 0)
        for line in page.locator("#view .point .change").all()
    ]
    assert [round(length / lengths[0], 3) for length in lengths] == [1, 1, 0.25, 0.125]
    note = page.locator("#view .hint").first.inner_text()
    assert "2 of 4 backbones dropped; 1,425 images × backbones not embedded, of 4,000" in note
    assert "(35.6 %)" in note


def test_a_race_that_costs_more_than_it_saves_says_so(show: Opener) -> None:
    """750 + 875 images are not embedded, and 2 x 900 are embedded twice: 175 more than 4,000."""
    note = show(raced(900), "#view=race").page.locator("#view .hint").first.inner_text()
    assert "175 images × backbones more embedded than 4,000 without a race (4.4 %)" in note


@pytest.mark.parametrize("width", [390, 1280])
def test_every_line_has_its_name_at_its_end_or_a_number_with_a_key(
    show: Opener, width: int
) -> None:
    page = show(raced(), "#view=race", viewport={"width": width, "height": 800}).page
    texts = page.locator("#view svg.chart").nth(1).locator("text.label").all_text_contents()
    key = page.locator("#view .point-key li").all_inner_texts()
    numbers = [text for text in texts if text.isdecimal()]
    assert sorted(entry.split()[0] for entry in key) == sorted(numbers)
    names = {*texts, *(entry.split()[-1] for entry in key)} - {*numbers}
    assert names == {"better", "fair", "poor"}


def test_lines_show_means_with_limits_until_backbones_were_dropped(show: Opener) -> None:
    """The winner's looks are those that it had as the rival of the one that was dropped last."""
    page = show(raced(), "#view=race").page
    lines = page.locator("#view .series").all()
    assert [line.get_attribute("aria-label") for line in lines] == [
        "better, 90.0 [70.0\u201395.0] at 250 images, run in full",
        "fair, 60.0 [55.0\u201365.0] at 250 images, dropped there",
        "poor, 25.0 [20.0\u201330.0] at 125 images, dropped there",
    ]
    assert [line.locator(".cross").count() for line in lines] == [0, 1, 1]
    for line in lines:
        first, last = line.locator(".whisker").all()
        lengths = [
            abs(float(each.get_attribute("y1") or 0) - float(each.get_attribute("y2") or 0))
            for each in (first, last)
        ]
        assert lengths[1] < lengths[0]


def test_numbers_of_images_lie_apart_on_a_phone(show: Opener) -> None:
    page = show(raced(), "#view=race", viewport={"width": 390, "height": 800}).page
    for chart in page.locator("#view svg.chart").all():
        labels = chart.locator("text.tick[text-anchor=middle]").all()
        boxes = [box for label in labels if (box := label.bounding_box())]
        ticks = sorted((box["x"], box["x"] + box["width"]) for box in boxes)
        assert len(ticks) >= 2
        assert all(end + 4 < start for (_, end), (start, _) in pairwise(ticks))


def test_a_bar_opens_the_backbone(show: Opener) -> None:
    page = show(raced(), "#view=race").page
    page.locator("#view .point").nth(2).press("Enter")
    assert page.locator("#card-name").inner_text() == "fair"


def test_a_page_without_races_has_no_such_view(show: Opener) -> None:
    page = show(two_tasks()).page
    assert page.locator("#tab-race").count() == 0


def test_where_filters_hide_what_was_dropped_a_sentence_says_so(show: Opener) -> None:
    page = show(raced(), "#view=race&q=good").page
    assert page.locator("#view .point").count() == 0
    assert "No backbone shown was dropped" in page.locator("#view").inner_text()
