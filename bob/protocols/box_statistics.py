"""What detection sums over feature maps while they are computed; no map is stored.

`box_sums` are the sums over cells from which two linear regressions are solved: the classes of
cells, and the boxes of those that predict one; and `box_matches` which detections of such heads are
right, image by image. `bob.numerics.dense.boxes` says which box a cell predicts.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.boxes import BoxSets, ImageBoxes
from bob.datasets.dataset import Dataset, Split
from bob.errors import DatasetError, NotApplicableError, UndefinedError
from bob.extraction.accumulators import (
    AccumulatorSpec,
    Earlier,
    add_arrays,
    extend_images,
    image_chunks,
    join_images,
    register_accumulator,
)
from bob.features.shard import Arrays
from bob.metrics.boxes import box_ap
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.box_matching import AREAS, THRESHOLDS, TrueBoxes
from bob.numerics.dense.boxes import NO_BOX, boxes_of_cells, centreness, edge_distances
from bob.numerics.dense.detections import MOST, Detections, counted_boxes, detect, matched
from bob.numerics.linear.class_sums import LinearHead
from bob.numerics.linear.target_sums import TargetSums, ridge_path
from bob.outcomes import BoxMatches
from bob.protocols.dense import StrengthPath, sums_and_strengths
from bob.protocols.kept_detections import KeptDetections
from bob.protocols.needs import require_splits

PREDICTORS = ("head", "ceiling", "constant")
"""What is scored on test images: the chosen heads; the true classes and boxes of the cells; and the
mean scores and distances of train, without looking at the image."""
SIDES = 4
NO_OBJECTS = "no train image has an object that counts: crowds and difficult ones do not"
NO_CENTRES = (
    "no train image has an object that counts and holds the centre of a cell: crowds and difficult "
    "ones do not count, and objects smaller than a cell may hold none"
)


def sums_spec(classes: int) -> AccumulatorSpec:
    """Return the sums over cells."""
    return AccumulatorSpec("box_sums", 1, (("classes", classes),))


def matches_spec(classes: int, path: StrengthPath, *, every_strength: bool) -> AccumulatorSpec:
    """Return the matches of the heads of `every_strength`, or of the chosen one and its bounds.

    They depend on earlier statistics as those of `segmentation_statistics.counts_spec` do.
    """
    settings = {**vars(path), "classes": classes, "every_strength": every_strength}
    return AccumulatorSpec("box_matches", 3, tuple(sorted(settings.items())))


@dataclass(frozen=True, eq=False)
class CellTargets:
    """What the cells of an image are to predict."""

    classes: Doubles
    """(h, w, C) the centreness for the class of the cell's box, else 0."""
    weight: Doubles
    """(h, w) 0 where the cell's box is ignored, else 1."""
    log_distances: Doubles
    """(h, w, 4) of the cell's box; 0 without one."""
    centreness: Doubles
    """(h, w) in the cell's box; 0 without one."""


def cell_targets(boxes: ImageBoxes, grid: tuple[int, int], classes: int) -> CellTargets:
    """Return the targets of the cells of a grid (h, w)."""
    box = boxes_of_cells(boxes.xyxy, boxes.size, grid)
    has_any = box != NO_BOX
    is_ignored = np.zeros(grid, bool)
    is_ignored[has_any] = boxes.ignored[box[has_any]]
    cells = np.nonzero(has_any & ~is_ignored)
    targets = CellTargets(
        classes=np.zeros((*grid, classes)),
        weight=1.0 - is_ignored,
        log_distances=np.zeros((*grid, SIDES)),
        centreness=np.zeros(grid),
    )
    if len(cells[0]):
        distances = edge_distances(boxes.xyxy, boxes.size, grid)[(box[cells], *cells)]
        targets.log_distances[cells] = np.log(distances)
        targets.centreness[cells] = centreness(distances)
        targets.classes[(*cells, boxes.labels[box[cells]])] = targets.centreness[cells]
    return targets


