"""How right forecasts from learning curves are, on curves whose continuation is known.

    bob-bench run --tasks learning_curve --results FOLDER ...
    python benchmarks/learning_curves.py --results FOLDER

For each pair of backbones on each dataset, the sizes up to an eighth of train forecast the
difference at all of train, eight times as many images; `bob-bench compare` forecasts ten times as
many as there are in the same way. Prints, by verdict, how often the order at an eighth turned, and
the share of 95 % intervals that hold the difference that was then measured. The last line is JSON.
"""

import argparse
import itertools
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from bob.leaderboards.gather import gather
from bob.outcomes import LearningCurve
from bob.statistics.learning_curves import forecast

HALVINGS = 3
"""Sizes above those that a forecast reads: 2^3 is eight."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, required=True)
    gathered = gather([parser.parse_args().results])
    curves: dict[str, dict[str, LearningCurve]] = defaultdict(dict)
    for record in gathered.records:
        outcome = next(iter(gathered.outcomes(record)), None)
        if isinstance(outcome, LearningCurve) and len(outcome.train_images) > HALVINGS + 1:
            curves[record.dataset_name][record.backbone_name] = outcome
    turned: dict[str, list[bool]] = {verdict: [] for verdict in ("turns", "stays", "open")}
    held, errors = list[bool](), list[float]()
    for by_backbone in curves.values():
        for a, b in itertools.combinations(by_backbone.values(), 2):
            sizes = a.train_images[:-HALVINGS]
            factor = a.train_images[-1] / sizes[-1]
            early = forecast(a.right[:, :-HALVINGS], b.right[:, :-HALVINGS], sizes, factor)
            measured = float(a.right[:, -1].mean() - b.right[:, -1].mean())
            turned[early.verdict].append(bool(np.sign(measured) != np.sign(early.now)))
            held.append(early.low <= measured <= early.high)
            errors.append(abs(early.later - measured))
    if not held:
        parser.error("no learning curves of two backbones and at least five sizes")
    for verdict, outcomes in turned.items():
        print(f"forecast {verdict}: {sum(outcomes)} of {len(outcomes)} orders turned")
    summary = {
        "pairs": len(held),
        "turned": {verdict: [sum(each), len(each)] for verdict, each in turned.items()},
        "in_interval": round(float(np.mean(held)), 3),
        "median_error_points": round(100 * float(np.median(errors)), 2),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
