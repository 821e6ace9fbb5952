"""Parts that classifiers share: train, val and test features of images with one class each."""

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bob.datasets.assemble import quoted
from bob.datasets.dataset import Dataset, Split, SplitName
from bob.datasets.image_sets import ImageSet
from bob.datasets.splits import automatic_test, stratified_folds
from bob.errors import DatasetError, NotApplicableError, UndefinedError, UnreadableImageError
from bob.features.store import Features
from bob.numerics.arrays import Bools
from bob.numerics.memo import Memo
from bob.outcomes import ClassPredictions, Outcome
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Answers, Protocol, SettingsT
from bob.specs import BackboneSpec
from bob.specs.dataset import DatasetKind

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
CLASS_KINDS: frozenset[DatasetKind] = frozenset({"classification", "detection", "retrieval"})
"""Kinds of datasets whose images can have one class each."""
SAMPLES: Memo[NDArray[Any]] = Memo(4)
"""The last held-out samples: tasks choose settings on the same rows, whatever the backbone."""


@dataclass(frozen=True, eq=False)
class ClassificationProblem:
    """Features with their roles. Settings are chosen on held-out train rows; test is read once."""

    x: NDArray[np.float32]
    """(N, D) train features, those of a val split among them."""
    y: NDArray[np.int64]
    """(N,)"""
    held_out: NDArray[np.bool_]
    """(N,) the train rows on which settings are chosen: the val split, or a share of train."""
    test_x: NDArray[np.float32]
    """(Q, D)"""
    test_y: NDArray[np.int64]
    """(Q,)"""
    classes: int
    fold: NDArray[np.int64] | None = None
    """(N,) the fold of each train row, where settings are chosen by cross-validation; then no row
    is held out."""


