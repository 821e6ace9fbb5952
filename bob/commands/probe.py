"""`bob-bench probe`: save the linear or ridge probe of a recorded cell."""

import argparse

from bob.backbones.availability import require_code_permission
from bob.backbones.devices import parse_devices
from bob.commands.arguments import require_output_file
from bob.commands.features import dataset_spec, stored_features
from bob.commands.terminal import Terminal
from bob.datasets.image_sets import ImageSet
from bob.engine.conductor import conduct
from bob.engine.local import LocalEngine
from bob.engine.solve import solver_device
from bob.errors import OK, ConfigError
from bob.extraction.passes import auto_workers
from bob.heads.fit import KeptProbe, fit_to_keep, require_recorded
from bob.heads.saved_probe import ProbeFacts, SavedProbe
from bob.io.paths import default_cache
from bob.leaderboards.per_example import headline_outcomes
from bob.leaderboards.render.text import score_text, unreadable_images
from bob.outcomes import ClassPredictions
from bob.plan import (
    Machine,
    Places,
    Plan,
    Request,
    RunSettings,
    Workspace,
    make_plan,
    make_workspace,
)
from bob.protocols.linear import LinearSettings
from bob.protocols.ridge import RidgeSettings
from bob.records.record import Record
from bob.registry import Registry, Selected, backbone_labels, load_registry, select, task_labels
from bob.specs import BackboneSpec, TaskSpec

PROTOCOLS = ("linear", "ridge")
"""Protocols whose probes can be saved."""


def run(arguments: argparse.Namespace) -> int:
    """Run the cell if it has no record, fit its probe again, and write the probe.

    ConfigError if the task has no linear or ridge probe, or if the fit differs from the record.
    """
    if arguments.to.suffix.lower() != ".safetensors":
        raise ConfigError(f"--to {str(arguments.to)!r}: must end in .safetensors.")
    require_output_file("--to", arguments.to)
    terminal = Terminal()
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    task, backbone = _task(arguments.task, registry), _backbone(arguments, registry)
    plan, workspace = _plan(arguments, registry, task, backbone)
    record = _record(plan, workspace, terminal)
    dataset = workspace.dataset(record.dataset_name)
    needs = workspace.needs(task, dataset.name, backbone)
    features = {
        name: stored_features(workspace, dataset.name, backbone, ImageSet(name))
        for name in dataset.splits
        if name in {need.name for need in needs}
    }
    device = solver_device(workspace.machine.device)
    assert isinstance(task.settings, LinearSettings | RidgeSettings)
    kept = fit_to_keep(dataset, features, task.settings, arguments.seed, device)
    (outcome,) = headline_outcomes(record, workspace.places.records().headline_arrays(record))
    assert isinstance(outcome, ClassPredictions)
    difference = require_recorded(kept.test, outcome)
    facts = _facts(record, backbone, workspace, kept, dataset.classes, arguments.seed)
    SavedProbe(kept.weight, kept.bias, facts).write(arguments.to)
    for text in unreadable_images([record]):
        terminal.note(text)
    if kept.temperature is None:
        effect = (
            "there are no probabilities" if facts.is_ridge else "probabilities are not calibrated"
        )
        terminal.note(
            "no temperature: no held-out images, or all of them are predicted right, so that "
            f"{effect}"
        )
    terminal.print(
        f"{backbone.name} on {record.dataset_name}, {len(dataset.classes)} classes: "
        f"{record.task.metrics[0]} {facts.score} on {len(kept.test):,} test images; "
        f"{_agreement_text(difference)}"
    )
    terminal.print_written([arguments.to])
    return OK


def _agreement_text(difference: float | None) -> str:
    """Return how the probe agrees with the record; `difference` is the largest of a probability."""
    if difference is None:
        return "all classes are the recorded ones"
    return f"probabilities differ from the recorded ones by {difference:.1g}"


