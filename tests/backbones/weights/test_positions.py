"""Weights for another input size: resampled where the entry asks for a size, and refused if not."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from bob.backbones.weights.positions import resampling
from bob.backbones.weights.tensors import tensor_hash
from bob.errors import BackboneError
from tests.builders.backbone_entries import entry, load, make_card

VIT, SWIN = "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"
OPTIONS = {VIT: {"depth": 1}, SWIN: {"depths": [1, 1, 1, 1]}}
LARGE_PX, SMALL_PX = 96, 64
"""6 x 6 and 4 x 4 patches of 16 px."""


def write(path: Path, classes: int, architecture: str = VIT, img_px: int = LARGE_PX, **sizes: Any):
    """Write the weights of a model for images of a size; return the path and the model."""
    torch.manual_seed(0)
    options = {**OPTIONS[architecture], **sizes}
    model = timm.create_model(architecture, img_size=img_px, num_classes=classes, **options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "pos" in name:
                parameter.normal_()
    save_file(model.state_dict(), path)
    return path, model


def spec(path: Path, loader: str = "timm", architecture: str = VIT, px: int | None = None):
    preprocessing = {"input_px": px} if px else {}
    weights: dict[str, Any] = {"file": str(path)}
    if loader == "checkpoint":
        weights["drop"] = ["head."]
    return entry(
        loader,
        architecture=architecture,
        options=OPTIONS[architecture],
        weights=weights,
        preprocessing=preprocessing,
    )


@pytest.mark.parametrize("loader", ["timm", "checkpoint"])
@pytest.mark.parametrize("classes", [1000, 10])
def test_weights_for_another_size_are_refused_whatever_their_classifier(tmp_path, classes, loader):
    path, _ = write(tmp_path / "w.safetensors", classes)
    with pytest.raises(
        BackboneError,
        match=r"for another input size than 224 px \(pos_embed is 6 x 6 patches in the file, 14 x"
        r" 14 patches in architecture .*Write preprocessing\.input_px: the weights' own size 96, or"
        r" 224 to resample their position embedding to it\.$",
    ):
        load(spec(path, loader))


@pytest.mark.parametrize("loader", ["timm", "checkpoint"])
@pytest.mark.parametrize("classes", [1000, 10])
def test_an_entry_that_asks_for_a_size_gets_timms_resampling(tmp_path, classes, loader):
    path, model = write(tmp_path / "w.safetensors", classes)
    backbone = load(spec(path, loader, px=SMALL_PX))
    loaded = backbone.module.model
    expected = resample_abs_pos_embed(model.pos_embed.detach(), (4, 4))
    assert torch.equal(loaded.pos_embed, expected)
    model.reset_classifier(0)
    same = {**loaded.state_dict(), "pos_embed": model.pos_embed}
    assert tensor_hash(same) == tensor_hash(model.state_dict())
    assert backbone.forward_facts()["resampled"] == {"pos_embed": [[1, 37, 192], [1, 17, 192]]}
    assert backbone.notes == (
        "position embedding pos_embed resampled from 6 x 6 patches to 4 x 4 patches",
    )


@pytest.mark.parametrize("loader", ["timm", "checkpoint"])
def test_weights_at_their_own_size_are_not_resampled(tmp_path, loader):
    path, model = write(tmp_path / "w.safetensors", 10)
    backbone = load(spec(path, loader, px=LARGE_PX))
    assert torch.equal(backbone.module.model.pos_embed, model.pos_embed)
    assert "resampled" not in backbone.forward_facts()
    assert backbone.notes == ()


def test_resampling_is_part_of_the_card(tmp_path):
    path, _ = write(tmp_path / "w.safetensors", 10)
    card = make_card(spec(path, px=SMALL_PX), tmp_path)
    assert card.forward["resampled"] == {"pos_embed": [[1, 37, 192], [1, 17, 192]]}


@pytest.mark.filterwarnings("ignore:torch.searchsorted", "ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("classes", [1000, 10])
def test_tables_of_relative_positions_are_resampled_only_where_asked_for(tmp_path, classes):
    """Windows of 6 x 6 patches have 11 x 11 distances, those of 7 x 7 have 13 x 13."""
    path, _ = write(tmp_path / "w.safetensors", classes, SWIN, 192, window_size=6)
    with pytest.raises(BackboneError, match=r"relative_position_bias_table is \(121, 3\) in the f"):
        load(spec(path, architecture=SWIN))
    backbone = load(spec(path, architecture=SWIN, px=224))
    (note,) = backbone.notes
    assert "from (121, 3) to (169, 3)" in note


def test_patches_of_another_size_are_refused_even_where_a_size_is_asked_for(tmp_path):
    path, _ = write(tmp_path / "w.safetensors", 1000, patch_size=8)
    with pytest.raises(BackboneError, match="the weights are for patches of another size"):
        load(spec(path, px=LARGE_PX))


def test_tensors_that_were_renamed_or_cut_are_not_resampled():
    table = torch.randn(1, 17, 8)
    assert not resampling({"positional_embedding": table[0]}, {"pos_embed": table}).tensors
    assert not resampling({"pos_embed": table}, {"pos_embed": table[:, 1:]}).tensors
    assert resampling({"positional_embedding": table[0]}, {"pos_embed": table[:, :9] / 3}).tensors


# --- open_clip

VISION = {"image_size": 64, "patch_size": 16, "layers": 1, "width": 64, "head_width": 32}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
TRUNK = {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear"}
TOWERS: dict[str, dict[str, Any]] = {
    "vit": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT},
    "trunk": {
        "embed_dim": 24,
        "vision_cfg": {**TRUNK, "image_size": 160},
        "text_cfg": TEXT,
        "custom_text": True,
    },
}


def write_clip(path: Path, kind: str, px: int) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    config = {**TOWERS[kind], "vision_cfg": {**TOWERS[kind]["vision_cfg"], "image_size": px}}
    custom = config.pop("custom_text", False)
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)
    if kind == "trunk":
        model.visual.set_input_size(px)
    save_file(model.state_dict(), path)
    return path, model


def clip(path: Path, kind: str, px: int | None = None):
    return entry(
        "open_clip",
        architecture="ViT-B-32",
        options=TOWERS[kind],
        weights={"file": str(path)},
        preprocessing={"input_px": px} if px else {},
    )


def test_a_clip_vit_for_another_size_is_refused_unless_the_entry_asks_for_a_size(tmp_path):
    path, model = write_clip(tmp_path / "w.safetensors", "vit", LARGE_PX)
    with pytest.raises(BackboneError, match=r"input size than 64 px .*own size 96, or 64 to res"):
        load(clip(path, "vit"))
    backbone = load(clip(path, "vit", SMALL_PX))
    assert backbone.forward_facts()["resampled"] == {"positional_embedding": [[37, 64], [17, 64]]}
    own = load(clip(path, "vit", LARGE_PX))
    assert own.notes == ()
    assert torch.equal(own.module.tower.positional_embedding, model.visual.positional_embedding)


def test_a_trunk_is_resampled_as_open_clip_does(tmp_path):
    """open_clip fills a tower of timm at its own size and then sets another."""
    path, model = write_clip(tmp_path / "w.safetensors", "trunk", 160)
    backbone = load(clip(path, "trunk", 128))
    model.visual.set_input_size(128)
    assert torch.equal(backbone.module.tower.trunk.pos_embed, model.visual.trunk.pos_embed)
    assert "resampled" in backbone.forward_facts()


def test_a_trunk_whose_weights_are_for_the_size_that_the_entry_asks_for_is_not_resampled(tmp_path):
    path, model = write_clip(tmp_path / "w.safetensors", "trunk", 128)
    backbone = load(clip(path, "trunk", 128))
    assert torch.equal(backbone.module.tower.trunk.pos_embed, model.visual.trunk.pos_embed)
    assert backbone.notes == ()
    with pytest.raises(BackboneError, match=r"does not fit.*trunk\.pos_embed is"):
        load(clip(path, "trunk"))
