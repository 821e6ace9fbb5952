"""NIGHTS' layout, in a tiny tree."""

import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bob.datasets.dataset import Dataset
from bob.datasets.limit import limited
from bob.datasets.open import open_dataset
from bob.errors import DatasetError
from bob.registry import load_registry

COLUMNS = (
    *("id", "left_vote", "right_vote", "votes", "ref_path", "left_path", "right_path"),
    *("split", "is_imagenet"),
)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """Return a row of the table in which people chose the left image."""
    name = f"000/{number:03d}"
    return {
        "id": number,
        "left_vote": 1,
        "right_vote": 0,
        "votes": 7,
        "ref_path": f"ref/{name}.png",
        "left_path": f"distort/{name}_0.png",
        "right_path": f"distort/{name}_1.png",
        "split": "test",
        "is_imagenet": "True",
        **changes,
    }


def nights(root: Path, rows: list[dict[str, Any]], columns: tuple[str, ...] = COLUMNS) -> Path:
    """Write the table and its images, each of a colour of its own."""
    root.mkdir(parents=True)
    with (root / "data.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    for number, values in enumerate(rows):
        for place, column in enumerate(("ref_path", "left_path", "right_path")):
            path = root / values[column]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (number, place, 0)).save(path)
    return root


def opened(root: Path) -> Dataset:
    spec = load_registry().datasets["nights"]
    source = spec.source.model_copy(update={"path": str(root)})
    return open_dataset(spec.model_copy(update={"source": source}), root.parent / "cache")


def test_references_are_queries_and_votes_are_judgements(tmp_path: Path) -> None:
    rows = [
        row(2),
        row(5, left_vote=0, right_vote="1.0", is_imagenet="False"),
        row(7, votes=5),
        row(8, split="train"),
    ]
    data = opened(nights(tmp_path / "nights", rows))
    query, gallery = data.splits["query"], data.splits["gallery"]
    assert data.kind == "triplets" and data.group_by == ("prompts",)
    assert [*query.ids] == ["query/ref/000/002.png", "query/ref/000/005.png"]
    assert query.attributes == {"prompts": ("imagenet", "other")}
    assert data.judgements is not None
    chosen, other = (
        [gallery.ids[of_query[0]] for of_query in data.judgements[level]]
        for level in ("chosen", "other")
    )
    assert chosen == ["gallery/distort/000/002_0.png", "gallery/distort/000/005_1.png"]
    assert other == ["gallery/distort/000/002_1.png", "gallery/distort/000/005_0.png"]
    assert data.unread == {"triplets with fewer than 6 votes": 1}
    assert gallery.decode(data.judgements["chosen"][1][0]).getpixel((0, 0)) == (1, 2, 0)


def test_a_limit_keeps_the_images_of_its_references(tmp_path: Path) -> None:
    data = limited(opened(nights(tmp_path / "nights", [row(i) for i in range(9)])), 4)
    judged = data.judgements
    assert judged is not None and len(data.splits["query"]) == 4
    assert all(len(of_query) == 1 for level in judged.values() for of_query in level)
    assert len(data.splits["gallery"]) == 8


def test_votes_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    one = opened(nights(tmp_path / "a" / "nights", [row(1)]))
    other = opened(nights(tmp_path / "b" / "nights", [row(1, right_vote=1)]))
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(1, right_vote="0.5")], r"line 2: votes must be whole numbers; got '0\.5'"),
        ([row(1, votes="many")], r"line 2: votes must be whole numbers; got 'many'"),
        ([row(1, right_vote=2)], r"line 2: right_vote must be 0 or 1; got '2'"),
        ([row(1, right_path="distort/000/001_0.png")], "line 2: needs a reference and two images"),
        ([row(1), row(1)], "line 3: 'ref/000/001.png' is the reference of another row"),
        ([row(1, split="val")], "has no triplets of split 'test'"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    root = nights(tmp_path / "nights", rows)
    with pytest.raises(DatasetError, match=message):
        opened(root)


def test_missing_columns_files_and_tables_are_named(tmp_path: Path) -> None:
    root = nights(tmp_path / "nights", [row(1)], COLUMNS[:-1])
    with pytest.raises(DatasetError, match=r"data.csv': has no column 'is_imagenet'\. Columns: id"):
        opened(root)
    root = nights(tmp_path / "other" / "nights", [row(1)])
    (root / "distort" / "000" / "001_1.png").unlink()
    with pytest.raises(DatasetError, match=r"001_1\.png', which does not exist"):
        opened(root)
    (root / "data.csv").unlink()
    with pytest.raises(DatasetError, match=r"data\.csv': cannot be read"):
        opened(root)
