"""Grids of dense tasks: where they differ within a setting, and what averages mix."""

from bob.leaderboards.board import make_board
from bob.leaderboards.render.text import board_notes
from bob.leaderboards.render.tidy_table import tidy
from bob.records.record import Record
from tests.builders.leaderboard_records import record, task


def of(backbone: str, name: str, grid: list[int] | None = None) -> Record:
    """Return a record of a task, with the grid of its maps."""
    details = ({"grid": grid},) if grid else ({},)
    return record(backbone, 0.5, task=task(name), details=details)


SIDES = (("a", 14), ("b", 16))


def notes(*records: Record) -> list[str]:
    return [note for note in board_notes(make_board(records)) if "grid" in note or "pixels" in note]


def test_settings_with_several_grids_name_their_backbones() -> None:
    records = [of("c", "segment", [16, 16]), of("a", "segment", [14, 14])]
    (note,) = notes(*records, of("b", "segment", [14, 14]))
    assert "grids differ (14 x 14: a, b; 16 x 16: c). A finer grid can score higher" in note
    assert not notes(records[0], of("d", "segment", [16, 16]))


def test_settings_with_the_same_grids_share_a_line() -> None:
    same = [of(name, kind, [14, side]) for kind in ("segment", "depth") for name, side in SIDES]
    other = [of("a", "detect", [14, 14]), of("b", "detect", [32, 32])]
    shared, alone = notes(*same, *other)
    assert shared.count("grids differ (14 x 14: a; 14 x 16: b)") == 1
    assert "segment/elpv" in shared and "depth/elpv" in shared and "detect" not in shared
    assert alone.startswith("detect/elpv: grids differ (14 x 14: a; 32 x 32: b)")


def test_averages_over_pixels_and_images_say_so() -> None:
    dense = [of(name, "segment", [14, 14]) for name in "ab"]
    images = [of(name, "knn") for name in "ab"]
    assert notes(*dense, *images) == [
        "settings of pixels (segment) make up 1 of the 2 settings of the overall mean, each of "
        "which counts once."
    ]
    assert not notes(*dense) and not notes(*images)


def test_the_tidy_table_has_the_grid() -> None:
    frame = tidy([of("a", "segment", [14, 16]), of("b", "knn")])
    grids = frame.set_index("backbone")["grid"]
    assert grids["a"] == "14 x 16" and grids.isna()["b"]
