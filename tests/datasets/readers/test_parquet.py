"""Parquet repositories larger than the disk allows, on a hub on the loopback interface.

A streamed dataset must equal the one that is prepared completely.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from bob.specs import DatasetSpec
from tests.builders.hub_process import huggingface_source, run_with_hub
from tests.builders.images import png
from tests.builders.loopback_hub import COMMIT, serving_all

CARD = """---
dataset_info:
  features:
  - {name: image, dtype: image}
  - name: label
    dtype: {class_label: {names: {'0': zebra, '1': ape}}}
  - {name: style, dtype: string}
  splits: [{name: train, num_examples: 36}, {name: test, num_examples: 12}]
configs:
- config_name: default
  data_files: [{split: train, path: data/train-*}, {split: test, path: data/test-*}]
---
"""
RETRIEVAL = """---
configs:
- {config_name: query, data_files: [{split: test, path: query/*.parquet}]}
- {config_name: corpus, data_files: [{split: corpus, path: corpus/*.parquet}]}
- {config_name: qrels, data_files: [{split: test, path: qrels/*.parquet}]}
---
"""
SIDE = 4_000
"""Bytes after each image, so that images make up most of the files, which take 50 kB."""


def padded(shade: int) -> bytes:
    """Return an image followed by random bytes, which do not compress and are ignored."""
    return png(shade) + np.random.default_rng(shade).bytes(SIDE)


def shard(first: int, n: int, image: Any = None, **columns: list[Any]) -> bytes:
    """Return a Parquet file of n rows in groups of 5, with images as {"bytes", "path"}."""
    made = (
        [{"bytes": padded(first + i), "path": f"{first + i}.png"} for i in range(n)]
        if image is None
        else image
    )
    table = pa.table({"image": made, "mask": made, **columns})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=5)
    return buffer.getvalue()


def repositories() -> dict[str, dict[str, bytes]]:
    def rows(first: int, n: int) -> bytes:
        return shard(
            first, n, label=[i % 2 for i in range(n)], style=[f"s{i % 3}" for i in range(n)]
        )

    files = {f"data/train-{t:05d}-of-00003.parquet": rows(12 * t, 12) for t in range(3)}
    files["data/test-00000-of-00001.parquet"] = rows(100, 12)
    plain = [padded(i) if i != 7 else None for i in range(10)]
    judged = pa.table({"query-id": ["q2", "q1"], "corpus-id": ["c3", "c1"], "score": [1, 1]})
    buffer = io.BytesIO()
    pq.write_table(judged, buffer)
    return {
        "owner/Carded": {
            "README.md": CARD.replace(
                "- {name: style", "- {name: mask, dtype: image}\n  - {name: style"
            ).encode(),
            **files,
        },
        "owner/Bare": {"data/train-0.parquet": shard(0, 10, plain, label=["b10", "b9"] * 5)},
        "owner/Words": {"data/train-0.parquet": shard(0, 10, ["x"] * 10, label=["b10", "b9"] * 5)},
        "owner/Folder": {
            f"train/{label}/{i}.png": png(10 * c + i)
            for c, label in enumerate(("ape", "zebra"))
            for i in range(4)
        },
        "owner/Retrieval": {
            "README.md": RETRIEVAL.encode(),
            "query/0.parquet": shard(0, 2, id=["q1", "q2"]),
            "corpus/0.parquet": shard(10, 3, id=["c1", "c2", "c3"]),
            "qrels/0.parquet": buffer.getvalue(),
        },
    }


CARDED = huggingface_source(
    "owner/Carded", attributes={"style": "style"}, splits={"train": "train", "test": "test"}
)
QRELS: dict[str, Any] = {
    "source": {"reader": "qrels", "hub": "owner/Retrieval", "revision": COMMIT},
    "kind": "retrieval",
}
ENTRIES: dict[str, dict[str, Any]] = {
    "types from the card": {"source": CARDED},
    "types from the first file": {"source": huggingface_source("owner/Bare")},
    "query, corpus, qrels": QRELS,
    "not Parquet": {"source": huggingface_source("owner/Folder")},
    "no image column": {"source": huggingface_source("owner/Words")},
    "missing column": {
        "source": huggingface_source("owner/Bare", label="y", attributes={"style": "styles"})
    },
    "missing attribute": {
        "source": huggingface_source("owner/Carded", attributes={"style": "styles"})
    },
}

READ = """
import json, pathlib, sys
from concurrent.futures import ThreadPoolExecutor
from bob.datasets.readers.downloads import download_bytes
from bob.datasets.open import open_dataset
from bob.errors import UnreadableImageError, BobError
from bob.specs import DatasetSpec

import xxhash

cache, images_read = pathlib.Path(sys.argv[1]), int(sys.argv[2])
peak = 0

def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed by another thread since it was listed
        return 0

def bytes_on_disk():
    return sum(size(path) for path in (cache / "shards").rglob("*.parquet"))

def read(split, i):
    global peak
    try:
        data = split.read(i)
    except BobError as error:
        return f"{type(error).__name__}: {error}"
    peak = max(peak, bytes_on_disk())
    return xxhash.xxh3_128_hexdigest(data)

def read_all(split):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda i: read(split, i), range(min(images_read, len(split)))))

for text in sys.stdin.read().splitlines():
    spec = DatasetSpec.model_validate_json(text)
    download = download_bytes(spec, cache, False)
    try:
        dataset = open_dataset(spec, cache)
        hashes = {name: read_all(split) for name, split in dataset.splits.items()}
        facts = {
            name: [split.y.tolist(), list(split.ids), split.attributes.get("style"),
                   list(split.content)]
            for name, split in dataset.splits.items()
        }
        output = [dataset.fingerprint(), list(dataset.classes), facts, hashes, download, peak]
    except BobError as error:
        output = [f"{type(error).__name__}: {error}"]
    print(json.dumps(output))
"""


def read(
    address: str,
    home: Path,
    limit: str,
    entries: list[dict[str, Any]],
    images_read: int = 1000,
) -> list[Any]:
    """Open and read each entry in a fresh process, with `limit` as $BOB_SHARDS_GB.

    A successful output is a list of fingerprint, classes, facts by split, hashes of the images read
    by split, bytes to download, and the peak size of the files on the disk.
    """
    specs = "\n".join(
        DatasetSpec.model_validate({"name": "mine", **entry}).model_dump_json() for entry in entries
    )
    lines = run_with_hub(
        READ,
        address,
        home,
        str(home / "cache"),
        str(images_read),
        text=specs,
        BOB_SHARDS_GB=limit,
        HF_HUB_CACHE=str(home / "files"),
        HF_DATASETS_CACHE=str(home / "prepared"),
    )
    return [json.loads(line) for line in lines]


LARGEST = max(len(data) for data in repositories()["owner/Carded"].values())
WHOLE = sum(
    len(data) for path, data in repositories()["owner/Carded"].items() if path != "README.md"
)
LIMIT = 1.5 * LARGEST


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Setting → case → its output.

    `kept` has no limit; `streamed` allows a file and a half on the disk, of which `interrupted`
    read 20 images before; `offline` uses the cache of `streamed` without the hub, `never online` an
    empty one; `small` allows half a file.
    """
    home, entries = tmp_path_factory.mktemp("hub"), list(ENTRIES.values())
    limit = str(LIMIT / 1e9)
    with serving_all(repositories()) as address:
        settings = {
            "kept": read(address, home / "a", "", entries),
            "interrupted": read(address, home / "b", limit, entries[:1], images_read=20),
            "streamed": read(address, home / "b", limit, entries),
            "small": read(address, home / "c", str(0.5 * LARGEST / 1e9), entries[:1]),
        }
    settings["offline"] = read(address, home / "b", limit, entries)
    settings["never online"] = read(address, home / "d", limit, list(ENTRIES.values())[:3])
    return {setting: dict(zip(ENTRIES, lines, strict=False)) for setting, lines in settings.items()}


@pytest.mark.parametrize("case", ENTRIES)
def test_streamed_dataset_equals_the_kept_one(
    case: str, outputs: dict[str, dict[str, Any]]
) -> None:
    """Fingerprint, classes, labels, names, attributes, digests and image bytes, or the error."""
    kept, streamed = outputs["kept"][case], outputs["streamed"][case]
    if len(kept) == 1:
        assert kept[0].split(":")[0] == streamed[0].split(":")[0] == "DatasetError"
    else:
        assert kept[:-1] == streamed[:-1]


def test_files_never_exceed_the_disk_limit(outputs: dict[str, dict[str, Any]]) -> None:
    """Four files of the same size go through a disk that holds one and a half."""
    peak = outputs["streamed"]["types from the card"][-1]
    assert 0.9 * LARGEST < peak <= LIMIT < WHOLE / 2


def test_streamed_images_are_those_written(outputs: dict[str, dict[str, Any]]) -> None:
    _, classes, facts, hashes, *_ = outputs["streamed"]["types from the card"]
    expected = {
        "train": [xxhash.xxh3_128_hexdigest(padded(i)) for i in range(36)],
        "test": [xxhash.xxh3_128_hexdigest(padded(100 + i)) for i in range(12)],
    }
    assert classes == ["zebra", "ape"] and hashes == expected
    y, ids, style, content = facts["test"]
    assert (y, style, content) == ([0, 1] * 6, ["s0", "s1", "s2"] * 4, expected["test"])
    assert ids[0] == "test/0"


def test_row_without_an_image_is_an_unreadable_image(outputs: dict[str, dict[str, Any]]) -> None:
    hashes = outputs["streamed"]["types from the first file"][3]
    errors = [text for split in hashes.values() for text in split if " " in text]
    assert errors == [
        "UnreadableImageError: dataset 'mine' (owner/Bare), train: "
        "column 'image' has no image in row 7."
    ]


def test_reading_resumes_where_it_stopped(outputs: dict[str, dict[str, Any]]) -> None:
    """The first twenty images, read by a process that ended there, start the complete list."""
    interrupted, complete = (
        outputs[setting]["types from the card"] for setting in ("interrupted", "streamed")
    )
    assert interrupted[:3] == complete[:3]
    assert interrupted[3] == {name: hashes[:20] for name, hashes in complete[3].items()}


def test_indexed_dataset_opens_without_the_hub(outputs: dict[str, dict[str, Any]]) -> None:
    """Labels and digests are cached; each image that would be fetched again gives an error."""
    online, offline = (outputs[setting] for setting in ("streamed", "offline"))
    for case in ("types from the card", "query, corpus, qrels"):
        assert online[case][:3] == offline[case][:3]
    hashes = offline["types from the card"][3]
    errors = {text.split(":")[0] for split in hashes.values() for text in split if " " in text}
    assert errors == {"UnavailableError"} and len(hashes["train"]) == 36


@pytest.mark.parametrize("case", ["types from the card", "query, corpus, qrels"])
def test_dataset_never_fetched_is_unavailable_without_the_hub(
    case: str, outputs: dict[str, dict[str, Any]]
) -> None:
    (message,) = outputs["never online"][case]
    assert "not on this machine, and the hub cannot be reached" in message


def test_download_size_is_the_sum_of_the_files_to_fetch(
    outputs: dict[str, dict[str, Any]],
) -> None:
    """The files of all splits; of retrieval, of three configs; of other repositories, all files.

    Nothing is fetched to compute it.
    """
    sizes = {
        name: sum(len(data) for path, data in files.items() if path != "README.md")
        for name, files in repositories().items()
    }
    downloads = {case: lines[4] for case, lines in outputs["kept"].items() if len(lines) > 1}
    assert downloads["types from the card"] == WHOLE == sizes["owner/Carded"]
    assert downloads["types from the first file"] == sizes["owner/Bare"]
    assert downloads["query, corpus, qrels"] == sizes["owner/Retrieval"]
    assert downloads["not Parquet"] == sizes["owner/Folder"]


def test_messages_name_the_column_or_the_limit(outputs: dict[str, dict[str, Any]]) -> None:
    messages = {case: lines[0] for case, lines in outputs["streamed"].items()}
    assert messages["no image column"] == (
        "DatasetError: dataset 'mine' (owner/Words), data/train-0.parquet: column 'image' holds "
        "string, not images. Rename the columns, or name the image column in the entry's source: "
        "`image: COLUMN`."
    )
    assert messages["missing column"] == (
        "DatasetError: dataset 'mine' (owner/Bare), train: no column 'y'. "
        "Columns: image, mask, label. "
        "Rename the column, or correct the entry's source: `label: COLUMN`."
    )
    assert "no column 'styles'; did you mean 'style'?" in messages["missing attribute"]
    assert messages["missing attribute"].endswith(
        "Rename the column, or correct the entry's source: `attributes: {style: COLUMN}`."
    )
    (message,) = outputs["small"]["types from the card"]
    assert "data/train-00000-of-00003.parquet takes" in message
    assert "more than BOB_SHARDS_GB=" in message and "Raise BOB_SHARDS_GB." in message
