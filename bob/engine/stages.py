"""The order of work: small datasets first, and of the first one what is soon embedded."""

from collections.abc import Iterator, Mapping

from bob.engine.estimate import DECODE_SECONDS
from bob.plan import Plan

EARLY_SECONDS = 10.0
"""Time that the first stage's forward passes may take."""
DECODE_SHARE = 0.05
"""Largest share of the rest's time that decoding the images a second time may take."""


def stages(plan: Plan, seconds_per_image: Mapping[str, float], workers: int = 1) -> Iterator[Plan]:
    """Yield a plan in parts: passes and the cells that read them, each feature computed once.

    Datasets with few images come first. The backbones of the first one are divided, so that the
    baselines and the fastest backbone are scored after seconds, where decoding the images twice
    costs little. `seconds_per_image` is the time of each backbone's forward pass, and `workers` is
    the number of decoding threads.
    """
    embedded: set[str] = set()
    for number, dataset in enumerate(_by_size(plan)):
        of_dataset = plan.of_dataset(dataset)
        parts = [of_dataset]
        if number == 0 and (early := _early(of_dataset, seconds_per_image, workers)):
            others = {cell.backbone for cell in of_dataset.cells} - early
            parts = [of_dataset.of_backbones(early), of_dataset.of_backbones(others)]
        for part in parts:
            yield part.without(embedded)
            embedded |= {digest for cell in part.cells for digest in cell.features}


def _by_size(plan: Plan) -> list[str]:
    """Return the datasets of open cells, those with the fewest images to embed first."""
    images = {
        name: sum(whole.count for whole in plan.of_dataset(name).passes)
        for name in plan.datasets_to_do()
    }
    return sorted(images, key=lambda name: images[name])


def _early(plan: Plan, seconds_per_image: Mapping[str, float], workers: int) -> set[str]:
    """Return the backbones of a dataset to score first; empty where dividing does not pay."""
    images = sum(whole.count for whole in plan.passes)
    backbones = dict.fromkeys(cell.backbone for cell in plan.cells)
    seconds = {name: images * seconds_per_image.get(name, 0.0) for name in backbones}
    is_baseline = {name: plan.backbones[name].family == "baseline" for name in backbones}
    early: set[str] = set()
    for name in sorted(backbones, key=lambda each: seconds[each]):
        has_candidate = any(not is_baseline[each] for each in early)
        if has_candidate and sum(seconds[each] for each in early) + seconds[name] > EARLY_SECONDS:
            continue
        early.add(name)
    rest = sum(seconds[name] for name in backbones if name not in early)
    decoding = images * DECODE_SECONDS / workers
    return early if decoding <= DECODE_SHARE * rest else set()
