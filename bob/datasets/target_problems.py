"""Whether the targets of images can be read: masks, depth maps, boxes and points."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from bob.datasets.dataset import Split
from bob.errors import DatasetError, first_line

PROBLEMS_NAMED = 20
"""Targets of a split whose problems are named, of more that have one."""


def target_problems(split: Split, workers: int) -> list[str]:
    """Read the targets of all images of a split; return what is wrong, image by image."""
    readers = list(_readers(split))

    def problem(i: int) -> str | None:
        try:
            for read in readers:
                read(i)
        except (DatasetError, OSError) as error:
            return first_line(error)
        return None

    if not readers:
        return []
    with ThreadPoolExecutor(workers) as pool:
        return [of for of in pool.map(problem, range(len(split))) if of is not None]


def _readers(split: Split) -> Iterator[Callable[[int], object]]:
    """Yield the functions from a position to the targets of an image."""
    for targets in (split.masks, split.depths, split.boxes, split.points):
        if targets is not None:
            yield targets.read
    if split.boxes is not None and split.boxes.masks is not None:
        yield split.boxes.masks
