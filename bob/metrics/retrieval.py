"""Metrics of retrieval: each is a mean over the queries that have a positive in the gallery.

Of whole rankings (`RetrievalResults`): `mean_ap` and `mean_ap_trapezoid`, `map_at_r`, `r_precision`, `mrr`. Of their first k (`TopKResults`, one per k of the
task, named with it: `hit_at_k5`): `hit_at`, `precision_at`, `recall_at`, `mean_ap_at`, `precision_until`.

Names that mean different things in different papers:
- "Recall@k" of metric learning (Song et al. 2016, arXiv:1511.06452) and of image-text retrieval is `hit_at`; recall as a fraction is `recall_at`.
- mAP is `mean_ap`; that of Oxford, Paris and their revisited versions is `mean_ap_trapezoid` (Radenovic et al. 2018, arXiv:1803.11285).
- mAP@k divides by min(R, k), as Google Landmarks v2 does (Weyand et al. 2020, arXiv:2004.01804); torchmetrics divides by the hits among the first k.
- MAP@R, from Musgrave et al. 2020 (arXiv:2003.08505), divides by R, misses among the first R weighing as much as hits.
- mP@k of the revisited code divides by min(k, rank of the last positive): `precision_until`; others, and `precision_at`, by k.
"""

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes.retrieval import RetrievalResults, TopKResults

Doubles = NDArray[np.float64]


def mean_ap(outcome: RetrievalResults) -> float:
    """Mean average precision: over queries, of the mean over positives of the precision at their ranks."""
    return _mean(outcome.ap)


def mean_ap_trapezoid(outcome: RetrievalResults) -> float:
    """Mean average precision with trapezoids, as the evaluation code of Oxford and Paris has it."""
    return _mean(outcome.ap_trapezoid)


def map_at_r(outcome: RetrievalResults) -> float:
    """Mean average precision at R, R being the number of the query's positives."""
    return _mean(outcome.ap_at_r)


def r_precision(outcome: RetrievalResults) -> float:
    """Mean share of positives among the first R."""
    return _mean(outcome.r_precision)


def mrr(outcome: RetrievalResults) -> float:
    """Mean reciprocal 1-based rank of the first positive."""
    return _mean(_reciprocal(outcome))


def hit_at(outcome: TopKResults) -> float:
    """Share of queries with at least one positive among the first k."""
    return _mean(_hit(outcome))


def precision_at(outcome: TopKResults) -> float:
    """Mean share of positives among the first k; divided by k also where the gallery is smaller."""
    return _mean(_precision(outcome))


def recall_at(outcome: TopKResults) -> float:
    """Mean share of the query's positives that are among the first k."""
    return _mean(_recall(outcome))


def mean_ap_at(outcome: TopKResults) -> float:
    """Mean average precision among the first k, divided by min(R, k)."""
    return _mean(outcome.ap)


def precision_until(outcome: TopKResults) -> float:
    """Mean share of positives among the first min(k, rank of the last positive)."""
    if np.isnan(outcome.until_last).any():
        raise UndefinedError(
            "precision_until needs whole rankings; these were cut off at the task's depth"
        )
    return _mean(outcome.until_last)


def _mean(values: NDArray[np.floating]) -> float:
    if not len(values):
        raise UndefinedError("no query has a positive in the gallery")
    return float(values.mean(dtype=np.float64))


def _reciprocal(outcome: RetrievalResults) -> Doubles:
    return 1.0 / (outcome.first + 1)


def _hit(outcome: TopKResults) -> Doubles:
    return (outcome.hits > 0).astype(np.float64)


def _precision(outcome: TopKResults) -> Doubles:
    return outcome.hits / outcome.k


def _recall(outcome: TopKResults) -> Doubles:
    share: Doubles = outcome.hits / outcome.positives
    return share


METRICS = (
    Metric(
        mean_ap,
        RetrievalResults,
        "effective",
        1.0,
        True,
        "mean average precision (mAP)",
        per_example=lambda outcome: outcome.ap,
    ),
    Metric(
        mean_ap_trapezoid,
        RetrievalResults,
        "effective",
        1.0,
        True,
        "mAP with trapezoids, as Oxford and Paris",
        per_example=lambda outcome: outcome.ap_trapezoid,
    ),
    Metric(
        map_at_r,
        RetrievalResults,
        "effective",
        1.0,
        True,
        "mean average precision at R (MAP@R)",
        per_example=lambda outcome: outcome.ap_at_r,
    ),
    Metric(
        r_precision,
        RetrievalResults,
        "effective",
        1.0,
        True,
        "share of positives among the first R",
        per_example=lambda outcome: outcome.r_precision,
    ),
    Metric(
        mrr,
        RetrievalResults,
        "effective",
        1.0,
        True,
        "mean reciprocal rank of the first positive",
        per_example=_reciprocal,
    ),
    Metric(
        hit_at,
        TopKResults,
        "wilson",
        1.0,
        True,
        "queries with a positive among the first k (R@k)",
        per_example=_hit,
    ),
    Metric(
        precision_at,
        TopKResults,
        "effective",
        1.0,
        True,
        "share of positives among the first k (P@k)",
        per_example=_precision,
    ),
    Metric(
        recall_at,
        TopKResults,
        "effective",
        1.0,
        True,
        "share of the positives found among the first k",
        per_example=_recall,
    ),
    Metric(
        mean_ap_at,
        TopKResults,
        "effective",
        1.0,
        True,
        "mean average precision among the first k (mAP@k)",
        per_example=lambda outcome: outcome.ap,
    ),
    Metric(
        precision_until,
        TopKResults,
        "effective",
        1.0,
        True,
        "P@k of the revisited Oxford and Paris",
        per_example=lambda outcome: outcome.until_last,
    ),
)
