"""The measured facts of a backbone, as plain data that every process can read."""

from typing import Any

from pydantic import Field

from bob.specs.yaml import Closed


class Card(Closed):
    """Facts of a backbone, measured when it was first loaded on this machine."""

    weights_hash: str
    forward: dict[str, Any]
    geometry: dict[str, Any]
    normalisation: dict[str, Any]
    precision: str
    shape: tuple[int, ...] = Field(strict=False)
    """Shape of the features of one image: (D,), or (H, W, D) for a grid."""
    params: int
    gflops: float | None
    """Forward cost of one image; None where the backbone does not run in PyTorch."""
    weights_mib: float
    peak_mib: float | None
    """Weights, plus the largest total of live tensors in the forward pass of a batch of 4.

    None where the backbone does not run in PyTorch.
    """
    seconds_per_image: float
    """Forward pass only, after a warm-up, in batches of 4, on `device`."""
    device: str
    text: dict[str, Any] | None = None
    """What a text's features depend on beside the text; None where there is no text tower, or it
    cannot be loaded here."""
    text_problem: str | None = None
    """Why the text tower cannot be loaded here, with the remedy."""
    notes: tuple[str, ...] = Field((), strict=False)
    """Choices of the loader that a user may want to make otherwise, and what was left out."""
    files: dict[str, tuple[int, ...]] = Field({}, strict=False)
    """Files that were read, by path, with their stamps; the card holds while they are unchanged."""


class MissingOutput(Closed):
    """The fact that a backbone lacks an output, found when it was first loaded on this machine.

    It is stored in place of a card, so that planning need not load the backbone again.
    """

    backbone: str
    problem: str
    """Why, with the backbone's name."""
    files: dict[str, tuple[int, ...]] = Field({}, strict=False)
    """As in `Card`."""
