"""Autotuning: the fastest runtime and batch size, measured on the first images of a pass.

The choice is saved per backbone and device. Only runtimes whose features agree with those of eager
PyTorch are used, and they are compared again at the start of every pass, on its own images. A
runtime is prepared only where the images of the split can repay it, stored images included, so
that a resumed run decides like the run that was stopped. Baselines always run in eager PyTorch:
beside decoding they take no time, and the features that everything else is measured by must not
vary.
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
from bob.extraction.runtimes.eager import Eager, is_out_of_memory
from bob.extraction.runtimes.onnx import OnnxRuntime
from bob.extraction.runtimes.openvino import OpenVino
from bob.extraction.runtimes.runtime import Runtime, agree
from bob.io.files import write_atomically
from bob.specs import Output

RUNTIMES = ("eager", "openvino", "onnxruntime", "compile")
CPU_BATCHES, DEVICE_BATCHES = (4, 16, 1), (64, 128, 256)
"""Batch sizes to try, the likeliest first. On a CPU small batches are the fastest, since their
activations stay in its caches."""
COMPARED_IMAGES = 8
"""Images whose features are compared with eager PyTorch's."""
TIMED_IMAGES = 16
"""Images that time one candidate on a CPU; a device takes the whole first block."""
TUNING_SHARE = 0.05
"""Largest share of the time of the pass that the search for a batch size may take."""
MIN_SPEEDUP = 1.03
"""How many times faster than the best so far a candidate must be: less is noise."""


@dataclass(frozen=True)
class Candidate:
    """A runtime other than eager PyTorch, and what is expected of it before it is tried."""

    name: str
    make: Callable[[Backbone, Sequence[Output], int], Runtime]
    package: str
    setup_seconds: float
    """Time to prepare it, for a backbone of 10 to 100 M parameters."""
    speedup: float
    """Least factor by which it is faster where it is faster at all, as measured by
    benchmarks/extraction.py."""
    cpu_only: bool = True

    def repays(self, eager_seconds: float) -> bool:
        """Return whether it saves more of a pass than it takes to prepare."""
        return eager_seconds * (1 - 1 / self.speedup) > self.setup_seconds


CANDIDATES = (
    Candidate("openvino", OpenVino, "openvino", 3.0, 1.4),
    Candidate("onnxruntime", OnnxRuntime, "onnxruntime", 5.0, 1.4),
    Candidate("compile", Compiled, "torch", 40.0, 1.2, cpu_only=False),
)


@dataclass(frozen=True)
class Choice:
    """The fastest runtime and batch size, as saved."""

    runtime: str
    batch_size: int
    seconds_per_image: float


def default_batch(device: str) -> int:
    """Return the batch size to begin with, before anything is measured."""
    return CPU_BATCHES[0] if device == "cpu" else DEVICE_BATCHES[0]


def available(backbone: Backbone) -> list[Candidate]:
    """Return the candidates that can run a backbone here.

    Only eager PyTorch runs reduced precisions, which each runtime rounds in its own way.
    """
    return _usable(backbone.precision, backbone.device.type)


def expected_seconds(eager_seconds: float, runtime: str, device: str, precision: str) -> float:
    """Return the expected time of a pass before autotuning.

    `eager_seconds` is the time that eager PyTorch takes. Candidates that repay their setup count
    with their least speedup.
    """
    candidates = [
        candidate
        for candidate in _usable(precision, device.split(":")[0])
        if runtime in ("auto", candidate.name) and candidate.repays(eager_seconds)
    ]
    return min(
        [
            eager_seconds,
            *(
                candidate.setup_seconds + eager_seconds / candidate.speedup
                for candidate in candidates
            ),
        ]
    )


def _usable(precision: str, device_type: str) -> list[Candidate]:
    if precision != "float32":
        return []
    return [
        candidate
        for candidate in CANDIDATES
        if find_spec(candidate.package) and (device_type == "cpu" or not candidate.cpu_only)
    ]


@dataclass(frozen=True, eq=False)
class TuningImages:
    """The first images of a pass, and how many there are in all."""

    crops: torch.Tensor
    """(n, 3, H, W) uint8."""
    total: int
    """Images of the split, stored ones included."""
    outputs: Sequence[Output]


