"""Metrics of retrieval: each is a mean over the queries that have a positive in the gallery.

Where items are tied, the value of a query is the expected value over all orders of the tied items
(`bob.numerics.search.per_query`), so that no score depends on the order of the gallery. Official
codes leave ties to their sort.

Metrics of full rankings (`RetrievalResults`): `mean_ap`, `mean_ap_trapezoid`, `map_at_r`,
`r_precision`, `mrr`. Metrics of the first k items (`TopKResults`, one per k of the task, which is
part of the score's name: `hit_at_k5`): `hit_at`, `precision_at`, `recall_at`, `mean_ap_at`,
`precision_until`. All have the range [0, 1].

Names that mean different things in different papers:
- "Recall@k" of metric learning (Song et al. 2016, arXiv:1511.06452) and of image-text retrieval is
  `hit_at`; recall as a fraction is `recall_at`.
- mAP is `mean_ap`; that of Oxford, Paris and their revisited versions is `mean_ap_trapezoid`
  (Radenovic et al. 2018, arXiv:1803.11285).
- mAP@k divides by min(R, k), as Google Landmarks v2 does (Weyand et al. 2020, arXiv:2004.01804);
  torchmetrics divides by the hits among the first k.
- MAP@R, from Musgrave et al. 2020 (arXiv:2003.08505), divides by R; misses among the first R weigh
  as much as hits.
- mP@k of the revisited code divides by min(k, rank of the last positive): `precision_until`; other
  papers, and `precision_at`, divide by k.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import RetrievalResults, TopKResults

EMPTY = "no query has a positive in the gallery"


def mean_ap(outcome: RetrievalResults) -> float:
    """Return the mean average precision (mAP).

    Per query: the mean over its positives of the precision at their ranks. Range (0, 1].
    """
    return mean_of(outcome.ap, if_empty=EMPTY)


def mean_ap_trapezoid(outcome: RetrievalResults) -> float:
    """Return the mean average precision with trapezoids, as in the code for Oxford and Paris.

    Per query: the area under straight lines between the points of precision and recall. Range
    (0, 1]. Source: Radenovic et al. 2018 (arXiv:1803.11285).
    """
    return mean_of(outcome.ap_trapezoid, if_empty=EMPTY)


def map_at_r(outcome: RetrievalResults) -> float:
    """Return the mean average precision at R, where R is the number of the query's positives.

    Per query: the sum of the precisions at the positives among the first R, divided by R. Range
    [0, 1]. Source: Musgrave et al. 2020 (arXiv:2003.08505).
    """
    return mean_of(outcome.ap_at_r, if_empty=EMPTY)


def r_precision(outcome: RetrievalResults) -> float:
    """Return the mean share of positives among the first R items, R being their number.

    Range [0, 1]. As in Musgrave et al. 2020 (arXiv:2003.08505).
    """
    return mean_of(outcome.r_precision, if_empty=EMPTY)


def mrr(outcome: RetrievalResults) -> float:
    """Return the mean reciprocal rank: 1 / (1-based rank of the first positive). Range (0, 1].

    Excluded items have no rank, and queries without a positive do not count. The *Battle of the
    Backbones* (Goldblum et al. 2023, arXiv:2310.19909) ranks before junk is removed, and divides by
    all queries: with as many queries without a positive, its MRR is lower.
    """
    return mean_of(outcome.reciprocal_rank, if_empty=EMPTY)


def hit_at(outcome: TopKResults) -> float:
    """Return the share of queries with at least one positive among the first k items.

    Of a query with ties, the probability of one.
    Range [0, 1]. This is "Recall@k" of Song et al. 2016 (arXiv:1511.06452).
    """
    return mean_of(outcome.found, if_empty=EMPTY)


def precision_at(outcome: TopKResults) -> float:
    """Return the mean share of positives among the first k items (P@k).

    Range [0, 1]. The divisor is k even if the gallery is smaller.
    """
    return mean_of(_precision(outcome), if_empty=EMPTY)


def recall_at(outcome: TopKResults) -> float:
    """Return the mean share of the query's positives that are among the first k. Range [0, 1]."""
    return mean_of(_recall(outcome), if_empty=EMPTY)


def mean_ap_at(outcome: TopKResults) -> float:
    """Return the mean average precision among the first k items (mAP@k).

    Per query: the sum of the precisions at the positives among the first k, divided by min(R, k).
    Range [0, 1]. Source: Weyand et al. 2020 (arXiv:2004.01804). Differs from torchmetrics, which
    divides by the hits among the first k.
    """
    return mean_of(outcome.ap, if_empty=EMPTY)


def precision_until(outcome: TopKResults) -> float:
    """Return the mean share of positives among the first min(k, rank of the last positive) items.

    Range [0, 1]. This is mP@k of Radenovic et al. 2018 (arXiv:1803.11285). Undefined for rankings
    that are cut off.
    """
    if np.isnan(outcome.until_last).any():
        raise UndefinedError(
            "precision_until needs full rankings; these are cut off at the task's depth"
        )
    return mean_of(outcome.until_last, if_empty=EMPTY)


def _precision(outcome: TopKResults) -> Doubles:
    return outcome.hits / outcome.k


def _recall(outcome: TopKResults) -> Doubles:
    share: Doubles = outcome.hits / outcome.positives
    return share


METRICS = (
    Metric(
        mean_ap,
        RetrievalResults,
        interval="effective",
        higher_is_better=True,
        summary="mean average precision (mAP)",
        per_example=lambda outcome: outcome.ap,
    ),
    Metric(
        mean_ap_trapezoid,
        RetrievalResults,
        interval="effective",
        higher_is_better=True,
        summary="mAP with trapezoids, as for Oxford and Paris",
        per_example=lambda outcome: outcome.ap_trapezoid,
    ),
    Metric(
        map_at_r,
        RetrievalResults,
        interval="effective",
        higher_is_better=True,
        summary="mean average precision at R (MAP@R)",
        per_example=lambda outcome: outcome.ap_at_r,
    ),
    Metric(
        r_precision,
        RetrievalResults,
        interval="effective",
        higher_is_better=True,
        summary="share of positives among the first R",
        per_example=lambda outcome: outcome.r_precision,
    ),
    Metric(
        mrr,
        RetrievalResults,
        interval="effective",
        higher_is_better=True,
        summary="mean reciprocal rank of the first positive",
        per_example=lambda outcome: outcome.reciprocal_rank,
    ),
    Metric(
        hit_at,
        TopKResults,
        interval="wilson",
        higher_is_better=True,
        summary="queries with a positive among the first k (R@k)",
        per_example=lambda outcome: outcome.found,
    ),
    Metric(
        precision_at,
        TopKResults,
        interval="effective",
        higher_is_better=True,
        summary="share of positives among the first k (P@k)",
        per_example=_precision,
    ),
    Metric(
        recall_at,
        TopKResults,
        interval="effective",
        higher_is_better=True,
        summary="share of the positives found among the first k",
        per_example=_recall,
    ),
    Metric(
        mean_ap_at,
        TopKResults,
        interval="effective",
        higher_is_better=True,
        summary="mean average precision among the first k (mAP@k)",
        per_example=lambda outcome: outcome.ap,
    ),
    Metric(
        precision_until,
        TopKResults,
        interval="effective",
        higher_is_better=True,
        summary="P@k of the revisited Oxford and Paris",
        per_example=lambda outcome: outcome.until_last,
    ),
)
