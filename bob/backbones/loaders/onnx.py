"""Backbones in ONNX files: any graph from images to features, read at an output or at any inner tensor, on the processor.

The preprocessing is the entry's: a graph does not tell it. The graph is fed the normalised pixels in its own layout and channel order.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.errors import BackboneError, UnavailableError, nearest
from bob.specs import DEFAULT, BackboneSpec, OnnxGraph, Output

PROVIDER = "CPUExecutionProvider"
ERRORS_ONLY = 3
"""onnxruntime's log level."""


class OnnxRows(nn.Module):
    """(B, 3, H, W) normalised RGB → (B, D). The graph's learned constants are this module's parameters, so that they count and hash like others."""

    def __init__(
        self, name: str, graph: OnnxGraph, session: Any, constants: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__()
        self.name, self.graph, self.session = name, graph, session
        self.constants = nn.ParameterList(
            [nn.Parameter(constants[key], requires_grad=False) for key in sorted(constants)]
        )

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, [DEFAULT], "an ONNX graph")
        fed = x.flip(1) if self.graph.channels == "BGR" else x
        fed = fed.permute(0, 2, 3, 1) if self.graph.layout == "NHWC" else fed
        values = np.ascontiguousarray(fed.float().cpu().numpy())
        (rows,) = self.session.run([self.graph.output], {self.session.get_inputs()[0].name: values})
        flat = rows.reshape(rows.shape[:2]) if rows.shape[2:] == (1,) * (rows.ndim - 2) else rows
        return {DEFAULT: torch.from_numpy(flat).float().to(x.device)}


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """The graph up to the tensor that is read; what lies behind it is cut off."""
    onnx, onnxruntime = _libraries(spec.name)
    model = _cut(spec, onnx, _read(spec, onnx, file))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[PROVIDER])
    loaded = _loaded(spec, session, _learned(onnx, model), onnxruntime.__version__)
    _check_input(spec, loaded.geometry, session.get_inputs()[0].shape)
    facts = {
        "graph": _graph(spec).model_dump(),
        "sha256": hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest(),
    }
    return Loaded(loaded.module, loaded.geometry, loaded.normalisation, loaded.library, facts)


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """An ONNX file is architecture and weights in one: without it only the preprocessing is known."""
    return _loaded(spec, None, {}, "unknown")


def _loaded(
    spec: BackboneSpec, session: Any, constants: Mapping[str, torch.Tensor], version: str
) -> Loaded:
    own = spec.preprocessing
    assert (
        own.input_px
        and own.crop_pct
        and own.crop_mode
        and own.interpolation
        and own.mean
        and own.std
    )  # BackboneSpec sees to it
    geometry = Geometry(own.input_px, own.input_px, own.crop_pct, own.crop_mode, own.interpolation)
    module = OnnxRows(spec.name, _graph(spec), session, constants)
    return Loaded(module, geometry, Normalisation(own.mean, own.std), f"onnxruntime {version}")


def _graph(spec: BackboneSpec) -> OnnxGraph:
    assert spec.graph is not None  # BackboneSpec sees to it
    return spec.graph


def _libraries(name: str) -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            f"backbone {name!r}: ONNX files need the packages onnx and onnxruntime; pip install 'bob-bench[onnx]'"
        ) from error
    return onnx, onnxruntime


def _read(spec: BackboneSpec, onnx: Any, file: Path | None) -> Any:
    if file is None:
        raise UnavailableError(
            f"backbone {spec.name!r}: loader onnx needs weights: give file, package, hub or url."
        )
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and onnx's own errors
        raise BackboneError(
            f"backbone {spec.name!r}: {str(file)!r} is not a whole ONNX file ({str(error).splitlines()[0][:200]})."
        ) from error
    return model


def _cut(spec: BackboneSpec, onnx: Any, model: Any) -> Any:
    """The nodes and constants that the wanted tensor depends on, with that tensor as the only output."""
    wanted, makers = (
        _graph(spec).output,
        {output: node for node in model.graph.node for output in node.output},
    )
    if wanted not in makers:
        outputs = ", ".join(output.name for output in model.graph.output)
        raise BackboneError(
            f"backbone {spec.name!r}: the graph has no tensor {wanted!r}{nearest(wanted, makers)} Its outputs: {outputs}."
        )
    needed, open_names = set(), [wanted]
    while open_names:
        name = open_names.pop()
        if name not in needed:
            needed.add(name)
            open_names += list(makers[name].input) if name in makers else []
    nodes = [node for node in model.graph.node if needed.intersection(node.output)]
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    inputs = [
        value
        for value in model.graph.input
        if value.name in needed and value.name not in {constant.name for constant in constants}
    ]
    graph = onnx.helper.make_graph(
        nodes, model.graph.name, inputs, [onnx.ValueInfoProto(name=wanted)], constants
    )
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def _learned(onnx: Any, model: Any) -> dict[str, torch.Tensor]:
    """The graph's floating-point constants: weights, and the statistics folded into them."""
    arrays = {
        constant.name: onnx.numpy_helper.to_array(constant) for constant in model.graph.initializer
    }
    return {
        name: torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if np.issubdtype(array.dtype, np.floating)
    }


def _check_input(spec: BackboneSpec, geometry: Geometry, shape: Sequence[int | str | None]) -> None:
    """The graph's stated input against the entry's; what the graph leaves open fits anything."""
    wanted = {
        "NCHW": ["batch", 3, geometry.height_px, geometry.width_px],
        "NHWC": ["batch", geometry.height_px, geometry.width_px, 3],
    }
    expected = wanted[_graph(spec).layout]
    if isinstance(shape[0], int):
        raise BackboneError(
            f"backbone {spec.name!r}: the graph takes batches of {shape[0]} only; export it with a dynamic batch axis."
        )
    if len(shape) != len(expected) or any(
        isinstance(size, int) and size != want
        for size, want in zip(shape[1:], expected[1:], strict=True)
    ):
        raise BackboneError(
            f"backbone {spec.name!r}: the graph takes {list(shape)}, the entry says {expected} (graph.layout {_graph(spec).layout}, "
            f"preprocessing.input_px {geometry.height_px})."
        )
