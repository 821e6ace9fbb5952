"""Races on real features: who survives, and how many images that takes; needs the extra `samples`.

    python benchmarks/race_features.py [--quick] [--datasets NAMES] [--tasks NAMES] [--seeds N]
                                       [--first-seed N] [--limit N] [--sides-px N,N]
                                       [--indifferences X,X] [--certify drops,best,tie]
                                       [--cache FOLDER]

25 backbones from the sample weights (EfficientNet-Lite0 to 2 at 64 and 96 px, read at the last
layer and after three earlier stages; open_nsfw, whose graph has one input size) and three baselines
run in full on each dataset; then they race, with N seeds of the order of images, each indifference
(default: 0) and each of what is certified (default: drops). Features and the values of scored
images are stored in the cache folder, and races read them. Printed for each task and dataset:

- `winner_survives`, the share of races in which the winner of the full run survives, and
  `winner_or_tie_survives`, in which it does or a backbone does that the leaderboard of the full run
  shows as statistically tied with it (exact McNemar, or sign flips for retrieval, after Holm's
  correction for the comparisons with the winner); `uncorrected_tie_survives` is the same without
  the correction;
- `zone`, the mean of the zones that races state;
- `median_images` and `most_images`, the images × backbones embedded, of those of the full run;
- `tied`, the backbones that the test without correction does not tell from the best on all images
  that a race scores, if it drops nothing (that of the first seed), and `tied_images`, what the
  first step and the full run of these alone would embed: the share of an oracle that knows them;
- `informed_images`, the share of a bettor who knows from the same images the best rival of each
  backbone and the best constant stake on it, and drops the backbone at evidence of 1 / 0.05: about
  how soon any sequential test of a single backbone can decide (Wald 1945).

The last line is JSON.
"""

import argparse
import contextlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
from scipy.optimize import minimize_scalar

from bob.cli import main as bob_bench
from bob.cli.parser import build_parser
from bob.commands.run import make_request
from bob.engine.engine import SilentEngineListener
from bob.engine.local import LocalEngine
from bob.engine.racing.contest import Contest, ContestResult, RaceSettings
from bob.engine.racing.schedule import RaceStep
from bob.errors import NotApplicableError, UndefinedError
from bob.features.store import Features
from bob.leaderboards.per_example import per_example_values
from bob.numerics.arrays import Doubles
from bob.numerics.memo import Memo
from bob.plan import Plan, Workspace, make_plan, make_workspace
from bob.registry import load_registry
from bob.specs.yaml import plain
from bob.statistics.paired_tests import choose_test, p_values
from bob.statistics.racing import Certified
from bob.statistics.ties import holm

LITES = [f"efficientnet_lite{i}_in1k" for i in range(3)]
BASELINES = "channel_statistics,raw_pixels,random_convolution"
NSFW = "resnet50thin_opennsfw"
SIDES_PX = (64, 96)
OUTPUTS = ("default", "mean_patch@-2", "mean_patch@-3", "mean_patch@-4")
ERROR = 0.05
FULL_SPLITS: Memo[Features] = Memo(256)
"""Features of full splits, which all races read."""
QUICK_SIDES_PX, QUICK_OUTPUTS = (64,), ("default", "mean_patch@-3")


def write_entries(path: Path, sides_px: Sequence[int], outputs: Sequence[str]) -> list[str]:
    """Write the registry file of the variants, and return their names."""
    registry = load_registry()
    entries = {}
    for lite in LITES:
        values = plain(registry.backbones[lite])
        shared = {name: values[name] for name in ("family", "loader", "architecture", "weights")}
        for side_px in sides_px:
            for output in outputs:
                name = f"{lite.removesuffix('_in1k')}_{side_px}px_{output.replace('@', '')}"
                variant = {"preprocessing": {"input_px": side_px}, "output": output}
                entries[name] = {**shared, **variant}
    path.write_text(json.dumps(entries))  # JSON is YAML
    return list(entries)


def full_values(plan: Plan, workspace: Workspace, task: str) -> dict[str, Doubles]:
    """Return (N,) right answers of each backbone in the full run."""
    records = workspace.places.records()
    values = {}
    for cell in plan.done:
        if cell.task == task:
            record = records.find(cell.task, cell.dataset, cell.backbone, cell.key)
            assert record is not None
            of_record = per_example_values(record, records.headline_arrays(record))
            assert of_record is not None
            values[cell.backbone] = of_record
    return values


