"""The CSV file of what is shown."""

import csv

import numpy as np

from tests.builders.leaderboard_records import failed, record
from tests.leaderboards.page.conftest import Opener


def test_csv_has_the_rows_shown_at_full_precision(show: Opener) -> None:
    records = [record("=1+1", 1 / 3), record("plain", 0.25), failed("no", "out of memory")]
    opened = show(records, "#view=table&q=%3D1%2B1", lambda _: np.ones(20))
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Download CSV").click()
    (row,) = csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines())
    assert row["backbone"] == "'=1+1"  # no formula for a spreadsheet
    assert float(row["value"]) == 1 / 3
    assert float(row["low"]) == 1 / 3 - 0.02
    assert row["status"] == "ok"
    assert row["n"] == "650"
    assert row["tied_with_best"] == "true"
    assert (row["task"], row["dataset"]) == ("linear", "elpv")
    # The page itself creates the file, under a blob: URL.
    opened.requests[:] = [url for url in opened.requests if not url.startswith("blob:")]
