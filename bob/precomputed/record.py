"""Records of precomputed features.

Facts about the model that the user does not state stay unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset
from bob.engine.facts import dataset_facts, task_facts
from bob.errors import BobError
from bob.io.digest import digest
from bob.plan import result_key
from bob.precomputed.columns import FeatureFile
from bob.precomputed.rows import Examples
from bob.precomputed.solve import feature_needs, solve_on_features
from bob.protocols import FeatureNeed, protocol_named
from bob.records.provenance import provenance
from bob.records.record import PRECOMPUTED, BackboneFacts, Cost, Record
from bob.specs import Family, TaskSpec


@dataclass(frozen=True)
class DeclaredFacts:
    """What the user states about the model that computed the features; None is unknown."""

    name: str
    family: Family | None = None
    params: int | None = None
    gflops: float | None = None
    licence: str | None = None
    revision: str | None = None
    """Version of the model; features of another revision count as another backbone's."""


@dataclass(frozen=True, eq=False)
class PrecomputedModel:
    """The features of one model, matched to the examples of a dataset."""

    declared: DeclaredFacts
    file: FeatureFile
    examples: Examples


@dataclass(frozen=True, eq=False)
class PrecomputedCell:
    """One model on one task."""

    model: PrecomputedModel
    task: TaskSpec
    needs: Sequence[FeatureNeed]
    seeds: tuple[int, ...]
    licence: str | None
    """Licence of the dataset."""
    key: str
    """Digest of everything that its scores depend on."""
    fingerprint: str
    """Fingerprint of the dataset with the shifts that are read."""

    @property
    def facts(self) -> BackboneFacts:
        """The model as a record states it."""
        return model_facts(self.model.declared, self.model.file)

    @property
    def backbone(self) -> str:
        """Name of the model."""
        return self.model.declared.name

    @property
    def dataset(self) -> Dataset:
        return self.model.examples.dataset


def make_cell(
    model: PrecomputedModel, task: TaskSpec, seeds: tuple[int, ...], licence: str | None
) -> PrecomputedCell:
    """Return a cell with its key, which covers rows, labels, splits, settings and seeds.

    NotApplicableError where the task does not apply to the dataset, or the task needs images.
    """
    dataset, examples = model.examples.dataset, model.examples
    needs = feature_needs(task, dataset)
    weights = _weights_hash(model.declared, model.file)
    features = [(need.name, digest([weights, examples.digest(need)])) for need in needs]
    fingerprint = dataset.fingerprint(need.name for need in needs)
    uses_seed = protocol_named(task.protocol).uses_seed(task.settings, dataset)
    seeds = seeds if uses_seed else seeds[:1]
    key = result_key(features, fingerprint, task, seeds)
    return PrecomputedCell(model, task, needs, seeds, licence, key, fingerprint)


def model_facts(declared: DeclaredFacts, file: FeatureFile) -> BackboneFacts:
    """Return the model of a file as a record states it."""
    revision = f", revision {declared.revision}" if declared.revision else ""
    return BackboneFacts(
        name=declared.name,
        family=declared.family or PRECOMPUTED,
        loader=PRECOMPUTED,
        architecture="unknown",
        weights=f"rows of {file.names}{revision}",
        weights_hash=_weights_hash(declared, file),
        output=PRECOMPUTED,
        precision=file.dtype,
        width=file.width,
        params=declared.params,
        gflops=declared.gflops,
        weights_mib=None,
        geometry={},
        normalisation={},
        licence=declared.licence,
    )


def _weights_hash(declared: DeclaredFacts, file: FeatureFile) -> str:
    """Return a hash in place of that of the weights, which are not available.

    Features of one name, width and revision count as those of one backbone.
    """
    return digest([PRECOMPUTED, declared.name, file.width, declared.revision])


def evaluate_cell(cell: PrecomputedCell, device: str) -> tuple[Record, Mapping[str, NDArray[Any]]]:
    """Return the record of a cell and its per-example arrays; a failure is a record too."""
    try:
        examples = cell.model.examples
        solution = solve_on_features(cell.task, examples, cell.needs, cell.seeds, device)
    except BobError as error:
        return _record(cell, status="failed", reason=str(error)), {}
    except Exception as error:  # a failed cell is a failed record; the others continue
        return _record(cell, status="failed", reason=f"{type(error).__name__}: {error}"), {}
    record = _record(
        cell,
        status="ok",
        scores=solution.scores,
        details=solution.details(),
        cost=_cost(device, solution.seconds),
    )
    return record, solution.arrays()


def _record(cell: PrecomputedCell, **outcome: Any) -> Record:
    """Return the record of a cell with what is known before it is solved."""
    examples = cell.model.examples
    missing = {
        need.name: examples.without_row(need.images.open(cell.dataset)) for need in cell.needs
    }
    dataset = dataset_facts(cell.dataset, missing.keys(), missing, None, cell.licence)
    notes = (*dataset.notes, *examples.notes)
    values: dict[str, Any] = {
        "key": cell.key,
        "backbone": cell.facts,
        "backbone_name": cell.backbone,
        "family": cell.facts.family,
        "task": task_facts(cell.task),
        # which background transparent images had is not known
        "dataset": dataset.model_copy(update={"notes": notes, "alpha": None}),
        "dataset_name": cell.dataset.name,
        "seeds": cell.seeds,
        "provenance": provenance(),
    }
    return Record(**values, **outcome)


def _cost(device: str, probe_seconds: float) -> Cost:
    """Return the cost of the probe alone; that of extraction is unknown."""
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
