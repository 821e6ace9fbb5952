"""Backbone and probe as one ONNX graph: uint8 crops in, logits and probabilities out."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bob.backbones.backbone import Backbone
from bob.backbones.onnx_export import exported
from bob.backbones.onnx_session import open_session
from bob.errors import BackboneError, UnavailableError, first_line
from bob.heads.saved_probe import SavedProbe
from bob.io.files import write_atomically
from bob.numerics.arrays import Doubles
from bob.numerics.linear.feature_rows import linear_scores

LARGEST_DIFFERENCE = 1e-4
"""Of a probability between the graph and the probe, and of a logit relative to the largest."""
CHECKED_IMAGES = 8


class ProbedBackbone(nn.Module):
    """Normalisation, forward pass and probe: crops (N, 3, H, W) uint8 → logits, probabilities."""

    def __init__(self, backbone: Backbone, probe: SavedProbe) -> None:
        super().__init__()
        self.module, self.normalisation = backbone.module, backbone.normalisation
        self.output = backbone.spec.output
        self.weight = nn.Parameter(torch.from_numpy(probe.weight).float(), requires_grad=False)
        self.bias = nn.Parameter(torch.from_numpy(probe.bias).float(), requires_grad=False)
        self.temperature = probe.facts.temperature or 1.0

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (N, C), and probabilities (N, C) after the temperature."""
        rows = self.module(self.normalisation.apply(crops), [self.output])[self.output].float()
        logits = rows @ self.weight.T + self.bias
        return logits, (logits / self.temperature).softmax(1)


def export_onnx(probe: SavedProbe, backbone: Backbone, path: Path) -> float:
    """Write the graph, and return its largest difference from the probe.

    The graph takes crops of the backbone's size, in any number; class names and preprocessing are
    in its metadata. BackboneError where it cannot be exported, or differs by more than
    `LARGEST_DIFFERENCE`.
    """
    graph = _with_metadata(_exported(probe, backbone), probe)
    difference = _difference(graph, probe, backbone)
    if not difference <= LARGEST_DIFFERENCE:
        raise BackboneError(
            f"backbone {backbone.spec.name!r}: the exported graph differs from the probe by "
            f"{difference:.2g}, where {LARGEST_DIFFERENCE:g} is allowed; nothing is "
            "written."
        )
    write_atomically(path, graph)
    return difference


def _exported(probe: SavedProbe, backbone: Backbone) -> bytes:
    module = ProbedBackbone(backbone, probe)
    try:
        return exported(module, _crops(backbone, 2), ["logits", "probabilities"], any_count=True)
    except Exception as error:  # the exporter raises its own errors, and those of the module
        raise BackboneError(
            f"backbone {backbone.spec.name!r}: cannot be exported to ONNX "
            f"({type(error).__name__}: {first_line(error)})."
        ) from error


def _with_metadata(graph: bytes, probe: SavedProbe) -> bytes:
    """Return the graph with class names, preprocessing and record in its metadata."""
    try:
        import onnx
    except ImportError as error:
        raise UnavailableError(
            "export --onnx needs the package onnx: pip install 'bob-bench[onnx]'."
        ) from error
    model = onnx.load_model_from_string(graph)
    facts = probe.facts
    values = {
        "classes": json.dumps(facts.classes),
        "geometry": json.dumps(facts.geometry),
        "alpha": facts.alpha,
        "backbone": facts.backbone.name,
        "weights_hash": facts.weights_hash,
        "record": facts.record,
    }
    onnx.helper.set_model_props(model, values)
    return bytes(model.SerializeToString())


def _difference(graph: bytes, probe: SavedProbe, backbone: Backbone) -> float:
    """Return the largest difference of a probability, or of a logit relative to the largest one.

    Of noise images, one alone and seven together.
    """
    from scipy.special import softmax

    session = open_session(graph)
    crops, output = _crops(backbone, CHECKED_IMAGES), backbone.spec.output
    logits = linear_scores(probe.weight, probe.bias, backbone.embed(crops, [output])[output])
    shares: Doubles = softmax(logits / (probe.facts.temperature or 1.0), axis=1)
    parts = [session.run(None, {"crops": part.numpy()}) for part in (crops[:1], crops[1:])]
    found_logits, found = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    of_logits = np.abs(found_logits - logits).max() / max(np.abs(logits).max(), 1e-30)
    return float(max(of_logits, np.abs(found - shares).max()))


def _crops(backbone: Backbone, count: int) -> torch.Tensor:
    """Return crops (n, 3, H, W) uint8 of noise around different colours."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, 3, backbone.geometry.height_px, backbone.geometry.width_px)
    noise = (
        torch.randn(shape, generator=generator) * torch.linspace(5, 80, count)[:, None, None, None]
    )
    colours = torch.rand((count, 3, 1, 1), generator=generator) * 255
    return (noise + colours).clamp(0, 255).to(torch.uint8)
