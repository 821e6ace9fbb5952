"""Which should I use?: the recommended backbone within limits."""

from playwright.sync_api import expect

from tests.builders.leaderboard_pages import paired_results, two_tasks
from tests.builders.leaderboard_records import facts, record, task
from tests.leaderboards.page.conftest import Opener


def test_advice_names_tied_backbones_and_the_smallest_of_them(show: Opener) -> None:
    records, per_example = paired_results()
    advice = show(records, per_example=per_example).text("#advice")
    assert "Use best" in advice
    assert "Statistically tied with it: copy." in advice
    assert "The smallest of them is copy: 2.5× fewer parameters." in advice


def test_advice_names_the_fastest_of_those_tied(show: Opener) -> None:
    """It has three times the 130.9 images/s of the best, and as many parameters."""
    records, per_example = paired_results()
    fast = [
        one.model_copy(
            update={
                "backbone": facts(one.backbone_name),
                "cost": one.cost.model_copy(update={"images_per_s": 392.7}),
            }
        )
        if one.cost and one.backbone_name == "copy"
        else one.model_copy(update={"backbone": facts(one.backbone_name)})
        for one in records
    ]
    advice = show(fast, per_example=per_example).text("#advice")
    assert "The fastest of them is copy: 3.0× the speed." in advice
    assert "smallest" not in advice


def test_advice_follows_limits_and_states_their_cost(show: Opener) -> None:
    records, per_example = paired_results()
    page = show(records, per_example=per_example).page
    advice = page.locator("#advice")
    page.fill("#want-params", "3")
    expect(advice).to_contain_text("Use copy (2 M parameters, 1280 features, 131 images/s on cpu).")
    # From `below`, by the covariance over images.
    assert (
        "It is significantly better than every other backbone within the limits."
        in advice.inner_text()
    )
    assert "Cost of the limits: 0.0 points of top1 compared with best" in advice.inner_text()
    assert "not statistically significant" in advice.inner_text()
    page.fill("#want-speed", "1000")
    expect(advice).to_have_text(
        "None of the 3 backbones with a value in all cells is known to meet these limits."
    )
    assert "wantparams=3" in page.url and "wantspeed=1000" in page.url


def test_advice_warns_of_contamination(show: Opener) -> None:
    page = show(two_tasks(), "#dataset=textiles").page
    caution = "Caution: 2 of its 2 cells use images that it was pretrained on."
    assert caution in page.locator("#advice").inner_text()
    page.locator("#filters summary").click()
    page.check("#clean")
    expect(page.locator(".winner")).to_have_text("small")


def test_advice_says_where_a_baseline_is_better(show: Opener) -> None:
    """Of three tasks, the baseline has the better accuracy in one, and the lower error in one."""
    errors = task("c", metrics=("depth_rmse",))
    records = [
        record(name, value, task=of, family=family)
        for name, family, values in (
            ("net", "ssl", (0.5, 0.9, 3.0)),
            ("other", "ssl", (0.4, 0.8, 4.0)),
            ("pixels", "baseline", (0.6, 0.8, 2.0)),
        )
        for of, value in zip((task("a"), task("b"), errors), values, strict=True)
    ]
    advice = show(records).text("#advice")
    assert "Use net" in advice
    assert "a baseline has a better score in 2 of its 3 cells: a on elpv and c on elpv." in advice
