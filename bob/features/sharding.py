"""How the images of a split are cut into shards (files) and spans (units of work).

A *shard* is one file of the feature store. Shards are cut by bytes, so that a grid of
37 x 37 x 1,024 values per image makes files of the same size as a row of 1,024 values. A *span* is
what a process leases, decodes and embeds in one go for all backbones of a pass. All sizes are
powers of two, so that every shard lies within one span whatever the shape of its rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SPAN_IMAGES = 1024
"""Images per span: what is lost when a process dies, and what processes and devices hand each
other. About a minute of a small backbone's work on a laptop."""
LARGE_SPAN_IMAGES = 8192
"""The same for large splits, of which many small files would exhaust inode quotas."""
LARGE_SPLIT = 2**17
"""Images from which a split counts as large."""
SHARD_BYTES = 32 * 2**20
"""Largest size of a shard that holds more than one row."""


def span_images(count: int) -> int:
    """Return the number of images per span of a split of `count` images."""
    return LARGE_SPAN_IMAGES if count >= LARGE_SPLIT else SPAN_IMAGES


def images_of(spans: range, count: int) -> int:
    """Return the number of images in consecutive spans of a split of `count` images."""
    size = span_images(count)
    return min(count, spans.stop * size) - spans.start * size


@dataclass(frozen=True)
class Sharding:
    """The shards of one key over `count` images."""

    count: int
    images: int
    """Images per shard, a power of two."""

    @classmethod
    def by_bytes(cls, count: int, shape: Sequence[int], item_bytes: int) -> "Sharding":
        """Cut rows of a shape and item size into shards of at most SHARD_BYTES, or of one row."""
        fitting = max(1, SHARD_BYTES // max(1, math.prod(shape) * item_bytes))
        return cls(count, min(span_images(count), 1 << (fitting.bit_length() - 1)))

    @classmethod
    def by_span(cls, count: int) -> "Sharding":
        """Make one shard per span."""
        return cls(count, span_images(count))

    def __len__(self) -> int:
        """Return the number of shards."""
        return -(-self.count // self.images)

    def positions(self, number: int) -> range:
        """Return the positions in the split of the images of one shard."""
        return range(number * self.images, min(self.count, (number + 1) * self.images))

    def of_span(self, span: int) -> range:
        """Return the numbers of the shards of one span."""
        per_span = span_images(self.count) // self.images
        return range(span * per_span, min(len(self), (span + 1) * per_span))
