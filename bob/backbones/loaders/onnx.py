"""Backbones in ONNX files: any graph from images to features, run on the CPU.

The features are read at an output or at any inner tensor of the graph. A graph does not contain its
preprocessing, which the entry therefore states. The graph's input is normalised pixels in its own
layout and channel order.

Where that tensor is the mean of another one over rows and columns, as before the classifier of a
convolutional network, the other one is the output `grid`. It is read by a second session, whose
graph has it as a further output, and whose input may have any height and width: a graph is exported
at one size, but convolutions fit all. A graph that does not fit another size fails when it is run.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bob.backbones.backbone import Loaded, refuse_outputs
from bob.backbones.loaders.preprocessing import geometry_and_normalisation
from bob.backbones.onnx_session import open_session
from bob.backbones.pixels.geometry import Geometry
from bob.errors import BackboneError, UnavailableError, first_line, nearest
from bob.io.stamps import stamps
from bob.specs import DEFAULT, GRID, BackboneSpec, OnnxGraph, Output

KIND = "an ONNX graph"
IMAGE_AXES = 4

PASSING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze")
"""Nodes between a mean over positions and the tensor that is read, which leave its values."""
AXES = {(1, 2): "NHWC", (2, 3): "NCHW"}
"""Axes over which a mean over positions is taken → layout of what it is taken of."""


@dataclass(frozen=True)
class Spatial:
    """The tensor of which the features are the mean over positions, and a graph that returns it."""

    tensor: str
    layout: str
    serialised: Callable[[], bytes]
    """Return the graph whose outputs are the features and the tensor, for images of any size."""


class OnnxFeatures(nn.Module):
    """A graph: (B, 3, H, W) normalised RGB → (B, D), or (B, H', W', D) where it has a grid.

    The graph's learned constants are parameters of this module, so that they are counted and hashed
    like those of other backbones.
    """

    def __init__(
        self,
        name: str,
        graph: OnnxGraph,
        session: Any,
        constants: Mapping[str, torch.Tensor],
        serialised: bytes = b"",
        spatial: Spatial | None = None,
    ) -> None:
        super().__init__()
        self.name, self.graph, self.session = name, graph, session
        self.spatial, self._of_grids = spatial, None
        self.serialised = serialised
        """The graph up to the tensor that is read, for other runtimes."""
        self.constants = nn.ParameterList(
            [nn.Parameter(constants[key], requires_grad=False) for key in sorted(constants)]
        )

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, available(self.spatial), KIND)
        pixels = x.flip(1) if self.graph.channels == "BGR" else x
        pixels = pixels.permute(0, 2, 3, 1) if self.graph.layout == "NHWC" else pixels
        values = np.ascontiguousarray(pixels.float().cpu().numpy())
        if GRID in outputs:
            rows, grid = self._rows_and_grid(values)
            read = {DEFAULT: rows, GRID: grid}
        else:
            if self.session is None:
                self.session = open_session(self.serialised)
            (read_rows,) = self._run(self.session, [self.graph.output], values)
            read = {DEFAULT: read_rows}
        read[DEFAULT] = without_unit_axes(read[DEFAULT])
        return {output: torch.from_numpy(read[output]).float().to(x.device) for output in outputs}

    def close(self) -> None:
        """Release the sessions, whose memory is several times that of the weights.

        The next call opens what it needs again.
        """
        self.session = self._of_grids = None

    def _rows_and_grid(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the features, and the grid (B, H', W', D)."""
        assert self.spatial is not None
        if self._of_grids is None:
            self._of_grids = open_session(self.spatial.serialised())
        names = [self.graph.output, self.spatial.tensor]
        rows, grid = self._run(self._of_grids, names, values)
        if self.spatial.layout == "NCHW":
            grid = np.ascontiguousarray(grid.transpose(0, 2, 3, 1))
        return [rows, grid]

    def _run(
        self, session: Any, names: Sequence[str], values: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        found: list[NDArray[np.float32]] = session.run(
            list(names), {session.get_inputs()[0].name: values}
        )
        return found


def available(spatial: Spatial | None) -> list[Output]:
    """Return the outputs of a graph."""
    return [DEFAULT] if spatial is None else [DEFAULT, GRID]


def without_unit_axes(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features (B, D, 1, 1), which global pooling leaves, as (B, D)."""
    is_pooled = rows.ndim > 2 and rows.shape[2:] == (1,) * (rows.ndim - 2)
    return rows.reshape(rows.shape[:2]) if is_pooled else rows


def load(spec: BackboneSpec, file: Path | None, *, offline: bool) -> Loaded:
    """Load the graph up to the tensor that is read, without the nodes behind it."""
    onnx, onnxruntime = _libraries(spec.name)
    files = stamps(_external_files(onnx, file)) if file else {}
    model = _pruned(spec, onnx, _read(spec, onnx, file))
    spatial = _spatial(spec, onnx, model)
    refuse_outputs(spec.name, [spec.output], available(spatial), KIND)
    serialised = model.SerializeToString(deterministic=True)
    session = open_session(serialised)
    version = onnxruntime.__version__
    loaded = _loaded(spec, session, _learned(onnx, model), version, serialised, spatial)
    _check_input(spec, loaded.geometry, session.get_inputs()[0].shape)
    facts = {
        "graph": _graph(spec).model_dump(),
        "sha256": hashlib.sha256(serialised).hexdigest(),
    }
    return replace(loaded, forward=facts, files=files)


def outline(spec: BackboneSpec, *, offline: bool) -> Loaded:
    """Return the preprocessing, and a module that cannot run.

    An ONNX file is architecture and weights in one: without it nothing else is defined.
    """
    return _loaded(spec, None, {}, "unknown")


def _loaded(
    spec: BackboneSpec,
    session: Any,
    constants: Mapping[str, torch.Tensor],
    version: str,
    serialised: bytes = b"",
    spatial: Spatial | None = None,
) -> Loaded:
    geometry, normalisation = geometry_and_normalisation(spec.preprocessing)
    module = OnnxFeatures(spec.name, _graph(spec), session, constants, serialised, spatial)
    return Loaded(module, geometry, normalisation, f"onnxruntime {version}")


def _graph(spec: BackboneSpec) -> OnnxGraph:
    assert spec.graph is not None  # checked by BackboneSpec
    return spec.graph


def _libraries(name: str) -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            f"backbone {name!r}: ONNX files need the packages onnx and onnxruntime; "
            "pip install 'bob-bench[onnx]'"
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
    except Exception as error:  # errors of protobuf and of onnx
        raise BackboneError(
            f"backbone {spec.name!r}: {str(file)!r} is not a complete ONNX file "
            f"({first_line(error)})."
        ) from error
    return model


def _external_files(onnx: Any, file: Path) -> list[Path]:
    """Return the files beside a graph that hold its tensors; none where it cannot be read.

    That they are in its folder, and no links, is checked by onnx when it reads them.
    """
    try:
        graph = onnx.load(file, load_external_data=False).graph
    except Exception:  # `_read` reports it
        return []
    entries = (entry for tensor in graph.initializer for entry in tensor.external_data)
    return sorted({file.parent / entry.value for entry in entries if entry.key == "location"})


def _pruned(spec: BackboneSpec, onnx: Any, model: Any) -> Any:
    """Return a model with the requested tensor as its only output.

    It contains only the nodes and constants that the tensor depends on.
    """
    requested = _graph(spec).output
    nodes = {output: node for node in model.graph.node for output in node.output}
    if requested not in nodes:
        outputs = ", ".join(output.name for output in model.graph.output)
        raise BackboneError(
            f"backbone {spec.name!r}: the graph has no tensor {requested!r}"
            f"{nearest(requested, nodes)} Its outputs: {outputs}."
        )
    needed: set[str] = set()
    pending = [requested]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += list(nodes[name].input) if name in nodes else []
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    constant_names = {constant.name for constant in constants}
    graph = onnx.helper.make_graph(
        [node for node in model.graph.node if needed.intersection(node.output)],
        model.graph.name,
        [value for value in model.graph.input if value.name in needed - constant_names],
        [onnx.ValueInfoProto(name=requested)],
        constants,
    )
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def _spatial(spec: BackboneSpec, onnx: Any, model: Any) -> Spatial | None:
    """Return the tensor of which that of a pruned model is the mean over positions, or None."""
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers.get(_graph(spec).output)
    while node is not None and node.op_type in PASSING:
        node = producers.get(node.input[0])
    layout = None if node is None else _layout_of_mean(onnx, model, node)
    if node is None or layout is None or node.input[0] not in producers:
        return None
    tensor = node.input[0]

    def with_grid_output() -> bytes:
        with_grid = onnx.ModelProto()
        with_grid.CopyFrom(model)
        with_grid.graph.output.append(onnx.ValueInfoProto(name=tensor))
        sides = slice(1, 3) if _graph(spec).layout == "NHWC" else slice(2, 4)
        for side, name in zip(
            with_grid.graph.input[0].type.tensor_type.shape.dim[sides],
            ("height", "width"),
            strict=True,
        ):
            side.dim_param = name
        return bytes(with_grid.SerializeToString())

    return Spatial(tensor, layout, with_grid_output)


def _layout_of_mean(onnx: Any, model: Any, node: Any) -> str | None:
    """Return the layout of what a node takes the mean of over positions; None if it does not.

    The axes of a `ReduceMean` are an attribute, or an input as of opset 18.
    """
    if node.op_type == "GlobalAveragePool":
        return "NCHW"
    if node.op_type != "ReduceMean":
        return None
    axes = [axis for of in node.attribute if of.name == "axes" for axis in of.ints]
    for constant in model.graph.initializer:
        if constant.name in node.input[1:]:
            axes = onnx.numpy_helper.to_array(constant).tolist()
    return AXES.get(tuple(sorted(axis % IMAGE_AXES for axis in axes)))


def _learned(onnx: Any, model: Any) -> dict[str, torch.Tensor]:
    """Return the graph's floating-point constants: weights, and statistics folded into them."""
    arrays = {
        constant.name: onnx.numpy_helper.to_array(constant) for constant in model.graph.initializer
    }
    return {
        name: torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if np.issubdtype(array.dtype, np.floating)
    }


def _check_input(spec: BackboneSpec, geometry: Geometry, shape: Sequence[int | str | None]) -> None:
    """Compare the graph's declared input with the entry's; symbolic sizes fit any number.

    A grid is read at any size.
    """
    if isinstance(shape[0], int):
        raise BackboneError(
            f"backbone {spec.name!r}: the graph takes batches of {shape[0]} only; "
            "export it with a dynamic batch axis."
        )
    layout = _graph(spec).layout
    height_px, width_px = geometry.height_px, geometry.width_px
    expected = (
        ["batch", 3, height_px, width_px] if layout == "NCHW" else ["batch", height_px, width_px, 3]
    )
    if len(shape) != len(expected) or any(
        isinstance(size, int) and size != expected_size and (size == 3 or not spec.output.is_grid)
        for size, expected_size in zip(shape[1:], expected[1:], strict=True)
    ):
        raise BackboneError(
            f"backbone {spec.name!r}: the graph takes {list(shape)}, the entry says {expected} "
            f"(graph.layout {layout}, preprocessing.input_px {height_px})."
        )
