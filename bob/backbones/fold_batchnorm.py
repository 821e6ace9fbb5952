"""Folding frozen BatchNorm into the preceding convolution.

The function is the same, with one pass over memory fewer per layer.
"""

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bob.backbones.backbone import Backbone

TOLERANCE = 1e-5
"""Largest allowed change of a row, relative to the largest value.

Folding is exact except for the order of float32 roundings.
"""
PROBE_IMAGES = 2


def fold_batchnorm(backbone: Backbone) -> None:
    """Fold the backbone's module, unless that changes its rows of random images."""
    output = backbone.spec.output
    if backbone.precision != "float32" or not any(
        isinstance(module, nn.BatchNorm2d) for module in backbone.module.modules()
    ):
        return
    shape = (PROBE_IMAGES, 3, backbone.geometry.height_px, backbone.geometry.width_px)
    crops = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    original, before = backbone.module, backbone.embed(crops, [output])[output]
    backbone.module = _folded(copy.deepcopy(original)).to(memory_format=torch.channels_last)
    after = backbone.embed(crops, [output])[output]
    if not abs(after - before).max() <= TOLERANCE * abs(before).max():
        backbone.module = original


def _folded(module: nn.Module) -> nn.Module:
    """Fold each BatchNorm that directly follows a convolution among the children of a module.

    Libraries that run the two in sequence register them in sequence. If a forward pass runs them
    differently, the rows change and `fold_batchnorm` keeps the original.
    """
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (next_name, norm) in pairwise(children):
            if (
                isinstance(conv, nn.Conv2d)
                and isinstance(norm, nn.BatchNorm2d)
                and norm.num_features == conv.out_channels
            ):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, next_name, _remainder(norm))
    return module


def _remainder(norm: nn.BatchNorm2d) -> nn.Module:
    """Return what a BatchNorm module does besides normalising.

    timm's BatchNormAct2d also applies dropout and an activation.
    """
    layers = (getattr(norm, name, None) for name in ("drop", "act"))
    return nn.Sequential(*(layer for layer in layers if isinstance(layer, nn.Module)))
