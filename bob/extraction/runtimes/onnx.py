"""ONNX Runtime on the CPU, from PyTorch's own export, in memory.

Errors of the export show in the features, which are compared with eager PyTorch's.
"""

from collections.abc import Sequence

import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.backbones.onnx_export import exported
from bob.backbones.onnx_session import open_session
from bob.extraction.runtimes.runtime import Fused, checked, concatenate, fixed_batches
from bob.specs import Output


class OnnxRuntime:
    """A backbone exported for batches of one size."""

    name = "onnxruntime"

    def __init__(self, backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> None:
        self.backbone, self.outputs, self.batch_size = backbone, list(outputs), batch_size
        self._session = open_session(_exported(backbone, outputs, batch_size))

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """See `Runtime.embed`."""
        batches = []
        for batch, count in fixed_batches(crops, self.batch_size):
            features = self._session.run(None, {"crops": batch.numpy()})
            batches.append([values[:count] for values in features])
        return checked(self.backbone, concatenate(batches, self.outputs, outputs), len(crops))


def _exported(backbone: Backbone, outputs: Sequence[Output], batch_size: int) -> bytes:
    """Return the backbone as a serialised ONNX model."""
    shape = (batch_size, 3, backbone.geometry.height_px, backbone.geometry.width_px)
    return exported(Fused(backbone, outputs), torch.zeros(shape, dtype=torch.uint8))
