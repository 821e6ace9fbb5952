"""Checkpoint files in the layouts that training codes publish, and entries that read them."""

import argparse
from pathlib import Path

import timm
import torch
import torchvision
import yaml
from torch import nn

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone
from bob.specs import BackboneSpec
from bob.specs.yaml import build

VIT = "vit_tiny_patch16_224"
RESNET = "torchvision:resnet18"
OPTIONS = {VIT: {"depth": 2}, RESNET: {}}
PUBLISHED = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "examples" / "layouts.yaml").read_text()
)
"""Layout → what an entry's `weights` must say to read it, as the documentation shows it."""


def body_of(architecture: str) -> nn.Module:
    """Return a headless module whose weights and BatchNorm statistics are not the initial ones."""
    torch.manual_seed(3)
    if architecture == VIT:
        model: nn.Module = timm.create_model(VIT, depth=2, num_classes=0)
    else:
        model = torchvision.models.resnet18()
        model.fc = nn.Identity()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            mean, variance = module.get_buffer("running_mean"), module.get_buffer("running_var")
            mean.normal_(0, 0.1)
            variance.uniform_(0.5, 2)
    return model.eval()


def under(prefix: str, *states: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of all state dicts with a prefix before their names."""
    return {f"{prefix}{name}": tensor for state in states for name, tensor in state.items()}


def head(name: str) -> dict[str, torch.Tensor]:
    """Return tensors of a layer that is not part of the backbone."""
    return {f"{name}0.weight": torch.ones(4, 2), f"{name}0.bias": torch.ones(4)}


def training(**content: object) -> dict[str, object]:
    """Return a training checkpoint: state dicts beside epoch, arguments and optimiser state."""
    return {
        "epoch": 100,
        "arch": "vit",
        "args": argparse.Namespace(lr=0.1),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        **content,
    }


BODY = {name: body_of(name).state_dict() for name in (VIT, RESNET)}
"""Architecture → the backbone's own tensors."""
LAYOUTS = {
    "dino_full": (
        VIT,
        lambda body: training(
            student=under("module.backbone.", body),
            teacher=under("backbone.", body) | head("head.mlp."),
        ),
    ),
    "dino_backbone": (RESNET, lambda body: body),
    "moco_v3": (
        VIT,
        lambda body: training(
            state_dict=under("module.base_encoder.", body, head("head."))
            | under("module.momentum_encoder.", body)
            | head("module.predictor.")
        ),
    ),
    "swav": (
        RESNET,
        lambda body: (
            under("module.", body)
            | head("module.projection_head.")
            | {"module.prototypes.weight": torch.ones(3, 2)}
        ),
    ),
    "vicreg_full": (
        RESNET,
        lambda body: training(model=under("module.backbone.", body) | head("module.projector.")),
    ),
    "barlow_twins_full": (
        RESNET,
        lambda body: training(
            model=under("module.backbone.", body) | head("module.projector.") | head("module.bn.")
        ),
    ),
    "mae": (VIT, lambda body: {"model": body}),
    "mae_full": (
        VIT,
        lambda body: training(
            model={**body, "mask_token": torch.ones(1, 1, 4)}
            | head("decoder_blocks.")
            | head("decoder_embed.")
        ),
    ),
    "ibot": (VIT, lambda body: training(state_dict=body)),
    "deit": (
        VIT,
        lambda body: {
            "model": body | {"head.weight": torch.ones(10, 192), "head.bias": torch.ones(10)}
        },
    ),
    "torchvision": (
        RESNET,
        lambda body: body | {"fc.weight": torch.ones(10, 512), "fc.bias": torch.ones(10)},
    ),
    "wrapped": (
        RESNET,
        lambda body: training(
            state_dict=under("module.", body) | {"module.fc.weight": torch.ones(10, 512)}
        ),
    ),
    "ijepa": (
        VIT,
        lambda body: training(
            encoder=under("module.", body), target_encoder=under("module.", body), predictor={}
        ),
    ),
}
"""Layout → its architecture, and what a file contains besides or around the backbone's tensors."""


def spec(architecture: str, file: Path, **weights: object) -> BackboneSpec:
    """Return an entry that reads a checkpoint file."""
    values = {
        "name": "mine",
        "family": "ssl",
        "loader": "checkpoint",
        "architecture": architecture,
        "options": OPTIONS[architecture],
    }
    return build(BackboneSpec, {**values, "weights": {"file": str(file), **weights}}, "test")


def load(entry: BackboneSpec) -> Backbone:
    return load_backbone(entry, "cpu", "float32", offline=True)
