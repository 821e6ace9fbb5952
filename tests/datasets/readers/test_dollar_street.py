"""The layout of Dollar Street, in a tiny tree."""

import csv
from pathlib import Path

import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset
from bob.datasets.readers.dollar_street import TABLES
from bob.errors import DatasetError
from bob.registry import load_registry
from tests.builders.images import png

COLUMNS = ("id", "country.name", "region.id", "imageRelPath", "topics", "income")
Row = tuple[str, str, str]
TRAIN: list[Row] = [
    ("['Stoves']", "45.5", "af"),
    ('["Stoves"]', "100", "am"),
    ("['Beds']", "200", "as"),
    ("['Beds']", "3000", "eu"),
    ("['Beds', 'Rooms']", "10", "eu"),
]
TEST: list[Row] = [("['Stoves']", "100", "af"), ("['Beds']", "900", "eu")]


def written(
    root: Path, train: list[Row] = TRAIN, test: list[Row] = TEST, columns: tuple[str, ...] = COLUMNS
) -> Path:
    """Write both tables, of which each row is (topics, income, region), and an image per row."""
    (root / "assets").mkdir(parents=True)
    number = 0
    for name, rows in zip(TABLES.values(), (train, test), strict=True):
        with (root / name).open("w", newline="") as file:
            table = csv.DictWriter(file, columns, extrasaction="ignore")
            table.writeheader()
            for topics, income, region in rows:
                path = f"assets/{number}.jpg"
                (root / path).write_bytes(png(number))
                cells = (str(number), "Land", region, path, topics, income)
                table.writerow(dict(zip(COLUMNS, cells, strict=True)))
                number += 1
    return root


def opened(root: Path) -> Dataset:
    spec = load_registry().datasets["dollar_street"]
    source = spec.source.model_copy(update={"path": str(root)})
    return open_dataset(spec.model_copy(update={"source": source}), root.parent / "cache")


def test_topics_are_classes_and_incomes_are_quarters(tmp_path: Path) -> None:
    """Incomes 45.5, 100, 100, 200, 900, 3000: the quartiles are 100, 150 and 725."""
    data = opened(written(tmp_path / "street"))
    train, test = data.splits["train"], data.splits["test"]
    assert data.classes == ("Beds", "Stoves")
    assert train.y.tolist() == [1, 1, 0, 0] and test.y.tolist() == [1, 0]
    assert train.attributes["income"] == ("1", "1", "3", "4")
    assert test.attributes == {
        "income": ("1", "4"),
        "region": ("af", "eu"),
        "country": ("Land",) * 2,
    }
    assert data.group_by == ("income", "region")
    assert data.unread == {"images of no or several topics": 1}
    assert data.split_origin["kind"] == "official"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("Stoves", "1", "af"), "train.csv, line 2: topics must be a list of text; got 'Stoves'"),
        (("[1]", "1", "af"), r"line 2: topics must be a list of text; got '\[1\]'"),
        (("['Stoves']", "much", "af"), "incomes must be numbers"),
        (("['a', 'b']", "1", "af"), "no image has a single topic"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(tmp_path: Path, row: Row, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        opened(written(tmp_path / "street", [row], []))


def test_missing_columns_images_and_tables_are_named(tmp_path: Path) -> None:
    root = written(tmp_path / "a" / "street", columns=COLUMNS[:-1])
    with pytest.raises(DatasetError, match=r"train.csv': has no column 'income'\. Columns: id"):
        opened(root)
    root = written(tmp_path / "b" / "street")
    (root / "assets" / "0.jpg").unlink()
    with pytest.raises(DatasetError, match=r"0\.jpg', which does not exist"):
        opened(root)
    (root / TABLES["test"]).unlink()
    with pytest.raises(DatasetError, match=r"test\.csv': cannot be read"):
        opened(root)
