"""OOD generalisation: one linear probe, scored on every shifted test set of the dataset's family.

The probe is that of `bob.protocols.linear`: its penalty is chosen on held-out train data of the
in-distribution set, never on shifted images. Measures follow Taori et al. 2020 (arXiv:2007.00644;
accuracy against accuracy in distribution) and WILDS (Koh et al. 2021, arXiv:2012.07421; worst
group). A shifted set that holds only some of the classes (ImageNet-A and -R: 200 of 1,000) is
scored among these alone, as its authors do (Hendrycks et al. 2021, arXiv:2006.16241), and so is the
in-distribution test split that it is compared with: the drop is between equal tasks.

Differs from them in one point: every score has an interval over the images of all sets. Effective
robustness needs a pool of backbones and so belongs to the leaderboard
(`bob.statistics.effective_robustness`); its two coordinates are the scores `top1_poly` and
`top1_test_poly` of a shift called poly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.numerics.arrays import Bools, Ints
from bob.outcomes import ClassPredictions, ShiftResults
from bob.protocols.caveats import features_checked
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
from bob.protocols.needs import FeatureNeed, Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec


class OodSettings(LinearSettings):
    """Settings of OOD generalisation: those of the linear probe."""


@dataclass(frozen=True, eq=False)
class ShiftedTest:
    """Test images of one shift."""

    x: NDArray[np.float32]
    """(M, D)"""
    y: Ints
    """(M,) in the classes of train."""
    classes: tuple[int, ...] | None = None
    """Classes among which to score; None is all."""
    groups: Sequence[str] | None = None
    """M names of the groups of a worst-group score; None makes the set one group."""


@dataclass(frozen=True, eq=False)
class OodProblem:
    """An in-distribution problem, and the shifted test sets of the dataset's family."""

    problem: ClassificationProblem
    """Train, and the in-distribution test split."""
    shifts: Mapping[str, ShiftedTest]
    """At least one, by name."""
    groups: Sequence[str] | None = None
    """(Q,) names of the groups of the in-distribution test split."""


