"""What a forward pass takes, counted operation by operation as eager PyTorch carries it out."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context manager that carries out every operation by its method `run`.

    In inference mode, composite operations arrive undecomposed; `run` gets their steps.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether PyTorch's compiler, which takes a second to load, is told to skip this code."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = kwargs or {}
        with self:
            result = func.decompose(*args, **keywords)
        return self.run(func, args, keywords) if result is NotImplemented else result

    def run(self, func: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """Carry out an operation and return its result."""
        raise NotImplementedError


class LiveTensors(Operations):
    """Counts the storages which operations allocate, until they are freed.

    Their peak is the most bytes of tensors that are alive at once: the same from run to run and on
    every device. Not included: weights and inputs, the scratch memory of kernels (a convolution's
    workspace), and memory that an allocator caches.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._live: dict[int, int] = {}
        """Address of a storage → its bytes."""

    def run(self, func: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
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


class FlopCounter(Operations):
    """Counts 2 per multiply-add of convolutions, matrix products and attention.

    By the formulas of PyTorch's `FlopCounterMode`, which would load its compiler.
    """

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry  # loads Triton where it is installed

        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self._formulas = flop_registry

    def run(self, func: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        result = func(*args, **keywords)
        if formula := self._formulas.get(func._overloadpacket):
            self.flops += formula(*args, **keywords, out_val=result)
        return result
