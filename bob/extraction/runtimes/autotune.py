"""Which runtime, and how large a batch: a short race on the first images of a pass, remembered per backbone and device.

Only runtimes whose rows agree with eager PyTorch's take part, and they are compared with it again at the start of every pass, on its own images.
A runtime is made ready only where the images of the split can repay it, stored or not: a run that goes on decides as the one that was stopped.
Floors are eager always: beside decoding they take no time, and what must not vary are the rows that everything else is measured by.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from bob.backbones.backbone import Backbone
from bob.errors import StoreError
from bob.extraction.runtimes.compiled import Compiled
from bob.extraction.runtimes.eager import Eager, out_of_memory
from bob.extraction.runtimes.onnx import OnnxRuntime
from bob.extraction.runtimes.openvino import OpenVino
from bob.extraction.runtimes.runtime import Runtime, agrees
from bob.io.files import write_atomically
from bob.specs import Output

RUNTIMES = ("eager", "openvino", "onnxruntime", "compile")
CPU_BATCHES, DEVICE_BATCHES = (4, 16, 1), (64, 128, 256)
"""What is tried, the likeliest first. On a CPU small batches are the fastest, since their activations stay in its caches."""
COMPARED = 8
"""Images whose rows are compared with eager's."""
TIMED = 16
"""Images that time one way on a CPU; a device takes the whole first block."""
SHARE = 0.05
"""The race ends when it has taken this share of the time that the pass would take without it."""
CLEARLY = 1.03
"""How many times faster a way must be than the best so far to be preferred: less is noise."""


@dataclass(frozen=True)
class Rival:
    """A way to run a backbone beside eager PyTorch, and what is expected of it before it is tried."""

    name: str
    make: Callable[[Backbone, Sequence[Output], int], Runtime]
    package: str
    setup_seconds: float
    """Making it ready, for a backbone of 10 to 100 M parameters."""
    gain: float
    """How many times faster it is at the least where it is faster at all; as measured, see docs/extraction.md."""
    cpu_only: bool = True

    def repays(self, eager_seconds: float) -> bool:
        """Whether what it saves of a pass is more than what making it ready takes."""
        return eager_seconds * (1 - 1 / self.gain) > self.setup_seconds


RIVALS = (
    Rival("openvino", OpenVino, "openvino", 3.0, 1.4),
    Rival("onnxruntime", OnnxRuntime, "onnxruntime", 5.0, 1.4),
    Rival("compile", Compiled, "torch", 40.0, 1.2, cpu_only=False),
)


@dataclass(frozen=True)
class Choice:
    """What won, as it is remembered."""

    runtime: str
    batch_size: int
    seconds_per_image: float


def default_batch(device: str) -> int:
    """Before anything was measured."""
    return CPU_BATCHES[0] if device == "cpu" else DEVICE_BATCHES[0]


def available(backbone: Backbone) -> list[Rival]:
    """Those that can run this backbone here. Each rounds reduced precision in its own way, so that is left to eager."""
    return _usable(backbone.precision, backbone.device.type)


def foreseen(eager_seconds: float, asked: str, device: str, precision: str) -> float:
    """Seconds of a pass that takes eager PyTorch `eager_seconds`, before any race: with what those that repay themselves gain at the least."""
    rivals = [
        rival
        for rival in _usable(precision, device.split(":")[0])
        if asked in ("auto", rival.name) and rival.repays(eager_seconds)
    ]
    return min(
        [eager_seconds, *(rival.setup_seconds + eager_seconds / rival.gain for rival in rivals)]
    )


def _usable(precision: str, device_type: str) -> list[Rival]:
    if precision != "float32":
        return []
    return [
        rival
        for rival in RIVALS
        if find_spec(rival.package) and (device_type == "cpu" or not rival.cpu_only)
    ]


@dataclass(frozen=True, eq=False)
class TuningImages:
    """What a pass has to embed, and how it begins."""

    crops: torch.Tensor
    """(n, 3, H, W) uint8, the first of them."""
    total: int
    """In the split, those that are stored already among them."""
    outputs: Sequence[Output]


