"""OpenVINO on the CPU: convolutions blocked for the vector units, one stream of batches per core.

PyTorch's tracer makes the graph, and OpenVINO's own frontend reads it from memory. The graphs of
ONNX files are simplified first: converters leave a transposition on either side of each operation,
which OpenVINO carries out. OpenVINO's converter program, which reports its use over the network, is
not called. float32 is requested explicitly: on processors with AMX the default is bfloat16.
"""

import copy
import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from bob.backbones.backbone import Backbone, Embedded
from bob.backbones.loaders.onnx import OnnxFeatures, without_unit_axes
from bob.backbones.onnx_session import simplified
from bob.extraction.runtimes.runtime import Fused, checked, concatenate, fixed_batches
from bob.specs import GRID, Output

REQUESTS_PER_STREAM = 2
"""Batches that each stream computes or has waiting: with one, it rests after each batch until
Python's thread, which shares its lock with those that decode, hands over the next."""


class OpenVino:
    """A backbone compiled for batches of one size."""

    name = "openvino"

    def __init__(self, backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> None:
        self.backbone, self.outputs, self.batch_size = backbone, list(outputs), batch_size
        self.graph = _graph(backbone, outputs)
        self._queue = self._compiled()

    def resized(self, batch_size: int) -> "OpenVino":
        """Return this runtime for batches of another size; most of its preparation is done."""
        other = copy.copy(self)
        other.batch_size = batch_size
        other._queue = other._compiled()
        return other

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """See `Runtime.embed`. Each batch goes to whichever stream is free."""
        finished: dict[int, list[NDArray[np.float32]]] = {}
        for number, (batch, count) in enumerate(fixed_batches(crops, self.batch_size)):
            self._queue.start_async([batch.numpy()], (finished, number, count), share_inputs=True)
        self._queue.wait_all()
        batches = [finished[number] for number in sorted(finished)]
        return checked(self.backbone, concatenate(batches, self.outputs, outputs), len(crops))

    def _compiled(self) -> Any:
        """Return an OpenVINO queue of the graph for batches of this size."""
        from openvino import AsyncInferQueue, Core

        geometry = self.backbone.geometry
        self.graph.reshape({0: [self.batch_size, 3, geometry.height_px, geometry.width_px]})
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
        cores = psutil.cpu_count(logical=False) or 1
        settings |= _thread_settings(torch.get_num_threads(), cores)
        compiled = Core().compile_model(self.graph, "CPU", settings)
        streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        queue = AsyncInferQueue(compiled, REQUESTS_PER_STREAM * streams)
        queue.set_callback(_copy_features)
        return queue


def _copy_features(
    request: Any, batch: tuple[dict[int, list[NDArray[np.float32]]], int, int]
) -> None:
    """Copy the features of a finished batch out of the stream's own memory."""
    finished, number, count = batch
    finished[number] = [
        without_unit_axes(np.array(request.get_output_tensor(i).data[:count]))
        for i in range(len(request.model_outputs))
    ]


def _graph(backbone: Backbone, outputs: Sequence[Output]) -> Any:
    """Return the backbone as an OpenVINO graph, from uint8 crops (B, 3, H, W)."""
    if not isinstance(backbone.module, OnnxFeatures):
        return _traced_model(backbone, outputs)
    return _onnx_model(backbone, outputs)


def _thread_settings(threads: int, cores: int) -> dict[str, Any]:
    """Return what keeps OpenVINO to PyTorch's threads, which records and plans state.

    Where these are all cores, OpenVINO's own number is right. Fewer are not bound to cores: other
    processes of the machine would be bound to the same ones.
    """
    if threads >= cores:
        return {}
    return {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}


def _onnx_model(backbone: Backbone, outputs: Sequence[Output]) -> Any:
    """Return the graph of an ONNX file, from uint8 crops (B, 3, H, W) to some of its outputs."""
    from openvino import Core, Layout, Model, Type
    from openvino.preprocess import PrePostProcessor

    module, normalisation = backbone.module, backbone.normalisation
    assert isinstance(module, OnnxFeatures)
    spatial = module.spatial if GRID in outputs else None
    serialised = spatial.serialised() if spatial else module.serialised
    model = Core().read_model(BytesIO(simplified(serialised)))
    layout = module.graph.layout
    if spatial:
        geometry = backbone.geometry
        height, width = geometry.height_px, geometry.width_px
        sides = (3, height, width) if layout == "NCHW" else (height, width, 3)
        model.reshape([-1, *sides])
        results = model.get_results()  # of the features and of the grid
        model = Model([results[output == GRID] for output in outputs], model.get_parameters())
    processor = PrePostProcessor(model)
    crops = processor.input()
    crops.tensor().set_element_type(Type.u8).set_layout(Layout("NCHW"))
    crops.model().set_layout(Layout(layout))
    steps = crops.preprocess().convert_element_type(Type.f32).scale(255.0)
    steps.mean(list(normalisation.mean)).scale(list(normalisation.std))
    if module.graph.channels == "BGR":
        steps.reverse_channels()
    if spatial and spatial.layout == "NCHW":
        grid = processor.output(outputs.index(GRID))
        grid.model().set_layout(Layout("NCHW"))
        grid.tensor().set_layout(Layout("NHWC"))
    return processor.build()


def _traced_model(backbone: Backbone, outputs: Sequence[Output]) -> Any:
    """Return the graph that PyTorch's tracer sees."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    shape = (2, 3, backbone.geometry.height_px, backbone.geometry.width_px)
    example = torch.zeros(shape, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer warns of every shape that it takes as fixed; errors show in the features.
        warnings.simplefilter("ignore")
        fused = Fused(backbone, outputs).eval()
        traced = torch.jit.trace(fused, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        frontend = FrontEndManager().load_by_framework("pytorch")
        # The decoder must outlive the conversion, hence the variable.
        decoder = TorchScriptPythonDecoder(traced, example_input=example)
        return frontend.convert(frontend.load(decoder))
