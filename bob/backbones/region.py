"""A crop of the resized image without resizing what the crop leaves out, by PIL, to the bit.

PIL resizes along rows and along columns, to 8 bits each time; a pixel of either pass is a sum over a few pixels of one row or column, whose weights
depend on the scale and on the pixel's own place alone. So a pass along rows can leave out the rows that no pixel of the crop needs, and one along
columns the columns beside it. PIL's `box` leaves out more, but its corners are float32: the weights are the same only where corners and scale are
exact in float32, so where the scale's denominator is a power of two, as for the shorter side of any image that is resized to 256 px.

Which pass comes first is PIL's choice, by the sizes (Pillow 13; rows first before that), and moves pixels. So a size is tried on noise before its
crops are made in this way, and only once as many images of that size were met as that costs.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

SUPPORT = {Image.Resampling.BILINEAR: 1.0, Image.Resampling.BICUBIC: 2.0, Image.Resampling.LANCZOS: 3.0}
"""Pixels to either side that a filter reads at scale 1."""
EXACT = 2**24
"""Below it, every whole number is a float32."""
WORTH = 0.9
"""A part of more than this share of the work is no sooner done, as measured."""
COPY = 0.1
"""What copying a pixel takes, of a pixel's part in a sum at scale 1."""
TRIED_AFTER = 8
"""Images of one size: trying costs about two crops and saves about a quarter of each that follows."""


@dataclass(frozen=True)
class Axis:
    """One side of the image: `source_px` pixels resized to `resized_px`, of which `crop_px` are kept, from the pixel `start` on."""

    source_px: int
    resized_px: int
    start: int
    crop_px: int

    @property
    def scale(self) -> float:
        return self.source_px / self.resized_px

    @property
    def box(self) -> tuple[float, float] | None:
        """The crop's ends among the source's pixels; None where PIL would round them."""
        denominator = self.resized_px // math.gcd(self.source_px, self.resized_px)
        if denominator & (denominator - 1) or self.source_px * denominator >= EXACT:
            return None
        return self.start * self.scale, (self.start + self.crop_px) * self.scale

    def read(self, support: float) -> tuple[int, int]:
        """From which pixel of the source on, and up to which, the crop reads; one more to either side, since PIL rounds."""
        reach = support * max(self.scale, 1.0) + 1
        return max(0, math.floor(self.start * self.scale - reach)), min(self.source_px, math.ceil((self.start + self.crop_px) * self.scale + reach))


@dataclass
class Region:
    """The crops of all images of one size."""

    x: Axis
    y: Axis
    resample: Image.Resampling
    met: int = 0
    same: bool | None = None
    """Whether a part of the work gives the pixels of all of it; None before it was tried."""

    def crop(self, image: Image.Image) -> Image.Image:
        """The image resized and cropped."""
        self.met += 1
        if self.same is None and self.met > TRIED_AFTER:
            self.same = self.share() < WORTH and self._is_same()
        return self.in_part(image) if self.same else self.whole(image)

    def whole(self, image: Image.Image) -> Image.Image:
        """By its definition."""
        left, top = self.x.start, self.y.start
        return image.resize((self.x.resized_px, self.y.resized_px), self.resample).crop((left, top, left + self.x.crop_px, top + self.y.crop_px))

    def in_part(self, image: Image.Image) -> Image.Image:
        """The same where PIL passes along rows first, without what the crop leaves out."""
        if self.x.box and self.y.box:
            return image.resize((self.x.crop_px, self.y.crop_px), self.resample, box=(self.x.box[0], self.y.box[0], self.x.box[1], self.y.box[1]))
        first, last = self.y.read(SUPPORT[self.resample])
        return self._along_columns(self._along_rows(image.crop((0, first, self.x.source_px, last))), first)

    def share(self) -> float:
        """The work of the part, of that of the whole, in products and copied pixels."""
        taps_x, taps_y = max(self.x.scale, 1.0), max(self.y.scale, 1.0)
        whole = self.x.resized_px * (self.y.source_px * taps_x + self.y.resized_px * taps_y)
        first, last = self.y.read(SUPPORT[self.resample])
        copied = 0.0 if self.x.box and self.y.box else COPY * self.x.source_px
        along_rows = (last - first) * ((self.x.crop_px if self.x.box else self.x.resized_px) * taps_x + copied)
        return (along_rows + self.x.crop_px * (self.y.crop_px if self.y.box else self.y.resized_px) * taps_y) / whole

    def _along_rows(self, strip: Image.Image) -> Image.Image:
        """Rows of the image, resized and cropped in width."""
        if self.x.box:
            return strip.resize((self.x.crop_px, strip.height), self.resample, box=(self.x.box[0], 0, self.x.box[1], strip.height))
        resized = strip.resize((self.x.resized_px, strip.height), self.resample)
        return resized.crop((self.x.start, 0, self.x.start + self.x.crop_px, strip.height))

    def _along_columns(self, strip: Image.Image, first: int) -> Image.Image:
        """The strip, whose first row is `first` of the image's, resized and cropped in height."""
        if self.y.box:
            return strip.resize((strip.width, self.y.crop_px), self.resample, box=(0, self.y.box[0] - first, strip.width, self.y.box[1] - first))
        column = Image.new(strip.mode, (strip.width, self.y.source_px))
        column.paste(strip, (0, first))
        return column.resize((strip.width, self.y.resized_px), self.resample).crop((0, self.y.start, strip.width, self.y.start + self.y.crop_px))

    def _is_same(self) -> bool:
        """On noise, where the other order of passes gives other values to one pixel of ten."""
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (self.y.source_px, self.x.source_px, 3), dtype=np.uint8))
        return self.in_part(noise).tobytes() == self.whole(noise).tobytes()