@dataclass(frozen=True, eq=False)
class BoxSums:
    """Sums over cells of features and targets, in float64: `TargetSums` of classes and of boxes."""

    boxes: BoxSets
    classes: int

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return sums of nothing."""
        return {
            f"{name}_{field}": values
            for name, count in (("class", self.classes), ("box", SIDES))
            for field, values in vars(TargetSums.zeros(shape[-1], count)).items()
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        grid = features.shape[1], features.shape[2]
        for at in image_chunks(features):
            targets = [
                cell_targets(self.boxes.read(position), grid, self.classes)
                for position in positions[at].tolist()
            ]
            of = {
                name: np.stack([vars(each)[name] for each in targets]) for name in vars(targets[0])
            }
            x = features[at].reshape(-1, features.shape[3])
            for name, weight, values in (
                ("class", of["weight"], of["classes"]),
                ("box", of["centreness"], of["log_distances"]),
            ):
                sums = TargetSums.of(x, weight.reshape(-1), values.reshape(len(x), -1))
                for field, added in vars(sums).items():
                    statistics[f"{name}_{field}"] += added

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Add the sums of shards."""
        return add_arrays(parts)


@dataclass(frozen=True, eq=False)
class BoxHeads:
    """Linear regressions of the classes of cells and of their boxes."""

    classes: LinearHead
    distances: LinearHead
    known: NDArray[np.bool_]
    """(C,) classes with train boxes; the others are never predicted."""

    def predict(self, grid: Floats) -> tuple[Doubles, Doubles]:
        """Return scores (h, w, C) and logarithms of distances (h, w, 4) of a map (h, w, D)."""
        scores = np.where(self.known, self.classes.logits(grid), -np.inf)
        return scores, self.distances.logits(grid)


