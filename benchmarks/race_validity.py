"""How often a race drops a backbone wrongly, and how much it saves: simulated backbones.

    python benchmarks/race_validity.py [--quick] [--races N] [--seed N]

20 backbones answer 1,000 examples. Latent normals, correlated between backbones by 0 to 0.99,
decide which examples each knows; of the others it guesses the class, among 2 to 100. A look follows
every block of 20 examples, N races (default: 1,000) each of the 12 settings, for two claims:

- about the population. In an equal pool, any dropped backbone is an error; in an unequal one, with
  accuracies about 2 points apart, dropping the best is.
- about the test set alone: dropping what has the most examples right is the error. A quarter of the
  races, since it takes longer.

A third pool is of images: 20 equal backbones whose features of an image are the mean of its class
plus normal noise, with a correlation of 0 or 0.9 between backbones; 2, 10 or 50 classes. Classes of
1,600 train images take turns, 400 test images are random; the nearest class mean of the train
images of earlier steps classifies the images of each step of a race on images. Any drop counts as
an error, although the fitted probes of equal backbones differ by luck. A quarter of the races.

`wrong` is the largest share of races with an error over the settings, `wrong_on_average` the mean;
`best_of_sample` is the largest share that drop the backbone with the most examples right of all.
The last line is JSON.
"""

import argparse
import json

import numpy as np
from scipy.special import ndtr

from bob.engine.racing.schedule import schedule
from bob.statistics.racing import Race, race_matrix

BACKBONES, EXAMPLES, BLOCK, ERROR = 20, 1000, 20, 0.05
SETTINGS = [
    (classes, correlation) for classes in (2, 10, 100) for correlation in (0.0, 0.5, 0.9, 0.99)
]

IMAGES, WIDTH = (1600, 400), 16
"""Train and test images, and features of each, of a race on images."""
IMAGE_SETTINGS = [(classes, correlation) for classes in (2, 10, 50) for correlation in (0.0, 0.9)]


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
    return np.asarray((latent < knows) | guess)


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


def drops_of_images(rng: np.random.Generator, classes: int, correlation: float) -> int:
    """Return how many of 20 equal backbones a race on images drops."""
    train, test = IMAGES
    y = np.concatenate([np.arange(train) % classes, rng.integers(0, classes, test)])
    means = 0.6 * rng.standard_normal((classes, 1, WIDTH))
    shared = rng.standard_normal((len(y), 1, WIDTH))
    own = rng.standard_normal((len(y), BACKBONES, WIDTH))
    x = means[y] + np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    race = Race(BACKBONES, ERROR)
    for step in schedule({"train": train, "test": test}, classes, scores_train=True):
        fitted = slice(step.fitted["train"])
        centres = np.stack([x[fitted][y[fitted] == c].mean(0) for c in range(classes)])
        scored = np.r_[step.scored["train"], train + np.array(step.scored["test"])]
        products = np.einsum("nkd,ckd->nkc", x[scored], centres)
        predicted = (2 * products - (centres**2).sum(-1).T).argmax(-1)
        race.look(predicted == y[scored, None])
    return len(race.drops)


def image_races(count: int, seed: int) -> dict[str, float]:
    """Return the largest and the mean share of races on images that drop a backbone."""
    shares = []
    for classes, correlation in IMAGE_SETTINGS:
        rng = np.random.default_rng([seed, classes, int(100 * correlation)])
        wrong = [drops_of_images(rng, classes, correlation) > 0 for _ in range(count)]
        shares.append(float(np.mean(wrong)))
    return {"wrong": max(shares), "wrong_on_average": round(float(np.mean(shares)), 4)}


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
    results["images, equal"] = image_races(max(1, count // 4), arguments.seed)
    print(f"images, equal: {results['images, equal']}", flush=True)
    print(json.dumps({"races": count, "settings": len(SETTINGS), **results}))


if __name__ == "__main__":
    main()
