"""A loaded backbone: uint8 crops in, float32 features of one or several outputs out."""

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
from bob.errors import BackboneError, BobError, OutputError
from bob.io.stamps import Stamp
from bob.specs import BackboneSpec, Output
from bob.specs.yaml import plain

Embedded = Mapping[Output, NDArray[np.float32]]
"""Output → (B, D) rows or (B, H, W, D) grids."""
SAME_ROW = 1e-4
"""Largest allowed difference between an image embedded alone and in a batch, relative to the
largest value. Frozen BatchNorm in train mode differs by more than 1e-1, the order of float32 sums
by less than 1e-5."""
PRECISIONS = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class _TensorFloat:
    """Enable TF32 while any thread is inside.

    The switch is global to the process and several devices work at once, so entries are counted.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *_: object) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._inside += change
            enabled = self._inside > 0
            torch.backends.cuda.matmul.allow_tf32 = enabled
            torch.backends.cudnn.allow_tf32 = enabled


_TF32 = _TensorFloat()


class OutputModule(Protocol):
    """The module of a loader: (B, 3, H, W) float32 → a tensor per requested output.

    Where it has a method `patch_px`, this returns the side of its patches in pixels of the input,
    or None where its maps are not of patches.
    """

    def __call__(
        self, x: torch.Tensor, outputs: Sequence[Output]
    ) -> Mapping[Output, torch.Tensor]: ...


def refuse_outputs(
    name: str, outputs: Sequence[Output], available: Sequence[Output], reason: str
) -> None:
    """Raise OutputError where an output is requested that the module does not have."""
    if unknown := [output for output in outputs if output not in available]:
        raise OutputError(
            f"backbone {name!r}: {reason} has no output {str(unknown[0])!r}; "
            f"available: {', '.join(map(str, available))}."
        )


@dataclass(frozen=True)
class Loaded:
    """Result of a loader."""

    module: nn.Module
    """An `OutputModule`."""
    geometry: Geometry
    normalisation: Normalisation
    library: str
    """Library and version that define the forward pass."""
    forward: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready facts that also define the forward pass: a graph's digest, a function's source."""
    text: Callable[[], TextTower] | None = None
    """Loads the text tower; None where there is none."""
    notes: tuple[str, ...] = ()
    """Choices of the loader that a user may want to change."""
    files: Mapping[str, Stamp] = field(default_factory=dict)
    """Files that were read, by path, with their stamps from before the reading."""


