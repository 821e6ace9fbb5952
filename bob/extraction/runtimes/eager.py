"""Eager PyTorch: the reference for all runtimes, and the only one for reduced precisions."""

from collections.abc import Sequence

import numpy as np
import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.extraction.runtimes.prefetch import Prefetcher
from bob.extraction.runtimes.runtime import checked
from bob.numerics.threads import map_stripes
from bob.specs import Output


class Eager:
    """The backbone's own module.

    On the CPU, each thread takes its own images of a baseline: operations on one of them are so
    short that several threads would mostly wait for each other.
    """

    name = "eager"

    def __init__(self, backbone: Backbone, batch_size: int) -> None:
        self.backbone, self.batch_size = backbone, batch_size
        self._in_stripes = backbone.spec.loader == "baseline" and backbone.device.type == "cpu"
        self._prefetcher = Prefetcher(backbone.device) if backbone.device.type == "cuda" else None

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """See `Runtime.embed`. A batch that does not fit in memory halves the batch size."""
        workers = torch.get_num_threads() if self._in_stripes else 1
        stripes = map_stripes(
            lambda rows: self._features(crops[rows[0] : rows[-1] + 1], outputs),
            range(len(crops)),
            workers,
        )
        features = {
            output: np.concatenate([stripe[output] for stripe in stripes])
            if len(stripes) > 1
            else stripes[0][output]
            for output in outputs
        }
        return checked(self.backbone, features, len(crops))

    def _features(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """Return the features of crops, batch by batch."""
        batches: list[dict[Output, torch.Tensor]] = []
        start = 0
        while start < len(crops):
            try:
                batches.append(self._batch(crops, start, outputs))
                start += self.batch_size
            except (MemoryError, RuntimeError) as error:
                if self.batch_size == 1 or not is_out_of_memory(error):
                    raise
                self.batch_size //= 2
                if self.backbone.device.type == "cuda":
                    torch.cuda.empty_cache()
        if self._prefetcher:
            torch.cuda.current_stream(self.backbone.device).synchronize()
        return {
            output: np.concatenate([batch[output].numpy() for batch in batches])
            for output in outputs
        }

    def _batch(
        self, crops: torch.Tensor, start: int, outputs: Sequence[Output]
    ) -> dict[Output, torch.Tensor]:
        """Return the features of one batch in the processor's memory.

        On a graphics card the copies into pinned memory may still be under way.
        """
        if self._prefetcher:
            batch = self._prefetcher.batch(crops, start, self.batch_size)
        else:
            batch = crops[start : start + self.batch_size]
        features = self.backbone.forward(batch, outputs)
        return {
            output: values.to("cpu", non_blocking=self._prefetcher is not None)
            for output, values in features.items()
        }


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out: CUDA, MPS and the CPU allocator report it in other words."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )
