"""transformers' models: tiny ones, written in the hub's layout and read back."""

import json
import logging
import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from bob.backbones.loaders.load import outline
from bob.backbones.loaders.transformers_features import TransformersFeatures
from bob.backbones.weights.tensors import tensor_hash
from bob.errors import BackboneError, ConfigError, OutputError, UnavailableError
from bob.extraction.runtimes.onnx import OnnxRuntime
from bob.extraction.runtimes.openvino import OpenVino
from bob.specs import BackboneSpec, Output
from tests.builders.backbone_entries import (
    embed,
    entry,
    load,
    make_card,
    preprocessing,
    random_crops,
)
from tests.builders.extraction import difference_of_runtime

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
    "image_processor_type": "BitImageProcessor",
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
            BackboneError,
            match=r"a model without a class token has no .*; available: mean_patch, grid, keys",
        ):
            embed(backbone, CROPS, "cls")
        return
    cls = embed(backbone, CROPS, "cls")
    np.testing.assert_allclose(cls, tokens[:, 0], atol=1e-5)
    both = embed(backbone, CROPS, "cls+mean_patch")
    np.testing.assert_allclose(both, np.concatenate([cls, mean], 1))


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        ("vit", OpenVino),
        ("vit", OnnxRuntime),
        ("dinov2", OpenVino),
        ("dinov2", OnnxRuntime),
        ("dinov2_with_registers", OpenVino),  # while traced, it resizes positions as ONNX cannot
    ],
)
def test_models_have_the_same_features_in_every_runtime(tmp_path, kind, runtime):
    backbone = load(spec(kind, write(tmp_path, kind)[0]))
    output = Output.model_validate("mean_patch")
    assert difference_of_runtime(runtime, backbone, CROPS, output) < 1e-5


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


@pytest.mark.parametrize("kind", TYPES)
def test_patches_that_do_not_divide_the_image_are_refused(tmp_path, kind):
    file, model = write(tmp_path, kind)
    backbone = load(spec(kind, file, "grid"))
    patch_px = model.config.patch_size
    backbone.geometry = replace(backbone.geometry, width_px=2 * patch_px + 1)
    with pytest.raises(OutputError, match=f"has patches of {patch_px} px, and"):
        backbone.check()


@pytest.mark.parametrize("kind", TYPES)
def test_keys_are_what_the_last_layer_projects_its_normed_tokens_to(tmp_path, kind):
    """By hand from the model's hidden states: tokens before the last layer, its norm, W and b."""
    file, model = write(tmp_path, kind)
    backbone = load(spec(kind, file, "keys"))
    layers = dict(model.named_modules())
    path = max(name for name in layers if name.endswith(("attention.k_proj", "attention.key")))
    last = layers[path.split(".attention")[0]]
    norm = getattr(last, "norm1", None) or last.layernorm_before
    with torch.inference_mode():
        pixels = backbone.normalisation.apply(CROPS)
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
        expected = norm(states[-2]) @ layers[path].weight.T
        if layers[path].bias is not None:
            expected = expected + layers[path].bias
    keys = embed(backbone, CROPS, "keys")
    assert keys.shape == (2, 2, 2, 16)
    np.testing.assert_allclose(keys.reshape(2, 4, 16), expected[:, -4:], atol=1e-5)
    assert not layers[path]._forward_hooks
    outputs = [Output.model_validate(text) for text in ("grid", "keys", "mean_patch")]
    with torch.inference_mode():
        together = backbone.module(pixels, outputs)
    assert list(together) == outputs
    np.testing.assert_allclose(together[outputs[1]], keys, atol=1e-6)


