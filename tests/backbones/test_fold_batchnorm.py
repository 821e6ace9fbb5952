"""Folding of BatchNorm changes no features, and is undone where it would."""

import pytest
import torch
from torch import nn

from bob.backbones.backbone import Backbone, Loaded
from bob.backbones.fold_batchnorm import fold_batchnorm
from bob.backbones.pixels.geometry import Geometry, Normalisation
from tests.builders.backbone_entries import embed, entry, load, random_crops, relative_difference


def count_norms(backbone: Backbone) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in backbone.module.modules())


@pytest.mark.parametrize(
    "architecture",
    ["tf_efficientnet_lite0", "resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224"],
)
def test_folding_changes_no_features(architecture):
    """BatchNorms get statistics like those of a trained network.

    At their initial values there would be nothing to fold.
    """
    backbone = load(entry(architecture=architecture, weights={"random": 0}))
    generator = torch.Generator().manual_seed(0)
    for module in backbone.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    crops = random_crops(2, 224)
    before, norms = embed(backbone, crops), count_norms(backbone)
    fold_batchnorm(backbone)
    remaining = count_norms(backbone)
    assert remaining == 0 or remaining < norms / 2
    assert relative_difference(embed(backbone, crops), before) < 1e-5


def test_a_module_that_folding_would_change_is_left_as_it_is():
    """Its children are in the order convolution, norm; its forward pass runs the norm first."""

    class Reversed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.norm.running_mean += 1.0

        def forward(self, x, outputs):
            return dict.fromkeys(outputs, self.conv(self.norm(x)).mean((2, 3)))

    loaded = Loaded(
        Reversed(),
        Geometry(8, 8, 1.0, "center", "bilinear"),
        Normalisation((0.5,) * 3, (0.5,) * 3),
        "test",
    )
    backbone = Backbone(entry(), loaded, "cpu")
    fold_batchnorm(backbone)
    assert count_norms(backbone) == 1
