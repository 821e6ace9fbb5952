"""What protocols read: backbones, and features by the names of needs."""

from collections.abc import Mapping

from bob.features.shard import Arrays
from bob.features.store import Features
from bob.protocols import FeatureNeed, Inputs, StatisticsNeed, TextNeed
from bob.specs import BackboneSpec

BASELINE = BackboneSpec(
    name="raw_pixels", family="baseline", loader="baseline", architecture="raw_pixels"
)
"""A backbone without a text tower."""
TWO_TOWERS = BackboneSpec.model_validate(
    {
        "name": "mine",
        "family": "clip",
        "loader": "open_clip",
        "architecture": "ViT-B-32",
        "weights": {"file": "x"},
    }
)
"""A backbone with an image and a text tower."""


def make_inputs(features: Mapping[str, Features]) -> Inputs:
    """Return inputs that give each need the features of its name."""

    def by_name(need: FeatureNeed | TextNeed) -> Features:
        return features[need.name]

    def refuse(need: StatisticsNeed) -> Arrays:
        raise AssertionError(f"no statistics: {need.name}")

    return Inputs(by_name, refuse)
