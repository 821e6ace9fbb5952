"""Autotuning: the fastest runtime and batch size, measured on the first images.

A backbone is tuned once per process, for all images that the process is going to embed: a candidate
is tried where what it usually saves repays its preparation. Decoding pauses while a runtime is
measured. Where another process takes the processor meanwhile, every runtime is measured again, in
turn. A choice that no quiet measurement supports is made by processor seconds, which others change
little; it is used but not saved, and repeated later.

A saved choice is prepared and timed shortly. Where its speed has changed by a factor of
CHANGED_SPEED, all candidates are tried again. Only runtimes whose features agree with those of
eager PyTorch, on images of the pass and on noise, are ever used. The eager forward pass of an ONNX
file is ONNX Runtime's, so that only OpenVINO is tried beside it. Baselines always run in eager
PyTorch: beside decoding they take no time, and what everything else is measured by must not vary.
"""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import get_args

import torch

from bob.backbones.backbone import Backbone, Embedded
from bob.backbones.loaders.onnx import OnnxFeatures
from bob.errors import first_line
from bob.extraction.machine_load import LoadMeter
from bob.extraction.runtimes.candidates import Candidate, repays, usable_candidates
from bob.extraction.runtimes.choices import Choice, Trial
from bob.extraction.runtimes.eager import Eager, is_out_of_memory
from bob.extraction.runtimes.runtime import TOLERANCE, Runtime, largest_difference
from bob.extraction.runtimes.stated import RuntimeName
from bob.specs import Output

RUNTIMES = get_args(RuntimeName)
CPU_BATCHES, DEVICE_BATCHES = (4, 16, 1), (64, 128, 256)
"""Batch sizes to try, the likeliest first. On a CPU small batches are the fastest, since their
activations stay in its caches. Of images larger than 224 px, batches have no more pixels: at
448 px, batches of 1 are 1.2 times as fast as those of 4, and take half of the memory."""
BASELINE_BATCH = 1
"""Images that a baseline computes together on a CPU: the responses of one to random filters fit in
a core's cache, those of four do not."""
BATCH_SPEEDUP = 1.03
"""Factor by which another batch size may be faster than the first."""
COMPARED_IMAGES = 8
"""Images whose features are compared with eager PyTorch's."""
TIMED_IMAGES = 16
"""Images that time one runtime on a CPU; a device takes the whole first block. Of larger images
than usual, as many as a batch has fewer: a quarter at 448 px."""
TIMINGS, TIMED_SECONDS, MAX_TIMINGS = 2, 0.2, 10
"""How often they do: twice, or more where that takes too short a time to see what else the
processor does. Eager PyTorch's first is enough where another runtime is FAR_AHEAD."""
MIN_SPEEDUP = 1.03
"""How many times faster than eager PyTorch a runtime must be: less is noise."""
CHANGED_SPEED = 1.3
"""Factor by which the speed of a saved choice must differ for all candidates to be tried again."""
CHECK_SHARE = 0.05
"""Largest share of all images that may time a saved choice."""
FAR_AHEAD = 1.5
"""How many times faster another runtime must be for one measurement to decide: the slower one would
have to have been disturbed by more than half of its time."""
QUIET_ROUNDS = 1
"""Largest number of rounds in which all runtimes are measured again after a disturbance."""


@dataclass(frozen=True, eq=False)
class TuningImages:
    """The first images of a pass, and what is known of those to come."""

    crops: torch.Tensor
    """(n, 3, H, W) uint8."""
    total: int
    """Images that the process embeds with this backbone in all, stored ones included: a run that
    resumes decides like the run that was stopped."""
    outputs: Sequence[Output]
    pause: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    """Pauses the decoding threads."""


@dataclass(eq=False)
class Tuned:
    """A runtime that is ready to embed, and why it was chosen."""

    runtime: Runtime
    choice: Choice | None = None
    """None where nothing was measured."""
    prepared: "dict[tuple[str, int], _Prepared]" = field(default_factory=dict)
    """Runtimes that another round of tuning needs again; empty once the choice is settled."""
    problem: str | None = None
    """Why eager PyTorch takes the place of a runtime that was chosen elsewhere."""

    @property
    def is_settled(self) -> bool:
        return self.choice is None or not self.choice.is_disturbed


def batch_sizes(backbone: Backbone) -> tuple[int, ...]:
    """Return the batch sizes to try; the first is used before anything is measured."""
    if backbone.device.type != "cpu":
        return DEVICE_BATCHES
    images = backbone.geometry.usual_images
    return tuple(dict.fromkeys(max(1, int(size / images)) for size in CPU_BATCHES))


def timed_images(backbone: Backbone) -> int:
    """Return the number of images that time one runtime on a CPU."""
    return max(1, int(TIMED_IMAGES / backbone.geometry.usual_images))


