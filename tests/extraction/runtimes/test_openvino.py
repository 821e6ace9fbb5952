"""ONNX files run in OpenVINO as they do in ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bob.backbones.card import load_backbone
from bob.extraction.runtimes.autotune import TuningImages, tune
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.openvino import REQUESTS_PER_STREAM, OpenVino
from bob.extraction.runtimes.runtime import agree
from bob.registry import load_registry
from bob.specs import DEFAULT, GRID, Output
from tests.builders.backbone_entries import load, random_crops
from tests.builders.onnx_graphs import (
    MEAN,
    POOL,
    PREPROCESSING,
    channels_first_and_last,
    doubled,
    spec,
    write_graph,
)

CROPS = random_crops(5, 4)
MEANS = CROPS.numpy().astype(np.float64).mean((2, 3)) / 255
NORMALISED = (MEANS - np.array([0.0, 0.25, 0.5])) / np.array([1.0, 0.5, 0.25])
"""The mean of normalised pixels is the normalised mean: (5, 3), in the order RGB."""


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize(
    ("layout", "shape", "keepdims"),
    [
        ("NCHW", ("batch", 3, 4, 4), False),
        ("NCHW", ("batch", 3, 4, 4), True),
        ("NHWC", ("batch", 4, 4, 3), False),
    ],
)
def test_an_onnx_graph_has_the_features_that_follow_by_hand(
    tmp_path: Path, layout: str, shape: tuple[str | int, ...], keepdims: bool, channels: str
) -> None:
    """Five images in batches of two."""
    graph = {"output": "pooled", "layout": layout, "channels": channels}
    backbone = load(spec(write_graph(tmp_path, shape, keepdims), graph=graph))
    features = OpenVino(backbone, [DEFAULT], 2).embed(CROPS, [DEFAULT])[DEFAULT]
    expected = NORMALISED if channels == "RGB" else NORMALISED[:, ::-1]
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_a_graph_of_another_layout_than_its_input_has_the_features_that_follow_by_hand(
    tmp_path: Path,
) -> None:
    file = write_graph(tmp_path, ("batch", 4, 4, 3), before=channels_first_and_last())
    graph = {"output": "pooled", "layout": "NHWC", "channels": "RGB"}
    features = OpenVino(load(spec(file, graph=graph)), [DEFAULT], 2).embed(CROPS, [DEFAULT])
    mean, std = np.array([0.0, 0.25, 0.5]), np.array([1.0, 0.5, 0.25])
    pixels = (CROPS.numpy().transpose(0, 2, 3, 1) / 255 - mean) / std
    expected = np.sqrt(np.maximum(pixels, 0)).mean((1, 2))
    np.testing.assert_allclose(features[DEFAULT], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("outputs", [[GRID], [DEFAULT, GRID], [GRID, DEFAULT]])
@pytest.mark.parametrize(
    ("layout", "pooling"), [("NCHW", [MEAN]), ("NCHW", POOL), ("NHWC", [MEAN])]
)
def test_an_onnx_graph_has_the_grid_that_follows_by_hand(
    tmp_path: Path, layout: str, pooling: list[onnx.NodeProto], outputs: list[Output]
) -> None:
    """The graph takes 4 x 4 px, and the entry reads 6 x 6: twice the normalised pixels."""
    shape = ("batch", 3, 4, 4) if layout == "NCHW" else ("batch", 4, 4, 3)
    file = write_graph(tmp_path, shape, before=doubled(*pooling))
    graph = {"output": "pooled", "layout": layout}
    of = {"output": "grid", "preprocessing": {**PREPROCESSING, "input_px": 6}}
    crops = random_crops(3, 6)
    features = OpenVino(load(spec(file, graph=graph, **of)), outputs, 2).embed(crops, outputs)
    pixels = crops.permute(0, 2, 3, 1).numpy() / 255
    expected = 2 * (pixels - np.array([0.0, 0.25, 0.5])) / np.array([1.0, 0.5, 0.25])
    np.testing.assert_allclose(features[GRID], expected, rtol=1e-5, atol=1e-6)
    if DEFAULT in outputs:
        rows = expected.mean((1, 2))
        np.testing.assert_allclose(features[DEFAULT], rows, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("output", [DEFAULT, GRID])
def test_a_published_onnx_file_agrees_with_onnx_runtime(output: Output) -> None:
    entry = load_registry().backbones["resnet50thin_opennsfw"].variant(output=output)
    backbone = load_backbone(entry, "cpu", "float32", offline=True)
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(256, (2, 3, 224, 224), dtype=torch.uint8, generator=generator)
    openvino, eager = OpenVino(backbone, [output], 2), Eager(backbone, 2)
    assert agree(openvino.embed(crops, [output]), eager.embed(crops, [output]))


def test_an_onnx_file_is_tried_in_openvino_alone(tmp_path: Path) -> None:
    """Its eager forward pass is ONNX Runtime's, and PyTorch's tracer cannot see the graph."""
    shape = ("batch", 3, 4, 4)
    graph = {"output": "pooled", "layout": "NCHW", "channels": "RGB"}
    backbone = load(spec(write_graph(tmp_path, shape, False), graph=graph))
    tuned = tune(backbone, TuningImages(CROPS, 10**9, [DEFAULT]), "auto")
    assert tuned.choice is not None
    assert {trial.runtime for trial in tuned.choice.trials} == {"eager", "openvino"}
    assert (
        tune(backbone, TuningImages(CROPS, 10**9, [DEFAULT]), "compile", 2).runtime.name == "eager"
    )


def test_rows_keep_their_order_where_batches_wait_for_a_stream(tmp_path: Path) -> None:
    """Forty batches of one image, many more than are handed over at once."""
    graph = {"output": "pooled", "layout": "NCHW", "channels": "RGB"}
    backbone = load(spec(write_graph(tmp_path, ("batch", 3, 4, 4), False), graph=graph))
    runtime, crops = OpenVino(backbone, [DEFAULT], 1), random_crops(40, 4)
    streams = len(runtime._queue) // REQUESTS_PER_STREAM
    assert streams * REQUESTS_PER_STREAM == len(runtime._queue) < len(crops)
    pixels = crops.numpy().astype(np.float64).mean((2, 3)) / 255
    expected = (pixels - np.array([0.0, 0.25, 0.5])) / np.array([1.0, 0.5, 0.25])
    features = runtime.embed(crops, [DEFAULT])[DEFAULT]
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
