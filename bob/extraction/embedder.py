"""A backbone ready to embed on one or several devices; its runtimes outlive a pass."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.extraction.device import device_name, peak_mib, threads
from bob.extraction.runtimes.autotune import TuningImages, make_runtime
from bob.extraction.runtimes.eager import Eager
from bob.extraction.runtimes.runtime import Runtime
from bob.features.shard import Effort
from bob.specs import Output


@dataclass(eq=False)
class Embedder:
    """One backbone on one or several devices of one machine."""

    backbones: Sequence[Backbone]
    """The same backbone on each device."""
    runtime: str = "eager"
    """One of `bob.extraction.runtimes.autotune.RUNTIMES`, or auto."""
    batch_size: int | None = None
    """None lets autotuning choose."""
    choice_file: Path | None = None
    """Saves the fastest runtime and batch size."""
    expected_images: int = 0
    """Images that this backbone will embed in this process."""
    _ready: dict[tuple[int, tuple[Output, ...]], Runtime] = field(default_factory=dict)

    @property
    def backbone(self) -> Backbone:
        return self.backbones[0]

    def embed(
        self, device: int, crops: torch.Tensor, outputs: Sequence[Output], among: Sequence[Output]
    ) -> tuple[Embedded, Effort]:
        """Embed crops (n, 3, H, W) uint8 on one of the devices.

        `among` are all outputs of the pass, for which a runtime is made once; `outputs` are those
        that are wanted now. Returns the features and what they cost, decoding excluded.
        """
        runtime = self._runtime(device, crops, tuple(among))
        start = time.perf_counter()
        embedded = runtime.embed(crops, outputs)
        seconds = time.perf_counter() - start
        where = self.backbones[device].device
        effort = Effort(
            images=len(crops),
            forward_seconds=seconds,
            device=str(where),
            batch_size=runtime.batch_size,
            runtime=runtime.name,
            device_name=device_name(where),
            threads=threads(where),
            peak_mib=peak_mib(where),
        )
        return embedded, effort

    def _runtime(self, device: int, crops: torch.Tensor, outputs: tuple[Output, ...]) -> Runtime:
        """Return the runtime of a device, chosen on the first images that it sees."""
        key = (device, outputs)
        if key not in self._ready:
            backbone = self.backbones[device]
            if self.runtime == "eager" and self.batch_size:
                self._ready[key] = Eager(backbone, self.batch_size)
            else:
                images = TuningImages(crops, self.expected_images, outputs)
                self._ready[key] = make_runtime(
                    backbone, images, self.runtime, self.batch_size, self.choice_file
                )
        return self._ready[key]
