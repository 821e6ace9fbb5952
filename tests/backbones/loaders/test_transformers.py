"""transformers' models: tiny ones, written in the hub's layout and read back."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from bob.backbones.loaders.load import outline
from bob.errors import BackboneError, ConfigError, UnavailableError
from bob.specs import BackboneSpec, Output
from tests.builders.backbone_entries import embed, entry, load, preprocessing, random_crops

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
TYPES = {
    "vit": {**SIZES, "intermediate_size": 32},
    "dinov2": SIZES,
    "dinov2_with_registers": {**SIZES, "num_register_tokens": 4},
    "ijepa": {**SIZES, "intermediate_size": 32},
}
PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "do_center_crop": True,
    "crop_size": {"height": 28, "width": 28},
    "resample": 3,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.2, 0.2],
}
CROPS = random_crops(2, 28)


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)


def write(
    folder: Path, kind: str, processor: dict | None = PROCESSOR
) -> tuple[Path, torch.nn.Module]:
    """Write the folder of a small model; return its weights file and the model."""
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **TYPES[kind])).eval()
    model.save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder / "model.safetensors", model


def write_resnet(folder: Path) -> tuple[Path, torch.nn.Module]:
    """Write the folder of a small model with feature maps."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    model = AutoModel.from_config(AutoConfig.for_model("resnet", **sizes)).eval()
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder / "model.safetensors", model


def spec(kind: str, file: Path, output: str = "mean_patch", **fields) -> BackboneSpec:
    weights = {"file": str(file), **({"drop": ["pooler."]} if kind == "vit" else {})}
    values = {"architecture": kind, "output": output, "weights": weights}
    return entry("transformers", **{**values, **fields})


@pytest.mark.parametrize("kind", TYPES)
def test_features_are_read_from_the_models_last_tokens(tmp_path, kind):
    file, model = write(tmp_path, kind)
    backbone = load(spec(kind, file))
    with torch.inference_mode():
        pixels = backbone.normalisation.apply(CROPS)
        tokens = model(pixel_values=pixels).last_hidden_state  # (2, prefix + 4, 16)
    n_tokens = {"vit": 5, "dinov2": 5, "dinov2_with_registers": 9, "ijepa": 4}
    assert tokens.shape[1] == n_tokens[kind]
    mean = embed(backbone, CROPS, "mean_patch")
    np.testing.assert_allclose(mean, tokens[:, -4:].sum(1) / 4, atol=1e-5)
    if kind == "ijepa":
        with pytest.raises(
            BackboneError, match="has no class token for output 'cls'; use 'mean_patch'"
        ):
            embed(backbone, CROPS, "cls")
        return
    cls = embed(backbone, CROPS, "cls")
    np.testing.assert_allclose(cls, tokens[:, 0], atol=1e-5)
    both = embed(backbone, CROPS, "cls+mean_patch")
    np.testing.assert_allclose(both, np.concatenate([cls, mean], 1))


@pytest.mark.parametrize("kind", TYPES)
def test_grids_are_the_patch_tokens_in_rows_and_columns(tmp_path, kind):
    """2 x 2 patches: the token of row r and column c is number 2 r + c of the last four."""
    file, model = write(tmp_path, kind)
    backbone = load(spec(kind, file, "grid"))
    with torch.inference_mode():
        pixels = backbone.normalisation.apply(CROPS)
        tokens = model(pixel_values=pixels).last_hidden_state
    grid = embed(backbone, CROPS, "grid")
    assert grid.shape == (2, 2, 2, 16)
    for row in range(2):
        for column in range(2):
            expected = tokens[:, tokens.shape[1] - 4 + 2 * row + column]
            np.testing.assert_allclose(grid[:, row, column], expected, atol=1e-5)
    mean = embed(backbone, CROPS, "mean_patch")
    np.testing.assert_allclose(grid.mean((1, 2)), mean, rtol=1e-5, atol=1e-6)
    assert backbone.check() == (2, 2, 16)


