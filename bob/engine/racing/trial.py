"""Which images a backbone has right, with a probe fitted to the first train images of a race."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import cast

import numpy as np

from bob.datasets.content.sequences import PartOffsets, concatenate
from bob.datasets.dataset import Dataset, Split, SplitName
from bob.engine.racing.blocks import RaceBlocks
from bob.engine.solve import solve_task
from bob.errors import NotApplicableError, UndefinedError
from bob.features.shard import Arrays, Effort
from bob.features.store import Features
from bob.numerics.arrays import Bools, Ints
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


def can_score_train(dataset: Dataset) -> bool:
    """Return whether unseen train images are a sample of what test images are a sample of.

    They are where the test images were drawn from the same images at random, one by one. Official
    test images may differ from train images, as may those chosen by a condition, and images of one
    group resemble each other.
    """
    origin = dataset.split_origin
    is_drawn = "seed" in origin and "conditions" not in origin
    return is_drawn and all(split.groups is None for split in dataset.splits.values())


def right_answers(
    task: TaskSpec,
    spec: BackboneSpec,
    blocks: RaceBlocks,
    fitted: Mapping[str, int],
    scored: Mapping[str, range],
) -> Bools:
    """Return (M,) which of the scored images a backbone has right, split by split.

    Probes are fitted to the first train images and chosen on the first val images, `fitted` of each
    split. Unreadable images, and train images that are byte-identical to a fitted one, are left
    out. UndefinedError where the task is undefined on so few images, StoreError where the backbone
    has failed.
    """
    workspace = blocks.workspace
    splits = {name: blocks.split(name, count) for name, count in fitted.items()}
    positions = {name: _unfitted(blocks, name, images, splits) for name, images in scored.items()}
    parts = [
        blocks.split(name, images.stop).take(positions[name]) for name, images in scored.items()
    ]
    if not sum(map(len, parts)):
        raise UndefinedError("there is no image to score")
    dataset = _with_splits(blocks, {**splits, "test": _joined(parts)})

    def features(need: Need) -> Features:
        split = _split_of(need)
        if split != "test":
            return blocks.features(spec, split, fitted[split])
        return _stacked(
            [
                blocks.features(spec, name, images.stop).view(positions[name])
                for name, images in scored.items()
            ],
            [len(at) for at in positions.values()],
        )

    solution = solve_task(
        task,
        dataset,
        needs_of_task(task, dataset, spec),
        Inputs(features=features, statistics=_no_statistics),
        workspace.settings.seeds[:1],
        workspace.machine.device,
    )
    (result,) = solution.results.values()
    if not isinstance(result.outcome, ClassPredictions):
        raise UndefinedError(result.parts[0].undefined or "there is no prediction")
    right: Bools = result.outcome.predicted == result.outcome.y
    return right


def _unfitted(blocks: RaceBlocks, name: str, images: range, fitted: Mapping[str, Split]) -> Ints:
    """Return the positions (M,) of scored images that are not byte-identical to a fitted one."""
    positions = np.arange(images.start, images.stop)
    if name == "test":
        return positions
    content = blocks.split(name, images.stop).content
    seen = set(fitted[name].content)
    return positions[[content[i] not in seen for i in positions.tolist()]]


def _with_splits(blocks: RaceBlocks, splits: Mapping[str, Split]) -> Dataset:
    named = {cast(SplitName, name): split for name, split in splits.items()}
    dataset = blocks.workspace.dataset(blocks.dataset)
    return dataclasses.replace(dataset, splits=named, shifts={})


def _joined(parts: Sequence[Split]) -> Split:
    """Return the images of several splits as one, without attributes."""
    offsets = PartOffsets(len(part) for part in parts)

    def read(position: int) -> bytes:
        part, at = offsets.locate(position)
        return parts[part].read(at)

    labels = [part.labels for part in parts if part.labels is not None]
    return Split(
        ids=concatenate([part.ids for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        content=concatenate([part.content for part in parts]),
        read=read,
        labels=np.concatenate(labels) if labels else None,
    )


def _stacked(parts: Sequence[Features], sizes: Sequence[int]) -> Features:
    """Return the features of several sets of so many images as those of one set."""
    starts = [0, *accumulate(sizes)]
    pairs = list(zip(starts, parts, strict=False))
    return Features(
        [rows for part in parts for rows in part.parts],
        np.concatenate([start + part.positions for start, part in pairs]),
        {start + at: why for start, part in pairs for at, why in part.bad.items()},
        sum((part.effort for part in parts), start=Effort()),
    )


def _split_of(need: Need) -> str:
    if not isinstance(need, FeatureNeed) or need.images.corruption is not None:
        raise NotApplicableError("needs more than the features of train, val and test images.")
    return need.images.split


def _no_statistics(need: StatisticsNeed) -> Arrays:
    raise NotApplicableError(f"needs statistics ({need.name}), which a race does not have.")
