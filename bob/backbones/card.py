"""A backbone's card: its measured facts, cached once per machine.

Loading a backbone takes seconds and reading its card takes none: plans, keys and re-runs read
cards and load nothing.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from bob.backbones.backbone import Backbone
from bob.backbones.card_data import Card, MissingOutput
from bob.backbones.devices import disable_tf32
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.backbones.loaders.load import library_versions, load
from bob.backbones.loaders.python import source_of
from bob.backbones.operations import FlopCounter, LiveTensors
from bob.backbones.weights.locate import find_weights
from bob.backbones.weights.tensors import tensor_hash
from bob.errors import BackboneError, OutputError, PlanMismatchError, UnavailableError
from bob.io.digest import digest
from bob.io.files import move_folder_aside, read_regular, write_atomically
from bob.io.stamps import stamp, stamps
from bob.specs import BackboneSpec
from bob.specs.yaml import plain

CARD_VERSION = 7
DESCRIPTIVE_FIELDS = ("name", "family", "groups", "summary", "licence", "paper", "pretraining")
"""Fields of an entry that do not affect its card."""
PYTHON = "python"
"""The loader whose weights no file of the entry determines."""
FAST = "preprocessing"
"""Key of a geometry's facts that says that the run resizes fast."""
WARM_BATCH, MIN_BATCHES, MAX_BATCHES = 4, 2, 5
"""Images per batch, and least and most batches, of the speed measurement."""
TIMED_SECONDS = 0.2
"""Seconds after which the speed measurement ends: short disturbances have passed by then."""


def load_backbone(spec: BackboneSpec, device: str, precision: str, *, offline: bool) -> Backbone:
    """Load a backbone on its device.

    UnavailableError where its weights are unavailable, BackboneError where they do not fit.
    Disables TF32 in every process that loads a backbone, also where a user's code enables it.
    """
    loaded = load(spec, offline=offline)
    disable_tf32()
    return Backbone(spec, loaded, device, precision)


def card(spec: BackboneSpec, cache: Path, device: str, precision: str, *, offline: bool) -> Card:
    """Return the cached card, or load and check the backbone to make it.

    A user's function may read any file, so that the card of loader python is trusted only if the
    function returns the same tensors again. OutputError where the backbone lacks the output, which
    is cached too. A card whose text tower could not be loaded is not cached, since the remedy may
    be followed before the next run. BackboneError where a file changed while it was read: nothing
    says which of its contents the tensors are.
    """
    path = _place(spec, cache, device, precision, offline=offline)
    cached = _cached(path)
    backbone: Backbone | None = None
    if isinstance(cached, MissingOutput):
        raise OutputError(cached.problem.replace(repr(cached.backbone), repr(spec.name)))
    if cached is not None and spec.loader == PYTHON:
        backbone = load_backbone(spec, device, precision, offline=offline)
        cached = None if _difference(backbone, cached) else cached
    if cached is not None:
        return cached
    backbone = backbone or load_backbone(spec, device, precision, offline=offline)
    try:
        new = _make_card(backbone)
    except OutputError as error:
        files = dict(backbone.files)
        if files == stamps(map(Path, files)):
            _write(path, MissingOutput(backbone=spec.name, problem=str(error), files=files))
        raise
    if changed := [file for file, before in new.files.items() if stamp(Path(file)) != before]:
        raise BackboneError(
            f"backbone {spec.name!r}: {changed[0]!r} was written while it was read. Run again when "
            "it is complete."
        )
    if new.text_problem is None:
        _write(path, new)
    return new


def _cached(path: Path) -> Card | MissingOutput | None:
    """Return what is known of a backbone, as long as its files are unchanged."""
    for kind in (Card, MissingOutput):
        with contextlib.suppress(OSError, ValidationError):
            cached = kind.model_validate_json(read_regular(path))
            return cached if cached.files == stamps(map(Path, cached.files)) else None
    return None


def _write(path: Path, known: Card | MissingOutput) -> None:
    move_folder_aside(path)
    write_atomically(path, known.model_dump_json(indent=1).encode())


