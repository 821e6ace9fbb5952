"""Every recipe for own data runs as it stands, on data of the shape that it names."""

import csv
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bob.errors import OK
from bob.io.paths import CHECKOUT
from bob.registry import load_datasets
from tests.builders.attribute_table import emoji_rows, save_image, write_table
from tests.builders.photos import BASELINES, make_photos

PAGE = CHECKOUT / "docs" / "how_to" / "own_data_recipes.md"
TEXT = PAGE.read_text(encoding="utf-8")


def recipes() -> dict[str, list[str]]:
    """Return heading → the words of its command."""
    found = {}
    for section in TEXT.split("\n## ")[1:]:
        if block := re.search(r"```sh\n(.*?)```", section, flags=re.DOTALL):
            words = shlex.split(block[1].replace("\\\n", " "))
            found[section.partition("\n")[0]] = words[1:]
    return found


RECIPES = recipes()
COUNTS = {
    "A folder per class": {"train": 16, "test": 4},
    "Folders train and val, and no test": {"train": 20, "test": 12},
    "Several images of one patient, object or site": {"train": 32, "test": 8},
    "Several columns of classes": {"train": 32, "test": 8},
    "A column that says the fold": {"train": 24, "val": 8, "test": 8},
    "Train at one site, test at another": {"train": 16, "test": 4},
    "Train on one condition, and measure the drop on others": {
        "train": 8,
        "test": 2,
        "google": 2,
        "twitter": 2,
    },
    "Folders of folders": {"train": 10, "test": 10},
    "Find the same product in another shop": {"test": 30},
    "Several labels per image": {"train": 8, "test": 4},
    "Parquet files with columns of other names": {"train": 16, "test": 4},
    "Anomalies: only one class is normal": {"train": 10, "test": 10},
    "A number per image": {"train": 12, "test": 6},
    "A depth map per image": {"train": 8, "test": 2},
}
"""Images of each split, by hand: a fifth of each class, or of the groups, is test."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data of the shape of each recipe."""
    root = tmp_path_factory.mktemp("data")
    make_photos(root / "photos", per_class=10, classes=2, side_px=8)
    for split, per_class in (("train", 10), ("val", 6)):
        for i in range(2 * per_class):
            save_image(root / "collection" / split / f"class{i % 2}" / f"{i}.png", i % 2, i * 7)
    write_table(root, _scans(), "scans.csv")
    write_table(root, emoji_rows(), "emoji.csv")
    for i, row in enumerate(emoji_rows()):
        place = root / "drawings" / row["vendor"] / row["label"]
        save_image(place / f"{i}.png", ord(row["label"][1]), i)
    products = [{"product": row["emoji"], "shop": row["vendor"]} for row in emoji_rows()]
    write_table(root, products, "products.csv")
    tags = [("cat", "cat|outdoor", "outdoor", "dog")[i % 4] for i in range(12)]
    splits = ["train"] * 8 + ["test"] * 4
    rows = [{"labels": tag, "split": split} for tag, split in zip(tags, splits, strict=True)]
    write_table(root, rows, "tagged.csv")
    _write_parquet(root)
    for i in range(20):
        state = "fine" if i < 15 else "broken"
        split = "train" if i < 10 else "test"
        save_image(root / "parts" / split / state / f"{i}.png", ord(state[0]), i)
    ages = [
        {"label": "person", "target": str(20 + i), "split": "train" if i < 12 else "test"}
        for i in range(18)
    ]
    write_table(root, ages, "ages.csv")
    for i in range(10):
        save_image(root / "garden" / "images" / f"{i}.png", 50, i)
        with Image.open(root / "garden" / "images" / f"{i}.png") as image:
            depth = np.full(image.size[::-1], 1000 + 500 * i, np.uint16)
        (root / "garden" / "depths").mkdir(exist_ok=True)
        Image.fromarray(depth).save(root / "garden" / "depths" / f"{i}.png")
    return root


