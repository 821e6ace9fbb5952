"""`torch.compile`: tens of seconds of compiling for a faster forward, so for large passes only."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.extraction.runtimes.runtime import Fused, batches, joined
from bob.specs import Output


class Compiled:
    """A backbone compiled for batches of one size; on a CPU with its weights frozen into the code."""

    name = "compile"

    def __init__(self, backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> None:
        self.backbone, self.outputs, self.batch_size = backbone, list(outputs), batch_size
        options: dict[str, Any] = {"freezing": True} if backbone.device.type == "cpu" else {}
        self._forward = torch.compile(Fused(backbone, outputs), dynamic=False, options=options)

    @torch.no_grad()
    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        parts = []
        with warnings.catch_warnings(), self.backbone.in_precision():
            warnings.simplefilter("ignore")  # the compiler's own deprecations, at the first call
            for batch, real in batches(crops, self.batch_size):
                out = self._forward(batch.to(self.backbone.device, non_blocking=True))
                parts.append([values[:real].cpu().numpy() for values in out])
        rows = joined(parts, self.outputs, outputs)
        for output, values in rows.items():
            self.backbone.check_features(output, values, len(crops))
        return rows
