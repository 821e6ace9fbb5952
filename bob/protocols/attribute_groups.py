"""Accuracy by groups, the pairs of an attribute's value and a class, of any classifier's answers.

`with_groups` adds it to every result that states its answers (`Result.answers`).
Attributes are those that the dataset's entry names (`group_by`), else all with 2 to 20 values that
differ within a class: the columns of your table.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bob.datasets.dataset import Dataset, Split
from bob.metrics.groups import gap_by_chance, group_gap
from bob.numerics.arrays import Ints
from bob.outcomes import GroupResults
from bob.protocols.paired_groups import paired_parts
from bob.protocols.protocol import Answers, Result, ResultPart
from bob.specs import PairedGroups

LEAST_IMAGES = 30
"""Fewest test images of a group that counts, where a task does not state another number."""
MOST_VALUES = 20
"""Most values of an attribute that is compared without being named."""
OVER_GROUPS = ("worst_group_top1", "group_gap", "group_ratio", "adjusted_top1", "recall_gap")
MOST_LISTED = 60
"""Most groups of an attribute whose accuracies are scores of their own, and most small groups that
are listed."""


def compared_attributes(dataset: Dataset, split: Split) -> tuple[str, ...]:
    """Return the attributes of a split by which accuracy is compared."""
    if dataset.group_by is not None:
        return tuple(name for name in dataset.group_by if name in split.attributes)
    return tuple(
        name
        for name in split.attributes
        if name != dataset.target
        and 2 <= len(set(split.attributes[name])) <= MOST_VALUES
        and _varies_within_a_class(split, name)
    )


def _varies_within_a_class(split: Split, name: str) -> bool:
    pairs = set(zip(split.y.tolist(), split.attributes[name], strict=True))
    return len(pairs) > len(set(split.y.tolist()))


def with_groups(result: Result, dataset: Dataset, positions: Callable[[str], Ints]) -> Result:
    """Return the result with accuracies by groups of its answers.

    `positions` gives the readable images (n,) of the test split or of a shift, by name. What is
    said of the groups, by set of answers and attribute, is `groups` of the detail.
    """
    parts: list[ResultPart] = []
    described: dict[str, dict[str, Any]] = {}
    for suffix, answers in result.answers.items():
        for groups in _groups_of(answers, dataset, positions(answers.images)):
            parts += groups.parts(LEAST_IMAGES, suffix)
            of_answers = described.setdefault(suffix or answers.images, {})
            of_answers[groups.attribute] = groups.described(LEAST_IMAGES)
    if not parts:
        return result
    detail = {**result.detail, "groups": described}
    return dataclasses.replace(result, parts=(*result.parts, *parts), detail=detail)


def _groups_of(answers: Answers, dataset: Dataset, positions: Ints) -> "Iterator[AttributeGroups]":
    """Yield the groups by each attribute with at least two values among the answered images."""
    shift = dataset.shifts.get(answers.images)
    images = dataset.splits["test"] if shift is None else shift.split
    names = compared_attributes(dataset, images)
    split = images.take(positions if answers.rows is None else positions[answers.rows])
    for name in names:
        groups = groups_by(name, split, answers, dataset.classes, dataset.paired)
        if len(groups.values) >= 2:
            yield groups


def groups_by(
    attribute: str,
    split: Split,
    answers: Answers,
    classes: Sequence[str],
    paired: PairedGroups | None = None,
) -> "AttributeGroups":
    """Return the groups of the answered images, `split`, by one attribute.

    `paired` says which values are easy and hard, where it is of this attribute.
    """
    of_image = split.attributes[attribute]
    values = sorted(set(of_image))
    index = {value: i for i, value in enumerate(values)}
    value = np.array([index[v] for v in of_image], np.int64)
    results = GroupResults(answers.right, split.y, value)
    of_attribute = paired if paired and paired.attribute == attribute else None
    return AttributeGroups(attribute, values, classes, answers.images, results, of_attribute)


@dataclass(frozen=True, eq=False)
class AttributeGroups:
    """The answers for test images by the values of one attribute and by class."""

    attribute: str
    values: Sequence[str]
    classes: Sequence[str]
    images: str
    """Name of the test images: `test`, or a shift."""
    results: GroupResults
    paired: PairedGroups | None = None
    """Which values are easy and hard; None where that is not declared."""

    def comparison(self, least: int, suffix: str) -> ResultPart:
        """Return the metrics over groups of at least `least` images."""
        results, reason = self._large(least), None
        if len(np.unique(results.group)) < 2:
            reason = f"fewer than two groups by {self.attribute} have {least} test images"
        outcome = None if reason else results
        return ResultPart(outcome, suffix, OVER_GROUPS, self._facets, undefined=reason)

    def parts(self, least: int, prefix: str) -> Iterator[ResultPart]:
        """Yield the metrics over groups, and the accuracy of every group where these are few."""
        name = f"{prefix}_{self.attribute}" if prefix else self.attribute
        yield self.comparison(least, name)
        if self.paired is not None:
            sides = np.array([self.paired.side(value) for value in self.values], np.int64)
            yield from paired_parts(self.results, sides, least, name, self._facets)
        large = self._large(least)
        numbers = np.unique(large.group)
        for number in numbers.tolist() if len(numbers) <= MOST_LISTED else ():
            of_group = large.take(np.flatnonzero(large.group == number))
            value, label = self._label(of_group, 0)
            facets = {**self._facets, "value": value, "class": label}
            yield ResultPart(of_group, f"{name}={value}×{label}", ("group_top1",), facets)

    def described(self, least: int) -> dict[str, Any]:
        """Return the worst group, the gap by chance, and the groups that are small, as JSON."""
        everything, large = self.results, self._large(least)
        groups, first, count = np.unique(everything.group, return_index=True, return_counts=True)
        small = {
            " × ".join(self._label(everything, int(i))): int(n)
            for i, n in zip(first, count, strict=True)
            if n < least
        }
        listed = dict(list(small.items())[:MOST_LISTED])
        described: dict[str, Any] = {"small_groups": listed, "small_groups_count": len(small)}
        if (count >= least).sum() >= 2:
            right = np.bincount(everything.group, weights=everything.right)[groups]
            worst = int(np.argmin(np.where(count >= least, right / count, np.inf)))
            described |= {
                "worst_group": list(self._label(everything, int(first[worst]))),
                "worst_group_images": int(count[worst]),
                "gap": group_gap(large),
                "gap_by_chance": gap_by_chance(large),
            }
        return described

    @property
    def _facets(self) -> dict[str, str | int | float]:
        """Return the attribute, and which images where they are not in distribution."""
        of_set = {} if self.images == "test" else {"set": self.images}
        return {**of_set, "attribute": self.attribute}

    def _large(self, least: int) -> GroupResults:
        """Return the answers for the images of groups with at least `least` images."""
        group = self.results.group
        return self.results.take(np.flatnonzero(np.bincount(group)[group] >= least))

    def _label(self, results: GroupResults, row: int) -> tuple[str, str]:
        """Return the value and the class of one image."""
        return self.values[results.value[row]], self.classes[results.y[row]]
