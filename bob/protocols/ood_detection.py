"""OOD detection: telling images of other sets from in-distribution test images by their features.

Follows OpenOOD (Yang et al. 2022, arXiv:2210.07242; Zhang et al. 2023, arXiv:2306.09301), with six
scores from the same features. Higher means more in distribution:
- `msp`: largest softmax probability of the linear probe (Hendrycks & Gimpel 2017,
  arXiv:1610.02136);
- `max_logit`: its largest logit (Hendrycks et al. 2022, arXiv:1911.11132);
- `energy`: log of the summed exponentials of its logits, temperature 1 (Liu et al. 2020,
  arXiv:2010.03759);
- `knn`: minus the Euclidean distance to the k-th nearest train row, rows of length 1 (Sun et al.
  2022, arXiv:2204.06507);
- `mahalanobis`: minus the least squared distance to a class mean under the covariance within
  classes (Lee et al. 2018, arXiv:1807.03888), on the features alone: without input perturbation,
  and without the weights over layers that the paper fits to OOD images;
- `relative_mahalanobis`: the same minus that to the mean of all under the covariance of all (Ren et
  al. 2021, arXiv:2106.09022).

Nothing is chosen on test data, nor on OOD data of any kind: the probe's strength is chosen on
held-out train data, k = 50 is the default of OpenOOD's configuration (whose `APS_mode` then
searches k on OOD validation images; not done here), and the temperature is 1.

Differs from OpenOOD's code in these points:
- the covariances are inverted on the directions in which train rows deviate by more than 1e-5 of
  the largest deviation, since rows are the same to 1e-5 from machine to machine. Its
  pseudo-inverse, of float32 sums, cuts at the rounding of the library that it calls;
- the covariance of all is inverted on the directions that the one within classes keeps. With fewer
  rows than features the two would keep different ones, and their difference would be of distances
  in different spaces (0.678 by its code, 0.971 here, on one example of N < D);
- `msp` is the logarithm of the probability: the same order, without the ties of probabilities that
  round to 1;
- a k above the number of train rows becomes that number, and the record says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.numerics.arrays import Doubles, Floats
from bob.outcomes import OodScores
from bob.protocols.caveats import features_checked
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    classification_needs,
    classification_problem,
    features_by_split,
    held_out_of,
    samples_held_out,
)
from bob.protocols.linear import LinearSettings, fit_probe
from bob.protocols.needs import FeatureNeed, Inputs, Needs
from bob.protocols.ood import features_of_shifts, require_shifts
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count

SCORES = ("knn", "mahalanobis", "relative_mahalanobis", "msp", "max_logit", "energy")
"""The first one, on the first near set, is the headline."""
OF_GAUSSIANS = ("mahalanobis", "relative_mahalanobis")
DOES_NOT_VARY = "Mahalanobis distances need train features that vary within a class"


class OodDetectionSettings(LinearSettings):
    """Settings of OOD detection: those of the linear probe, and k."""

    k: Count
    """The k-NN score is the distance to the k-th nearest train row."""


@dataclass(frozen=True, eq=False)
class OodDetectionProblem:
    """In-distribution train and test features, and features of other sets."""

    problem: ClassificationProblem
    others: Mapping[str, Floats]
    """Name → features (M, D)."""
    kinds: Mapping[str, str]
    """Name → near or far."""


class OodDetection(Protocol[OodDetectionSettings, OodDetectionProblem]):
    """Every score of every other set, compared with those of the in-distribution test rows."""

    name = "ood_detection"
    settings = OodDetectionSettings
    kinds = CLASS_KINDS
    outcomes = (OodScores,)

    def needs(
        self, settings: OodDetectionSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        shifts = require_shifts(dataset, "near", "far")
        return [
            *classification_needs(dataset, backbone),
            *(FeatureNeed(backbone, ImageSet(name)) for name in shifts),
        ]

    def build(
        self,
        settings: OodDetectionSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> OodDetectionProblem:
        features = features_by_split(needs, inputs)
        others = features_of_shifts(dataset, needs, inputs)
        return OodDetectionProblem(
            classification_problem(dataset, features, held_out_of(settings), seed),
            {name: of_shift.rows for name, of_shift in others.items()},
            {name: dataset.shifts[name].kind for name in others},
        )

    def solve(
        self, problem: OodDetectionProblem, settings: OodDetectionSettings, device: str
    ) -> Result:
        from bob.numerics.gaussians import ClassGaussians
        from bob.numerics.linear.logistic_path import scores
        from bob.numerics.search.neighbours import exact_similarities, search

        train = problem.problem
        checked = features_checked(**problem.others)
        probe = fit_probe(train, settings, device)
        k = min(settings.k, len(train.x))
        gaussians = ClassGaussians(train.x, train.y, device)

        def score(x: Floats) -> dict[str, Doubles]:
            to_class, to_mean = gaussians.distances(x)
            furthest = search(train.x, x, k, device).index[:, -1]
            return {
                "knn": -_distance(exact_similarities(train.x, x, furthest)),
                "mahalanobis": -to_class,
                "relative_mahalanobis": -to_class + to_mean,
                **logit_scores(scores(probe.fit, x)),
            }

        inside = score(train.test_x)
        outside = {name: score(x) for name, x in problem.others.items()}
        outcomes = {
            (name, kind): OodScores.from_scores(inside[kind], scores_of_set[kind])
            for name, scores_of_set in outside.items()
            for kind in SCORES
        }
        sets = {name: len(x) for name, x in problem.others.items()}
        undefined = {} if gaussians.varies else dict.fromkeys(OF_GAUSSIANS, DOES_NOT_VARY)
        parts = tuple(_parts(outcomes, problem.kinds, undefined))
        return Result(parts, {**probe.detail, "k": k, "sets": sets}, probe.caveats + checked)

    def uses_seed(self, settings: OodDetectionSettings, dataset: Dataset) -> bool:
        return samples_held_out(settings, dataset)


def logit_scores(logits: Doubles) -> dict[str, Doubles]:
    """Return the probe's scores (Q,) of logits (Q, C)."""
    from scipy.special import logsumexp

    largest, energy = logits.max(1), logsumexp(logits, axis=1)
    return {"msp": largest - energy, "max_logit": largest, "energy": energy}


def _distance(cosine: Doubles) -> Doubles:
    """Return the distance between rows of length 1."""
    distance: Doubles = np.sqrt(np.maximum(2 - 2 * cosine, 0))
    return distance


def _parts(
    outcomes: Mapping[tuple[str, str], OodScores],
    kinds: Mapping[str, str],
    undefined: Mapping[str, str],
) -> Iterator[ResultPart]:
    """Yield the first score on the first near set (else on the first set), then all.

    `undefined` gives the reason of scores that are undefined.
    """
    first, *_ = sorted(kinds, key=lambda name: kinds[name] != "near")
    yield ResultPart(
        outcomes[first, SCORES[0]],
        facets={"set": first, "kind": kinds[first], "score": SCORES[0]},
    )
    for (name, score), outcome in outcomes.items():
        yield ResultPart(
            None if score in undefined else outcome,
            f"{name}_{score}",
            facets={"set": name, "kind": kinds[name], "score": score},
            stored=True,
            undefined=undefined.get(score),
        )


PROTOCOL = OodDetection()
