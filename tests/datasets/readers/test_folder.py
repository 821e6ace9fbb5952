"""Your own images in the layouts that people use: each loads correctly or names the remedy."""

from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import ConfigError, DatasetError
from tests.builders.images import make_class_folders, png

Make = Callable[[Path], Path]


@pytest.fixture(autouse=True)
def isolated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "prepared")
    datasets.disable_progress_bars()


def opened(place: Path, tmp_path: Path) -> Dataset:
    return open_dataset(spec_from_data_flag(str(place)), tmp_path / "cache")


def folder(**counts: int) -> Make:
    return lambda root: make_class_folders(root, **counts)


def junk(root: Path) -> Path:
    make_class_folders(root, cat=5, dog=5)
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/._0.png", "cat/desktop.ini"):
        (root / name).write_bytes(b"x")
    for name in (".git", "__MACOSX"):
        (root / name).mkdir()
    return root


def empty_val(root: Path) -> Path:
    (make_class_folders(root, train__a=5, train__b=5, test__a=1, test__b=1) / "val").mkdir()
    return root


def upper_case_extensions(root: Path) -> Path:
    """Create class folders whose files have upper-case extensions."""
    for path in make_class_folders(root, cat=5, dog=5).rglob("*.png"):
        path.rename(path.with_suffix(".PNG"))
    return root


def linked(root: Path) -> Path:
    """Create a class folder that is a link, and one that contains links."""
    make_class_folders(root / "real", cat=5, dog=5)
    (root / "links" / "dog").mkdir(parents=True)
    (root / "links" / "cat").symlink_to(root / "real" / "cat")
    for path in (root / "real" / "dog").iterdir():
        (root / "links" / "dog" / path.name).symlink_to(path)
    return root / "links"


def table(header: str, *rows: str, join: str = "\n", encoding: str = "utf-8") -> Make:
    def make(root: Path) -> Path:
        make_class_folders(root / "i", x=8)
        text = join.join([header, *(row.replace("ROOT", str(root)) for row in rows)])
        (root / "t.csv").write_bytes(text.encode(encoding))
        return root / "t.csv"

    return make


def parquet(*names: str, **columns: list[str]) -> Make:
    """Create Parquet files of ten images each as plain bytes."""

    def make(root: Path) -> Path:
        root.mkdir(exist_ok=True)
        for n, name in enumerate(names):
            made = {"image": [png(20 * n + i) for i in range(10)], "label": ["a", "b"] * 5}
            pq.write_table(
                pa.table(
                    {columns.get(column, [column])[0]: values for column, values in made.items()}
                ),
                root / name,
            )
        return root / names[0] if len(names) == 1 else root

    return make


PATHS = [f"i/x/{i}.png" for i in range(8)]
EIGHT = [f"{path},{i % 2}" for i, path in enumerate(PATHS)]
SHARED = {f"{split}__{label}": 5 for split in ("training", "testing") for label in ("cat", "dog")}

LOADS: dict[str, tuple[Make, tuple[str, ...], dict[str, int]]] = {
    "splits by other names": (folder(**SHARED), ("cat", "dog"), {"train": 10, "test": 10}),
    "names of all kinds": (
        folder(**{"chat noir": 5, "犬": 5, "🐶 dog": 5}),
        ("chat noir", "犬", "🐶 dog"),
        {"train": 12, "test": 3},
    ),
    "numbers with gaps": (
        folder(**{"0": 5, "10": 5, "2": 5, "7": 5}),
        ("0", "2", "7", "10"),
        {"train": 16, "test": 4},
    ),
    "folders in class folders": (
        folder(cat__a__b=3, cat__c=2, dog__x=5),
        ("cat", "dog"),
        {"train": 8, "test": 2},
    ),
    "an empty val": (empty_val, ("a", "b"), {"train": 10, "test": 2}),
    "junk": (junk, ("cat", "dog"), {"train": 8, "test": 2}),
    "upper-case extensions": (upper_case_extensions, ("cat", "dog"), {"train": 8, "test": 2}),
    "links": (linked, ("cat", "dog"), {"train": 8, "test": 2}),
    "a table with whole numbers": (
        table("path,label", *EIGHT),
        ("0", "1"),
        {"train": 6, "test": 2},
    ),
    "a table with full paths": (
        table("path,label", *(f"ROOT/{row}" for row in EIGHT)),
        ("0", "1"),
        {"train": 6, "test": 2},
    ),
    "a table saved by Excel": (
        table("\ufeffPath,Label", *EIGHT, join="\r\n"),
        ("0", "1"),
        {"train": 6, "test": 2},
    ),
    "splits in capitals": (
        table(
            "path,label,split",
            *(f"{row},{'Testing' if i > 3 else 'TRAIN'}" for i, row in enumerate(EIGHT)),
        ),
        ("0", "1"),
        {"train": 4, "test": 4},
    ),
    "a parquet file": (parquet("p.parquet"), ("a", "b"), {"train": 8, "test": 2}),
    "parquet files": (
        parquet("train-0.parquet", "test-0.parquet", "validation.parquet"),
        ("a", "b"),
        {"train": 10, "val": 10, "test": 10},
    ),
}


