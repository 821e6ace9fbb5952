"""The checkpoint loader: published layouts of a module give its features bit for bit."""

import re

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from bob.backbones.loaders.checkpoint import outline
from bob.errors import BackboneError, ConfigError
from bob.io.hub import file_sha256
from bob.specs import DEFAULT, GRID, Output
from tests.builders.backbone_entries import embed, entry, random_crops
from tests.builders.checkpoints import BODY, LAYOUTS, PUBLISHED, RESNET, VIT, body_of, load, spec


def test_every_layout_of_the_docs_is_tested():
    assert set(PUBLISHED) == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout_gives_the_modules_own_features(tmp_path, name):
    architecture, write = LAYOUTS[name]
    torch.save(write(BODY[architecture]), tmp_path / "checkpoint.pth")
    backbone = load(spec(architecture, tmp_path / "checkpoint.pth", **PUBLISHED[name]))
    crops = random_crops(2, 224)
    pixels = backbone.normalisation.apply(crops).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = body_of(architecture).to(memory_format=torch.channels_last)(pixels).numpy()
    assert np.array_equal(embed(backbone, crops), expected)


def with_fault(content: dict, layout: dict, fault: str) -> tuple[dict, str]:
    """Return the content of a file with one fault, and what the message must name."""
    state = content[layout["state_dict"]] if "state_dict" in layout else content
    strip, drop = layout.get("strip", ""), tuple(layout.get("drop", ()))
    name = next(
        key
        for key in state
        if key.startswith(strip) and not key.startswith(drop) and state[key].ndim > 1
    )
    if fault == "renamed":
        state[strip + "renamed"] = state.pop(name)
        return content, f"missing {name.removeprefix(strip)}.*unexpected renamed"
    if fault == "reshaped":
        state[name] = state[name][..., :1]
        return content, f"{re.escape(name.removeprefix(strip))} is .*, not "
    state[f"{strip}extra.weight"] = torch.ones(2)
    return content, "unexpected extra.weight"


@pytest.mark.parametrize("fault", ["renamed", "reshaped", "extra"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_that_differs_from_its_layout_is_refused_by_name(tmp_path, name, fault):
    architecture, write = LAYOUTS[name]
    content = {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in write(dict(BODY[architecture])).items()
    }
    content, message = with_fault(content, PUBLISHED[name], fault)
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(
        BackboneError, match=f"does not fit architecture '{re.escape(architecture)}'.*{message}"
    ):
        load(spec(architecture, tmp_path / "checkpoint.pth", **PUBLISHED[name]))


@pytest.mark.parametrize("name", [name for name, layout in PUBLISHED.items() if "drop" in layout])
def test_a_head_that_is_not_dropped_is_refused_by_name(tmp_path, name):
    architecture, write = LAYOUTS[name]
    torch.save(write(BODY[architecture]), tmp_path / "checkpoint.pth")
    first, *others = PUBLISHED[name]["drop"]
    with pytest.raises(BackboneError, match=re.escape(first.rstrip(".").rpartition(".")[2])):
        load(spec(architecture, tmp_path / "checkpoint.pth", **{**PUBLISHED[name], "drop": others}))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"state_dict": "teacher"},
            r"contains nothing at weights.state_dict 'teacher'\. "
            "It contains mappings at: model; name one",
        ),
        (
            {"state_dict": "model", "drop": ["heads."]},
            r"weights.drop 'heads\.' matches no tensor; the file begins with cls_token",
        ),
        (
            {"state_dict": "model", "strip": "module."},
            r"\d+ tensors do not begin with weights.strip 'module.': cls_token.*in weights.drop",
        ),
        (
            {},
            "contains no state dict .*It contains mappings at: model; "
            "name one as weights.state_dict",
        ),
        (
            {"state_dict": "model", "sha256": "0" * 64},
            "has SHA-256 .*not weights.sha256 0000.*it is another file",
        ),
    ],
)
def test_a_wrong_layout_is_refused(tmp_path, weights, message):
    torch.save({"model": BODY[VIT]}, tmp_path / "checkpoint.pth")
    with pytest.raises(BackboneError, match=message):
        load(spec(VIT, tmp_path / "checkpoint.pth", **weights))


