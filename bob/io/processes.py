"""Identity of processes across hosts, containers and reuse of process ids.

A process id is unique only within one boot of one machine and one process-id namespace, and may be
reused after its process ends.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil


def this_process() -> dict[str, Any]:
    """Identify this process, as JSON-ready values."""
    return process_identity(os.getpid())


def process_identity(pid: int) -> dict[str, Any]:
    """Identify a process of this machine, as JSON-ready values."""
    import psutil  # on first use: commands that write nothing start faster

    return {"machine": this_machine(), "pid": pid, "born": _start_time(psutil.Process(pid))}


def process_is_gone(process: Mapping[str, Any]) -> bool:
    """Return whether a process ran on this machine and no longer does.

    False for processes of other machines, which cannot be seen from here.
    """
    import psutil

    if process.get("machine") != this_machine():
        return False
    try:
        running = psutil.Process(process["pid"])
        is_other = _start_time(running) != process["born"]
        return bool(is_other or running.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return False


@lru_cache
def this_machine() -> str:
    """Identify the host, its boot and the process-id namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def _stat(pid: int) -> str:
    """Return the kernel's line about a process, which holds its name in any encoding."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")


def _start_time(process: "psutil.Process") -> float:
    """Return when a process started, which distinguishes it from later processes with its id.

    Counted from the machine's boot where the system reports it, because the time of day jumps when
    a clock is set. Raises psutil.Error if there is no such process.
    """
    try:
        return float(_stat(process.pid).rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return process.create_time()
