"""open_clip's image towers, read before and after their projection in one forward pass.

(B, 3, H, W) → `pre_projection` (B, W) and `embedding` (B, D). `embedding` is open_clip's
`encode_image` without normalisation. `pre_projection` is the input of the projection, the feature
that CLIP's own linear probes read from ViTs (Radford et al. 2021, arXiv:2103.00020). In a tower
without projection (SigLIP) the two are equal.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import refuse_outputs
from bob.errors import ConfigError
from bob.specs import EMBEDDING, Output
from bob.specs.output import PRE_PROJECTION

Rows = tuple[torch.Tensor, Callable[[], torch.Tensor]]
"""The rows before the projection, and a function that computes those after it."""


class TowerFeatures(nn.Module):
    """An image tower whose projection is separate."""

    def __init__(self, tower: Any, name: str) -> None:
        super().__init__()
        self.tower, self.name = tower, name

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        refuse_outputs(self.name, outputs, [PRE_PROJECTION, EMBEDDING], "an image tower")
        before, project = self.rows(x)
        return {output: before if output == PRE_PROJECTION else project() for output in outputs}

    def rows(self, x: torch.Tensor) -> Rows:
        raise NotImplementedError


class VitFeatures(TowerFeatures):
    """open_clip's own ViT: its pooled token, before and after the product with `proj`."""

    def __init__(self, tower: Any, name: str) -> None:
        super().__init__(tower, name)
        self.proj = tower.proj
        tower.proj = None

    def rows(self, x: torch.Tensor) -> Rows:
        before = self.tower(x)
        return before, lambda: before @ self.proj


class ResNetFeatures(TowerFeatures):
    """CLIP's ResNet, without the linear map `c_proj` that its attention pooling ends with.

    The map is replaced by an identity and applied afterwards.
    """

    def __init__(self, tower: Any, name: str) -> None:
        super().__init__(tower, name)
        self.projection = tower.attnpool.c_proj
        tower.attnpool.c_proj = LinearIdentity(
            self.projection.in_features, self.projection.weight.device
        )

    def rows(self, x: torch.Tensor) -> Rows:
        before = self.tower(x)
        return before, lambda: self.projection(before)


class LinearIdentity(nn.Module):
    """Weight and bias of a linear identity, as buffers outside of the parameters and the state."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(width, device=device), persistent=False)
        self.register_buffer("bias", torch.zeros(width, device=device), persistent=False)


class TrunkFeatures(TowerFeatures):
    """A timm trunk, projected by open_clip's head behind it or by the trunk's own classifier."""

    def rows(self, x: torch.Tensor) -> Rows:
        trunk, head = self.tower.trunk, self.tower.head
        features = trunk.forward_features(x)
        before = trunk.forward_head(features, pre_logits=True)
        after = head(before) if len(head) else trunk.forward_head(features)
        return before, lambda: after


def tower_features(name: str, tower: nn.Module) -> TowerFeatures:
    """Return an image tower with its projection separate; ConfigError if it cannot be separated."""
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(tower, VisionTransformer) and not tower.output_tokens:
        return VitFeatures(tower, name)
    if isinstance(tower, ModifiedResNet):
        return ResNetFeatures(tower, name)
    if isinstance(tower, TimmModel) and not hasattr(tower.head, "pool"):
        return TrunkFeatures(tower, name)
    raise ConfigError(
        f"backbone {name!r}: the projection of its image tower cannot be separated; "
        "its output 'pre_projection' is not defined."
    )
