"""Episodes: N-way K-shot classification over many random small tasks.

Follows the evaluation of the few-shot literature (Vinyals et al. 2016, arXiv:1606.04080; Chen et
al. 2019, arXiv:1904.04232): N classes at random, K train images of each, 15 test images of each,
the mean over episodes with a 95 % interval. Heads on rows of length 1, as in Tian et al. 2020
(arXiv:2003.11539; official code eval/meta_eval.py): logistic regression at scikit-learn's C = 1;
ridge regression (scikit-learn's RidgeClassifier at alpha = 1; Bertinetto et al. 2019,
arXiv:1805.08136); nearest centroid (`bob.numerics.centroid`). Nothing is chosen.

Differs in these points:
- train images of an episode come from the train split and its queries from the test split; the
  literature takes both from one set of novel classes;
- episodes sample from all classes of the dataset: a frozen backbone has no base classes;
- a class is eligible with at least K train and 15 test images, byte-identical ones counted once.
  With fewer than N such classes, N-way is undefined here, and the score gives the reason.

The interval is over episodes, as in the literature. Episodes share images, so that it does not
cover the choice of test images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from bob.datasets.dataset import Dataset
from bob.errors import NotApplicableError
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.sampling import choose, generator
from bob.outcomes import FewShotCurves
from bob.protocols.caveats import features_checked, not_converged
from bob.protocols.classification import CLASS_KINDS, features_by_split
from bob.protocols.fewshot import Head, class_pools, train_and_test_needs, without_repeats
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.fewshot.episodes import Episodes


class EpisodesSettings(Closed):
    """Settings of N-way K-shot episodes."""

    ways: tuple[Annotated[int, Field(ge=2)], ...] = Field(strict=False, min_length=1)
    """Classes of an episode."""
    shots: tuple[Count, ...] = Field(strict=False, min_length=1)
    """Train images per class of an episode."""
    queries: Count
    """Test images per class of an episode."""
    episodes: Annotated[int, Field(ge=2)]
    heads: tuple[Head, ...] = Field(strict=False, min_length=1)
    """Heads; the first one's accuracy at the first ways and the last shots ranks backbones."""
    l2: Annotated[float, Field(gt=0)]
    """Penalty of ridge and logistic regression on rows of length 1: scikit-learn's alpha and
    1 / C."""

    @field_validator("heads")
    @classmethod
    def _does_not_repeat(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        return without_repeats(heads)


@dataclass(frozen=True, eq=False)
class EpisodesProblem:
    """Features, and the rows of each class."""

    x: Floats
    """(N, D) train features."""
    pools: tuple[Ints, ...]
    """Rows (n_c,) of `x` of each class that may be sampled; see `bob.numerics.sampling.pools`."""
    test_x: Floats
    """(Q, D)"""
    test_pools: tuple[Ints, ...]
    """Rows of `test_x` of each class."""
    seed: int = 0
    """Seed of the episodes."""


class EpisodeProbes(Protocol[EpisodesSettings, EpisodesProblem]):
    """The accuracy of every head in every episode, for all numbers of ways and shots."""

    name = "episodes"
    settings = EpisodesSettings
    kinds = CLASS_KINDS
    outcomes = (FewShotCurves,)

    def needs(self, settings: EpisodesSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        if len(dataset.classes) < (least := min(settings.ways)):
            raise NotApplicableError(
                f"needs {least} classes; dataset {dataset.name!r} has {len(dataset.classes)}."
            )
        return train_and_test_needs(dataset, backbone)

    def build(
        self, settings: EpisodesSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> EpisodesProblem:
        features = features_by_split(needs, inputs)
        train, test = (class_pools(dataset, name, features[name]) for name in ("train", "test"))
        return EpisodesProblem(features["train"].rows, train, features["test"].rows, test, seed)

    def solve(self, problem: EpisodesProblem, settings: EpisodesSettings, device: str) -> Result:
        import torch

        from bob.numerics.fewshot.episodes import episode_accuracies
        from bob.numerics.linear.batched_dual import TOLERANCE
        from bob.numerics.search.similarity import unit

        checked = features_checked(train=problem.x, test=problem.test_x)
        x, test_x = (torch.from_numpy(unit(rows)) for rows in (problem.x, problem.test_x))
        centre = x.mean(0)  # no head depends on the origin; float32 keeps more digits near 0
        x, test_x = (x - centre).to(device), (test_x - centre).to(device)
        parts: list[ResultPart] = []
        largest_gap = 0.0
        for ways in settings.ways:
            for shots in settings.shots:
                able = eligible_classes(problem, shots, settings.queries)
                if len(able) < ways:
                    parts += _undefined(settings, ways, shots, len(able))
                    continue
                episodes = sample_episodes(problem, able, ways, shots, settings)
                top1, gap = episode_accuracies(episodes, x, test_x, settings.heads, settings.l2)
                largest_gap = max(gap, largest_gap)
                parts += [
                    _part(head, ways, shots, values)
                    for head, values in zip(settings.heads, top1, strict=True)
                ]
        detail = {
            "episodes": settings.episodes,
            "logistic_gap": largest_gap,
            "converged": largest_gap <= TOLERANCE,
        }
        caveats = checked + not_converged(largest_gap, TOLERANCE, "the logistic head")
        return Result(tuple(_headline_first(parts, settings)), detail, caveats)

    def uses_seed(self, settings: EpisodesSettings, dataset: Dataset) -> bool:
        return True


def eligible_classes(problem: EpisodesProblem, shots: int, queries: int) -> Ints:
    """Return the classes with enough train and test images."""
    able = [
        len(train) >= shots and len(test) >= queries
        for train, test in zip(problem.pools, problem.test_pools, strict=True)
    ]
    return np.flatnonzero(able)


def sample_episodes(
    problem: EpisodesProblem, able: Ints, ways: int, shots: int, settings: EpisodesSettings
) -> "Episodes":
    """Sample episodes from the classes in `able`, the same for every backbone."""
    from bob.numerics.fewshot.episodes import Episodes

    source = generator(problem.seed, ways * 1000 + shots)
    classes = able[choose(np.full(settings.episodes, len(able)), ways, source)]
    support = _sample_rows(problem.pools, classes, shots, source)
    query = _sample_rows(problem.test_pools, classes, settings.queries, source)
    return Episodes(support, query, ways)


def _sample_rows(
    pools: tuple[Ints, ...], classes: Ints, count: int, source: np.random.PCG64
) -> Ints:
    """Return rows (E, N · count) of the classes (E, N)."""
    sizes, together = np.array([len(pool) for pool in pools]), np.concatenate(pools)
    starts = np.cumsum(sizes) - sizes
    rows: Ints = together[starts[classes][..., None] + choose(sizes[classes], count, source)]
    return rows.reshape(len(classes), -1)


def _part(head: str, ways: int, shots: int, top1: Doubles) -> ResultPart:
    curve = FewShotCurves(top1[:, None], np.array([shots]))
    suffix = f"{head}_{ways}way_{shots}shot"
    facets = _facets(head, ways, shots)
    return ResultPart(curve, suffix, facets=facets, stored=True, chance=1 / ways)


def _undefined(
    settings: EpisodesSettings, ways: int, shots: int, able: int
) -> Iterator[ResultPart]:
    """Yield parts without an outcome, one per head."""
    reason = (
        f"{ways}-way {shots}-shot needs {ways} classes with {shots} train and {settings.queries} "
        f"test images; there are {able}"
    )
    for head in settings.heads:
        suffix = f"{head}_{ways}way_{shots}shot"
        yield ResultPart(None, suffix, facets=_facets(head, ways, shots), undefined=reason)


def _facets(head: str, ways: int, shots: int) -> dict[str, Any]:
    return {"head": head, "ways": ways, "shots": shots}


def _headline_first(
    parts: Sequence[ResultPart], settings: EpisodesSettings
) -> Iterator[ResultPart]:
    """Yield the first head at the first ways and last shots without a suffix, then all parts."""
    headline = _facets(settings.heads[0], settings.ways[0], settings.shots[-1])
    (first,) = (part for part in parts if part.facets == headline)
    yield replace(first, suffix="", stored=False)
    yield from parts


PROTOCOL = EpisodeProbes()
