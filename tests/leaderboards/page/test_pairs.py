"""All pairs of backbones: what two of them get right together, and how alike their features are."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from bob.leaderboards.similarities import similarity_matrices
from bob.records.record import Record
from tests.builders.leaderboard_pages import OpenPage
from tests.builders.leaderboard_records import dataset, record, task
from tests.builders.similarities import similar_pair, similarities
from tests.leaderboards.page.conftest import Opener

# Of alpha and beta, both are right on 4 images, alpha alone on 2, beta alone on 2, neither on 2;
# of alpha and gamma 0, 6, 3 and 1; of beta and gamma 2, 4, 1 and 3.
RIGHT = {
    "alpha": [1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
    "beta": [1, 1, 1, 1, 0, 0, 1, 1, 0, 0],
    "gamma": [0, 0, 0, 0, 0, 0, 1, 1, 1, 0],
}
THREE = similarities(
    similar_pair("alpha", "gamma", 0.9),
    similar_pair("alpha", "beta", 0.2),
    similar_pair("beta", "gamma", None),
)


def values(record: Record) -> np.ndarray:
    return np.array(RIGHT[record.backbone_name], float)


def records(tasks: Sequence[str] = ("linear",)) -> list[Record]:
    return [
        record(name, sum(right) / 10, task=task(of_task))
        for name, right in RIGHT.items()
        for of_task in tasks
    ]


def cells(opened: OpenPage, which: int = 0) -> list[list[str]]:
    """Return the texts of a matrix, by row."""
    rows = opened.page.locator(".matrix").nth(which).locator("tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def label(opened: OpenPage, start: str) -> str:
    """Return the label of the only cell whose label begins with a text."""
    text = opened.page.locator(f'.pair[aria-label^="{start}"]').get_attribute("aria-label")
    assert text is not None
    return text


def limits(count: int, n: int) -> str:
    """Return Wilson's limits of a share of images, in percent, as scipy has them."""
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return f"[{100 * low:.1f} to {100 * high:.1f}]"


def kappa(a: str, b: str) -> str:
    return f"{cohen_kappa_score(RIGHT[a], RIGHT[b]):.2f}".replace("-", "−")


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        # (2 + 2) / 10, (6 + 3) / 10, (4 + 1) / 10
        ("only", [["", "40.0", "90.0"], ["40.0", "", "50.0"], ["90.0", "50.0", ""]]),
        # min(2, 2) / 10, min(6, 3) / 10, min(4, 1) / 10
        ("oracle", [["", "20.0", "30.0"], ["20.0", "", "10.0"], ["30.0", "10.0", ""]]),
        # of the 4 errors of alpha, 2 and 3; of the 4 of beta, 2 and 1; of the 7 of gamma, 6 and 4
        ("rescue", [["", "50.0", "75.0"], ["50.0", "", "25.0"], ["85.7", "57.1", ""]]),
        (
            "kappa",
            [[kappa(a, b) if a != b else "" for b in RIGHT] for a in RIGHT],
        ),
    ],
)
def test_a_matrix_has_a_measure_of_every_pair(
    show: Opener, measure: str, expected: list[list[str]]
) -> None:
    opened = show(records(), f"#view=pairs&measure={measure}", per_example=values)
    assert cells(opened) == [[name, *row] for name, row in zip(RIGHT, expected, strict=True)]
    assert opened.status == "3 pairs"


def test_a_measure_is_picked_and_cells_say_their_counts(show: Opener) -> None:
    opened = show(records(), "#view=pairs", per_example=values)
    counts = "both right 0, only alpha 6, only gamma 3, neither 1"
    only = f"alpha and gamma: Only one right 90.0 % {limits(9, 10)}"
    assert label(opened, "alpha and gamma") == f"{only}, {counts}"
    assert "Strongest colour: 90.0 %" in opened.text("#view")
    opened.page.locator("#measure").select_option("Oracle gain")
    oracle = f"alpha and gamma: Oracle gain 30.0 % {limits(3, 10)}"
    assert label(opened, "alpha and gamma") == f"{oracle}, {counts}"
    assert "measure=oracle" in opened.page.url
    assert opened.tip('.pair[aria-label^="beta and alpha"]').splitlines()[:2] == [
        f"beta and alpha: Oracle gain 20.0 % {limits(2, 10)}",
        "both right 4",
    ]


