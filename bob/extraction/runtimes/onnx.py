"""ONNX Runtime on the CPU, from PyTorch's own export, in memory.

The exporter that works by tracing is used: the newer one needs two more packages. What it gets wrong is seen in the rows.
"""

import logging
import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.extraction.runtimes.runtime import Fused, batches, joined
from bob.specs import Output

OPSET = 18


class OnnxRuntime:
    """A backbone exported for batches of one size."""

    name = "onnxruntime"

    def __init__(self, backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> None:
        self.backbone, self.outputs, self.batch_size = backbone, list(outputs), batch_size
        self._session = _session(_exported(backbone, outputs, batch_size))

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        parts = []
        for batch, real in batches(crops, self.batch_size):
            parts.append(
                [values[:real] for values in self._session.run(None, {"crops": batch.numpy()})]
            )
        rows = joined(parts, self.outputs, outputs)
        for output, values in rows.items():
            self.backbone.check_features(output, values, len(crops))
        return rows


def _exported(backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> bytes:
    example = torch.zeros(
        (batch_size, 3, backbone.geometry.height_px, backbone.geometry.width_px), dtype=torch.uint8
    )
    file: Any = BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # as in bob.extraction.runtimes.openvino
        torch.onnx.export(
            Fused(backbone, outputs).eval(),
            (example,),
            file,
            input_names=["crops"],
            opset_version=OPSET,
            dynamo=False,
        )
    return bytes(file.getvalue())


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