def _task(name: str, registry: Registry) -> TaskSpec:
    """Return the task; ConfigError where it is not one linear or ridge probe."""
    selected = select(name, registry.tasks, "task", task_labels)
    if len(selected) > 1 or selected[0].spec.protocol not in PROTOCOLS:
        tasks = [task.name for task in registry.tasks.values() if task.protocol in PROTOCOLS]
        raise ConfigError(
            f"--task {name!r}: only linear and ridge probes can be saved; their tasks: "
            f"{', '.join(tasks)}."
        )
    return selected[0].spec


def _backbone(arguments: argparse.Namespace, registry: Registry) -> BackboneSpec:
    selected = select(arguments.backbone, registry.backbones, "backbone", backbone_labels)
    if len(selected) > 1:
        raise ConfigError(
            f"{arguments.backbone!r} selects {len(selected)} backbones; a probe belongs to one."
        )
    require_code_permission([selected[0].spec], arguments.allow_code)
    return selected[0].spec


def _plan(
    arguments: argparse.Namespace, registry: Registry, task: TaskSpec, backbone: BackboneSpec
) -> tuple[Plan, Workspace]:
    """Return the plan of the one cell."""
    dataset = dataset_spec(arguments, registry)
    request = Request(
        backbones=[Selected(backbone, exact=True)],
        tasks=[task],
        datasets={task.name: [Selected(dataset, exact=True)]},
        entries=registry.datasets,
        places=Places(arguments.cache_dir or default_cache(), arguments.results),
        settings=RunSettings(
            precision=arguments.precision,
            preprocessing=arguments.preprocessing,
            alpha=arguments.alpha,
            stored=arguments.store_dtype,
            skip_bad=arguments.skip_bad_images,
            seeds=(arguments.seed,),
        ),
        machine=Machine(
            devices=tuple(parse_devices(arguments.device, arguments.precision)),
            workers=auto_workers(),
            runtime="auto",
            offline=arguments.offline,
        ),
    )
    workspace = make_workspace(request)
    return make_plan(request, workspace), workspace


def _record(plan: Plan, workspace: Workspace, terminal: Terminal) -> Record:
    """Return the record of the cell, computed where there is none."""
    if missing := [skip.reason for skip in plan.skipped]:
        raise ConfigError("\n".join(missing))
    cells = list(plan.all_cells())
    if not cells or plan.not_applicable:
        reasons = [*plan.unsuited, *(unscored.reason for unscored in plan.not_applicable)]
        raise ConfigError(f"the task is not applicable: {'; '.join(reasons)}")
    list(conduct(plan, workspace, LocalEngine(workspace), terminal))
    names = (cells[0].dataset, cells[0].backbone)
    record = workspace.places.records().with_prefix(
        cells[0].key, lambda record: (record.dataset_name, record.backbone_name) == names
    )
    if record.status != "ok":
        raise ConfigError(f"the cell {record.status.replace('_', ' ')}: {record.reason}")
    return record


def _facts(
    record: Record,
    backbone: BackboneSpec,
    workspace: Workspace,
    kept: KeptProbe,
    classes: tuple[str, ...],
    seed: int,
) -> ProbeFacts:
    card, settings = workspace.card(backbone), workspace.settings
    runtime = record.cost.runtime if record.cost else None
    is_ridge = record.task.protocol == "ridge"
    return ProbeFacts(
        classes=classes,
        backbone=backbone,
        weights_hash=card.weights_hash,
        geometry=dict(card.geometry),
        normalisation=dict(card.normalisation),
        precision=settings.precision,
        preprocessing=settings.preprocessing,
        alpha=settings.alpha,
        runtime="eager" if runtime is None or "+" in runtime else runtime,
        batch_size=record.cost.batch_size if record.cost else None,
        temperature=kept.temperature,
        c=None if is_ridge else kept.penalty,
        l2_per_example=kept.penalty if is_ridge else None,
        dataset=record.dataset_name,
        fingerprint=record.dataset.fingerprint if record.dataset else "",
        task=record.task.name,
        seed=seed,
        score=score_text(record.scores[0]),
        record=record.key,
        provenance=record.provenance,
    )
