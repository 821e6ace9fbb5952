"""OOD generalisation: one linear probe, fitted and chosen in distribution, scored on every shifted test set of the dataset's family.

The probe is that of `bob.protocols.linear`: its strength is chosen on held-out train data of the in-distribution set, never on shifted images.
Measures follow Taori et al. 2020 (arXiv:2007.00644; accuracy against accuracy in distribution) and WILDS (Koh et al. 2021, arXiv:2012.07421; worst
group).
A shifted set that holds only some of the classes (ImageNet-A and -R: 200 of 1,000) is scored among these alone, as its authors do (Hendrycks et al.
2021, arXiv:2006.16241), and so is the in-distribution test split that it is compared with: the drop is between equal tasks.

Differs from them in one point: everything has an interval, over the images of all sets.
Effective robustness needs a pool of backbones and so belongs to the leaderboard (`bob.statistics.effective_robustness`); its two coordinates are
the scores `top1_poly` and `top1_test_poly` of a shift called poly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.numerics.linear.logistic_path import scores
from bob.outcomes import Classified, Shifted
from bob.protocols.linear import probe
from bob.protocols.protocol import Part, Problem, Result
from bob.specs.settings import OodSettings

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TestSet:
    """Test images of one shift."""

    __test__ = False  # no test of pytest's

    x: NDArray[np.float32]
    """(M, D)"""
    y: Ints
    """(M,) in the classes of train."""
    classes: tuple[int, ...] | None = None
    """Score among these classes only; None is all."""
    groups: Sequence[str] | None = None
    """M names of the groups among which the worst is looked for; None makes the set one group."""


@dataclass(frozen=True, eq=False)
class Family:
    """A dataset and the shifted test sets of its family."""

    problem: Problem
    """Train, and the in-distribution test split."""
    shifts: Mapping[str, TestSet]
    """At least one, by name."""
    groups: Sequence[str] | None = None
    """Groups of the in-distribution test split."""


def ood(family: Family, settings: OodSettings, device: str) -> Result:
    """The probe on the in-distribution test split and on every shifted set."""
    fit, detail = probe(family.problem, settings, device)
    logits, y, shifts = scores(fit, family.problem.test_x), family.problem.test_y, family.shifts
    own = Classified.from_logits(logits, y)
    pairs = {
        name: (among(logits, y, shift.classes), among(scores(fit, shift.x), shift.y, shift.classes))
        for name, shift in shifts.items()
    }
    parts = [
        Part(_together(family, own, pairs)),
        Part(own, "test", facets={"shift": "test"}, stored=True),
    ]
    for name, (same_task, shifted) in pairs.items():
        parts += _of_one(name, same_task, shifted, masked=shifts[name].classes is not None)
    masks = {
        name: len(shift.classes) for name, shift in shifts.items() if shift.classes is not None
    }
    return Result(
        tuple(parts),
        {
            **detail,
            "images": {name: len(shift.y) for name, shift in shifts.items()},
            "scored_among_classes": masks,
        },
    )


def among(logits: NDArray[np.float64], y: Ints, classes: Sequence[int] | None) -> Classified:
    """The outcome among some classes: their columns alone, and the examples of these classes alone. Classes are numbered anew."""
    if classes is None:
        return Classified.from_logits(logits, y)
    kept = np.asarray(sorted(classes))
    mine = np.isin(y, kept)
    return Classified.from_logits(logits[np.ix_(mine, kept)], np.searchsorted(kept, y[mine]))


def _of_one(name: str, own: Classified, shifted: Classified, masked: bool) -> Iterator[Part]:
    """A shift's own accuracy, what it loses, and with a class mask the in-distribution accuracy that it is compared with."""
    facets = {"shift": name}
    yield Part(shifted, name, facets=facets, stored=True)
    yield Part(Shifted.of([_right(own), _right(shifted)]), name, ("drop", "relative_drop"), facets)
    yield Part(
        own, f"test_{name}", "all" if masked else ("top1",), {"shift": "test", "classes_of": name}
    )


def _together(
    family: Family, own: Classified, pairs: Mapping[str, tuple[Classified, Classified]]
) -> Shifted:
    """All sets at once. A shift's group names stand beside the shift's own, since one name may occur in several sets."""
    sides = [_right(own), *(_right(shifted) for _, shifted in pairs.values())]
    names = [_names("test", family.groups, len(sides[0]))]
    for (name, shift), side in zip(family.shifts.items(), sides[1:], strict=True):
        groups = (
            None
            if shift.groups is None
            else [group for group, mine in zip(shift.groups, _in(shift), strict=True) if mine]
        )
        names.append(_names(name, groups, len(side)))
    index = {
        group: i
        for i, group in enumerate(dict.fromkeys(group for several in names for group in several))
    }
    return Shifted.of(
        sides, [np.array([index[group] for group in several], np.int64) for several in names]
    )


def _in(shift: TestSet) -> Bools:
    """(M,) the images that are scored."""
    return np.ones(len(shift.y), bool) if shift.classes is None else np.isin(shift.y, shift.classes)


def _names(test_set: str, groups: Sequence[str] | None, n: int) -> list[tuple[str, str]]:
    return [(test_set, "")] * n if groups is None else [(test_set, group) for group in groups]


def _right(outcome: Classified) -> Bools:
    right: Bools = outcome.rank == 0
    return right
