"""Runtimes other than eager PyTorch, and what is expected of them before they are tried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bob.specs import Output

if TYPE_CHECKING:  # estimating a run loads no runtime
    from bob.backbones.backbone import Backbone
    from bob.extraction.runtimes.runtime import Runtime


@dataclass(frozen=True)
class Candidate:
    """A runtime other than eager PyTorch, and what is expected of it before it is tried."""

    name: str
    make: "Callable[[Backbone, Sequence[Output], int], Runtime]"
    package: str
    setup_seconds: float
    """Time to prepare and measure it, for a backbone of 10 to 100 M parameters."""
    speedup: float
    """Usual factor by which it is faster than eager PyTorch, as measured by
    benchmarks/extraction.py."""
    further_speedup: float = 1.05
    """Factor by which it may be faster than another compiled runtime."""
    cpu_only: bool = True
    resized: "Callable[[Runtime, int], Runtime] | None" = None
    """Makes a runtime for batches of another size out of one; None where nothing is saved."""
    runs_onnx_files: bool = False
    """Whether it runs the graph of an ONNX file, which PyTorch cannot trace."""
    is_streamed: bool = False
    """Whether each thread computes batches of its own, instead of a share of every batch."""


def _openvino(backbone: "Backbone", outputs: Sequence[Output], batch_size: int) -> "Runtime":
    from bob.extraction.runtimes.openvino import OpenVino

    return OpenVino(backbone, outputs, batch_size)


def _resized_openvino(runtime: "Runtime", batch_size: int) -> "Runtime":
    from bob.extraction.runtimes.openvino import OpenVino

    assert isinstance(runtime, OpenVino)
    return runtime.resized(batch_size)


def _onnxruntime(backbone: "Backbone", outputs: Sequence[Output], batch_size: int) -> "Runtime":
    from bob.extraction.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(backbone, outputs, batch_size)


def _compiled(backbone: "Backbone", outputs: Sequence[Output], batch_size: int) -> "Runtime":
    from bob.extraction.runtimes.compiled import Compiled

    return Compiled(backbone, outputs, batch_size)


CANDIDATES = (
    Candidate(
        *("openvino", _openvino, "openvino", 3.0, 2.0),
        resized=_resized_openvino,
        runs_onnx_files=True,
        is_streamed=True,
    ),
    Candidate("onnxruntime", _onnxruntime, "onnxruntime", 5.0, 1.6),
    Candidate("compile", _compiled, "torch", 40.0, 1.3, cpu_only=False),
)
"""In the order in which they are tried."""


def usable_candidates(precision: str, device_type: str) -> list[Candidate]:
    """Return the candidates that are installed and compute in float32 on a type of device.

    Only eager PyTorch runs reduced precisions, which each runtime rounds in its own way.
    """
    if precision != "float32":
        return []
    return [
        candidate
        for candidate in CANDIDATES
        if find_spec(candidate.package) and (device_type == "cpu" or not candidate.cpu_only)
    ]


def repays(seconds: float, speedup: float, cost: float) -> bool:
    """Whether work of some seconds, made faster by a factor, saves more than it costs."""
    return seconds * (1 - 1 / speedup) > cost


def expected_seconds(
    eager_seconds: float, requested: str, device_type: str, precision: str
) -> float:
    """Return the expected time of a run's forward passes before autotuning.

    `eager_seconds` is the time that eager PyTorch takes, `requested` "auto" or the name of a
    runtime.
    """
    return min(
        [
            eager_seconds,
            *(
                candidate.setup_seconds + eager_seconds / candidate.speedup
                for candidate in usable_candidates(precision, device_type)
                if requested in ("auto", candidate.name)
            ),
        ]
    )
