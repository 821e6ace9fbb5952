"""A loaded backbone: uint8 crops in, one float32 row per image and pooling out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bob.backbones.geometry import Geometry, Normalisation
from bob.errors import BackboneError
from bob.specs import BackboneSpec, Pooling

Rows = Mapping[Pooling, NDArray[np.float32]]
SAME_ROW = 1e-4
"""The largest allowed difference between a row made alone and in a batch, relative to the row's largest value.
Frozen BatchNorm in train mode differs by more than 1e-1, the order of float32 sums by less than 1e-5."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Pooled(Protocol):
    """What a loader's module does: (B, 3, H, W) float32 → (B, D) per pooling asked for."""

    def __call__(self, x: torch.Tensor, poolings: Sequence[Pooling]) -> Mapping[Pooling, torch.Tensor]: ...


@dataclass(frozen=True)
class Loaded:
    """What a loader returns."""

    module: nn.Module
    """Follows `Pooled`."""
    geometry: Geometry
    normalisation: Normalisation
    library: str
    """The library and version that define the forward pass."""


class Backbone:
    """A frozen backbone on a device."""

    def __init__(self, spec: BackboneSpec, loaded: Loaded, device: str, precision: str = "float32") -> None:
        self.spec = spec
        self.geometry = loaded.geometry
        self.normalisation = loaded.normalisation
        self.library = loaded.library
        self.device = torch.device(device)
        self.precision = precision
        self.module = loaded.module.eval().requires_grad_(False).to(self.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def embed(self, crops: torch.Tensor, poolings: Sequence[Pooling]) -> Rows:
        """(B, 3, H, W) uint8 → (B, D) float32 per pooling; non-finite rows raise BackboneError."""
        x = self.normalisation.apply(crops.to(self.device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, PRECISIONS[self.precision], enabled=self.precision != "float32"):
            pooled = self.module(x, poolings)
        rows = {pooling: values.float().cpu().numpy() for pooling, values in pooled.items()}
        for pooling, values in rows.items():
            self._check_rows(pooling, values, len(crops))
        return rows

    def check(self) -> dict[Pooling, int]:
        """The width of each of the spec's poolings, after the checks that every backbone must pass before it is trusted."""
        crops = torch.randint(
            256, (3, 3, self.geometry.height_px, self.geometry.width_px), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        if any(module.training for module in self.module.modules()):
            raise BackboneError(f"backbone {self.spec.name!r}: is in train mode.")
        together, alone = self.embed(crops, [self.spec.pooling]), self.embed(crops[:1], [self.spec.pooling])
        for pooling, rows in together.items():
            self._check_batch_free(pooling, rows[0], alone[pooling][0])
        widths = {pooling: rows.shape[1] for pooling, rows in together.items()}
        for what, declared, found in (("width", self.spec.width, widths[self.spec.pooling]), ("params", self.spec.params, self.parameters())):
            if declared not in (None, found):
                raise BackboneError(f"backbone {self.spec.name!r}: {what} is declared as {declared:,}; it is {found:,}.")
        return widths

    def _check_rows(self, pooling: Pooling, rows: NDArray[np.float32], n: int) -> None:
        if rows.ndim != 2 or len(rows) != n:
            raise BackboneError(f"backbone {self.spec.name!r}: pooling {pooling!r} must give {n} rows; got an array of shape {rows.shape}.")
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows)).any(axis=1).sum())
            raise BackboneError(f"backbone {self.spec.name!r}: {bad} of {n} rows hold NaN or infinity (precision {self.precision}).")

    def _check_batch_free(self, pooling: Pooling, row: NDArray[np.float32], alone: NDArray[np.float32]) -> None:
        difference = float(np.abs(row - alone).max() / max(np.abs(alone).max(), 1e-30))
        if self.precision == "float32" and difference > SAME_ROW:
            raise BackboneError(
                f"backbone {self.spec.name!r}: the same image gives another row alone than in a batch (pooling {pooling!r}, "
                f"difference {difference:.1e} of the largest value, allowed {SAME_ROW:.0e}): does it normalise over the batch?"
            )

    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def weights_mib(self) -> float:
        return float(sum(tensor.nbytes for tensor in self.module.state_dict().values())) / 2**20

    def forward_facts(self) -> dict[str, Any]:
        """What defines the forward pass besides the weights."""
        return {"loader": self.spec.loader, "architecture": self.spec.architecture, "library": self.library}
