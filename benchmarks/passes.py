"""Passes over images, as the benchmarks run them."""

import torch

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.extraction.embedder import Embedder
from bob.extraction.passes import Member, Target
from bob.extraction.runtimes.runtime import Runtime
from bob.features.key import FeatureKey
from bob.specs import BackboneSpec
from bob.specs.output import DEFAULT


def load_folded(spec: BackboneSpec) -> Backbone:
    """Load a backbone as passes run it, with batch normalisation folded into convolutions."""
    backbone = load_backbone(spec, "cpu", "float32", offline=True)
    fold_batchnorm(backbone)
    return backbone


def width_of(backbone: Backbone) -> int:
    """Return D, by embedding one black crop."""
    height, width = backbone.geometry.height_px, backbone.geometry.width_px
    crop = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    return int(backbone.embed(crop, [DEFAULT])[DEFAULT].shape[-1])


def key_of(name: str, count: int, width: int, images: str = "benchmark") -> FeatureKey:
    """Return a key of features (count, width) that is unique within a benchmark."""
    return FeatureKey(
        weights_hash=name,
        forward={},
        geometry={},
        normalisation={},
        output=str(DEFAULT),
        shape=(width,),
        precision="float32",
        images=images,
        count=count,
        split="train",
    )


def member_of(
    backbone: Backbone, key: FeatureKey, runtime: str = "eager", batch_size: int | None = None
) -> Member:
    """Return a member of a pass, whose features are stored under `key`."""
    embedder = Embedder([backbone], runtime=runtime, batch_size=batch_size)
    return Member(embedder, [Target(DEFAULT, key)])


def runtime_of(member: Member) -> Runtime:
    """Return the runtime that a member used in its last pass."""
    (runtime,) = member.embedder.runtimes
    return runtime
