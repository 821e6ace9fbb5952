"""Shifted and foreign test sets of a dataset's family: OOD generalisation and OOD detection."""

import numpy as np

from bob.datasets.dataset import Dataset, Shift, Split
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.protocols.detection import detection
from bob.protocols.ood import Family, TestSet, ood
from bob.protocols.protocol import Problem, Result
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings import OodDetectionSettings, OodSettings
from bob.wiring.classification import by_split, classification_needs, draws, held_out_by, problem
from bob.wiring.wired import FeaturesOf, Need, Needs, Wired

KINDS = {"ood": ("shift",), "ood_detection": ("near", "far")}
"""Protocol → the kinds of shifts that it scores."""


def _needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> list[Need]:
    """The classifier's splits, and every shift of the protocol's kinds."""
    shifts = _shifts(task, dataset)
    if not shifts:
        wanted = " or ".join(KINDS[task.protocol])
        raise NotApplicableError(
            f"task {task.name!r} needs shifts of kind {wanted}; dataset {dataset.name!r} has none."
        )
    return [
        *classification_needs(task, dataset, backbone),
        *(Need(backbone, name, shift.split) for name, shift in shifts.items()),
    ]


def _shifts(task: TaskSpec, dataset: Dataset) -> dict[str, Shift]:
    return {
        name: shift for name, shift in dataset.shifts.items() if shift.kind in KINDS[task.protocol]
    }


def _read(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int
) -> tuple[Problem, dict[str, Features]]:
    """The classifier's problem, and the features of every shift."""
    of_shifts = {
        need.name: features_of(need) for need in needs if need.name in _shifts(task, dataset)
    }
    return problem(dataset, by_split(needs, features_of), held_out_by(task), seed), of_shifts


def _solve_ood(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    assert isinstance(task.settings, OodSettings)
    own, found = _read(task, dataset, needs, features_of, seed)
    sets = {
        name: _test_set(dataset, dataset.shifts[name], features) for name, features in found.items()
    }
    (test,) = (features_of(need) for need in needs if need.name == "test")
    groups = _groups(dataset, dataset.splits["test"], test.positions)
    return ood(Family(own, sets, groups), task.settings, device)


def _test_set(dataset: Dataset, shift: Shift, features: Features) -> TestSet:
    groups = _groups(dataset, shift.split, features.positions)
    return TestSet(features.rows, shift.split.y[features.positions], shift.classes, groups)


def _groups(dataset: Dataset, split: Split, positions: np.ndarray) -> list[str] | None:
    """Values of the attribute by which the dataset looks for its worst group, where it names one that the split has."""
    values = split.attributes.get(dataset.worst_group or "")
    return None if values is None else [values[i] for i in positions]


def _solve_detection(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    assert isinstance(task.settings, OodDetectionSettings)
    own, found = _read(task, dataset, needs, features_of, seed)
    kinds = {name: dataset.shifts[name].kind for name in found}
    return detection(
        own, {name: features.rows for name, features in found.items()}, kinds, task.settings, device
    )


OOD = Wired(_needs, _solve_ood, draws)
OOD_DETECTION = Wired(_needs, _solve_detection, draws)
