"""What a plan will roughly take: images, time, disk."""

import math
from dataclasses import dataclass

from bob.backbones.card import speed_memory
from bob.extraction.runtimes.autotune import expected_seconds, load_choice
from bob.features.key import ITEM_BYTES
from bob.plan import Forward, Pass, Plan, Workspace
from bob.specs import Output

DECODE_SECONDS = 0.004
"""Core-seconds to decode and crop an image; photographs of 500 px take about this."""
PROBE_SECONDS = 1.0
"""Seconds to score a cell whose features are stored; thousands of images take about this."""


@dataclass(frozen=True)
class Estimate:
    """What a plan will roughly take."""

    images_to_embed: int
    """Summed over backbones."""
    images_to_decode: int
    """Each once, however many backbones and tasks read it."""
    seconds: float
    disk_bytes: int


def estimate(plan: Plan, workspace: Workspace) -> Estimate:
    """Estimate a plan from the speeds that this machine measured, and nominal ones elsewhere."""
    embedded, decoded, disk = 0, 0, 0
    seconds = len(plan.cells) * PROBE_SECONDS
    for whole in plan.passes:
        left = {
            forward.backbone: _images_left(plan, workspace, whole, forward)
            for forward in whole.forwards
        }
        most = max(left.values())
        decoded += most
        seconds += most * DECODE_SECONDS / workspace.machine.workers
        for forward in whole.forwards:
            images = left[forward.backbone]
            embedded += images * (len(forward.outputs) + len(forward.statistics))
            seconds += _forward_seconds(plan, workspace, forward, images)
            disk += sum(
                images * _row_bytes(plan, workspace, forward, output) for output in forward.outputs
            )
    return Estimate(embedded, decoded, seconds, disk)


def _row_bytes(plan: Plan, workspace: Workspace, forward: Forward, output: str) -> int:
    spec = plan.backbones[forward.backbone].variant(output=Output.model_validate(output))
    return math.prod(workspace.card(spec).shape) * ITEM_BYTES[plan.settings.stored]


def _images_left(plan: Plan, workspace: Workspace, whole: Pass, forward: Forward) -> int:
    """Return the images that a forward has to embed, by the names of stored shards alone."""
    if plan.settings.fresh:
        return whole.count
    store, spec = workspace.places.features(), plan.backbones[forward.backbone]
    stored = [
        store.stored_images(
            workspace.feature_key(
                whole.dataset,
                spec.variant(output=Output.model_validate(output)),
                whole.image_set(),
            )
        )
        for output in forward.outputs
    ]
    return whole.count - min(stored, default=0)


def _forward_seconds(plan: Plan, workspace: Workspace, forward: Forward, images: int) -> float:
    """Return the time of forward passes.

    Where a runtime was autotuned on this device, its speed counts; before that, the card's speed of
    eager PyTorch and the least gain of faster runtimes.
    """
    machine, precision = workspace.machine, plan.settings.precision
    spec = plan.backbones[forward.backbone].forward
    memory = speed_memory(
        spec, workspace.places.cache, machine.device, precision, offline=machine.offline
    )
    best = load_choice(memory) if machine.runtime != "eager" else None
    eager = images * workspace.card(plan.backbones[forward.backbone]).seconds_per_image
    if best and machine.runtime in ("auto", best.runtime):
        alone = min(eager, images * best.seconds_per_image)
    else:
        alone = expected_seconds(eager, machine.runtime, machine.device, precision)
    return alone / len(machine.devices)
