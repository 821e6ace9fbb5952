"""PyTorch as it is: the reference that the others must agree with, and the only runtime of reduced precisions."""

from collections.abc import Sequence

import numpy as np
import torch

from bob.backbones.backbone import Backbone, Rows
from bob.specs import Pooling


class Eager:
    """The backbone's own module."""

    name = "eager"

    def __init__(self, backbone: Backbone, batch_size: int) -> None:
        self.backbone, self.batch_size = backbone, batch_size

    def embed(self, crops: torch.Tensor, poolings: Sequence[Pooling]) -> Rows:
        """A batch that does not fit in memory is halved, and stays halved."""
        rows: list[Rows] = []
        start = 0
        while start < len(crops):
            try:
                rows.append(self.backbone.embed(crops[start : start + self.batch_size], poolings))
                start += self.batch_size
            except (MemoryError, RuntimeError) as error:
                if self.batch_size == 1 or not out_of_memory(error):
                    raise
                self.batch_size //= 2
                if self.backbone.device.type == "cuda":
                    torch.cuda.empty_cache()
        return {pooling: np.concatenate([batch[pooling] for batch in rows]) for pooling in poolings}


def out_of_memory(error: Exception) -> bool:
    """CUDA, MPS and the CPU allocator each say it in another way."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in ("out of memory", "can't allocate memory"))