def make_runtime(
    backbone: Backbone,
    images: TuningImages,
    requested: str,
    batch_size: int | None,
    choice_file: Path | None,
) -> Runtime:
    """Return the runtime of a pass, ready to embed.

    `requested` is "auto" or one of RUNTIMES. A `batch_size` of None is chosen by measuring.
    `choice_file` saves the choice. A runtime whose features differ from eager PyTorch's is never
    used, even where it is requested by name: eager PyTorch runs what another runtime cannot.
    """
    eager = Eager(backbone, batch_size or default_batch(backbone.device.type))
    if backbone.spec.loader == "baseline":
        return eager
    candidates = [
        candidate for candidate in available(backbone) if requested in ("auto", candidate.name)
    ]
    choice = load_choice(choice_file) if choice_file and requested == "auto" else None
    names = ["eager", *(candidate.name for candidate in candidates)]
    if choice and choice.runtime in names:
        return _chosen_before(choice, eager, images, batch_size)
    fastest = _fastest_runtime(eager, candidates, images, forced=requested != "auto")
    runtime, seconds = fastest if batch_size else _tune_batch_size(*fastest, eager, images)
    tuned = requested == "auto" and not batch_size and len(images.crops) >= TIMED_IMAGES
    if choice_file and tuned:
        save_choice(choice_file, Choice(runtime.name, runtime.batch_size, seconds))
    return runtime


def _chosen_before(
    choice: Choice, eager: Eager, images: TuningImages, batch_size: int | None
) -> Runtime:
    """Return the saved choice where it still agrees and the images repay preparing it."""
    eager.batch_size = batch_size or choice.batch_size
    candidate = next((each for each in CANDIDATES if each.name == choice.runtime), None)
    if candidate is None:
        return eager
    eager_seconds = choice.seconds_per_image * candidate.speedup * images.total
    if not candidate.repays(eager_seconds):
        return eager
    return _prepare(candidate, eager, images, eager.batch_size) or eager


def _fastest_runtime(
    eager: Eager, candidates: Sequence[Candidate], images: TuningImages, *, forced: bool
) -> tuple[Runtime, float]:
    """Return the fastest runtime at the first batch size, and its seconds per image.

    A forced candidate is used if it agrees, whether it is faster or not.
    """
    fastest: Runtime = eager
    least = _seconds_per_image(eager, images)
    for candidate in candidates:
        if forced or candidate.repays(least * images.total):
            runtime = _prepare(candidate, eager, images, eager.batch_size)
            seconds = _seconds_per_image(runtime, images) if runtime else math.inf
            if runtime and (forced or seconds * MIN_SPEEDUP < least):
                fastest, least = runtime, seconds
    return fastest, least


def _tune_batch_size(
    fastest: Runtime, least: float, eager: Eager, images: TuningImages
) -> tuple[Runtime, float]:
    """Return a runtime at its fastest batch size, and its seconds per image.

    The search ends when it has taken TUNING_SHARE of the pass.
    """
    first, start, allowed = fastest, time.perf_counter(), TUNING_SHARE * least * images.total
    for size in (CPU_BATCHES if eager.backbone.device.type == "cpu" else DEVICE_BATCHES)[1:]:
        if time.perf_counter() - start > allowed:
            break
        runtime = _with_batch_size(first, eager, images, size)
        seconds = _seconds_per_image(runtime, images) if runtime else math.inf
        if runtime and seconds * MIN_SPEEDUP < least:
            fastest, least = runtime, seconds
    return fastest, least


def _with_batch_size(
    runtime: Runtime, eager: Eager, images: TuningImages, size: int
) -> Runtime | None:
    if runtime is eager:
        return Eager(eager.backbone, size)
    candidate = next(each for each in CANDIDATES if each.name == runtime.name)
    return _prepare(candidate, eager, images, size)


def _seconds_per_image(runtime: Runtime, images: TuningImages) -> float:
    """Return the faster of two measurements; infinite where the images do not fit in memory."""
    on_cpu = runtime.backbone.device.type == "cpu"
    crops = images.crops[:TIMED_IMAGES] if on_cpu else images.crops
    seconds = []
    try:
        for _ in range(2):
            start = time.perf_counter()
            runtime.embed(crops, images.outputs)
            seconds.append(time.perf_counter() - start)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or runtime.name == "eager":
            raise
        return math.inf
    return min(seconds) / len(crops)


def _prepare(
    candidate: Candidate, eager: Eager, images: TuningImages, batch_size: int
) -> Runtime | None:
    """Return a candidate's runtime.

    None where it cannot run the backbone, or gives other features than eager PyTorch on images of
    the pass or on noise.
    """
    noise = torch.randint(
        256,
        (2, *images.crops.shape[1:]),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(2),
    )
    try:
        runtime = candidate.make(eager.backbone, images.outputs, batch_size)
        is_same = all(
            agree(runtime.embed(crops, images.outputs), eager.embed(crops, images.outputs))
            for crops in (images.crops[:COMPARED_IMAGES], noise)
        )
    except Exception:  # a compiler can fail on any graph in any way; eager PyTorch takes over
        return None
    return runtime if is_same else None


def load_choice(path: Path) -> Choice | None:
    """Return the saved choice; None where none is saved, or none that can be read."""
    try:
        return Choice(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def save_choice(path: Path, choice: Choice) -> None:
    """Save a choice; a full or read-only disk loses the choice but does not stop the run."""
    try:
        write_atomically(path, json.dumps(asdict(choice)).encode())
    except StoreError:
        return