@pytest.mark.parametrize("shape", LOADS)
def test_layout_loads(shape: str, tmp_path: Path) -> None:
    make, classes, counts = LOADS[shape]
    dataset = opened(make(tmp_path / "mine"), tmp_path)
    assert (
        dataset.classes == classes
        and {name: len(split) for name, split in dataset.splits.items()} == counts
    )


def test_column_labels_gives_several_labels(tmp_path: Path) -> None:
    rows = [
        f"{path},{'cat|dog' if i % 2 else 'cat'},{'test' if i > 5 else 'train'}"
        for i, path in enumerate(PATHS)
    ]
    place = table("path,labels,split", *rows)(tmp_path / "mine")
    dataset = opened(place, tmp_path)
    assert spec_from_data_flag(str(place)).kind == "multi-label" and dataset.classes == (
        "cat",
        "dog",
    )
    labels = dataset.splits["test"].labels
    assert labels is not None and labels.tolist() == [[True, False], [True, True]]


def test_label_separators_in_a_column_label_are_noted(tmp_path: Path) -> None:
    dataset = opened(
        table(
            "path,label",
            *(f"{path},{'cat|dog' if i % 2 else 'cat'}" for i, path in enumerate(PATHS)),
        )(tmp_path / "mine"),
        tmp_path,
    )
    assert dataset.classes == ("cat", "cat|dog") and dataset.notes == (
        "4 labels contain '|'; to give an image several labels, put them into a column 'labels'",
    )


def empty_class(root: Path) -> Path:
    (make_class_folders(root, cat=5, dog=5) / "bird").mkdir()
    return root


def heic(root: Path) -> Path:
    for path in (make_class_folders(root, cat=2, dog=2) / "cat").iterdir():
        path.rename(path.with_suffix(".heic"))
    return root


def beside_a_list(root: Path) -> Path:
    (root / "list.csv").parent.mkdir()
    (root / "list.csv").write_text("path,label\n")
    (root / "0.png").write_bytes(png(0))
    return root


def packed(root: Path) -> Path:
    root.mkdir()
    (root / "p.zip").write_bytes(b"x")
    return root / "p.zip"


FAILS: dict[str, tuple[Make, str]] = {
    "one folder too high": (
        folder(photos__cat=2, photos__dog=2),
        r"contains only the folder 'photos', which holds the folders cat, dog and no images\. "
        r"Give '.*/photos' instead",
    ),
    "an empty class folder": (
        empty_class,
        r"class folder '.*/bird' contains no images\. Add some \(\.jpg .*\), or remove the folder",
    ),
    "an unsupported format": (
        heic,
        r"class folder '.*/cat' contains no images but \.heic \(2\)\. Convert these to a "
        r"supported format \(\.jpg",
    ),
    "images and a list": (
        beside_a_list,
        r"contains no class folders\. .* If 'list\.csv' lists the images, give '.*/list\.csv' "
        r"instead",
    ),
    "an archive": (
        packed,
        r"expected a folder of class folders, a \.csv table or .*; got a \.zip file\. Unpack "
        r"the archive first",
    ),
    "semicolons": (
        table("path;label", "i/x/0.png;a"),
        "The cells seem to be separated by semicolons: save the table with commas",
    ),
    "tabs": (
        table("path\tlabel", "i/x/0.png\ta"),
        "The cells seem to be separated by tabs: save the table with commas",
    ),
    "other columns": (
        table("filename,class", *EIGHT),
        "column 'path' is missing.* The first line must name the columns: path,label",
    ),
    "no column of classes": (
        table("path,species", "i/x/0.png,a"),
        "column 'label' is missing.* Name the column of the classes with --label",
    ),
    "no header": (
        table(*EIGHT),
        r"column 'path' is missing.*: 'i/x/0\.png', '0'\. The first line must name",
    ),
    "nothing below the header": (table("path,label"), "holds no images"),
    "another encoding": (
        table("path,label", "i/x/0.png,é", encoding="latin-1"),
        r"is not a CSV file in UTF-8 .*\. Save it as CSV with the encoding UTF-8",
    ),
    "paths of Windows": (
        table("path,label", "i\\x\\0.png,a"),
        "no such file .*, with '/' between folders and not '\\\\'",
    ),
    "a missing file": (
        table("path,label", "i/x/9.png,a"),
        r"row 2: no such file '.*/i/x/9\.png'\. Paths are relative to the table's folder",
    ),
    "an empty label": (
        table("path,label", "i/x/0.png,"),
        "row 2: the cell in column 'label' is empty",
    ),
    "a file twice": (
        table("path,label", *EIGHT, EIGHT[0]),
        "'i/x/0.png' has two rows, with labels '0' and '0'. Keep one of them",
    ),
    "a file in two splits": (
        table("path,label,split", f"{EIGHT[0]},train", f"{EIGHT[0]},test"),
        "occurs in both train and test. Keep one of the rows",
    ),
    "parquet of other columns": (
        parquet("p.parquet", label=["class"]),
        r"no column 'label'.* Columns: image, class\. Rename the column, or .*`label: COLUMN`",
    ),
}


@pytest.mark.parametrize("shape", FAILS)
def test_wrong_layout_names_the_remedy(shape: str, tmp_path: Path) -> None:
    make, message = FAILS[shape]
    with pytest.raises((DatasetError, ConfigError), match=message):
        opened(make(tmp_path / "mine"), tmp_path)
