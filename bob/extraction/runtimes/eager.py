"""PyTorch as it is: the reference that the others must agree with, and the only runtime of reduced precisions."""

from collections.abc import Sequence

import numpy as np
import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.extraction.runtimes.prefetch import CopiedAhead
from bob.specs import Output


class Eager:
    """The backbone's own module."""

    name = "eager"

    def __init__(self, backbone: Backbone, batch_size: int) -> None:
        self.backbone, self.batch_size = backbone, batch_size
        self._ahead = CopiedAhead(backbone.device) if backbone.device.type == "cuda" else None

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """A batch that does not fit in memory is halved, and stays halved."""
        parts: list[dict[Output, torch.Tensor]] = []
        start = 0
        while start < len(crops):
            try:
                parts.append(self._batch(crops, start, outputs))
                start += self.batch_size
            except (MemoryError, RuntimeError) as error:
                if self.batch_size == 1 or not out_of_memory(error):
                    raise
                self.batch_size //= 2
                if self.backbone.device.type == "cuda":
                    torch.cuda.empty_cache()
        if self._ahead:
            torch.cuda.current_stream(self.backbone.device).synchronize()
        rows = {
            output: np.concatenate([part[output].numpy() for part in parts]) for output in outputs
        }
        for output, values in rows.items():
            self.backbone.check_features(output, values, len(crops))
        return rows

    def _batch(
        self, crops: torch.Tensor, start: int, outputs: Sequence[Output]
    ) -> dict[Output, torch.Tensor]:
        """(B, D) per output in the processor's memory; on a graphics card the copies back are under way, into pinned memory."""
        batch = (
            self._ahead.batch(crops, start, self.batch_size)
            if self._ahead
            else crops[start : start + self.batch_size]
        )
        rows = self.backbone.forward(batch, outputs)
        return {
            output: values.to("cpu", non_blocking=self._ahead is not None)
            for output, values in rows.items()
        }


def out_of_memory(error: Exception) -> bool:
    """CUDA, MPS and the CPU allocator each say it in another way."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )
