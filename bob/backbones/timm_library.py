"""The import of timm without PyTorch's compiler, which it takes along.

torchvision, which timm imports, refers to a function of the compiler, and timm marks functions that
are not to be compiled. To load the compiler takes twice the time of timm and torchvision, and an
embedding needs it for the runtime `compile` alone. It is loaded when it is first used.
"""

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch._compile import _disable_dynamo

from bob.io.garbage import collector_paused

COMPILER = "torch._dynamo.utils"
"""The module of the compiler that torchvision imports from."""


@functools.cache
def import_timm() -> Any:
    """Return the package timm, and with it import torchvision."""
    with collector_paused(), _compiler_deferred():
        import timm
    return timm


class _DeferredCompiler(ModuleType):
    """Stands for the compiler's module, and loads it when anything of it is used."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        return bool(importlib.import_module(COMPILER).is_compile_supported(device_type))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)


@contextlib.contextmanager
def _compiler_deferred() -> Iterator[None]:
    """Let modules that are imported refer to the compiler without loading it."""
    if COMPILER in sys.modules:
        yield
        return
    disable = torch.compiler.disable
    deferred = _DeferredCompiler(COMPILER)

    def disable_when_called(
        fn: Callable[..., Any] | None = None, recursive: bool = True, *, reason: str | None = None
    ) -> Any:
        """Mark a function as `torch.compiler.disable` does, which loads the compiler at once."""
        if fn is None or isinstance(fn, FunctionType):
            return _disable_dynamo(fn, recursive)
        return disable(fn, recursive, reason=reason)  # type: ignore[no-untyped-call]

    sys.modules[COMPILER] = deferred
    torch.compiler.disable = disable_when_called
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(COMPILER) is deferred:
            del sys.modules[COMPILER]
