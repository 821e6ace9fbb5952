"""Keys: everything that features and statistics depend on, and nothing else."""

import dataclasses
from typing import Any

import pytest

from bob.extraction.accumulators import AccumulatorSpec
from bob.features.key import FeatureKey, StatisticsKey
from bob.features.sharding import SPAN_IMAGES
from tests.builders.features import KEY

ACCUMULATOR = AccumulatorSpec("sums", 1, (("bins", 8), ("classes", 21)))
STATISTICS = ACCUMULATOR.key(KEY, "labels")
OTHER_VALUES: dict[str, Any] = {
    "weights_hash": "other",
    "forward": KEY.forward | {"library": "timm 2"},
    "geometry": {"input_px": 256},
    "normalisation": {"mean": [0.4]},
    "output": "cls",
    "shape": (4,),
    "precision": "bfloat16",
    "images": "g",
    "count": 7,
    "split": "test",
    "stored": "float16",
    "alpha": "white",
    "pixels": "pillow 13",
    "extraction": KEY.extraction + 1,
}
OTHER_STATISTICS: dict[str, Any] = {
    "features": dataclasses.replace(KEY, weights_hash="other"),
    "accumulator": dataclasses.replace(ACCUMULATOR, version=2).facts(),
    "targets": "other labels",
    "after": ("0" * 32,),
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(FeatureKey)])
def test_every_field_of_a_feature_key_changes_its_digest(field: str) -> None:
    other = dataclasses.replace(KEY, **{field: OTHER_VALUES[field]})
    assert other.digest() != KEY.digest() and other != KEY
    assert ACCUMULATOR.key(other, "labels").digest() != STATISTICS.digest()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(StatisticsKey)])
def test_every_field_of_a_statistics_key_changes_its_digest(field: str) -> None:
    other = dataclasses.replace(STATISTICS, **{field: OTHER_STATISTICS[field]})
    assert other.digest() != STATISTICS.digest() and other != STATISTICS


@pytest.mark.parametrize(
    "change", [{"name": "counts"}, {"version": 2}, {"settings": (("bins", 9), ("classes", 21))}]
)
def test_every_field_of_an_accumulator_changes_the_digest(change: dict[str, Any]) -> None:
    other = dataclasses.replace(ACCUMULATOR, **change)
    assert other.key(KEY, "labels").digest() != STATISTICS.digest()


def test_features_and_statistics_have_different_digests() -> None:
    assert STATISTICS.digest() != KEY.digest()
    assert StatisticsKey(KEY).digest() != KEY.digest()


def test_the_order_of_values_does_not_change_a_digest() -> None:
    reordered = dataclasses.replace(KEY, forward=dict(reversed(KEY.forward.items())))
    assert reordered.digest() == KEY.digest() and hash(reordered) == hash(KEY)
    settings = dataclasses.replace(ACCUMULATOR, settings=ACCUMULATOR.settings[::-1])
    assert settings.key(KEY, "labels").digest() == STATISTICS.digest()


def test_statistics_have_one_shard_per_span_whatever_the_shape_of_the_features() -> None:
    """A grid of 37 x 37 x 1,024 float32 takes 5.35 MiB: 4 images per shard of features."""
    grid = dataclasses.replace(KEY, shape=(37, 37, 1024), count=SPAN_IMAGES + 1)
    assert len(grid.sharding) == SPAN_IMAGES // 4 + 1
    assert len(ACCUMULATOR.key(grid, "").sharding) == 2


def test_the_size_of_features_counts_every_value() -> None:
    """Six rows of three float32: 72 bytes; half as many as float16."""
    assert KEY.bytes() == 72 and dataclasses.replace(KEY, stored="float16").bytes() == 36