def tune(
    backbone: Backbone,
    images: TuningImages,
    requested: str,
    batch_size: int | None = None,
    saved: Choice | None = None,
    before: Tuned | None = None,
) -> Tuned:
    """Return the fastest runtime.

    `requested` is "auto" or one of RUNTIMES. A `batch_size` of None is chosen by measuring. `saved`
    is the choice of another process, `before` the unsettled one of this process. A runtime whose
    features differ from eager PyTorch's is never used, even where it is requested by name: eager
    PyTorch runs what another runtime cannot.
    """
    device = backbone.device.type
    if backbone.spec.loader == "baseline":
        usual = BASELINE_BATCH if device == "cpu" else batch_sizes(backbone)[0]
        return Tuned(Eager(backbone, batch_size or usual))
    eager = Eager(backbone, batch_size or batch_sizes(backbone)[0])
    candidates = [each for each in _candidates(backbone) if requested in ("auto", each.name)]
    if batch_size and (requested == "eager" or not candidates):
        return Tuned(eager)
    search = _Search(eager, images, dict(before.prepared) if before else {})
    if saved and requested == "auto":
        tuned = _tune_from(saved, search, candidates, batch_size)
        if tuned:
            return tuned
    with images.pause() if device == "cpu" else contextlib.nullcontext():
        return search.run(candidates, batch_size, forced=requested != "auto")


def follow(backbone: Backbone, images: TuningImages, runtime: str, batch_size: int) -> Tuned:
    """Return the runtime that was chosen elsewhere, whatever its speed here.

    Eager PyTorch takes its place where it cannot run or gives other features here.
    """
    eager = Eager(backbone, batch_size)
    if runtime == "eager":
        return Tuned(eager)
    for candidate in _candidates(backbone):
        if candidate.name == runtime:
            prepared = _Search(eager, images, {}).prepare(candidate, batch_size)
            return Tuned(prepared.runtime or eager, problem=prepared.problem)
    return Tuned(eager, problem="is not usable here")


def _candidates(backbone: Backbone) -> list[Candidate]:
    """Return the runtimes beside eager PyTorch that may run a backbone."""
    return [
        candidate
        for candidate in usable_candidates(backbone.precision, backbone.device.type)
        if candidate.runs_onnx_files or not isinstance(backbone.module, OnnxFeatures)
    ]


def _tune_from(
    saved: Choice, search: "_Search", candidates: Sequence[Candidate], batch_size: int | None
) -> Tuned | None:
    """Return the saved choice; None where the candidates have to be tried again."""
    images, size = search.images, batch_size or saved.batch_size
    candidate = next((each for each in candidates if each.name == saved.runtime), None)
    if candidate is None and saved.runtime != "eager":
        return None
    too_few = saved.seconds(images.total) >= saved.eager_seconds(images.total)
    if candidate is None or too_few:
        search.eager.batch_size = size if candidate is None else search.eager.batch_size
        return Tuned(search.eager, saved)
    runtime = search.prepare(candidate, size).runtime
    if runtime is None:
        return None
    if size == saved.batch_size and CHECK_SHARE * images.total >= TIMED_IMAGES:
        with images.pause():
            meter = LoadMeter()
            ratio = _timing(runtime, images).wall / saved.seconds_per_image
        changed = max(ratio, 1 / max(ratio, 1e-9)) > CHANGED_SPEED
        if changed and not meter.read().is_disturbed:
            return None
    return Tuned(runtime, saved)


@dataclass(frozen=True)
class _Timing:
    """Seconds per image of a runtime, the fastest of some measurements; infinite where none ran."""

    wall: float
    processor: float
    """Of all threads of this process."""

    def fastest(self, other: "_Timing") -> "_Timing":
        """Return the least of each of two timings: a disturbance only slows down."""
        return _Timing(min(self.wall, other.wall), min(self.processor, other.processor))


@dataclass(frozen=True, eq=False)
class _Prepared:
    runtime: Runtime | None
    setup_seconds: float
    problem: str | None = None


