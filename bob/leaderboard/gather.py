"""Gather."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bob.errors import ConfigError
from bob.io.files import slug
from bob.leaderboard.board import Board, make_board
from bob.leaderboard.limits import choose
from bob.leaderboard.merge import identity, merge
from bob.leaderboard.per_example import outcomes, per_example
from bob.leaderboard.published import beside, published
from bob.records.record import Record
from bob.records.store import Arrays, RecordBook
from bob.statistics.aggregate import Floats


@dataclass(frozen=True)
class Gathered:
    """What folders and tables hold."""

    records: tuple[Record, ...]
    arrays: Callable[[Record], Arrays]
    """Reads a record's headline arrays where they lie; none for published numbers."""
    remarks: tuple[str, ...]
    conflicts: tuple[str, ...]
    damaged: tuple[str, ...]

    def evidence(self, record: Record) -> Floats | None:
        """What each example gave; see `bob.leaderboard.per_example.Evidence`."""
        return per_example(record, self.arrays(record))

    def outcomes(self, record: Record) -> list[Any]:
        """The headline outcome per seed."""
        return outcomes(record, self.arrays(record))

    def among(self, keys: Collection[str]) -> "Gathered":
        """The records of these keys alone."""
        return replace(self, records=tuple(record for record in self.records if record.key in keys))

    def board(self) -> Board:
        told = (*(f"conflict: {text}." for text in self.conflicts), *self.remarks)
        return make_board(self.records, self.evidence, told)


def gather(folders: Sequence[Path], tables: Sequence[Path] = ()) -> Gathered:
    """Records of all folders, one of each, and the rows of published tables beside them."""
    books = {str(folder): RecordBook(folder) for folder in folders}
    read = {name: book.read_all() for name, book in books.items()}
    if len(folders) > 1 and (
        empty := [name for name, (records, damaged) in read.items() if not records and not damaged]
    ):
        raise ConfigError(
            f"{empty[0]}: holds no records; a results folder has them in its folder `records`."
        )
    merged = merge({name: records for name, (records, _) in read.items()})
    others, remarks = _tables(merged.records, tables)

    def arrays(record: Record) -> Arrays:
        return {} if record.external else books[merged.source[identity(record)]].headline(record)

    damaged = tuple(problem for _, problems in read.values() for problem in problems)
    return Gathered((*merged.records, *others), arrays, tuple(remarks), merged.conflicts, damaged)


def _tables(own: Sequence[Record], tables: Sequence[Path]) -> tuple[list[Record], list[str]]:
    """The rows of published tables, and what to know about them."""
    others: list[Record] = []
    remarks: list[str] = []
    for path in tables:
        if path.name in {record.external for record in others}:
            raise ConfigError(
                f"--external {str(path)!r}: another table is named {path.name!r}; rename one."
            )
        records, told = published(_text(path), path.name)
        others += beside([*own, *others], records)
        remarks += told
    return others, remarks


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--external {str(path)!r}: cannot be read ({error.strerror})."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--external {str(path)!r}: is not UTF-8 text (byte {error.start})."
        ) from error


def gather_selection(
    results: Path, tasks: str | None, datasets: str | None, data: Sequence[str]
) -> tuple[Gathered, list[Record]]:
    """Gather one results folder and select the records of some tasks and datasets.

    `tasks` and `datasets` are comma-separated names and globs, `data` are paths as given to
    `--data`; None and empty select everything. ConfigError where nothing is left.
    """
    gathered = gather([results])
    if not gathered.records:
        raise ConfigError(
            f"{results}: holds no records; run `bob-bench run` first, or name the folder with --results."
        )
    names = ",".join([*([datasets] if datasets else []), *map(own_dataset_name, data)])
    return gathered, choose(gathered.records, tasks, names)


def own_dataset_name(data: str) -> str:
    """The name under which `--data` puts a folder or table into the records."""
    path = Path(data).expanduser()
    return slug(path.stem if path.suffix.lower() == ".csv" else path.absolute().name)
