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
from threadpoolctl import threadpool_limits

WORK_PER_THREAD = 1 << 27
"""Multiply-adds of a step from which a further thread saves time.

On two idle cores, a probe (1,280 features, 14 classes) takes 1.0 to 1.3 times as long with two
threads as with one up to 60 million multiply-adds a step, and 0.8 to 1.0 times with 130 million,
with 1.3 times the processor time. Beside a busy process two threads may take several times as much.
"""

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


@contextmanager
def one_computing_thread() -> Iterator[None]:
    """Run torch, and the BLAS and LAPACK of numpy and scipy, on one thread within the context.

    The limit of the latter is that of the process: other threads have it, too.
    """
    with one_thread(), threadpool_limits(1, "blas"):
        yield


def useful_threads(multiply_adds: float, available: int) -> int:
    """Return how many of the available threads a step of so many multiply-adds can use."""
    return max(1, min(available, int(multiply_adds / WORK_PER_THREAD)))


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
