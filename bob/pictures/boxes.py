"""Images of detection and discovery: true boxes and masks, and predicted ones, right and wrong."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from bob.datasets.boxes import BoxSets
from bob.datasets.dataset import Split
from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.dense.box_matching import NEUTRAL, RIGHT, THRESHOLDS
from bob.numerics.dense.pixels import at_centres
from bob.pictures.colours import Pixels
from bob.pictures.correspondence import FOUND, MISSED, TRUE
from bob.pictures.examples import LabelledArrays, ShownArrays
from bob.pictures.pixels import Painted, image_sections, thumbnail_size
from bob.pictures.view import Sections, View, image_at

IGNORED = (128, 128, 128)
_BACKGROUND_SHARE = 0.5
"""Brightness of the image behind boxes."""
_MASK_SHARE = 0.5
"""Share of the colour in the pixels of a mask."""
METHODS = ("TokenCut", "LOST")
"""Names of the boxes that discovery keeps, in their order."""
Colour = tuple[int, int, int]
DrawTarget = Callable[[BoxSets, int, Image.Image, Sequence[Colour]], Pixels]
DrawPredicted = Callable[[ShownArrays, Ints, Image.Image, Sequence[Colour]], Pixels]


def box_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield images of detection of one record or of two.

    Of each image as many predictions are drawn as it has objects that count, the best ones; one
    where there is none.
    """

    def target(
        boxes: BoxSets, position: int, image: Image.Image, colours: Sequence[Colour]
    ) -> Pixels:
        return draw_boxes(image, boxes.read(position).xyxy, colours)

    def predicted(
        row: ShownArrays, best: Ints, image: Image.Image, colours: Sequence[Colour]
    ) -> Pixels:
        return draw_boxes(image, row["boxes"][best], colours)

    yield from _object_sections(records, view, target, predicted)


def mask_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield images of instance masks of one record or of two, as those of detection."""

    def target(
        boxes: BoxSets, position: int, image: Image.Image, colours: Sequence[Colour]
    ) -> Pixels:
        assert boxes.masks is not None
        return draw_masks(image, boxes.masks(position), colours)

    def predicted(
        row: ShownArrays, best: Ints, image: Image.Image, colours: Sequence[Colour]
    ) -> Pixels:
        from bob.numerics.dense.mask_head import pasted  # imports torch

        cells = np.unpackbits(row["masks"][best], axis=-1, count=row["masks"].shape[-2])
        boxes = row["boxes"][best].astype(np.float64)
        masks = pasted(cells.astype(np.float32), boxes, (image.height, image.width))
        return draw_masks(image, masks, colours)

    split = view.split("test")
    if split is not None and split.boxes is not None and split.boxes.masks is not None:
        yield from _object_sections(records, view, target, predicted)


def discovery_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield images of discovery of one record or of two: the boxes of TokenCut and of LOST."""

    def paint(split: Split, position: int, rows: Sequence[ShownArrays]) -> list[list[Painted]]:
        assert split.boxes is not None
        boxes, image = split.boxes.read(position), image_at(split, position)
        colours = [IGNORED if is_crowd else TRUE for is_crowd in boxes.crowds]
        target = draw_boxes(image, boxes.xyxy, colours)
        painted = [[(target, "objects", _names(boxes.labels[~boxes.crowds], view))]]
        sides = np.array([image.width, image.height] * 2)
        for row in rows:
            of_methods = zip(METHODS, row["boxes"], row["overlaps"].tolist(), strict=True)
            painted.append(
                [
                    (
                        draw_boxes(image, (box * sides)[None], [_colour_of(overlap)]),
                        method,
                        f"overlap {100 * overlap:.0f} %",
                    )
                    for method, box, overlap in of_methods
                ]
            )
        return painted

    split = view.split("test")
    if split is not None and split.boxes is not None:
        yield from image_sections(records, "overlap of TokenCut's box", paint, view)


