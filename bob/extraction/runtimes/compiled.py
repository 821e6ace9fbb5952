"""`torch.compile`: takes tens of seconds to compile, so it serves large passes only."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.extraction.runtimes.runtime import Fused, checked, concatenate, fixed_batches
from bob.specs import Output


class Compiled:
    """A backbone compiled for batches of one size; on a CPU the code contains its weights."""

    name = "compile"

    def __init__(self, backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> None:
        self.backbone, self.outputs, self.batch_size = backbone, list(outputs), batch_size
        options: dict[str, Any] = {"freezing": True} if backbone.device.type == "cpu" else {}
        self._forward = torch.compile(Fused(backbone, outputs), dynamic=False, options=options)

    @torch.no_grad()
    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """See `Runtime.embed`."""
        batches = []
        with warnings.catch_warnings(), self.backbone.in_precision():
            warnings.simplefilter("ignore")  # the compiler's own deprecations, at the first call
            for batch, count in fixed_batches(crops, self.batch_size):
                features = self._forward(batch.to(self.backbone.device, non_blocking=True))
                batches.append([values[:count].cpu().numpy() for values in features])
        return checked(self.backbone, concatenate(batches, self.outputs, outputs), len(crops))
