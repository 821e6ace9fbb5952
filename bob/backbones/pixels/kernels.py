"""Resizing and cropping with compiled kernels that compute PIL's sums exactly.

They are 1.4 to 5 times as fast as PIL (`benchmarks/crops.py`), for three reasons: the loops are
compiled for the processor's vector units; rows are transposed into columns, LANES of them side by
side, so that both passes are sums of long vectors; and only pixels inside the crop are computed.
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
"""Rows summed side by side: enough for any vector unit, few enough for the first-level cache."""
BLOCK_BYTES = 2**20
"""Size of the blocks in which a large image is read; a block fits into the second-level cache."""
UNROLLED = 16
"""Pixels of a row transposed at once; a constant, so that the compiler unrolls the loop."""


def resize_and_crop(
    image: Image.Image, x: Axis, y: Axis, resample: Image.Resampling, *, columns_first: bool
) -> NDArray[np.uint8]:
    """Resize and crop an RGB image to (3, y.crop_px, x.crop_px) uint8.

    `columns_first` is the order of the two passes, which changes how pixels are rounded.
    """
    across, down = taps(x, resample), taps(y, resample)
    left, top, right, bottom = int(across.first[0]), int(down.first[0]), across.end, down.end
    result = np.empty((3, y.crop_px, x.crop_px), np.uint8)
    if columns_first:
        strip = np.empty((y.crop_px, right - left, 4), np.uint8)
        for start, end in _blocks(left, right, bottom - top):
            pixels = _pixels(image.crop((start, top, end, bottom)))
            _resample_columns(
                pixels.reshape(1, bottom - top, -1),
                down.first - top,
                down.count,
                down.weights,
                strip.reshape(1, y.crop_px, -1),
                4 * (start - left),
            )
        _resample_rows(
            _read_only(strip), across.first - left, across.count, across.weights, result, 0
        )
    else:
        strip = np.empty((3, bottom - top, x.crop_px), np.uint8)
        for start, end in _blocks(top, bottom, right - left):
            pixels = _pixels(image.crop((left, start, right, end)))
            _resample_rows(
                pixels, across.first - left, across.count, across.weights, strip, start - top
            )
        _resample_columns(_read_only(strip), down.first - top, down.count, down.weights, result, 0)
    return result


def _blocks(start: int, end: int, across: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of blocks of about BLOCK_BYTES, each a multiple of LANES but the last."""
    step = max(BLOCK_BYTES // (4 * across * LANES), 1) * LANES
    return ((at, min(at + step, end)) for at in range(start, end, step))


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return PIL's own memory as (H, W, 4) uint8, without a copy; the fourth channel is unused."""
    values: NDArray[np.uint8] = pyarrow.array(image).flatten().to_numpy()
    return values.reshape(image.height, image.width, 4)


def _read_only(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a read-only view.

    Whether an array is writable is part of its compiled type, and PIL's memory is read-only: so
    each kernel is compiled only once.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def _compiled(loop: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop at its first call, to run without Python's global lock.

    The compiled code is cached on disk for the next process if a cache folder is writable.
    """
    try:
        return numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # neither this package's folder nor the user's is writable
        return numba.njit(nogil=True)(loop)


@_compiled
def _transpose_rows(source: Any, first_row: int, rows: int, tile: Any) -> None:
    """Write `rows` rows of (H, W, 4) as columns, side by side, into tile (3 W, LANES)."""
    unrolled = rows - rows % UNROLLED
    for block in range(0, unrolled, UNROLLED):
        for x in range(source.shape[1]):
            for channel in range(3):
                for lane in range(UNROLLED):
                    tile[3 * x + channel, block + lane] = source[
                        first_row + block + lane, x, channel
                    ]
    for lane in range(unrolled, rows):
        for x in range(source.shape[1]):
            for channel in range(3):
                tile[3 * x + channel, lane] = source[first_row + lane, x, channel]


@_compiled
def _transpose_back(tile: Any, rows: int, target: Any, first_row: int) -> None:
    """Write the columns of tile (3, X, LANES) as `rows` rows into target (3, H, X)."""
    width = tile.shape[1]
    unrolled = width - width % UNROLLED
    for channel in range(3):
        for block in range(0, unrolled, UNROLLED):
            for lane in range(rows):
                for x in range(UNROLLED):
                    target[channel, first_row + lane, block + x] = tile[channel, block + x, lane]
        for x in range(unrolled, width):
            for lane in range(rows):
                target[channel, first_row + lane, x] = tile[channel, x, lane]


@_compiled
def _resample_rows(
    source: Any, first: Any, count: Any, weights: Any, target: Any, offset: int
) -> None:
    """Resample (H, W, 4) uint8 along rows into target (3, rows, X) uint8, from row `offset` on."""
    height, width = len(source), len(first)
    tile = np.zeros((3 * source.shape[1], LANES), np.uint8)
    summed = np.empty((3, width, LANES), np.uint8)
    total = np.empty(LANES, np.int32)
    for row in range(0, height, LANES):
        rows = min(LANES, height - row)
        _transpose_rows(source, row, rows, tile)
        for x in range(width):
            for channel in range(3):
                total[:] = HALF
                for tap in range(count[x]):
                    weight, values = weights[x, tap], tile[3 * (first[x] + tap) + channel]
                    for lane in range(LANES):
                        total[lane] += np.int32(weight * np.int32(values[lane]))
                for lane in range(LANES):
                    summed[channel, x, lane] = min(max(total[lane] >> PLACES, 0), 255)
        _transpose_back(summed, rows, target, offset + row)


@_compiled
def _resample_columns(
    source: Any, first: Any, count: Any, weights: Any, target: Any, offset: int
) -> None:
    """Resample (planes, H, values) uint8 along columns into target (planes, Y, all values) uint8.

    The values of this block start at `offset` in the target.
    """
    total = np.empty(source.shape[2], np.int32)
    for plane in range(len(source)):
        for y in range(len(first)):
            total[:] = HALF
            for tap in range(count[y]):
                weight, values = weights[y, tap], source[plane, first[y] + tap]
                for i in range(len(total)):
                    total[i] += np.int32(weight * np.int32(values[i]))
            line = target[plane, y, offset:]
            for i in range(len(total)):
                line[i] = min(max(total[i] >> PLACES, 0), 255)