class Backbone:
    """A frozen backbone on a device."""

    def __init__(
        self, spec: BackboneSpec, loaded: Loaded, device: str, precision: str = "float32"
    ) -> None:
        self.spec = spec
        self.geometry = loaded.geometry.with_fill(loaded.normalisation.mean)
        self.normalisation = loaded.normalisation
        self.library = loaded.library
        self._forward, self._load_text = loaded.forward, loaded.text
        self.notes, self.files = loaded.notes, loaded.files
        self.device = torch.device(device)
        self.precision = precision
        module = loaded.module.eval().requires_grad_(False).to(self.device)
        self.module = module.to(memory_format=torch.channels_last)

    def embed(self, crops: torch.Tensor, outputs: Sequence[Output]) -> Embedded:
        """Embed crops (B, 3, H, W) uint8; BackboneError where a value is not finite."""
        embedded = {
            output: values.cpu().numpy() for output, values in self.forward(crops, outputs).items()
        }
        for output, values in embedded.items():
            self.check_features(output, values, len(crops))
        return embedded

    @torch.inference_mode()
    def forward(self, crops: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        """Return float32 tensors on the backbone's device, which may still compute them."""
        pixels = self.normalisation.apply(crops.to(self.device, non_blocking=True))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with self.in_precision():
            return {
                output: values.float() for output, values in self.module(pixels, outputs).items()
            }

    @contextlib.contextmanager
    def in_precision(self) -> Iterator[None]:
        """Set the arithmetic of the forward pass.

        float32 is exact; tf32 uses tensor cores with 10 bits of mantissa; bfloat16 and float16
        are autocast.
        """
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
        """The text tower, loaded on first use: images alone do not need it."""
        if self._load_text is None:
            raise BackboneError(
                f"backbone {self.spec.name!r}: has no text tower; choose one of family clip."
            )
        return self._load_text()

    @property
    def logit_scale(self) -> float | None:
        """The trained factor of image-text cosines."""
        return self.text.logit_scale

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed n texts into the space of output `embedding`: (n, D) float32, not normalised."""
        rows = self.text.embed(texts, self.device, PRECISIONS[self.precision])
        if not np.isfinite(rows).all():
            raise BackboneError(
                f"backbone {self.spec.name!r}: its text tower gives NaN or infinity "
                f"(precision {self.precision})."
            )
        return rows

    def text_facts(self) -> dict[str, Any]:
        """Return what a text's features depend on: weights hash, tokenizer, context length."""
        return self.text.facts()

    def check(self) -> tuple[int, ...]:
        """Check the backbone before it is trusted and return the shape of its features.

        The shape is (D,) or (H, W, D). BackboneError where a module is in train mode, where an
        image gives other features alone than in a batch, or where declared facts are wrong.
        OutputError where it does not have the output, or a map does not cover the image.
        """
        shape = (3, 3, self.geometry.height_px, self.geometry.width_px)
        noise = torch.Generator().manual_seed(0)
        crops = torch.randint(256, shape, dtype=torch.uint8, generator=noise)
        if any(module.training for module in self.module.modules()):
            raise BackboneError(f"backbone {self.spec.name!r}: is in train mode.")
        output = self.spec.output
        self._require_whole_patches(output)
        try:
            batch = self.embed(crops, [output])[output]
            alone = self.embed(crops[:1], [output])[output]
        except BobError:
            raise
        except Exception as error:  # a module's own code can raise anything
            raise BackboneError(
                f"backbone {self.spec.name!r}: fails while it runs: {type(error).__name__}: {error}"
            ) from error
        self._check_batch_independence(batch[0], alone[0])
        wrong = self.spec.contradictions(
            self.geometry.height_px, batch.shape[-1], self.parameters()
        )
        if wrong:
            raise BackboneError(f"backbone {self.spec.name!r}: {'; '.join(wrong)}.")
        return batch.shape[1:]

    def _require_whole_patches(self, output: Output) -> None:
        """Raise OutputError where a map of patches does not cover the image to its border."""
        side_of_patches = getattr(self.module, "patch_px", None)
        patch_px = side_of_patches() if output.is_grid and side_of_patches else None
        height, width = self.geometry.height_px, self.geometry.width_px
        if patch_px and (height % patch_px or width % patch_px):
            below = max(1, height // patch_px) * patch_px
            raise OutputError(
                f"backbone {self.spec.name!r}: output {str(output)!r} has patches of "
                f"{patch_px} px, and {height} x {width} px are no whole number of them: the rest "
                f"would not be read; set input_px to {below} or {below + patch_px}."
            )

    def check_features(self, output: Output, values: NDArray[np.float32], n: int) -> None:
        """Raise BackboneError unless there are n finite rows (or grids) of features."""
        if values.ndim != (4 if output.is_grid else 2) or len(values) != n:
            expected = f"({n}, H, W, D)" if output.is_grid else f"({n}, D)"
            raise BackboneError(
                f"backbone {self.spec.name!r}: output {str(output)!r} must have shape {expected}; "
                f"got {values.shape}."
            )
        finite = np.isfinite(values)
        if not finite.all():
            bad = int((~finite).reshape(n, -1).any(axis=1).sum())
            raise BackboneError(
                f"backbone {self.spec.name!r}: features of {bad} of {n} images hold "
                f"NaN or infinity (precision {self.precision})."
            )

    def _check_batch_independence(
        self, batched: NDArray[np.float32], alone: NDArray[np.float32]
    ) -> None:
        difference = float(np.abs(batched - alone).max() / max(np.abs(alone).max(), 1e-30))
        if self.precision == "float32" and difference > SAME_ROW:
            raise BackboneError(
                f"backbone {self.spec.name!r}: an image gives other features alone than in a batch "
                f"(output {str(self.spec.output)!r}, difference {difference:.1e} of the largest "
                f"value, allowed {SAME_ROW:.0e}). Does it normalise over the batch?"
            )

    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def weights_mib(self) -> float:
        return float(sum(tensor.nbytes for tensor in self.module.state_dict().values())) / 2**20

    def forward_facts(self) -> dict[str, Any]:
        """Return what the forward pass depends on beside the weights."""
        facts = {
            "loader": self.spec.loader,
            "architecture": self.spec.architecture,
            "library": self.library,
        }
        if self.spec.options:
            facts["options"] = plain(self.spec)["options"]
        return {**facts, **self._forward}