class OodGeneralisation(Protocol[OodSettings, OodProblem]):
    """The linear probe, scored on the in-distribution test split and on every shifted set."""

    name = "ood"
    settings = OodSettings
    kinds = CLASS_KINDS
    outcomes = (ShiftResults, ClassPredictions)

    def needs(self, settings: OodSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        shifts = require_shifts(dataset, "shift")
        return [
            *classification_needs(dataset, backbone),
            *(FeatureNeed(backbone, ImageSet(name)) for name in shifts),
        ]

    def build(
        self, settings: OodSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> OodProblem:
        features = features_by_split(needs, inputs)
        problem = classification_problem(dataset, features, held_out_of(settings), seed)
        shifted = {
            name: _shifted_test(dataset, dataset.shifts[name], of_shift)
            for name, of_shift in features_of_shifts(dataset, needs, inputs).items()
        }
        groups = _groups(dataset, dataset.splits["test"], features["test"].positions)
        return OodProblem(problem, shifted, groups)

    def solve(self, problem: OodProblem, settings: OodSettings, device: str) -> Result:
        from bob.numerics.linear.logistic_path import scores

        checked = features_checked(**{name: shift.x for name, shift in problem.shifts.items()})
        probe = fit_probe(problem.problem, settings, device)
        logits, y = scores(probe.fit, problem.problem.test_x), problem.problem.test_y
        test, shifts = ClassPredictions.from_logits(logits, y), problem.shifts
        pairs = {
            name: (
                among(logits, y, shift.classes),
                among(scores(probe.fit, shift.x), shift.y, shift.classes),
            )
            for name, shift in shifts.items()
        }
        parts = [
            ResultPart(_combined(problem, test, pairs)),
            ResultPart(test, "test", facets={"shift": "test"}, stored=True),
        ]
        for name, (same_task, shifted) in pairs.items():
            masked = shifts[name].classes is not None
            parts += _parts_of_shift(name, same_task, shifted, masked)
        masks = {
            name: len(shift.classes) for name, shift in shifts.items() if shift.classes is not None
        }
        images = {name: len(shift.y) for name, shift in shifts.items()}
        detail = {**probe.detail, "images": images, "scored_among_classes": masks}
        answers = {"test": answers_of(test)}
        for name, (_, shifted) in pairs.items():
            answers[name] = answers_of(shifted, name, _is_scored(shifts[name]))
        return Result(tuple(parts), detail, probe.caveats + checked, answers)

    def uses_seed(self, settings: OodSettings, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


SHIFT_KINDS = {
    "shift": "test set of the same classes under other conditions (--shift COLUMN=VALUE, or "
    "`shifts` of an entry)",
    "near": "similar images of foreign classes (kind `near` among `shifts` of an entry)",
    "far": "unlike ones (kind `far`)",
}
"""Kinds of shifts, in words, and how a dataset gets one."""


def require_shifts(dataset: Dataset, *kinds: str) -> dict[str, Shift]:
    """Return the shifts of some kinds; NotApplicableError where there are none."""
    shifts = {name: shift for name, shift in dataset.shifts.items() if shift.kind in kinds}
    if not shifts:
        what = " and no ".join(SHIFT_KINDS[kind] for kind in kinds)
        raise NotApplicableError(f"dataset {dataset.name!r} has no {what}.")
    return shifts


def features_of_shifts(dataset: Dataset, needs: Needs, inputs: Inputs) -> dict[str, Features]:
    """Return the features of the shifts among the needs, by name."""
    return {
        need.name: inputs.features(need)
        for need in needs
        if isinstance(need, FeatureNeed) and need.name in dataset.shifts
    }


def _shifted_test(dataset: Dataset, shift: Shift, features: Features) -> ShiftedTest:
    groups = _groups(dataset, shift.split, features.positions)
    return ShiftedTest(features.rows, shift.split.y[features.positions], shift.classes, groups)


def _groups(dataset: Dataset, split: Split, positions: Ints) -> list[str] | None:
    """Return the groups of a worst-group score, where the dataset names an attribute for it."""
    values = split.attributes.get(dataset.worst_group or "")
    return None if values is None else [values[i] for i in positions]


def among(logits: NDArray[np.float64], y: Ints, classes: Sequence[int] | None) -> ClassPredictions:
    """Return the outcome among some classes, which are renumbered; None is all classes.

    Only the columns and the examples of these classes count.
    """
    if classes is None:
        return ClassPredictions.from_logits(logits, y)
    scored = np.asarray(sorted(classes))
    examples = np.isin(y, scored)
    return ClassPredictions.from_logits(
        logits[np.ix_(examples, scored)], np.searchsorted(scored, y[examples])
    )


def _parts_of_shift(
    name: str, same_task: ClassPredictions, shifted: ClassPredictions, masked: bool
) -> Iterator[ResultPart]:
    """Yield a shift's accuracy, its drop, and the accuracy that it is compared with."""
    facets = {"shift": name}
    yield ResultPart(shifted, name, facets=facets, stored=True)
    drop = ShiftResults.from_test_sets([_correct(same_task), _correct(shifted)])
    yield ResultPart(drop, name, ("drop", "relative_drop"), facets)
    yield ResultPart(
        same_task,
        f"test_{name}",
        "all" if masked else ("top1",),
        {"shift": "test", "classes_of": name},
    )


def _combined(
    problem: OodProblem,
    test: ClassPredictions,
    pairs: Mapping[str, tuple[ClassPredictions, ClassPredictions]],
) -> ShiftResults:
    """Return the outcome over all test sets.

    A group is identified by its test set and its name, which may occur in other sets too.
    """
    correct = [_correct(test), *(_correct(shifted) for _, shifted in pairs.values())]
    names = [_group_names("test", problem.groups, len(correct[0]))]
    for (name, shift), of_shift in zip(problem.shifts.items(), correct[1:], strict=True):
        groups = None
        if shift.groups is not None:
            scored = zip(shift.groups, _is_scored(shift), strict=True)
            groups = [group for group, is_scored in scored if is_scored]
        names.append(_group_names(name, groups, len(of_shift)))
    distinct = dict.fromkeys(group for of_set in names for group in of_set)
    index = {group: i for i, group in enumerate(distinct)}
    groups_of_sets = [np.array([index[group] for group in of_set], np.int64) for of_set in names]
    return ShiftResults.from_test_sets(correct, groups_of_sets)


def _is_scored(shift: ShiftedTest) -> Bools:
    """Return which images (M,) are of a class that is scored."""
    return np.ones(len(shift.y), bool) if shift.classes is None else np.isin(shift.y, shift.classes)


def _group_names(test_set: str, groups: Sequence[str] | None, n: int) -> list[tuple[str, str]]:
    return [(test_set, "")] * n if groups is None else [(test_set, group) for group in groups]


def _correct(outcome: ClassPredictions) -> Bools:
    correct: Bools = outcome.rank == 0
    return correct


PROTOCOL = OodGeneralisation()
