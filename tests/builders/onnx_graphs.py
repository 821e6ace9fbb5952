"""Small ONNX files, whose features follow by hand, and entries that read them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bob.specs import BackboneSpec
from tests.builders.backbone_entries import entry

PREPROCESSING = {
    "input_px": 4,
    "crop_pct": 1.0,
    "crop_mode": "center",
    "interpolation": "bilinear",
    "mean": [0.0, 0.25, 0.5],
    "std": [1.0, 0.5, 0.25],
}


def write_graph(
    folder: Path,
    shape: Sequence[str | int] = ("batch", 3, 4, 4),
    keepdims: bool = False,
    before: Sequence[onnx.NodeProto] | None = None,
) -> Path:
    """Write a graph: the mean over positions (inner tensor `pooled`) times a matrix (`scores`).

    `keepdims` keeps the positions as axes of length 1, as global pooling does. `before` are nodes
    from `pixels` to `pooled` that replace the mean.
    """
    axes = [1, 2] if shape[-1] == 3 else [2, 3]
    weight = np.arange(6, dtype=np.float32).reshape(3, 2)
    mean = helper.make_node("ReduceMean", ["pixels", "axes"], ["pooled"], keepdims=int(keepdims))
    nodes = [
        *([mean] if before is None else before),
        helper.make_node("MatMul", ["pooled", "weight"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (shape[0], 2))],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array(axes, dtype=np.int64), "axes"),
        ],
    )
    opset = helper.make_opsetid("", 18)
    path = folder / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def channels_first_and_last() -> list[onnx.NodeProto]:
    """Return nodes from `pixels` (N, H, W, 3) to `pooled`: the mean of √max(x, 0).

    As converters write a graph of TensorFlow: each operation between two transpositions.
    """
    first, last = [0, 3, 1, 2], [0, 2, 3, 1]
    return [
        helper.make_node("Transpose", ["pixels"], ["a"], perm=first),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], perm=last),
        helper.make_node("Transpose", ["c"], ["d"], perm=first),
        helper.make_node("Sqrt", ["d"], ["e"]),
        helper.make_node("Transpose", ["e"], ["f"], perm=last),
        helper.make_node("ReduceMean", ["f", "axes"], ["pooled"], keepdims=0),
    ]


def doubled(*pooling: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return nodes that double the pixels, and those that pool the tensor `doubled`."""
    return [helper.make_node("Add", ["pixels", "pixels"], ["doubled"]), *pooling]


MEAN = helper.make_node("ReduceMean", ["doubled", "axes"], ["pooled"], keepdims=0)
"""Pools `doubled`, in one node or in three."""
POOL = [
    helper.make_node("GlobalAveragePool", ["doubled"], ["kept"]),
    helper.make_node("Flatten", ["kept"], ["flat"]),
    helper.make_node("Cast", ["flat"], ["pooled"], to=TensorProto.FLOAT),
]


def spec(file: Path, **fields: object) -> BackboneSpec:
    """Return an entry that reads a graph."""
    values = {
        "weights": {"file": str(file)},
        "preprocessing": PREPROCESSING,
        "graph": {"output": "pooled"},
    }
    return entry("onnx", "tiny", **{**values, **fields})