@dataclass(eq=False)
class RememberedContest(Contest):
    """A race that reads the values of images that an earlier race scored with the same probes."""

    folder: Path = Path()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.blocks.full = FULL_SPLITS
        name = f"{self.task.name}-{self.dataset}-{self.settings.seed}.npz"
        self._path, self._is_changed = self.folder / name, False
        self._keys = {cell.backbone: cell.key for cell in self.cells}
        self._values_of: dict[str, Doubles] = {}
        if self._path.exists():
            with np.load(self._path) as stored:
                self._values_of = dict(stored)

    def values_of(
        self, backbone: str, fitted: Mapping[str, int], scored: Mapping[str, range]
    ) -> Doubles:
        ranges = {split: (images.start, images.stop) for split, images in scored.items()}
        key = f"{self._keys[backbone]} {dict(fitted)} {ranges}".replace("/", "")
        if key not in self._values_of:
            self._values_of[key] = super().values_of(backbone, fitted, scored)
            self._is_changed = True
        return self._values_of[key]

    def save(self) -> None:
        """Keep all values for further races."""
        if self._is_changed:
            self.folder.mkdir(parents=True, exist_ok=True)
            np.savez(self._path, **self._values_of)


def images(contest: Contest, result: ContestResult) -> float:
    """Return the share of images × backbones that a race and the survivors' full run embed."""
    full = sum(contest.counts.values())
    dropped = sum(each.step.train + each.step.test for each in result.dropped)
    return (dropped + full * len(result.survivors)) / (full * len(contest.cells))


def tied_images(tied: int, backbones: int, steps: Sequence[RaceStep], full: int) -> float:
    """Return the share of images that are embedded if all but the tied leave after the first."""
    first = steps[0].train + steps[0].test if steps else full
    return (tied * full + (backbones - tied) * first) / (backbones * full)


def scored_values(contest: Contest) -> Doubles:
    """Return (K, N) the values of all images that a race scores if it drops nothing."""
    steps: list[Doubles] = []
    for step in contest.steps:
        with contextlib.suppress(UndefinedError, NotApplicableError):
            of_step = [contest.values_of(n, step.fitted, step.scored) for n in contest.names]
            steps.append(np.stack(of_step))
    return np.concatenate(steps, axis=1)


def informed_images(values: Doubles, full: int, margin: float) -> float:
    """Return the mean share of images after which each row of values (K, N) can be dropped.

    With the stake b that lets the logarithm of the evidence grow fastest, it grows by g = max_b
    mean log(1 + b (d - margin) / (1 + margin)) an image; -log(0.05) / g images are needed.
    """
    shares = []
    for own in values:
        gains = (values - own - margin) / (1 + margin)
        rates = [_growth(gain) for gain in gains[(values != own).any(1)] if gain.mean() > 0]
        needed = -np.log(ERROR) / max(rates) if rates else np.inf
        shares.append(min(1.0, needed / full))
    return float(np.mean(shares))


def _growth(gains: Doubles) -> float:
    """Return the largest mean logarithm of 1 + b gains over stakes b."""
    best = minimize_scalar(
        lambda b: -np.log1p(b * gains).mean(), bounds=(0, 0.999), method="bounded"
    )
    return max(1e-12, -float(best.fun))


def p_of_pairs(values: Doubles) -> Doubles:
    """Return (K, K) p-values of all pairs of backbones, of values (K, N)."""
    return p_values(values, choose_test(values, draws=False))