class Classifier(Protocol[SettingsT, ClassificationProblem], abc.ABC):
    """A protocol that is fitted to train features and scored on test features."""

    kinds: ClassVar[frozenset[DatasetKind]] = CLASS_KINDS
    outcomes: ClassVar[tuple[type[Outcome], ...]] = (ClassPredictions,)

    def needs(self, settings: SettingsT, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        return classification_needs(dataset, backbone)

    def build(
        self, settings: SettingsT, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> ClassificationProblem:
        return classification_problem(
            dataset, features_by_split(needs, inputs), held_out_of(settings), seed
        )

    def uses_seed(self, settings: SettingsT, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


def answers_of(
    outcome: ClassPredictions, images: str = "test", rows: Bools | None = None
) -> Answers:
    """Return the answers of predictions for readable images in their order; see `Answers`."""
    return Answers((outcome.rank == 0).astype(np.float64), images, rows)


def classification_needs(dataset: Dataset, backbone: BackboneSpec) -> list[FeatureNeed]:
    """Return the needs of train, of test, and of val where the dataset has it.

    NotApplicableError where images have several labels, where there are fewer than two classes,
    or where train lacks a class that another split holds.
    """
    require_splits(dataset, "train", "test")
    require_single_labels(dataset)
    require_trained_classes(dataset, SPLITS)
    return [FeatureNeed(backbone, ImageSet(name)) for name in SPLITS if name in dataset.splits]


def require_single_labels(dataset: Dataset, split: SplitName = "test") -> None:
    """Raise NotApplicableError where images of a split can have more than one label."""
    if dataset.splits[split].labels is not None:
        raise NotApplicableError(
            f"needs one label per image; those of dataset {dataset.name!r} have several."
        )


def require_trained_classes(dataset: Dataset, splits: Sequence[SplitName]) -> None:
    """Raise NotApplicableError where a classifier has fewer than two classes or lacks one."""
    trained = dataset.splits["train"].present_classes - {-1}
    if len(trained) < 2:
        classes = quoted([dataset.classes[c] for c in sorted(trained)]) or "no class"
        where, remedy, limit = "", "", dataset.split_origin.get("limit")
        if limit is not None and len(dataset.classes) > 1:
            where, remedy = f" within the limit of {limit}", "; give a larger --limit"
        raise NotApplicableError(
            f"needs at least two classes; all train images of dataset {dataset.name!r}{where} are "
            f"of {classes}{remedy}."
        )
    for name in splits:
        if name in dataset.splits:
            _require_trained(dataset, name, trained)


def _require_trained(dataset: Dataset, name: SplitName, trained: frozenset[int]) -> None:
    """Raise NotApplicableError where images of a split have no class, or one not trained on."""
    lacking = sorted(dataset.splits[name].present_classes - trained)
    if -1 in lacking:
        raise NotApplicableError(
            f"needs a class for each image; {name} of dataset {dataset.name!r} holds images "
            "without one."
        )
    if lacking:
        raise NotApplicableError(
            f"needs train images of every class; {name} of dataset {dataset.name!r} holds images "
            f"of {quoted([dataset.classes[c] for c in lacking])}, of which train has none."
        )


def features_by_split(needs: Needs, inputs: Inputs) -> dict[SplitName, Features]:
    """Return the features of train, val and test by name.

    UnreadableImageError where none of the images of a split could be read.
    """
    wanted = {
        need.images.split: need
        for need in needs
        if isinstance(need, FeatureNeed) and need.images.corruption is None
    }
    features = {name: inputs.features(wanted[name]) for name in SPLITS if name in wanted}
    for name, of_split in features.items():
        if not len(of_split):
            reason = next(iter(of_split.bad.values()), "they have no features.")
            raise UnreadableImageError(f"none of the images of {name} can be read: {reason}")
    return features


def held_out_of(settings: Any) -> float | int | None:
    """Return the share of train that is held out by settings, or by those of their probe.

    An int is a number of folds; None where nothing is chosen.
    """
    settings = getattr(settings, "probe", None) or settings
    held_out: float | int | None = getattr(settings, "folds", None)
    return held_out or getattr(settings, "held_out", None)


def samples_held_out(settings: Any, dataset: Dataset) -> bool:
    """Whether held-out examples are sampled from train, rather than taken from a val split."""
    return held_out_of(settings) is not None and "val" not in dataset.splits


def classification_problem(
    dataset: Dataset,
    features: Mapping[SplitName, Features],
    held_out: float | int | None,
    seed: int,
) -> ClassificationProblem:
    """Return features with their roles.

    Settings are chosen on the val split where there is one, else on a stratified share or on folds
    of train, which never separate images of one group or byte-identical images. UndefinedError
    where none can be held out.
    """
    train = dataset.splits["train"].take(features["train"].positions)
    test = dataset.splits["test"].take(features["test"].positions)
    x, y = features["train"].rows, train.y
    mask, fold = np.zeros(len(train), bool), None
    if "val" in dataset.splits:
        val = dataset.splits["val"].take(features["val"].positions)
        mask = np.repeat([False, True], [len(train), len(val)])
        x, y = np.concatenate([x, features["val"].rows]), np.concatenate([y, val.y])
    elif isinstance(held_out, int):
        fold = _sample(stratified_folds, train, held_out, seed)
    elif held_out is not None:
        mask = _sample(automatic_test, train, held_out, seed)
    _require_readable_classes(dataset, y, test.y)
    return ClassificationProblem(
        x, y, mask, features["test"].rows, test.y, len(dataset.classes), fold
    )


def _require_readable_classes(
    dataset: Dataset, y: NDArray[np.int64], test_y: NDArray[np.int64]
) -> None:
    """Raise where no train image (N,) of a class of the test images (Q,) could be read."""
    if lacking := sorted(set(test_y.tolist()) - set(y.tolist())):
        raise UnreadableImageError(
            f"no train image of {quoted([dataset.classes[c] for c in lacking])} can be read, of "
            "which there are test images. Replace the unreadable images, or remove these classes."
        )


def sampled(
    draw: Callable[..., NDArray[Any]], train: Split, size: float | int, seed: int
) -> NDArray[Any]:
    """Return what `draw` samples of train, a former result where all arguments are the same."""
    groups = None if train.groups is None else tuple(train.groups)
    arguments = (draw.__name__, train.y, tuple(train.content), groups, size, seed)
    return SAMPLES.result(arguments, lambda: draw(train.y, train.content, train.groups, size, seed))


def _sample(
    draw: Callable[..., NDArray[Any]], train: Split, size: float | int, seed: int
) -> NDArray[Any]:
    try:
        return sampled(draw, train, size, seed)
    except DatasetError as error:
        classes = len(np.unique(train.y))
        raise UndefinedError(
            "no train images can be held out to choose settings on: each of the "
            f"{classes} classes has a single train image (or one group). Give at least two per "
            "class, or a val split."
        ) from error
