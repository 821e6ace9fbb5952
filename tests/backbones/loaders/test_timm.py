"""timm's models: the outputs that are read from them, and the weights that fit them."""

from itertools import pairwise
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from bob.backbones.loaders.timm_features import TimmFeatures
from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.weights.tensors import tensor_hash
from bob.errors import BackboneError, ConfigError, OutputError
from bob.specs import EMBEDDING, Output
from tests.builders.backbone_entries import (
    SMALL,
    embed,
    entry,
    load,
    make_card,
    random_crops,
    relative_difference,
)

VITS = {
    "vit": ("vit_tiny_patch16_224", {"img_size": 48, "depth": 5}),
    "dinov2": ("vit_small_patch14_dinov2", {"img_size": 42, "depth": 6}),
    "dinov2_registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 42, "depth": 6}),
    "distilled": ("deit_tiny_distilled_patch16_224", {"img_size": 48, "depth": 5}),
    "rotary": ("eva02_tiny_patch14_224", {"img_size": 42, "depth": 5}),
}
"""Plain transformers on 3 x 3 patches, with 0, 1 or 4 tokens beside the class token."""


def build(architecture: str, **options) -> nn.Module:
    """Return a model without its head, all of whose layers matter.

    At their initial values, layer scales of 1e-5 make the layers of a DINOv2 all but equal, and
    norms with weight 1 and bias 0 can be left out or applied twice without any effect.
    """
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=0, **options).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                offset = 0.0 if name.endswith("bias") else 1.0
                parameter.copy_(offset + 0.3 * torch.randn_like(parameter))
    return model


def vit(name: str) -> nn.Module:
    architecture, options = VITS[name]
    return build(architecture, **options)


def images(size_px: int, n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))


def images_for(model: nn.Module) -> torch.Tensor:
    return images(model.patch_embed.img_size[0])


@torch.inference_mode()
def read(model: nn.Module, x: torch.Tensor, *texts: str) -> list[torch.Tensor]:
    """Return the features of outputs, each of a forward pass of its own."""
    outputs = [Output.model_validate(text) for text in texts]
    return [TimmFeatures(model, "mine")(x, [output])[output] for output in outputs]


@torch.inference_mode()
def hooked(model: nn.Module, modules: list[nn.Module], x: torch.Tensor) -> list[torch.Tensor]:
    """Return what modules give during one forward pass, caught by hooks."""
    caught: list[torch.Tensor] = []
    handles = [
        module.register_forward_hook(lambda _, __, result: caught.append(result))
        for module in modules
    ]
    model.forward_features(x)
    for handle in handles:
        handle.remove()
    return caught


