"""Two rows of the table that are picked are compared above it."""

from tests.builders.leaderboard_pages import (
    OpenPage,
    paired_results,
    two_tasks,
    two_tasks_values,
)
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
    # large is right on 65 of 650 images more: 10 points; p = 2 / 2^65
    assert rows(opened) == [
        "knn on elpv +10.0 large is better 80.0 70.0",
        "knn on textiles +10.0 large is better 80.0 70.0",
        "linear on elpv +10.0 large is better 90.0 80.0",
        "linear on textiles +10.0 large is better 90.0 80.0",
    ]
    text = opened.text("#comparison")
    assert "Of 4 cells, large is significantly better in 4 and small in 0; tied in 0." in text
    assert "Mean difference: +10.0 points." in text


def test_a_third_pick_replaces_the_first_and_the_link_holds_both(show: Opener) -> None:
    records, per_example = paired_results()
    opened = show(records, "#view=table", per_example=per_example)
    pick(opened, "best", "copy", "below")
    heads = opened.page.locator("#comparison th").all_inner_texts()
    assert heads[3:] == ["copy", "below"]
    assert rows(opened) == ["linear on elpv +2.0 copy is better 90.0 88.0"]
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
