"""`bob-bench evaluate`: files of precomputed features become records and a leaderboard."""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bob.backbones.devices import usable_device
from bob.commands.compare import print_comparison
from bob.commands.leaderboard import publish
from bob.commands.terminal import Terminal, counted
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.output_folders import require_images_apart
from bob.errors import FAILED, OK, ConfigError, NotApplicableError, UnavailableError
from bob.io.files import require_writable, slug
from bob.io.paths import default_cache
from bob.leaderboards.advice import advise
from bob.leaderboards.cells import board_cells, column_of, comparable
from bob.leaderboards.gather import GatheredRecords
from bob.leaderboards.limits import BackboneLimits
from bob.leaderboards.page.html import PAGE_FILE
from bob.leaderboards.pairwise import compare
from bob.leaderboards.render.conclusion import conclusion_sentences
from bob.leaderboards.render.terminal import to_terminal
from bob.precomputed.columns import read_feature_file
from bob.precomputed.history import (
    require_consistent_records,
    reuse_record,
    with_recorded_facts,
)
from bob.precomputed.own_dataset import file_examples, require_same_examples
from bob.precomputed.record import (
    DeclaredFacts,
    PrecomputedCell,
    PrecomputedModel,
    evaluate_cell,
    make_cell,
)
from bob.precomputed.registered_dataset import matched_examples
from bob.records.record import Record
from bob.records.store import RecordStore
from bob.registry import Registry, load_registry, local_datasets, select, task_labels
from bob.specs import DataOptions, DatasetSpec, Role

FACT_FLAGS = ("family", "params", "gflops", "licence", "revision")


@dataclass(frozen=True)
class FeatureSource:
    """The feature files and the dataset that the arguments name."""

    paths: Mapping[str, Mapping[Role | None, Path]]
    """Model name → its file (key None), or one file per split."""
    spec: DatasetSpec | None
    """The dataset to whose images rows are matched; None where the files define the dataset."""
    dataset: str
    """Name of the dataset."""


def run(arguments: argparse.Namespace) -> int:
    """Read the files, compute the scores that are not yet recorded, and write the leaderboard.

    Returns FAILED if a cell failed.
    """
    terminal, device = Terminal(), usable_device(arguments.device)
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    source = _source(arguments, registry)
    if source.spec:
        require_images_apart(source.spec, {"results": arguments.results})
    require_writable(arguments.results)
    cells = _cells(arguments, registry, source, terminal)
    record_store = RecordStore(arguments.results)
    require_consistent_records(record_store, cells)
    todo = [cell for cell in cells if arguments.fresh or not reuse_record(record_store, cell)]
    done = len(cells) - len(todo)
    terminal.print(
        f"plan: {counted(len(source.paths), 'file')} of features on {device}: "
        f"{counted(len(todo), 'cell')} to do, {done} done"
    )
    try:
        records = [_compute(terminal, record_store, cell, device) for cell in todo]
    except KeyboardInterrupt:
        publish(terminal, arguments.results)
        raise
    _show(terminal, publish(terminal, arguments.results), cells, arguments.results / PAGE_FILE)
    return FAILED if any(record.status == "failed" for record in records) else OK


def _compute(
    terminal: Terminal, record_store: RecordStore, cell: PrecomputedCell, device: str
) -> Record:
    """Evaluate a cell, write its record and print its headline."""
    record, arrays = evaluate_cell(cell, device)
    record_store.write(record, arrays)
    terminal.cell_ends(record)
    return record


def _source(arguments: argparse.Namespace, registry: Registry) -> FeatureSource:
    """Return the files and the dataset after checking their names."""
    paths = _paths(arguments)
    declared = [flag for flag in FACT_FLAGS if getattr(arguments, flag) is not None]
    if len(paths) > 1 and declared:
        raise ConfigError(
            f"--{declared[0]} describes one model, but there are {len(paths)} files; "
            "evaluate them one by one to state it."
        )
    for name in paths:
        if name in registry.backbones:
            raise ConfigError(
                f"--name {name!r} is a registered backbone, which may not have computed these "
                "rows; choose another name."
            )
        _require_valid_name("--name", name)
    spec = _image_dataset(arguments, registry)
    if spec is None and arguments.skip_missing:
        raise ConfigError(
            "--skip-missing needs the images of a dataset: "
            "name a registered one with --dataset, or give yours with --data."
        )
    if spec is None and arguments.dataset is None and len(paths) > 1:
        raise ConfigError(
            "several files: name the examples that they share with --dataset NAME, "
            "or give their images with --data."
        )
    dataset = spec.name if spec else arguments.dataset or next(iter(paths))
    _require_valid_name("--dataset", dataset)
    return FeatureSource(paths, spec, dataset)


def _require_valid_name(flag: str, name: str) -> None:
    if name != slug(name):
        raise ConfigError(
            f"{flag} {name!r} is not a valid name: use only letters, digits, '.', '_' and '-'."
        )


