"""The runtimes that a plan states: those of the flags, or those that the cache remembers."""

import contextlib
from collections.abc import Iterable, Mapping

import torch
from pydantic import ValidationError

from bob.errors import BobError, PlanMismatchError
from bob.extraction.device import device_name, threads
from bob.extraction.runtimes.candidates import usable_candidates
from bob.extraction.runtimes.choices import Choice, ChoiceFile, choice_file, choices_of_models
from bob.extraction.runtimes.stated import RuntimeChoice
from bob.plan.plan import Forward, Pass, Plan
from bob.plan.request import Machine
from bob.plan.workspace import Workspace
from bob.specs import BackboneSpec, Output

RuntimesOfModels = dict[str, RuntimeChoice]
"""By model of device."""


def remembered(workspace: Workspace, spec: BackboneSpec, forward: Forward) -> ChoiceFile:
    """Return the file of the choice that this device remembers for a forward pass."""
    card = workspace.card(spec)
    return choice_file(
        workspace.places.cache,
        card.forward,
        card.geometry,
        [Output.model_validate(name) for name in _outputs(forward)],
        torch.device(workspace.machine.device),
        workspace.settings.precision,
    )


def stated_runtimes(
    passes: Iterable[Pass], backbones: Mapping[str, BackboneSpec], workspace: Workspace
) -> dict[str, RuntimesOfModels]:
    """Return the runtimes to state, by the backbone's name in the plan.

    They are those of the flags, where these name a runtime and a batch size, or else those that the
    cache remembers for any model of device with as many threads as here. A backbone has one for all
    outputs, that of its largest pass. Baselines have none: they always run in eager PyTorch.
    """
    machine, stated = workspace.machine, dict[str, RuntimesOfModels]()
    named = _named(machine)
    saved = choices_of_models(workspace.places.cache) if machine.is_tuned else {}
    if not (named or saved):
        return stated
    for (name, _), forward in _kinds_of_forwards(passes).items():
        spec = backbones[name]
        if spec.loader == "baseline":
            continue
        with contextlib.suppress(BobError):  # its cells say so
            found = named or _saved(workspace, remembered(workspace, spec, forward), saved)
            if found:
                stated[name] = found | stated.get(name, {})
    return stated


def _kinds_of_forwards(passes: Iterable[Pass]) -> dict[tuple[str, frozenset[str]], Forward]:
    """Return a forward per backbone and set of outputs, those of large passes first."""
    kinds: dict[tuple[str, frozenset[str]], Forward] = {}
    for image_pass in sorted(passes, key=lambda each: each.count, reverse=True):
        for forward in image_pass.forwards:
            kinds.setdefault((forward.backbone, frozenset(_outputs(forward))), forward)
    return kinds


def _outputs(forward: Forward) -> list[str]:
    return [*dict.fromkeys([*forward.outputs, *(each.output for each in forward.statistics)])]


def _named(machine: Machine) -> RuntimesOfModels:
    """Return what the flags say for this model of device; nothing where they leave a choice."""
    if machine.runtime == "auto" or not machine.batch_size:
        return {}
    device = torch.device(machine.device)
    return _chosen(device_name(device), machine.runtime, machine.batch_size, threads(device))


def _saved(
    workspace: Workspace, file: ChoiceFile, saved: Mapping[str, Mapping[str, Choice]]
) -> RuntimesOfModels:
    """Return the saved choices for a forward pass, whatever the model of device."""
    here = threads(torch.device(workspace.machine.device))
    found: RuntimesOfModels = {}
    for model, choice in saved.get(file.conditions_on_any_model, {}).items():
        found |= _chosen(model, choice.runtime, choice.batch_size, here)
    return found


def _chosen(model: str, runtime: str, batch_size: int, count: int) -> RuntimesOfModels:
    """Return a choice; nothing where a file names a runtime that does not exist."""
    values = {"runtime": runtime, "batch_size": batch_size, "threads": count}
    with contextlib.suppress(ValidationError):
        return {model: RuntimeChoice.model_validate(values)}
    return {}


def require_stated_runtimes(plan: Plan, machine: Machine) -> None:
    """Raise PlanMismatchError where a runtime that the plan states for this device is missing.

    Another one would make features of the same key that differ in their last digits.
    """
    if machine.is_remote or not machine.is_tuned:
        return
    device = torch.device(machine.device)
    usable = {each.name for each in usable_candidates(plan.settings.precision, device.type)}
    for name, of_models in plan.runtimes.items():
        stated = of_models.get(device_name(device))
        if stated and stated.runtime not in {"eager", *usable}:
            raise PlanMismatchError(
                f"the plan states {stated.runtime} for backbone {name!r} on this model of device "
                f"({device_name(device)}), and it is not installed here: install the same "
                "libraries everywhere, or name one runtime for all, such as --runtime eager "
                "--batch-size 4."
            )