def normed_blocks(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Return the tokens (B, P + N, D) of every block after the model's final norm."""
    with torch.inference_mode():
        return [model.norm(tokens) for tokens in hooked(model, list(model.blocks), x)]


# --- outputs


def test_pools_of_a_vit_are_those_of_its_last_tokens():
    model = build("vit_tiny_patch16_224", img_size=48)
    x = images(48)
    default, cls, mean, both = read(model, x, "default", "cls", "mean_patch", "cls+mean_patch")
    with torch.inference_mode():
        tokens = model.forward_features(x)  # (2, 1 + 9, 192): the class token, then the patches
    assert torch.equal(default, tokens[:, 0]) and torch.equal(cls, tokens[:, 0])
    torch.testing.assert_close(mean, tokens[:, 1:].sum(1) / 9)
    torch.testing.assert_close(both, torch.cat([cls, mean], 1))


@pytest.mark.parametrize("name", VITS)
def test_the_last_layer_named_by_its_number_is_the_last_layer(name):
    model = vit(name)
    x = images_for(model)
    for text in ("cls", "mean_patch", "cls+mean_patch", "grid"):
        last, by_end, by_start = read(
            model, x, text, f"{text}@-1", f"{text}@{len(model.blocks) - 1}"
        )
        assert torch.equal(by_end, by_start), text
        torch.testing.assert_close(by_end, last, rtol=0, atol=1e-6)
        if text == "cls":
            assert torch.equal(by_end, last)


@pytest.mark.parametrize("name", VITS)
def test_class_tokens_of_four_layers_are_those_that_hooks_catch(name):
    model = vit(name)
    x = images_for(model)
    blocks = normed_blocks(model, x)
    (four,) = read(model, x, "cls@-4,-3,-2,-1")
    assert torch.equal(four, torch.cat([tokens[:, 0] for tokens in blocks[-4:]], dim=1))
    parts = four.chunk(4, dim=1)
    assert all((a - b).abs().max() > 0.1 for a, b in pairwise(parts)), (
        "the layers differ, so that another layer would be noticed"
    )


@pytest.mark.parametrize("name", VITS)
def test_patch_tokens_of_layers_exclude_class_and_register_tokens(name):
    model = vit(name)
    x = images_for(model)
    blocks = normed_blocks(model, x)
    patches = [tokens[:, model.num_prefix_tokens :] for tokens in blocks]  # (2, 9, D) each
    mean, both, grid = read(model, x, "mean_patch@0,-1", "cls+mean_patch@-2", "grid@1,-1")
    expected = torch.cat([patches[0].mean(1), patches[-1].mean(1)], 1)
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)
    expected = torch.cat([blocks[-2][:, 0], patches[-2].mean(1)], 1)
    torch.testing.assert_close(both, expected, rtol=0, atol=1e-6)
    expected = torch.cat([patches[1], patches[-1]], 2).reshape(2, 3, 3, -1)
    assert torch.equal(grid, expected)


def test_layers_are_concatenated_in_the_order_in_which_they_are_named():
    model = vit("vit")
    forwards, backwards = read(model, images_for(model), "cls@0,-1", "cls@-1,0")
    assert torch.equal(torch.cat(forwards.chunk(2, 1)[::-1], 1), backwards)
    assert not torch.equal(forwards, backwards)


def test_four_layers_are_timms_own_get_intermediate_layers():
    """A second opinion: the function that timm offers for DINOv2's linear probes."""
    model = vit("dinov2_registers")
    x = images_for(model)
    with torch.inference_mode():
        layers = model.get_intermediate_layers(x, n=4, return_prefix_tokens=True, norm=True)
    (four,) = read(model, x, "cls@-4,-3,-2,-1")
    assert torch.equal(four, torch.cat([prefix[:, 0] for _, prefix in layers], 1))


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        *VITS.values(),
        (SMALL, {}),
        ("test_efficientnet", {}),
        ("test_mambaout", {}),
        ("test_vit_relpos", {"img_size": 64}),
    ],
)
def test_the_mean_over_a_grid_is_the_mean_patch(architecture, options):
    x = images(options.get("img_size", 64))
    grid, mean = read(build(architecture, **options), x, "grid", "mean_patch")
    assert grid.ndim == 4 and grid.shape[3] == mean.shape[1]
    torch.testing.assert_close(grid.mean(dim=(1, 2)), mean, rtol=1e-5, atol=1e-6)


def test_grids_of_convolutional_networks_are_their_last_feature_maps():
    model = build(SMALL)
    (grid,) = read(model, images(64), "grid")
    with torch.inference_mode():
        maps = model.forward_features(images(64))  # (2, 512, 2, 2)
    assert torch.equal(grid, maps.permute(0, 2, 3, 1)) and grid.shape == (2, 2, 2, 512)


def at_px(input_px, architecture, output):
    fields = {"weights": {"random": 0}, "preprocessing": {"input_px": input_px}}
    return load(entry(architecture=architecture, output=output, **fields))


@pytest.mark.parametrize("output", ["grid", "grid@-2,-1", "keys"])
@pytest.mark.parametrize(("input_px", "remedy"), [(50, "48 or 64"), (31, "16 or 32")])
def test_maps_of_patches_that_do_not_divide_the_image_are_refused(output, input_px, remedy):
    message = rf"patches of 16 px, and {input_px} x {input_px} px .* set input_px to {remedy}\."
    with pytest.raises(OutputError, match=message):
        at_px(input_px, "vit_tiny_patch16_224", output).check()


