"""Positives and excluded items of rankings, by hand."""

import numpy as np
import pytest

from bob.numerics.search.relevance import Judged, Labelled, codes, judged


@pytest.mark.parametrize(
    ("use_groups", "positives", "excluded"), [(False, [2, 3], [0, 1]), (True, [3], [0, 1, 2])]
)
def test_copies_and_group_members_are_excluded(
    use_groups: bool, positives: list[int], excluded: list[int]
) -> None:
    """The query has content x, group g and label 7. The gallery has the query itself (0), its
    copy (1), a member of its group (2), another image of its label (3) and another label (4).
    """
    image = codes(["x"], ["x", "x", "y", "z", "w"])
    group = codes(["g"], ["g", "g", "g", "h", "h"])
    label = (np.array([7]), np.array([7, 7, 7, 7, 8]))
    masks = Labelled(label, image, group if use_groups else None).masks(np.array([0]))
    assert [np.flatnonzero(mask[0]).tolist() for mask in masks] == [positives, excluded]


def test_difficulties_of_the_revisited_sets() -> None:
    """Easy excludes hard positives and junk, hard excludes easy ones and junk, and medium has both
    as positives.
    """
    relevances = judged({"easy": [[0]], "hard": [[1, 2]], "junk": [[3]]}, gallery=6)
    masks = {
        name: [np.flatnonzero(mask[0]).tolist() for mask in relevance.masks(np.array([0]))]
        for name, relevance in relevances.items()
    }
    assert list(masks.items()) == [
        ("medium", [[0, 1, 2], [3]]),
        ("easy", [[0], [1, 2, 3]]),
        ("hard", [[1, 2], [0, 3]]),
    ]


def test_judgements_without_difficulties_are_one_relevance() -> None:
    relevances = judged({"positive": [[4], []]}, gallery=6)
    masks = relevances[""].masks(np.array([0, 1]))
    assert list(relevances) == [""]
    assert [mask.sum(1).tolist() for mask in masks] == [[1, 0], [0, 0]]


def test_an_item_cannot_be_positive_and_junk() -> None:
    with pytest.raises(
        ValueError, match="query 1: a gallery item is judged both positive and junk"
    ):
        Judged([[0], [1]], [[1], [1, 2]], 3).masks(np.array([0, 1]))
