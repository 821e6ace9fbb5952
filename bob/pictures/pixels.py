"""Images of segmentation and depth: image, target, predictions, errors and features of patches."""

from collections.abc import Callable, Sequence

import numpy as np

from bob.datasets.dataset import Split
from bob.datasets.masks import IGNORED
from bob.numerics.arrays import Ints
from bob.numerics.dense.pixels import at_centres, upsampled
from bob.pictures.colours import Pixels, class_colours, paint_classes, paint_depth, paint_errors
from bob.pictures.examples import (
    LabelledArrays,
    ScoredExamples,
    ShownArrays,
    chosen_sections,
)
from bob.pictures.page import THUMBNAIL_PX, PageSection, Picture, Strip, map_uri
from bob.pictures.view import Sections, View, picture

FACTOR = 2.0
"""Ratio to the true depth, or its inverse, whose colour is that of the largest errors."""
_SWATCH_PX = 24
Painted = tuple[Pixels, str, str]
"""A map, its name, and what is said of it."""


def segmentation_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield images of segmentation of one record or of two, with the colours of their classes."""
    present: set[int] = set()

    def paint(split: Split, position: int, rows: Sequence[ShownArrays]) -> list[list[Painted]]:
        assert split.masks is not None and view.dataset is not None
        classes = len(view.dataset.classes)
        mask = split.masks.read(position).astype(np.int64)
        kept = [row["classes"].astype(np.int64) for row in rows]
        for labels in (at_centres(mask, thumbnail_size(mask.shape)), *kept):
            present.update(np.unique(labels).tolist())
        scores = [f"mean IoU {100 * float(row['score']):.0f} %" for row in rows]
        return _label_maps(mask, kept, classes, scores)

    sections = list(image_sections(records, "mean IoU", paint, view))
    if sections:
        assert view.dataset is not None
        yield _legend(sorted(present - {IGNORED}), view)
    yield from sections


def video_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield frames of videos of one record or of two, whose objects each have a colour."""

    def paint(split: Split, position: int, rows: Sequence[ShownArrays]) -> list[list[Painted]]:
        assert split.masks is not None
        mask = split.masks.read(position).astype(np.int64)
        kept = [row["objects"].astype(np.int64) for row in rows]
        objects = 1 + max(int(labels.max()) for labels in (mask, *kept))
        scores = [f"mean J of its objects {100 * float(row['score']):.0f} %" for row in rows]
        return _label_maps(mask, kept, objects, scores)

    yield from image_sections(records, "mean J of objects", paint, view, noun="frames")


def _label_maps(
    mask: Ints, kept: Sequence[Ints], classes: int, scores: Sequence[str]
) -> list[list[Painted]]:
    """Return the maps of the target (H, W), and of predictions (h, w) with their errors."""
    target = at_centres(mask, thumbnail_size(mask.shape))
    painted = [[(paint_classes(target, classes), "target", "")]]
    for labels, score in zip(kept, scores, strict=True):
        prediction = at_centres(labels, target.shape)
        # both at the pixels that were kept: those between them were not
        true = at_centres(at_centres(mask, labels.shape), target.shape)
        errors = paint_errors((prediction != true).astype(np.float64), true == IGNORED)
        painted.append(
            [
                (paint_classes(prediction, classes), "prediction", score),
                (errors, "wrong pixels", ""),
            ]
        )
    return painted


def depth_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield images of depth of one record or of two."""

    def paint(split: Split, position: int, rows: Sequence[ShownArrays]) -> list[list[Painted]]:
        assert split.depths is not None
        depth = split.depths.read(position)
        scored = split.depths.scored(depth)
        size = thumbnail_size(depth.shape)
        target = at_centres(np.where(scored, depth, np.nan), size)
        known = ~np.isnan(target)
        near, far = (
            np.quantile(target[known], (0.02, 0.98)) if known.any() else split.depths.range_m
        )
        painted = [[(paint_depth(target, near, far), "target", f"{near:.3g} to {far:.3g} m")]]
        for row in rows:
            prediction = upsampled(row["depth"].astype(np.float64), size)
            ratio = np.abs(np.log(prediction / np.where(known, target, 1))) / np.log(FACTOR)
            score = f"delta1 {100 * float(row['score']):.0f} %"
            errors = (paint_errors(ratio, ~known), "errors", f"dark: a factor of {FACTOR:g}")
            painted.append([(paint_depth(prediction, near, far), "prediction", score), errors])
        return painted

    yield from image_sections(records, "delta1", paint, view)


def image_sections(
    records: Sequence[LabelledArrays],
    measure: str,
    paint: Callable[[Split, int, Sequence[ShownArrays]], list[list[Painted]]],
    view: View,
    noun: str = "images",
) -> Sections:
    """Yield sections; `paint` returns the maps of the target, and those of each record."""
    split = view.split("test")
    if split is None:
        return
    rows = [_rows(arrays) for _, arrays in records]

    def strip(position: int) -> Strip:
        of_records = [of[position] for of in rows]
        target, *predictions = paint(split, position, of_records)
        pictures = [picture(split, position), *(_picture(*of) for of in target)]
        for (label, _), row, painted in zip(records, of_records, predictions, strict=True):
            if "colours" in row:
                shape = painted[0][0].shape[:2]
                painted.append((at_centres(row["colours"], shape), "features of patches", ""))
            prefix = f"{label}: " if label else ""
            pictures += [_picture(of, prefix + name, line) for of, name, line in painted]
        return Strip("", pictures, leads=True)

    of_records = [
        ScoredExamples(
            label,
            dict(zip(arrays["position"].tolist(), arrays["score"].tolist(), strict=True)),
            arrays["position"][arrays["sampled"]].tolist(),
        )
        for label, arrays in records
    ]
    yield from chosen_sections(of_records, noun, measure, strip)


def _rows(arrays: ShownArrays) -> dict[int, ShownArrays]:
    """Return position → the arrays of that image."""
    return {
        position: {name: values[row] for name, values in arrays.items()}
        for row, position in enumerate(arrays["position"].tolist())
    }


def _picture(pixels: Pixels, name: str, line: str = "") -> Picture:
    return Picture(map_uri(pixels), name, (line,) if line else ())


def thumbnail_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the size (h, w) of a thumbnail of an image (H, W)."""
    scale = min(1.0, THUMBNAIL_PX / max(shape))
    return max(1, round(scale * shape[0])), max(1, round(scale * shape[1]))


def _legend(classes: Sequence[int], view: View) -> PageSection:
    """Return the colours of classes."""
    colours = class_colours(max(classes, default=0) + 1)
    swatch = np.ones((_SWATCH_PX, _SWATCH_PX, 1), np.uint8)
    pictures = [_picture(swatch * colours[c], view.class_name(c)) for c in classes]
    about = "Colours of the classes of the images below. Cream-coloured pixels do not count."
    return PageSection("Classes", about, [Strip("", pictures)])
