"""What a plan will roughly take: images, time, disk."""

from dataclasses import dataclass

from bob.backbones.card import speed_memory
from bob.extraction.runtimes.autotune import foreseen, recall
from bob.features.store import FeatureStore
from bob.plan import Plan, Request, unpooled, whole_of
from bob.specs import BackboneSpec
from bob.wiring import Need

DECODE_SECONDS = 0.004
"""Core-seconds that an image is assumed to need for decoding and cropping; photographs of 500 px take about this."""
PROBE_SECONDS = 1.0
"""Seconds that a cell is assumed to need once its features are stored; thousands of images take about this."""


@dataclass(frozen=True)
class Estimate:
    """What the plan will roughly take."""

    images_to_embed: int
    """Summed over backbones."""
    images_to_decode: int
    """Each once, however many backbones and tasks look at it."""
    seconds: float
    disk_bytes: int


def estimate(request: Request, plan: Plan) -> Estimate:
    """Forwards at the speed of the runtime that won on this machine; decoding and probes at nominal speeds."""
    store = request.store()
    embedded, decoded, seconds, disk = 0, 0, len(plan.todo) * PROBE_SECONDS, 0
    seen: set[str] = set()
    for name in plan.datasets_to_do():
        for together in plan.image_needs(name).values():
            needs = {
                digest: need
                for need in together
                if (digest := plan.key_of(need).digest()) not in seen
            }
            if not needs:
                continue  # views of what another dataset of this plan embeds
            seen |= needs.keys()
            left = {need: _images_left(request, store, plan, need) for need in needs.values()}
            forwards: dict[BackboneSpec, list[Need]] = {}
            for need in left:
                forwards.setdefault(unpooled(need.backbone), []).append(need)
            embedded += sum(left.values())
            decoded += max(left.values())
            seconds += max(left.values()) * DECODE_SECONDS / request.workers
            seconds += sum(
                _forward_seconds(request, plan, poolings[0], max(left[need] for need in poolings))
                for poolings in forwards.values()
            )
            disk += sum(
                4 * n * max(plan.cards[need.backbone].widths.values()) for need, n in left.items()
            )
    return Estimate(embedded, decoded, seconds, disk)


def _forward_seconds(request: Request, plan: Plan, need: Need, n: int) -> float:
    """By what the last race on this device measured; before one, by the card's speed of eager PyTorch and what faster runtimes gain at the least."""
    memory = speed_memory(
        unpooled(need.backbone),
        request.cache,
        request.device,
        request.precision,
        offline=request.offline,
    )
    known = recall(memory) if request.runtime != "eager" else None
    eager = n * plan.cards[need.backbone].seconds_per_image
    if known and request.runtime in ("auto", known.runtime):
        alone = min(eager, n * known.seconds_per_image)
    else:
        alone = foreseen(eager, request.runtime, request.device, request.precision)
    return alone / (1 + len(request.more_devices))


def _images_left(request: Request, store: FeatureStore, plan: Plan, need: Need) -> int:
    _, split = whole_of(need)
    return len(split) if request.fresh else len(split) - store.begun(plan.key_of(need), len(split))
