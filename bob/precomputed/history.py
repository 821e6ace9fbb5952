"""What the results hold already of given features: nothing is computed twice, and other examples are never taken for these."""

from collections.abc import Sequence
from dataclasses import replace

from bob.errors import ConfigError
from bob.precomputed.columns import Given
from bob.precomputed.record import Told, Work, facts_of
from bob.records.provenance import provenance
from bob.records.record import GIVEN, Record, created
from bob.records.store import RecordBook

_KNOWN = "Have its images, or their shifts, changed, or has the file no rows of the shifts? Evaluate all backbones anew, or name another --results."
_OWN = "Give this dataset another name with --dataset; or, if the examples are the same, give their images with --data, or the same ids and splits."


def with_earlier(book: RecordBook, told: Told, given: Given) -> Told:
    """What is told of the model now, and for the rest what the results say was told of it before."""
    found = [
        record.backbone
        for record in sorted(book.of(backbone=told.name), key=_age)
        if record.backbone
    ]
    if ran := next((facts for facts in found if facts.loader != GIVEN), None):
        raise ConfigError(
            f"--results {str(book.results)!r} holds a backbone {told.name!r} that was run here ({ran.architecture}), whose rows these may not be; "
            "choose another --name."
        )
    facts = next(
        (
            facts
            for facts in reversed(found)
            if facts.weights_hash == facts_of(told, given).weights_hash
        ),
        None,
    )
    if facts is None:
        return told
    return replace(
        told,
        family=told.family or (None if facts.family == GIVEN else facts.family),
        params=facts.params if told.params is None else told.params,
        gflops=facts.gflops if told.gflops is None else told.gflops,
        licence=told.licence or facts.licence,
    )


def kept(book: RecordBook, one: Work) -> bool:
    """Whether the results have these scores. They are made the newest of their cell, with what is told of the model now."""
    found = book.find(one.task.name, one.examples.dataset.name, one.told.name, one.key)
    if found is None or found.status != "ok":
        return False
    newest = max(_same_cell(book, one), key=_age)
    if newest.key != found.key or found.backbone != one.facts:
        told = {
            "backbone": one.facts,
            "family": one.facts.family,
            "provenance": {**found.provenance, "created": provenance()["created"]},
        }
        book.write(found.model_copy(update=told), {})
    return True


def clash(book: RecordBook, works: Sequence[Work]) -> None:
    """ConfigError where a backbone that is not evaluated now has records of other examples under the name of the dataset, which is that of all works.

    Of records that do not agree, leaderboards keep the newest alone.
    """
    names = {one.told.name for one in works}
    held = book.of(works[0].examples.dataset.name) if works else []
    for one in works:
        for record in held:
            if (
                record.task.name == one.task.name
                and record.backbone_name not in names
                and _others(record, one)
            ):
                raise ConfigError(
                    f"--results {str(book.results)!r} holds {record.backbone_name!r} on other examples under the name {record.dataset_name!r} "
                    f"({_counts(record)}; here {_sizes(one)}). {_KNOWN if one.examples.known else _OWN}"
                )


def _same_cell(book: RecordBook, one: Work) -> list[Record]:
    return [
        record
        for record in book.of(one.examples.dataset.name, one.told.name)
        if record.task.name == one.task.name
    ]


def _age(record: Record) -> tuple[str, str]:
    """As the leaderboard sorts: the newest last."""
    return created(record), record.key


def _others(record: Record, one: Work) -> bool:
    return (
        record.dataset is not None
        and record.dataset.limit is None
        and record.dataset.fingerprint != one.fingerprint
    )


def _counts(record: Record) -> str:
    return (
        ", ".join(f"{n:,} {side}" for side, n in record.dataset.counts.items())
        if record.dataset
        else ""
    )


def _sizes(one: Work) -> str:
    return ", ".join(
        f"{len(split):,} {side}" for side, split in one.examples.dataset.splits.items()
    )
