"""Few-shot probes and episodes: train and test features, and what may be drawn from them."""

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, SplitName
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.protocols.episodes import Pooled, episodes
from bob.protocols.fewshot import FewShot, fewshot
from bob.protocols.protocol import Result
from bob.protocols.sampling import pools
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings import EpisodesSettings, FewShotSettings
from bob.wiring.classification import by_split, classification_needs
from bob.wiring.wired import FeaturesOf, Need, Needs, Wired


def _drawn_from_train(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> list[Need]:
    """Train and test; a val split is left alone, since nothing is chosen."""
    return [need for need in classification_needs(task, dataset, backbone) if need.name != "val"]


def _enough_classes(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> list[Need]:
    assert isinstance(task.settings, EpisodesSettings)
    if len(dataset.classes) < (least := min(task.settings.ways)):
        raise NotApplicableError(
            f"task {task.name!r} needs {least} classes; dataset {dataset.name!r} has {len(dataset.classes)}."
        )
    return _drawn_from_train(task, dataset, backbone)


def _solve_fewshot(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    assert isinstance(task.settings, FewShotSettings)
    found = by_split(needs, features_of)
    test_y = dataset.splits["test"].y[found["test"].positions]
    problem = FewShot(
        found["train"].rows,
        _pools(dataset, "train", found["train"]),
        found["test"].rows,
        test_y,
        dataset.classes,
    )
    return fewshot(problem, task.settings, seed, device)


def _solve_episodes(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    assert isinstance(task.settings, EpisodesSettings)
    found = by_split(needs, features_of)
    train, test = _pools(dataset, "train", found["train"]), _pools(dataset, "test", found["test"])
    return episodes(
        Pooled(found["train"].rows, train, found["test"].rows, test), task.settings, seed, device
    )


def _pools(dataset: Dataset, name: SplitName, features: Features) -> tuple[NDArray[np.int64], ...]:
    """Per class the rows of a split that may be drawn."""
    split = dataset.splits[name]
    return pools(
        split.y[features.positions],
        [split.content[i] for i in features.positions],
        len(dataset.classes),
    )


def _always(task: TaskSpec, dataset: Dataset) -> bool:
    return True


FEWSHOT = Wired(_drawn_from_train, _solve_fewshot, _always)
EPISODES = Wired(_enough_classes, _solve_episodes, _always)
