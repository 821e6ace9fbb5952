"""Images of detection: true boxes, and the best predicted ones, right and wrong."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from bob.datasets.dataset import Split
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.box_matching import NEUTRAL, RIGHT
from bob.pictures.colours import Pixels
from bob.pictures.correspondence import FOUND, MISSED, TRUE
from bob.pictures.examples import LabelledArrays, ShownArrays
from bob.pictures.pixels import Painted, image_sections, thumbnail_size
from bob.pictures.view import Sections, View, image_at

IGNORED = (128, 128, 128)
_BACKGROUND_SHARE = 0.5
"""Brightness of the image behind boxes."""
Colour = tuple[int, int, int]


def box_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield images of detection of one record or of two.

    Of each image as many predictions are drawn as it has objects that count, the best ones; one
    where there is none.
    """

    def paint(split: Split, position: int, rows: Sequence[ShownArrays]) -> list[list[Painted]]:
        assert split.boxes is not None
        boxes, image = split.boxes.read(position), image_at(split, position)
        counted = ~boxes.ignored
        colours = [TRUE if counts else IGNORED for counts in counted]
        target = draw_boxes(image, boxes.xyxy, colours)
        painted = [[(target, "objects", _names(boxes.labels[counted], view))]]
        for row in rows:
            best = best_predictions(row, int(counted.sum()))
            states = row["states"][best]
            colours = [_COLOURS.get(state, MISSED) for state in states.tolist()]
            predictions = draw_boxes(image, row["boxes"][best], colours)
            right = f"{int((states == RIGHT).sum())} of {len(best)} right"
            names = _names(row["labels"][best], view)
            line = f"{right}: {names}" if names else right
            painted.append([(predictions, f"best predictions, AP50 {_percent(row)}", line)])
        return painted

    split = view.split("test")
    if split is not None and split.boxes is not None:
        yield from image_sections(records, "AP50", paint, view)


_COLOURS = {RIGHT: FOUND, NEUTRAL: IGNORED}


def best_predictions(row: ShownArrays, objects: int) -> Ints:
    """Return the positions of the predictions of an image that are drawn; scores descend."""
    kept = np.flatnonzero(row["labels"] >= 0)
    return np.asarray(kept[: max(1, objects)], np.int64)


def draw_boxes(image: Image.Image, xyxy: Doubles | Floats, colours: Sequence[Colour]) -> Pixels:
    """Return a darkened thumbnail of an image with boxes (n, 4), the first one uppermost."""
    height, width = thumbnail_size((image.height, image.width))
    small = np.asarray(image.convert("RGB").resize((width, height)), np.float64)
    canvas = Image.fromarray((small * _BACKGROUND_SHARE).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    scale = np.array([width / image.width, height / image.height] * 2)
    last = np.array([width - 1, height - 1] * 2)
    for box, colour in reversed(list(zip(xyxy, colours, strict=True))):
        draw.rectangle(np.minimum(np.rint(box * scale), last).tolist(), outline=colour)
    return np.asarray(canvas)


def _names(labels: Ints, view: View) -> str:
    return ", ".join(view.class_name(int(label)) for label in labels)


def _percent(row: ShownArrays) -> str:
    """Return the score of an image; an image without objects has none."""
    score = float(row["score"])
    return "undefined" if np.isnan(score) else f"{100 * score:.0f} %"
