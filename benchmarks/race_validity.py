"""How often a race drops a backbone wrongly, and how much it saves: simulated backbones.

    python benchmarks/race_validity.py [--quick] [--races N] [--seed N]

20 backbones answer 1,000 examples. Latent normals, correlated between backbones by 0 to 0.99,
decide which examples each knows; of the others it guesses the class, among 2 to 100. A look follows
every block of 20 examples, N races (default: 1,000) each of the 12 settings, for two claims:

- about the population. In an equal pool, any dropped backbone is an error; in an unequal one, with
  accuracies about 2 points apart, dropping the best is.
- about the test set alone: dropping what has the most examples right is the error. A quarter of the
  races, since it takes longer.

`wrong` is the largest share of races with an error over the settings, `wrong_on_average` the mean;
`best_of_sample` is the largest share that drop the backbone with the most examples right of all.
The last line is JSON.
"""

import argparse
import json

import numpy as np
from scipy.special import ndtr

from bob.statistics.racing import race_matrix

BACKBONES, EXAMPLES, BLOCK, ERROR = 20, 1000, 20, 0.05
SETTINGS = [
    (classes, correlation) for classes in (2, 10, 100) for correlation in (0.0, 0.5, 0.9, 0.99)
]


def predictions(
    rng: np.random.Generator, accuracy: np.ndarray, classes: int, correlation: float
) -> np.ndarray:
    """Return (EXAMPLES, K) whether predictions of correlated backbones are right.

    A Gaussian copula gives each pair of backbones latent normals of that correlation; a backbone is
    right below its quantile, and otherwise guesses among the classes, one in `classes` being right.
    """
    shared = rng.standard_normal((EXAMPLES, 1))
    own = rng.standard_normal((EXAMPLES, len(accuracy)))
    latent = ndtr(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
    knows = (accuracy - 1 / classes) / (1 - 1 / classes)
    guess = rng.random((EXAMPLES, len(accuracy))) < 1 / classes
    return (latent < knows) | guess


def races(count: int, seed: int, finite: bool, unequal: bool) -> dict[str, float]:
    """Return the largest shares over all settings, and the mean share of evaluations."""
    worst_any = worst_best = any_of_all = 0.0
    evaluations = []
    total = EXAMPLES if finite else None
    for classes, correlation in SETTINGS:
        rng = np.random.default_rng([seed, classes, int(100 * correlation), finite, unequal])
        any_dropped = best_dropped = 0
        for _ in range(count):
            steps = np.arange(BACKBONES) if unequal else np.zeros(BACKBONES)
            accuracy = 1 / classes + (1 - 1 / classes) * (0.85 - 0.02 * steps)
            right = predictions(rng, accuracy, classes, correlation)
            looks = range(BLOCK, EXAMPLES + 1, BLOCK)
            result = race_matrix(right, looks, ERROR, total=total)
            sums = right.sum(0)
            if finite:
                wrong = [d for d in result.drops if sums[d.backbone] == sums.max()]
            else:
                wrong = [d for d in result.drops if not unequal or d.backbone == 0]
            any_dropped += bool(wrong)
            best_dropped += sums.argmax() in {drop.backbone for drop in result.drops}
            evaluations.append(result.evaluations / right.size)
        any_of_all += any_dropped / count / len(SETTINGS)
        worst_any = max(worst_any, any_dropped / count)
        worst_best = max(worst_best, best_dropped / count)
    return {
        "wrong": worst_any,
        "wrong_on_average": round(any_of_all, 4),
        "best_of_sample": worst_best,
        "evaluations": round(float(np.mean(evaluations)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="20 races per setting")
    parser.add_argument("--races", type=int, default=1000, help="races per setting (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    count = 20 if arguments.quick else arguments.races
    results = {}
    for target, finite in (("population", False), ("test-set", True)):
        for pool, unequal in (("equal", False), ("unequal", True)):
            results[f"{target}, {pool}"] = shares = races(
                max(1, count // 4) if finite else count, arguments.seed, finite, unequal
            )
            print(f"{target}, {pool}: {shares}", flush=True)
    print(json.dumps({"races": count, "settings": len(SETTINGS), **results}))


if __name__ == "__main__":
    main()
