"""open_clip's towers: the same features as open_clip's own encoders, before and after projection.

No parameter keeps its initial value.
"""

import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bob.backbones.backbone import Backbone
from bob.backbones.loaders.load import outline
from bob.errors import BackboneError, ConfigError, UnavailableError
from bob.extraction.runtimes.onnx import OnnxRuntime
from bob.extraction.runtimes.openvino import OpenVino
from bob.specs import DEFAULT, EMBEDDING, GRID, BackboneSpec, Preprocessing
from bob.specs.output import PRE_PROJECTION
from tests.builders.backbone_entries import (
    embed,
    entry,
    load,
    make_card,
    random_crops,
    relative_difference,
)
from tests.builders.extraction import difference_of_runtime

VISION = {"image_size": 32, "patch_size": 16, "layers": 2, "width": 64, "head_width": 32}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
TOWERS = {
    "vit": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT},
    "vit_quickgelu_avg": {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {**VISION, "pool_type": "avg"},
        "text_cfg": TEXT,
    },
    "resnet": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT,
    },
    "trunk_projected": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "test_resnet",
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 64,
        },
        "text_cfg": TEXT,
    },
    "trunk_own_head": {
        "embed_dim": 24,
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "test_resnet",
            "timm_pool": "avg",
            "timm_proj": None,
            "image_size": 64,
        },
        "text_cfg": TEXT,
    },
    "siglip": {
        "embed_dim": 64,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {
            "timm_model_name": "test_vit",
            "timm_pool": "token",
            "timm_proj": "none",
            "image_size": 160,
        },
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last"},
    },
}
"""Small models of every kind that published weights have."""
SENTENCES = [
    "a photo of a cat",
    "two dogs, and a sentence that is longer by a good many words than the short context",
]


def model_of(config: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    arguments = json.loads(json.dumps(config))
    custom = arguments.pop("custom_text", False)
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**arguments).eval()


def spec(config: dict, file: Path, **fields) -> BackboneSpec:
    values = {"architecture": "ViT-B-32", "options": config, "weights": {"file": str(file)}}
    return entry("open_clip", **{"family": "clip", **values, **fields})


def crops_for(backbone: Backbone) -> torch.Tensor:
    return random_crops(3, backbone.geometry.height_px)


