"""The scatter plot of quality against cost."""

import pytest

from tests.builders.leaderboard_pages import two_tasks
from tests.builders.leaderboard_records import failed, score, task
from tests.leaderboards.page.conftest import Opener

LARGE = "#plot .point[aria-label^=large] .shape"


def test_scatter_draws_complete_backbones_and_their_front(show: Opener) -> None:
    opened = show(two_tasks(), "#view=cost")
    assert opened.page.locator("#plot .point").count() == 3
    assert "Not drawn, without a value in every cell or of unknown cost: 1." in opened.text(
        "#plot-note"
    )
    # small is cheaper, large is better; the baseline is not on the front.
    assert opened.page.locator("#plot .on-front").count() == 2
    assert "90 M parameters\non the Pareto front" in opened.tip(LARGE)
    opened.page.select_option("#cost", "speed")
    assert "131 images/s" in opened.tip(LARGE)


def test_scatter_of_one_cell_draws_intervals_and_opens_cards(show: Opener) -> None:
    opened = show(two_tasks(), "#view=cost&task=linear&dataset=elpv")
    assert opened.page.locator("#plot .whisker").count() == 4
    opened.page.locator("#plot .point").first.focus()
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("#card").is_visible()


@pytest.mark.parametrize("gap", [False, True], ids=["complete", "with a failed cell"])
def test_single_backbone_is_drawn_by_its_mean_score(show: Opener, gap: bool) -> None:
    """A single backbone has no z-score: the means of 80, 80, 70, 70, and of 80, 70, 70."""
    records = [one for one in two_tasks() if one.backbone_name in ("small", "pixels")]
    log_loss = task("calibrated", metrics=("log_loss",))
    records += [
        one.model_copy(
            update={
                "key": f"{one.key}-calibrated",
                "task": log_loss,
                "scores": (score("log_loss", 0.7),),
            }
        )
        for one in records[::2]
    ]
    if gap:
        first = records[0]
        records[0] = failed("small", dataset=first.dataset, backbone=first.backbone)
    opened = show(records, "#view=cost")
    assert opened.page.locator("#plot .point").count() == 2
    note = opened.text("#plot-note")
    assert "Not drawn" not in note
    assert "Not all 6 cells" in note
    score_line = opened.tip("#plot .point[aria-label^=small] .shape").split("\n")[1]
    assert score_line == ("mean score 73.3" if gap else "mean score 75.0")


def test_all_of_few_points_are_named(show: Opener) -> None:
    opened = show(two_tasks(), "#view=cost&task=linear&dataset=elpv")
    names = set(opened.page.locator("#plot .label").all_text_contents())
    assert names == {"large", "middle", "small", "pixels"}
