"""N-shot probes: linear heads fitted to N train images per class, over seeded samples.

Follows big_vision's few-shot evaluation (evaluators/fewshot_lsr.py; Kolesnikov et al. 2020,
arXiv:1912.11370) in its samples and its ridge head: one permutation per class and sample, of which
N shots are the first N, so that samples of more shots contain those of fewer; features standardised
with the mean and standard deviation of the sampled rows; one-vs-rest targets of ±1; the largest
output wins. The logistic head solves the linear probe's problem (`bob.protocols.linear`), and the
centroid head is `bob.numerics.centroid`.

Choosing the penalty: there is no held-out data at one shot, so it is not chosen. It is fixed
relative to the features: l2 · (mean squared length of the centred train rows), in the sum-form
objectives of `bob.numerics.linear.batched_dual`. Standardised rows have a mean squared length of D,
so that l2 = 1 is big_vision's constant 2^10 at the width of its ViT-L, 1024, and the same trade-off
at any other width; for rows of length 1 it is the C = 1 of Tian et al. 2020 (arXiv:2003.11539).
(big_vision's first release took the best of 30 penalties on the reported split: a leak.)

Differs from big_vision in these points:
- 10 samples in place of 3, with Student's t interval over them. It covers the choice of train
  images, not that of test images;
- samples depend on images and labels only, not on their order, and byte-identical images count once
  (`bob.numerics.sampling`);
- a class with fewer than N train images makes N shots undefined, where their code continues with
  fewer. Label efficiency is then over the numbers of shots that every class can serve, which the
  facet and the detail state;
- the penalty follows the width D of the features instead of being 2^10 throughout;
- the intercept is free, where theirs is a constant feature of 100 under the penalty.

Groups of test images are compared by the first head at most shots: an image counts by the share of
samples whose head is right, and intervals are over images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from bob.datasets.dataset import Dataset, SplitName
from bob.features.store import Features
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.sampling import choose, generator, pools
from bob.outcomes import FewShotCurves
from bob.protocols.caveats import features_checked, not_converged
from bob.protocols.classification import CLASS_KINDS, classification_needs, features_by_split
from bob.protocols.needs import FeatureNeed, Inputs, Needs
from bob.protocols.protocol import Answers, Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

Head = Literal["ridge", "logistic", "centroid"]


class FewShotSettings(Closed):
    """Settings of N-shot probes."""

    shots: tuple[Count, ...] = Field(strict=False, min_length=2)
    """Train images per class, ascending."""
    draws: Annotated[int, Field(ge=2)]
    """Number of samples of train images; an interval needs two."""
    heads: tuple[Head, ...] = Field(strict=False, min_length=1)
    """Heads; the first one's label efficiency ranks backbones."""
    l2: Annotated[float, Field(gt=0)]
    """Penalty of ridge and logistic regression, in units of the mean squared length of the centred
    train rows."""

    @field_validator("shots")
    @classmethod
    def _ascends(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        if list(shots) != sorted(set(shots)):
            raise ValueError(f"must ascend without repeats; got {list(shots)!r}")
        return shots

    @field_validator("heads")
    @classmethod
    def _does_not_repeat(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        return without_repeats(heads)


def without_repeats(heads: tuple[str, ...]) -> tuple[str, ...]:
    """Return the heads; ValueError where one is repeated."""
    if len(set(heads)) < len(heads):
        raise ValueError(f"must not repeat a head; got {list(heads)!r}")
    return heads


@dataclass(frozen=True, eq=False)
class FewShotProblem:
    """Features with their roles."""

    x: Floats
    """(N, D) train features."""
    pools: tuple[Ints, ...]
    """Train rows (n_c,) of each class that may be sampled; see `bob.numerics.sampling.pools`."""
    test_x: Floats
    """(Q, D)"""
    test_y: Ints
    """(Q,)"""
    classes: tuple[str, ...]
    """C names."""
    seed: int = 0
    """Seed of the samples."""


class FewShotProbes(Protocol[FewShotSettings, FewShotProblem]):
    """The accuracy of every head at every number of shots, for each sample of train images."""

    name = "fewshot"
    settings = FewShotSettings
    kinds = CLASS_KINDS
    outcomes = (FewShotCurves,)

    def needs(self, settings: FewShotSettings, dataset: Dataset, backbone: BackboneSpec) -> Needs:
        return train_and_test_needs(dataset, backbone)

    def build(
        self, settings: FewShotSettings, dataset: Dataset, needs: Needs, inputs: Inputs, seed: int
    ) -> FewShotProblem:
        features = features_by_split(needs, inputs)
        test_y = dataset.splits["test"].y[features["test"].positions]
        train = class_pools(dataset, "train", features["train"])
        x, test_x = features["train"].rows, features["test"].rows
        return FewShotProblem(x, train, test_x, test_y, dataset.classes, seed)

    def solve(self, problem: FewShotProblem, settings: FewShotSettings, device: str) -> Result:
        from bob.numerics.fewshot.heads import sample_answers
        from bob.numerics.linear.batched_dual import TOLERANCE

        checked = features_checked(train=problem.x, test=problem.test_x)
        smallest = min(len(pool) for pool in problem.pools)
        served = [shots for shots in settings.shots if shots <= smallest]
        samples = sample_rows(problem.pools, settings.draws, max(served, default=0), problem.seed)
        x, test_x, test_y = problem.x, problem.test_x, problem.test_y
        of_heads = [
            sample_answers(head, x, samples, served, test_x, test_y, settings.l2, device)
            for head in settings.heads
        ]
        gap = max(of_head.gap for of_head in of_heads)
        parts = _parts(problem, settings, served, [of_head.top1 for of_head in of_heads])
        detail = {
            "draws": settings.draws,
            "shots": served,
            "shots_left_out": [shots for shots in settings.shots if shots not in served],
            "smallest_class": _smallest(problem),
            "l2": settings.l2,
            "logistic_gap": gap,
            "converged": gap <= TOLERANCE,
        }
        caveats = checked + not_converged(gap, TOLERANCE, "the logistic head")
        answers: dict[str, Answers] = {}
        if served:
            answers[f"{settings.heads[0]}_{served[-1]}shot"] = Answers(of_heads[0].right)
        return Result(tuple(parts), detail, caveats, answers)

    def uses_seed(self, settings: FewShotSettings, dataset: Dataset) -> bool:
        return True


def train_and_test_needs(dataset: Dataset, backbone: BackboneSpec) -> list[FeatureNeed]:
    """Return the needs of train and test; val is not read, since nothing is chosen."""
    return [need for need in classification_needs(dataset, backbone) if need.name != "val"]


def class_pools(dataset: Dataset, name: SplitName, features: Features) -> tuple[Ints, ...]:
    """Return the rows (n_c,) of each class of a split that may be sampled."""
    split = dataset.splits[name]
    content = [split.content[i] for i in features.positions]
    return pools(split.y[features.positions], content, len(dataset.classes))


def sample_rows(pools: tuple[Ints, ...], count: int, shots: int, seed: int) -> Ints:
    """Return `count` samples of train rows, (count, C, shots).

    The first rows of a class depend neither on `shots` nor on the number of samples.
    """
    sizes = np.array([len(pool) for pool in pools])
    chosen = np.stack([choose(sizes, shots, generator(seed, draw)) for draw in range(count)])
    return np.stack([pool[chosen[:, c]] for c, pool in enumerate(pools)], axis=1)


def _parts(
    problem: FewShotProblem,
    settings: FewShotSettings,
    served: list[int],
    top1: Sequence[Doubles],
) -> Iterator[ResultPart]:
    """Yield the label efficiency of every head, then its accuracy at every number of shots."""
    shots_range = f"{served[0]}-{served[-1]}" if served else "none"
    curves = [FewShotCurves(values, np.array(served)) if served else None for values in top1]
    for i, (head, curve) in enumerate(zip(settings.heads, curves, strict=True)):
        undefined = None
        if len(served) < 2:
            undefined = (
                "label efficiency needs two numbers of shots that every class can serve; "
                f"{_smallest(problem)}"
            )
        yield ResultPart(
            None if undefined else curve,
            head if i else "",
            ("label_efficiency",),
            {"head": head, "shots": shots_range},
            stored=True,
            undefined=undefined,
            chance=1 / len(problem.classes),
        )
    for head, curve in zip(settings.heads, curves, strict=True):
        for shots in settings.shots:
            outcome = curve.at(shots) if curve is not None and shots in served else None
            undefined = None
            if outcome is None:
                undefined = (
                    f"{shots} shots need as many train images per class; {_smallest(problem)}"
                )
            yield ResultPart(
                outcome,
                f"{head}_{shots}shot",
                ("few_shot_top1",),
                {"head": head, "shots": shots},
                stored=True,
                undefined=undefined,
                chance=1 / len(problem.classes),
            )


def _smallest(problem: FewShotProblem) -> str:
    """Return the smallest class as text: "class 'flag' has 9"."""
    sizes = [len(pool) for pool in problem.pools]
    c = int(np.argmin(sizes))
    return f"class {problem.classes[c]!r} has {sizes[c]} (byte-identical ones counted once)"


PROTOCOL = FewShotProbes()
