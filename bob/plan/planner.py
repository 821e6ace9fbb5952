"""From a request to a plan, without loading a backbone that this machine knows or opening an image."""

from collections.abc import Iterable, Mapping

from bob.backbones.card import Card, card
from bob.datasets.dataset import Dataset
from bob.datasets.open import limited, open_dataset
from bob.errors import (
    BackboneError,
    BobError,
    ConfigError,
    DatasetError,
    NotApplicableError,
    UnavailableError,
)
from bob.io.digest import digest
from bob.plan.keys import result_key, seeds_of
from bob.plan.plan import Cell, Plan, Skip
from bob.plan.request import Request
from bob.records.store import RecordBook
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec
from bob.specs.yaml import plain
from bob.wiring import WIRING, Need, TextNeed


def make_plan(request: Request) -> Plan:
    """Cells to do and done; what cannot be had is skipped with its reason, what is broken fails with its own.

    Where every dataset is broken, that is the request's error.
    """
    plan = Plan(stored=request.stored)
    broken_backbones = _meet_backbones(request, plan)
    broken_datasets = _open_datasets(request, plan)
    if broken_datasets and not plan.datasets:
        raise DatasetError("\n".join(broken_datasets.values()))
    book = request.book()
    for task in request.tasks:
        for dataset in request.datasets[task.name]:
            for backbone in request.backbones:
                _place(
                    request,
                    plan,
                    book,
                    task,
                    dataset.spec,
                    backbone.spec,
                    broken_backbones | broken_datasets,
                )
    return plan


def _meet_backbones(request: Request, plan: Plan) -> dict[str, str]:
    """Fills in the cards; returns the backbones that are there and do not work, with the reason."""
    broken: dict[str, str] = {}
    for chosen in request.backbones:
        if _too_large(request, chosen.spec.params):
            plan.too_large.append(chosen.spec.name)
            continue
        try:
            known = card_of(request, chosen.spec)
            if _too_large(request, known.params):
                plan.too_large.append(chosen.spec.name)
                continue
            plan.cards[chosen.spec] = known
            plan.backbones.append(chosen.spec)
        except UnavailableError as error:
            plan.skipped.append(Skip("backbone", chosen.spec.name, str(error), chosen.exact))
        except (BackboneError, ConfigError) as error:
            broken[chosen.spec.name] = str(error)
    return broken


def card_of(request: Request, spec: BackboneSpec) -> Card:
    """The backbone's card, with the preprocessing that was asked for."""
    known = card(spec, request.cache, request.device, request.precision, offline=request.offline)
    fast = {"preprocessing": "fast"} if request.preprocessing == "fast" else {}
    return known.model_copy(update={"geometry": known.geometry | fast})


def _too_large(request: Request, params: int | None) -> bool:
    return request.max_params is not None and params is not None and params > request.max_params


def _open_datasets(request: Request, plan: Plan) -> dict[str, str]:
    """Opens each dataset once; returns those that are there and are wrong, with the reason."""
    broken: dict[str, str] = {}
    for chosen in {
        chosen.spec.name: chosen for several in request.datasets.values() for chosen in several
    }.values():
        try:
            dataset = open_dataset(chosen.spec, request.cache, request.offline, request.entries)
            plan.datasets[chosen.spec.name] = (
                limited(dataset, request.limit, seed=0) if request.limit else dataset
            )
        except UnavailableError as error:
            plan.skipped.append(Skip("dataset", chosen.spec.name, str(error), chosen.exact))
        except DatasetError as error:
            broken[chosen.spec.name] = str(error)
    return broken


def _place(
    request: Request,
    plan: Plan,
    book: RecordBook,
    task: TaskSpec,
    dataset: DatasetSpec,
    backbone: BackboneSpec,
    broken: Mapping[str, str],
) -> None:
    """One cell into the plan: broken, not applicable, done, to do, or nowhere where its backbone or dataset is skipped."""
    without = Cell(
        backbone, task, dataset, digest(["no scores", plain(backbone), plain(task), dataset.name])
    )
    if reason := broken.get(backbone.name) or broken.get(dataset.name):
        plan.broken.append((without, reason))
        return
    if backbone not in plan.cards or dataset.name not in plan.datasets:
        return
    try:
        cell = _cell(request, plan, task, dataset, backbone)
    except NotApplicableError as error:
        _set_aside(plan, without, error)
    except BobError as error:
        plan.broken.append((without, str(error)))
    else:
        (plan.done if _is_done(request, book, cell) else plan.todo).append(cell)


def _cell(
    request: Request, plan: Plan, task: TaskSpec, spec: DatasetSpec, backbone: BackboneSpec
) -> Cell:
    dataset = plan.datasets[spec.name]
    needs = [
        need
        for need in WIRING[task.protocol].needs(task, dataset, backbone)
        if _can_be_made(request, plan, need)
    ]
    read = dataset.with_shifts({need.name for need in needs})
    return Cell(backbone, task, spec, record_key(request, plan, needs, task, read), needs)


def _can_be_made(request: Request, plan: Plan, need: Need | TextNeed) -> bool:
    """Whether the need's backbone works, filling in its card; raises where it does not and the task cannot do without."""
    try:
        if need.backbone not in plan.cards and need.backbone not in plan.refused:
            plan.cards[need.backbone] = card_of(request, need.backbone)
    except BackboneError:
        if not (isinstance(need, Need) and need.optional):
            raise
        plan.refused.add(need.backbone)
    return need.backbone in plan.cards


def _set_aside(plan: Plan, cell: Cell, error: NotApplicableError) -> None:
    if error.of == "backbone":
        plan.not_applicable.append((cell, str(error)))
    elif str(error) not in plan.unsuited:
        plan.unsuited.append(str(error))


def _is_done(request: Request, book: RecordBook, cell: Cell) -> bool:
    record = (
        None
        if request.fresh
        else book.find(cell.task.name, cell.dataset.name, cell.backbone.name, cell.key)
    )
    return (
        record is not None
        and record.status == "ok"
        and (request.skip_bad or not (record.dataset and record.dataset.bad_images))
    )


def record_key(
    request: Request, plan: Plan, needs: Iterable[Need | TextNeed], task: TaskSpec, dataset: Dataset
) -> str:
    """Everything that the scores depend on: the rows, the labels and splits, the task's settings and version, the seeds, the limit."""
    features = [(need.name, plan.key_of(need).digest()) for need in needs]
    return result_key(
        features, dataset, task, seeds_of(request.seeds, task, dataset), request.limit
    )
