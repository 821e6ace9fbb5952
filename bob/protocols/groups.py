"""Accuracy by groups: what the average over test images hides.

The linear probe (`bob.protocols.linear`) as it is, without knowledge of any attribute ("ERM on
frozen features"; Kirichenko et al. 2023, arXiv:2204.02937, call its last layer the base), scored on
every pair of an attribute's value and a class. Attributes are those that the dataset's entry names
(`group_by`), else all with 2 to 20 values that differ within a class: the columns of your table.

Differs from SubpopBench in these points: groups of few test images are listed and do not count, and
the gap is compared with the one that the attribute has when it is shuffled within
classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.metrics.groups import gap_by_chance, group_gap
from bob.numerics.arrays import Ints
from bob.outcomes import ClassPredictions, GroupResults
from bob.protocols.caveats import Caveats
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    classification_needs,
    classification_problem,
    features_by_split,
    held_out_of,
    samples_held_out,
)
from bob.protocols.linear import LinearSettings, fit_probe
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count

MOST_VALUES = 20
"""Most values of an attribute that is compared without being named."""
OVER_GROUPS = ("worst_group_top1", "group_gap", "group_ratio", "adjusted_top1", "recall_gap")
MOST_LISTED = 60
"""Most groups of an attribute whose accuracies are scores of their own."""


class GroupsSettings(LinearSettings):
    """Settings of accuracy by groups: those of the linear probe, and a size."""

    least_images: Count
    """Fewest test images of a group that counts."""


@dataclass(frozen=True, eq=False)
class GroupsProblem:
    """A classification problem, and the attributes of its test images."""

    problem: ClassificationProblem
    attributes: Mapping[str, Sequence[str]]
    """Name → (Q,) values."""
    classes: tuple[str, ...]


class GroupAccuracy(Protocol[GroupsSettings, GroupsProblem]):
    """The linear probe on every group of every attribute."""

    name = "groups"
    settings = GroupsSettings
    kinds = CLASS_KINDS
    outcomes = (GroupResults, ClassPredictions)

    def needs(self, settings: GroupsSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        needs = classification_needs(dataset, backbone)
        group_attributes(dataset)
        return needs

    def build(
        self, settings: GroupsSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> GroupsProblem:
        features = features_by_split(needs, inputs)
        problem = classification_problem(dataset, features, held_out_of(settings), seed)
        test = dataset.splits["test"].take(features["test"].positions)
        names = group_attributes(dataset)
        return GroupsProblem(
            problem, {name: test.attributes[name] for name in names}, dataset.classes
        )

    def solve(self, problem: GroupsProblem, settings: GroupsSettings, device: str) -> Result:
        from bob.numerics.linear.logistic_path import scores

        data = problem.problem
        probe = fit_probe(data, settings, device)
        predictions = ClassPredictions.from_logits_in_blocks(
            lambda rows: scores(probe.fit, data.test_x[rows]), data.test_y, data.classes
        )
        parts: list[ResultPart] = []
        detail: dict[str, Any] = {**probe.detail, "attributes": {}}
        caveats: Caveats = ()
        for name, values in problem.attributes.items():
            names = sorted(set(values))
            value = np.array([names.index(v) for v in values], np.int64)
            groups = GroupsOfAttribute(name, names, problem.classes, predictions, value)
            parts += groups.parts(settings.least_images, headline=not parts)
            described = groups.described(settings.least_images)
            detail["attributes"][name] = described
            caveats += _caveats(name, described, settings.least_images)
        return Result(tuple(parts), detail, probe.caveats + caveats)

    def uses_seed(self, settings: GroupsSettings, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


def group_attributes(dataset: Dataset) -> tuple[str, ...]:
    """Return the attributes to compare; NotApplicableError where there is none."""
    test = dataset.splits["test"]
    if dataset.group_by is not None:
        return dataset.group_by
    names = tuple(
        name
        for name in test.attributes
        if name != dataset.target
        and 2 <= len(set(test.attributes[name])) <= MOST_VALUES
        and _varies_within_a_class(test, name)
    )
    if not names:
        raise NotApplicableError(
            f"needs an attribute with 2 to {MOST_VALUES} values that differ within a class; "
            f"dataset {dataset.name!r} has none. Columns of a table are attributes; an entry names "
            "them as 'group_by'."
        )
    return names


def _varies_within_a_class(test: Split, name: str) -> bool:
    pairs = set(zip(test.y.tolist(), test.attributes[name], strict=True))
    return len(pairs) > len(set(test.y.tolist()))


@dataclass(frozen=True, eq=False)
class GroupsOfAttribute:
    """The predictions of test images by the values of one attribute and by class."""

    attribute: str
    names: Sequence[str]
    """Values of the attribute."""
    classes: Sequence[str]
    predictions: ClassPredictions
    value: Ints
    """(Q,) positions in `names`."""

    def parts(self, least: int, headline: bool) -> Iterator[ResultPart]:
        """Yield the metrics over groups, and the accuracy of every group where these are few.

        With `headline`, first those without a suffix, and the accuracy of all test images.
        """
        large, reason = self._large(least), None
        results = self._results(large)
        if len(np.unique(results.group)) < 2:
            reason = f"fewer than two groups by {self.attribute} have {least} test images"
        outcome, facets = None if reason else results, {"attribute": self.attribute}
        if headline:
            yield ResultPart(outcome, "", OVER_GROUPS, facets, undefined=reason)
            yield ResultPart(self.predictions, "all_images", ("top1",), {"group": "all"})
        yield ResultPart(
            outcome, self.attribute, OVER_GROUPS, facets, stored=True, undefined=reason
        )
        groups = self._results(np.arange(len(self.value))).group
        numbers = np.unique(groups[large])
        for group in numbers.tolist() if len(numbers) <= MOST_LISTED else ():
            rows = np.flatnonzero(groups == group)
            value, label = self._label(int(rows[0]))
            yield ResultPart(
                self.predictions.take(rows),
                f"{self.attribute}_{group}",
                ("top1",),
                {**facets, "value": value, "class": label},
            )

    def described(self, least: int) -> dict[str, Any]:
        """Return the worst group, the gap by chance, and the groups that are small, as JSON."""
        everything = self._results(np.arange(len(self.value)))
        groups, first, count = np.unique(everything.group, return_index=True, return_counts=True)
        labels = [list(self._label(int(i))) for i in first]
        small = {
            " × ".join(label): int(n) for label, n in zip(labels, count, strict=True) if n < least
        }
        described: dict[str, Any] = {"small_groups": small}
        if (count >= least).sum() >= 2:
            accuracy = [
                everything.right[everything.group == group].mean() if n >= least else np.inf
                for group, n in zip(groups, count, strict=True)
            ]
            worst = int(np.argmin(accuracy))
            results = self._results(self._large(least))
            described |= {
                "worst_group": labels[worst],
                "worst_group_images": int(count[worst]),
                "gap": group_gap(results),
                "gap_by_chance": gap_by_chance(results),
            }
        return described

    def _results(self, rows: Ints) -> GroupResults:
        predictions = self.predictions
        return GroupResults(predictions.rank[rows] == 0, predictions.y[rows], self.value[rows])

    def _large(self, least: int) -> Ints:
        """Return the images whose group has at least `least` images."""
        group = self._results(np.arange(len(self.value))).group
        return np.flatnonzero(np.bincount(group)[group] >= least)

    def _label(self, row: int) -> tuple[str, str]:
        return self.names[self.value[row]], self.classes[self.predictions.y[row]]


def _caveats(name: str, described: Mapping[str, Any], least: int) -> Caveats:
    caveats: list[str] = []
    if small := described["small_groups"]:
        noun = "group has" if len(small) == 1 else "groups have"
        caveats.append(
            f"{len(small)} {noun} fewer than {least} test images by {name}, and do not count"
        )
    if "gap" in described and described["gap"] <= described["gap_by_chance"]:
        caveats.append(
            f"the gap between groups by {name} is not above that of a shuffled attribute "
            f"({100 * described['gap_by_chance']:.0f} points in one of twenty shuffles)"
        )
    return tuple(caveats)


PROTOCOL = GroupAccuracy()