def test_rows_of_patches_and_maps_of_convolutions_have_images_of_any_size():
    assert at_px(50, "vit_tiny_patch16_224", "mean_patch").check() == (192,)
    assert at_px(50, SMALL, "grid").check() == (2, 2, 512)


def test_grids_of_channels_last_networks_are_not_transposed():
    model = build("test_mambaout")
    (grid,) = read(model, images(96), "grid")
    with torch.inference_mode():
        assert torch.equal(grid, model.forward_features(images(96)))
    assert grid.shape == (2, 3, 3, 64)


def test_stages_of_a_resnet_are_those_that_hooks_catch():
    """Layer 0 is the stem; layers 1 to 4 are the four stages."""
    model = build(SMALL)
    stem, *stages = hooked(
        model, [model.act1, model.layer1, model.layer2, model.layer3, model.layer4], images(64)
    )
    mean, first, grid = read(model, images(64), "mean_patch@2,-1", "mean_patch@0", "grid@3")
    expected = torch.cat([stages[1].mean((2, 3)), stages[3].mean((2, 3))], 1)
    torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first, stem.mean((2, 3)), rtol=1e-5, atol=1e-6)
    assert torch.equal(grid, stages[2].permute(0, 2, 3, 1))


def test_a_convolution_behind_the_last_stage_belongs_to_the_last_layer_alone():
    """EfficientNets widen the last stage before they pool."""
    last, stage = read(build("test_efficientnet"), images(64), "mean_patch", "mean_patch@-1")
    assert (last.shape[1], stage.shape[1]) == (256, 64)


@pytest.mark.parametrize(
    ("architecture", "options", "texts"),
    [
        (*VITS["dinov2_registers"], "default cls cls+mean_patch grid cls@-1 mean_patch@-3,0"),
        (*VITS["vit"], "cls default"),
        (SMALL, {}, "default mean_patch grid mean_patch@-1,1 grid@2"),
    ],
)
@torch.inference_mode()
def test_one_forward_serves_several_outputs(architecture, options, texts):
    """And gives each the same bits as alone."""
    model = build(architecture, **options)
    x = images(options.get("img_size", 64))
    features = TimmFeatures(model, "mine")
    outputs = [Output.model_validate(text) for text in texts.split()]
    alone = {output: features(x, [output])[output] for output in outputs}
    runs = []
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_hook(lambda *_: runs.append(1))
    together = features(x, outputs)
    assert len(runs) == 1
    assert list(together) == outputs
    assert all(torch.equal(together[output], alone[output]) for output in outputs)


@pytest.mark.parametrize(
    ("architecture", "options", "text", "message"),
    [
        (
            SMALL,
            {},
            "grid@-2,-1",
            r"layers of output 'grid@-2,-1' have grids of different sizes, "
            r"\[\(2, 2\), \(4, 4\)\]; name layers of one size",
        ),
        (
            SMALL,
            {},
            "mean_patch@5",
            "no layer 5 for output 'mean_patch@5'; its 5 layers are numbered 0 to 4, or -5 to -1",
        ),
        (*VITS["vit"], "cls@-1,-6", "no layer -6 for output .*; its 5 layers are numbered 0 to 4"),
        (SMALL, {}, "cls", "no class token for output 'cls'; use 'default' or 'mean_patch'"),
        (SMALL, {}, "cls+mean_patch@-1", r"no class token for output 'cls\+mean_patch@-1'"),
        (
            "vit_little_patch16_reg1_gap_256",
            {"img_size": 64, "depth": 2},
            "cls",
            "no class token for output 'cls'",
        ),
        (
            "convit_tiny",
            {"img_size": 64},
            "cls@-1",
            "'cls@-1' needs class tokens of named layers, which timm does not return .*use 'cls'",
        ),
        ("pit_ti_224", {"img_size": 64}, "mean_patch", "'mean_patch' needs patch tokens alone"),
        ("pit_ti_224", {"img_size": 64}, "cls", "'cls' needs patch tokens alone.*use 'default'"),
        ("coat_tiny", {"img_size": 64}, "cls", "'cls' needs patch tokens alone"),
        (SMALL, {}, "keys", "output 'keys' needs a last attention over all patches"),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 64, "window_size": 2},
            "keys",
            "output 'keys' needs a last attention over all patches",
        ),
        (
            "levit_128s",
            {},
            "grid",
            "timm does not return the last layer of this architecture as a grid; .*'grid@-1'",
        ),
    ],
)
def test_an_output_that_an_architecture_does_not_have_is_refused(
    architecture, options, text, message
):
    size_px = 224 if architecture == "levit_128s" else options.get("img_size", 64)
    with pytest.raises(BackboneError, match=f"backbone 'mine': .*{message}"):
        read(build(architecture, **options), images(size_px, n=1), text)


