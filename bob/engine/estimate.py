"""Estimate of the images, time and disk space that a plan takes."""

import math
from dataclasses import dataclass

from bob.engine.work import Work
from bob.errors import BobError
from bob.extraction.runtimes.candidates import expected_seconds
from bob.features.key import ITEM_BYTES, StoreKey
from bob.features.shard import Arrays
from bob.plan import Forward, Pass, Plan, StatisticsOutput, Workspace, statistics_need
from bob.specs import Output


@dataclass(frozen=True)
class Estimate:
    """Estimated work and size of a plan."""

    work: Work
    rows: int
    """Rows of features to compute, over all backbones and outputs; feature maps are not stored."""
    disk_bytes: int


def estimate(plan: Plan, workspace: Workspace) -> Estimate:
    """Estimate a plan from the speeds that this machine measured, and nominal ones elsewhere."""
    rows, disk = 0, 0
    images: dict[tuple[str, str, str], int] = {}
    totals: dict[str, int] = {}
    forwards: dict[str, Forward] = {}
    for image_pass in plan.passes:
        for forward in image_pass.forwards:
            name = forward.backbone
            try:
                left = _images_left(plan, workspace, image_pass, forward)
                row_bytes = sum(
                    _row_bytes(plan, workspace, forward, output) for output in forward.outputs
                )
                summed = sum(
                    _statistics_bytes(plan, workspace, image_pass, forward, statistics)
                    for statistics in forward.statistics
                )
            except BobError:  # its cells say so
                continue
            forwards.setdefault(name, forward)
            images[image_pass.dataset, image_pass.split, name] = left
            totals[name] = totals.get(name, 0) + left
            rows += left * len({*forward.outputs, *(each.output for each in forward.statistics)})
            disk += left * row_bytes + summed
    speeds = {
        name: _forward_seconds(plan, workspace, forward, totals[name]) / max(totals[name], 1)
        for name, forward in forwards.items()
    }
    names = {name: plan.backbones[name].name for name in forwards}
    work = Work(images, speeds, len(plan.cells), workspace.machine.workers, names)
    return Estimate(work, rows, disk)


def _row_bytes(plan: Plan, workspace: Workspace, forward: Forward, output: str) -> int:
    spec = plan.backbones[forward.backbone].variant(output=Output.model_validate(output))
    return math.prod(workspace.card(spec).shape) * ITEM_BYTES[plan.settings.stored]


def _images_left(plan: Plan, workspace: Workspace, image_pass: Pass, forward: Forward) -> int:
    """Return the number of images that a forward still has to embed, from the shards' names."""
    if plan.settings.fresh:
        return image_pass.count
    store, spec = workspace.places.features(), plan.backbones[forward.backbone]
    keys: list[StoreKey] = [
        workspace.feature_key(
            image_pass.dataset,
            spec.variant(output=Output.model_validate(output)),
            image_pass.image_set(),
        )
        for output in forward.outputs
    ]
    needs = (statistics_need(spec, statistics) for statistics in forward.statistics)
    keys += [workspace.key(image_pass.dataset, need) for need in needs]
    return image_pass.count - min((store.stored_images(key) for key in keys), default=0)


def _statistics_bytes(
    plan: Plan,
    workspace: Workspace,
    image_pass: Pass,
    forward: Forward,
    statistics: StatisticsOutput,
) -> int:
    """Return the bytes of the shards that statistics lack."""
    need = statistics_need(plan.backbones[forward.backbone], statistics)
    key = workspace.key(image_pass.dataset, need)
    empty = workspace.accumulator(image_pass.dataset, need).start(
        workspace.card(need.backbone).shape
    )
    left = image_pass.count
    if not plan.settings.fresh:
        left -= workspace.places.features().stored_images(key)
    part = len(workspace.images(image_pass.dataset, need.images))
    return statistics_bytes(empty, -(-left // key.sharding.images), min(left, part))


def statistics_bytes(empty: Arrays, shards: int, images: int) -> int:
    """Return the bytes of statistics of some images, as far as the `empty` ones tell.

    Sums have their size from the start, in every shard. Other arrays grow: they count as a row for
    each image, and hold more of points, of which an image has several.
    """
    grow = [values for values in empty.values() if not values.size]
    of_image = sum(math.prod(values.shape[1:]) * values.itemsize for values in grow)
    return shards * sum(values.nbytes for values in empty.values()) + images * of_image


def _forward_seconds(plan: Plan, workspace: Workspace, forward: Forward, images: int) -> float:
    """Return the time of all forward passes of a backbone.

    Where its architecture was tuned on this device, the measured speed counts; before that, the
    card's speed of eager PyTorch and the usual gain of faster runtimes.
    """
    machine, card = workspace.machine, workspace.card(plan.backbones[forward.backbone])
    precision = plan.settings.precision
    eager = images * card.seconds_per_image
    best = None
    if machine.runtime != "eager" and not machine.is_remote:
        from bob.plan.runtimes import remembered  # a driver that tunes nothing loads no PyTorch

        best = remembered(workspace, plan.backbones[forward.backbone], forward).load()
    if best and machine.runtime in ("auto", best.runtime):
        alone = min(best.eager_seconds(images), best.seconds(images))
    else:
        device_type = machine.device.partition(":")[0]
        alone = expected_seconds(eager, machine.runtime, device_type, precision)
    return alone / len(machine.devices)
