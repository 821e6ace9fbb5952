"""`run --tasks all` on the sample datasets with stored features: processor seconds by task.

    python benchmarks/all_tasks.py [--backbones LIST] [--datasets LIST] [--tasks LIST] [--cache DIR]
                                   [--stored] [--input-px N]

Runs the command twice, with an empty folder of results each time: the first run stores the features
that the cache lacks, the second is measured; `--stored` leaves out the first. Most rows to embed
are of altered images and further layers (`corruptions`, `resize_normalise`, `anomaly_levels`).
`--input-px 64` embeds smaller crops in a fraction of the time; the scores of these cost the same,
as their width is that of the usual ones. Prints the processor
seconds of each task on each dataset, all backbones together, then those of the plan, the
leaderboard and the whole command. With OMP_NUM_THREADS=1 all is computed in this process; with more
threads, further processes score, and only the sums are complete. The last line is JSON.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bob.cli import main as bob_bench
from bob.commands import run
from bob.engine.scoring import Scoring
from bob.registry import load_registry
from bob.specs.yaml import plain

BACKBONES = "efficientnet_lite0_in1k,efficientnet_lite1_in1k"
DATASETS = "elpv,openmoji,textiles"
LEAST_SHOWN = 0.05
"""Processor seconds of a task, all datasets together, below which its line is left out."""


class Meter:
    """Processor seconds of the run of this process, by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)

    def timed(self, name: tuple[str, str], call: Callable[[], Any]) -> Any:
        """Return what a function returns, and count its processor seconds."""
        start = time.process_time()
        try:
            return call()
        finally:
            self.seconds[name] += time.process_time() - start

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Measure the cells, the plan and the leaderboard within the context."""
        with (
            self._measured(Scoring, "record_of", lambda _, cell: (cell.task, cell.dataset)),
            self._measured(run, "make_plan", lambda *_: ("plan", "")),
            self._measured(run, "publish", lambda *_: ("leaderboard", "")),
        ):
            yield

    def _measured(
        self, owner: object, name: str, label: Callable[..., tuple[str, str]]
    ) -> AbstractContextManager[Any]:
        """Replace a function of `owner` by one whose processor seconds are counted."""
        function = getattr(owner, name)

        def measured(*given: Any) -> Any:
            return self.timed(label(*given), lambda: function(*given))

        return patch.object(owner, name, measured)


def run_all(options: argparse.Namespace) -> None:
    """Run the command into an empty folder; its exit code must be 0."""
    arguments = ["run", "--quiet", "--datasets", options.datasets, "--tasks", options.tasks]
    if options.cache:
        arguments += ["--cache-dir", options.cache]
    with tempfile.TemporaryDirectory() as folder:
        names = options.backbones.split(",")
        if options.input_px:
            entries = smaller(names, options.input_px)
            registry = Path(folder) / "smaller.yaml"
            registry.write_text(json.dumps(entries))  # JSON is YAML
            names, arguments = [*entries], [*arguments, "--registry", str(registry)]
        arguments += ["--backbones", ",".join(names)]
        code = bob_bench([*arguments, "--results", str(Path(folder) / "results")])
    if code:
        sys.exit(f"the command ended with {code}")


def smaller(names: Sequence[str], input_px: int) -> dict[str, Any]:
    """Return entries of backbones that read crops of another size."""
    registered = load_registry().backbones
    entries = {}
    for name in names:
        values = plain(registered[name])
        entry = {key: values[key] for key in ("family", "loader", "architecture", "weights")}
        entries[f"{name}_{input_px}px"] = entry | {"preprocessing": {"input_px": input_px}}
    return entries


def processor_seconds() -> float:
    """Return the processor seconds of this process and of those that it has ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_table(seconds: Mapping[tuple[str, str], float]) -> None:
    """Print a line for each task, the longest first, with a column for each dataset."""
    datasets = sorted({dataset for _, dataset in seconds if dataset})
    tasks = {task for task, dataset in seconds if dataset}
    totals = {task: sum(seconds.get((task, each), 0.0) for each in datasets) for task in tasks}
    print(f"{'':18}" + "".join(f"{dataset:>26}" for dataset in datasets) + f"{'all':>8}")
    for task in sorted(tasks, key=lambda task: -totals[task]):
        if totals[task] >= LEAST_SHOWN:
            cells = [seconds.get((task, dataset)) for dataset in datasets]
            texts = "".join(f"{'–' if cell is None else f'{cell:.2f}':>26}" for cell in cells)
            print(f"{task:18}{texts}{totals[task]:8.2f}")
    print(f"{'all tasks':18}{'':{26 * len(datasets)}}{sum(totals.values()):8.2f}")


def main() -> None:
    """Run the command twice and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbones", default=BACKBONES)
    parser.add_argument("--datasets", default=DATASETS)
    parser.add_argument("--tasks", default="all")
    parser.add_argument("--cache", help="folder of stored features (default: the user's)")
    parser.add_argument("--input-px", type=int, help="side of crops (default: the backbones' own)")
    parser.add_argument("--stored", action="store_true", help="the cache has all features")
    options = parser.parse_args()
    if not options.stored:
        run_all(options)
    meter = Meter()
    wall, before = time.perf_counter(), processor_seconds()
    with meter.attached():
        run_all(options)
    totals = {"seconds": time.perf_counter() - wall, "processor": processor_seconds() - before}
    print_table(meter.seconds)
    for name in ("plan", "leaderboard"):
        totals[name] = meter.seconds[name, ""]
        print(f"{name}: {totals[name]:.1f} s of the processor")
    print(f"command: {totals['processor']:.1f} s of the processor, {totals['seconds']:.1f} s")
    by_cell = {f"{task}/{dataset}": s for (task, dataset), s in meter.seconds.items() if dataset}
    print(json.dumps({name: round(s, 2) for name, s in (totals | by_cell).items()}))


if __name__ == "__main__":
    main()
