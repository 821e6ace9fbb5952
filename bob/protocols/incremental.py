"""Class-incremental learning with frozen features: classes arrive in tasks, heads are never refit.

Follows PILOT and RevisitingCIL (Sun et al. 2023, arXiv:2309.07117; Zhou et al. 2023,
arXiv:2303.07338) in the protocol: no base session, ⌈C / T⌉ classes per task, classes in the order
`np.random.seed(1993); np.random.permutation(C)`. After each task all test images of the classes
seen are classified among these. Heads:
- `ranpac`: ridge regression on 10,000 random features ReLU(Wᵀx) (McDonnell et al. 2023,
  arXiv:2307.02251, "no phase 1"; code: RanPAC/RanPAC), the penalty chosen at every task by the
  squared error on held-out rows of that task;
- `lda`: streaming linear discriminants (Hayes & Kanan 2020, arXiv:1909.01520);
- `centroid`: nearest class mean by cosine (SimpleCIL), of which `centroid` knows the expectation
  over all orders.

Differs from the official codes in these points:
- features are divided by the root of the mean squared length of the first task's rows, so that one
  grid of penalties and one ε serve features of any scale;
- RanPAC holds out the last 20 % of a task's shuffled rows; here they are the rows on which every
  other protocol chooses, stratified and by groups;
- LDA's covariance is the exact scatter within classes, which does not depend on the order of rows;
- random features are float32, as the stored features are, and all sums of them float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.numerics.arrays import Bools, Doubles, Ints
from bob.numerics.memo import Memo
from bob.outcomes import IncrementalResults
from bob.protocols.caveats import features_checked
from bob.protocols.centroid import prototypes, sizes_of_tasks, unit_rows
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    classification_needs,
    classification_problem,
    features_by_split,
)
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from torch import Tensor

PROJECTIONS: "Memo[Tensor]" = Memo(1)
"""The last projection: features of equal width share it, and drawing it costs a sixth of a cell."""
IncrementalHead = Literal["ranpac", "lda", "centroid"]


class IncrementalSettings(Closed):
    """Settings of class-incremental learning."""

    tasks: Annotated[int, Field(ge=2)]
    """Number of tasks; each brings ⌈C / tasks⌉ classes, the last one the rest."""
    order_seed: int
    """Seed of the order of classes; 1993 in the official codes."""
    heads: tuple[IncrementalHead, ...] = Field(strict=False, min_length=1)
    """Heads; the first one ranks backbones."""
    projection: Count
    """Number of random features of RanPAC."""
    log10_l2: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of RanPAC's penalty, and the number of values."""
    held_out: Annotated[float, Field(gt=0, lt=1)]
    """Share of train, per class, on which the penalty is chosen where there is no val split."""
    epsilon: Annotated[float, Field(gt=0, lt=1)]
    """Weight of the identity in LDA's covariance."""


@dataclass(frozen=True, eq=False)
class IncrementalProblem:
    """Features with their roles, and the seed of the random features."""

    problem: ClassificationProblem
    seed: int


@dataclass(frozen=True, eq=False)
class TaskOrder:
    """The classes in their order, and the task of each."""

    order: Ints
    """(C,)"""
    ends: Ints
    """(T,) number of classes seen after each task."""

    @property
    def task_of(self) -> Ints:
        """Return (C,) the task of each class."""
        places = np.searchsorted(self.ends, np.arange(len(self.order)), side="right")
        tasks = np.empty(len(self.order), np.int64)
        tasks[self.order] = places
        return tasks