def _scans() -> list[dict[str, str]]:
    """Return 40 rows: 20 patients with two scans each, one at either site."""
    return [
        {
            "label": ("well", "ill")[patient % 2],
            "view": ("front", "side")[patient // 2 % 2],
            "patient": f"p{patient}",
            "site": site,
            "fold": str(patient % 5 + 1),
        }
        for patient in range(20)
        for site in ("north", "south")
    ]


def _write_parquet(root: Path) -> None:
    images = []
    for i in range(20):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (i % 2 * 100 + i, 3 * i, 50)).save(buffer, "PNG")
        images.append(buffer.getvalue())
    columns = {
        "image": images,
        "species": [("fox", "owl")[i % 2] for i in range(20)],
        "camera": [f"c{i}" for i in range(20)],
    }
    (root / "shards").mkdir()
    pq.write_table(pa.table(columns), root / "shards" / "part-0.parquet")


def test_every_recipe_has_its_counts() -> None:
    assert list(RECIPES) == list(COUNTS)


@pytest.mark.parametrize("heading", RECIPES)
def test_recipe_runs_on_the_images_that_it_promises(
    heading: str,
    folder: Path,
    tmp_path: Path,
    bob: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    words = RECIPES[heading]
    tasks = [] if "--tasks" in words else ["--tasks", "knn,retrieval"]
    code, out, err = bob(*words, *tasks, "--backbones", "raw_pixels")
    assert code == OK, out + err
    records = [
        json.loads(p.read_text()) for p in (tmp_path / "results" / "records").rglob("*.json")
    ]
    assert {record["status"] for record in records} == {"ok"}
    assert records[0]["dataset"]["counts"] == COUNTS[heading]
    labels = words.count("--label")
    assert len({record["dataset_name"] for record in records}) == max(1, labels)
    if "--shift" in words:
        assert "top1 on each test set" in out + err


def test_a_record_of_a_recipe_is_shown_with_its_images(
    folder: Path, tmp_path: Path, bob: Callable[..., tuple[int, str, str]], monkeypatch
) -> None:
    """The record holds the flags, so that the path of the images is enough."""
    monkeypatch.chdir(folder)
    flags = ("--data", "emoji.csv", "--train", "vendor=apple", "--test", "vendor=google")
    selection = ("--label", "label", "--tasks", "knn", "--backbones", BASELINES)
    assert bob("run", *flags, *selection)[0] == OK
    path = next((tmp_path / "results" / "records").rglob("raw_pixels*.json"))
    key = json.loads(path.read_text())["key"]
    code, out, err = bob("show", key[:16], "--images", "--data", "emoji.csv")
    assert code == OK and "no images" not in err
    code, out, err = bob("compare", "raw_pixels", "channel_statistics", "--data", "emoji.csv")
    assert code == OK and "emoji_label_train" in out + err


def test_the_entry_of_the_page_is_that_of_the_flags(folder: Path, tmp_path: Path) -> None:
    entry = re.search(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    assert entry is not None
    (tmp_path / "datasets.yaml").write_text(entry[1])
    spec = load_datasets([tmp_path])["emoji"]
    assert (spec.train, spec.shift) == (
        {"vendor": ("apple",)},
        {"vendor": ("google", "twitter")},
    )


def test_the_python_of_the_page_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (folder / "emoji.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 30
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BOB_CACHE", str(tmp_path / "cache"))
    block = re.search(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert block is not None
    session: dict[str, object] = {}
    exec(compile(block[1], str(PAGE), "exec"), session)
    assert len(session["scores"]) > 0  # type: ignore[arg-type]


def test_flags_without_own_images_are_refused(bob: Callable[..., tuple[int, str, str]]) -> None:
    for flag in (("--group", "patient"), ("--train", "site=north"), ("--retrieve", "product")):
        code, _, err = bob("run", "--backbones", "raw_pixels", "--tasks", "retrieval", *flag)
        assert code != OK and f"{flag[0]} belongs to --data PATH" in " ".join(err.split())


def test_retrieval_beside_splits_and_without_its_task_is_refused(
    folder: Path, bob: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    flags = ("run", "--data", "products.csv", "--retrieve", "product")
    code, _, err = bob(*flags, "--train", "shop=apple")
    assert code != OK and "--train has no meaning beside it" in " ".join(err.split())
    code, _, err = bob(*flags, "--tasks", "knn", "--backbones", "raw_pixels")
    assert code != OK and "needs a task of retrieval" in " ".join(err.split())
