"""Episodes: N-way K-shot classification over many random small tasks, all episodes of a batch solved together.

Follows the evaluation of the few-shot literature (Vinyals et al. 2016, arXiv:1606.04080; Chen et al. 2019, arXiv:1904.04232): N classes at random, K
train images of each, 15 test images of each, the mean over episodes with a 95 % interval. Heads on rows of length 1, as in Tian et al. 2020
(arXiv:2003.11539; official code eval/meta_eval.py): logistic regression at scikit-learn's C = 1; ridge regression (scikit-learn's RidgeClassifier at
alpha = 1; Bertinetto et al. 2019, arXiv:1805.08136); nearest centroid (`bob.numerics.centroid`). Nothing is chosen.

Differs in these points:
- train images of an episode come from the train split and its queries from the test split; the literature takes both from one set of novel classes;
- classes of the dataset are those of the episodes: a frozen backbone has no base classes;
- a class takes part where it has K train and 15 test images, byte-identical ones counted once. With fewer than N such classes, N-way is undefined
  here, and the score says why.

The interval is over episodes, as in the literature. Episodes share images, so that it does not tell what another test set would do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.linear import batched_dual
from bob.numerics.matmul import product
from bob.numerics.search.similarity import unit
from bob.numerics.threads import map_stripes
from bob.outcomes import FewShotCurves
from bob.numerics import centroid
from bob.protocols.protocol import Part, Result
from bob.numerics.sampling import choose, generator
from bob.specs.settings import EpisodesSettings

Ints = NDArray[np.int64]
Products = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Support (E, n) and query (E, Q) rows → products of the support with itself (E, n, n), and of queries with it (E, Q, n)."""

