"""transformers' models: tiny ones written in the hub's layout, read back as transformers reads them, and refused where they do not fit."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.backbones.loaders.load import outline
from bob.errors import BackboneError, ConfigError, UnavailableError
from bob.specs import BackboneSpec
from bob.specs.yaml import build

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
    "do_resize": True, "size": {"shortest_edge": 32}, "do_center_crop": True, "crop_size": {"height": 28, "width": 28}, "resample": 3,
    "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2],
}  # fmt: skip


def write(
    folder: Path, kind: str, processor: dict | None = PROCESSOR
) -> tuple[Path, torch.nn.Module]:
    """The folder of a small model, and the model."""
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **TYPES[kind])).eval()
    model.save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder / "model.safetensors", model


def spec(kind: str, file: Path, pooling: str = "mean_patch", **fields) -> BackboneSpec:
    values = {
        "name": "mine",
        "family": "ssl",
        "loader": "transformers",
        "architecture": kind,
        "pooling": pooling,
    }
    weights = {"file": str(file), **({"drop": ["pooler."]} if kind == "vit" else {})}
    return build(BackboneSpec, {**values, "weights": weights, **fields}, "test")


def load(entry: BackboneSpec) -> Backbone:
    return load_backbone(entry, "cpu", "float32", offline=True)


CROPS = torch.randint(
    256, (2, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


@pytest.mark.parametrize("kind", TYPES)
def test_rows_are_those_of_the_model_s_own_tokens(tmp_path, kind):
    file, model = write(tmp_path, kind)
    backbone = load(spec(kind, file))
    with torch.inference_mode():
        tokens = model(
            pixel_values=backbone.normalisation.apply(CROPS)
        ).last_hidden_state  # (2, prefix + 4, 16)
    assert tokens.shape[1] == {"vit": 5, "dinov2": 5, "dinov2_with_registers": 9, "ijepa": 4}[kind]
    rows = backbone.embed(
        CROPS, ["mean_patch"] if kind == "ijepa" else ["cls", "mean_patch", "cls+mean_patch"]
    )
    np.testing.assert_allclose(rows["mean_patch"], tokens[:, -4:].sum(1) / 4, atol=1e-5)
    if kind == "ijepa":
        with pytest.raises(
            BackboneError, match="has no class token for pooling 'cls'; use mean_patch"
        ):
            backbone.embed(CROPS, ["cls"])
    else:
        np.testing.assert_allclose(rows["cls"], tokens[:, 0], atol=1e-5)
        np.testing.assert_allclose(
            rows["cls+mean_patch"], np.concatenate([rows["cls"], rows["mean_patch"]], 1)
        )


def test_feature_maps_are_averaged(tmp_path):
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "resnet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    model = AutoModel.from_config(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    backbone = load(spec("resnet", tmp_path / "model.safetensors", "default"))
    with torch.inference_mode():
        maps = model(pixel_values=backbone.normalisation.apply(CROPS)).last_hidden_state
    np.testing.assert_allclose(
        backbone.embed(CROPS, ["default"])["default"],
        maps.sum((2, 3)) / maps[0, 0].numel(),
        rtol=1e-4,
        atol=1e-6,
    )
    with pytest.raises(BackboneError, match="has no pooling 'cls'; use default"):
        backbone.embed(CROPS, ["cls"])


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
    ],
)
def test_preprocessing_is_the_repository_s_own(tmp_path, processor, expected):
    backbone = load(spec("dinov2", write(tmp_path, "dinov2", processor)[0]))
    assert backbone.geometry.facts() == expected and backbone.normalisation.mean == (0.5, 0.4, 0.3)


def test_what_the_repository_does_not_tell_must_be_in_the_entry(tmp_path):
    file, _ = write(tmp_path, "dinov2", None)
    with pytest.raises(
        BackboneError,
        match=r"preprocessor_config.json does not tell input_px, crop_pct.*; give them as preprocessing",
    ):
        load(spec("dinov2", file))
    told = {
        "input_px": 28,
        "crop_pct": 1.0,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    assert load(spec("dinov2", file, preprocessing=told)).check() == {"mean_patch": 16}


@pytest.mark.parametrize("spoil", ["rename", "reshape", "add"])
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, spoil):
    file, _ = write(tmp_path, "dinov2")
    state, name = load_file(file), "layernorm.weight"
    if spoil == "rename":
        state["layernorm.wait"] = state.pop(name)
    elif spoil == "reshape":
        state[name] = state[name][1:].contiguous()
    else:
        state["head.weight"] = torch.ones(2)
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"head\.weight" if spoil == "add" else name):
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
        (
            {"pooling": "default"},
            BackboneError,
            "has no pooling 'default'; use cls, mean_patch or cls",
        ),
        ({"weights": None}, ConfigError, "loader transformers needs weights: give hub or file"),
    ],
)
def test_what_is_wrong_with_an_entry_is_told(tmp_path, fields, error, message):
    with pytest.raises(error, match=message):
        load(spec("dinov2", write(tmp_path, "dinov2")[0], **fields)).check()


def test_a_folder_without_its_configuration_is_told(tmp_path):
    file, _ = write(tmp_path, "dinov2")
    (tmp_path / "config.json").unlink()
    with pytest.raises(
        BackboneError, match=r"config.json' cannot be read; it tells what the weights are"
    ):
        load(spec("dinov2", file))


def test_an_outline_is_built_from_the_entry_alone():
    with pytest.raises(
        UnavailableError,
        match=r"its preprocessor_config.json tells input_px, crop_pct, .*; known when its files are read",
    ):
        outline(spec("dinov2", Path("nowhere")), offline=True)
    told = {
        "input_px": 28,
        "crop_pct": 1.0,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    built = outline(
        spec("dinov2", Path("nowhere"), options=SIZES, preprocessing=told), offline=True
    )
    rows = built.module(torch.zeros(1, 3, 28, 28, device="meta"), ["cls"])["cls"]
    assert rows.shape == (1, 16) and built.library.startswith("transformers ")


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)