def test_a_cell_opens_the_comparison_of_the_two_on_its_test(show: Opener) -> None:
    opened = show(records(("knn", "linear")), "#view=pairs", per_example=values)
    opened.page.locator("#cell").select_option("linear on elpv")
    opened.page.locator('.pair[aria-label^="beta and gamma"]').click()
    (row,) = opened.page.locator("#comparison tbody tr").all_inner_texts()
    assert row.startswith("linear on elpv") and row.split()[-4:] == ["2", "4", "1", "3"]
    assert opened.page.evaluate("document.activeElement.id") == "panel"
    chosen = [opened.text(f"#{name} option:checked") for name in ("task", "dataset")]
    assert chosen == ["linear", "elpv"]


def test_the_matrix_is_one_tab_stop_and_arrow_keys_move_in_it(show: Opener) -> None:
    """From (alpha, beta) down over the diagonal to (gamma, beta), and not beyond the edge."""
    opened = show(records(), "#view=pairs", per_example=values)
    stops = opened.page.locator(".pair[tabindex='0']")
    stops.focus()
    for key, focused in (
        ("ArrowDown", "gamma and beta"),
        ("ArrowDown", "gamma and beta"),
        ("ArrowLeft", "gamma and alpha"),
        ("ArrowUp", "beta and alpha"),
        ("ArrowRight", "beta and gamma"),
    ):
        opened.page.keyboard.press(key)
        text = opened.page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert text.startswith(f"{focused}: ")
        assert text.split(",")[0] == opened.text("#tip").splitlines()[0]
    assert stops.count() == 1
    opened.page.keyboard.press("Enter")
    heads = opened.page.locator("#comparison th").all_inner_texts()
    assert heads[3:5] == ["beta", "gamma"]


def test_baselines_are_last_and_filters_hide_rows(show: Opener) -> None:
    baseline = record("alpha", 0.6, family="baseline")
    opened = show([baseline, *records()[1:]], "#view=pairs", per_example=values)
    assert [row[0] for row in cells(opened)] == ["beta", "gamma", "alpha"]
    opened.page.fill("#search", "beta")
    assert opened.page.locator(".matrix").count() == 0
    assert "No pair is shown." in opened.text("#view")


def test_without_counts_or_similarities_there_is_no_view(show: Opener) -> None:
    """Retrieval scores are no zeros and ones."""
    for per_example in ({}, {"per_example": lambda record: 0.5 * values(record)}):
        assert show(records(), **per_example).page.locator("#tab-pairs").count() == 0


def test_names_of_many_backbones_stay_different_and_the_first_60_are_shown(show: Opener) -> None:
    """Each is right on one image more than the one before; names of 30 letters are shortened."""
    names = [f"a_long_name_of_some_vit{i:02}_in1k" for i in range(61)]
    right = {name: (np.arange(100) < 20 + i).astype(float) for i, name in enumerate(names)}
    opened = show(
        [record(name, of_name.mean()) for name, of_name in right.items()],
        "#view=pairs",
        per_example=lambda record: right[record.backbone_name],
    )
    heads = opened.page.locator(".matrix tbody th").all_inner_texts()
    assert len(set(heads)) == len(heads) == 60
    assert "The first 60 are shown" in opened.text("#view")
    pair = f"{names[60]} and {names[1]}"
    # right on 80 and 21 images, the latter all among the former
    only = f"{pair}: Only one right 59.0 % {limits(59, 100)}"
    assert label(opened, pair).startswith(f"{only}, both right 21")


