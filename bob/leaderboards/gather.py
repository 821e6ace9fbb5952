"""Reading of records from results folders and of published tables."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bob.datasets.own import recorded_options
from bob.datasets.own_names import own_dataset_name
from bob.errors import ConfigError, StoreError, first_line
from bob.leaderboards.board import Board, make_board
from bob.leaderboards.cells import comparable
from bob.leaderboards.column_roles import NO_ROLES, ColumnRoles
from bob.leaderboards.csv_table import read_rows
from bob.leaderboards.limits import select_records
from bob.leaderboards.merge import merge, record_identity
from bob.leaderboards.per_example import headline_outcomes, per_example_values
from bob.leaderboards.published import read_published, rename_clashes
from bob.leaderboards.similarities import similarity_matrices
from bob.metrics.score_ranges import score_problem
from bob.numerics.arrays import Doubles
from bob.protocols import load_protocols
from bob.records.record import Record
from bob.records.similarities import Similarities, combined, read_similarities
from bob.records.store import Arrays, RecordStore

T = TypeVar("T")


@dataclass(frozen=True)
class GatheredRecords:
    """Records of results folders, with published results beside them."""

    records: tuple[Record, ...]
    arrays: Callable[[Record], Arrays]
    """Reads the arrays of a record's headline outcome; empty for published results."""
    notes: tuple[str, ...]
    """Notes about published tables, and about unreadable similarities."""
    conflicts: tuple[str, ...]
    """Records of one key with different values; see `bob.leaderboards.merge`."""
    damaged: tuple[str, ...]
    """Records that are set aside because they cannot be read or cannot be right, and why."""
    similarities: tuple[Similarities, ...] = ()
    """One of each dataset and split; see `bob-bench similarity`."""
    damaged_arrays: dict[str, None] = field(default_factory=dict, compare=False)
    """Messages about per-example results that turned out to be damaged when they were read."""

    def per_example(self, record: Record) -> Doubles | None:
        """Return the per-example values; see `bob.leaderboards.per_example.PerExample`.

        None, with a message in `damaged_arrays`, if they are damaged.
        """
        return self._from_arrays(record, _finite_values, None)

    def outcomes(self, record: Record) -> list[Any]:
        """Return the headline outcome per seed; empty, with a message, if it is damaged."""
        return self._from_arrays(record, headline_outcomes, [])

    def _from_arrays(self, record: Record, read: Callable[[Record, Arrays], T], if_damaged: T) -> T:
        try:
            return read(record, self.arrays(record))
        except StoreError as error:
            problem = str(error)
        except Exception as error:  # arrays of another program fail in ways of their own
            problem = f"Its per-example results are odd ({first_line(error)})."
        self.damaged_arrays[
            f"{record.task.name} on {record.dataset_name}, {record.backbone_name}: differences "
            f"cannot be tested. {problem} The next run computes the cell again."
        ] = None
        return if_damaged

    def with_keys(self, keys: Collection[str]) -> "GatheredRecords":
        """Return the selection of the records with these keys."""
        return replace(self, records=tuple(record for record in self.records if record.key in keys))

    def board(self) -> Board:
        conflicts = [f"conflict: {text}." for text in self.conflicts]
        board = make_board(self.records, self.per_example, (*conflicts, *self.notes))
        similarities, stale = similarity_matrices(self.similarities, board.records)
        left_out = [f"{_counted(len(self.damaged))} damaged and left out."] if self.damaged else []
        notes = (*board.notes, *stale, *left_out, *self.damaged_arrays)
        return replace(board, similarities=tuple(similarities), notes=notes)

    @property
    def problems(self) -> tuple[str, ...]:
        """Messages about damaged records, and about damaged arrays among those read so far."""
        return (*self.damaged, *self.damaged_arrays)


def _counted(records: int) -> str:
    return "1 record is" if records == 1 else f"{records} records are"


def _finite_values(record: Record, arrays: Arrays) -> Doubles | None:
    values = per_example_values(record, arrays)
    if values is not None and not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    return values