def races(
    plan: Plan,
    workspace: Workspace,
    task: str,
    seeds: Sequence[int],
    settings: RaceSettings,
    folder: Path,
) -> dict[str, float]:
    """Race the backbones of a plan whose cells are done, and compare with the full run.

    `settings` are those of every race but for its seed.
    """
    of_names = full_values(plan, workspace, task)
    names, values = list(of_names), np.stack(list(of_names.values()))
    winner = int(values.mean(1).argmax())
    p = np.delete(p_of_pairs(values)[winner], winner)
    others = np.delete(names, winner)
    tied, uncorrected = ({names[winner], *others[each >= ERROR]} for each in (holm(p), p))
    cells = [cell for cell in plan.done if cell.task == task]
    survives, ties, uncorrected_ties, shares, survivors, zones = [], [], [], [], [], []
    for seed in seeds:
        contest = RememberedContest(
            plan,
            cells,
            workspace,
            LocalEngine(workspace),
            SilentEngineListener(),
            replace(settings, seed=seed),
            report=lambda *_: None,
            folder=folder,
        )
        result = contest.run()
        if seed == seeds[0]:
            scored = scored_values(contest)
        contest.save()
        left = {cell.backbone for cell in result.survivors}
        survives.append(names[winner] in left)
        ties.append(bool(left & tied))
        uncorrected_ties.append(bool(left & uncorrected))
        zones.append(-result.margin)
        shares.append(images(contest, result))
        survivors.append(len(left))
    full = sum(contest.counts.values())
    from_best = p_of_pairs(scored)[scored.mean(1).argmax()]
    inseparable = int((from_best >= ERROR).sum())
    return {
        "backbones": len(names),
        "races": len(seeds),
        "winner_survives": float(np.mean(survives)),
        "winner_or_tie_survives": float(np.mean(ties)),
        "uncorrected_tie_survives": float(np.mean(uncorrected_ties)),
        "zone": round(float(np.mean(zones)), 4),
        "median_images": round(median(shares), 3),
        "most_images": round(max(shares), 3),
        "median_survivors": median(survivors),
        "tied": inseparable,
        "tied_images": round(tied_images(inseparable, len(names), contest.steps, full), 3),
        "informed_images": round(informed_images(scored, full, -zones[0]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="10 backbones, 160 images, 3 seeds")
    parser.add_argument("--datasets", default="elpv,openmoji,textiles")
    parser.add_argument("--tasks", default="knn,linear")
    parser.add_argument("--seeds", type=int, default=30, help="races per dataset (default: 30)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the races (default: 0)")
    parser.add_argument("--limit", type=int, help="images per split (default: all)")
    parser.add_argument("--sides-px", help="input sizes of the variants (default: 64,96)")
    parser.add_argument("--indifferences", default="0", help="margins of the races (default: 0)")
    parser.add_argument("--certify", default="drops", help="drops, best, tie (default: drops)")
    parser.add_argument("--cache", type=Path, help="folder of features (default: temporary)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        sides_px: tuple[int, ...] = QUICK_SIDES_PX if arguments.quick else SIDES_PX
        if arguments.sides_px:
            sides_px = tuple(int(side) for side in arguments.sides_px.split(","))
        outputs = QUICK_OUTPUTS if arguments.quick else OUTPUTS
        names = write_entries(cache / "entries.yaml", sides_px, outputs)
        limit = arguments.limit or (160 if arguments.quick else None)
        words = [
            *("run", "--registry", str(cache / "entries.yaml"), "--device", "cpu"),
            *("--backbones", ",".join([*names, NSFW, BASELINES]), "--datasets", arguments.datasets),
            *("--tasks", arguments.tasks, "--results", str(cache / "results")),
            *("--cache-dir", str(cache), *(("--limit", str(limit)) if limit else ())),
        ]
        if bob_bench(words):
            raise SystemExit("the full run has failures; see above")
        results = {}
        for dataset in arguments.datasets.split(","):
            of_dataset = [dataset if word == arguments.datasets else word for word in words]
            request = make_request(build_parser().parse_args(of_dataset))
            workspace = make_workspace(request)
            plan = make_plan(request, workspace)
            count = 3 if arguments.quick else arguments.seeds
            seeds = range(arguments.first_seed, arguments.first_seed + count)
            margins = [float(margin) for margin in arguments.indifferences.split(",")]
            claims = cast(list[Certified], arguments.certify.split(","))
            for task, margin, claim in product(arguments.tasks.split(","), margins, claims):
                name = f"{task}/{dataset}, indifference {margin:g}, certify {claim}"
                settings = RaceSettings(ERROR, margin, certified=claim)
                results[name] = races(plan, workspace, task, seeds, settings, cache / "values")
                print(f"{name}: {results[name]}", flush=True)
    print(json.dumps({"limit": limit, **results}))


if __name__ == "__main__":
    main()
