"""Values of images with a backbone: right answers of a probe, or the precision of a ranking."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import cast

import numpy as np

from bob.datasets.content.sequences import PartOffsets, concatenate
from bob.datasets.dataset import Dataset, Split, SplitName
from bob.engine.racing.blocks import RaceBlocks
from bob.engine.solve import solver_device
from bob.errors import NotApplicableError, UndefinedError
from bob.features.shard import Arrays, Effort
from bob.features.store import Features
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import ClassPredictions, RetrievalResults
from bob.protocols import FeatureNeed, Inputs, Need, StatisticsNeed, needs_of_task, protocol_named
from bob.protocols.classification import SPLITS, Classifier
from bob.protocols.retrieval import Retrieval, RetrievalSettings
from bob.specs import BackboneSpec, TaskSpec


def require_raceable(task: TaskSpec) -> None:
    """Raise NotApplicableError where a task cannot be raced.

    A race compares top-1 predictions of a classifier that is fitted to train features, or the
    average precision of queries among all other test images.
    """
    metric, settings = task.metrics[0], task.settings
    if isinstance(protocol_named(task.protocol), Classifier) and metric == "top1":
        return
    if isinstance(settings, RetrievalSettings) and metric == "mean_ap":
        has_other_inputs = settings.gallery != "test" or settings.whiten is not None
        if not has_other_inputs:
            return
    raise NotApplicableError(
        f"task {task.name!r} cannot be raced: a race compares top-1 predictions of classifiers of "
        "one row per image, such as knn, linear and ridge, or the mean average precision of "
        "retrieval among the test images, without whitening."
    )


def race_splits(task: TaskSpec, dataset: Dataset) -> tuple[SplitName, ...]:
    """Return the splits that a race of a task embeds; none where the dataset cannot be raced."""
    if not is_retrieval(task):
        return tuple(name for name in SPLITS if name in dataset.splits)
    has_sides = "query" in dataset.splits or dataset.judgements is not None
    return () if has_sides or "test" not in dataset.splits else ("test",)


def is_retrieval(task: TaskSpec) -> bool:
    """Return whether test images are queries, and those before them their gallery."""
    return isinstance(protocol_named(task.protocol), Retrieval)


def can_score_train(dataset: Dataset) -> bool:
    """Return whether unseen train images are a sample of what test images are a sample of.

    They are where the test images were drawn from the same images at random, one by one. Official
    test images may differ from train images, as may those chosen by a condition, and images of one
    group resemble each other.
    """
    origin = dataset.split_origin
    is_drawn = "seed" in origin and "conditions" not in origin
    return is_drawn and all(split.groups is None for split in dataset.splits.values())


def example_values(
    task: TaskSpec,
    spec: BackboneSpec,
    blocks: RaceBlocks,
    fitted: Mapping[str, int],
    scored: Mapping[str, range],
) -> Doubles:
    """Return (M,) values of the scored images with a backbone, split by split.

    They are 1 for a right answer of a classifier and 0 for a wrong one, or the average precision of
    a query. Probes are fitted to the first train images and chosen on the first val images,
    `fitted` of each split; or the first test images are the gallery. Left out are unreadable
    images, train images that are byte-identical to a fitted one, and queries without a positive.
    UndefinedError where the task is undefined on so few images, StoreError where the backbone has
    failed.
    """
    workspace = blocks.workspace
    splits = {name: blocks.split(name, count) for name, count in fitted.items()}
    positions = {name: _unfitted(blocks, name, images, splits) for name, images in scored.items()}
    parts = [
        blocks.split(name, images.stop).take(positions[name]) for name, images in scored.items()
    ]
    if not sum(map(len, parts)):
        raise UndefinedError("there is no image to score")
    new = parts[0] if len(parts) == 1 else _joined(parts)
    if is_retrieval(task):
        dataset = _with_splits(blocks, {"query": new, "gallery": splits["test"]})
    else:
        dataset = _with_splits(blocks, {**splits, "test": new})

    def features(need: Need) -> Features:
        split = _split_of(need)
        if split not in ("test", "query"):
            name = "test" if split == "gallery" else split
            return blocks.features(spec, name, fitted[name])
        return _stacked(
            [
                blocks.features(spec, name, images.stop).view(positions[name])
                for name, images in scored.items()
            ],
            [len(at) for at in positions.values()],
        )

    protocol, settings = protocol_named(task.protocol), task.settings
    inputs = Inputs(features=features, statistics=_no_statistics)
    needs = needs_of_task(task, dataset, spec)
    problem = protocol.build(settings, dataset, needs, inputs, workspace.settings.seeds[0])
    result = protocol.solve(problem, settings, solver_device(workspace.machine.device))
    headline = result.parts[0]
    if isinstance(headline.outcome, ClassPredictions):
        right = headline.outcome.predicted == headline.outcome.y
        return np.asarray(right, np.float64)
    if isinstance(headline.outcome, RetrievalResults) and len(headline.outcome):
        return headline.outcome.ap
    raise UndefinedError(headline.undefined or "there is no prediction")


def least_value(
    task: TaskSpec, spec: BackboneSpec, blocks: RaceBlocks, fitted: Mapping[str, int]
) -> float:
    """Return what no value of the images that come next falls below, before they are known.

    In retrieval of a class it is the least average precision of a query of any class of the
    gallery, the first test images; else 0. Positives may be missing that are copies of the query,
    as many as any image of the split has. StoreError where the backbone has failed.
    """
    settings = task.settings
    if not isinstance(settings, RetrievalSettings) or settings.label != "class":
        return 0.0
    split = blocks.split("test", fitted["test"])
    if split.groups:
        return 0.0
    content = blocks.workspace.dataset(blocks.dataset).splits["test"].content
    copies = max(Counter(content).values()) - 1
    readable = blocks.features(spec, "test", len(split)).positions
    positives = np.unique(split.y[readable], return_counts=True)[1] - copies
    return min(least_precision(max(1, n), len(readable)) for n in positives.tolist())


def least_precision(positives: int, gallery: int) -> float:
    """Return the average precision of a ranking in which all positives are last.

    The i-th of them is in place N + i, after the N negatives.
    """
    order = np.arange(1, positives + 1)
    return float((order / (gallery - positives + order)).mean())


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