@pytest.mark.parametrize(
    ("parts", "shape"),
    [({"layers": "q"}, None), ({"0": "k_proj", "1": "key", "head": "k_proj"}, (1, 4, 5))],
)
def test_keys_are_those_of_a_numbered_layer_over_all_patches(parts, shape):
    """A head's keys are not read; those of windows have another shape than the tokens."""
    model = Projections(parts)
    module = TransformersFeatures(model, "mine")
    x, keys = torch.ones(1, 3, 28, 28), Output.model_validate("keys")
    if shape is None:
        with pytest.raises(
            BackboneError, match="has no output 'keys'; available: mean_patch, grid"
        ):
            module(x, [keys])
        return
    assert module(x, [keys])[keys].shape == (1, 2, 2, 5)
    model.windows = 2
    with pytest.raises(BackboneError, match=r"keys have the shape \(2, 2, 5\), the tokens \(1, 4"):
        module(x, [keys])


class Projections(torch.nn.Module):
    """A model of 2 x 2 tokens that passes them through the projections of its parts."""

    def __init__(self, parts):
        super().__init__()
        self.config, self.windows = types.SimpleNamespace(patch_size=14), 1
        for number, (part, name) in enumerate(parts.items()):
            holder = torch.nn.Module()
            holder.add_module(name, torch.nn.Linear(3, 4 + number))
            self.add_module(part, holder)

    def forward(self, pixel_values):
        tokens = pixel_values[:, :, ::14, ::14].flatten(2).mT
        for holder in self.children():
            for projection in holder.children():
                projection(tokens.reshape(self.windows * len(tokens), -1, 3))
        return types.SimpleNamespace(last_hidden_state=tokens)


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
    file, _ = write(tmp_path, "dinov2")
    with pytest.raises(
        BackboneError,
        match=f"a model with tokens has no output '{text}'; "
        r"available: cls, mean_patch, cls\+mean_patch, grid, keys\. Write in the entry: output",
    ):
        load(spec("dinov2", file, text))


def test_one_forward_serves_several_outputs(tmp_path):
    backbone = load(spec("dinov2", write(tmp_path, "dinov2")[0]))
    outputs = [Output.model_validate(text) for text in ("cls", "mean_patch", "grid")]
    runs = []
    backbone.module.model.register_forward_hook(lambda *_: runs.append(1))
    together = backbone.embed(CROPS, outputs)
    assert len(runs) == 1
    for output in outputs:
        np.testing.assert_array_equal(together[output], embed(backbone, CROPS, str(output)))


def test_preprocessing_is_the_repositorys_own(tmp_path):
    """tests/backbones/loaders/test_image_processor.py compares every class of the library."""
    backbone = load(spec("dinov2", write(tmp_path, "dinov2")[0]))
    assert backbone.geometry.facts() == {
        "input_px": 28,
        "crop_pct": 28 / 32,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "resize": [32],
    }
    assert backbone.normalisation.facts() == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}


def test_a_flag_that_changes_the_channels_is_applied_to_them(tmp_path):
    """MobileViT's processor makes BGR images of values in [0, 1], and does not normalise them."""
    processor = {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 28, "width": 28},
    }
    file, model = write(tmp_path, "dinov2", processor)
    backbone = load(spec("dinov2", file))
    with torch.inference_mode():
        pixels = CROPS.flip(1) / 255
        tokens = model(pixel_values=pixels).last_hidden_state
    np.testing.assert_allclose(embed(backbone, CROPS, "cls"), tokens[:, 0], atol=1e-5)
    assert backbone.forward_facts()["channels"] == "BGR"


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (
            None,
            "there is no preprocessor_config.json; the entry must state "
            "input_px, crop_pct, crop_mode, interpolation, mean, std",
        ),
        (
            {**PROCESSOR, "do_center_crop": False},
            "its BitImageProcessor crops as bob-bench cannot: do_center_crop False; "
            "the entry must state input_px, crop_pct, crop_mode",
        ),
        (
            {**PROCESSOR, "image_processor_type": "ViltImageProcessor", "size_divisor": 14},
            "its ViltImageProcessor crops as bob-bench cannot: ",
        ),
        ({**PROCESSOR, "resample": 9}, "its BitImageProcessor cannot be run on an image (Unknown"),
        (
            {**PROCESSOR, "image_processor_type": "TheirImageProcessor"},
            "its image processor cannot be loaded (",
        ),
    ],
)
def test_preprocessing_that_cannot_be_adopted_must_be_in_the_entry(tmp_path, processor, message):
    file, _ = write(tmp_path, "dinov2", processor)
    with pytest.raises(BackboneError, match=re.escape(message)) as error:
        load(spec("dinov2", file))
    assert "Write in the entry: preprocessing: {input_px: ..., crop_pct: ..., " in str(error.value)
    backbone = load(spec("dinov2", file, preprocessing=preprocessing(28)))
    assert backbone.check() == (16,)
    told = [note for note in backbone.notes if "the entry's preprocessing is used" in note]
    assert len(told) == (0 if processor is None else 1)


