"""Datasets of boxes without images, random detections, and their official scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bob.datasets.boxes import BoxSets, ImageBoxes
from bob.datasets.dataset import Dataset
from bob.numerics.arrays import Bools
from bob.numerics.dense.detections import Detections
from bob.numerics.dense.mask_head import box_pixels
from tests.builders.splits import digests, make_dataset, make_split

SIZE = (240, 320)


def image_boxes(
    xyxy: Sequence[Sequence[float]],
    labels: Sequence[int],
    crowds: Sequence[bool] = (),
    difficult: Sequence[bool] = (),
    size: tuple[int, int] = SIZE,
) -> ImageBoxes:
    """Return boxes of an image; areas are those of the boxes."""
    edges = np.array(xyxy, np.float64).reshape(-1, 4)
    is_crowd = np.array(crowds or [False] * len(edges), bool)
    ignored = is_crowd | np.array(difficult or [False] * len(edges), bool)
    areas = (edges[:, 2:] - edges[:, :2]).prod(axis=1)
    return ImageBoxes(size, edges, np.array(labels, np.int64), areas, ignored, is_crowd)


def random_boxes(rng: np.random.Generator, n: int, classes: int) -> ImageBoxes:
    """Return n boxes of small to large objects, an eighth of them crowds, at whole pixels."""
    sides = np.exp(rng.uniform(np.log(12), np.log(200), (n, 2)))
    corners = rng.uniform(0, 1, (n, 2)) * (np.array(SIZE[::-1]) - sides).clip(min=0)
    xyxy = np.concatenate([corners, np.minimum(corners + sides, SIZE[::-1])], axis=1).round()
    crowds = rng.uniform(size=n) < 1 / 8
    return image_boxes(xyxy.tolist(), rng.integers(0, classes, n).tolist(), crowds.tolist())


def random_detections(
    rng: np.random.Generator, true: ImageBoxes, n: int, classes: int
) -> Detections:
    """Return n detections, two thirds of them near true boxes, by descending scores."""
    noise = random_boxes(rng, n, classes)
    xyxy, labels = noise.xyxy.copy(), noise.labels.copy()
    if len(true.labels):
        near = rng.integers(0, len(true.labels), n)
        scale = rng.choice([0.0, 2.0, 10.0], (n, 1))
        moved = true.xyxy[near] + (rng.normal(size=(n, 4)) * scale).round()
        is_near = rng.uniform(size=n) < 2 / 3
        is_near &= (moved[:, 2:] > moved[:, :2]).all(axis=1)
        xyxy[is_near], labels[is_near] = moved[is_near], true.labels[near[is_near]]
    scores = np.sort(rng.permutation(1000)[:n] / 1000)[::-1]
    return Detections(xyxy, scores, labels)


def box_dataset(boxes: Mapping[str, Sequence[ImageBoxes]], classes: int) -> Dataset:
    """Return a dataset with these boxes by split."""
    splits = {
        name: make_split(digests(len(of), name), [-1] * len(of), boxes=make_boxes(of, name))
        for name, of in boxes.items()
    }
    names = [f"class_{c}" for c in range(classes)]
    return make_dataset(splits, names, kind="object-detection")


def make_boxes(boxes: Sequence[ImageBoxes], salt: str) -> BoxSets:
    """Return the boxes of a split, all of whose pixels are those of their objects."""
    return BoxSets(
        digests(len(boxes), f"boxes {salt}"),
        boxes.__getitem__,
        lambda i: box_pixels(boxes[i].xyxy, boxes[i].size),
    )


def with_boxes(dataset: Dataset, boxes: Mapping[str, Sequence[ImageBoxes]]) -> Dataset:
    """Return a dataset with boxes beside what its splits have."""
    splits = {
        name: replace(split, boxes=make_boxes(boxes[name], name))
        for name, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits)


def random_shapes(rng: np.random.Generator, n: int, size: tuple[int, int]) -> Bools:
    """Return n masks (n, H, W) of ellipses without one quadrant, of some size inside the image."""
    rows, columns = np.indices(size)
    masks = np.zeros((n, *size), bool)
    for mask in masks:
        half = rng.uniform(4, min(size) / 3, 2)
        y, x = (rng.uniform(h, side - h) for h, side in zip(half, size, strict=True))
        mask |= ((rows - y) / half[0]) ** 2 + ((columns - x) / half[1]) ** 2 < 1
        mask &= ~((rows > y) & (columns > x))
    return masks


def masked_boxes(masks: Bools, labels: Sequence[int], crowds: Sequence[bool] = ()) -> ImageBoxes:
    """Return the boxes around masks (n, H, W), with the areas of these."""
    edges = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        edges.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    boxes = image_boxes(edges, labels, crowds, size=masks.shape[1:])
    return replace(boxes, areas=masks.sum(axis=(1, 2)).astype(np.float64))