def by_hand(kind: str, model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return the input of the projection, from the tower's own parts."""
    tower = model.visual
    if kind.startswith("vit"):
        tokens = tower.ln_post(tower.transformer(tower._embeds(x)))  # (B, 1 + patches, 64)
        return tokens[:, 1:].mean(1) if kind.endswith("avg") else tokens[:, 0]
    if kind == "resnet":
        pool = tower.attnpool
        maps = (
            tower.layer4(tower.layer3(tower.layer2(tower.layer1(tower.stem(x)))))
            .flatten(2)
            .permute(2, 0, 1)
        )  # (HW, B, C)
        tokens = torch.cat([maps.mean(0, keepdim=True), maps]) + pool.positional_embedding[:, None]
        q, k, v = pool.q_proj(tokens[:1]), pool.k_proj(tokens), pool.v_proj(tokens)
        heads = [
            part.unflatten(2, (pool.num_heads, -1)).permute(1, 2, 0, 3) for part in (q, k, v)
        ]  # (B, heads, tokens, C / heads)
        weights = (heads[0] @ heads[1].transpose(2, 3) / heads[0].shape[-1] ** 0.5).softmax(-1)
        return (weights @ heads[2]).permute(2, 0, 1, 3).flatten(2)[0]
    if kind == "siglip":
        return tower.trunk(x)
    return tower.trunk.forward_features(x).mean((2, 3))


@pytest.mark.parametrize("kind", TOWERS)
def test_features_are_open_clips_own(tmp_path, kind):
    model = model_of(TOWERS[kind])
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    backbone = load(spec(TOWERS[kind], tmp_path / "model.safetensors"))
    crops = crops_for(backbone)
    rows = backbone.embed(crops, [PRE_PROJECTION, EMBEDDING])
    with torch.inference_mode():
        x = backbone.normalisation.apply(crops)
        before, after = by_hand(kind, model, x).numpy(), model.encode_image(x).numpy()
        tokens = open_clip.SimpleTokenizer(context_length=12)(SENTENCES)
        texts = model.encode_text(tokens).numpy()
    assert relative_difference(rows[PRE_PROJECTION], before) < 1e-5
    assert relative_difference(rows[EMBEDDING], after) < 1e-5
    assert relative_difference(backbone.embed_texts(SENTENCES), texts) < 1e-5
    assert backbone.logit_scale == pytest.approx(1 / 0.07, rel=1e-6)
    assert backbone.text.logit_bias == (-10 if kind == "siglip" else None)
    visual = sum(parameter.numel() for parameter in model.visual.parameters())
    assert backbone.parameters() == visual
    assert backbone.check() == rows[PRE_PROJECTION].shape[1:]
    assert list(rows) == [PRE_PROJECTION, EMBEDDING]


@pytest.mark.parametrize("runtime", [OpenVino, OnnxRuntime])
@pytest.mark.parametrize("kind", ["vit", "resnet", "siglip"])
def test_towers_have_the_same_features_in_every_runtime(tmp_path, kind, runtime):
    save_file(model_of(TOWERS[kind]).state_dict(), tmp_path / "model.safetensors")
    backbone = load(spec(TOWERS[kind], tmp_path / "model.safetensors"))
    crops = crops_for(backbone)
    assert difference_of_runtime(runtime, backbone, crops, PRE_PROJECTION) < 1e-5


@pytest.mark.parametrize("kind", ["vit", "resnet", "siglip"])
@pytest.mark.parametrize("output", [DEFAULT, GRID])
def test_a_tower_has_no_other_outputs(tmp_path, kind, output):
    save_file(model_of(TOWERS[kind]).state_dict(), tmp_path / "model.safetensors")
    spec_of_kind = spec(TOWERS[kind], tmp_path / "model.safetensors").variant(output=output)
    with pytest.raises(
        BackboneError,
        match=f"an image tower has no output '{output}'; available: pre_projection, embedding",
    ):
        load(spec_of_kind).check()


def test_pixels_are_those_of_open_clips_own_transform(tmp_path):
    """For both of its ways of resizing."""
    photo = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (150, 211, 3), dtype=np.uint8)
    )
    for architecture, tag in (("ViT-B-32", "laion2b_s34b_b79k"), ("ViT-B-16-SigLIP", "webli")):
        built = outline(
            spec({}, tmp_path, architecture=architecture, weights={"tag": tag}), offline=True
        )
        config = open_clip.get_pretrained_cfg(architecture, tag)
        names = ("mean", "std", "interpolation", "resize_mode")
        settings = {name: config[name] for name in names if name in config}
        transform = open_clip.transform.image_transform_v2(
            open_clip.transform.PreprocessCfg(size=224, **settings), is_train=False
        )
        pixels = built.normalisation.apply(built.geometry.crop(photo)[None])[0]
        torch.testing.assert_close(pixels, transform(photo), rtol=1e-5, atol=1e-6)


def test_a_text_tower_has_an_identity_of_its_own(tmp_path):
    save_file(model_of(TOWERS["vit"]).state_dict(), tmp_path / "a.safetensors")
    changed = model_of(TOWERS["vit"]).state_dict()
    changed["text_projection"] = changed["text_projection"] + 1
    save_file(changed, tmp_path / "b.safetensors")
    first, other = (
        make_card(spec(TOWERS["vit"], tmp_path / f"{name}.safetensors"), tmp_path) for name in "ab"
    )
    assert first.weights_hash == other.weights_hash, "images do not depend on the text tower"
    assert first.text and other.text and first.text["weights_hash"] != other.text["weights_hash"]
    assert first.text["context_length"] == 12 and first.text["tokenizer"].startswith(
        "SimpleTokenizer "
    )
    longer = {**TOWERS["vit"], "text_cfg": {**TEXT, "tokenizer_kwargs": {"clean": "canonicalize"}}}
    again = make_card(spec(longer, tmp_path / "a.safetensors"), tmp_path)
    assert again.text and again.text["tokenizer"] != first.text["tokenizer"]


