"""OpenVINO on the CPU: convolutions blocked for the vector units, one stream of batches per core.

The graph comes from PyTorch's tracer through OpenVINO's own frontend, read from memory: nothing is written, and its converter program, which
reports its use over the network, is not called. float32 is asked for by name: on processors with AMX the default is bfloat16.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bob.backbones.backbone import Backbone, Embedded
from bob.extraction.runtimes.runtime import Fused, batches, joined
from bob.specs import Output


class OpenVino:
    """A backbone compiled for batches of one size."""

    name = "openvino"

    def __init__(self, backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> None:
        self.backbone, self.outputs, self.batch_size = backbone, list(outputs), batch_size
        self._queue = _compiled(backbone, outputs, batch_size)
        self._queue.set_callback(_keep)

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """Batches are handed to whichever stream is free; rows come back in their places."""
        found: dict[int, list[NDArray[np.float32]]] = {}
        for number, (batch, real) in enumerate(batches(crops, self.batch_size)):
            self._queue.start_async([batch.numpy()], (found, number, real), share_inputs=True)
        self._queue.wait_all()
        rows = joined([found[number] for number in sorted(found)], self.outputs, outputs)
        for output, values in rows.items():
            self.backbone.check_features(output, values, len(crops))
        return rows


def _keep(request: Any, place: tuple[dict[int, list[NDArray[np.float32]]], int, int]) -> None:
    """Copies a finished batch's rows out of the stream's own memory."""
    found, number, real = place
    found[number] = [
        np.array(request.get_output_tensor(i).data[:real])
        for i in range(len(request.model_outputs))
    ]


def _compiled(backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> Any:
    from openvino import AsyncInferQueue, Core
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    shape = (3, backbone.geometry.height_px, backbone.geometry.width_px)
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # the tracer warns of every shape that it takes as fixed; what it gets wrong is seen in the rows
        fused = Fused(backbone, outputs).eval()
        traced = torch.jit.trace(fused, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(
            traced, example_input=example
        )  # must outlive the conversion
        model = frontend.convert(frontend.load(decoder))
    model.reshape({0: [batch_size, *shape]})
    compiled = Core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    )
    return AsyncInferQueue(compiled)
