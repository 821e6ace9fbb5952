"""Files of the leaderboard: large tables are compressed, and none is left of an earlier size."""

from pathlib import Path

import pandas as pd
import pytest

from bob.leaderboards import write
from bob.leaderboards.render import tidy_table
from bob.leaderboards.write import write_leaderboard
from tests.builders.leaderboard_records import record

RECORDS = [record("a", 0.5), record("b", 0.6)]


def test_a_large_table_is_compressed_and_holds_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, packed = tmp_path / "leaderboard.csv", tmp_path / "leaderboard.csv.gz"
    assert plain in write_leaderboard(RECORDS, tmp_path)
    expected = pd.read_csv(plain)
    monkeypatch.setattr(write, "PLAIN_BYTES", plain.stat().st_size - 1)
    monkeypatch.setattr(tidy_table, "RECORDS_AT_A_TIME", 1)
    written = write_leaderboard(RECORDS, tmp_path)
    assert packed in written and plain not in written and not plain.exists()
    pd.testing.assert_frame_equal(pd.read_csv(packed), expected)
    before = packed.read_bytes()
    write_leaderboard(RECORDS, tmp_path)
    assert packed.read_bytes() == before
    monkeypatch.undo()
    assert plain in write_leaderboard(RECORDS, tmp_path) and not packed.exists()
