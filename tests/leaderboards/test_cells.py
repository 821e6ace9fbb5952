"""Which records share a column: the same task, data and background of transparent images."""

from bob.leaderboards.cells import comparable
from bob.records.record import PRECOMPUTED, Record
from tests.builders.leaderboard_records import dataset, facts, record


def on(alpha: str | None, name: str, day: int) -> Record:
    return record(name, day=day, dataset=dataset(alpha=alpha))


def from_file(name: str, day: int) -> Record:
    return record(name, day=day, dataset=dataset(), backbone=facts(name, output=PRECOMPUTED))


def names(records: list[Record]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the backbones that are compared, and those set aside with the reason."""
    kept, aside = comparable(records)
    return [each.backbone_name for each in kept], [
        (each.record.backbone_name, each.reason) for each in aside
    ]


def test_other_backgrounds_are_other_data() -> None:
    records = [on("white", "a", 2), on("black", "b", 1), on("white", "c", 1)]
    assert names(records) == (["a", "c"], [("b", "different settings or data")])


def test_features_of_a_file_are_compared_with_either_background() -> None:
    """Which one they had is not known. The newest record that states one decides."""
    for day in (1, 9):
        records = [on("white", "a", 2), on("black", "b", 3), from_file("f", day)]
        assert names(records) == (["b", "f"], [("a", "different settings or data")])


def test_two_files_are_compared() -> None:
    assert names([from_file("f", 1), from_file("g", 2)]) == (["f", "g"], [])