def test_similar_features_are_beside_each_other(show: Opener) -> None:
    matrices, _ = similarity_matrices([THREE], records())
    opened = show(records(), "#view=pairs", per_example=values, similar=matrices)
    rows = cells(opened, 1)
    order = [row[0] for row in rows]
    assert order in (["beta", "alpha", "gamma"], ["gamma", "alpha", "beta"])
    by_pair = {(a, b): rows[i][1 + j] for i, a in enumerate(order) for j, b in enumerate(order)}
    assert [by_pair["alpha", name] for name in ("alpha", "beta", "gamma")] == ["", "0.20", "0.90"]
    assert by_pair["beta", "gamma"] == "–"
    text = "gamma and alpha: Debiased linear CKA 0.90 [0.80 to 1.00], 650 images"
    assert opened.page.get_by_label(text, exact=True).count() == 1
    opened.page.locator("#alike").select_option("Shared neighbours")
    text = "gamma and alpha: Shared neighbours 0.50 [0.40 to 0.60], 650 images"
    opened.page.get_by_label(text, exact=True).click()
    assert opened.page.locator("#comparison th").all_inner_texts()[3:5] == ["gamma", "alpha"]


def test_similar_backbones_are_compared_on_the_dataset_of_the_images(show: Opener) -> None:
    on_both = [*records(), *[record(name, 0.5, dataset=dataset("photos")) for name in RIGHT]]
    matrices, _ = similarity_matrices([THREE], on_both)
    opened = show(on_both, "#view=pairs", similar=matrices)
    opened.page.locator('.pair[aria-label^="alpha and gamma"]').click()
    (row,) = opened.page.locator("#comparison tbody tr").all_inner_texts()
    assert row.startswith("linear on elpv")


def test_similarities_of_several_splits_are_picked_and_gaps_are_said(show: Opener) -> None:
    """alpha and gamma alone were compared on train images, and beta with alpha."""
    train = similarities(
        similar_pair("alpha", "gamma", 0.7, images=20),
        similar_pair("alpha", "beta", 0.1),
        split="train",
    )
    matrices, _ = similarity_matrices([THREE, train], records())
    opened = show(records(), "#view=pairs", similar=matrices)
    assert "per-image results that are right or wrong" in opened.text("#view")
    opened.page.locator("#alikeon").select_option("elpv, train")
    assert "20 images" in label(opened, "alpha and gamma")
    assert label(opened, "beta and gamma") == "beta and gamma: Debiased linear CKA not computed"
    assert opened.status == "3 pairs"


def lites(count: int) -> dict[str, np.ndarray]:
    """Return backbones of 23 letters or more, with the 90 images that each has right."""
    return {
        f"efficientnet_lite{i}_in1k": np.resize([1.0] * (i + 1) + [0.0], 90) for i in range(count)
    }


def test_paper_is_as_wide_as_a_matrix_with_numbers(show: Opener) -> None:
    """A4 with margins of 12 mm is 186 mm wide, 703 px; up to 14 backbones have numbers."""
    right = lites(14)
    page = show(
        [record(name, of_name.mean()) for name, of_name in right.items()],
        per_example=lambda record: right[record.backbone_name],
        viewport={"width": 703, "height": 1000},
    ).page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    matrix = page.locator("#paper .matrix")
    # Of the best two, one is wrong on every 15th of 90 images and one on every 14th: 12 / 90.
    assert matrix.locator(".pair").first.inner_text() == "13.3"
    assert matrix.evaluate("it => it.getBoundingClientRect().right <= innerWidth")


@pytest.mark.parametrize("width", [390, 1280])
def test_matrices_scroll_alone_and_keep_their_names(show: Opener, width: int) -> None:
    """Eight backbones are wider than a phone, and so is the name of their dataset."""
    right, own = lites(8), dataset("emoji_category_train-vendor-openmoji_shift-vendor-outline")
    opened = show(
        [
            record(name, of_name.mean(), task=task(kind), dataset=own)
            for name, of_name in right.items()
            for kind in ("knn", "linear")
        ],
        "#view=pairs",
        per_example=lambda record: right[record.backbone_name],
        viewport={"width": width, "height": 800},
    )
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    scroll = opened.page.locator("#view .scroll")
    assert scroll.evaluate("it => it.scrollWidth > it.clientWidth") == (width == 390)
    scroll.evaluate("it => { it.scrollLeft = 1000; }")
    left = scroll.evaluate("it => it.getBoundingClientRect().left")
    name = opened.page.locator(".matrix tbody th").first
    assert name.evaluate("it => it.getBoundingClientRect().left") == pytest.approx(left, abs=2)
