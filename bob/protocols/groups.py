"""Accuracy by groups: what the average over test images hides.

The linear probe (`bob.protocols.linear`) as it is, without knowledge of any attribute ("ERM on
frozen features"; Kirichenko et al. 2023, arXiv:2204.02937, call its last layer the base), scored on
every pair of an attribute's value and a class (`bob.protocols.attribute_groups`), and ranked by the
worst of them.

Differs from SubpopBench in these points: groups of few test images are listed and do not count, and
the gap is compared with the one that the attribute has when it is shuffled within
classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.outcomes import ClassPredictions, GroupResults
from bob.protocols.attribute_groups import MOST_VALUES, compared_attributes, groups_by
from bob.protocols.caveats import Caveats
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    answers_of,
    classification_needs,
    classification_problem,
    features_by_split,
    held_out_of,
    samples_held_out,
)
from bob.protocols.linear import LinearSettings, fit_probe
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec, PairedGroups
from bob.specs.numbers import Count


class GroupsSettings(LinearSettings):
    """Settings of accuracy by groups: those of the linear probe, and a size."""

    least_images: Count
    """Fewest test images of a group that counts."""


@dataclass(frozen=True, eq=False)
class GroupsProblem:
    """A classification problem, and the attributes of its test images."""

    problem: ClassificationProblem
    test: Split
    """The Q test images."""
    attributes: tuple[str, ...]
    """Those by which they are compared, at least one."""
    classes: tuple[str, ...]
    paired: PairedGroups | None = None
    """Which values of an attribute are easy and hard."""


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
        return GroupsProblem(problem, test, names, dataset.classes, dataset.paired)

    def solve(self, problem: GroupsProblem, settings: GroupsSettings, device: str) -> Result:
        from bob.numerics.linear.logistic_path import scores

        data = problem.problem
        probe = fit_probe(data, settings, device)
        predictions = ClassPredictions.from_logits_in_blocks(
            lambda rows: scores(probe.fit, data.test_x[rows]), data.test_y, data.classes
        )
        everything = ResultPart(predictions, "all_images", ("top1",), {"group": "all"})
        parts: list[ResultPart] = []
        detail: dict[str, Any] = {**probe.detail, "attributes": {}}
        caveats: Caveats = ()
        least = settings.least_images
        for name in problem.attributes:
            answers = answers_of(predictions)
            groups = groups_by(name, problem.test, answers, problem.classes, problem.paired)
            if not parts:
                parts += [groups.comparison(least, ""), everything]
            parts += groups.parts(least, "")
            described = groups.described(least)
            detail["attributes"][name] = described
            caveats += _caveats(name, described, least)
        return Result(tuple(parts), detail, probe.caveats + caveats)

    def uses_seed(self, settings: GroupsSettings, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


def group_attributes(dataset: Dataset) -> tuple[str, ...]:
    """Return the attributes to compare; NotApplicableError where there is none."""
    names = compared_attributes(dataset, dataset.splits["test"])
    if not names:
        raise NotApplicableError(
            f"needs an attribute with 2 to {MOST_VALUES} values that differ within a class; "
            f"dataset {dataset.name!r} has none. Columns of a table are attributes; an entry names "
            "them as 'group_by'."
        )
    return names


def _caveats(name: str, described: Mapping[str, Any], least: int) -> Caveats:
    caveats: list[str] = []
    if small := described["small_groups_count"]:
        noun = "group has" if small == 1 else "groups have"
        caveats.append(f"{small} {noun} fewer than {least} test images by {name}, and do not count")
    if "gap" in described and described["gap"] <= described["gap_by_chance"]:
        caveats.append(
            f"the gap between groups by {name} is not above that of a shuffled attribute "
            f"({100 * described['gap_by_chance']:.0f} points in one of twenty shuffles)"
        )
    return tuple(caveats)


PROTOCOL = GroupAccuracy()