@pytest.mark.parametrize("name", VITS)
def test_keys_are_those_of_the_last_attention(name):
    """As LOST's code reads them: the second third of what a hook on the projection catches."""
    model = vit(name)
    x = images_for(model)
    attention = model.blocks[-1].attn
    keys, grid = read(model, x, "keys", "grid")
    if name == "rotary":  # timm multiplies by the weights itself; keys have no bias
        (tokens,) = hooked(model, [model.blocks[-1].norm1], x)
        projected = tokens @ attention.qkv.weight.detach().T
    else:
        (projected,) = hooked(model, [attention.qkv], x)
    expected = projected.chunk(3, dim=2)[1]
    torch.testing.assert_close(keys.flatten(1, 2), expected[:, -9:], rtol=1e-4, atol=1e-5)
    assert keys.shape == grid.shape
    together = TimmFeatures(model, "mine")(x, [Output.model_validate(t) for t in ("keys", "cls")])
    assert torch.equal(together[Output(tokens="keys")], keys) and len(together) == 2
    assert not attention._forward_pre_hooks


def test_keys_have_a_projection_of_their_own_in_some_architectures():
    model = build("eva02_base_patch14_224", img_size=42, depth=2)
    assert model.blocks[-1].attn.qkv is None
    x = images_for(model)
    (expected,) = hooked(model, [model.blocks[-1].attn.k_proj], x)
    (keys,) = read(model, x, "keys")
    torch.testing.assert_close(keys.flatten(1, 2), expected[:, -9:], rtol=1e-4, atol=1e-5)


def test_layers_of_a_model_without_named_layers_are_refused():
    with pytest.raises(BackboneError, match="reads intermediate layers, which timm does not"):
        read(nn.Flatten(), images(8), "mean_patch@-1")


def test_outputs_of_image_text_models_are_refused():
    with pytest.raises(BackboneError, match="a timm model has no output 'embedding'; use 'default"):
        TimmFeatures(build(SMALL), "mine")(images(64), [EMBEDDING])


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        ("cls", (384,)),
        ("cls@-4,-3,-2,-1", (4 * 384,)),
        ("cls+mean_patch@-1", (2 * 384,)),
        ("grid", (3, 3, 384)),
        ("grid@0,-1", (3, 3, 2 * 384)),
    ],
)
def test_cards_state_the_shape_of_the_entrys_output(tmp_path, output, shape):
    spec = entry(
        architecture="vit_small_patch14_reg4_dinov2",
        options={"depth": 4},
        weights={"random": 0},
        preprocessing={"input_px": 42},
        output=output,
        width=shape[-1],
    )
    assert load(spec).check() == shape
    assert make_card(spec, tmp_path).shape == shape


def test_a_loaded_backbone_embeds_several_outputs_at_once():
    backbone = load(entry(weights={"random": 0}))
    crops = random_crops(3, 64)
    outputs = [Output.model_validate(text) for text in ("default", "grid", "mean_patch@-2,-1")]
    together = backbone.embed(crops, outputs)
    assert [together[output].shape for output in outputs] == [(3, 512), (3, 2, 2, 512), (3, 768)]
    for output in outputs:
        assert relative_difference(together[output], embed(backbone, crops, str(output))) < 1e-6


# --- preprocessing and random weights


