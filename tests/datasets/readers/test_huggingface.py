"""Hugging Face copies made on the fly, in every form that `datasets` writes.

The real hub is never contacted.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from datasets.exceptions import DatasetNotFoundError

from bob.datasets.availability import dataset_unavailable_reason
from bob.datasets.content.images import decode
from bob.datasets.open import open_dataset
from bob.errors import DatasetError, UnavailableError, UnreadableImageError
from bob.specs import DatasetSpec, HuggingFaceSource
from tests.builders.hub_process import run_with_hub
from tests.builders.images import forbid_reading, make_class_folders, png
from tests.builders.loopback_hub import COMMIT, REFUSED, serving


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of `datasets`, for this test alone; progress bars are off."""
    home = tmp_path / "prepared"
    monkeypatch.setenv("HF_DATASETS_CACHE", str(home))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home)
    datasets.disable_progress_bars()
    return home


def rows(n: int, start: int = 0, **columns: Any) -> datasets.Dataset:
    """Return a table of n encoded images and the given columns."""
    pictures = [{"bytes": png(start + i), "path": None} for i in range(n)]
    return datasets.Dataset.from_dict({"image": pictures, **columns}).cast_column(
        "image", datasets.Image()
    )


def entry(place: Path | None, **changes: Any) -> DatasetSpec:
    source = {
        "reader": "huggingface",
        "path": place and str(place),
        "image": "image",
        "label": "label",
        "splits": {"train": "train"},
        **changes,
    }
    return DatasetSpec(name="mine", source=HuggingFaceSource.model_validate(source))


PETS = datasets.ClassLabel(names=["dog", "cat"])


def save(kind: str, path: Path, train: datasets.Dataset, test: datasets.Dataset) -> None:
    if kind == "save_to_disk":
        datasets.DatasetDict(train=train, test=test).save_to_disk(str(path))
    else:
        path.mkdir()
        train.to_parquet(str(path / "train-00000-of-00001.parquet"))
        test.to_parquet(str(path / "test-00000-of-00001.parquet"))


@pytest.mark.parametrize("kind", ["save_to_disk", "parquet"])
@pytest.mark.parametrize(
    ("values", "feature", "classes"),
    [
        ([0, 1] * 5, PETS, ("dog", "cat")),
        ([0, 10] * 5, None, ("0", "10")),
        (["b10", "b9"] * 5, None, ("b9", "b10")),
        ([True, False] * 5, None, ("False", "True")),
    ],
)
def test_local_copies(
    kind: str,
    values: list[Any],
    feature: Any,
    classes: tuple[str, ...],
    tmp_path: Path,
    cache: Path,
    hub: Path,
) -> None:
    train, test = rows(10, label=values), rows(4, 10, label=values[:4])
    if feature:
        train, test = train.cast_column("label", feature), test.cast_column("label", feature)
    save(kind, tmp_path / "copy", train, test)
    dataset = open_dataset(
        entry(tmp_path / "copy", splits={"train": "train", "test": "test"}), cache
    )
    assert dataset.classes == classes and dataset.split_origin == {"kind": "official"}
    assert [classes[c] for c in dataset.splits["train"].y] == [
        feature.names[v] if feature else str(v) for v in values
    ]
    assert dataset.splits["test"].ids == ("test/0", "test/1", "test/2", "test/3")
    assert [dataset.splits["test"].read(i) for i in range(4)] == [png(10 + i) for i in range(4)]
    assert dataset.splits["test"].content[1] == xxhash.xxh3_128_hexdigest(png(11))


def test_train_alone_is_split_by_group(tmp_path: Path, cache: Path, hub: Path) -> None:
    rows(40, label=[0, 1] * 20, site=[i // 4 for i in range(40)]).save_to_disk(
        str(tmp_path / "copy")
    )
    dataset = open_dataset(entry(tmp_path / "copy", group="site"), cache)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 32, "test": 8}
    assert not set(dataset.splits["train"].groups or ()) & set(dataset.splits["test"].groups or ())