class _Search:
    """One tuning of one backbone on one device."""

    def __init__(
        self, eager: Eager, images: TuningImages, prepared: "dict[tuple[str, int], _Prepared]"
    ) -> None:
        self.eager, self.images, self.kept = eager, images, prepared
        self.trials: list[Trial] = []
        self.runtimes: list[Runtime] = []
        """The runtimes that were measured; those of `trials` that have a speed, in order."""
        self.timings: list[_Timing] = []
        """One per runtime that was measured."""
        self.is_disturbed = False
        self.meter = LoadMeter()

    def run(
        self, candidates: Sequence[Candidate], batch_size: int | None, *, forced: bool
    ) -> Tuned:
        """Try what may repay, and return the fastest."""
        _warm_up(self.eager, self.images)
        self._measure(self.eager, 0.0, count=1)
        for candidate in candidates:
            if forced or self._may_repay(candidate):
                self._try(candidate, self.eager.batch_size)
        self._complete_eager()
        if batch_size is None:
            self._try_batch_sizes(candidates, forced=forced)
        self._repeat_where_disturbed()
        return self._tuned(forced=forced)

    def prepare(self, candidate: Candidate, batch_size: int) -> _Prepared:
        """Prepare a candidate and compare its features with eager PyTorch's.

        Its runtime is None where it cannot run the backbone or gives other features.
        """
        key = candidate.name, batch_size
        if key in self.kept:
            return self.kept[key]
        start, similar = time.perf_counter(), self._of_other_size(candidate)
        try:
            if candidate.resized and similar and similar.runtime:
                runtime = candidate.resized(similar.runtime, batch_size)
            else:
                runtime = candidate.make(self.eager.backbone, self.images.outputs, batch_size)
            difference = self._difference(runtime)
        except Exception as error:  # a compiler can fail on any graph in any way
            problem = f"cannot run it: {type(error).__name__}: {first_line(error)}"
            return _Prepared(None, time.perf_counter() - start, problem)
        # a later process, which begins with this size, takes as long as for the other one
        seconds = max(time.perf_counter() - start, similar.setup_seconds if similar else 0.0)
        if difference <= TOLERANCE:
            self.kept[key] = _Prepared(runtime, seconds)
            return self.kept[key]
        problem = f"features differ from eager PyTorch's by {difference:.1e} of the largest value"
        return _Prepared(None, seconds, problem)

    def _of_other_size(self, candidate: Candidate) -> "_Prepared | None":
        """Return the candidate as it was prepared for batches of another size, if it was."""
        return next((of for (name, _), of in self.kept.items() if name == candidate.name), None)

    @functools.cached_property
    def _compared(self) -> list[tuple[torch.Tensor, Embedded]]:
        """Images of the pass, and noise, with eager PyTorch's features, which others have to have.

        Their number does not depend on their size: an operation can go wrong on few images.
        """
        noise = torch.randint(
            256,
            (2, *self.images.crops.shape[1:]),
            dtype=torch.uint8,
            generator=torch.Generator().manual_seed(2),
        )
        outputs = self.images.outputs
        of_both = (self.images.crops[:COMPARED_IMAGES], noise)
        return [(crops, self.eager.embed(crops, outputs)) for crops in of_both]

    def _difference(self, runtime: Runtime) -> float:
        return max(
            largest_difference(runtime.embed(crops, self.images.outputs), expected)
            for crops, expected in self._compared
        )

    def _best(self) -> Trial:
        measured = [trial for trial in self.trials if trial.seconds_per_image is not None]
        costs = [self._cost(timing) for timing in self.timings]
        return measured[costs.index(min(costs))]

    def _cost(self, timing: _Timing) -> float:
        """Return the seconds by which runtimes are compared."""
        on_cpu = self.eager.backbone.device.type == "cpu"
        seconds = timing.processor if self.is_disturbed and on_cpu else timing.wall
        return max(seconds, 1e-9)

    def _remaining_seconds(self) -> float:
        """Return how long all images take with the best runtime so far."""
        return self.images.total * (self._best().seconds_per_image or 0.0)

    def _may_repay(self, candidate: Candidate) -> bool:
        is_first = self._best().runtime == "eager"
        speedup = candidate.speedup if is_first else candidate.further_speedup
        if repays(self._remaining_seconds(), speedup, candidate.setup_seconds):
            return True
        problem = "not tried: too few images to repay it"
        self.trials.append(Trial(candidate.name, self.eager.batch_size, problem=problem))
        return False

    def _try(self, candidate: Candidate, batch_size: int) -> None:
        prepared = self.prepare(candidate, batch_size)
        if prepared.runtime is None:
            self.trials.append(
                Trial(candidate.name, batch_size, prepared.setup_seconds, None, prepared.problem)
            )
        else:
            self._measure(prepared.runtime, prepared.setup_seconds)

    def _try_batch_sizes(self, candidates: Sequence[Candidate], *, forced: bool) -> None:
        """Try other batch sizes of the best runtime, as long as they may repay."""
        best = self._best()
        if forced and candidates:
            best = next((t for t in self.trials if t.runtime == candidates[0].name), best)
        candidate = next((each for each in candidates if each.name == best.runtime), None)
        for size in batch_sizes(self.eager.backbone):
            if size == best.batch_size or (candidate and not self._fills_threads(candidate, size)):
                continue
            timing = 2 * len(self._timed()) * (best.seconds_per_image or math.inf)
            if not repays(self._remaining_seconds(), BATCH_SPEEDUP, best.setup_seconds + timing):
                return
            if candidate is None:
                self._measure(Eager(self.eager.backbone, size), 0.0)
            else:
                self._try(candidate, size)

    def _fills_threads(self, candidate: Candidate, size: int) -> bool:
        """Whether the timed images are a batch for each thread that computes its own.

        Otherwise threads rest while a runtime is timed, and the size seems slower than it is.
        """
        return not candidate.is_streamed or size * torch.get_num_threads() <= len(self._timed())

    def _timed(self) -> torch.Tensor:
        return timed_crops(self.eager.backbone, self.images)

    def _complete_eager(self) -> None:
        """Time eager PyTorch as often as others, unless one of them is far ahead of it."""
        first, best = self.timings[0], min(timing.wall for timing in self.timings)
        if first.wall < FAR_AHEAD * best:
            self.timings[0] = first.fastest(_timing(self.eager, self.images, TIMINGS - 1))
            self.trials[0] = replace(self.trials[0], seconds_per_image=self.timings[0].wall)

    def _measure(self, runtime: Runtime, setup_seconds: float, count: int = TIMINGS) -> None:
        self.meter.read()
        timing = _timing(runtime, self.images, count)
        self.is_disturbed |= self.meter.read().is_disturbed
        if math.isfinite(timing.wall):
            self.runtimes.append(runtime)
            self.timings.append(timing)
            self.trials.append(Trial(runtime.name, runtime.batch_size, setup_seconds, timing.wall))
        else:
            problem = "the images do not fit in memory"
            self.trials.append(
                Trial(runtime.name, runtime.batch_size, setup_seconds, None, problem)
            )

    def _repeat_where_disturbed(self) -> None:
        """Measure all runtimes again in turn, until a round is quiet.

        After the last round the fastest of all measurements count.
        """
        for _ in range(QUIET_ROUNDS):
            if not self.is_disturbed or len(self.runtimes) < 2:
                break
            self.meter.read()
            again = [_timing(runtime, self.images) for runtime in self.runtimes]
            self.is_disturbed = self.meter.read().is_disturbed
            if self.is_disturbed:
                again = [new.fastest(old) for new, old in zip(again, self.timings, strict=True)]
            self.timings = again
        walls = iter(timing.wall for timing in self.timings)
        self.trials = [
            trial
            if trial.seconds_per_image is None
            else replace(trial, seconds_per_image=next(walls))
            for trial in self.trials
        ]

    def _tuned(self, *, forced: bool) -> Tuned:
        """Return the fastest runtime; a forced candidate whether it is faster or not."""
        timings = dict(zip(self.runtimes, self.timings, strict=True))
        costs = {runtime: self._cost(timing) for runtime, timing in timings.items()}
        choosable = [runtime for runtime in self.runtimes if not forced or runtime.name != "eager"]
        fastest = min(choosable or self.runtimes, key=costs.__getitem__)
        eager = [runtime for runtime in self.runtimes if runtime.name == "eager"]
        best_eager = min(eager, key=costs.__getitem__)
        if not forced and costs[best_eager] / costs[fastest] < MIN_SPEEDUP:
            fastest = best_eager
        choice = Choice(
            fastest.name,
            fastest.batch_size,
            timings[fastest].wall,
            tuple(self.trials),
            self.is_disturbed,
        )
        return Tuned(fastest, choice, self.kept if self.is_disturbed else {})


