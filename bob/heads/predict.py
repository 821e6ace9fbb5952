"""Predictions of a saved probe for images in files."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.backbones.weights.tensors import tensor_hash
from bob.datasets.content.digests import read_file
from bob.datasets.content.images import check_elongation, decode
from bob.errors import BackboneError, UnreadableImageError
from bob.extraction.blocks import ELONGATION_PX
from bob.extraction.embedder import Embedder
from bob.heads.saved_probe import ProbeFacts, SavedProbe
from bob.io.names import printable
from bob.numerics.arrays import Doubles, Floats
from bob.numerics.linear.feature_rows import linear_scores

EMBEDDED_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class ProbePredictions:
    """Predictions for N images, of which some may be unreadable."""

    files: Sequence[Path]
    logits: Doubles
    """(N, C); NaN for an unreadable image."""
    problems: dict[int, str]
    """Position → why an image could not be read."""

    def probabilities(self, temperature: float = 1.0) -> Doubles:
        """Return the (N, C) softmax of the logits, divided by a temperature."""
        shares: Doubles = softmax(self.logits / temperature, axis=1)
        return shares


def load_recorded(
    facts: ProbeFacts, device: str, *, offline: bool, folded: bool = True
) -> Backbone:
    """Load the backbone of a probe; `folded` is with BatchNorm in convolutions, as passes run it.

    BackboneError where its weights or its preprocessing are not those that the probe was fitted to.
    """
    backbone = load_backbone(facts.backbone, device, facts.precision, offline=offline)
    if tensor_hash(backbone.module.state_dict()) != facts.weights_hash:
        raise BackboneError(
            f"backbone {facts.backbone.name!r}: its weights here are not those that the probe was "
            f"fitted to (hash {facts.weights_hash[:12]}). Get that file, or fit the probe again."
        )
    geometry = replace(backbone.geometry, fast=facts.preprocessing == "fast")
    if (geometry.facts(), backbone.normalisation.facts()) != (facts.geometry, facts.normalisation):
        raise BackboneError(
            f"backbone {facts.backbone.name!r}: this version of its library preprocesses images in "
            f"another way than when the probe was fitted ({geometry.facts()!r}, then "
            f"{facts.geometry!r}). Fit the probe again."
        )
    backbone.geometry = geometry
    if folded:
        fold_batchnorm(backbone)
    return backbone


def predict(
    probe: SavedProbe, backbone: Backbone, files: Sequence[Path], workers: int
) -> ProbePredictions:
    """Return the predictions of a probe for image files, in their order."""
    embedder = Embedder([backbone], probe.facts.runtime, probe.facts.batch_size)
    output = backbone.spec.output
    logits = np.full((len(files), len(probe.facts.classes)), np.nan)
    problems: dict[int, str] = {}
    for start, block in _blocks(probe.facts, backbone, files, workers):
        bad = {start + i: crop for i, crop in enumerate(block) if isinstance(crop, str)}
        problems |= bad
        good = [(start + i, crop) for i, crop in enumerate(block) if not isinstance(crop, str)]
        if good:
            crops = torch.stack([crop for _, crop in good])
            rows: Floats = embedder.embed(0, crops, [output], [output])[0][output]
            logits[[i for i, _ in good]] = linear_scores(probe.weight, probe.bias, rows)
    return ProbePredictions(files, logits, problems)


def _blocks(
    facts: ProbeFacts, backbone: Backbone, files: Sequence[Path], workers: int
) -> Iterator[tuple[int, list[torch.Tensor | str]]]:
    """Yield the position of each block's first image, and crops, or why there is none."""

    def crop(path: Path) -> torch.Tensor | str:
        name = printable(str(path))
        try:
            image = decode(read_file(path), name, facts.alpha)
            check_elongation(*image.size, ELONGATION_PX, name)
            return backbone.geometry.crop(image)
        except (UnreadableImageError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(files), EMBEDDED_TOGETHER):
            yield start, list(pool.map(crop, files[start : start + EMBEDDED_TOGETHER]))
