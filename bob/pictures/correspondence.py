"""Pairs of images with lines between the points of one and where they were found in the other."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from bob.datasets.dataset import Split
from bob.datasets.points import TargetPoints
from bob.numerics.arrays import Bools, Doubles
from bob.pictures.examples import LabelledArrays, ScoredExamples, ShownArrays, chosen_sections
from bob.pictures.page import WIDE_PX, Picture, Strip, thumbnail
from bob.pictures.view import Sections, View, image_at

FOUND, MISSED, TRUE = (0, 114, 178), (230, 120, 30), (255, 255, 255)
_DOT_PX = 3


def correspondence_sections(records: Sequence[LabelledArrays], view: View) -> Sections:
    """Yield pairs of one record or of two; each line ends where the point was found."""
    query, gallery = view.split("query"), view.split("gallery")
    if query is None or gallery is None:
        return
    within = float(view.record.task.settings["within"][0])
    by_pair = [_by_pair(arrays) for _, arrays in records]

    def strip(pair: int) -> Strip:
        target = int(by_pair[0][pair]["target"][0])
        pictures = []
        for (label, _), rows in zip(records, by_pair, strict=True):
            prefix = f"{label}: " if label else ""
            pictures.append(_picture(prefix, rows[pair], query, gallery, target, within))
        return Strip("", pictures)

    of_records = [
        ScoredExamples(
            label,
            {pair: float(_is_found(of, gallery, within).mean()) for pair, of in rows.items()},
            np.unique(arrays["pair"][arrays["sampled"]]).tolist(),
        )
        for (label, arrays), rows in zip(records, by_pair, strict=True)
    ]
    yield from chosen_sections(of_records, "pairs", "share of points found", strip)


def _by_pair(arrays: ShownArrays) -> dict[int, ShownArrays]:
    """Return the number of each pair → its points."""
    return {
        int(pair): {name: values[arrays["pair"] == pair] for name, values in arrays.items()}
        for pair in np.unique(arrays["pair"])
    }


def _is_found(of: ShownArrays, gallery: Split, within: float) -> Bools:
    """Return which points (n,) of a pair were found."""
    points = _target_points(gallery, int(of["target"][0]))
    extent = points.extent_px[points.pair == of["pair"][0]][0]
    return np.asarray(np.hypot(*(of["found"] - of["xy"]).T) <= within * extent)


def _target_points(gallery: Split, position: int) -> TargetPoints:
    assert gallery.points is not None
    points = gallery.points.read(position)
    assert isinstance(points, TargetPoints)
    return points


def _picture(
    prefix: str, of: ShownArrays, query: Split, gallery: Split, target: int, within: float
) -> Picture:
    """Return the source image beside the target image, with a line for each point."""
    assert gallery.points is not None and query.points is not None
    wanted = set(of["id"].tolist())
    source, places = _source(query, gallery.points.sources[target], wanted)
    found = _is_found(of, gallery, within)
    drawn = draw_pair(
        image_at(query, source),
        image_at(gallery, target),
        np.array([places[point] for point in of["id"].tolist()]),
        of["found"],
        of["xy"],
        found,
    )
    lines = (f"{prefix}{int(found.sum())} of {len(found)} points found",)
    return Picture(thumbnail(drawn, WIDE_PX), gallery.ids[target], lines, is_wide=True)


def _source(
    query: Split, names: Sequence[str], wanted: set[int]
) -> tuple[int, Mapping[int, tuple[float, float]]]:
    """Return the position of the source image with these points, and the place of each by id."""
    assert query.points is not None
    for name in names:
        position = query.ids.index(name)
        points = query.points.read(position)
        places = {
            point: (float(x), float(y))
            for point, (x, y) in zip(points.ids.tolist(), points.xy, strict=True)
        }
        if wanted <= places.keys():
            return position, places
    raise ValueError(f"no source image has all points {sorted(wanted)[:5]}.")


def draw_pair(
    source: Image.Image,
    target: Image.Image,
    at: Doubles,
    found: Doubles,
    true: Doubles,
    is_found: Bools,
) -> Image.Image:
    """Return two images side by side at one height, with a line for each of n points.

    `at` (n, 2) are columns and rows in the source, `found` and `true` (n, 2) in the target. A
    missed point's true place is joined to the place where it was found by a white line.
    """
    height = WIDE_PX // 2
    scales = [height / image.height for image in (source, target)]
    widths = [
        max(1, round(scale * image.width))
        for scale, image in zip(scales, (source, target), strict=True)
    ]
    canvas = Image.new("RGB", (sum(widths), height))
    canvas.paste(source.resize((widths[0], height)), (0, 0))
    canvas.paste(target.resize((widths[1], height)), (widths[0], 0))
    draw = ImageDraw.Draw(canvas)
    offset = np.array([widths[0], 0])
    for start, end, place, right in zip(
        at * scales[0], found * scales[1] + offset, true * scales[1] + offset, is_found, strict=True
    ):
        colour = FOUND if right else MISSED
        if not right:
            draw.line([*end, *place], TRUE)
        draw.line([*start, *end], colour, width=2)
        draw.ellipse([*(end - _DOT_PX), *(end + _DOT_PX)], fill=colour)
    return canvas
