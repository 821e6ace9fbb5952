"""Records of cells that a run finds finished: they become the newest, which leaderboards show."""

from collections.abc import Iterable

from bob.leaderboards.cells import column_of, comparable
from bob.plan import Cell
from bob.records.provenance import dated_now
from bob.records.record import created
from bob.records.store import RecordStore


def renew_finished(finished: Iterable[Cell], records: RecordStore) -> None:
    """Date the records of finished cells now, where a leaderboard would show others in their place.

    Of records that cannot be compared, such as those of other images under the same name, a
    leaderboard shows the newest. A run that finds its cells finished computes none, but they are
    what was asked for last: an image that was changed and restored, a setting that was tried and
    given up. Where such a record is the newest already, something else takes precedence (a run
    without --limit), and it stays as it is.
    """
    wanted = {(cell.task, cell.dataset, cell.backbone, cell.key) for cell in finished}
    if not wanted:
        return
    present, _ = records.read_all()
    newest = max((created(record) for record in present), default="")
    for record, _ in comparable(present)[1]:
        identity = (*column_of(record), record.backbone_name, record.key)
        if identity in wanted and created(record) < newest:
            changes = {"provenance": dated_now(record.provenance)}
            records.write(record.model_copy(update=changes), {})