def _paths(arguments: argparse.Namespace) -> dict[str, Mapping[Role | None, Path]]:
    """Return model name → its files; names come from --name or from the files."""
    sides: dict[Role, Path | None] = {
        "train": arguments.train,
        "val": arguments.val,
        "test": arguments.test,
    }
    by_split: dict[Role | None, Path] = {
        role: path for role, path in sides.items() if path is not None
    }
    if bool(by_split) == bool(arguments.files):
        raise ConfigError(
            "give files of features, or one file per split with --train FILE --test FILE."
        )
    if by_split and "train" not in by_split:
        raise ConfigError("--train is missing; --val and --test are used together with it.")
    models: list[Mapping[Role | None, Path]] = (
        [by_split] if by_split else [{None: path} for path in arguments.files]
    )
    names = (
        arguments.name.split(",")
        if arguments.name
        else [slug(next(iter(model.values())).absolute().stem) for model in models]
    )
    if len(names) != len(models) or len(set(names)) < len(names):
        raise ConfigError(
            f"--name must give {counted(len(models), 'file')} different names, "
            f"separated by commas; got {', '.join(map(repr, names))}."
        )
    return dict(zip(names, models, strict=True))


def _image_dataset(arguments: argparse.Namespace, registry: Registry) -> DatasetSpec | None:
    """Return the dataset to whose images rows are matched: that of --data, or a registered one.

    None if --dataset is missing or any other name.
    """
    if arguments.data and arguments.dataset:
        raise ConfigError("--data and --dataset each name a dataset; give one of them.")
    paths = [arguments.data] if arguments.data else []
    # --train, --val and --test are files of features here, not conditions
    options = DataOptions(test_split=arguments.test_split, normal=tuple(arguments.normal))
    if local := local_datasets(paths, registry, [options]):
        return local[0].spec
    return registry.datasets.get(arguments.dataset)


def _cells(
    arguments: argparse.Namespace, registry: Registry, source: FeatureSource, terminal: Terminal
) -> list[PrecomputedCell]:
    """Return the cells of all tasks and models, and print which tasks do not apply.

    NotApplicableError where none of the tasks applies to the dataset.
    """
    models = _models(arguments, registry, source)
    notes = [(*model.examples.dataset.notes, *model.examples.notes) for model in models]
    for note in dict.fromkeys(itertools.chain.from_iterable(notes)):
        terminal.note(note)
    licence = source.spec.licence if source.spec else None
    cells: list[PrecomputedCell] = []
    not_applicable: list[NotApplicableError] = []
    for selected in select(arguments.tasks, registry.tasks, "task", task_labels):
        for model in models:
            try:
                cells.append(make_cell(model, selected.spec, arguments.seeds, licence))
            except NotApplicableError as error:
                not_applicable.append(error)
    for reason in dict.fromkeys(map(str, not_applicable)):
        terminal.note(f"not applicable: {reason}")
    if not cells and any(error.subject == "dataset" for error in not_applicable):
        raise NotApplicableError("no task applies to the dataset; see the reasons above.")
    return cells


def _models(
    arguments: argparse.Namespace, registry: Registry, source: FeatureSource
) -> list[PrecomputedModel]:
    """Read the files of all models and match their rows to the dataset's examples."""
    record_store = RecordStore(arguments.results)
    facts = {flag: getattr(arguments, flag) for flag in FACT_FLAGS}
    files = {name: read_feature_file(paths) for name, paths in source.paths.items()}
    if source.spec:
        cache = arguments.cache_dir or default_cache()
        dataset = _open_local(source.spec, cache, registry)
        examples = [
            matched_examples(file, dataset, arguments.skip_missing) for file in files.values()
        ]
    else:
        examples = [file_examples(file, source.dataset) for file in files.values()]
        require_same_examples(examples, [file.where for file in files.values()])
    models = []
    for (name, file), examples_of_file in zip(files.items(), examples, strict=True):
        declared = with_recorded_facts(record_store, DeclaredFacts(name, **facts), file)
        models.append(PrecomputedModel(declared, file, examples_of_file))
    return models


def _open_local(spec: DatasetSpec, cache: Path, registry: Registry) -> Dataset:
    """Open the dataset without downloading it: the rows are already here."""
    try:
        return open_dataset(spec, cache, offline=True, entries=registry.datasets)
    except UnavailableError as error:
        remedy = (
            f"Download it with `bob-bench datasets prefetch {spec.name}`; or give --dataset "
            "another name, if the file holds splits and labels."
        )
        raise UnavailableError(f"{error} {remedy}") from error


def _show(
    terminal: Terminal, gathered: GatheredRecords, cells: Sequence[PrecomputedCell], page: Path
) -> None:
    """Print the leaderboard of the evaluated tasks, the comparison of two models, a conclusion."""
    columns = {(cell.task.name, cell.dataset.name) for cell in cells}
    shown = gathered.with_keys(
        {record.key for record in gathered.records if column_of(record) in columns}
    )
    if shown.records:
        terminal.render(to_terminal(shown.board()))
    names = list(dict.fromkeys(cell.backbone for cell in cells))
    if len(names) == 2:
        board = board_cells(comparable(shown.records)[0])
        print_comparison(terminal, compare(names[0], names[1], board, gathered.per_example))
    if shown.records:
        for sentence in conclusion_sentences(
            advise(shown.records, BackboneLimits(), shown.per_example)
        ):
            terminal.print(sentence)
        terminal.print(f"Charts, and how each number was made: {page}")
