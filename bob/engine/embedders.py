"""Backbones that stay loaded across the passes of a plan."""

from collections import OrderedDict
from collections.abc import Callable, Collection

import psutil
import torch

from bob.extraction.embedder import Embedder

MEMORY_SHARE = 0.6
"""Share of the free memory that loaded backbones may take."""
MIN_FREE_SHARE = 0.4
"""Share of a graphics card's memory that probes find free."""
COPIES = 2
"""Copies of the weights: the backbone's, and those that a compiled runtime holds."""
WORKSPACE_MIB = 512
"""Memory that a loaded backbone is allowed for activations."""


def needed_mib(weights_mib: float) -> float:
    """Return the memory that a backbone takes while it embeds."""
    return COPIES * weights_mib + WORKSPACE_MIB


class EmbedderCache:
    """Embedders by the name of their forward pass; the one used longest ago leaves first."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._embedders: OrderedDict[str, tuple[Embedder, float]] = OrderedDict()

    def get(self, name: str, weights_mib: float, make: Callable[[], Embedder]) -> Embedder:
        """Return an embedder, loaded on first use."""
        if name not in self._embedders:
            self._embedders[name] = make(), COPIES * weights_mib
        self._embedders.move_to_end(name)
        return self._embedders[name][0]

    def loaded(self, name: str) -> Embedder | None:
        """Return an embedder if it is loaded."""
        return self._embedders[name][0] if name in self._embedders else None

    def drop(self, name: str) -> None:
        """Forget an embedder that failed."""
        self._embedders.pop(name, None)
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()

    def available_mib(self) -> float:
        """Return the memory that backbones may take, those that are loaded included."""
        loaded = sum(mib for _, mib in self._embedders.values())
        return (free_mib(self._device) + loaded) * MEMORY_SHARE

    def make_room(self, mib: float, keep: Collection[str]) -> None:
        """Forget embedders until some memory is free, except those to keep."""
        for name in list(self._embedders):
            if mib <= free_mib(self._device) * MEMORY_SHARE:
                return
            if name not in keep:
                self.drop(name)

    def leave_room(self) -> None:
        """Forget all embedders where they leave a graphics card little memory for probes."""
        if self._embedders and self._device.startswith("cuda"):
            free, total = torch.cuda.mem_get_info(self._device)
            if free < MIN_FREE_SHARE * total:
                self.clear()

    def clear(self) -> None:
        """Forget all embedders."""
        self._embedders.clear()
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()


def free_mib(device: str) -> float:
    """Return the free memory of a device."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0]) / 2**20
    return float(psutil.virtual_memory().available) / 2**20
