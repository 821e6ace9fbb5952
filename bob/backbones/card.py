"""A backbone's card: what must be known of it before it embeds, found out once per machine and remembered.

Loading a backbone takes seconds, knowing it takes none: plans, keys and re-runs read the card and load nothing.
"""

import time
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from torch.utils.flop_counter import FlopCounterMode

from bob.backbones.activations import LiveTensors
from bob.backbones.backbone import Backbone
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.backbones.loaders.load import library_versions, load
from bob.backbones.loaders.python import source_of
from bob.backbones.weights.locate import find_weights
from bob.backbones.weights.tensors import tensor_hash
from bob.errors import UnavailableError
from bob.io.digest import digest
from bob.io.files import write_atomically
from bob.specs import BackboneSpec
from bob.specs.yaml import Closed, plain

CARD_VERSION = 4
WARM_BATCH, TIMED_BATCHES = 4, 5
"""Images per batch, and batches that measure the speed."""


class Card(Closed):
    """What a backbone is, measured when it was first loaded on this machine."""

    weights_hash: str
    forward: dict[str, Any]
    geometry: dict[str, Any]
    normalisation: dict[str, Any]
    precision: str
    shape: tuple[int, ...] = Field(strict=False)
    """Shape of the features of one image: (D,), or (H, W, D) for a grid."""
    params: int
    gflops: float | None
    """None where it is not known."""
    weights_mib: float
    peak_mib: float | None
    """Weights and the most that the tensors of one forward in a batch of 4 hold at once; None where it does not run in PyTorch."""
    seconds_per_image: float
    """Forward only, warm, in batches of 4, on `device`."""
    device: str = Field()
    text: dict[str, Any] | None = None
    """What defines a text's row beside the text; None where there is no text tower, or none that can be loaded here."""
    text_problem: str | None = None
    """Why the text tower cannot be loaded here, with the remedy."""


def load_backbone(spec: BackboneSpec, device: str, precision: str, *, offline: bool) -> Backbone:
    """Load a backbone on its device.

    UnavailableError where its weights are unavailable, BackboneError where they do not fit.
    cuDNN's TF32, which is on by default, is switched off here, so that float32 means float32 in
    every process that loads a backbone.
    """
    torch.backends.cudnn.allow_tf32 = False
    return Backbone(spec, load(spec, offline=offline), device, precision)


def card(spec: BackboneSpec, cache: Path, device: str, precision: str, *, offline: bool) -> Card:
    """The remembered card, or that of the backbone loaded and checked now."""
    path = _place(spec, cache, device, precision, offline=offline)
    try:
        return Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        made = _make_card(load_backbone(spec, device, precision, offline=offline))
        if made.text_problem is None:  # else asked again, for the remedy may have been followed
            write_atomically(path, made.model_dump_json(indent=1).encode())
        return made


def speed_memory(
    spec: BackboneSpec, cache: Path, device: str, precision: str, *, offline: bool
) -> Path:
    """The file beside the card that remembers the fastest runtime and batch size."""
    return _place(spec, cache, device, precision, offline=offline).with_suffix(".speed.json")


def _place(spec: BackboneSpec, cache: Path, device: str, precision: str, *, offline: bool) -> Path:
    return (
        cache
        / "backbones"
        / f"{_card_key(spec, find_weights(spec, offline=offline), device, precision)}.json"
    )


def _card_key(spec: BackboneSpec, file: Path | None, device: str, precision: str) -> str:
    """The card holds for this spec, this very file (its stat) and these libraries."""
    file = source_of(spec) if spec.loader == "python" else file
    stat = file.stat() if file else None
    told = {
        name: value
        for name, value in plain(spec).items()
        if name not in ("name", "family", "groups", "summary", "licence", "paper", "pretraining")
    }
    return digest(
        {
            "card": CARD_VERSION,
            "spec": told,
            "file": [str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] if stat else None,
            "libraries": library_versions(),
            "device": device,
            "precision": precision,
        }
    )


def _make_card(backbone: Backbone) -> Card:
    """Facts of the module as loaded; the speed is that of the module as passes run it, folded."""
    shape, weights_hash, gflops = (
        backbone.check(),
        tensor_hash(backbone.module.state_dict()),
        _gflops(backbone),
    )
    params, weights_mib = backbone.parameters(), backbone.weights_mib()
    text, text_problem = _text_facts(backbone)
    fold_batchnorm(backbone)
    return Card(
        weights_hash=weights_hash,
        forward=backbone.forward_facts(),
        geometry=backbone.geometry.facts(),
        normalisation=backbone.normalisation.facts(),
        precision=backbone.precision,
        shape=shape,
        params=params,
        gflops=gflops,
        weights_mib=weights_mib,
        peak_mib=_peak_mib(backbone, weights_mib),
        seconds_per_image=_seconds_per_image(backbone),
        device=str(backbone.device),
        text=text,
        text_problem=text_problem,
    )


def _text_facts(backbone: Backbone) -> tuple[dict[str, Any] | None, str | None]:
    """A text tower that cannot be had (its tokenizer needs a package or a download) does not keep the images from being embedded."""
    if not backbone.has_text:
        return None, None
    try:
        return backbone.text_facts(), None
    except UnavailableError as error:
        return None, str(error)


def _blank(backbone: Backbone, n: int) -> torch.Tensor:
    return torch.zeros(
        (n, 3, backbone.geometry.height_px, backbone.geometry.width_px), dtype=torch.uint8
    )


def _runs_in_torch(backbone: Backbone) -> bool:
    return backbone.spec.loader != "onnx"


def _gflops(backbone: Backbone) -> float | None:
    """Forward cost of one image as PyTorch counts it: 2 per multiply-add of convolutions, matrix products and attention."""
    if not _runs_in_torch(backbone):
        return None
    with FlopCounterMode(display=False) as counter:
        backbone.embed(_blank(backbone, 1), [backbone.spec.output])
    return float(counter.get_total_flops()) / 1e9


def _peak_mib(backbone: Backbone, weights_mib: float) -> float | None:
    """What the forward of one batch needs beside its crops."""
    if not _runs_in_torch(backbone):
        return None
    crops, live = _blank(backbone, WARM_BATCH), LiveTensors()
    with live:
        backbone.forward(crops, [backbone.spec.output])
    return weights_mib + live.peak_bytes / 2**20


def _seconds_per_image(backbone: Backbone) -> float:
    """The fastest of a few batches: the machine may be busy with other things at times."""
    crops = _blank(backbone, WARM_BATCH)
    seconds = []
    for _ in range(TIMED_BATCHES):
        start = time.perf_counter()
        backbone.embed(crops, [backbone.spec.output])
        seconds.append(time.perf_counter() - start)
    return min(seconds) / WARM_BATCH
