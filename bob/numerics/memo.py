"""The last results of a pure function of arrays, for callers that do not know of each other."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from bob.numerics.search.chunks import slices

Result = TypeVar("Result")
BLOCK_ELEMENTS = 2**22
"""Numbers that are copied at once to be hashed."""


class Memo(Generic[Result]):
    """Keeps the results of the last calls, by the contents of their arguments."""

    def __init__(self, size: int) -> None:
        """Keep at most `size` results."""
        self.size = size
        self._results: OrderedDict[str, Result] = OrderedDict()

    def result(self, arguments: Sequence[Any], compute: Callable[[], Result]) -> Result:
        """Return the result for these arguments: a former one, or that of `compute`.

        Arguments are arrays, numbers, texts, None or tuples of these.
        """
        key = contents_digest(arguments)
        result = self._results.pop(key) if key in self._results else compute()
        self._results[key] = result
        while len(self._results) > self.size:
            self._results.popitem(last=False)
        return result

    def clear(self) -> None:
        """Forget all results."""
        self._results.clear()


def contents_digest(arguments: Sequence[Any]) -> str:
    """Return the hex digest (xxh3-128) of the types, shapes and contents of arguments.

    TypeError for an argument that is neither an array nor a plain value.
    """
    state = xxhash.xxh3_128()
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            state.update(f"array {argument.dtype.str} {argument.shape}\0".encode())
            for block in _blocks(argument):
                state.update(block)
        elif isinstance(argument, tuple):
            state.update(f"tuple {len(argument)} {contents_digest(argument)}\0".encode())
        elif argument is None or isinstance(argument, int | float | str):
            state.update(f"{argument!r}\0".encode())
        else:
            raise TypeError(f"an array, a number, a text or None is expected; got {argument!r}.")
    return state.hexdigest()


def _blocks(array: NDArray[Any]) -> Iterator[bytes]:
    """Yield the contents of an array in parts, whatever the layout of its rows."""
    rows = array if array.ndim else array[None]
    per_row = max(1, rows[:1].size)
    for part in slices(len(rows), BLOCK_ELEMENTS // per_row):
        yield rows[part].tobytes()
