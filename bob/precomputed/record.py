"""Given features into records, as those of a backbone that this machine has run; what is not known of it stays unknown."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from bob.engine.cell import arrays_of, dataset_facts, solving_on, task_facts
from bob.engine.solve import ask
from bob.errors import BobError
from bob.io.digest import digest
from bob.plan import result_key, seeds_of
from bob.precomputed.columns import Given
from bob.precomputed.evaluate import UNKNOWN
from bob.precomputed.rows import Examples
from bob.records.provenance import provenance
from bob.records.record import GIVEN, BackboneFacts, Cost, Record
from bob.specs import Family, TaskSpec
from bob.wiring import WIRING, Need


@dataclass(frozen=True)
class Told:
    """What the user says of whatever made the rows; None is not told."""

    name: str
    family: Family | None = None
    params: int | None = None
    gflops: float | None = None
    licence: str | None = None
    revision: str | None = None
    """Which state of it; rows of another revision are another backbone's."""


@dataclass(frozen=True, eq=False)
class Work:
    """One task on one file's examples."""

    told: Told
    given: Given
    examples: Examples
    task: TaskSpec
    seeds: tuple[int, ...]
    licence: str | None
    """Of the dataset."""
    key: str
    fingerprint: str
    """Of the examples that the task reads."""

    @property
    def facts(self) -> BackboneFacts:
        return facts_of(self.told, self.given)


def work(
    told: Told,
    given: Given,
    examples: Examples,
    task: TaskSpec,
    seeds: tuple[int, ...],
    licence: str | None,
) -> Work:
    """The task's key: rows, labels, splits, settings, seeds. NotApplicableError where the task cannot be asked of these examples, or of features."""
    needs = WIRING[task.protocol].needs(task, examples.dataset, UNKNOWN)
    rows = [
        (need.name, digest([_weights_hash(told, given), examples.digest(need, UNKNOWN)]))
        for need in needs
    ]
    read = examples.dataset.with_shifts({need.name for need in needs})
    drawn = seeds_of(seeds, task, examples.dataset)
    return Work(
        told,
        given,
        examples,
        task,
        drawn,
        licence,
        result_key(rows, read, task, drawn),
        read.fingerprint(),
    )


def facts_of(told: Told, given: Given) -> BackboneFacts:
    return BackboneFacts(
        name=told.name,
        family=told.family or GIVEN,
        loader=GIVEN,
        architecture="not told",
        weights=f"rows of {given.names}" + (f", revision {told.revision}" if told.revision else ""),
        weights_hash=_weights_hash(told, given),
        pooling=GIVEN,
        precision=given.dtype,
        width=given.width,
        params=told.params,
        gflops=told.gflops,
        weights_mib=None,
        geometry={},
        normalisation={},
        licence=told.licence,
    )


def _weights_hash(told: Told, given: Given) -> str:
    """Stands for weights that nobody here has seen: rows of one name, width and revision are taken for those of one backbone."""
    return digest([GIVEN, told.name, given.width, told.revision])


def solved(one: Work, device: str) -> tuple[Record, Mapping[str, NDArray[Any]]]:
    """The record and its per-example arrays; a failure becomes a failed record."""
    start = time.perf_counter()
    dataset = one.examples.dataset
    try:
        answer = ask(
            one.task,
            dataset,
            UNKNOWN,
            lambda need: one.examples.features(need, UNKNOWN),
            one.seeds,
            solving_on(device),
        )
    except BobError as error:
        return _record(one, status="failed", reason=str(error)), {}
    except Exception as error:  # a failed cell is a failed record; the others go on
        return _record(one, status="failed", reason=f"{type(error).__name__}: {error}"), {}
    seconds = time.perf_counter() - start
    record = _record(
        one,
        status="ok",
        scores=answer.scores,
        details=tuple({"seed": seed, **result.detail} for seed, result in answer.results.items()),
        cost=_cost(device, seconds),
    )
    return record, {
        f"{seed}.{name}": values
        for seed, result in answer.results.items()
        for name, values in arrays_of(result).items()
    }


def _record(one: Work, **outcome: Any) -> Record:
    needs = [
        need
        for need in WIRING[one.task.protocol].needs(one.task, one.examples.dataset, UNKNOWN)
        if isinstance(need, Need)
    ]
    bad = {need.name: one.examples.without_row(need.split) for need in needs}
    dataset = one.examples.dataset.with_shifts({need.name for need in needs})
    known = dataset_facts(dataset, bad, None, one.licence)
    values: dict[str, Any] = {
        "key": one.key,
        "backbone": one.facts,
        "backbone_name": one.told.name,
        "family": one.facts.family,
        "task": task_facts(one.task),
        "dataset": known.model_copy(update={"notes": (*known.notes, *one.examples.notes)}),
        "dataset_name": dataset.name,
        "seeds": one.seeds,
        "provenance": provenance(),
    }
    return Record(**values, **outcome)


def _cost(device: str, probe_seconds: float) -> Cost:
    """Of the probe alone: what the rows took, nobody here knows."""
    return Cost(
        device=device,
        threads=torch.get_num_threads(),
        batch_size=None,
        images=None,
        decode_seconds=None,
        forward_seconds=None,
        images_per_s=None,
        probe_seconds=probe_seconds,
    )
