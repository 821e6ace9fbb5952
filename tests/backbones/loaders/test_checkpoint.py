"""The checkpoint loader: every published layout of self-supervised weights, written from a known module, gives that module's rows bit for bit."""

import re

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from bob.errors import BackboneError, ConfigError
from bob.io.hub import file_sha256
from bob.specs import BackboneSpec
from bob.specs.yaml import build
from tests.builders.checkpoints import BODY, LAYOUTS, PUBLISHED, RESNET, VIT, body_of, load, spec


def spoilt(content: dict, layout: dict, spoil: str) -> tuple[dict, str]:
    """The file's content with one fault, and what the message must name."""
    where = content[layout["state_dict"]] if "state_dict" in layout else content
    strip, dropped = layout.get("strip", ""), tuple(layout.get("drop", ()))
    name = next(
        key
        for key in where
        if key.startswith(strip) and not key.startswith(dropped) and where[key].ndim > 1
    )
    if spoil == "renamed":
        where[strip + "renamed"] = where.pop(name)
        return content, f"missing {name.removeprefix(strip)}.*unexpected renamed"
    if spoil == "reshaped":
        where[name] = where[name][..., :1]
        return content, f"{re.escape(name.removeprefix(strip))} is .*, not "
    where[f"{strip}left_in.weight"] = torch.ones(2)
    return content, "unexpected left_in.weight"


def test_every_layout_of_the_docs_is_tested():
    assert set(PUBLISHED) == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout_gives_the_module_s_own_rows(tmp_path, name):
    architecture, write = LAYOUTS[name]
    torch.save(write(BODY[architecture]), tmp_path / "checkpoint.pth")
    backbone = load(spec(architecture, tmp_path / "checkpoint.pth", **PUBLISHED[name]))
    crops = torch.randint(
        256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        known = body_of(architecture).to(memory_format=torch.channels_last)
        expected = known(
            backbone.normalisation.apply(crops).contiguous(memory_format=torch.channels_last)
        ).numpy()
    assert np.array_equal(backbone.embed(crops, ["default"])["default"], expected)


@pytest.mark.parametrize("spoil", ["renamed", "reshaped", "left in"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_that_is_not_quite_the_layout_is_refused_by_name(tmp_path, name, spoil):
    architecture, write = LAYOUTS[name]
    content = {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in write(dict(BODY[architecture])).items()
    }
    content, message = spoilt(content, PUBLISHED[name], spoil)
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
            "holds nothing at weights.state_dict 'teacher'. It holds mappings at: model; name one",
        ),
        (
            {"state_dict": "model", "drop": ["heads."]},
            "weights.drop 'heads.' is the beginning of no tensor's name; the file begins with cls_token",
        ),
        (
            {"state_dict": "model", "strip": "module."},
            r"\d+ tensors do not begin with weights.strip 'module.': cls_token.*in weights.drop",
        ),
        ({}, "holds no state dict .*It holds mappings at: model; name one as weights.state_dict"),
        (
            {"state_dict": "model", "sha256": "0" * 64},
            "has SHA-256 .*not weights.sha256 0000.*it is another file",
        ),
    ],
)
def test_a_wrong_layout_is_told(tmp_path, weights, message):
    torch.save({"model": BODY[VIT]}, tmp_path / "checkpoint.pth")
    with pytest.raises(BackboneError, match=message):
        load(spec(VIT, tmp_path / "checkpoint.pth", **weights))


def test_the_right_sha256_is_accepted(tmp_path):
    save_file(BODY[VIT], tmp_path / "checkpoint.safetensors")
    load(
        spec(
            VIT,
            tmp_path / "checkpoint.safetensors",
            sha256=file_sha256(tmp_path / "checkpoint.safetensors"),
        )
    ).check()