def test_preprocessing_is_the_architectures_own_and_can_be_overridden():
    backbone = load(entry(architecture="tf_efficientnet_lite2", weights={"random": 0}))
    config = timm.create_model("tf_efficientnet_lite2").pretrained_cfg
    assert backbone.geometry == Geometry(
        *config["input_size"][1:], config["crop_pct"], config["crop_mode"], config["interpolation"]
    )
    assert backbone.normalisation == Normalisation(config["mean"], config["std"])
    overrides = {"input_px": 96, "crop_pct": 1.0, "interpolation": "bilinear", "mean": [0.0] * 3}
    changed = load(entry(weights={"random": 0}, preprocessing=overrides))
    assert changed.geometry == Geometry(96, 96, 1.0, "center", "bilinear")
    assert changed.normalisation.mean == (0.0, 0.0, 0.0)


def test_random_weights_follow_their_seed():
    first, again, other = (
        tensor_hash(load(entry(weights={"random": seed})).module.state_dict()) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_random_weights_leave_torchs_generator_unchanged():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load(entry(weights={"random": 0}))
    assert torch.equal(torch.rand(1), expected)


def test_an_unknown_architecture_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="has no architecture 'resnet50x'; did you mean"):
        load(entry(architecture="resnet50x", weights={"random": 0}))


def test_missing_weights_are_an_error():
    with pytest.raises(
        ConfigError, match="'weights' is missing: give hub, package, file, url or random"
    ):
        load(entry())


# --- checkpoint files


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    state = timm.create_model(SMALL).state_dict()
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    return path, state


def test_the_tensors_of_a_local_file_are_loaded_without_the_head(checkpoint):
    path, state = checkpoint
    model = timm.create_model(SMALL)
    model.load_state_dict(state)
    model.reset_classifier(0)
    loaded = load(entry(weights={"file": str(path)})).module.model
    assert tensor_hash(loaded.state_dict()) == tensor_hash(model.state_dict())


def test_a_head_of_another_size_is_removed_too(tmp_path):
    path = tmp_path / "fine_tuned.pth"
    model = timm.create_model(SMALL, num_classes=7)
    torch.save({"state_dict": model.state_dict()}, path)
    model.reset_classifier(0)
    loaded = load(entry(weights={"file": str(path)})).module.model
    assert tensor_hash(loaded.state_dict()) == tensor_hash(model.state_dict())


@pytest.mark.parametrize("fault", ["rename", "reshape", "drop", "add"])
def test_a_file_that_does_not_fit_is_refused_by_name(checkpoint, tmp_path, fault):
    _, state = checkpoint
    name = "layer2.0.conv1.weight"
    wrong = {key: value.clone() for key, value in state.items()}
    if fault == "rename":
        wrong["layer2.0.conv1.wait"] = wrong.pop(name)
    elif fault == "reshape":
        wrong[name] = wrong[name][:-1].contiguous()
    elif fault == "drop":
        del wrong[name]
    else:
        wrong["extra.weight"] = torch.zeros(1)
    save_file(wrong, tmp_path / "wrong.safetensors")
    problem = "extra.weight" if fault == "add" else name
    with pytest.raises(BackboneError, match=f"does not fit architecture '{SMALL}'.*{problem}"):
        load(entry(weights={"file": str(tmp_path / "wrong.safetensors")}))


def test_another_architectures_file_is_refused(checkpoint):
    with pytest.raises(
        BackboneError, match=r"does not fit architecture 'resnet18': .* and \d+ more"
    ):
        load(entry(architecture="resnet18", weights={"file": str(checkpoint[0])}))


def test_matching_in_order_needs_the_same_number_and_shapes(checkpoint):
    weights = {"package": "pytest", "file": str(checkpoint[0]), "match": "order"}
    with pytest.raises(
        BackboneError, match=r"the file contains \d+ tensors, its architecture has \d+"
    ):
        load(entry(architecture="resnet18", weights=weights))
    # safetensors sorts names, which is another order than the architecture's
    with pytest.raises(BackboneError, match="does not fit its architecture in order"):
        load(entry(weights=weights))
