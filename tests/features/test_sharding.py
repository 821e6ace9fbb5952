"""Shards are cut by bytes into powers of two, and each lies within one span."""

from itertools import pairwise

import pytest

from bob.features import sharding
from bob.features.sharding import (
    LARGE_SPAN_IMAGES,
    LARGE_SPLIT,
    SHARD_BYTES,
    SPAN_IMAGES,
    Sharding,
    span_images,
)


@pytest.mark.parametrize(
    ("shape", "item_bytes", "images"),
    [
        # A row of 1,024 float32 takes 4 KiB; 8,192 of them fit in 32 MiB, but a span has 1,024.
        ((1024,), 4, 1024),
        # 2^23 / 8,192 = 1,024 rows fit exactly; one value more, and 1,023 fit: 512 is a power of 2.
        ((8192,), 4, 1024),
        ((8193,), 4, 512),
        ((8193,), 2, 1024),
        # 37 * 37 * 1,024 float32 take 5.35 MiB: 5 images fit, so 4.
        ((37, 37, 1024), 4, 4),
        # As float16 2.67 MiB: 11 images fit, so 8.
        ((37, 37, 1024), 2, 8),
        # 16 * 16 * 768 float32 take 0.75 MiB: 42 fit, so 32.
        ((16, 16, 768), 4, 32),
        # A row of 32 MiB fits exactly once; a larger one has a shard of its own.
        ((2**23,), 4, 1),
        ((2**23 + 1,), 4, 1),
        ((128, 128, 1024), 4, 1),
    ],
)
def test_shards_hold_the_largest_power_of_two_that_fits(
    shape: tuple[int, ...], item_bytes: int, images: int
) -> None:
    assert Sharding.by_bytes(100_000, shape, item_bytes).images == images


@pytest.mark.parametrize(
    ("count", "shards", "last"),
    [
        (1, 1, range(1)),
        (1024, 1, range(1024)),
        (1025, 2, range(1024, 1025)),
        # 2^17 images are a large split, with spans of 8,192: 16 of them.
        (2**17 - 1, 128, range(130_048, 131_071)),
        (2**17, 16, range(122_880, 131_072)),
        (2**17 + 1, 17, range(131_072, 131_073)),
    ],
)
def test_shards_cover_all_images(count: int, shards: int, last: range) -> None:
    cut = Sharding.by_bytes(count, (4,), 4)
    assert len(cut) == shards
    assert cut.positions(shards - 1) == last
    assert cut == Sharding.by_span(count)


def test_an_empty_split_has_no_shards() -> None:
    assert len(Sharding.by_bytes(0, (4,), 4)) == 0


@pytest.mark.parametrize(
    "count", [1, 1000, 1024, 1025, 5000, LARGE_SPLIT - 1, LARGE_SPLIT, 300_001]
)
@pytest.mark.parametrize("shape", [(4,), (9000,), (100_000,), (37, 37, 1024), (2**24,)])
def test_the_shards_of_all_spans_are_all_shards_and_cover_their_spans(
    count: int, shape: tuple[int, ...]
) -> None:
    cut, span = Sharding.by_bytes(count, shape, 4), span_images(count)
    assert cut.images & (cut.images - 1) == 0 and span % cut.images == 0
    numbers = [list(cut.of_span(number)) for number in range(-(-count // span))]
    assert [number for of_span in numbers for number in of_span] == list(range(len(cut)))
    for number, of_span in enumerate(numbers):
        assert cut.positions(of_span[0]).start == number * span
        assert cut.positions(of_span[-1]).stop == min(count, (number + 1) * span)
        for before, after in pairwise(of_span):
            assert cut.positions(before).stop == cut.positions(after).start


def test_spans_follow_the_size_of_the_split() -> None:
    assert (span_images(LARGE_SPLIT - 1), span_images(LARGE_SPLIT)) == (1024, 8192)
    assert (SPAN_IMAGES, LARGE_SPAN_IMAGES, SHARD_BYTES) == (1024, 8192, 33_554_432)


def test_the_limits_are_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten bytes hold two rows of one float32 and not three: shards of two images."""
    monkeypatch.setattr(sharding, "SHARD_BYTES", 10)
    assert Sharding.by_bytes(5, (1,), 4).images == 2