TOGETHER, TOGETHER_BYTES = 128, 64 << 20
"""Episodes that one worker solves together, and what their products may take."""
TABLE_CELLS = 1 << 26
"""Products of all rows with each other are made once, where they are no more than these (256 MiB) and than `WORTH` times those of the episodes."""
WORTH = 4
"""A product within one large matrix costs less than one of gathered rows by more than this factor (measured: 6 to 10)."""
TOLERANCE = 1e-6
"""Gap at which the logistic head stops, relative to what its weights gain over none."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """Features by class."""

    x: NDArray[np.float32]
    """(N, D) train features."""
    pools: tuple[Ints, ...]
    """Per class the rows of `x` (n_c,) that may be drawn; see `bob.numerics.sampling.pools`."""
    test_x: NDArray[np.float32]
    """(Q, D)"""
    test_pools: tuple[Ints, ...]
    """Per class the rows of `test_x`."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """E episodes of N classes."""

    support: Ints
    """(E, N · K) train rows, class by class."""
    query: Ints
    """(E, N · queries) test rows, class by class."""
    ways: int
    """N."""

    def __len__(self) -> int:
        return len(self.support)


def episodes(problem: Pooled, settings: EpisodesSettings, seed: int, device: str) -> Result:
    """Accuracy of every head in every episode, for every number of ways and shots."""
    x, test_x = (torch.from_numpy(unit(rows)) for rows in (problem.x, problem.test_x))
    centre = x.mean(0)
    x, test_x = (
        (x - centre).to(device),
        (test_x - centre).to(device),
    )  # no head depends on the origin; float32 keeps more digits near 0
    parts, gaps = [], [0.0]
    for ways in settings.ways:
        for shots in settings.shots:
            able = eligible(problem, shots, settings.queries)
            if len(able) < ways:
                parts += [
                    _undefined(head, ways, shots, settings.queries, len(able))
                    for head in settings.heads
                ]
                continue
            drawn = draw(problem, able, ways, shots, settings.queries, settings.episodes, seed)
            top1, gap = solved(drawn, x, test_x, settings.heads, settings.l2)
            gaps.append(gap)
            parts += [
                _part(head, ways, shots, values)
                for head, values in zip(settings.heads, top1, strict=True)
            ]
    detail = {
        "episodes": settings.episodes,
        "logistic_gap": max(gaps),
        "converged": max(gaps) <= TOLERANCE,
    }
    return Result(tuple(_headline_first(parts, settings)), detail)


def eligible(problem: Pooled, shots: int, queries: int) -> Ints:
    """The classes with enough train and test images."""
    able = [
        len(train) >= shots and len(test) >= queries
        for train, test in zip(problem.pools, problem.test_pools, strict=True)
    ]
    return np.flatnonzero(able)


def draw(
    problem: Pooled, able: Ints, ways: int, shots: int, queries: int, count: int, seed: int
) -> Episodes:
    """`count` episodes of classes in `able`. They are the same for every backbone."""
    source = generator(seed, ways * 1000 + shots)
    classes = able[choose(np.full(count, len(able)), ways, source)]
    support = _rows(problem.pools, classes, shots, source)
    return Episodes(support, _rows(problem.test_pools, classes, queries, source), ways)


def _rows(pools: tuple[Ints, ...], classes: Ints, count: int, source: np.random.PCG64) -> Ints:
    """(E, N · count) rows of the classes (E, N)."""
    sizes, together = np.array([len(pool) for pool in pools]), np.concatenate(pools)
    starts = np.cumsum(sizes) - sizes
    rows: Ints = together[starts[classes][..., None] + choose(sizes[classes], count, source)]
    return rows.reshape(len(classes), -1)


def solved(
    drawn: Episodes, x: Tensor, test_x: Tensor, heads: Sequence[str], l2: float
) -> tuple[NDArray[np.float64], float]:
    """(heads, E) share of queries predicted right, given unit rows from one common origin; and the largest gap of the logistic head."""
    products = _looked_up if _worth_a_table(drawn, len(x), len(test_x)) else _gathered
    support, query = drawn.support.shape[1], drawn.query.shape[1]
    size = max(1, min(TOGETHER, TOGETHER_BYTES // (4 * support * (support + query))))
    parts = [slice(start, min(start + size, len(drawn))) for start in range(0, len(drawn), size)]
    workers = torch.get_num_threads() if x.device.type == "cpu" else 1
    of = products(x, test_x)
    found = map_stripes(
        lambda some: [_solve(drawn, part, of, heads, l2, x.device) for part in some], parts, workers
    )
    return np.concatenate([top1 for stripe in found for top1, _ in stripe], 1), max(
        gap for stripe in found for _, gap in stripe
    )


def _worth_a_table(drawn: Episodes, train: int, test: int) -> bool:
    support, query = drawn.support.shape[1], drawn.query.shape[1]
    return bool(
        (train + test) * train <= min(TABLE_CELLS, WORTH * len(drawn) * (support + query) * support)
    )


def _gathered(x: Tensor, test_x: Tensor) -> Products:
    """Products of the episodes' rows, made for each episode while its rows are in the cache; on a device for all at once."""

    def of(support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        if x.device.type != "cpu":
            train = x[support]
            return train @ train.transpose(1, 2), test_x[query] @ train.transpose(1, 2)
        among, across = (
            x.new_empty(len(rows), rows.shape[1], support.shape[1]) for rows in (support, query)
        )
        for i, (own, asked) in enumerate(zip(support, query, strict=True)):
            train = x.index_select(0, own)
            among[i], across[i] = (
                product(train, train),
                product(test_x.index_select(0, asked), train),
            )
        return among, across

    return of


def _looked_up(x: Tensor, test_x: Tensor) -> Products:
    """The same, out of the products of all rows."""
    among, across = x @ x.T, test_x @ x.T
    return lambda support, query: (
        among[support[:, :, None], support[:, None]],
        across[query[:, :, None], support[:, None]],
    )


def _solve(
    drawn: Episodes,
    part: slice,
    of: Products,
    heads: Sequence[str],
    l2: float,
    device: torch.device,
) -> tuple[NDArray[np.float64], float]:
    """Some episodes, in every head, from the products of their rows."""
    support, query = (
        torch.from_numpy(rows[part]).to(device) for rows in (drawn.support, drawn.query)
    )
    gram, products = of(support, query)
    y, true = (
        torch.arange(drawn.ways, device=device).repeat_interleave(rows.shape[1] // drawn.ways)
        for rows in (support, query)
    )
    scores = [
        _scores(head, gram, products, y.expand(len(gram), -1), drawn.ways, l2) for head in heads
    ]
    top1 = [(score.argmax(2) == true).double().mean(1).cpu().numpy() for score, _ in scores]
    return np.stack(top1), max(gap for _, gap in scores)


def _scores(
    head: str, gram: Tensor, products: Tensor, y: Tensor, ways: int, l2: float
) -> tuple[Tensor, float]:
    """(E, Q, N) of the queries, and the gap."""
    if head == "centroid":
        return centroid.scores(gram, products, y, ways), 0.0
    own, penalty = batched_dual.centred(gram), gram.new_full((len(gram),), l2)
    of_logistic = 2 * penalty if ways == 2 else penalty  # scikit-learn's two-class objective
    found = (
        batched_dual.ridge(own, y, ways, penalty)
        if head == "ridge"
        else batched_dual.logistic(own, y, ways, of_logistic, TOLERANCE)
    )
    return batched_dual.centred_queries(products, gram) @ found.coefficient + found.bias[
        :, None
    ], found.gap


def _part(head: str, ways: int, shots: int, top1: NDArray[np.float64]) -> Part:
    return Part(
        FewShotCurves(top1[:, None], np.array([shots])),
        f"{head}_{ways}way_{shots}shot",
        "all",
        _facets(head, ways, shots),
        stored=True,
    )


def _undefined(head: str, ways: int, shots: int, queries: int, able: int) -> Part:
    reason = f"{ways}-way {shots}-shot needs {ways} classes with {shots} train and {queries} test images; there are {able}"
    return Part(
        None, f"{head}_{ways}way_{shots}shot", "all", _facets(head, ways, shots), undefined=reason
    )


def _facets(head: str, ways: int, shots: int) -> dict[str, Any]:
    return {"head": head, "ways": ways, "shots": shots}


def _headline_first(parts: Sequence[Part], settings: EpisodesSettings) -> Iterator[Part]:
    """The first head with the first ways and the last shots once more, without a suffix; then all."""
    wanted = _facets(settings.heads[0], settings.ways[0], settings.shots[-1])
    (chosen,) = (part for part in parts if part.facets == wanted)
    yield Part(chosen.outcome, "", chosen.metrics, chosen.facets, undefined=chosen.undefined)
    yield from parts
