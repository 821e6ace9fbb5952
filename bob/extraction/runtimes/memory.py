"""Settings of glibc's allocator, so that it keeps the memory that a forward pass frees.

By default it returns every large block to the system at once and requests it again a moment later,
and each page is then cleared anew: for ResNet-50 in batches of 4 that is 40,000 page faults in 6
batches, and more time than the convolutions take.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of malloc.h."""
MAX_FREE_BYTES = 512 * 2**20
"""Free memory that the process keeps; what a loaded backbone is allowed for activations."""
MAX_BLOCK_BYTES = 32 * 2**20
"""Largest block that is kept: the maximum that glibc allows."""


def release_freed_memory() -> None:
    """Return the memory that was freed to the system, where the allocator can."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def keep_freed_memory() -> bool:
    """Let the allocator keep freed memory; return whether it can. Repeating it is harmless."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return (
        mallopt is not None
        and bool(mallopt(M_MMAP_THRESHOLD, MAX_BLOCK_BYTES))
        and bool(mallopt(M_TRIM_THRESHOLD, MAX_FREE_BYTES))
    )
