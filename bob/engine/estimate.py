"""What a plan will roughly take: images, time, disk."""

import math
from collections import defaultdict
from dataclasses import dataclass

import torch

from bob.extraction.runtimes.candidates import expected_seconds
from bob.extraction.runtimes.choices import choice_path, load_choice
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
    forwards: dict[str, Forward] = {}
    images_of: dict[str, int] = defaultdict(int)
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
            forwards.setdefault(forward.backbone, forward)
            images_of[forward.backbone] += images
            embedded += images * (len(forward.outputs) + len(forward.statistics))
            disk += sum(
                images * _row_bytes(plan, workspace, forward, output) for output in forward.outputs
            )
    for name, forward in forwards.items():
        seconds += _forward_seconds(plan, workspace, forward, images_of[name])
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
    """Return the time of all forward passes of a backbone.

    Where its architecture was tuned on this device, the measured speed counts; before that, the
    card's speed of eager PyTorch and the usual gain of faster runtimes.
    """
    machine, card = workspace.machine, workspace.card(plan.backbones[forward.backbone])
    names = dict.fromkeys([*forward.outputs, *(each.output for each in forward.statistics)])
    outputs = [Output.model_validate(name) for name in names]
    device, precision = torch.device(machine.device), plan.settings.precision
    path = choice_path(
        workspace.places.cache, card.forward, card.geometry, outputs, device, precision
    )
    best = load_choice(path) if machine.runtime != "eager" else None
    eager = images * card.seconds_per_image
    if best and machine.runtime in ("auto", best.runtime):
        alone = min(best.eager_seconds(images), best.seconds(images))
    else:
        alone = expected_seconds(eager, machine.runtime, device.type, precision)
    return alone / len(machine.devices)