def test_feature_maps_are_averaged_or_read_as_grids(tmp_path):
    file, model = write_resnet(tmp_path)
    backbone = load(spec("resnet", file, "default"))
    with torch.inference_mode():
        pixels = backbone.normalisation.apply(CROPS)
        maps = model(pixel_values=pixels).last_hidden_state  # (2, 16, H, W)
    mean = maps.sum((2, 3)) / maps[0, 0].numel()
    np.testing.assert_allclose(embed(backbone, CROPS), mean, rtol=1e-4, atol=1e-6)
    grid = embed(backbone, CROPS, "grid")
    np.testing.assert_allclose(grid, maps.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("text", ["cls", "mean_patch", "grid@-1"])
def test_feature_maps_have_no_tokens_or_layers(tmp_path, text):
    backbone = load(spec("resnet", write_resnet(tmp_path)[0], "default"))
    with pytest.raises(
        BackboneError,
        match=f"a model with feature maps has no output '{text}'; available: default, grid",
    ):
        embed(backbone, CROPS, text)


@pytest.mark.parametrize("text", ["default", "cls@-1", "grid@0"])
def test_models_with_tokens_have_no_head_of_their_own_and_no_layers(tmp_path, text):
    backbone = load(spec("dinov2", write(tmp_path, "dinov2")[0], text))
    with pytest.raises(
        BackboneError,
        match=f"a model with tokens has no output '{text}'; "
        r"available: cls, mean_patch, cls\+mean_patch, grid",
    ):
        backbone.check()


def test_one_forward_serves_several_outputs(tmp_path):
    backbone = load(spec("dinov2", write(tmp_path, "dinov2")[0]))
    outputs = [Output.model_validate(text) for text in ("cls", "mean_patch", "grid")]
    runs = []
    backbone.module.model.register_forward_hook(lambda *_: runs.append(1))
    together = backbone.embed(CROPS, outputs)
    assert len(runs) == 1
    for output in outputs:
        np.testing.assert_array_equal(together[output], embed(backbone, CROPS, str(output)))


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (
            PROCESSOR,
            {
                "input_px": 28,
                "crop_pct": 28 / 32,
                "crop_mode": "center",
                "interpolation": "bicubic",
            },
        ),
        (
            {
                "size": {"height": 28, "width": 28},
                "resample": 2,
                "image_mean": [0.5, 0.4, 0.3],
                "image_std": [0.2] * 3,
            },
            {"input_px": 28, "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear"},
        ),
        (
            {**PROCESSOR, "size": 32, "crop_size": 28, "resample": 1},
            {
                "input_px": 28,
                "crop_pct": 28 / 32,
                "crop_mode": "center",
                "interpolation": "lanczos",
            },
        ),
    ],
)
def test_preprocessing_is_the_repositorys_own(tmp_path, processor, expected):
    backbone = load(spec("dinov2", write(tmp_path, "dinov2", processor)[0]))
    assert backbone.geometry.facts() == expected
    assert backbone.normalisation.mean == (0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    ("processor", "missing"),
    [
        (None, "input_px, crop_pct, crop_mode, interpolation, mean, std"),
        ({**PROCESSOR, "crop_size": {"height": 28, "width": 14}}, "input_px;"),
        (
            {**PROCESSOR, "do_center_crop": False, "size": {"height": 28, "width": 14}},
            "input_px;",
        ),
        ({**PROCESSOR, "resample": 9}, "interpolation;"),
    ],
)
def test_preprocessing_that_the_repository_lacks_must_be_in_the_entry(tmp_path, processor, missing):
    file, _ = write(tmp_path, "dinov2", processor)
    with pytest.raises(
        BackboneError, match=rf"preprocessor_config\.json does not state {missing}"
    ) as error:
        load(spec("dinov2", file))
    assert "give them as preprocessing" in str(error.value)
    assert load(spec("dinov2", file, preprocessing=preprocessing(28))).check() == (16,)


@pytest.mark.parametrize("fault", ["rename", "reshape", "add"])
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, fault):
    file, _ = write(tmp_path, "dinov2")
    state, name = load_file(file), "layernorm.weight"
    if fault == "rename":
        state["layernorm.wait"] = state.pop(name)
    elif fault == "reshape":
        state[name] = state[name][1:].contiguous()
    else:
        state["head.weight"] = torch.ones(2)
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"head\.weight" if fault == "add" else name):
        load(spec("dinov2", file))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"architecture": "dinov22"},
            ConfigError,
            "has no model type 'dinov22'; did you mean 'dinov2'",
        ),
        (
            {"architecture": "vit"},
            BackboneError,
            "architecture is 'vit'; config.json says 'dinov2'",
        ),
        (
            {"options": {"num_attention_heads": 4}},
            BackboneError,
            "options.num_attention_heads is 4; config.json says 2",
        ),
        ({"weights": None}, ConfigError, "loader transformers needs weights: give hub or file"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path, fields, error, message):
    with pytest.raises(error, match=message):
        load(spec("dinov2", write(tmp_path, "dinov2")[0], **fields)).check()


def test_a_folder_without_its_configuration_is_refused(tmp_path):
    file, _ = write(tmp_path, "dinov2")
    (tmp_path / "config.json").unlink()
    with pytest.raises(
        BackboneError,
        match=r"config\.json' cannot be read; without it the weights cannot be interpreted",
    ):
        load(spec("dinov2", file))


def test_a_damaged_file_is_refused(tmp_path):
    file, _ = write(tmp_path, "dinov2")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BackboneError, match="does not load"):
        load(spec("dinov2", file))


def test_a_missing_package_is_reported_with_the_remedy(tmp_path, monkeypatch):
    file, _ = write(tmp_path, "dinov2")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UnavailableError, match=r"pip install 'bob-bench\[transformers\]'"):
        load(spec("dinov2", file))


def test_an_outline_is_built_from_the_entry_alone():
    with pytest.raises(
        UnavailableError,
        match=r"input_px, crop_pct, .* of its preprocessing are in its preprocessor_config.json, "
        r"which is read with its weights",
    ):
        outline(spec("dinov2", Path("nowhere")), offline=True)
    built = outline(
        spec("dinov2", Path("nowhere"), options=SIZES, preprocessing=preprocessing(28)),
        offline=True,
    )
    cls = Output(pool="cls")
    rows = built.module(torch.zeros(1, 3, 28, 28, device="meta"), [cls])[cls]
    assert rows.shape == (1, 16) and built.library.startswith("transformers ")
