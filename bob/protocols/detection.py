"""OOD detection: do test images of other sets look less like train than the in-distribution test images do? Six scores from the same features.

Follows OpenOOD (Yang et al. 2022, arXiv:2210.07242; Zhang et al. 2023, arXiv:2306.09301). Higher means more in distribution:
- `msp`: largest softmax probability of the linear probe (Hendrycks & Gimpel 2017, arXiv:1610.02136);
- `max_logit`: its largest logit (Hendrycks et al. 2022, arXiv:1911.11132);
- `energy`: log of the summed exponentials of its logits, temperature 1 (Liu et al. 2020, arXiv:2010.03759);
- `knn`: minus the Euclidean distance to the k-th nearest train row, rows of length 1 (Sun et al. 2022, arXiv:2204.06507);
- `mahalanobis`: minus the least squared distance to a class mean under the covariance within classes (Lee et al. 2018, arXiv:1807.03888), on the
  features alone: without input perturbation, and without the weights over layers that the paper fits to OOD images;
- `relative_mahalanobis`: the same minus that to the mean of all under the covariance of all (Ren et al. 2021, arXiv:2106.09022).

Nothing is chosen on test data, nor on OOD data of any kind: the probe's strength is chosen on held-out train data, k = 50 is the default of OpenOOD's
configuration (whose `APS_mode` then searches k on OOD validation images; not done here), and the temperature is 1.

Differs from OpenOOD's code in these points:
- the covariances are inverted on the directions in which train rows deviate by more than 1e-5 of the largest deviation, since rows are the same to
  1e-5 from machine to machine. Its pseudo-inverse, of float32 sums, cuts at the rounding of the library that it calls;
- the covariance of all is inverted on the directions that the one within classes keeps. With fewer rows than features the two would keep different
  ones, and their difference would be of distances in different spaces;
- `msp` is the logarithm of the probability: the same order, without the ties of probabilities that round to 1;
- a k above the number of train rows becomes that number, and the record says so.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor

from bob.numerics.linear.feature_rows import row_slices
from bob.numerics.linear.logistic_path import scores
from bob.numerics.search.neighbours import search
from bob.outcomes import OodScores
from bob.protocols.linear import probe
from bob.protocols.protocol import Part, Problem, Result
from bob.specs.settings import OodDetectionSettings

Floats = NDArray[np.float64]

SCORES = ("knn", "mahalanobis", "relative_mahalanobis", "msp", "max_logit", "energy")
"""The first one on the nearest set is the headline."""
NOISE = 1e-5
"""Deviations below this share of the largest are not reproducible: rows are the same to 1e-5, relative (docs/numbers.md)."""


def detection(
    problem: Problem,
    others: Mapping[str, NDArray[np.float32]],
    kinds: Mapping[str, str],
    settings: OodDetectionSettings,
    device: str,
) -> Result:
    """Every score on every set of `others` (name → (M, D) features) against the in-distribution test rows. `kinds` tells near from far."""
    fit, detail = probe(problem, settings, device)
    k = min(settings.k, len(problem.x))
    fitted = _Gaussians(problem, device)

    def score(x: NDArray[np.float32]) -> dict[str, Floats]:
        near = search(problem.x, x, k, device)
        return {
            "knn": -_distance(near.similarity[:, -1]),
            **fitted.scores(x),
            **of_logits(scores(fit, x)),
        }

    inside, outside = score(problem.test_x), {name: score(x) for name, x in others.items()}
    found = {
        (name, of): OodScores.from_scores(inside[of], theirs[of])
        for name, theirs in outside.items()
        for of in SCORES
    }
    return Result(
        tuple(_parts(found, kinds)),
        {**detail, "k": k, "sets": {name: len(x) for name, x in others.items()}},
    )


def of_logits(logits: Floats) -> dict[str, Floats]:
    """The probe's scores (Q,) of logits (Q, C)."""
    largest, energy = logits.max(1), logsumexp(logits, axis=1)
    return {"msp": largest - energy, "max_logit": largest, "energy": energy}


def _distance(cosine: NDArray[Any]) -> Floats:
    """Between rows of length 1."""
    distance: Floats = np.sqrt(np.maximum(2 - 2 * cosine.astype(np.float64), 0))
    return distance


class _Gaussians:
    """Class means under one covariance, and one Gaussian of everything."""

    def __init__(self, problem: Problem, device: str) -> None:
        """From train rows; classes without any have no mean."""
        present, y = np.unique(problem.y, return_inverse=True)
        self.device, self.mean = (
            device,
            torch.from_numpy(problem.x.mean(0, dtype=np.float64)).to(device),
        )
        sums, labels = (
            self.mean.new_zeros(len(present), len(self.mean)),
            torch.from_numpy(y).to(device),
        )
        for rows in row_slices(*problem.x.shape):
            sums.index_add_(0, labels[rows], self._read(problem.x[rows]))
        self.class_means = sums / torch.bincount(labels)[:, None]
        self.within = _whitening(self._scatter(problem.x, labels, self.class_means))
        self.whole = self.within @ _whitening(
            self.within.T @ self._scatter(problem.x, labels, None) @ self.within
        )

    def scores(self, x: NDArray[np.float32]) -> dict[str, Floats]:
        """Both scores (Q,) of rows (Q, D)."""
        of_classes, of_all = [], []
        means = self.class_means @ self.within
        for rows in row_slices(*x.shape):
            centred = self._read(x[rows])
            projected = centred @ self.within
            squares = (
                projected.square().sum(1, keepdim=True)
                - 2 * projected @ means.T
                + means.square().sum(1)
            )
            of_classes.append(-squares.amin(1))
            of_all.append(-(centred @ self.whole).square().sum(1))
        own, background = (
            torch.cat(values).cpu().numpy() if values else np.empty(0)
            for values in (of_classes, of_all)
        )
        return {"mahalanobis": own, "relative_mahalanobis": own - background}

    def _read(self, x: NDArray[np.float32]) -> Tensor:
        """Rows as float64, minus the mean of train."""
        return torch.from_numpy(x).to(self.device, torch.float64) - self.mean

    def _scatter(self, x: NDArray[np.float32], labels: Tensor, means: Tensor | None) -> Tensor:
        """(D, D) covariance about the class means, or about the mean; divided by N."""
        total = self.mean.new_zeros(x.shape[1], x.shape[1])
        for rows in row_slices(*x.shape):
            centred = self._read(x[rows])
            centred = centred if means is None else centred - means[labels[rows]]
            total.addmm_(centred.T, centred)
        return total / len(x)


def _whitening(covariance: Tensor) -> Tensor:
    """(D, R) with  W Wᵀ  the inverse on the R directions that hold more than noise."""
    eigenvalue, basis = torch.linalg.eigh(covariance)
    kept = eigenvalue > NOISE**2 * max(float(eigenvalue[-1]), 0.0)
    whitening: Tensor = basis[:, kept] / eigenvalue[kept].sqrt()
    return whitening


def _parts(found: Mapping[tuple[str, str], OodScores], kinds: Mapping[str, str]) -> Iterator[Part]:
    """The first score on the first near set (else on the first set), then all."""
    sets = sorted(kinds, key=lambda name: kinds[name] != "near")
    yield Part(
        found[sets[0], SCORES[0]],
        facets={"set": sets[0], "kind": kinds[sets[0]], "score": SCORES[0]},
    )
    for (name, of), outcome in found.items():
        yield Part(
            outcome,
            f"{name}_{of}",
            facets={"set": name, "kind": kinds[name], "score": of},
            stored=True,
        )
