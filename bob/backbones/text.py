"""Text towers: sentences → float32 rows, in the space of the image tower's output `embedding`."""

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
    """The frozen text tower of an image-text model."""

    module: nn.Module
    """(n, L) int64 tokens → (n, D), as the library's own `encode_text` without normalisation."""
    tokenize: Callable[[list[str]], torch.Tensor]
    """n texts → (n, L) int64."""
    tokenizer: str
    """Identity of the tokenizer: its class, and a digest of its vocabulary and of the tokens of a
    few texts."""
    context_length: int
    logit_scale: float | None
    """Factor of image-text cosines before the softmax or the sigmoid."""
    logit_bias: float | None

    def facts(self) -> dict[str, Any]:
        """Return what a text's features depend on beside the text."""
        return {
            "weights_hash": tensor_hash(self.module.state_dict()),
            "tokenizer": self.tokenizer,
            "context_length": self.context_length,
        }

    @torch.inference_mode()
    def embed(
        self, texts: Sequence[str], device: torch.device, dtype: torch.dtype
    ) -> NDArray[np.float32]:
        """Embed n texts: (n, D), not normalised.

        The library truncates texts that are longer than the context.
        """
        module, rows = self.module.to(device), []
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            tokens = self.tokenize(list(texts[start : start + TEXTS_PER_BATCH])).to(device)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                rows.append(module(tokens).float().cpu().numpy())
        return np.concatenate(rows)
