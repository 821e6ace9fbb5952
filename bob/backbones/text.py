"""A text tower: sentences in, one float32 row each out, in the space that it shares with the image tower's pooling `embedding`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bob.backbones.weights.tensors import tensor_hash

TEXTS_PER_BATCH = 64


@dataclass(frozen=True)
class TextTower:
    """The frozen text side of an image-text model."""

    module: nn.Module
    """(n, L) int64 tokens → (n, D), as the library's own `encode_text` without normalisation."""
    tokenize: Callable[[list[str]], torch.Tensor]
    """n texts → (n, L) int64."""
    tokenizer: str
    """Which tokenizer: its kind and a digest of its vocabulary and of how it treats a few texts."""
    context_length: int
    logit_scale: float | None
    """What the cosines of images and texts are multiplied with before the softmax (or the sigmoid)."""
    logit_bias: float | None

    def facts(self) -> dict[str, Any]:
        """What defines a text's row, beside the text."""
        return {
            "weights_hash": tensor_hash(self.module.state_dict()),
            "tokenizer": self.tokenizer,
            "context_length": self.context_length,
        }

    @torch.inference_mode()
    def embed(
        self, texts: Sequence[str], device: torch.device, dtype: torch.dtype
    ) -> NDArray[np.float32]:
        """(n, D), not normalised; a text that is longer than the context is cut as the library cuts it."""
        module, rows = self.module.to(device), []
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            tokens = self.tokenize(list(texts[start : start + TEXTS_PER_BATCH])).to(device)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                rows.append(module(tokens).float().cpu().numpy())
        return np.concatenate(rows)