def make_ready(
    backbone: Backbone,
    images: TuningImages,
    asked: str,
    batch_size: int | None,
    memory: Path | None,
) -> Runtime:
    """The runtime for a pass. `asked` is "auto" or one of RUNTIMES; a batch size of None is found. `memory` is the file that remembers.

    Whatever is asked for, rows that differ from eager's are not used: eager is, where another cannot run the backbone.
    """
    eager = Eager(backbone, batch_size or default_batch(backbone.device.type))
    if backbone.spec.loader == "baseline":
        return eager
    rivals = [rival for rival in available(backbone) if asked in ("auto", rival.name)]
    remembered = recall(memory) if memory and asked == "auto" else None
    if remembered and (
        remembered.runtime == "eager" or remembered.runtime in [rival.name for rival in rivals]
    ):
        return _as_remembered(remembered, eager, images, batch_size)
    start = _first_choice(eager, rivals, images, forced=asked != "auto")
    winner, seconds = start if batch_size else _other_batches(*start, eager, images)
    if memory and asked == "auto" and not batch_size and len(images.crops) >= TIMED:
        remember(memory, Choice(winner.name, winner.batch_size, seconds))
    return winner


def _as_remembered(
    choice: Choice, eager: Eager, images: TuningImages, batch_size: int | None
) -> Runtime:
    """Last time's winner, where it still agrees and the images repay making it ready."""
    eager.batch_size = batch_size or choice.batch_size
    rival = next((rival for rival in RIVALS if rival.name == choice.runtime), None)
    if rival is None or not rival.repays(choice.seconds_per_image * rival.gain * images.total):
        return eager
    return _made(rival, eager, images, eager.batch_size) or eager


def _first_choice(
    eager: Eager, rivals: Sequence[Rival], images: TuningImages, *, forced: bool
) -> tuple[Runtime, float]:
    """The fastest at the first batch size, and its seconds per image."""
    winner: Runtime = eager
    best = _timed(eager, images)
    for rival in rivals:
        if forced or rival.repays(best * images.total):
            made = _made(rival, eager, images, eager.batch_size)
            seconds = _timed(made, images) if made else math.inf
            if made and (forced or seconds * CLEARLY < best):
                winner, best = made, seconds
    return winner, best


def _other_batches(
    winner: Runtime, best: float, eager: Eager, images: TuningImages
) -> tuple[Runtime, float]:
    """The winner at the batch size that suits it, as long as finding it takes little of the pass."""
    first, started, allowed = winner, time.perf_counter(), SHARE * best * images.total
    for size in (CPU_BATCHES if eager.backbone.device.type == "cpu" else DEVICE_BATCHES)[1:]:
        if time.perf_counter() - started > allowed:
            break
        other = _resized(first, eager, images, size)
        seconds = _timed(other, images) if other else math.inf
        if other and seconds * CLEARLY < best:
            winner, best = other, seconds
    return winner, best


def _resized(runtime: Runtime, eager: Eager, images: TuningImages, size: int) -> Runtime | None:
    if runtime is eager:
        return Eager(eager.backbone, size)
    return _made(next(rival for rival in RIVALS if rival.name == runtime.name), eager, images, size)


def _timed(runtime: Runtime, images: TuningImages) -> float:
    """Seconds per image, the faster of two runs; infinite where the images do not fit in memory."""
    crops = images.crops[:TIMED] if runtime.backbone.device.type == "cpu" else images.crops
    seconds = []
    try:
        for _ in range(2):
            start = time.perf_counter()
            runtime.embed(crops, images.outputs)
            seconds.append(time.perf_counter() - start)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error) or runtime.name == "eager":
            raise
        return math.inf
    return min(seconds) / len(crops)


def _made(rival: Rival, eager: Eager, images: TuningImages, batch_size: int) -> Runtime | None:
    """The rival made ready, or None where it cannot run this backbone or gives other rows: on images of the pass, and on noise."""
    noise = torch.randint(
        256,
        (2, *images.crops.shape[1:]),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(2),
    )
    try:
        made = rival.make(eager.backbone, images.outputs, batch_size)
        same = all(
            agrees(made.embed(crops, images.outputs), eager.embed(crops, images.outputs))
            for crops in (images.crops[:COMPARED], noise)
        )
    except Exception:  # a compiler can fail on any graph in any way; eager runs what it cannot
        return None
    return made if same else None


def recall(memory: Path) -> Choice | None:
    """What won before; None where nothing is remembered, or not readably."""
    try:
        return Choice(**json.loads(memory.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def remember(memory: Path, choice: Choice) -> None:
    """A disk that is full or read-only costs the memory, not the run."""
    try:
        write_atomically(memory, json.dumps(asdict(choice)).encode())
    except StoreError:
        return
