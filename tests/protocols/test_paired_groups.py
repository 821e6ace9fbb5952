"""Easy and hard images of the same classes: by hand, laws, and through a classifier's answers."""

import numpy as np
import pytest

from bob.errors import ConfigError, UndefinedError
from bob.metrics.groups import adjusted_top1, paired_drop
from bob.metrics.intervals import interval
from bob.outcomes import GroupResults
from bob.protocols import Answers, Result, ResultPart
from bob.protocols.attribute_groups import with_groups
from bob.protocols.paired_groups import paired_results
from bob.specs import DatasetSpec, PairedGroups
from bob.specs.yaml import build
from tests.builders.splits import digests, make_dataset, make_split

PAIRED = PairedGroups(attribute="background", easy="common-*", hard="counter-*")


def results(groups: dict[tuple[int, int], tuple[int, int]]) -> GroupResults:
    """Return groups (class, side) with so many right of so many images."""
    right = np.concatenate([(np.arange(n) < hits) * 1.0 for hits, n in groups.values()])
    y, side = (np.repeat([g[i] for g in groups], [n for _, n in groups.values()]) for i in (0, 1))
    return GroupResults(right, y, side)


DROPS = {(0, 0): (9, 10), (0, 1): (6, 10), (1, 0): (1, 2), (1, 1): (3, 5), (2, 0): (4, 4)}
"""Drops of .3 and -.1; class 2 has easy images only."""


def test_the_drop_by_hand() -> None:
    """Classes count equally: (.3 − .1) / 2. Where hard images are easier, the drop is negative."""
    assert paired_drop(results(DROPS)) == pytest.approx(0.1)
    turned = {(c, 1 - side): group for (c, side), group in DROPS.items()}
    assert paired_drop(results(dict(sorted(turned.items())))) == pytest.approx(-0.1)
    value, low, high, _ = interval("paired_drop", results(DROPS), 0)
    assert low is not None and high is not None and -1 <= low < value < high <= 1


def test_without_pairs_there_is_no_drop() -> None:
    with pytest.raises(UndefinedError, match="no class has easy and hard images"):
        paired_drop(results({(0, 0): (1, 2), (1, 1): (1, 2)}))


def test_only_classes_with_enough_images_of_both_sides_count() -> None:
    """Values 0 and 3 are easy, 1 is hard and 2 neither."""
    values = np.array([0, 3, 1, 1, 2, 0, 1])
    outcome = GroupResults(np.ones(7), np.array([0, 0, 0, 0, 0, 1, 1]), values)
    of_pairs = paired_results(outcome, np.array([0, 1, -1, 0]), 2)
    assert of_pairs.value.tolist() == [0, 0, 1, 1] and set(of_pairs.y.tolist()) == {0}
    assert not len(paired_results(outcome, np.array([0, 1, -1, 0]), 3))


def scored(hits: int, n: int = 60) -> Result:
    """Return the parts of answers: cats on grass are right, of the n / 2 on snow so many."""
    values = ["common-grass" if i % 2 else "counter-snow" for i in range(n)]
    split = make_split(digests(n, "test"), [0] * n, attributes={"background": values})
    other = make_split(digests(2, "train"), [0, 1], attributes={"background": values[:2]})
    dataset = make_dataset(
        {"train": other, "test": split}, ("cat", "dog"), group_by=("background",), paired=PAIRED
    )
    right = np.array([i % 2 or i // 2 < hits for i in range(n)], float)
    given = Result((ResultPart(None, undefined="-"),), {}, answers={"": Answers(right)})
    return with_groups(given, dataset, lambda name: np.arange(n))


def test_every_classifier_states_the_drop_and_both_accuracies() -> None:
    result = scored(12)
    parts = {(part.suffix, part.metrics): part for part in result.parts}
    drop = parts["background", ("paired_drop",)]
    assert isinstance(drop.outcome, GroupResults)
    assert paired_drop(drop.outcome) == pytest.approx(1 - 12 / 30)
    hard = parts["background=hard", ("adjusted_top1",)]
    assert hard.facets == {"attribute": "background", "side": "hard"}
    with pytest.raises(UndefinedError, match="needs two groups"):
        adjusted_top1(hard.outcome)


def test_few_images_leave_the_drop_undefined() -> None:
    drops = [part for part in scored(3, 58).parts if part.metrics == ("paired_drop",)]
    assert [part.undefined for part in drops] == ["no class has 30 easy and 30 hard test images"]


def test_an_entry_compares_the_groups_that_it_pairs() -> None:
    entry = {
        "name": "animals",
        "source": {"reader": "table", "path": "a.csv"},
        "paired": {"attribute": "place", "easy": "a*", "hard": "b*"},
    }
    with pytest.raises(ConfigError, match=r"paired compares values of 'place', which group_by"):
        build(DatasetSpec, entry, "x")
    assert build(DatasetSpec, entry | {"group_by": ["place"]}, "x").paired is not None
