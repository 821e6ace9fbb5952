"""Solve."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bob.datasets.dataset import Dataset
from bob.engine.scores import scores
from bob.features.store import Features
from bob.protocols.protocol import Result
from bob.records.record import Score
from bob.specs import BackboneSpec, TaskSpec
from bob.wiring import WIRING, Need, TextNeed


@dataclass(frozen=True, eq=False)
class Answer:
    """What one task said."""

    task: TaskSpec
    scores: tuple[Score, ...]
    """Every metric of every part and seed, as a record holds them."""
    results: Mapping[int, Result]
    """Seed → the protocol's own answer: outcomes per example, and in `detail` what was chosen."""

    @property
    def score(self) -> Score:
        """The ranking metric of the first seed."""
        return self.scores[0]


def ask(
    task: TaskSpec,
    dataset: Dataset,
    backbone: BackboneSpec,
    features: Callable[[Need | TextNeed], Features],
    seeds: Sequence[int],
    device: str,
) -> Answer:
    """One task's answer on a dataset whose rows are at hand; `features` raises NotApplicableError for what cannot be had."""
    wired = WIRING[task.protocol]
    needs = wired.needs(task, dataset, backbone)
    found = {id(need): features(need) for need in needs}
    drawn = wired.draws(task, dataset)
    results = {
        seed: wired.solve(task, dataset, needs, lambda need: found[id(need)], seed, device)
        for seed in (seeds if drawn else list(seeds)[:1])
    }
    told = [
        score
        for seed, result in results.items()
        for part in result.parts
        for score in scores(part, task.metrics, seed if drawn else None)
    ]
    return Answer(task, tuple(told), results)
