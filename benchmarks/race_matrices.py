"""How many evaluations a race of a matrix of predictions needs: simulated answers.

    python benchmarks/race_matrices.py [--quick] [--seeds N]

50 models answer 10,000 examples by item response theory: a model of ability a has an example of
discrimination s and difficulty d right with a probability of 1 / (1 + exp(-s (a - d))), so that all
find the same examples hard. Accuracies are uniform in a range. Printed are, for each range and
margin, the share of evaluations that each of N races (default: 4) needs, and how often the model
with the most examples right survives. The last line is JSON.
"""

import argparse
import json

import numpy as np

from bob.statistics.races import race_matrix, random_order

RANGES, MARGINS = ((0.6, 0.9), (0.7, 0.8), (0.85, 0.88)), (0.0, -0.005)


def answers(
    rng: np.random.Generator, shape: tuple[int, int], low: float, high: float
) -> np.ndarray:
    """Return (N, K) right answers."""
    examples, models = shape
    wanted = rng.uniform(low, high, models)
    slope, difficulty = rng.lognormal(0, 0.4, (examples, 1)), rng.normal(0, 1.2, (examples, 1))
    grid = np.linspace(-6, 6, 601)
    accuracy = (1 / (1 + np.exp(-slope * (grid - difficulty)))).mean(0)
    ability = np.interp(wanted, accuracy, grid)
    return rng.random(shape) < 1 / (1 + np.exp(-slope * (ability - difficulty)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="20 models, 1,000 examples")
    parser.add_argument("--seeds", type=int, default=4, help="races (default: 4)")
    arguments = parser.parse_args()
    shape = (1000, 20) if arguments.quick else (10_000, 50)
    looks = range(shape[0] // 100, shape[0] + 1, shape[0] // 100)
    results = {}
    for (low, high), margin in [(each, m) for each in RANGES for m in MARGINS]:
        shares, survives = [], 0
        for seed in range(arguments.seeds):
            right = answers(np.random.default_rng(seed), shape, low, high)
            best = int(right.sum(0).argmax())
            result = race_matrix(right[random_order(shape[0], seed)], looks, 0.05, margin)
            shares.append(round(result.evaluations / right.size, 3))
            survives += best in result.survivors
        name = f"{low:g} to {high:g}, indifference {margin:g}"
        results[name] = {"evaluations": shares, "best_survives": survives}
        print(f"{name}: {results[name]}", flush=True)
    print(json.dumps({"races": arguments.seeds, **results}))


if __name__ == "__main__":
    main()
