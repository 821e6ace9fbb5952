"""open_clip's image towers with their last step apart: (B, 3, H, W) → `pre_projection` (B, W) and `embedding` (B, D), from one forward.

`embedding` is open_clip's `encode_image` without normalisation. `pre_projection` is what the projection reads, the feature that CLIP's own
linear probes use for ViTs (Radford et al. 2021, arXiv:2103.00020). A tower that projects nothing (SigLIP) has the same row twice.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bob.errors import ConfigError
from bob.specs import Output

Outputs = dict[Output, torch.Tensor]


class VitRows(nn.Module):
    """open_clip's own ViT: its pooled token, before and after the product with `proj`."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower, self.proj = tower, tower.proj
        tower.proj = None

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> Outputs:
        before = self.tower(x)
        return {
            output: before if output.pool == "pre_projection" else before @ self.proj
            for output in outputs
        }


class ResNetRows(nn.Module):
    """CLIP's ResNet: attention pooling ends with the linear map `c_proj`, which is taken out and applied afterwards."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower, self.projection = tower, tower.attnpool.c_proj
        tower.attnpool.c_proj = Unchanged(
            self.projection.in_features, self.projection.weight.device
        )

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> Outputs:
        before = self.tower(x)
        return {
            output: before if output.pool == "pre_projection" else self.projection(before)
            for output in outputs
        }


class Unchanged(nn.Module):
    """The weight and bias of a linear map that changes nothing; constants, so neither parameters nor part of the state."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(width, device=device), persistent=False)
        self.register_buffer("bias", torch.zeros(width, device=device), persistent=False)


class TrunkRows(nn.Module):
    """A timm trunk: projected by open_clip's head behind it, or by the trunk's own classifier."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> Outputs:
        trunk, head = self.tower.trunk, self.tower.head
        features = trunk.forward_features(x)
        before = trunk.forward_head(features, pre_logits=True)
        after = head(before) if len(head) else trunk.forward_head(features)
        return {
            output: before if output.pool == "pre_projection" else after for output in outputs
        }


def rows_of(name: str, tower: nn.Module) -> nn.Module:
    """The tower with its last step apart."""
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(tower, VisionTransformer) and not tower.output_tokens:
        return VitRows(tower)
    if isinstance(tower, ModifiedResNet):
        return ResNetRows(tower)
    if isinstance(tower, TimmModel) and not hasattr(tower.head, "pool"):
        return TrunkRows(tower)
    raise ConfigError(
        f"backbone {name!r}: its image tower has no projection that could be taken apart; its `pre_projection` is not defined."
    )