def test_the_right_sha256_is_accepted(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_file(BODY[VIT], path)
    load(spec(VIT, path, sha256=file_sha256(path))).check()


def test_tensors_in_file_order_fit_a_headless_architecture(tmp_path):
    path = tmp_path / "converted.pth"
    torch.save({f"{i:03d}": tensor for i, tensor in enumerate(BODY[RESNET].values())}, path)
    loaded = load(spec(RESNET, path, match="order")).module.model
    assert torch.equal(loaded.conv1.weight, BODY[RESNET]["conv1.weight"])


class Hook:
    """A class that a checkpoint may contain, and that must not run."""


def test_a_pickle_of_other_classes_is_refused_with_the_remedy(tmp_path):
    torch.save({"model": BODY[VIT], "hook": Hook()}, tmp_path / "checkpoint.pth")
    with pytest.raises(
        BackboneError,
        match=r"can run code: not loaded\. If you trust its author, load it with torch.load "
        r".*save_file",
    ):
        load(spec(VIT, tmp_path / "checkpoint.pth", state_dict="model"))


@pytest.mark.parametrize("text", ["cls@-2,-1", "cls+mean_patch@0", "grid", "grid@0,-1"])
def test_layers_of_a_checkpoint_are_those_that_hooks_catch(tmp_path, text):
    """An entry may read any output of timm's architectures."""
    save_file(BODY[VIT], tmp_path / "checkpoint.safetensors")
    backbone = load(
        spec(VIT, tmp_path / "checkpoint.safetensors").variant(output=Output.model_validate(text))
    )
    crops, model, blocks = random_crops(2, 224), body_of(VIT), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, tokens: blocks.append(model.norm(tokens)))
    with torch.inference_mode():
        model(backbone.normalisation.apply(crops))
    cls = [tokens[:, 0] for tokens in blocks]
    patches = [tokens[:, 1:] for tokens in blocks]
    expected = {
        "cls@-2,-1": torch.cat([cls[0], cls[1]], 1),
        "cls+mean_patch@0": torch.cat([cls[0], patches[0].mean(1)], 1),
        "grid": patches[1].reshape(2, 14, 14, -1),
        "grid@0,-1": torch.cat(patches, 2).reshape(2, 14, 14, -1),
    }[text]
    np.testing.assert_allclose(embed(backbone, crops, text), expected, rtol=1e-4, atol=1e-5)
    assert backbone.check() == tuple(expected.shape[1:])


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_torchvisions_features_are_what_its_last_linear_layer_reads(architecture):
    """The last linear layer, applied to the features, gives the scores of the full model."""
    torch.manual_seed(0)
    full = torchvision.models.get_model(architecture).eval()
    built = outline(entry("checkpoint", f"torchvision:{architecture}"), offline=True)
    last = [module for module in full.modules() if isinstance(module, nn.Linear)][-1]
    names = built.module.model.state_dict()
    built.module.model.load_state_dict(
        {name: tensor for name, tensor in full.state_dict().items() if name in names}
    )
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = built.module.eval()(x, [DEFAULT])[DEFAULT]
        torch.testing.assert_close(last(features), full(x))
    transforms = next(iter(torchvision.models.get_model_weights(architecture))).transforms()
    (crop_px,), (resize_px,) = transforms.crop_size, transforms.resize_size
    assert built.geometry.facts() == {
        "input_px": crop_px,
        "crop_pct": crop_px / resize_px,
        "crop_mode": "center",
        "interpolation": transforms.interpolation.value,
    }
    assert built.normalisation.facts() == {"mean": transforms.mean, "std": transforms.std}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"architecture": "torchvision:resnet19"},
            "has no classifier 'resnet19'; did you mean 'resnet1",
        ),
        ({"architecture": "torchvision:squeezenet1_0"}, "has no linear classifier to remove"),
        ({"architecture": "vit_tinny"}, "has no architecture 'vit_tinny'"),
        ({"weights": {"random": 0}}, "needs weights: give file, url, hub or package"),
        ({"weights": {"file": "x", "sha256": "short"}}, "weights.sha256"),
        (
            {"weights": {"url": "ftp://x/y.pth"}},
            "'url' must begin with https:// or http://; got 'ftp://x/y.pth'",
        ),
        (
            {"weights": {"file": "x", "url": "https://x/y.pth"}},
            "needs exactly one of hub, tag, package, url, file, random; got url, file",
        ),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path, fields, message):
    torch.save(BODY[RESNET], tmp_path / "x.pth")
    values = {"architecture": RESNET, "weights": {"file": str(tmp_path / "x.pth")}}
    with pytest.raises(ConfigError, match=message):
        load(entry("checkpoint", **{**values, **fields}))


@pytest.mark.parametrize("output", [Output(pool="cls"), GRID])
def test_torchvisions_classifiers_have_only_the_default_output(tmp_path, output):
    torch.save(BODY[RESNET], tmp_path / "x.pth")
    with pytest.raises(
        BackboneError,
        match=f"a classifier of torchvision has no output '{output}'; available: default",
    ):
        load(spec(RESNET, tmp_path / "x.pth").variant(output=output)).check()


def test_a_layer_that_a_checkpoints_architecture_does_not_have_is_refused(tmp_path):
    assert len(timm.create_model(VIT, depth=2).blocks) == 2
    save_file(BODY[VIT], tmp_path / "checkpoint.safetensors")
    third = spec(VIT, tmp_path / "checkpoint.safetensors").variant(
        output=Output(layers=(2,), pool="cls")
    )
    with pytest.raises(BackboneError, match=r"no layer 2 .*its 2 layers are numbered 0 to 1"):
        load(third).check()