def load_planned(
    spec: BackboneSpec, planned: Card, cache: Path, device: str, precision: str, *, offline: bool
) -> Backbone:
    """Load a backbone to make features under the keys that follow from its card.

    PlanMismatchError where its tensors or its preprocessing are not those of the card, which is
    then forgotten.
    """
    backbone = load_backbone(spec, device, precision, offline=offline)
    if difference := _difference(backbone, planned):
        with contextlib.suppress(OSError):
            _place(spec, cache, device, precision, offline=offline).unlink()
        advice = "Was its file replaced meanwhile? Run again."
        if spec.loader == PYTHON:
            advice += " Weights that its function draws at random need a seed."
        raise PlanMismatchError(
            f"backbone {spec.name!r}: {difference} than when the run was planned. {advice}"
        )
    return backbone


def require_planned_text(backbone: Backbone, planned: Card) -> None:
    """Raise PlanMismatchError where the text tower is not that of the card."""
    if planned.text is not None and (facts := backbone.text_facts()) != planned.text:
        changed = [name for name, value in planned.text.items() if facts.get(name) != value]
        raise PlanMismatchError(
            f"backbone {backbone.spec.name!r}: the {', '.join(changed)} of its text tower differs "
            "from when the run was planned. Was its file replaced meanwhile? Run again."
        )


def _difference(backbone: Backbone, planned: Card) -> str | None:
    """Return in which fact a loaded backbone differs from a card; None if they agree."""
    if tensor_hash(backbone.module.state_dict()) != planned.weights_hash:
        return "has other weights"
    if backbone.forward_facts() != planned.forward:
        return "has another forward pass"
    # the card of a run with fast preprocessing says so beside the backbone's own geometry
    geometry = {name: value for name, value in planned.geometry.items() if name != FAST}
    loaded = (backbone.geometry.facts(), backbone.normalisation.facts())
    return None if loaded == (geometry, planned.normalisation) else "has another preprocessing"


def _place(spec: BackboneSpec, cache: Path, device: str, precision: str, *, offline: bool) -> Path:
    key = _card_key(spec, find_weights(spec, offline=offline), device, precision)
    return cache / "backbones" / f"{key}.json"


def _card_key(spec: BackboneSpec, file: Path | None, device: str, precision: str) -> str:
    """Return the digest of what a card depends on: spec, file by its stat, libraries, device."""
    file = source_of(spec) if spec.loader == PYTHON else file
    stat = file.stat() if file else None
    fields = {name: value for name, value in plain(spec).items() if name not in DESCRIPTIVE_FIELDS}
    return digest(
        {
            "card": CARD_VERSION,
            "spec": fields,
            "file": [str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] if stat else None,
            "libraries": library_versions(),
            "device": device,
            "precision": precision,
        }
    )


def _make_card(backbone: Backbone) -> Card:
    """Measure a backbone: facts as loaded, speed and memory with BatchNorm folded, as in passes."""
    shape = backbone.check()
    weights_hash = tensor_hash(backbone.module.state_dict())
    gflops = _gflops(backbone)
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
        notes=backbone.notes,
        files=dict(backbone.files),
    )


def _text_facts(backbone: Backbone) -> tuple[dict[str, Any] | None, str | None]:
    """Return the facts of the text tower, or why it is unavailable, such as a missing tokenizer.

    An unavailable text tower does not prevent images from being embedded.
    """
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
    """Return the forward cost of one image as PyTorch counts it.

    2 per multiply-add of convolutions, matrix products and attention.
    """
    if not _runs_in_torch(backbone):
        return None
    counter = FlopCounter()
    with counter:
        backbone.embed(_blank(backbone, 1), [backbone.spec.output])
    return counter.flops / 1e9


def _peak_mib(backbone: Backbone, weights_mib: float) -> float | None:
    """Return the memory of weights and of one batch's forward pass, without its crops."""
    if not _runs_in_torch(backbone):
        return None
    crops, live = _blank(backbone, WARM_BATCH), LiveTensors()
    with live:
        backbone.forward(crops, [backbone.spec.output])
    return weights_mib + live.peak_bytes / 2**20


def _seconds_per_image(backbone: Backbone) -> float:
    """Return the time of the fastest of a few batches: other processes may slow down the rest."""
    crops = _blank(backbone, WARM_BATCH)
    seconds: list[float] = []
    while len(seconds) < MIN_BATCHES or (
        sum(seconds) < TIMED_SECONDS and len(seconds) < MAX_BATCHES
    ):
        start = time.perf_counter()
        backbone.embed(crops, [backbone.spec.output])
        seconds.append(time.perf_counter() - start)
    return min(seconds) / WARM_BATCH