def test_another_output_of_the_same_entry_has_a_card_of_its_own(tmp_path):
    save_file(model_of(TOWERS["vit"]).state_dict(), tmp_path / "a.safetensors")
    before = spec(TOWERS["vit"], tmp_path / "a.safetensors", width=64, input_px=32)
    assert make_card(before, tmp_path).shape == (64,)
    assert make_card(before.variant(output=EMBEDDING), tmp_path).shape == (24,)
    resized = make_card(before.variant(preprocessing=Preprocessing(input_px=48)), tmp_path)
    assert resized.geometry["input_px"] == 48 and resized.shape == (64,)


@pytest.mark.parametrize("name", ["visual.proj", "visual.transformer.resblocks.1.ln_1.weight"])
@pytest.mark.parametrize("fault", ["rename", "reshape"])
def test_an_image_tower_that_does_not_fit_is_refused_by_name(tmp_path, name, fault):
    state = {key: value.clone() for key, value in model_of(TOWERS["vit"]).state_dict().items()}
    if fault == "rename":
        state[name + "x"] = state.pop(name)
    else:
        state[name] = state[name][1:].contiguous()
    save_file(state, tmp_path / "wrong.safetensors")
    with pytest.raises(
        BackboneError, match=f"does not fit architecture 'ViT-B-32'.*{name.removeprefix('visual.')}"
    ):
        load(spec(TOWERS["vit"], tmp_path / "wrong.safetensors"))


def test_a_text_tower_that_does_not_fit_is_refused_when_it_is_loaded(tmp_path):
    state = model_of(TOWERS["vit"]).state_dict()
    del state["ln_final.bias"]
    save_file(state, tmp_path / "wrong.safetensors")
    backbone = load(spec(TOWERS["vit"], tmp_path / "wrong.safetensors"))
    backbone.check()
    with pytest.raises(
        BackboneError,
        match=r"does not fit architecture 'ViT-B-32, text tower': missing ln_final.bias",
    ):
        backbone.embed_texts(["a cat"])


