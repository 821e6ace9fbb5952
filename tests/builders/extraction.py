"""Features of a split, computed by passes as runs compute them."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bob.backbones.backbone import Backbone
from bob.backbones.card import card, load_backbone
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.datasets.dataset import Split
from bob.extraction.embedder import Embedder
from bob.extraction.passes import Member, Target, run_pass
from bob.extraction.runtimes.runtime import Runtime, largest_difference
from bob.features.store import Features, FeatureStore
from bob.plan.keys import feature_key
from bob.specs import BackboneSpec, Output
from tests.builders.backbones import Count


def extract(
    name: str, split: Split, backbones: Sequence[BackboneSpec], cache: Path
) -> dict[str, Features]:
    """Return the features of the split called `name` by the name of the backbone, in one pass.

    Networks run in ONNX Runtime, in less than half of eager PyTorch's processor time on one core;
    baselines in batches of 4, whose intermediate results stay in the processor's cache. A network
    is exported once per process.
    """
    store, members, keys = FeatureStore(cache / "features"), [], {}
    for spec in backbones:
        facts = card(spec, cache, "cpu", "float32", offline=True)
        keys[spec.name] = feature_key(facts, spec.output, name, split)
        members.append(Member(_embedder(spec), [Target(spec.output, keys[spec.name])]))
    run_pass(split, members, store, Count(), workers=2, skip_bad=False)
    assert not [member.failure for member in members if member.failure]
    return {backbone: store.read(key) for backbone, key in keys.items()}


@functools.cache
def _embedder(spec: BackboneSpec) -> Embedder:
    backbone = load_backbone(spec, "cpu", "float32", offline=True)
    fold_batchnorm(backbone)
    runtime, batch_size = ("eager", 4) if spec.loader == "baseline" else ("onnxruntime", 16)
    return Embedder([backbone], runtime, batch_size)


def difference_of_runtime(
    made: Callable[[Backbone, Sequence[Output], int], Runtime],
    backbone: Backbone,
    crops: torch.Tensor,
    output: Output,
) -> float:
    """Return the largest difference of a runtime from the eager features, in batches of two.

    Relative to the largest value.
    """
    features = made(backbone, [output], 2).embed(crops, [output])
    return largest_difference(features, backbone.embed(crops, [output]))
