"""Scores under distribution shift."""

import numpy as np

from bob.statistics.effective_robustness import effective_robustness
from tests.builders.leaderboard_pages import IN_DISTRIBUTION_TOP1, SHIFTED_TOP1, varied_tasks
from tests.leaderboards.page.conftest import Opener


def test_shift_states_both_scores_and_effective_robustness(show: Opener) -> None:
    page = show(varied_tasks(), "#view=shifts").page
    robustness = effective_robustness(np.array(IN_DISTRIBUTION_TOP1), np.array(SHIFTED_TOP1))
    assert robustness is not None
    points = f"{100 * robustness.residual[4]:+.1f}".replace("-", "−")
    assert page.locator(".dumbbell").first.get_attribute("aria-label") == (
        "e, in distribution 70.0, shifted 55.0, change −15.0 points, "
        f"effective robustness {points} points"
    )


def test_scores_without_a_reference_are_not_offered(show: Opener) -> None:
    page = show(varied_tasks(), "#view=shifts").page
    # The score drop_poly has no counterpart in distribution.
    assert page.locator("#shift option").all_inner_texts() == ["ood: top1, poly"]
