"""What a device is called and how much of it is used: for costs that can be compared."""

import platform
import re
import resource
import sys
from functools import lru_cache
from pathlib import Path

import torch


@lru_cache
def device_name(device: torch.device) -> str:
    """The model of the graphics card or of the processor."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    try:
        found = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE
        )
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def threads(device: torch.device) -> int:
    """Processor threads that a forward pass uses."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def peak_mib(device: torch.device) -> float:
    """The largest memory so far: of the process on a CPU, else of the tensors on the device."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit / 2**20
