"""Name, threads and peak memory of a device, so that costs can be compared."""

import platform
import re
import resource
import sys
from functools import lru_cache
from pathlib import Path

import torch


@lru_cache
def device_name(device: torch.device) -> str:
    """Return the model of the graphics card or of the processor."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        facts = ""
    model = re.search(r"^model name\s*:\s*(.+)$", facts, flags=re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()


def threads(device: torch.device) -> int:
    """Return the number of processor threads that a forward pass uses."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def peak_mib(device: torch.device) -> float:
    """Return the peak memory so far: of the process on a CPU, else of the device's tensors."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit / 2**20
