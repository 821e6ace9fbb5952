"""Peak activation memory of a forward pass: the most bytes of tensors that are alive at once.

Counted tensor by tensor as eager PyTorch allocates and frees them, so that the figure is the same
from run to run and on every device. Not included: the weights, the scratch memory of kernels (a
convolution's workspace), and memory that an allocator caches.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context manager that counts the storages which operations allocate, until they are freed.

    Storages of weights and inputs are not counted.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._live: dict[int, int] = {}
        """Address of a storage → its bytes."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = kwargs or {}
        # In inference mode, composite operations arrive undecomposed; their steps allocate.
        with self:
            result = func.decompose(*args, **keywords)
        if result is not NotImplemented:
            return result
        inputs = {
            tensor.untyped_storage().data_ptr()
            for tensor in tree_leaves((args, keywords))
            if isinstance(tensor, Tensor)
        }
        result = func(*args, **keywords)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor, inputs)
        self.peak_bytes = max(self.peak_bytes, sum(self._live.values()))
        return result

    def _count(self, tensor: Tensor, inputs: set[int]) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address and address not in inputs and address not in self._live:
            self._live[address] = storage.nbytes()
            weakref.finalize(storage, self._live.pop, address).atexit = False
