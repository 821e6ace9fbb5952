"""A backbone's card: what must be known of it before it embeds, found out once per machine and remembered.

Loading a backbone takes seconds, knowing it takes none: plans, keys and re-runs read the card and load nothing.
"""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from torch.utils.flop_counter import FlopCounterMode

import bob.backbones.floors
import bob.backbones.timm
from bob.backbones.backbone import Backbone
from bob.backbones.fold import fold
from bob.backbones.weights import find_weights, source_in_words, tensor_hash
from bob.digest import digest
from bob.files import write_whole
from bob.parse import Closed, plain
from bob.records import BackboneFacts
from bob.specs import BackboneSpec, Pooling

CARD_VERSION = 1
WARM_BATCH, TIMED_BATCHES = 4, 5
"""Images per batch and batches that measure the speed."""


class Card(Closed):
    """What a backbone is, measured when it was first loaded on this machine."""

    weights_hash: str
    forward: dict[str, Any]
    geometry: dict[str, Any]
    normalisation: dict[str, Any]
    precision: str
    widths: dict[Pooling, int]
    params: int
    gflops: float | None
    weights_mib: float
    seconds_per_image: float
    """Forward only, warm, in batches of 4, on `device`."""
    device: str = Field()


def load_backbone(spec: BackboneSpec, device: str, precision: str, *, offline: bool) -> Backbone:
    """The backbone on its device; UnavailableError where its weights cannot be had, BackboneError where they do not fit."""
    file = find_weights(spec, offline=offline)
    loaded = bob.backbones.timm.load(spec, file) if spec.loader == "timm" else bob.backbones.floors.load(spec)
    return Backbone(spec, loaded, device, precision)


def card(spec: BackboneSpec, cache: Path, device: str, precision: str, *, offline: bool) -> Card:
    """The remembered card, or that of the backbone loaded and checked now."""
    path = cache / "backbones" / f"{_card_key(spec, find_weights(spec, offline=offline), device, precision)}.json"
    try:
        return Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        made = _make_card(load_backbone(spec, device, precision, offline=offline))
        write_whole(path, made.model_dump_json(indent=1).encode())
        return made


def facts(spec: BackboneSpec, known: Card) -> BackboneFacts:
    """The card as a record tells it."""
    return BackboneFacts(
        name=spec.name,
        family=spec.family,
        loader=spec.loader,
        architecture=spec.architecture,
        weights=source_in_words(spec.weights),
        weights_hash=known.weights_hash,
        pooling=spec.pooling,
        precision=known.precision,
        width=known.widths[spec.pooling],
        params=known.params,
        gflops=known.gflops,
        weights_mib=known.weights_mib,
        geometry=dict(known.geometry),
        normalisation={name: tuple(values) for name, values in known.normalisation.items()},
        licence=spec.licence,
        paper=spec.paper,
        pretraining=spec.pretraining,
    )


def _card_key(spec: BackboneSpec, file: Path | None, device: str, precision: str) -> str:
    """The card holds for this spec, this very file (its stat) and these libraries."""
    stat = file.stat() if file else None
    told = {
        name: value for name, value in plain(spec).items() if name not in ("name", "family", "groups", "summary", "licence", "paper", "pretraining")
    }
    return digest(
        {
            "card": CARD_VERSION,
            "spec": told,
            "file": [str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] if stat else None,
            "libraries": [torch.__version__, version("timm"), bob.backbones.floors.VERSION],
            "device": device,
            "precision": precision,
        }
    )


def _make_card(backbone: Backbone) -> Card:
    """Facts of the module as loaded; the speed is that of the module as passes run it, folded."""
    widths, weights_hash, gflops = backbone.check(), tensor_hash(backbone.module.state_dict()), _gflops(backbone)
    params, weights_mib = backbone.parameters(), backbone.weights_mib()
    fold(backbone)
    return Card(
        weights_hash=weights_hash,
        forward=backbone.forward_facts(),
        geometry=backbone.geometry.facts(),
        normalisation=backbone.normalisation.facts(),
        precision=backbone.precision,
        widths=widths,
        params=params,
        gflops=gflops,
        weights_mib=weights_mib,
        seconds_per_image=_seconds_per_image(backbone),
        device=str(backbone.device),
    )


def _blank(backbone: Backbone, n: int) -> torch.Tensor:
    return torch.zeros((n, 3, backbone.geometry.height_px, backbone.geometry.width_px), dtype=torch.uint8)


def _gflops(backbone: Backbone) -> float:
    """Forward cost of one image as PyTorch counts it: 2 per multiply-add of convolutions, matrix products and attention."""
    with FlopCounterMode(display=False) as counter:
        backbone.embed(_blank(backbone, 1), [backbone.spec.pooling])
    return float(counter.get_total_flops()) / 1e9


def _seconds_per_image(backbone: Backbone) -> float:
    """The fastest of a few batches: the machine may be busy with other things at times."""
    crops = _blank(backbone, WARM_BATCH)
    seconds = []
    for _ in range(TIMED_BATCHES):
        start = time.perf_counter()
        backbone.embed(crops, [backbone.spec.pooling])
        seconds.append(time.perf_counter() - start)
    return min(seconds) / WARM_BATCH