def test_parquet_file_written_by_another_tool_loads(tmp_path: Path, cache: Path, hub: Path) -> None:
    """Plain bytes, written by pyarrow without the metadata of `datasets`."""
    pq.write_table(
        pa.table({"image": [png(i) for i in range(10)], "label": ["a", "b"] * 5}),
        tmp_path / "mine.parquet",
    )
    dataset = open_dataset(entry(tmp_path / "mine.parquet"), cache)
    assert dataset.classes == ("a", "b") and decode(dataset.splits["test"].read(0), "x").size == (
        4,
        3,
    )


def test_rewritten_parquet_changes_the_fingerprint(tmp_path: Path, cache: Path, hub: Path) -> None:
    first, path = rows(10, label=[0, 1] * 5), tmp_path / "mine.parquet"
    first.to_parquet(str(path))
    before = open_dataset(entry(path), cache).fingerprint()
    rows(10, 100, label=[0, 1] * 5).to_parquet(str(path))
    assert open_dataset(entry(path), cache).fingerprint() != before


def test_images_stored_as_files_are_digested_by_file(
    tmp_path: Path, cache: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image folder opened by `datasets`: its rows hold paths."""
    make_class_folders(tmp_path / "copy", cat=10, dog=10)
    dataset = open_dataset(entry(tmp_path / "copy"), cache)
    assert dataset.classes == ("cat", "dog") and len(dataset.splits["test"]) == 4
    assert (
        xxhash.xxh3_128_hexdigest(dataset.splits["test"].read(1))
        == dataset.splits["test"].content[1]
    )
    forbid_reading(monkeypatch)
    assert open_dataset(entry(tmp_path / "copy"), cache).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("kind", ["save_to_disk", "parquet"])
def test_second_opening_hashes_no_image(
    kind: str, tmp_path: Path, cache: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(kind, tmp_path / "copy", rows(10, label=[0, 1] * 5), rows(4, 10, label=[0, 1] * 2))
    spec = entry(tmp_path / "copy", splits={"train": "train", "test": "test"})
    first = open_dataset(spec, cache)
    monkeypatch.setattr("bob.datasets.readers.tables.image_content", None)
    assert open_dataset(spec, cache).fingerprint() == first.fingerprint()


def test_threads_read_the_correct_rows(tmp_path: Path, cache: Path, hub: Path) -> None:
    rows(200, label=[0, 1] * 100).save_to_disk(str(tmp_path / "copy"), num_shards=3)
    split = open_dataset(entry(tmp_path / "copy"), cache).splits["train"]
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(
            i
            for i in range(len(split))
            if xxhash.xxh3_128_hexdigest(split.read(i)) != split.content[i]
        )

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_class_without_images_is_dropped(tmp_path: Path, cache: Path, hub: Path) -> None:
    names = datasets.ClassLabel(names=["dog", "owl", "cat"])
    rows(10, label=[0, 2] * 5).cast_column("label", names).save_to_disk(str(tmp_path / "copy"))
    dataset = open_dataset(entry(tmp_path / "copy"), cache)
    assert dataset.classes == ("dog", "cat") and dataset.notes == (
        "classes without images are left out: 'owl'",
    )


WRONG_COLUMNS = [
    ({"image": "img"}, "no column 'img'.* Columns: image, label"),
    ({"label": "lable"}, "no column 'lable'; did you mean 'label'"),
    ({"group": "site"}, "no column 'site'"),
    (
        {"splits": {"train": "train", "test": "tset"}},
        "no split 'tset'; did you mean 'test'.* Splits: train, test",
    ),
    ({"image": "label"}, "column 'label' holds .*, not images"),
    (
        {"label": "size"},
        r"row 0: label column 'size' holds 0\.5; labels must be integers or text",
    ),
    ({"group": "none"}, r"row 1: column 'none' is empty"),
    ({"label": "none"}, r"row 1: label column 'none' holds None; labels must be integers or text"),
    (
        {"label": "hidden"},
        r"row 1: label column 'hidden' holds -1; its 2 class names have no such index",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_COLUMNS)
def test_wrong_columns_are_reported(
    changes: dict[str, Any], message: str, tmp_path: Path, cache: Path, hub: Path
) -> None:
    made = rows(4, label=[0, 1, 0, 1], size=[0.5] * 4, none=[0, None, 0, 1], hidden=[0, -1, 0, 1])
    made = made.cast_column("hidden", PETS)
    save("save_to_disk", tmp_path / "copy", made, made)
    with pytest.raises(DatasetError, match=message):
        open_dataset(entry(tmp_path / "copy", **changes), cache)


def test_rows_without_an_image_are_unreadable_images(
    tmp_path: Path, cache: Path, hub: Path
) -> None:
    """The other rows remain usable, and each of these rows has its own digest."""
    pictures = [{"bytes": png(i), "path": None} if i % 5 else None for i in range(20)]
    made = datasets.Dataset.from_dict(
        {"image": pictures, "label": [i % 2 for i in range(20)]},
        features=datasets.Features(
            image=datasets.Image(decode=False), label=datasets.Value("int64")
        ),
    )
    made.save_to_disk(str(tmp_path / "copy"))
    split = open_dataset(
        entry(tmp_path / "copy", splits={"train": "train", "test": "train"}), cache
    ).splits["train"]
    assert len(set(split.content)) == 20
    assert [xxhash.xxh3_128_hexdigest(split.read(i)) == split.content[i] for i in range(1, 5)] == [
        True
    ] * 4
    with pytest.raises(UnreadableImageError, match="column 'image' has no image in row 5"):
        split.read(5)


def test_missing_or_damaged_copy_is_reported(tmp_path: Path, cache: Path, hub: Path) -> None:
    with pytest.raises(
        UnavailableError, match=r"dataset 'mine' \(.*nowhere\): '.*nowhere' does not exist"
    ):
        open_dataset(entry(tmp_path / "nowhere"), cache)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match=r"bad\.parquet': is not a complete Parquet file"):
        open_dataset(entry(tmp_path / "bad.parquet"), cache)


def hub_entry(revision: str | None = COMMIT, **changes: Any) -> DatasetSpec:
    return entry(None, **{"hub": "owner/CamelPets", "revision": revision, **changes})


def prepare(hub: Path, revision: str, shards: int = 1) -> Path:
    """Write the cache of `datasets` as it is after owner/CamelPets was prepared."""
    folder = hub / "owner___camel_pets" / "default" / "0.0.0" / revision
    folder.mkdir(parents=True)
    table = rows(10, label=["a", "b"] * 5)
    for i in range(shards):
        name = f"camel_pets-train-{i:05d}-of-{shards:05d}" if shards > 1 else "camel_pets-train"
        part = table.shard(shards, i, contiguous=True).flatten_indices()
        with datasets.arrow_writer.ArrowWriter(
            path=str(folder / f"{name}.arrow"), features=part.features
        ) as writer:
            writer.write_table(part.data.table)
            writer.finalize()
    lengths = [len(table.shard(shards, i)) for i in range(shards)]
    split = {
        "name": "train",
        "num_examples": 10,
        "shard_lengths": lengths,
        "dataset_name": "camel_pets",
    }
    info = datasets.DatasetInfo(
        features=table.features,
        splits={"train": split},
        config_name="default",
        dataset_name="camel_pets",
        version="0.0.0",
    )
    info.write_to_directory(str(folder))
    return folder


def refuse(error: Exception) -> Callable[..., Any]:
    def load(*_: Any, **__: Any) -> Any:
        raise error

    return load


@pytest.mark.parametrize("shards", [1, 3])
def test_prepared_commit_opens_without_the_hub(
    shards: int, hub: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(hub, COMMIT, shards)
    prepare(hub, "f" * 40)
    monkeypatch.setattr(datasets, "load_dataset", refuse(AssertionError("the hub was contacted")))
    dataset = open_dataset(hub_entry(), cache)
    split = dataset.splits["train"]
    assert [split.read(i) for i in range(len(split))] == [png(int(name[6:])) for name in split.ids]
    assert len(split) == 8 and dataset_unavailable_reason(hub_entry()) is None


def test_offline_without_a_copy_is_unavailable(hub: Path, cache: Path) -> None:
    """Runs the real library without network access."""
    before = datasets.config.HF_HUB_OFFLINE
    with pytest.raises(
        UnavailableError,
        match=r"owner/CamelPets\): not on this machine, and the hub cannot be reached .* "
        r"set HF_HOME to a copy",
    ):
        open_dataset(hub_entry(), cache, offline=True)
    assert datasets.config.HF_HUB_OFFLINE is before
    assert (
        dataset_unavailable_reason(hub_entry())
        == "not on this machine; the hub has it as owner/CamelPets. Run once with a network."
    )


def test_offline_without_a_pinned_revision_uses_the_last_copy(hub: Path, cache: Path) -> None:
    """Runs the real library without network access."""
    prepare(hub, COMMIT)
    assert len(open_dataset(hub_entry(None), cache, offline=True).splits["train"]) == 8
    assert (
        dataset_unavailable_reason(hub_entry(None)) is None
        and dataset_unavailable_reason(hub_entry(None, config="other")) is not None
    )


def test_another_revision_is_refused_offline(hub: Path, cache: Path) -> None:
    """The real library without network access would use whatever revision it has."""
    prepare(hub, "f" * 40)
    with pytest.raises(
        UnavailableError,
        match=f"the hub cannot be reached, and this machine has revision '{'f' * 40}' "
        f"instead of '{COMMIT}'",
    ):
        open_dataset(hub_entry(), cache, offline=True)


HUB_ERRORS = [
    (
        DatasetNotFoundError("Dataset 'x' is a gated dataset on the Hub."),
        UnavailableError,
        "the repository is gated. Accept its terms .* `hf auth login`",
    ),
    (
        DatasetNotFoundError("Revision 'x' doesn't exist for dataset"),
        UnavailableError,
        f"the hub has no revision '{COMMIT}' of this repository",
    ),
    (
        DatasetNotFoundError("Dataset 'x' doesn't exist"),
        UnavailableError,
        "the hub has no such dataset, or it is private. Check the id",
    ),
    (
        ConnectionError("Couldn't reach"),
        UnavailableError,
        r"the hub cannot be reached \(ConnectionError\). Run once with a network",
    ),
    (
        ValueError("BuilderConfig 'x' not found. Available: ['y']"),
        DatasetError,
        r"owner/CamelPets\): BuilderConfig 'x' not found. Available: \['y'\]",
    ),
    (
        RuntimeError("Dataset scripts are no longer supported"),
        DatasetError,
        "Dataset scripts are no longer supported",
    ),
]


@pytest.mark.parametrize(("error", "kind", "message"), HUB_ERRORS)
def test_hub_errors_name_the_remedy(
    error: Exception,
    kind: type[Exception],
    message: str,
    hub: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets, "load_dataset", refuse(error))
    with pytest.raises(kind, match=message):
        open_dataset(hub_entry(), cache)


OPEN = """
import pathlib, sys
from bob.datasets.availability import dataset_unavailable_reason
from bob.datasets.open import open_dataset
from bob.errors import UnavailableError
from bob.specs import DatasetSpec

cache = pathlib.Path(sys.argv[1])
for text in sys.argv[2:]:
    spec = DatasetSpec.model_validate_json(text)
    try:
        print(dataset_unavailable_reason(spec), open_dataset(spec, cache).fingerprint())
    except UnavailableError as error:
        print(error)
"""


def open_in_new_process(address: str, tmp_path: Path, *hubs: str) -> list[str]:
    """Open datasets of a hub in a fresh process; return a line per dataset."""
    specs = [hub_entry(hub=hub).model_dump_json() for hub in hubs]
    return run_with_hub(OPEN, address, tmp_path / "home", str(tmp_path / "cache"), *specs)


def test_dataset_opens_from_the_hub_and_then_without_it(tmp_path: Path) -> None:
    """The commit is fetched once and then found where `datasets` itself has put it.

    If the hub refuses a request, the message names the remedy.
    """
    rows(10, label=["a", "b"] * 5).to_parquet(str(tmp_path / "train.parquet"))
    with serving((tmp_path / "train.parquet").read_bytes()) as address:
        online, *refused = open_in_new_process(address, tmp_path, "owner/CamelPets", *REFUSED)
    (offline,) = open_in_new_process(address, tmp_path, "owner/CamelPets")
    assert online.startswith("not on this machine") and offline.startswith("None ")
    assert online.split()[-1] == offline.split()[-1]
    for line, message in zip(
        refused,
        ("is gated. Accept its terms", "no such dataset, or it is private", "no revision"),
        strict=True,
    ):
        assert message in line
