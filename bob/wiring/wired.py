"""What joins a protocol to datasets and backbones: which features a task needs, and the protocol's answer from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.protocols.protocol import Result
from bob.specs import BackboneSpec, TaskSpec


@dataclass(frozen=True, eq=False)
class Need:
    """One split as one backbone sees it."""

    backbone: BackboneSpec
    """The registry's entry, or one that differs from it in pooling or preprocessing."""
    name: str
    """The split's, as a person reads it: `train`, `poly`."""
    split: Split
    optional: bool = False
    """Whether the task does without it where its backbone, an entry's variant, cannot be made."""


@dataclass(frozen=True, eq=False)
class TextNeed:
    """Sentences as a backbone's text tower sees them."""

    backbone: BackboneSpec
    name: str
    texts: tuple[str, ...]


Needs = Sequence[Need | TextNeed]
FeaturesOf = Callable[[Need | TextNeed], Features]
"""A need → its stored rows; `positions` count in the need's split, and leave out images that could not be read."""


@dataclass(frozen=True)
class Wired:
    """A protocol's way to its problem. `needs` raises NotApplicableError where a dataset or a backbone cannot carry the task."""

    needs: Callable[[TaskSpec, Dataset, BackboneSpec], Needs]
    solve: Callable[[TaskSpec, Dataset, Needs, FeaturesOf, int, str], Result]
    """(task, dataset, its needs, features, seed, device)."""
    draws: Callable[[TaskSpec, Dataset], bool]
    """Whether the result depends on the seed."""


def require_splits(task: TaskSpec, dataset: Dataset, *names: str) -> None:
    """Raises where the dataset lacks one of these splits."""
    if lacking := [name for name in names if name not in dataset.splits]:
        raise NotApplicableError(
            f"task {task.name!r} needs {' and '.join(names)} images; dataset {dataset.name!r} has no {lacking[0]} split."
        )