def gather(
    folders: Sequence[Path], tables: Sequence[Path] = (), roles: ColumnRoles = NO_ROLES
) -> GatheredRecords:
    """Read and merge the records of all folders, and the results of published tables.

    `roles` are those of columns of the tables.

    Raises
    ------
    ConfigError
        If one of several folders has no records, or if a table is unreadable or malformed.
    """
    load_protocols()  # which registers the metrics of installed packages
    stores = {str(folder): RecordStore(folder) for folder in folders}
    contents = {name: _read_store(store) for name, store in stores.items()}
    if len(folders) > 1:
        for name, (records, damaged) in contents.items():
            if not records and not damaged:
                raise ConfigError(
                    f"{name}: no records; a results folder has them in its subfolder `records`."
                )
    merged = merge({name: records for name, (records, _) in contents.items()})
    published, notes = _read_tables(merged.records, tables, roles)
    kept = [read_similarities(folder) for folder in folders]

    def arrays(record: Record) -> Arrays:
        if record.external:
            return {}
        return stores[merged.source[record_identity(record)]].headline_arrays(record)

    return GatheredRecords(
        records=(*merged.records, *published),
        arrays=arrays,
        notes=(*notes, *(problem for _, problems in kept for problem in problems)),
        similarities=tuple(combined(one for similarities, _ in kept for one in similarities)),
        conflicts=merged.conflicts,
        damaged=tuple(problem for _, problems in contents.values() for problem in problems),
    )


def _read_store(store: RecordStore) -> tuple[list[Record], list[str]]:
    """Return the records of a folder, and messages about those that are set aside."""
    records, damaged = store.read_all()
    plausible = []
    for record in records:
        if problem := score_problem(record):
            cell = f"{record.task.name} on {record.dataset_name}, {record.backbone_name}"
            damaged.append(
                f"{store.root}: record {record.key[:16]} ({cell}) is set aside: {problem}. "
                "The next run creates it again."
            )
        else:
            plausible.append(record)
    return plausible, damaged


def _read_tables(
    measured: Sequence[Record], tables: Sequence[Path], roles: ColumnRoles
) -> tuple[list[Record], list[str]]:
    """Return the records of published tables, renamed where names clash, and notes about them."""
    published: list[Record] = []
    by_table, notes = read_tables(tables, roles)
    for records in by_table:
        published += rename_clashes([*measured, *published], records)
    return published, notes


def read_tables(
    tables: Sequence[Path], roles: ColumnRoles = NO_ROLES
) -> tuple[list[list[Record]], list[str]]:
    """Return the records of each published table, and notes about the tables.

    Raises
    ------
    ConfigError
        If a table is unreadable or malformed, if two have the same file name, or if no table has a
        column to which `roles` gives a role.
    """
    by_table: list[list[Record]] = []
    notes: list[str] = []
    texts = [_text(path) for path in tables]
    roles.check([read_rows(text, path.name)[0] for path, text in zip(tables, texts, strict=True)])
    names: set[str] = set()
    for path, text in zip(tables, texts, strict=True):
        if path.name in names:
            raise ConfigError(
                f"--external {str(path)!r}: another table is named {path.name!r}; rename one."
            )
        names.add(path.name)
        records, table_notes = read_published(text, path.name, roles)
        by_table.append(records)
        notes += table_notes
    return by_table, notes


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--external {str(path)!r}: cannot be read ({error.strerror})."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--external {str(path)!r}: not UTF-8 text (byte {error.start})."
        ) from error


def gather_selection(
    results: Path, tasks: str | None, datasets: str | None, data: Sequence[str]
) -> tuple[GatheredRecords, list[Record]]:
    """Read one results folder and select the comparable records of some tasks and datasets.

    Which records are comparable does not depend on the selection. `tasks` and `datasets` are
    comma-separated names and globs, and `data` are paths as passed to `--data`; None and empty
    select everything.

    Raises
    ------
    ConfigError
        If there are no records, or if a pattern matches none.
    """
    gathered = gather([results])
    if not gathered.records:
        raise ConfigError(
            f"{results}: no records; run `bob-bench run` first, or name the folder with --results."
        )
    records = comparable(gathered.records)[0]
    own = [name for path in data for name in own_dataset_names(path, records)]
    names = ",".join([*([datasets] if datasets else []), *own])
    return gathered, select_records(records, tasks, names)


def own_dataset_names(data: str, records: Sequence[Record]) -> list[str]:
    """Return the datasets that records have for a path passed to `--data`, with any options.

    The name of the path alone, where there are none.
    """
    names = {record.dataset_name for record in records if _is_of_path(record, data)}
    return sorted(names) or [own_dataset_name(data)]


def _is_of_path(record: Record, data: str) -> bool:
    """Return whether the dataset of a record was made from the path."""
    try:
        return record.dataset_name == own_dataset_name(data, recorded_options(record))
    except ConfigError:  # of another version, whose names are others
        return False