def _warm_up(runtime: Runtime, images: TuningImages) -> None:
    """Let libraries allocate and choose their kernels."""
    runtime.embed(images.crops[: runtime.batch_size], images.outputs)


def timed_crops(backbone: Backbone, images: TuningImages) -> torch.Tensor:
    """Return the images that time one runtime."""
    if backbone.device.type != "cpu":
        return images.crops
    return images.crops[: timed_images(backbone)]


def _timing(runtime: Runtime, images: TuningImages, least: int = TIMINGS) -> _Timing:
    """Return the fastest of some measurements, of `least` or more.

    Infinite where images do not fit in memory.
    """
    crops = timed_crops(runtime.backbone, images)
    fastest, seconds, count = _Timing(math.inf, math.inf), 0.0, 0
    try:
        while count < least or (seconds < TIMED_SECONDS and count < MAX_TIMINGS):
            start, processor = time.perf_counter(), time.process_time()
            runtime.embed(crops, images.outputs)
            wall = time.perf_counter() - start
            measured = _Timing(wall / len(crops), (time.process_time() - processor) / len(crops))
            fastest, seconds, count = fastest.fastest(measured), seconds + wall, count + 1
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or runtime.name == "eager":
            raise
        return _Timing(math.inf, math.inf)
    return fastest
