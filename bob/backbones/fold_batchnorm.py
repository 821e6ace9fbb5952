"""Folding frozen BatchNorm into the convolution before it: the same function, one pass over memory fewer per layer."""

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bob.backbones.backbone import Backbone

SAME = 1e-5
"""The largest allowed change of a row, relative to the largest value; folding is exact but for the order of float32 roundings."""
PROBES = 2


def fold_batchnorm(backbone: Backbone) -> None:
    """Folds the backbone's module where that leaves its rows as they are, seen on random images; else leaves it alone."""
    pooling = backbone.spec.pooling
    if backbone.precision != "float32" or not any(
        isinstance(module, nn.BatchNorm2d) for module in backbone.module.modules()
    ):
        return
    shape = (PROBES, 3, backbone.geometry.height_px, backbone.geometry.width_px)
    crops = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    original, before = backbone.module, backbone.embed(crops, [pooling])[pooling]
    backbone.module = _folded(copy.deepcopy(original)).to(memory_format=torch.channels_last)
    after = backbone.embed(crops, [pooling])[pooling]
    if not abs(after - before).max() <= SAME * abs(before).max():
        backbone.module = original


def _folded(module: nn.Module) -> nn.Module:
    """Replaces each convolution directly followed by a BatchNorm among its parent's children, which is where libraries that run them in
    that order put them. Where a forward runs them otherwise, `fold_batchnorm` sees the rows change and keeps the original."""
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (next_name, norm) in pairwise(children):
            if (
                isinstance(conv, nn.Conv2d)
                and isinstance(norm, nn.BatchNorm2d)
                and norm.num_features == conv.out_channels
            ):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, next_name, _what_follows(norm))
    return module


def _what_follows(norm: nn.BatchNorm2d) -> nn.Module:
    """What a BatchNorm's module does besides normalising: timm's BatchNormAct2d also drops and activates."""
    return nn.Sequential(
        *(
            part
            for name in ("drop", "act")
            if isinstance(part := getattr(norm, name, None), nn.Module)
        )
    )
