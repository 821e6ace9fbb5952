"""The order of work: datasets that decode fast first, and in the first one the fast backbones."""

import itertools
from collections.abc import Iterator, Mapping

from bob.engine.work import decode_seconds
from bob.plan import Plan

EARLY_SECONDS = 10.0
"""Longest time of the first stage's forward passes, without those of its fastest backbone."""
DECODE_SHARE = 0.05
"""Largest share of the later forward passes' time that decoding images twice may take."""


def stages(plan: Plan, seconds_per_image: Mapping[str, float], workers: int = 1) -> Iterator[Plan]:
    """Yield a plan in parts: passes and the cells that read them, each feature computed once.

    Datasets come in ascending order of their decoding time. The backbones of the first one are
    divided if decoding its images twice costs a small share of the run: its fastest backbone and
    the baselines are then scored after seconds. `seconds_per_image` is the time of each backbone's
    forward pass, and `workers` is the number of decoding threads.
    """
    embedded: set[str] = set()
    by_dataset = plan.by_dataset()
    smallest_first = sorted(by_dataset, key=lambda name: _decoding(by_dataset[name]))
    for number, dataset in enumerate(smallest_first):
        of_dataset = by_dataset[dataset]
        parts = [of_dataset]
        if number == 0 and (early := _early(plan, of_dataset, seconds_per_image, workers)):
            others = {cell.backbone for cell in of_dataset.cells} - early
            parts = [of_dataset.of_backbones(early), of_dataset.of_backbones(others)]
        for part in parts:
            yield part.without_outputs(embedded)
            embedded |= {digest for cell in part.cells for digest in cell.features}


def _images(plan: Plan) -> int:
    """Return the number of images to embed."""
    return sum(image_pass.count for image_pass in plan.passes)


def _decoding(plan: Plan) -> float:
    """Return the core-seconds to decode the images to embed."""
    return sum(
        image_pass.count * decode_seconds(plan.datasets.get(image_pass.dataset))
        for image_pass in plan.passes
    )


def _early(
    plan: Plan, of_dataset: Plan, seconds_per_image: Mapping[str, float], workers: int
) -> set[str]:
    """Return the backbones to score first on a dataset; none if dividing costs too much.

    They are the fastest backbone that is no baseline, and others within EARLY_SECONDS.
    """
    dataset = of_dataset.cells[0].dataset
    images = _images(of_dataset)
    seconds = {
        cell.backbone: images * seconds_per_image.get(cell.backbone, 0.0)
        for cell in of_dataset.cells
    }
    fastest_first = sorted(seconds, key=lambda name: seconds[name])
    baselines = [name for name in fastest_first if plan.backbones[name].family == "baseline"]
    others = [name for name in fastest_first if name not in baselines]
    measured = (name for name in others if seconds[name])
    early = {*itertools.islice(measured, 1)}
    left = EARLY_SECONDS
    for name in baselines + others:
        if name not in early and seconds[name] <= left:
            early.add(name)
            left -= seconds[name]
    later = sum(
        image_pass.count * seconds_per_image.get(forward.backbone, 0.0)
        for image_pass in plan.passes
        for forward in image_pass.forwards
        if image_pass.dataset != dataset or forward.backbone not in early
    )
    is_divided = len(early) < len(seconds)
    decoding = _decoding(of_dataset) / workers
    return early if is_divided and decoding <= DECODE_SHARE * later else set()