@dataclass(frozen=True, eq=False)
class BoxMatchSums:
    """Detections of each image, and which of them are right.

    P predictors: the heads of every strength, or `PREDICTORS`. `scores` and `labels` (N, P, M),
    `states` (N, P, M, A, T), `voc` (N, P, M), and `true` (N, C, A) boxes that count; see
    `bob.outcomes.BoxMatches`.
    Of the images to keep, the detections of the first predictor; see `KeptDetections`.
    """

    boxes: BoxSets
    classes: int
    path: StrengthPath
    every_strength: bool
    earlier: Earlier
    kept: KeptDetections | None = None
    """None of held-out images."""

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return matches of no image."""
        predictors = self.path.count if self.every_strength else len(PREDICTORS)
        return {
            "positions": np.zeros(0, np.int64),
            "scores": np.zeros((0, predictors, MOST), np.float32),
            "labels": np.zeros((0, predictors, MOST), np.int64),
            "states": np.zeros((0, predictors, MOST, len(AREAS), len(THRESHOLDS)), np.uint8),
            "voc": np.zeros((0, predictors, MOST), np.uint8),
            "true": np.zeros((0, self.classes, len(AREAS)), np.int64),
            "grid": np.array(shape[:2], np.int64),
            **({} if self.kept is None else self.kept.start()),
        }

    def update(
        self, statistics: dict[str, NDArray[Any]], positions: Ints, features: Floats
    ) -> None:
        """Add the maps (n, h, w, D) of the images at `positions` (n,)."""
        for position, grid in zip(positions.tolist(), features, strict=True):
            boxes = self.boxes.read(position)
            true = TrueBoxes(boxes.xyxy, boxes.areas, boxes.ignored, boxes.crowds)
            detections = [detect(*cells, boxes.size) for cells in self._predictions(grid, boxes)]
            found = [vars(matched(of, true, boxes.labels)) for of in detections]
            added = {
                "positions": np.array([position]),
                "true": counted_boxes(true, boxes.labels, self.classes)[None],
                **{name: np.stack([each[name] for each in found])[None] for name in found[0]},
            }
            extend_images(statistics, added)
            if self.kept is not None:
                outcome = PredictorMatches(added).of(0)
                self.kept.add(statistics, position, detections[0], outcome)

    def _predictions(self, grid: Floats, boxes: ImageBoxes) -> list[tuple[Doubles, Doubles]]:
        predicted = [heads.predict(grid) for heads in self.heads]
        if self.every_strength:
            return predicted
        targets = cell_targets(boxes, grid.shape[:2], self.classes)
        scores = np.where(targets.classes > 0, targets.classes, -np.inf)
        return [*predicted, (scores, targets.log_distances), self.constant.predict(grid)]

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Join the images of all shards, in their order."""
        joined = join_images(parts, ("scores", "labels", "states", "voc", "true"))
        shown = {} if self.kept is None else self.kept.merge(parts)
        return {**joined, "grid": parts[0]["grid"], **shown}

    @functools.cached_property
    def heads(self) -> list[BoxHeads]:
        """The heads of every strength or of the chosen one; UndefinedError without objects."""
        sums, strengths = self._sums_and_strengths()
        if not self.known.any():
            raise UndefinedError(NO_CENTRES)
        classes, boxes = (ridge_path(of, strengths) for of in box_sums(sums))
        return [BoxHeads(*of, self.known) for of in zip(classes, boxes, strict=True)]

    @functools.cached_property
    def constant(self) -> BoxHeads:
        """The mean targets of train."""
        sums, _ = self._sums_and_strengths()
        means = [LinearHead(0 * of.products, of.targets / of.weight) for of in box_sums(sums)]
        return BoxHeads(means[0], means[1], self.known)

    @functools.cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which classes (C,) have train boxes."""
        sums, _ = self._sums_and_strengths()
        return known_classes(sums)

    def _sums_and_strengths(self) -> tuple[Arrays, list[float]]:
        """Sums of classes and of boxes, over the images to fit or over all train images.

        They are read when something is solved from them, and not kept, as those of
        `bob.protocols.segmentation_statistics.LinearHeads`.
        """
        return sums_and_strengths(
            self.path,
            self.every_strength,
            self.earlier,
            lambda of: average_precisions(PredictorMatches(of)),
        )


def known_classes(statistics: Arrays) -> NDArray[np.bool_]:
    """Return which classes (C,) some cell has, by the sums that a pass has stored."""
    return np.asarray(statistics["class_targets"] > 0)


def box_sums(statistics: Arrays) -> tuple[TargetSums, TargetSums]:
    """Return the sums of classes and of boxes that a pass has stored."""
    return TargetSums.read(statistics, "class_"), TargetSums.read(statistics, "box_")


@dataclass(frozen=True, eq=False)
class PredictorMatches:
    """The matches of P predictors on N images, as `BoxMatchSums` sums them."""

    statistics: Arrays

    def __len__(self) -> int:
        """Return N."""
        return len(self.statistics["true"])

    @property
    def predictors(self) -> int:
        """P"""
        return int(self.statistics["scores"].shape[1])

    def of(self, predictor: int) -> BoxMatches:
        """Return the outcome of one predictor."""
        names = ("scores", "labels", "states", "voc")
        of_predictor = {name: self.statistics[name][:, predictor] for name in names}
        return BoxMatches(**of_predictor, true=self.statistics["true"])


def average_precisions(matches: PredictorMatches) -> list[float]:
    """Return `box_ap` of each predictor; zero for each where no image has a box that counts."""
    if not matches.statistics["true"][:, :, 0].any():
        return [0.0] * matches.predictors
    return [box_ap(matches.of(predictor)) for predictor in range(matches.predictors)]


def require_boxes(dataset: Dataset) -> None:
    """Raise NotApplicableError where there are no train or test images, or images without boxes."""
    require_splits(dataset, "train", "test")
    if missing := [name for name, split in dataset.splits.items() if split.boxes is None]:
        raise NotApplicableError(
            f"needs the boxes of each image; {missing[0]} of dataset {dataset.name!r} has none."
        )


def outcome_of(
    found: Sequence[Detections], boxes: Sequence[ImageBoxes], classes: int
) -> BoxMatches:
    """Return which detections of N images are right."""
    true = [TrueBoxes(of.xyxy, of.areas, of.ignored, of.crowds) for of in boxes]
    rows = [
        vars(matched(detections, of, image.labels))
        for detections, of, image in zip(found, true, boxes, strict=True)
    ]
    counts = [
        counted_boxes(of, image.labels, classes) for of, image in zip(true, boxes, strict=True)
    ]
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return BoxMatches(true=np.stack(counts), **stacked)


def boxes_of(split: Split) -> BoxSets:
    """Return the boxes of a split; DatasetError where it has none."""
    if split.boxes is None:
        raise DatasetError("detection needs the boxes of each image; these images have none.")
    return split.boxes


def _make_sums(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> BoxSums:
    return BoxSums(boxes_of(split), settings["classes"])


def _make_matches(settings: Mapping[str, Any], split: Split, earlier: Earlier) -> BoxMatchSums:
    path, every = StrengthPath.read(settings), settings["every_strength"]
    kept = None if every else KeptDetections.of(split)
    return BoxMatchSums(boxes_of(split), settings["classes"], path, every, earlier, kept)


register_accumulator("box_sums", _make_sums)
register_accumulator("box_matches", _make_matches)
