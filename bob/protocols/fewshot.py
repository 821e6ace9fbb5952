"""N-shot probes: linear heads fitted to N train images per class, over seeded draws, scored on all of test.

Follows big_vision's few-shot evaluation (evaluators/fewshot_lsr.py; Kolesnikov et al. 2020, arXiv:1912.11370) in its draws and its ridge head:
one permutation per class and draw, of which N shots are the first N, so that draws of more shots contain those of fewer; features standardised
with the mean and standard deviation of the drawn rows; one-vs-rest targets of ±1; the largest output wins. The logistic head solves the linear
probe's problem (`bob.protocols.linear`) and the centroid head is `bob.numerics.centroid`.

Choosing the penalty: there is no held-out data at one shot, so it is not chosen. It is fixed relative to the features: l2 · (mean squared
length of the centred train rows), in the sum-form objectives of `bob.numerics.linear.batched_dual`. Standardised rows have a mean squared length of D, so that
l2 = 1 is big_vision's constant 2^10 at the width of its ViT-L, 1024, and the same trade-off at any other width; for rows of length 1 it is
the C = 1 of Tian et al. 2020 (arXiv:2003.11539). (big_vision's first release took the best of 30 penalties on the reported split: a leak.)

Differs from big_vision in these points:
- 10 draws in place of 3, with Student's t interval over them. It tells what another draw of train images would do, not another test set;
- draws depend on images and labels only, not on their order, and byte-identical images count once (`bob.numerics.sampling`);
- a class with fewer than N train images makes N shots undefined, where their code goes on with fewer. Label efficiency is then over the numbers of
  shots that every class can serve: the facet and the detail say which;
- the intercept is free, where theirs is a constant feature of 100 under the penalty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.linear import batched_dual, logistic_path, ridge_path
from bob.numerics.matmul import product, products
from bob.numerics.search.similarity import unit
from bob.numerics.threads import map_stripes
from bob.outcomes import FewShotCurves
from bob.numerics import centroid
from bob.protocols.protocol import Part, Result
from bob.numerics.sampling import choose, generator
from bob.specs.settings import FewShotSettings

Ints = NDArray[np.int64]

DRAWN_BYTES = 256 << 20
"""Drawn rows, and their products with each other, held at once."""
LOGIT_CELLS = 1 << 24
"""Scores of test rows held at once: 64 MiB in float32."""
TOLERANCE = 1e-5
"""Gap at which the logistic head stops: in the span relative to what the weights gain, else to the objective."""


@dataclass(frozen=True, eq=False)
class FewShot:
    """Features with roles."""

    x: NDArray[np.float32]
    """(N, D) train features."""
    pools: tuple[Ints, ...]
    """Per class the train rows (n_c,) that may be drawn; see `bob.numerics.sampling.pools`."""
    test_x: NDArray[np.float32]
    """(Q, D)"""
    test_y: Ints
    """(Q,)"""
    classes: tuple[str, ...]
    """C names."""


def fewshot(problem: FewShot, settings: FewShotSettings, seed: int, device: str) -> Result:
    """The accuracy of every head at every number of shots, draw by draw."""
    smallest = min(len(pool) for pool in problem.pools)
    served = [shots for shots in settings.shots if shots <= smallest]
    drawn = draws(problem.pools, settings.draws, max(served, default=0), seed)
    found = [_of_head(head, problem, drawn, served, settings.l2, device) for head in settings.heads]
    parts = _parts(problem, settings, served, [top1 for top1, _ in found])
    return Result(tuple(parts), _detail(problem, settings, served, max(gap for _, gap in found)))


def _of_head(
    head: str, problem: FewShot, drawn: Ints, served: list[int], l2: float, device: str
) -> tuple[NDArray[np.float64], float]:
    """(R, S) accuracy of every draw at every number of shots, and the largest gap."""
    classes, top1 = len(problem.pools), np.empty((len(drawn), len(served)))
    centre = problem.x.mean(0, dtype=np.float64).astype(np.float32)
    test_x = _seen_by(head, problem.test_x, centre, device)

    def solve(jobs: Sequence[tuple[int, slice]]) -> float:
        """Fills in some draws at some numbers of shots."""
        largest = 0.0
        for j, part in jobs:
            rows = drawn[part, :, : served[j]].reshape(-1, classes * served[j])
            x = _seen_by(head, problem.x[rows], centre, device)
            weight, bias, gap = fitted(
                head, x, np.repeat(np.arange(classes), served[j]), classes, l2
            )
            top1[part, j], largest = (
                accuracy(weight, bias, test_x, problem.test_y),
                max(gap, largest),
            )
        return largest

    jobs = [
        (j, part)
        for j, shots in enumerate(served)
        for part in _chunks(len(drawn), classes * shots, problem.x.shape[1])
    ]
    balanced = jobs[::2] + jobs[1::2]  # more shots are more work
    return top1, max(map_stripes(solve, balanced, torch.get_num_threads() if device == "cpu" else 1))


def draws(pools: tuple[Ints, ...], count: int, shots: int, seed: int) -> Ints:
    """(count, C, shots) train rows. The first rows of a class do not depend on `shots`, nor on how many draws there are."""
    sizes = np.array([len(pool) for pool in pools])
    chosen = np.stack([choose(sizes, shots, generator(seed, draw)) for draw in range(count)])
    return np.stack([pool[chosen[:, c]] for c, pool in enumerate(pools)], axis=1)


def fitted(head: str, x: Tensor, y: Ints, classes: int, l2: float) -> tuple[Tensor, Tensor, float]:
    """Weights (B, C, D), bias (B, C) and gap of one head for B draws of rows (B, n, D), all with the labels (n,)."""
    if head == "centroid":
        return *centroid.fit(x, _labels(y, x), classes), 0.0
    if x.shape[1] > x.shape[2]:
        fits = [_one_by_one(head, rows, y, classes, l2) for rows in x]
        return (
            torch.stack([weight for weight, _, _ in fits]),
            torch.stack([bias for _, bias, _ in fits]),
            max(gap for _, _, gap in fits),
        )
    return _together(head, x, y, classes, l2)


def _together(
    head: str, x: Tensor, y: Ints, classes: int, l2: float
) -> tuple[Tensor, Tensor, float]:
    """All draws at once, in the span of their rows."""
    mean = x.mean(1, keepdim=True)
    rows = x - mean
    scale = _inverse_deviation(rows) if head == "ridge" else torch.ones_like(mean)
    rows = rows * scale
    gram, labels = batched_dual.centred(products(rows, rows)), _labels(y, x)
    penalty = (l2 * gram.diagonal(dim1=1, dim2=2).mean(1)).clamp(min=torch.finfo(gram.dtype).tiny)
    found = (
        batched_dual.ridge(gram, labels, classes, penalty)
        if head == "ridge"
        else batched_dual.logistic(gram, labels, classes, penalty, TOLERANCE)
    )
    weight = found.coefficient.transpose(1, 2) @ rows * scale
    return weight, found.bias - (weight @ mean.transpose(1, 2))[:, :, 0], found.gap


def _one_by_one(
    head: str, x: Tensor, y: Ints, classes: int, l2: float
) -> tuple[Tensor, Tensor, float]:
    """One draw with more rows than features, by the solvers of the linear probe."""
    rows = x.cpu().numpy()
    if head == "ridge":
        varying = int((rows != rows[0]).any(0).sum())
        (linear,) = ridge_path.fit_path(
            rows, y, classes, [l2 * max(varying, 1)], device=str(x.device)
        )
        return torch.from_numpy(linear.weight).to(x), torch.from_numpy(linear.bias).to(x), 0.0
    penalty = l2 * float((x - x.mean(0)).square().sum(1).mean())
    c = logistic_path.penalty_of(penalty, 1, classes)  # 1 / penalty, or 2 / penalty of two classes
    (fit,) = logistic_path.fit_path(
        rows, y, classes, [c], tolerance=TOLERANCE, device=str(x.device)
    )
    return torch.from_numpy(fit.weight).to(x), torch.from_numpy(fit.bias).to(x), fit.gap


def _inverse_deviation(rows: Tensor) -> Tensor:
    """(B, 1, D) of centred rows; 0 where a feature varies by no more than the rounding of the largest."""
    deviation = rows.square().mean(1, keepdim=True).sqrt()
    return torch.where(deviation > 1e-6 * deviation.amax(2, keepdim=True), 1 / deviation, 0.0)


def _labels(y: Ints, x: Tensor) -> Tensor:
    return torch.as_tensor(y, device=x.device).expand(x.shape[0], -1)


def _seen_by(
    head: str, rows: NDArray[np.float32], centre: NDArray[np.float32], device: str
) -> Tensor:
    """Rows (..., D) as a head takes them: of length 1, or moved by the mean of train, which changes no answer and spares float32 digits."""
    if head == "centroid":
        return torch.from_numpy(unit(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape)).to(
            device
        )
    return torch.from_numpy(rows - centre).to(device)


def accuracy(weight: Tensor, bias: Tensor, x: Tensor, y: Ints) -> NDArray[np.float64]:
    """(B,) share of rows (Q, D) whose largest score is their class's. Equal scores go to the lower class."""
    flat, true = weight.flatten(0, 1), torch.as_tensor(y, device=x.device)
    right = torch.zeros(len(weight), dtype=torch.int64, device=x.device)
    size = max(1, LOGIT_CELLS // len(flat))
    for start in range(0, len(x), size):
        rows = x[start : start + size]
        scores = product(rows, flat).view(len(rows), *bias.shape) + bias
        right += (scores.argmax(2) == true[start : start + size, None]).sum(0)
    return right.cpu().numpy() / len(x)


def _chunks(count: int, rows: int, width: int) -> Iterator[slice]:
    """Some of `count` draws of `rows` rows at a time."""
    size = max(1, DRAWN_BYTES // (4 * rows * (width + min(rows, width))))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _parts(
    problem: FewShot,
    settings: FewShotSettings,
    served: list[int],
    top1: Sequence[NDArray[np.float64]],
) -> Iterator[Part]:
    """Label efficiency per head, the first one's as the headline; then every head at every number of shots."""
    span_of = f"{served[0]}-{served[-1]}" if served else "none"
    curves = [FewShotCurves(values, np.array(served)) if served else None for values in top1]
    for i, (head, curve) in enumerate(zip(settings.heads, curves, strict=True)):
        few = (
            None
            if len(served) > 1
            else f"label efficiency needs two numbers of shots that every class can serve; {_smallest(problem)}"
        )
        yield Part(
            None if few else curve,
            head if i else "",
            ("label_efficiency",),
            {"head": head, "shots": span_of},
            stored=True,
            undefined=few,
        )
    for head, curve in zip(settings.heads, curves, strict=True):
        for shots in settings.shots:
            outcome = curve.at(shots) if curve is not None and shots in served else None
            few = (
                None
                if outcome
                else f"{shots} shots need as many train images per class; {_smallest(problem)}"
            )
            yield Part(
                outcome,
                f"{head}_{shots}shot",
                ("few_shot_top1",),
                {"head": head, "shots": shots},
                stored=True,
                undefined=few,
            )


def _smallest(problem: FewShot) -> str:
    """'class 'flag' has 9'."""
    sizes = [len(pool) for pool in problem.pools]
    c = int(np.argmin(sizes))
    return f"class {problem.classes[c]!r} has {sizes[c]} (byte-identical ones counted once)"


def _detail(
    problem: FewShot, settings: FewShotSettings, served: list[int], gap: float
) -> dict[str, Any]:
    return {
        "draws": settings.draws,
        "shots": served,
        "shots_left_out": [shots for shots in settings.shots if shots not in served],
        "smallest_class": _smallest(problem),
        "l2": settings.l2,
        "logistic_gap": gap,
        "converged": gap <= TOLERANCE,
    }
