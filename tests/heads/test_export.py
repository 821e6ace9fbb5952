"""Backbone and probe without bob-bench: an ONNX graph, and a program that needs timm alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from scipy.special import softmax

from bob.backbones.weights.tensors import tensor_hash
from bob.errors import BackboneError, ConfigError
from bob.heads.onnx_graph import export_onnx
from bob.heads.predict import load_recorded, predict
from bob.heads.python_code import export_python
from bob.heads.saved_probe import ProbeFacts, SavedProbe, read_probe
from tests.builders.backbone_entries import entry, load, preprocessing, random_crops

CLASSES = ("cat", "dog", "fox")
SIZE_PX = 32


@pytest.fixture(scope="module")
def probe() -> SavedProbe:
    """Random weights on a random resnet10t of 32 px."""
    spec = entry(weights={"random": 0}, preprocessing=preprocessing(SIZE_PX, 0.4, 0.3))
    backbone = load(spec)
    rng = np.random.default_rng(0)
    facts = ProbeFacts(
        classes=CLASSES,
        backbone=spec,
        weights_hash=tensor_hash(backbone.module.state_dict()),
        geometry=backbone.geometry.facts(),
        normalisation=backbone.normalisation.facts(),
        precision="float32",
        preprocessing="exact",
        alpha="white",
        runtime="eager",
        temperature=1.5,
        c=1.0,
        dataset="animals",
        fingerprint="",
        task="linear",
        seed=0,
        score="",
        record="0" * 32,
    )
    return SavedProbe(rng.normal(0, 0.1, (3, 512)), rng.normal(0, 0.1, 3), facts)


def reference(probe: SavedProbe, crops: torch.Tensor) -> Any:
    """Return probabilities by timm and NumPy alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model("resnet10t")
    model.reset_classifier(0)
    with torch.inference_mode():
        rows = model.eval()((crops.float() / 255 - 0.4) / 0.3).double().numpy()
    return softmax((rows @ probe.weight.T + probe.bias) / 1.5, axis=1)


def test_the_graph_has_the_probabilities_of_timm_and_numpy(
    probe: SavedProbe, tmp_path: Path
) -> None:
    import onnx
    import onnxruntime

    backbone = load_recorded(probe.facts, "cpu", offline=True)
    assert export_onnx(probe, backbone, tmp_path / "m.onnx") < 1e-4
    crops = random_crops(5, SIZE_PX)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (shares,) = session.run(["probabilities"], {"crops": crops.numpy()})
    np.testing.assert_allclose(shares, reference(probe, crops), atol=1e-4)
    properties = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert properties["classes"] == '["cat", "dog", "fox"]'


def test_the_program_predicts_as_the_probe_does(
    probe: SavedProbe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_recorded(probe.facts, "cpu", offline=True, folded=False)
    files = export_python(probe, plain, tmp_path / "animals.py")
    assert [path.name for path in files] == ["animals.py", "animals.safetensors"]
    images = [tmp_path / "opaque.png", tmp_path / "transparent.png"]
    rng = np.random.default_rng(1)
    for path, channels in zip(images, (3, 4), strict=True):
        Image.fromarray(rng.integers(0, 256, (40, 60, channels), np.uint8)).save(path)
    images.append(tmp_path / "16 bits.png")
    Image.fromarray(rng.integers(0, 65536, (40, 60), np.uint16)).save(images[-1])
    program: dict[str, Any] = {"__file__": str(tmp_path / "animals.py"), "__name__": "animals"}
    exec(compile((tmp_path / "animals.py").read_text(), "animals.py", "exec"), program)
    ours = predict(probe, load_recorded(probe.facts, "cpu", offline=True), images, 1)
    for path, expected in zip(images, ours.probabilities(1.5), strict=True):
        np.testing.assert_allclose(program["predict"](path).numpy(), expected, atol=1e-4)


def test_the_probe_is_read_as_it_was_written(probe: SavedProbe, tmp_path: Path) -> None:
    probe.write(tmp_path / "p.safetensors")
    again = read_probe(tmp_path / "p.safetensors")
    assert again.facts == probe.facts
    np.testing.assert_array_equal(again.weight, probe.weight)
    np.testing.assert_array_equal(again.bias, probe.bias)


def test_a_probe_with_weights_of_other_classes_is_refused(
    probe: SavedProbe, tmp_path: Path
) -> None:
    SavedProbe(probe.weight[:2], probe.bias, probe.facts).write(tmp_path / "p.safetensors")
    with pytest.raises(ConfigError, match="do not fit 3 classes"):
        read_probe(tmp_path / "p.safetensors")
    SavedProbe(probe.weight * np.nan, probe.bias, probe.facts).write(tmp_path / "p.safetensors")
    with pytest.raises(ConfigError, match="not finite"):
        read_probe(tmp_path / "p.safetensors")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights_hash": "0" * 32}, "are not those that the probe was"),
        ({"geometry": {"input_px": 64}}, "preprocesses images in another way"),
    ],
)
def test_another_backbone_than_the_recorded_one_is_refused(
    probe: SavedProbe, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(BackboneError, match=message):
        load_recorded(probe.facts.model_copy(update=changed), "cpu", offline=True)


def test_a_program_for_timm_needs_a_network_of_timm(probe: SavedProbe, tmp_path: Path) -> None:
    spec = entry("baseline", "raw_pixels")
    with pytest.raises(ConfigError, match="Export it with --onnx"):
        export_python(probe, load(spec), tmp_path / "p.py")
