"""How many images would tell two backbones apart."""

from dataclasses import replace

from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.pairwise import PairedComparison
from bob.leaderboards.render.separation import (
    images_to_separate,
    separation_line,
    separation_row,
    separation_sentence,
)
from bob.leaderboards.verdicts import Relation
from bob.statistics.complementarity import Complementarity


def pair(
    only_a: int, only_b: int, relation: Relation = "tied", name: str = "d"
) -> PairedComparison:
    """Return backbones that are right on 70 of 100 examples together."""
    counts = Complementarity(70, only_a, only_b, 30 - only_a - only_b)
    a, b = (70 + only_a) / 100, (70 + only_b) / 100
    column = BoardColumn("knn", name)
    return PairedComparison(column, "top1", a, b, None, 0.2, relation, 2, counts)


def test_the_sentence_says_how_many_more_images_would_decide_a_tie() -> None:
    """11 and 5 of 100: (2.8016 / 0.06)² · (0.16 - 0.0036) = 341, that is 241 more, some 240."""
    assert images_to_separate(pair(11, 5)) == 341
    assert separation_sentence([pair(11, 5)]) == (
        "Test images that would tell them apart, if they differ as observed (power 80 %, one test "
        "at 5 %): knn/d: 240 more than the 100."
    )


def test_nothing_is_said_where_nothing_is_tied_or_nothing_differs() -> None:
    assert images_to_separate(pair(7, 7)) is None
    assert separation_sentence([pair(7, 7), pair(12, 6, "better")]) == ""


def test_three_settings_are_named() -> None:
    pairs = [pair(12, 6, name=f"d{i}") for i in range(5)]
    text = separation_sentence(pairs)
    assert "knn/d2" in text and "knn/d3" not in text and text.endswith("; --json has 2 more.")


def test_a_plan_names_the_images_of_every_setting() -> None:
    """341 in all as above; 20 and 2 of 100 take (2.8016 / 0.18)² · (0.22 - 0.0324) = 45.4."""
    alone = "knn/d: of 100 test images 11 are right with A alone, 5 with B alone"
    assert separation_line(pair(11, 5)) == f"{alone}: 340 would tell them apart, 240 more."
    assert separation_line(pair(20, 2, "better")).endswith("46 are enough, and no more are needed.")
    assert separation_line(pair(7, 7)).endswith(
        "as many, so that no number of images tells them apart."
    )
    unanswered = replace(pair(1, 2), complementarity=None)
    assert separation_line(unanswered) == (
        "knn/d: not computed, since top1 is no share of right images."
    )
    rows = [separation_row(each) for each in (pair(11, 5), pair(20, 2), pair(7, 7), unanswered)]
    assert [row["images_needed"] for row in rows] == [341, 46, None, None]
    assert [row["more_images"] for row in rows] == [241, 0, None, None]
    assert (rows[0]["only_a"], rows[0]["images"], rows[3]["images"]) == (11, 100, None)
