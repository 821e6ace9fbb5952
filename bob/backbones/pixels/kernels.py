"""Resizing and cropping by loops that are compiled for the processor's vector units: PIL's sums, 1.4 to 5 times as fast (`benchmarks/crops.py`).

Rows are laid down as columns, LANES of them side by side, so that both passes are sums of long vectors. What a crop does not show is not summed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import pyarrow
from numpy.typing import NDArray
from PIL import Image

from bob.backbones.pixels.resample import PLACES, Axis, taps

HALF = 1 << (PLACES - 1)
LANES = 64
"""Rows that are summed side by side: wide enough for any vector unit, and few enough for the first cache."""
PART_BYTES = 2**20
"""Of a large image no whole copy is made: what is taken out of it at once stays in the processor's second cache."""
TURNED = 16
"""Pixels of a row that are laid down as a column at once. A constant, so that the loop is unrolled."""


def cropped(
    image: Image.Image, x: Axis, y: Axis, resample: Image.Resampling, *, columns_first: bool
) -> NDArray[np.uint8]:
    """(3, y.crop_px, x.crop_px) uint8: an RGB image resized and cropped, in passes in the order asked for."""
    across, down = taps(x, resample), taps(y, resample)
    left, top, right, bottom = int(across.first[0]), int(down.first[0]), across.end, down.end
    made = np.empty((3, y.crop_px, x.crop_px), np.uint8)
    if columns_first:
        strip = np.empty((y.crop_px, right - left, 4), np.uint8)
        for start, end in _parts(left, right, bottom - top):
            pixels = _pixels(image.crop((start, top, end, bottom)))
            _along_columns(
                pixels.reshape(1, bottom - top, -1),
                down.first - top,
                down.count,
                down.weights,
                strip.reshape(1, y.crop_px, -1),
                4 * (start - left),
            )
        _along_rows(_sealed(strip), across.first - left, across.count, across.weights, made, 0)
    else:
        strip = np.empty((3, bottom - top, x.crop_px), np.uint8)
        for start, end in _parts(top, bottom, right - left):
            pixels = _pixels(image.crop((left, start, right, end)))
            _along_rows(
                pixels, across.first - left, across.count, across.weights, strip, start - top
            )
        _along_columns(_sealed(strip), down.first - top, down.count, down.weights, made, 0)
    return made


def _parts(start: int, end: int, across: int) -> Iterator[tuple[int, int]]:
    """Spans of whole LANES, of which each part of the image takes about PART_BYTES."""
    step = max(PART_BYTES // (4 * across * LANES), 1) * LANES
    return ((at, min(at + step, end)) for at in range(start, end, step))


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 4) uint8, the fourth without meaning: PIL's own memory, not copied."""
    values: NDArray[np.uint8] = pyarrow.array(image).flatten().to_numpy()
    return values.reshape(image.height, image.width, 4)


def _sealed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Read-only: whether an array can be written is part of its compiled type, and one type is enough."""
    view = array.view()
    view.flags.writeable = False
    return view


def _compiled(loop: Callable[..., None]) -> Callable[..., None]:
    """Compiled at its first call, without Python's lock, and kept on the disk for the next process where there is a place to keep it."""
    try:
        return numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # neither this package's folder nor the user's can be written
        return numba.njit(nogil=True)(loop)


@_compiled
def _lay_down(source: Any, first_row: int, rows: int, tile: Any) -> None:
    """(H, W, 4) → tile (3 W, LANES): the columns of `rows` rows side by side."""
    whole = rows - rows % TURNED
    for block in range(0, whole, TURNED):
        for x in range(source.shape[1]):
            for channel in range(3):
                for lane in range(TURNED):
                    tile[3 * x + channel, block + lane] = source[
                        first_row + block + lane, x, channel
                    ]
    for lane in range(whole, rows):
        for x in range(source.shape[1]):
            for channel in range(3):
                tile[3 * x + channel, lane] = source[first_row + lane, x, channel]


@_compiled
def _stand_up(tile: Any, rows: int, made: Any, first_row: int) -> None:
    """Tile (3, X, LANES) → made (3, H, X): its columns as rows again."""
    width = tile.shape[1]
    whole = width - width % TURNED
    for channel in range(3):
        for block in range(0, whole, TURNED):
            for lane in range(rows):
                for x in range(TURNED):
                    made[channel, first_row + lane, block + x] = tile[channel, block + x, lane]
        for x in range(whole, width):
            for lane in range(rows):
                made[channel, first_row + lane, x] = tile[channel, x, lane]


@_compiled
def _along_rows(source: Any, first: Any, count: Any, weights: Any, made: Any, place: int) -> None:
    """(H, W, 4) uint8 → rows `place` and on of made (3, rows, X) uint8."""
    height, width = len(source), len(first)
    tile = np.zeros((3 * source.shape[1], LANES), np.uint8)
    summed = np.empty((3, width, LANES), np.uint8)
    total = np.empty(LANES, np.int32)
    for row in range(0, height, LANES):
        rows = min(LANES, height - row)
        _lay_down(source, row, rows, tile)
        for x in range(width):
            for channel in range(3):
                total[:] = HALF
                for tap in range(count[x]):
                    weight, values = weights[x, tap], tile[3 * (first[x] + tap) + channel]
                    for lane in range(LANES):
                        total[lane] += np.int32(weight * np.int32(values[lane]))
                for lane in range(LANES):
                    summed[channel, x, lane] = min(max(total[lane] >> PLACES, 0), 255)
        _stand_up(summed, rows, made, place + row)


@_compiled
def _along_columns(
    source: Any, first: Any, count: Any, weights: Any, made: Any, place: int
) -> None:
    """(planes, H, values) uint8 → values `place` and on of made (planes, Y, all values) uint8."""
    total = np.empty(source.shape[2], np.int32)
    for plane in range(len(source)):
        for y in range(len(first)):
            total[:] = HALF
            for tap in range(count[y]):
                weight, values = weights[y, tap], source[plane, first[y] + tap]
                for i in range(len(total)):
                    total[i] += np.int32(weight * np.int32(values[i]))
            line = made[plane, y, place:]
            for i in range(len(total)):
                line[i] = min(max(total[i] >> PLACES, 0), 255)
