"""Parallelism for computations that consist of many short steps.

Threads inside each small product meet at a barrier thousands of times a second. Where another
process keeps a core busy, every barrier waits for a time slice (measured: ten times slower).
Therefore each worker takes its own rows and runs its products on one thread; workers synchronise
once per pass.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import TypeVar

import torch

Item = TypeVar("Item")
StripeResult = TypeVar("StripeResult")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of torch's intra-op threads within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread(when: bool = True) -> AbstractContextManager[None]:
    """Run torch on one thread within the context, if `when` holds."""
    return torch_threads(1) if when else nullcontext()


def map_stripes(
    function: Callable[[Sequence[Item]], StripeResult], items: Sequence[Item], workers: int
) -> list[StripeResult]:
    """Apply `function` to contiguous stripes of `items` in parallel, one stripe per worker.

    Results are in the order of the stripes.
    """
    count = min(workers, len(items))
    if count < 2:
        return [function(items)]
    cuts = [len(items) * i // count for i in range(count + 1)]
    stripes = [items[start:stop] for start, stop in pairwise(cuts)]
    with one_thread(), ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, stripes))