def test_code_of_the_repository_is_not_run(tmp_path):
    processor = {**PROCESSOR, "auto_map": {"AutoImageProcessor": "evil.EvilProcessor"}}
    del processor["image_processor_type"]
    file, _ = write(tmp_path, "dinov2_with_registers", processor)
    (tmp_path / "evil.py").write_text("raise SystemExit")
    with pytest.raises(BackboneError, match="its image processor cannot be loaded"):
        load(spec("dinov2_with_registers", file))


def test_fields_of_the_entry_replace_those_of_the_processor(tmp_path):
    file, _ = write(tmp_path, "dinov2")
    changed = load(spec("dinov2", file, preprocessing={"input_px": 42, "std": [1.0, 1.0, 1.0]}))
    assert changed.geometry.facts() == {
        "input_px": 42,
        "crop_pct": 28 / 32,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "resize": [48],  # 42 / 28 * 32
    }
    assert changed.normalisation.facts() == {"mean": [0.5, 0.4, 0.3], "std": [1, 1, 1]}
    squashed = load(spec("dinov2", file, preprocessing={"crop_mode": "squash", "crop_pct": 1.0}))
    assert squashed.geometry.facts()["resize"] == [28, 28]
    padded = load(spec("dinov2", file, preprocessing={"crop_mode": "border"}))
    assert "resize" not in padded.geometry.facts()


# --- tensors


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
    with pytest.raises(BackboneError, match="is not a complete checkpoint"):
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


# --- folders of save_pretrained


def write_classifier(folder: Path, processor: dict | None = PROCESSOR) -> Path:
    """Write a ViT with a classifier as `save_pretrained` does."""
    torch.manual_seed(0)
    config = ViTConfig(**TYPES["vit"], num_labels=7)
    ViTForImageClassification(config).save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder / "model.safetensors"


def test_heads_that_the_library_knows_need_no_line_in_the_entry(tmp_path):
    """A classifier's, and the pooler that a saved ViT has behind its last hidden states."""
    classifier = load(entry_of("vit", write_classifier(tmp_path / "a")))
    assert classifier.notes == ("left out as parts of its head: classifier (2 tensors)",)
    pooler = load(entry_of("vit", write(tmp_path / "b", "vit")[0]))
    assert pooler.notes == ("left out as parts of its head: pooler (2 tensors)",)


def entry_of(kind: str, file: Path, **fields) -> BackboneSpec:
    """Return the shortest entry of a folder."""
    values = {"architecture": kind, "output": "cls", "weights": {"file": str(file)}}
    return entry("transformers", **{**values, **fields})