class IncrementalLearning(Protocol[IncrementalSettings, IncrementalProblem]):
    """Every head after every task, on the test images of the classes seen so far."""

    name = "incremental"
    settings = IncrementalSettings
    kinds = CLASS_KINDS
    outcomes = (IncrementalResults,)

    def needs(
        self, settings: IncrementalSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        return classification_needs(dataset, backbone)

    def build(
        self,
        settings: IncrementalSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> IncrementalProblem:
        features = features_by_split(needs, inputs)
        problem = classification_problem(dataset, features, settings.held_out, seed)
        return IncrementalProblem(problem, seed)

    def solve(
        self, problem: IncrementalProblem, settings: IncrementalSettings, device: str
    ) -> Result:
        data = problem.problem
        checked = features_checked(train=data.x, test=data.test_x)
        order = task_order(data.classes, settings)
        heads = _Heads(data, order, settings, problem.seed, device)
        outcomes = {head: heads.outcome(head) for head in settings.heads}
        first = settings.heads[0]
        parts = [ResultPart(outcomes[first], facets={"head": first})]
        parts += [
            ResultPart(outcome, head, facets={"head": head}, stored=True)
            for head, outcome in outcomes.items()
        ]
        detail = {
            "classes_seen": order.ends.tolist(),
            "order": order.order.tolist(),
            "ranpac_l2": heads.chosen,
        }
        return Result(tuple(parts), detail, checked)

    def uses_seed(self, settings: IncrementalSettings, dataset: Dataset) -> bool:
        return True


def task_order(classes: int, settings: IncrementalSettings) -> TaskOrder:
    """Return the order of the official codes, and the number of classes after each task."""
    order = np.random.RandomState(settings.order_seed).permutation(classes).astype(np.int64)
    return TaskOrder(order, sizes_of_tasks(classes, settings.tasks))


class _Heads:
    """The heads of one problem, task by task."""

    def __init__(
        self,
        data: ClassificationProblem,
        order: TaskOrder,
        settings: IncrementalSettings,
        seed: int,
        device: str,
    ) -> None:
        import torch

        self.data, self.order, self.settings, self.seed = data, order, settings, seed
        self.train_task, self.test_task = order.task_of[data.y], order.task_of[data.test_y]
        self.equal = bool((data.x == data.x[0]).all())
        self.chosen: list[float] = []
        first = data.x[self.train_task == 0].astype(np.float64)
        scale = float(np.sqrt((first**2).sum(1).mean())) or 1.0
        self.x, self.test_x = (
            torch.from_numpy(rows.astype(np.float64) / scale).to(device)
            for rows in (data.x, data.test_x)
        )
        self.device = device

    def outcome(self, head: IncrementalHead) -> IncrementalResults:
        """Return the outcome of one head over all tasks."""
        right = [self._right(scores, t) for t, scores in enumerate(self._scores(head))]
        return IncrementalResults(np.stack(right, axis=1), self.test_task)

    def _scores(self, head: IncrementalHead) -> Iterator[Doubles]:
        """Yield the scores (Q, S) for the classes seen after each task."""
        if self.equal:
            for end in self.order.ends.tolist():
                yield np.zeros((len(self.data.test_y), end))
        elif head == "ranpac":
            yield from self._ranpac()
        else:
            yield from self._lda() if head == "lda" else self._centroid()

    def _seen(self, task: int) -> Ints:
        return np.sort(self.order.order[: self.order.ends[task]])

    def _right(self, scores: Doubles, task: int) -> Bools:
        """Return (Q,) which images of classes seen are predicted right by scores (Q, S)."""
        right: Bools = self._seen(task)[scores.argmax(1)] == self.data.test_y
        return right

    def _ranpac(self) -> Iterator[Doubles]:
        from bob.numerics.incremental import RandomRidge, random_projection

        data, settings = self.data, self.settings
        shape = self.x.shape[1], settings.projection, self.seed
        projection = PROJECTIONS.result(shape, lambda: random_projection(*shape).float())
        projection = projection.to(self.device)
        ridge = RandomRidge(self.x, data.y, self.test_x, projection, data.classes)
        first, last, count = settings.log10_l2
        grid, weights = 10.0 ** np.linspace(first, last, count), []
        for t in range(len(self.order.ends)):
            of_task = self.train_task == t
            held = np.flatnonzero(of_task & data.held_out)
            ridge.add(np.flatnonzero(of_task & ~data.held_out))
            penalty = float(grid[-1])
            if len(held) and len(ridge.rows):
                errors = ridge.errors(held, self._seen(t), grid.tolist())
                penalty = float(grid[int(errors.argmin())])
            ridge.add(held)
            self.chosen.append(penalty)
            weights.append(ridge.weights(self._seen(t), penalty))
        yield from ridge.scores(weights)

    def _lda(self) -> Iterator[Doubles]:
        from bob.numerics.incremental import IncrementalLda

        lda = IncrementalLda(self.data.classes, self.x.shape[1], self.settings.epsilon, self.device)
        for t in range(len(self.order.ends)):
            rows = np.flatnonzero(self.train_task == t)
            lda.learn(self.x[rows], self.data.y[rows])
            yield lda.scores(self.test_x, self._seen(t))

    def _centroid(self) -> Iterator[Doubles]:
        data = self.data
        weight, bias = prototypes(data.x, data.y, data.classes, "cosine")
        scores = unit_rows(data.test_x) @ weight.T + bias
        for t in range(len(self.order.ends)):
            yield scores[:, self._seen(t)]


PROTOCOL = IncrementalLearning()
