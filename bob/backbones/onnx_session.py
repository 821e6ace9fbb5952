"""Sessions of ONNX Runtime on the CPU, with as many threads as PyTorch."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

PROVIDERS = ["CPUExecutionProvider"]
ERRORS_ONLY = 3
"""onnxruntime's log level."""


def open_session(serialised: bytes) -> Any:
    """Return a session of a serialised graph.

    Its threads wait as OpenMP's do: by default they spin, and take the processor from each other
    and from whatever else runs.
    """
    import onnxruntime

    options = _options(onnxruntime)
    options.intra_op_num_threads = torch.get_num_threads()
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE":
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(serialised, options, providers=PROVIDERS)


def simplified(serialised: bytes) -> bytes:
    """Return a graph without transpositions that cancel each other, and other needless nodes.

    By the simplifications of ONNX Runtime that keep to ONNX's own operations. It writes their
    result to files only.
    """
    import onnxruntime

    options = _options(onnxruntime)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "simplified.onnx"
        options.optimized_model_filepath = str(file)
        onnxruntime.InferenceSession(serialised, options, providers=PROVIDERS)
        return file.read_bytes()


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    return options
