"""Records of cells, as far as they do not depend on scores. Loads no PyTorch."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from bob.engine.facts import backbone_facts, dataset_facts, task_facts
from bob.errors import BobError
from bob.plan import Cell, Plan, Workspace
from bob.records.provenance import provenance
from bob.records.record import DatasetFacts, Record


def unscored_record(
    plan: Plan,
    workspace: Workspace,
    cell: Cell,
    status: str,
    reason: str,
    details: Mapping[str, Any] | None = None,
) -> Record:
    """Return the record of a cell that has no scores; `details` are what it holds instead."""
    facts = None
    with contextlib.suppress(BobError):
        facts = facts_of_dataset(plan, workspace, cell, (), {})
    values: dict[str, Any] = {"status": status, "reason": reason, "dataset": facts}
    if details:
        values["details"] = (dict(details),)
    return Record.model_validate(
        {**identity(plan, workspace, cell), **values, "seeds": plan.settings.seeds}
    )


def facts_of_dataset(
    plan: Plan,
    workspace: Workspace,
    cell: Cell,
    read: Sequence[str],
    bad: Mapping[str, Mapping[int, str]],
) -> DatasetFacts:
    """Return the dataset of a cell as its record states it; see `dataset_facts`."""
    spec = plan.datasets.get(cell.dataset)
    return dataset_facts(
        workspace.dataset(cell.dataset),
        read,
        bad,
        plan.settings.limit,
        spec.licence if spec else None,
        workspace.report(cell.dataset),
    )


def identity(plan: Plan, workspace: Workspace, cell: Cell) -> dict[str, Any]:
    """Return which cell a record is of, and who made it."""
    spec = plan.backbones[cell.backbone]
    facts = None
    with contextlib.suppress(BobError):
        facts = backbone_facts(spec, workspace.card(spec))
    return {
        "key": cell.key,
        "backbone": facts,
        "backbone_name": cell.backbone,
        "family": spec.family,
        "task": task_facts(plan.tasks[cell.task]),
        "dataset_name": cell.dataset,
        "provenance": provenance(),
    }