def test_layers_are_never_left_out_as_a_head(tmp_path):
    """A configuration with fewer layers than the file has."""
    file = write_classifier(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(BackboneError, match=r"does not fit architecture 'vit': unexpected .*layer"):
        load(entry_of("vit", file))


def test_all_faults_of_a_folder_are_told_at_once_with_the_lines_to_write(tmp_path):
    file = write_classifier(tmp_path, processor=None)
    state = load_file(file)
    state["projector.weight"] = torch.ones(2)
    save_file(state, file, metadata={"format": "pt"})
    options = {"num_hidden_layers": 3}
    with pytest.raises(BackboneError) as caught:
        load(entry_of("vit", file, output="default", options=options))
    assert str(caught.value) == (
        "backbone 'mine': (1) options.num_hidden_layers is 3; config.json says 2; "
        "(2) the checkpoint does not fit architecture 'vit': unexpected projector.weight; "
        "(3) there is no preprocessor_config.json; the entry must state input_px, crop_pct, "
        "crop_mode, interpolation, mean, std; "
        "(4) a model with tokens has no output 'default'; "
        "available: cls, mean_patch, cls+mean_patch, grid, keys. "
        "Write in the entry: options: {num_hidden_layers: 2}; weights.drop: [projector.]; "
        "preprocessing: {input_px: ..., crop_pct: ..., crop_mode: ..., interpolation: ..., "
        "mean: ..., std: ...}; output: cls."
    )
    weights = {"file": str(file), "drop": ["projector."]}
    assert load(entry_of("vit", file, weights=weights, preprocessing=preprocessing(28))).check()


def test_an_image_text_model_is_read_by_its_vision_model(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**sizes, "intermediate_size": 32, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(vision_config=vision, text_config={**sizes, "vocab_size": 49408})
    ).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    backbone = load(entry_of("clip_vision_model", tmp_path / "model.safetensors"))
    with torch.inference_mode():
        pixels = backbone.normalisation.apply(CROPS)
        read = model.vision_model(pixel_values=pixels)
        norm = model.vision_model.post_layernorm
        patches = torch.nn.functional.layer_norm(
            read.last_hidden_state[:, 1:], (16,), norm.weight, norm.bias, norm.eps
        )
    np.testing.assert_allclose(embed(backbone, CROPS, "cls"), read.pooler_output, atol=1e-5)
    np.testing.assert_allclose(embed(backbone, CROPS, "mean_patch"), patches.mean(1), atol=1e-5)
    (note,) = backbone.notes
    assert "text_model" in note and "logit_scale" in note
    with pytest.raises(BackboneError, match="Write in the entry: architecture: clip_vision_model"):
        load(entry_of("clip", tmp_path / "model.safetensors"))


def test_a_norm_after_the_mean_of_a_map_is_part_of_what_the_classifier_reads(tmp_path):
    torch.manual_seed(0)
    config = ConvNextConfig(hidden_sizes=[4, 8, 8, 8], depths=[1, 1, 1, 1], num_labels=3)
    model = ConvNextForImageClassification(config).eval()
    with torch.no_grad():
        model.convnext.layernorm.weight.uniform_(0.5, 2)
    model.save_pretrained(tmp_path)
    fields = {"output": "default", "preprocessing": preprocessing(64)}
    backbone = load(spec("convnext", tmp_path / "model.safetensors", **fields))
    crops = random_crops(2, 64)
    with torch.inference_mode():
        logits = model(pixel_values=backbone.normalisation.apply(crops)).logits
        read = model.classifier(torch.from_numpy(embed(backbone, crops)))
    np.testing.assert_allclose(read, logits, atol=1e-5)


def test_a_masked_autoencoder_sees_all_patches_in_their_order(tmp_path):
    """As a ViT with its tensors does, which masks nothing."""
    torch.manual_seed(0)
    sizes = {**TYPES["vit"], "layer_norm_eps": 1e-6}
    model = ViTMAEModel(ViTMAEConfig(**sizes)).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    backbone = load(spec("vit_mae", tmp_path / "model.safetensors"))
    plain = ViTModel(ViTConfig(**sizes), add_pooling_layer=False).eval()
    plain.load_state_dict(model.state_dict())
    with torch.inference_mode():
        tokens = plain(backbone.normalisation.apply(CROPS)).last_hidden_state
    np.testing.assert_allclose(embed(backbone, CROPS, "cls"), tokens[:, 0], atol=1e-5)
    patches = tokens[:, 1:].reshape(2, 2, 2, 16)
    np.testing.assert_allclose(embed(backbone, CROPS, "grid"), patches, atol=1e-5)
    assert backbone.check() == (16,)


# --- files


def test_the_tensors_are_those_of_the_entrys_file_and_not_of_its_neighbour(tmp_path):
    file, _ = write(tmp_path, "dinov2")
    other = tmp_path / "epoch_99.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, other)
    both = [load(entry_of("dinov2", path)).module.model.layernorm.weight for path in (file, other)]
    assert torch.equal(both[1], both[0] + 1)


def test_a_checkpoint_in_shards_is_read_by_its_index(tmp_path):
    whole, model = write(tmp_path / "whole", "dinov2")
    model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    (tmp_path / "shards" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    index = tmp_path / "shards" / "model.safetensors.index.json"
    assert len(list(index.parent.glob("*.safetensors"))) > 1
    states = [load(entry_of("dinov2", file)).module.state_dict() for file in (whole, index)]
    assert tensor_hash(states[0]) == tensor_hash(states[1])


def test_a_file_that_is_overwritten_after_it_was_read_changes_nothing(tmp_path):
    """safetensors are mapped into memory: tensors must be copied out of the file."""
    file, _ = write(tmp_path, "dinov2")
    backbone = load(entry_of("dinov2", file))
    before = tensor_hash(backbone.module.state_dict())
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(b"\x7f" * (file.stat().st_size // 3))
    assert tensor_hash(backbone.module.state_dict()) == before


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_card_is_made_again_when_a_configuration_changes(tmp_path, name):
    file, _ = write(tmp_path / "model", "dinov2")
    first = make_card(entry_of("dinov2", file), tmp_path)
    path = file.with_name(name)
    values = json.loads(path.read_text())
    values |= {"layer_norm_eps": 0.1} if name == "config.json" else {"image_mean": [0.1] * 3}
    path.write_text(json.dumps(values))
    again = make_card(entry_of("dinov2", file), tmp_path)
    assert again.files != first.files
    if name != "config.json":
        assert again.normalisation["mean"] == [0.1] * 3 != first.normalisation["mean"]


# --- position embeddings


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_position_embeddings_are_resampled_where_the_entry_states_a_size(tmp_path, kind):
    """2 x 2 patches of 14 px become 3 x 3."""
    file, model = write(tmp_path, kind)
    backbone = load(entry_of(kind, file, preprocessing={"input_px": 42}))
    crops = random_crops(2, 42)
    options = {"interpolate_pos_encoding": True} if kind == "vit" else {}
    with torch.inference_mode():
        pixels = backbone.normalisation.apply(crops)
        tokens = model(pixel_values=pixels, **options).last_hidden_state
    np.testing.assert_allclose(embed(backbone, crops, "cls"), tokens[:, 0], atol=1e-5)
    assert backbone.forward_facts()["resampled"] == {
        "embeddings.position_embeddings": [[1, 5, 16], [1, 10, 16]]
    }
    assert any("from 2 x 2 patches to 3 x 3 patches" in note for note in backbone.notes)


def test_a_model_at_its_own_size_is_not_resampled(tmp_path):
    assert "resampled" not in load(entry_of("vit", write(tmp_path, "vit")[0])).forward_facts()


def test_a_processor_for_another_size_than_the_models_is_told_or_refused(tmp_path):
    """A DINOv2 resamples by itself, as its repositories expect; a ViT needs the entry's word."""
    larger = {**PROCESSOR, "crop_size": {"height": 42, "width": 42}, "size": {"shortest_edge": 48}}
    backbone = load(entry_of("dinov2", write(tmp_path / "a", "dinov2", larger)[0]))
    assert any("resampled from 2 x 2 patches to 3 x 3" in note for note in backbone.notes)
    assert backbone.check() == (16,)
    file, _ = write(tmp_path / "b", "vit", larger)
    with pytest.raises(BackboneError, match=r"input size than 42 px .* own size 28, or 42 to re"):
        load(entry_of("vit", file))
    assert load(entry_of("vit", file, preprocessing={"input_px": 28})).check() == (16,)
