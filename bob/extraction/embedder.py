"""A backbone ready to embed on one or several devices; its runtimes outlive a pass."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.backbones.loaders.onnx import OnnxFeatures
from bob.extraction.device import device_name, peak_mib, threads
from bob.extraction.machine_load import LoadMeter
from bob.extraction.runtimes.autotune import Tuned, TuningImages, follow, timed_images, tune
from bob.extraction.runtimes.choices import ChoiceFile, choice_file
from bob.extraction.runtimes.memory import release_freed_memory
from bob.extraction.runtimes.runtime import Runtime
from bob.extraction.runtimes.stated import RuntimeChoice
from bob.features.shard import Effort
from bob.specs import Output

MAX_TUNINGS = 5
"""Most attempts to tune a backbone on a machine that is never idle."""
STREAMED = {"openvino"}
"""Runtimes that run each batch on one thread. In others all threads share a batch and wait for each
other, so that a thread that decodes on one core delays them all."""


@dataclass(eq=False)
class _DeviceRuntime:
    """The runtime of one device for some outputs."""

    tuned: Tuned
    tunings: int = 1
    blocks: int = 0
    """Blocks embedded since it was tuned last."""
    meter: LoadMeter = field(default_factory=LoadMeter)

    def should_be_tuned_again(self) -> bool:
        """Whether the choice rests on disturbed measurements and the machine is quiet now.

        Each attempt waits twice as many blocks as the one before.
        """
        if self.tuned.is_settled or self.tunings >= MAX_TUNINGS:
            return False
        self.blocks += 1
        return self.blocks >= 2**self.tunings and not self.meter.read().is_disturbed


@dataclass(eq=False)
class Embedder:
    """One backbone on one or several devices of one machine."""

    backbones: Sequence[Backbone]
    """The same backbone on each device."""
    runtime: str = "eager"
    """One of `bob.extraction.runtimes.autotune.RUNTIMES`, or auto."""
    batch_size: int | None = None
    """None lets autotuning choose."""
    cache: Path | None = None
    """Folder in which the choice of a runtime is saved."""
    expected_images: int = 0
    """Images that this backbone embeds in this process, stored ones included."""
    shares_choice: bool = False
    """Whether other processes embed for the same run: then the runtime that the first of them
    chooses for a model of device is that of all, and does not change."""
    stated: Mapping[str, RuntimeChoice] = field(default_factory=dict)
    """Model of device → the runtime that the plan states, which comes before that choice."""
    notice: Callable[[str], None] = field(default=lambda text: None)
    """Receives why features may differ in their last digits from those of other processes."""
    _ready: dict[tuple[int, tuple[Output, ...]], _DeviceRuntime] = field(default_factory=dict)

    @property
    def backbone(self) -> Backbone:
        return self.backbones[0]

    @property
    def runtimes(self) -> list[Runtime]:
        """The runtimes in use, one per device and set of outputs."""
        return [ready.tuned.runtime for ready in self._ready.values()]

    def embed(
        self,
        device: int,
        crops: torch.Tensor,
        outputs: Sequence[Output],
        among: Sequence[Output],
        pause: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        hold: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> tuple[Embedded, Effort]:
        """Embed crops (n, 3, H, W) uint8 on one of the devices.

        `among` are all outputs of the pass, for which a runtime is made once; `outputs` are those
        that are wanted now. `pause` keeps other threads from working while runtimes are measured,
        and `hold` while the threads of a forward pass on the CPU wait for each other. Returns the
        features and what they cost, decoding excluded.
        """
        runtime = self._runtime(device, crops, tuple(among), pause)
        where = self.backbones[device].device
        with hold() if self._is_delayed_by_others(runtime) else contextlib.nullcontext():
            start = time.perf_counter()
            embedded = runtime.embed(crops, outputs)
            seconds = time.perf_counter() - start
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

    def _is_delayed_by_others(self, runtime: Runtime) -> bool:
        """Whether decoding threads slow a forward pass down; those of baselines are too short."""
        is_alone = len(self.backbones) == 1 and self.backbone.device.type == "cpu"
        return is_alone and runtime.name not in STREAMED and self.backbone.spec.loader != "baseline"

    def _runtime(
        self,
        device: int,
        crops: torch.Tensor,
        outputs: tuple[Output, ...],
        pause: Callable[[], AbstractContextManager[None]],
    ) -> Runtime:
        """Return the runtime of a device, tuned on the first images that it sees."""
        backbone, key = self.backbones[device], (device, outputs)
        ready = self._ready.get(key)
        if ready is None or ready.should_be_tuned_again():
            images = TuningImages(crops, self.expected_images, outputs, pause)
            file = self._choice_file(backbone, outputs)
            if file and self.shares_choice:
                tuned = self._shared(file, backbone, images)
                _release_unused(tuned)
                self._ready[key] = _DeviceRuntime(tuned, MAX_TUNINGS)
                return self._ready[key].tuned.runtime
            saved = file.load() if file and ready is None else None
            before = ready.tuned if ready else None
            tuned = tune(backbone, images, self.runtime, self.batch_size, saved, before)
            _release_unused(tuned)
            is_timed = len(crops) >= timed_images(backbone)
            is_good = tuned.is_settled and tuned.choice != saved and is_timed
            if file and tuned.choice and is_good:
                file.save(tuned.choice)
            ready = _DeviceRuntime(tuned, ready.tunings + 1 if ready else 1)
            self._ready[key] = ready
        return ready.tuned.runtime

    def _shared(self, file: ChoiceFile, backbone: Backbone, images: TuningImages) -> Tuned:
        """Return the runtime that the plan states, or else the one that all processes agree on."""
        model, count = device_name(backbone.device), threads(backbone.device)
        if stated := self.stated.get(model):
            if stated.threads != count:
                self.notice(
                    f"the plan states runtimes with {stated.threads} threads on {model}, and this "
                    f"process has {count}: features agree to 1e-5, not byte by byte."
                )
            tuned = follow(backbone, images, stated.runtime, stated.batch_size)
        else:
            tuned = _agreed(file, backbone, images)
        if tuned.problem:
            self.notice(
                f"backbone {backbone.spec.name!r}: eager PyTorch takes the place of the runtime "
                f"that was chosen for {model} ({tuned.problem}): features agree to 1e-5."
            )
        return tuned

    def _choice_file(self, backbone: Backbone, outputs: Sequence[Output]) -> ChoiceFile | None:
        """Return where the choice is saved; None where it is given by name or by batch size."""
        is_tuned = self.runtime == "auto" and not self.batch_size
        if self.cache is None or not is_tuned or backbone.spec.loader == "baseline":
            return None
        forward, geometry = backbone.forward_facts(), backbone.geometry.facts()
        device, precision = backbone.device, backbone.precision
        return choice_file(self.cache, forward, geometry, outputs, device, precision)


def _release_unused(tuned: Tuned) -> None:
    """Return to the system what tuning took: graphs, and the sessions of an ONNX file.

    The sessions are those of eager embedding, which is not used while another runtime is.
    """
    module = tuned.runtime.backbone.module
    if tuned.runtime.name != "eager" and isinstance(module, OnnxFeatures):
        module.close()
    release_freed_memory()


def _agreed(file: ChoiceFile, backbone: Backbone, images: TuningImages) -> Tuned:
    """Return the runtime that some process has chosen, or choose it for all."""
    with file.exclusively():
        saved = file.load()
        if saved is None:
            tuned = tune(backbone, images, "auto")
            if tuned.choice:
                file.save(tuned.choice)
            return tuned
    return follow(backbone, images, saved.runtime, saved.batch_size)
