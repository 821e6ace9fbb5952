"""Decoding rests while the threads of a forward pass on the CPU wait for each other."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bob.backbones.card import load_backbone
from bob.backbones.loaders.onnx import OnnxFeatures
from bob.extraction.embedder import Embedder
from bob.registry import load_registry
from bob.specs import DEFAULT
from tests.builders.backbone_entries import load, random_crops
from tests.builders.onnx_graphs import spec, write_graph


def holds(embedder: Embedder, side_px: int) -> int:
    """Return how often decoding is held while three images are embedded."""
    held: list[str] = []

    @contextlib.contextmanager
    def hold() -> Iterator[None]:
        held.append("held")
        yield

    crops = random_crops(3, side_px)
    embedder.embed(0, crops, [DEFAULT], [DEFAULT], hold=hold)
    return len(held)


@pytest.mark.parametrize(("runtime", "expected"), [("eager", 1), ("openvino", 0)])
def test_decoding_is_held_where_all_threads_share_a_batch(
    tmp_path: Path, runtime: str, expected: int
) -> None:
    """OpenVINO runs each batch on one thread."""
    graph = {"output": "pooled", "layout": "NCHW", "channels": "RGB"}
    backbone = load(spec(write_graph(tmp_path, ("batch", 3, 4, 4), False), graph=graph))
    assert holds(Embedder([backbone], runtime=runtime, batch_size=2), 4) == expected


def test_decoding_is_not_held_for_a_baseline() -> None:
    entry = load_registry().backbones["raw_pixels"]
    backbone = load_backbone(entry, "cpu", "float32", offline=True)
    assert holds(Embedder([backbone], batch_size=2), 224) == 0


@pytest.mark.parametrize(("runtime", "is_open"), [("eager", True), ("openvino", False)])
def test_an_onnx_file_has_a_session_where_it_embeds_itself(
    tmp_path: Path, runtime: str, is_open: bool
) -> None:
    """It opens again where its features are asked for, with the same ones."""
    graph = {"output": "pooled", "layout": "NCHW", "channels": "RGB"}
    backbone = load(spec(write_graph(tmp_path, ("batch", 3, 4, 4), False), graph=graph))
    crops = random_crops(3, 4)
    before = backbone.embed(crops, [DEFAULT])[DEFAULT]
    embedded, _ = Embedder([backbone], runtime=runtime, batch_size=2).embed(
        0, crops, [DEFAULT], [DEFAULT]
    )
    np.testing.assert_allclose(embedded[DEFAULT], before, rtol=1e-5, atol=1e-6)
    assert isinstance(backbone.module, OnnxFeatures)
    assert (backbone.module.session is not None) == is_open
    np.testing.assert_array_equal(backbone.embed(crops, [DEFAULT])[DEFAULT], before)