def test_a_training_checkpoint_of_open_clip_is_read(tmp_path):
    model = model_of(TOWERS["vit"])
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    backbone = load(spec(TOWERS["vit"], tmp_path / "epoch_3.pt"))
    crops = crops_for(backbone)
    with torch.inference_mode():
        expected = model.encode_image(backbone.normalisation.apply(crops)).numpy()
    assert relative_difference(embed(backbone, crops, "embedding"), expected) < 1e-5


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"architecture": "ViT-B-33"},
            ConfigError,
            "has no architecture 'ViT-B-33'; did you mean 'ViT-B-32'",
        ),
        (
            {"weights": {"tag": "opnai"}},
            ConfigError,
            "has no tag 'opnai' of 'ViT-B-32'; did you mean 'openai'",
        ),
        (
            {"weights": {"tag": "openai"}},
            UnavailableError,
            "hub repository 'timm/vit_base_patch32_clip_224.openai' is not on this machine",
        ),
        (
            {"weights": {"tag": "openai", "hub": "some/where"}},
            ConfigError,
            "open_clip has tag 'openai' in 'timm/vit_base.*', not in weights.hub",
        ),
        (
            {"weights": None},
            ConfigError,
            "'weights' is missing: give hub, tag, url, file or package",
        ),
        ({"architecture": "coca_ViT-B-32"}, ConfigError, "has a captioning decoder"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path, fields, error, message):
    save_file(model_of(TOWERS["vit"]).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(error, match=message):
        load(spec({}, tmp_path / "a.safetensors", **fields))


def test_the_activation_of_tag_and_architecture_must_agree(tmp_path):
    with pytest.raises(
        ConfigError,
        match="tag 'openai' was trained with QuickGELU, architecture 'ViT-B-32' has GELU; "
        "use 'ViT-B-32-quickgelu'",
    ):
        outline(spec({}, tmp_path, weights={"tag": "openai"}), offline=True)
    outline(
        spec({}, tmp_path, weights={"tag": "openai"}, architecture="ViT-B-32-quickgelu"),
        offline=True,
    )


def test_a_resize_mode_without_an_equivalent_must_be_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(
        open_clip, "get_pretrained_cfg", lambda *_: {"resize_mode": "longest", "mean": [0.5] * 3}
    )
    with pytest.raises(
        ConfigError,
        match=r"resize_mode 'longest' has no equivalent here; give preprocessing\.crop_mode",
    ):
        outline(spec({}, tmp_path, weights={"tag": "mine"}), offline=True)
    border = spec({}, tmp_path, weights={"tag": "mine"}, preprocessing={"crop_mode": "border"})
    assert outline(border, offline=True).geometry.crop_mode == "border"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, None),
        ({"vision_cfg": {**VISION, "mlp_ratio": 4.0}}, None),  # the default, written out
        ({"embed_dim": 32}, "embed_dim is 24; open_clip_config.json of 'owner/clip' says 32"),
        ({"vision_cfg": {**VISION, "layers": 3}}, "vision_cfg is .* 'owner/clip' says .*3"),
        ({"quick_gelu": True}, "quick_gelu is None; .* 'owner/clip' says True"),
    ],
)
def test_a_repository_states_preprocessing_and_must_describe_the_same_model(
    tmp_path, monkeypatch, changed, message
):
    config = tmp_path / "open_clip_config.json"
    described = {**open_clip.get_model_config("ViT-B-32"), **TOWERS["vit"], **changed}
    preprocess = {"mean": [0.25, 0.5, 0.75], "interpolation": "bilinear"}
    config.write_text(json.dumps({"model_cfg": described, "preprocess_cfg": preprocess}))
    monkeypatch.setattr("bob.backbones.loaders.open_clip.optional_file", lambda *_, **__: config)
    from_hub = spec(TOWERS["vit"], tmp_path, weights={"hub": "owner/clip"})
    if message is None:
        built = outline(from_hub, offline=True)
        assert built.normalisation.mean == (0.25, 0.5, 0.75)
        assert built.geometry.interpolation == "bilinear"
        return
    with pytest.raises(BackboneError, match=message):
        outline(from_hub, offline=True)


def test_an_unavailable_tokenizer_leaves_the_images_and_is_looked_for_again(tmp_path):
    """The card states the problem, and is not cached: the user may follow its remedy."""
    save_file(model_of(TOWERS["vit"]).state_dict(), tmp_path / "a.safetensors")
    text = {**TEXT, "hf_tokenizer_name": "some/where"}
    without = spec({**TOWERS["vit"], "text_cfg": text}, tmp_path / "a.safetensors")
    card = make_card(without, tmp_path)
    assert card.shape == (64,) and card.text is None
    assert "hub repository 'some/where' is not on this machine" in card.text_problem
    assert not list(tmp_path.glob("backbones/*.json"))
    with pytest.raises(UnavailableError, match="hub repository 'some/where' is not on this"):
        load(without).embed_texts(["a cat"])


def test_a_text_tower_from_transformers_needs_the_package(tmp_path, monkeypatch):
    save_file(model_of(TOWERS["vit"]).state_dict(), tmp_path / "a.safetensors")
    text = {**TEXT, "hf_tokenizer_name": "some/where"}
    backbone = load(spec({**TOWERS["vit"], "text_cfg": text}, tmp_path / "a.safetensors"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        UnavailableError, match=r"text tower needs the package transformers; pip install"
    ):
        backbone.embed_texts(["a cat"])


def test_a_tower_whose_projection_cannot_be_separated_is_refused(tmp_path):
    pooled = {
        "vision_cfg": {
            "timm_model_name": "resnet10t",
            "timm_pool": "abs_attn",
            "timm_proj": "",
            "image_size": 224,
        },
        "embed_dim": 64,
    }
    with pytest.raises(ConfigError, match="its output 'pre_projection' is not defined"):
        outline(spec(pooled, tmp_path), offline=True)