def _colour_of(overlap: float) -> Colour:
    return FOUND if overlap >= THRESHOLDS[0] else MISSED


def _object_sections(
    records: Sequence[LabelledArrays], view: View, target: DrawTarget, predicted: DrawPredicted
) -> Sections:
    """Yield images with their objects, and as many of the best predictions."""

    def paint(split: Split, position: int, rows: Sequence[ShownArrays]) -> list[list[Painted]]:
        assert split.boxes is not None
        boxes, image = split.boxes.read(position), image_at(split, position)
        counted = ~boxes.ignored
        colours = [TRUE if counts else IGNORED for counts in counted]
        objects = target(split.boxes, position, image, colours)
        painted = [[(objects, "objects", _names(boxes.labels[counted], view))]]
        for row in rows:
            best = best_predictions(row, int(counted.sum()))
            states = row["states"][best]
            colours = [_COLOURS.get(state, MISSED) for state in states.tolist()]
            right = f"{int((states == RIGHT).sum())} of {len(best)} right"
            names = _names(row["labels"][best], view)
            line = f"{right}: {names}" if names else right
            drawn = predicted(row, best, image, colours)
            painted.append([(drawn, f"best predictions, AP50 {_percent(row)}", line)])
        return painted

    split = view.split("test")
    if split is not None and split.boxes is not None:
        yield from image_sections(records, "AP50", paint, view)


_COLOURS = {RIGHT: FOUND, NEUTRAL: IGNORED}


def best_predictions(row: ShownArrays, objects: int) -> Ints:
    """Return the positions of the predictions of an image that are drawn; scores descend."""
    kept = np.flatnonzero(row["labels"] >= 0)
    return np.asarray(kept[: max(1, objects)], np.int64)


def draw_masks(image: Image.Image, masks: Bools, colours: Sequence[Colour]) -> Pixels:
    """Return a darkened thumbnail of an image with masks (n, H, W), the first one uppermost.

    Their outlines have the full colour, what they enclose a part of it.
    """
    canvas = _darkened(image).astype(np.float64)
    for mask, colour in reversed(list(zip(masks, colours, strict=True))):
        inside = at_centres(mask, canvas.shape[:2])
        weight = np.where(inside ^ _eroded(inside), 1.0, _MASK_SHARE * inside)[..., None]
        canvas = weight * colour + (1 - weight) * canvas
    return np.rint(canvas).astype(np.uint8)


def _eroded(mask: Bools) -> Bools:
    """Return the pixels all of whose four neighbours are in a mask (h, w)."""
    padded = np.pad(mask, 1)
    return np.asarray(
        mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    )


def draw_boxes(image: Image.Image, xyxy: Doubles | Floats, colours: Sequence[Colour]) -> Pixels:
    """Return a darkened thumbnail of an image with boxes (n, 4), the first one uppermost."""
    canvas = Image.fromarray(_darkened(image))
    height, width = canvas.height, canvas.width
    draw = ImageDraw.Draw(canvas)
    scale = np.array([width / image.width, height / image.height] * 2)
    last = np.array([width - 1, height - 1] * 2)
    for box, colour in reversed(list(zip(xyxy, colours, strict=True))):
        draw.rectangle(np.minimum(np.rint(box * scale), last).tolist(), outline=colour)
    return np.asarray(canvas)


def _darkened(image: Image.Image) -> Pixels:
    height, width = thumbnail_size((image.height, image.width))
    small = np.asarray(image.convert("RGB").resize((width, height)), np.float64)
    darkened: Pixels = (small * _BACKGROUND_SHARE).astype(np.uint8)
    return darkened


def _names(labels: Ints, view: View) -> str:
    return ", ".join(view.class_name(int(label)) for label in labels)


def _percent(row: ShownArrays) -> str:
    """Return the score of an image; an image without objects has none."""
    score = float(row["score"])
    return "undefined" if np.isnan(score) else f"{100 * score:.0f} %"
