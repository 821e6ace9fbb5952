"""A sweep of the whole registry on a cluster: planning, a simulated run, and the leaderboard.

    python benchmarks/scale.py plan [--backbones 116] [--datasets 126] [--images 13.6e6]
    python benchmarks/scale.py simulate [--workers 1,8,64,256] [--images 13.6e6]
    python benchmarks/scale.py leaderboard FOLDER [--backbones 116] [--datasets 119]
    python benchmarks/scale.py arrays FOLDER

`plan` times planning, estimating, cutting into units and writing the plan. `simulate` lets the
conductor of real runs hand its units to simulated machines: forward passes take their measured time
in simulated time, loading a backbone 5 s, a cell 1 s; 2 % of the machines are lost per hour, with
the unit that they do, and replaced after 5 minutes. Efficiency is the time of all forward passes,
divided by workers and makespan. `leaderboard` writes synthetic records into FOLDER where it has
none, and times reading, ranking, writing and printing. `arrays` counts the files of its records,
and divides the time of reading per-example results into that of files and that of their content.
Processor seconds; no GPU is needed.
"""

import argparse
import gc
import io
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from bob.engine.conductor import conduct
from bob.engine.engine import SilentEngineListener
from bob.engine.estimate import estimate
from bob.engine.units import Unit, units
from bob.features.sharding import images_of
from bob.leaderboards.gather import gather
from bob.leaderboards.render.terminal import to_terminal
from bob.leaderboards.write import write_board
from bob.plan import Plan, Workspace, make_plan, read_plan
from bob.records.store import RecordStore
from tests.builders import synthetic_sweep
from tests.builders.large_plans import large_request
from tests.builders.simulated_engine import Costs, SimulatedEngine

T = TypeVar("T")


def measured(name: str, work: Callable[[], T]) -> T:
    """Do some work and print its processor time, and the peak memory of the process so far."""
    start = time.process_time()
    result = work()
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:>12}: {seconds:6.1f} CPU s, peak {peak:.2f} GiB", flush=True)
    return result


def plan_figures(backbones: int, datasets: int, images: int) -> None:
    """Print what planning costs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        large_request(Path(folder), backbones, datasets, images) as (request, workspace),
    ):
        plan = measured("plan", lambda: make_plan(request, workspace))
        work = measured("estimate", lambda: estimate(plan, workspace).work)
        made = measured(
            "units", lambda: list(units(plan, work.seconds_per_image, work.workers, 300.0))
        )
        text = measured("write", plan.to_json)
        measured("read", lambda: read_plan(text, "plan"))
        print(
            f"{len(plan.cells):,} cells, {len(plan.passes)} passes, {len(made):,} units; "
            f"plan {len(text) / 2**20:.0f} MiB, largest unit "
            f"{max(len(unit.model_dump_json()) for unit in made) / 2**10:.0f} kB"
        )


def simulate(
    backbones: int, datasets: int, images: int, workers: Sequence[int], seed: int = 0
) -> list[tuple[int, float]]:
    """Return the efficiency of a simulated run for each number of workers, and print it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        large_request(Path(folder), backbones, datasets, images) as (request, workspace),
    ):
        plan = make_plan(request, workspace)
        work = estimate(plan, workspace).work
        speeds = dict(work.seconds_per_image)
        total = sum(n * speeds[backbone] for (_, _, backbone), n in work.images.items())
        print(f"{total / 3600:,.0f} worker-hours of forward passes, {len(plan.cells):,} cells")
        print("workers  ideal h  makespan h  efficiency  losses  conductor CPU s")
        return [(n, _simulated(plan, workspace, speeds, total, n, seed)) for n in workers]


def _simulated(
    plan: Plan,
    workspace: Workspace,
    speeds: dict[str, float],
    total_seconds: float,
    workers: int,
    seed: int,
) -> float:
    engine = SimulatedEngine(workers, 4 * workers, Costs(speeds), _images, seed)
    start = time.process_time()
    for _ in conduct(plan, workspace, engine, SilentEngineListener(), sleep=lambda _: None):
        pass
    seconds = time.process_time() - start
    ideal = total_seconds / workers
    efficiency = ideal / engine.now
    print(
        f"{workers:7}  {ideal / 3600:7.1f}  {engine.now / 3600:10.1f}  {efficiency:10.3f}  "
        f"{engine.losses:6}  {seconds:15.0f}",
        flush=True,
    )
    return efficiency


def _images(unit: Unit) -> int:
    """Return the images that a unit embeds with each of its backbones."""
    (whole,) = unit.plan.passes
    return images_of(range(*unit.spans), whole.count) if unit.spans else whole.count


def leaderboard_figures(folder: Path, backbones: int, datasets: int) -> None:
    """Print what the leaderboard of synthetic records costs."""
    if not (folder / "records").exists():
        with patch.object(os, "fsync", lambda handle: None):
            measured("records", lambda: synthetic_sweep.write(folder, backbones, datasets))
        print("(the peak memory below includes writing; run again for that of the leaderboard)")
    gc.disable()  # as the command does
    gathered = measured("read", lambda: gather([folder]))
    board = measured("rank", gathered.board)
    written = measured("write", lambda: write_board(board, folder))
    console = Console(file=io.StringIO(), width=120)
    measured("print", lambda: console.print(to_terminal(board)))
    print(f"{time.process_time():.1f} CPU s with imports; {len(gathered.records):,} records")
    for path in written:
        print(f"{path.stat().st_size / 2**20:9.2f} MiB  {path.name}")


def array_figures(folder: Path) -> None:
    """Print what files of per-example arrays cost, and what fewer of them would save."""
    store = RecordStore(folder)
    records = [record for record in store.read_all()[0] if record.arrays]
    paths = sorted(store.root.glob("*/*/*.safetensors"))
    json_files = sum(1 for _ in store.root.glob("*/*/*.json"))
    packs = {(record.dataset_name, record.backbone_name) for record in records}
    sizes = [path.stat() for path in paths]
    print(f"{json_files:,} JSON files, {len(paths):,} files of arrays, {len(packs):,} if packed")
    print(
        f"{sum(size.st_size for size in sizes) / 2**30:.2f} GiB of arrays, "
        f"{sum(size.st_blocks * 512 for size in sizes) / 2**30:.2f} GiB on the disk"
    )
    measured("all", lambda: [len(store.headline_arrays(record)) for record in records])
    measured("files alone", lambda: [len(path.read_bytes()) for path in paths])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("plan", "simulate", "leaderboard", "arrays"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--backbones", type=int, default=116)
    parser.add_argument("--datasets", type=int, default=None)
    parser.add_argument("--images", type=float, default=13.6e6)
    parser.add_argument("--workers", default="1,8,64,256")
    arguments = parser.parse_args()
    if arguments.what in ("leaderboard", "arrays"):
        if arguments.folder is None:
            parser.error(f"{arguments.what} needs a folder")
        if arguments.what == "arrays":
            array_figures(arguments.folder)
            return
        leaderboard_figures(arguments.folder, arguments.backbones, arguments.datasets or 119)
        return
    datasets, images = arguments.datasets or 126, int(arguments.images)
    if arguments.what == "plan":
        plan_figures(arguments.backbones, datasets, images)
    else:
        workers = [int(number) for number in arguments.workers.split(",")]
        simulate(arguments.backbones, datasets, images, workers)


if __name__ == "__main__":
    main()
