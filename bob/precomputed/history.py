"""Earlier records of precomputed features: what they state, reuse, and conflicts.

Nothing is computed twice, and records of different examples are never mixed under one name.
"""

from collections.abc import Sequence
from dataclasses import replace

from bob.errors import ConfigError
from bob.metrics.score_ranges import score_problem
from bob.precomputed.columns import FeatureFile
from bob.precomputed.record import DeclaredFacts, PrecomputedCell, model_facts
from bob.records.provenance import dated_now
from bob.records.record import FUSED, PRECOMPUTED, Record, created, lacks_scores
from bob.records.store import RecordStore

_CHANGED_IMAGES = (
    "Have its images or their shifts changed, or does the file lack the rows of its shifts? "
    "Evaluate all backbones again, or name another folder with --results."
)
_OTHER_EXAMPLES = (
    "Give this dataset another name with --dataset; or, if the examples are the same, give their "
    "images with --data, or the same ids and splits."
)


def with_recorded_facts(
    record_store: RecordStore, declared: DeclaredFacts, file: FeatureFile
) -> DeclaredFacts:
    """Return declared facts, completed by those that earlier records state.

    ConfigError where the name is that of a backbone that was run from images.
    """
    records = sorted(record_store.select(backbone=declared.name), key=_age)
    recorded = [record.backbone for record in records if record.backbone]
    if run := next((facts for facts in recorded if facts.loader != PRECOMPUTED), None):
        raise ConfigError(
            f"--results {str(record_store.results)!r} holds a backbone {declared.name!r} that was "
            f"run here ({run.architecture}) and may not have computed these rows; choose another "
            "--name."
        )
    weights = model_facts(declared, file).weights_hash
    latest = next((facts for facts in reversed(recorded) if facts.weights_hash == weights), None)
    if latest is None:
        return declared
    stated = None
    if latest.family != PRECOMPUTED and latest.family != FUSED:
        stated = latest.family
    return replace(
        declared,
        family=declared.family or stated,
        params=latest.params if declared.params is None else declared.params,
        gflops=latest.gflops if declared.gflops is None else declared.gflops,
        licence=declared.licence or latest.licence,
    )


def reuse_record(record_store: RecordStore, cell: PrecomputedCell) -> bool:
    """Make the record of a cell the newest, with the facts declared now; False if there is none."""
    dataset, backbone = cell.dataset.name, cell.backbone
    record = record_store.find(cell.task.name, dataset, backbone, cell.key)
    if record is None or record.status != "ok" or score_problem(record):
        return False
    if lacks_scores(record, cell.task.additions):
        return False
    of_cell = (
        other
        for other in record_store.select(dataset, backbone)
        if other.task.name == cell.task.name
    )
    if max(of_cell, key=_age).key != record.key or record.backbone != cell.facts:
        changes = {
            "backbone": cell.facts,
            "family": cell.facts.family,
            "provenance": dated_now(record.provenance),
        }
        record_store.write(record.model_copy(update=changes), {})
    return True


def require_consistent_records(record_store: RecordStore, cells: Sequence[PrecomputedCell]) -> None:
    """Raise ConfigError where other backbones have records of other examples of the same name.

    All cells are of one dataset. Backbones that are evaluated now are exempt: of records that
    disagree, leaderboards show the newest only.
    """
    names = {cell.backbone for cell in cells}
    records = record_store.select(cells[0].dataset.name) if cells else []
    others = [record for record in records if record.backbone_name not in names]
    for cell in cells:
        for record in others:
            if record.task.name == cell.task.name and _has_other_examples(record, cell):
                remedy = _CHANGED_IMAGES if cell.model.examples.has_images else _OTHER_EXAMPLES
                raise ConfigError(
                    f"--results {str(record_store.results)!r} holds {record.backbone_name!r} on "
                    f"other examples under the name {record.dataset_name!r} ({_counts(record)}; "
                    f"here {_sizes(cell)}). {remedy}"
                )


def _age(record: Record) -> tuple[str, str]:
    """Sort key of records, newest last, as in leaderboards."""
    return created(record), record.key


def _has_other_examples(record: Record, cell: PrecomputedCell) -> bool:
    return (
        record.dataset is not None
        and record.dataset.limit is None
        and record.dataset.fingerprint != cell.fingerprint
    )


def _counts(record: Record) -> str:
    counts = record.dataset.counts if record.dataset else {}
    return ", ".join(f"{n:,} {side}" for side, n in counts.items())


def _sizes(cell: PrecomputedCell) -> str:
    splits = cell.dataset.splits
    return ", ".join(f"{len(split):,} {side}" for side, split in splits.items())
