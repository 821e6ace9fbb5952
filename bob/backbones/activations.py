"""The memory that a forward pass needs beside the weights: the most bytes of tensors that are alive at once.

Counted tensor by tensor as eager PyTorch makes and frees them, so that the figure is the same from run to run and on every device. Not in it: what a
kernel takes for itself while it works (a convolution's scratch memory), and what an allocator keeps beyond that.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While entered, counts the storages that operations make, until each is freed. Those of weights and inputs are not counted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._held: dict[int, int] = {}
        """Address of a storage → its bytes."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        with (
            self
        ):  # in inference mode composite operations come whole; their steps are what allocates
            steps = func.decompose(*args, **named)
        if steps is not NotImplemented:
            return steps
        given = {
            tensor.untyped_storage().data_ptr()
            for tensor in tree_leaves((args, named))
            if isinstance(tensor, Tensor)
        }
        made = func(*args, **named)
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor, given)
        self.peak_bytes = max(self.peak_bytes, sum(self._held.values()))
        return made

    def _count(self, tensor: Tensor, given: set[int]) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address and address not in given and address not in self._held:
            self._held[address] = storage.nbytes()
            weakref.finalize(storage, self._held.pop, address).atexit = False
