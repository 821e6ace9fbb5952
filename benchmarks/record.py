"""Run a benchmark on a quiet machine and keep what it prints, for `benchmarks/README.md`.

    python benchmarks/record.py [--threads N] [--busy] knn.py --quick

The script runs with `--threads` threads (1 unless it says otherwise) on as many cores. A machine on
which others keep more than a quarter of a core busy is refused; `--busy` runs there, and
the page says so. `benchmarks/runs/` has a file for each command, from which
`python benchmarks/report.py` writes the page.
"""

import argparse
import datetime
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bob.extraction.machine_load import DISTURBING_CORES, LoadMeter

HERE = Path(__file__).parent
RUNS = HERE / "runs"
QUIET_SECONDS = 3.0
"""Time for which the machine is watched before a run."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> None:
    """Record one command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--busy", action="store_true", help="run on a busy machine, and say so")
    parser.add_argument("script", help="a file of this folder")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    before = cores_of_others()
    if before > DISTURBING_CORES and not options.busy:
        parser.error(f"others keep {before:.1f} cores busy: wait, or use --busy.")
    run = record(options.script, options.arguments, options.threads)
    RUNS.mkdir(exist_ok=True)
    path = RUNS / f"{slug(run['command'])}.json"
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"recorded in {path.relative_to(HERE.parent)}")


def cores_of_others() -> float:
    """Return how many cores others keep busy."""
    meter = LoadMeter()
    time.sleep(QUIET_SECONDS)
    return meter.read().others


def record(script: str, arguments: list[str], threads: int) -> dict[str, Any]:
    """Run a script of this folder and return what it printed, and what it took."""
    command = [sys.executable, str(HERE / script), *arguments]
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": "."}
    cores = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_getaffinity") else []
    meter, start = LoadMeter(), time.perf_counter()
    used_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        command, cwd=HERE.parent, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        if cores:
            os.sched_setaffinity(process.pid, cores)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(_without_paths(line.rstrip(), arguments))
    if process.returncode:
        sys.exit(f"{script} ended with {process.returncode}")
    seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - used_before.ru_utime - used_before.ru_stime
    # the children's time is busy time of others to the meter
    others = max(meter.read().others - processor / seconds, 0.0)
    return {
        "command": _without_paths(" ".join([script, *arguments]), arguments),
        "date": datetime.date.today().isoformat(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "cores_taken_by_others": round(others, 2),
        "printed": lines,
    }


def _without_paths(text: str, arguments: list[str]) -> str:
    """Return a text with FOLDER for absolute paths among the arguments and for temporary folders.

    They are of one machine.
    """
    for argument in arguments:
        if Path(argument).is_absolute():
            text = text.replace(argument, "FOLDER")
    return re.sub(re.escape(tempfile.gettempdir()) + r"/tmp\w+", "FOLDER", text)


def processor_name() -> str:
    """Return the model of the processor, as the system names it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return names[0] if names else platform.machine()


def slug(command: str) -> str:
    """Return the name of the file of a command."""
    return re.sub(r"[^a-z0-9]+", "_", command.lower().replace(".py", "")).strip("_")


if __name__ == "__main__":
    main()
