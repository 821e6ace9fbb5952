"""A loaded backbone: uint8 crops in, one float32 row per image and pooling out."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bob.backbones.pixels.geometry import Geometry, Normalisation
from bob.backbones.text import TextTower
from bob.errors import BackboneError, BobError
from bob.specs import BackboneSpec, Pooling
from bob.specs.yaml import plain

Rows = Mapping[Pooling, NDArray[np.float32]]
SAME_ROW = 1e-4
"""The largest allowed difference between a row made alone and in a batch, relative to the row's largest value.
Frozen BatchNorm in train mode differs by more than 1e-1, the order of float32 sums by less than 1e-5."""
PRECISIONS = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class _TensorFloat:
    """Switches tf32 on while any thread is inside: the switch is the whole process's, and several devices work at once."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *_: object) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._inside += change
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
                self._inside > 0
            )


_TF32 = _TensorFloat()


class Pooled(Protocol):
    """What a loader's module does: (B, 3, H, W) float32 → (B, D) per pooling asked for."""

    def __call__(
        self, x: torch.Tensor, poolings: Sequence[Pooling]
    ) -> Mapping[Pooling, torch.Tensor]: ...


@dataclass(frozen=True)
class Loaded:
    """What a loader returns."""

    module: nn.Module
    """Follows `Pooled`."""
    geometry: Geometry
    normalisation: Normalisation
    library: str
    """The library and version that define the forward pass."""
    forward: Mapping[str, Any] = field(default_factory=dict)
    """What else defines the forward pass, JSON-ready: a graph's digest, the source of a user's function."""
    text: Callable[[], TextTower] | None = None
    """Loads the text tower; None where there is none."""


class Backbone:
    """A frozen backbone on a device."""

    def __init__(
        self, spec: BackboneSpec, loaded: Loaded, device: str, precision: str = "float32"
    ) -> None:
        self.spec = spec
        self.geometry = loaded.geometry.padded_with(loaded.normalisation.mean)
        self.normalisation = loaded.normalisation
        self.library = loaded.library
        self._forward, self._load_text = loaded.forward, loaded.text
        self.device = torch.device(device)
        self.precision = precision
        self.module = (
            loaded.module.eval()
            .requires_grad_(False)
            .to(self.device)
            .to(memory_format=torch.channels_last)
        )

    def embed(self, crops: torch.Tensor, poolings: Sequence[Pooling]) -> Rows:
        """(B, 3, H, W) uint8 → (B, D) float32 per pooling; non-finite rows raise BackboneError."""
        rows = {
            pooling: values.cpu().numpy()
            for pooling, values in self.forward(crops, poolings).items()
        }
        for pooling, values in rows.items():
            self.check_rows(pooling, values, len(crops))
        return rows

    @torch.inference_mode()
    def forward(
        self, crops: torch.Tensor, poolings: Sequence[Pooling]
    ) -> dict[Pooling, torch.Tensor]:
        """(B, 3, H, W) uint8 → (B, D) float32 per pooling on the backbone's device, which may still be computing them."""
        x = self.normalisation.apply(crops.to(self.device, non_blocking=True)).contiguous(
            memory_format=torch.channels_last
        )
        with self.in_precision():
            return {pooling: values.float() for pooling, values in self.module(x, poolings).items()}

    @contextlib.contextmanager
    def in_precision(self) -> Iterator[None]:
        """The forward's arithmetic: float32 to the last bit, on tensor cores with 10 bits of mantissa (tf32), or autocast to 16 bits."""
        half = self.precision in ("bfloat16", "float16")
        with (
            _TF32 if self.precision == "tf32" else contextlib.nullcontext(),
            torch.autocast(self.device.type, PRECISIONS[self.precision], enabled=half),
        ):
            yield

    @property
    def has_text(self) -> bool:
        return self._load_text is not None

    @cached_property
    def text(self) -> TextTower:
        """The text tower, loaded when first asked for: images alone do not need it."""
        if self._load_text is None:
            raise BackboneError(
                f"backbone {self.spec.name!r}: has no text tower; choose one of family clip."
            )
        return self._load_text()

    @property
    def logit_scale(self) -> float | None:
        """The factor of image-text cosines, as trained."""
        return self.text.logit_scale

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, D) float32 in the space of pooling `embedding`: the library's own `encode_text`, not normalised."""
        rows = self.text.embed(texts, self.device, PRECISIONS[self.precision])
        if not np.isfinite(rows).all():
            raise BackboneError(
                f"backbone {self.spec.name!r}: its text tower gives NaN or infinity (precision {self.precision})."
            )
        return rows

    def text_facts(self) -> dict[str, Any]:
        """What defines a text's row: weights hash of the text tower, tokenizer, context length."""
        return self.text.facts()

    def check(self) -> dict[Pooling, int]:
        """The width of each of the spec's poolings, after the checks that every backbone must pass before it is trusted."""
        crops = torch.randint(
            256,
            (3, 3, self.geometry.height_px, self.geometry.width_px),
            dtype=torch.uint8,
            generator=torch.Generator().manual_seed(0),
        )
        if any(module.training for module in self.module.modules()):
            raise BackboneError(f"backbone {self.spec.name!r}: is in train mode.")
        try:
            together, alone = (
                self.embed(crops, [self.spec.pooling]),
                self.embed(crops[:1], [self.spec.pooling]),
            )
        except BobError:
            raise
        except Exception as error:  # a module's own code can raise anything
            raise BackboneError(
                f"backbone {self.spec.name!r}: fails while it runs: {type(error).__name__}: {error}"
            ) from error
        for pooling, rows in together.items():
            self._check_batch_free(pooling, rows[0], alone[pooling][0])
        widths = {pooling: rows.shape[1] for pooling, rows in together.items()}
        if other := self.spec.contradicted(
            self.geometry.height_px, widths[self.spec.pooling], self.parameters()
        ):
            raise BackboneError(f"backbone {self.spec.name!r}: {'; '.join(other)}.")
        return widths

    def check_rows(self, pooling: Pooling, rows: NDArray[np.float32], n: int) -> None:
        """BackboneError where there are not n rows of finite values."""
        if rows.ndim != 2 or len(rows) != n:
            raise BackboneError(
                f"backbone {self.spec.name!r}: pooling {pooling!r} must give {n} rows; got an array of shape {rows.shape}."
            )
        if not np.isfinite(rows).all():
            bad = int((~np.isfinite(rows)).any(axis=1).sum())
            raise BackboneError(
                f"backbone {self.spec.name!r}: {bad} of {n} rows hold NaN or infinity (precision {self.precision})."
            )

    def _check_batch_free(
        self, pooling: Pooling, row: NDArray[np.float32], alone: NDArray[np.float32]
    ) -> None:
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
        own = {
            "loader": self.spec.loader,
            "architecture": self.spec.architecture,
            "library": self.library,
        }
        return {
            **own,
            **({"options": plain(self.spec)["options"]} if self.spec.options else {}),
            **self._forward,
        }