def test_tensors_in_file_order_fit_a_headless_architecture(tmp_path):
    torch.save(
        {f"{position:03d}": tensor for position, tensor in enumerate(BODY[RESNET].values())},
        tmp_path / "converted.pth",
    )
    loaded = load(spec(RESNET, tmp_path / "converted.pth", match="order")).module.model
    assert torch.equal(loaded.conv1.weight, BODY[RESNET]["conv1.weight"])


class Hook:
    """A class that a checkpoint may hold, and that nobody should run."""


def test_a_pickle_that_wants_more_is_refused_with_the_remedy(tmp_path):
    torch.save({"model": BODY[VIT], "hook": Hook()}, tmp_path / "checkpoint.pth")
    with pytest.raises(
        BackboneError,
        match=r"can run code: not loaded. If you trust its author, load it with torch.load .*save_file",
    ):
        load(spec(VIT, tmp_path / "checkpoint.pth", state_dict="model"))


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_torchvision_s_features_are_what_its_last_linear_layer_reads(architecture):
    """The last linear layer of the whole model, applied to the features, gives the whole model's scores."""
    torch.manual_seed(0)
    whole = torchvision.models.get_model(architecture).eval()
    values = {
        "name": "mine",
        "family": "supervised",
        "loader": "checkpoint",
        "architecture": f"torchvision:{architecture}",
    }
    from bob.backbones.loaders.checkpoint import outline

    built = outline(build(BackboneSpec, values, "test"), offline=True)
    last = [module for module in whole.modules() if isinstance(module, nn.Linear)][-1]
    built.module.model.load_state_dict(
        {k: v for k, v in whole.state_dict().items() if k in built.module.model.state_dict()}
    )
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(last(built.module.eval()(x, ["default"])["default"]), whole(x))
    theirs = next(iter(torchvision.models.get_model_weights(architecture))).transforms()
    assert (built.geometry.height_px, built.normalisation.mean) == (
        theirs.crop_size[0],
        tuple(theirs.mean),
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"architecture": "torchvision:resnet19"},
            "has no classifier 'resnet19'; did you mean 'resnet1",
        ),
        ({"architecture": "torchvision:squeezenet1_0"}, "has no linear classifier to take out"),
        ({"architecture": "vit_tinny"}, "has no architecture 'vit_tinny'"),
        ({"weights": {"random": 0}}, "needs weights: give file, url, hub or package"),
        (
            {"loader": "timm", "weights": {"file": "x", "strip": "module."}},
            "state_dict and strip belong to loader checkpoint; got loader 'timm'",
        ),
        (
            {"loader": "timm", "weights": {"file": "x", "drop": ["fc."]}},
            "weights.drop belongs to checkpoint and transformers; got loader 'timm'",
        ),
        ({"weights": {"file": "x", "sha256": "short"}}, "weights.sha256"),
        (
            {"weights": {"url": "ftp://x/y.pth"}},
            "'url' must begin with https:// or http://; got 'ftp://x/y.pth'",
        ),
        (
            {"weights": {"file": "x", "url": "https://x/y.pth"}},
            "needs exactly one of hub, tag, package, url, file, random; got url, file",
        ),
        ({"graph": {"output": "x"}}, "'graph' belongs to loader onnx; got loader 'checkpoint'"),
    ],
)
def test_a_contradictory_entry_is_told(tmp_path, fields, message):
    torch.save(BODY[RESNET], tmp_path / "x.pth")
    values = {
        "name": "mine",
        "family": "ssl",
        "loader": "checkpoint",
        "architecture": "torchvision:resnet18",
        "weights": {"file": str(tmp_path / "x.pth")},
    }
    with pytest.raises(ConfigError, match=message):
        load(build(BackboneSpec, {**values, **fields}, "test"))


def test_torchvision_has_one_pooling(tmp_path):
    torch.save(BODY[RESNET], tmp_path / "x.pth")
    entry = spec(RESNET, tmp_path / "x.pth").model_copy(update={"pooling": "cls"})
    with pytest.raises(
        BackboneError,
        match="an architecture of torchvision's has pooling 'default' only; got 'cls'",
    ):
        load(entry).check()
