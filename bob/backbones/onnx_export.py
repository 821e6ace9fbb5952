"""Backbones as ONNX graphs, from PyTorch's tracing exporter; the newer one needs two packages more.

PyTorch's fused attention of `nn.MultiheadAttention`, by which open_clip's vision transformers
compute, has no counterpart in ONNX: it is switched off while a graph is traced, which then holds
the same products one by one.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import torch
from torch import nn

OPSET = 18


def exported(
    module: nn.Module,
    crops: torch.Tensor,
    output_names: Sequence[str] | None = None,
    *,
    any_count: bool = False,
) -> bytes:
    """Return a serialised ONNX graph with the input `crops` (n, 3, H, W) uint8.

    The number of images is that of the example, or any with `any_count`, which needs
    `output_names`. Raises the exporter's errors where an operator has no counterpart in ONNX.
    """
    axes = {name: {0: "n"} for name in ("crops", *(output_names or ()))} if any_count else None
    file: Any = BytesIO()
    with warnings.catch_warnings(), _without_fused_attention(), _without_log(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, on shapes that are constants
        torch.onnx.export(
            module.eval(),
            (crops,),
            file,
            input_names=["crops"],
            output_names=output_names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return bytes(file.getvalue())


@contextlib.contextmanager
def _without_fused_attention() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Keep the exporter from printing the whole graph where it fails, thousands of lines."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    log = getattr(torch._C, "_jit_onnx_log", None)
    if log is None:
        yield
        return
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log
