"""Which test images a backbone has right, with a probe fitted to the train images of a race."""

import dataclasses
from collections.abc import Mapping

from bob.datasets.dataset import Dataset
from bob.engine.racing.blocks import RaceBlocks
from bob.engine.solve import solve_task
from bob.errors import NotApplicableError, UndefinedError
from bob.features.shard import Arrays
from bob.numerics.arrays import Bools
from bob.outcomes import ClassPredictions
from bob.protocols import FeatureNeed, Inputs, Need, StatisticsNeed, needs_of_task, protocol_named
from bob.protocols.classification import Classifier
from bob.specs import BackboneSpec, TaskSpec


def require_raceable(task: TaskSpec) -> None:
    """Raise NotApplicableError where a task cannot be raced.

    A race compares top-1 predictions of a classifier that is fitted to train features.
    """
    if not isinstance(protocol_named(task.protocol), Classifier) or task.metrics[0] != "top1":
        raise NotApplicableError(
            f"task {task.name!r} cannot be raced: a race compares top-1 predictions of classifiers "
            "of one row per image, such as knn, linear and ridge."
        )


def right_answers(
    task: TaskSpec, spec: BackboneSpec, blocks: RaceBlocks, counts: Mapping[str, int]
) -> Bools:
    """Return (M,) which of the first test images a backbone has right.

    Probes are fitted to the first train images and chosen on the first val images, `counts` of each
    split. Unreadable test images are left out. UndefinedError where the task is undefined on so few
    images, StoreError where the backbone has failed.
    """
    workspace = blocks.workspace
    dataset = _first_images(workspace.dataset(blocks.dataset), blocks, counts)
    needs = needs_of_task(task, dataset, spec)
    features = {
        need: blocks.features(spec, _split_of(need), counts[_split_of(need)]) for need in needs
    }
    solution = solve_task(
        task,
        dataset,
        needs,
        Inputs(features=features.__getitem__, statistics=_no_statistics),
        workspace.settings.seeds[:1],
        workspace.machine.device,
    )
    (result,) = solution.results.values()
    if not isinstance(result.outcome, ClassPredictions):
        raise UndefinedError(result.parts[0].undefined or "there is no prediction")
    right: Bools = result.outcome.predicted == result.outcome.y
    return right


def _first_images(dataset: Dataset, blocks: RaceBlocks, counts: Mapping[str, int]) -> Dataset:
    splits = {name: blocks.split(name, counts[name]) for name in dataset.splits if name in counts}
    return dataclasses.replace(dataset, splits=splits, shifts={})


def _split_of(need: Need) -> str:
    if not isinstance(need, FeatureNeed) or need.images.corruption is not None:
        raise NotApplicableError("needs more than the features of train, val and test images.")
    return need.images.split


def _no_statistics(need: StatisticsNeed) -> Arrays:
    raise NotApplicableError(f"needs statistics ({need.name}), which a race does not have.")
