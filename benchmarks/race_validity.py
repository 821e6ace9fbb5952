"""How often a race drops a backbone wrongly, and how much it saves: simulated backbones.

    python benchmarks/race_validity.py [--quick] [--races N] [--pools NAMES] [--seed N]

20 backbones answer 1,000 examples. Latent normals, correlated between backbones by 0 to 0.99,
decide which examples each knows; of the others it guesses the class, among 2 to 100. A look follows
every block of 20 examples, N races (default: 1,000) each of the 12 settings:

- In an equal pool, any dropped backbone is an error; where only the best is certified to survive,
  each of the 20 is a best one, and the share of them that is dropped counts, in half of the races.
- Where the best leads all others by exactly the indifference zone of 2 points, dropping it is.
- In an unequal pool, with accuracies about 2 points apart, dropping the best is. A quarter of the
  races each without and with a zone of 1 point.
- About the test set alone, dropping what has the most examples right is. A tenth of the races.
- Where ties are let go, it is an error if the best leads each survivor by the zone or more: with a
  zone of 2 points, by which the best leads all others; with the same zone and accuracies about 1.4
  points apart, so that one drop could follow from another; and with the zone that a race sets. A
  half, a quarter and a quarter of the races.

Another pool is of images: 20 equal backbones whose features of an image are the mean of its class
plus normal noise, with a correlation of 0 or 0.9 between backbones; 2, 10 or 50 classes. Classes of
1,600 train images take turns, 400 test images are random; the nearest class mean of the train
images of earlier steps classifies the images of each step of a race on images. Any drop counts as
an error, although the fitted probes of equal backbones differ by luck. A quarter of the races.

`wrong` is the largest mean of these errors over the settings, `wrong_on_average` the mean;
`best_of_sample` is the largest share that drop the backbone with the most examples right of all.
The last line is JSON.
"""

import argparse
import json
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from bob.engine.racing.schedule import schedule
from bob.statistics.races import RaceResult, race_matrix
from bob.statistics.racing import Certified, Race

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
    shared = rng.standard_normal((EXAMPLES, 1), np.float32)
    own = rng.standard_normal((EXAMPLES, len(accuracy)), np.float32)
    latent = np.float32(correlation**0.5) * shared + np.float32((1 - correlation) ** 0.5) * own
    knows = (accuracy - 1 / classes) / (1 - 1 / classes)
    guess = rng.random((EXAMPLES, len(accuracy)), np.float32) < 1 / classes
    return np.asarray((latent < ndtri(knows)) | guess)


@dataclass(frozen=True)
class Pool:
    """Simulated backbones, what is claimed of them, and which share of the races they get."""

    gap: float
    """How much worse each backbone is than the one before, of what is above chance."""
    lead: float = 0.0
    """How much the first leads all others."""
    margin: float = 0.0
    finite: bool = False
    certified: Certified = "drops"
    share: float = 1.0

    def accuracies(self, classes: int) -> np.ndarray:
        """Return (K,) accuracies; the first is the best."""
        levels = 0.85 - self.gap * np.arange(BACKBONES)
        accuracy = 1 / classes + (1 - 1 / classes) * levels
        accuracy[1:] -= self.lead
        return accuracy

    def wrong(self, result: RaceResult, sums: np.ndarray, accuracies: np.ndarray) -> float:
        """Return 1 if what is certified is false; sums (K,) are the right answers."""
        dropped = [drop.backbone for drop in result.drops]
        if self.certified == "tie":
            behind = accuracies[0] - accuracies[list(result.survivors)]
            return bool((behind > -result.margin - 1e-9).all())
        if self.finite:
            return bool((sums[dropped] == sums.max()).any())
        if self.gap or self.lead:
            return 0 in dropped
        return len(dropped) / BACKBONES if self.certified == "best" else bool(dropped)


POOLS = {
    "population, equal": Pool(gap=0.0),
    "population, equal, certify best": Pool(gap=0.0, certified="best", share=0.5),
    "population, best leads by the zone": Pool(gap=0.0, lead=0.02, margin=-0.02),
    "population, unequal": Pool(gap=0.02, share=0.25),
    "population, unequal, zone of 1 point": Pool(gap=0.02, margin=-0.01, share=0.25),
    "tie, best leads by the zone": Pool(
        gap=0.0, lead=0.02, margin=-0.02, certified="tie", share=0.5
    ),
    "tie, gaps below the zone": Pool(gap=0.014, margin=-0.02, certified="tie", share=0.25),
    "tie, zone set by the race": Pool(gap=0.014, certified="tie", share=0.25),
    "test-set, equal": Pool(gap=0.0, finite=True, share=0.1),
    "test-set, unequal": Pool(gap=0.02, finite=True, share=0.1),
}


IMAGE_POOL = "images, equal"


def races(count: int, seed: int, name: str) -> dict[str, float]:
    """Return the largest shares over all settings, and the mean share of evaluations."""
    pool = POOLS[name]
    wrong, best_dropped, evaluations = [], [], []
    for classes, correlation in SETTINGS:
        rng = np.random.default_rng([seed, classes, int(100 * correlation), [*POOLS].index(name)])
        accuracies = pool.accuracies(classes)
        errors, best = 0.0, 0
        for _ in range(count):
            right = predictions(rng, accuracies, classes, correlation)
            looks = range(BLOCK, EXAMPLES + 1, BLOCK)
            total = EXAMPLES if pool.finite else None
            result = race_matrix(right, looks, ERROR, pool.margin, total, pool.certified)
            sums = right.sum(0)
            errors += pool.wrong(result, sums, accuracies)
            best += sums.argmax() in {drop.backbone for drop in result.drops}
            evaluations.append(result.evaluations / right.size)
        wrong.append(round(errors / count, 4))
        best_dropped.append(best / count)
    return {
        "races": count,
        "wrong": max(wrong),
        "wrong_on_average": round(float(np.mean(wrong)), 4),
        "best_of_sample": max(best_dropped),
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
    parser.add_argument("--pools", help="pools to race (default: all), separated by semicolons")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    count = 20 if arguments.quick else arguments.races
    wanted = arguments.pools.split(";") if arguments.pools else [*POOLS, IMAGE_POOL]
    results = {}
    for name in wanted:
        if name == IMAGE_POOL:
            results[name] = image_races(max(1, count // 4), arguments.seed)
        else:
            of_pool = max(1, round(count * POOLS[name].share))
            results[name] = races(of_pool, arguments.seed, name)
        print(f"{name}: {results[name]}", flush=True)
    print(json.dumps({"races": count, "settings": len(SETTINGS), **results}))


if __name__ == "__main__":
    main()
