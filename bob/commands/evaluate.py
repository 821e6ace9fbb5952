"""`bob-bench evaluate`: files of precomputed features become records and a leaderboard."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bob.commands.arguments import local_datasets, usable_device
from bob.commands.compare import print_comparison
from bob.commands.leaderboard import publish
from bob.commands.terminal import Terminal, counted
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.errors import FAILED, OK, ConfigError, NotApplicableError, UnavailableError
from bob.io.files import require_writable, slug
from bob.io.paths import default_cache
from bob.leaderboard.cells import board_cells, column_of, comparable
from bob.leaderboard.gather import GatheredRecords
from bob.leaderboard.pairwise import compare
from bob.leaderboard.render.terminal import to_terminal
from bob.precomputed.columns import Given, read_given
from bob.precomputed.history import clash, kept, with_earlier
from bob.precomputed.own_dataset import own_examples, require_same
from bob.precomputed.record import Told, Work, solved, work
from bob.precomputed.registered_dataset import known_examples
from bob.precomputed.rows import Examples
from bob.records.record import Record
from bob.records.store import RecordStore
from bob.registry import Registry, load_registry, select, task_labels
from bob.specs import DatasetSpec, Role

FACTS = ("family", "params", "gflops", "licence", "revision")


@dataclass(frozen=True)
class Asked:
    """The files and the dataset that the arguments name."""

    files: Mapping[str, Mapping[Role | None, Path]]
    """Model name → its file, or one file per split."""
    known: DatasetSpec | None
    """The dataset with the images of the rows; None if the file holds splits and labels."""
    dataset: str


def run(arguments: argparse.Namespace) -> int:
    """Read the files, compute the scores that are not yet recorded, and write the leaderboard.

    Returns FAILED if a cell failed.
    """
    terminal, device = Terminal(), usable_device(arguments.device)
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    asked = _asked(arguments, registry)
    require_writable(arguments.results)
    works = _works(arguments, registry, asked, terminal)
    record_store = RecordStore(arguments.results)
    clash(record_store, works)
    todo = [one for one in works if arguments.fresh or not kept(record_store, one)]
    done = len(works) - len(todo)
    terminal.print(
        f"plan: {counted(len(asked.files), 'file')} of features on {device}: "
        f"{counted(len(todo), 'cell')} to do, {done} done"
    )
    try:
        records = [_do(terminal, record_store, one, device) for one in todo]
    except KeyboardInterrupt:
        publish(terminal, arguments.results)
        raise
    _show(terminal, publish(terminal, arguments.results), works)
    return FAILED if any(record.status == "failed" for record in records) else OK


def _do(terminal: Terminal, record_store: RecordStore, one: Work, device: str) -> Record:
    record, arrays = solved(one, device)
    record_store.write(record, arrays)
    terminal.cell_ends(record)
    return record


def _asked(arguments: argparse.Namespace, registry: Registry) -> Asked:
    files = _files(arguments)
    if len(files) > 1 and (
        told := [flag for flag in FACTS if getattr(arguments, flag) is not None]
    ):
        raise ConfigError(
            f"--{told[0]} describes one model, but there are {len(files)} files; "
            "evaluate them one by one to state it."
        )
    for name in files:
        if name in registry.backbones:
            raise ConfigError(
                f"--name {name!r} is a registered backbone, which may not have computed these "
                "rows; choose another name."
            )
        if name != slug(name):
            raise ConfigError(
                f"--name {name!r} is not a valid name: use only letters, digits, '.', '_' and '-'."
            )
    known = _known(arguments, registry)
    if known is None and arguments.skip_missing:
        raise ConfigError(
            "--skip-missing needs the images of a dataset: "
            "name a registered one with --dataset, or give yours with --data."
        )
    if known is None and arguments.dataset is None and len(files) > 1:
        raise ConfigError(
            "several files: name the examples that they share with --dataset NAME, "
            "or give their images with --data."
        )
    dataset = known.name if known else arguments.dataset or next(iter(files))
    if dataset != slug(dataset):
        raise ConfigError(
            f"--dataset {dataset!r} is not a valid name: "
            "use only letters, digits, '.', '_' and '-'."
        )
    return Asked(files, known, dataset)


def _files(arguments: argparse.Namespace) -> dict[str, Mapping[Role | None, Path]]:
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


def _known(arguments: argparse.Namespace, registry: Registry) -> DatasetSpec | None:
    """Return the dataset to whose images rows are matched: that of --data, or a registered one.

    None if --dataset is missing or any other name.
    """
    if arguments.data and arguments.dataset:
        raise ConfigError("--data and --dataset each name a dataset; give one of them.")
    return (
        local_datasets([arguments.data], registry)[0].spec
        if arguments.data
        else registry.datasets.get(arguments.dataset)
    )


def _works(
    arguments: argparse.Namespace, registry: Registry, asked: Asked, terminal: Terminal
) -> list[Work]:
    """Return the cells to compute, task by task, and print which tasks do not apply."""
    record_store = RecordStore(arguments.results)
    facts = {flag: getattr(arguments, flag) for flag in FACTS}
    found = [
        (with_earlier(record_store, Told(name, **facts), given), given, examples)
        for name, (given, examples) in _examples(arguments, registry, asked).items()
    ]
    for note in dict.fromkeys(note for _, _, examples in found for note in examples.notes):
        terminal.note(note)
    works: list[Work] = []
    not_applicable: list[str] = []
    for chosen in select(arguments.tasks, registry.tasks, "task", task_labels):
        for told, given, examples in found:
            try:
                works.append(
                    work(
                        told,
                        given,
                        examples,
                        chosen.spec,
                        arguments.seeds,
                        asked.known.licence if asked.known else None,
                    )
                )
            except NotApplicableError as error:
                not_applicable.append(str(error))
    for reason in dict.fromkeys(not_applicable):
        terminal.note(f"not applicable: {reason}")
    return works


def _examples(
    arguments: argparse.Namespace, registry: Registry, asked: Asked
) -> dict[str, tuple[Given, Examples]]:
    given = {name: read_given(files) for name, files in asked.files.items()}
    if asked.known:
        dataset = _opened(asked.known, arguments.cache_dir or default_cache(), registry)
        return {
            name: (one, known_examples(one, dataset, arguments.skip_missing))
            for name, one in given.items()
        }
    found = {name: (one, own_examples(one, asked.dataset)) for name, one in given.items()}
    require_same(
        [examples for _, examples in found.values()], [one.where for one in given.values()]
    )
    return found


def _opened(known: DatasetSpec, cache: Path, registry: Registry) -> Dataset:
    """Open the dataset without downloading it: the rows are already here."""
    try:
        return open_dataset(known, cache, offline=True, entries=registry.datasets)
    except UnavailableError as error:
        remedy = (
            f"Download it with `bob-bench datasets prefetch {known.name}`; or give --dataset "
            "another name, if the file holds splits and labels."
        )
        raise UnavailableError(f"{error} {remedy}") from error


def _show(terminal: Terminal, gathered: GatheredRecords, works: Sequence[Work]) -> None:
    """Print the leaderboard of the evaluated tasks, and the comparison of two models."""
    columns = {(one.task.name, one.examples.dataset.name) for one in works}
    shown = gathered.with_keys(
        {record.key for record in gathered.records if column_of(record) in columns}
    )
    if shown.records:
        terminal.render(to_terminal(shown.board()))
    names = list(dict.fromkeys(one.told.name for one in works))
    if len(names) == 2:
        cells = board_cells(comparable(shown.records)[0])
        print_comparison(terminal, compare(names[0], names[1], cells, gathered.outcomes))
