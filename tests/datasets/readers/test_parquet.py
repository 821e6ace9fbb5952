"""Parquet repositories larger than the disk allows: streamed from a hub on the loopback interface, they are the set that is prepared whole."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from bob.io.paths import CHECKOUT
from bob.specs import DatasetSpec
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
"""Bytes after each image: files of 50 kB, beside which what else lies in them is little."""


def padded(shade: int) -> bytes:
    """An image that takes some space; random bytes after its end do not compress and are passed over."""
    return png(shade) + np.random.default_rng(shade).bytes(SIDE)


def shard(first: int, n: int, image: Any = None, **columns: list[Any]) -> bytes:
    """A parquet file of n rows in row groups of 5, as the hub's are: images as {"bytes", "path"}."""
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


def source(hub: str, **changes: Any) -> dict[str, Any]:
    return {
        "reader": "huggingface",
        "hub": hub,
        "revision": COMMIT,
        "image": "image",
        "label": "label",
        "splits": {"train": "train"},
        **changes,
    }


CARDED = source(
    "owner/Carded", attributes={"style": "style"}, splits={"train": "train", "test": "test"}
)
QRELS: dict[str, Any] = {
    "source": {"reader": "qrels", "hub": "owner/Retrieval", "revision": COMMIT},
    "kind": "retrieval",
}
ENTRIES: dict[str, dict[str, Any]] = {
    "a card says what columns hold": {"source": CARDED},
    "the first file says it": {"source": source("owner/Bare")},
    "query, corpus, qrels": QRELS,
    "not of parquet files": {"source": source("owner/Folder")},
    "no images": {"source": source("owner/Words")},
    "no such column": {"source": source("owner/Bare", label="y", attributes={"style": "styles"})},
    "no such attribute": {"source": source("owner/Carded", attributes={"style": "styles"})},
}

READ = """
import json, pathlib, sys
from concurrent.futures import ThreadPoolExecutor
from bob.datasets.readers.downloads import download_bytes
from bob.datasets.open import open_dataset
from bob.errors import UnreadableImageError, BobError
from bob.specs import DatasetSpec

import xxhash

cache, stop = pathlib.Path(sys.argv[1]), int(sys.argv[2])
most = 0

def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:  # dropped by another thread since it was listed
        return 0

def held():
    return sum(size(path) for path in (cache / "shards").rglob("*.parquet"))

def read(split, i):
    global most
    try:
        data = split.read(i)
    except BobError as error:
        return f"{type(error).__name__}: {error}"
    most = max(most, held())
    return xxhash.xxh3_128_hexdigest(data)

for text in sys.stdin.read().splitlines():
    spec = DatasetSpec.model_validate_json(text)
    weight = download_bytes(spec, cache, False)
    try:
        dataset = open_dataset(spec, cache)
        with ThreadPoolExecutor(4) as pool:
            seen = {n: list(pool.map(lambda i: read(s, i), range(min(stop, len(s))))) for n, s in dataset.splits.items()}
        told = {n: [s.y.tolist(), list(s.ids), s.attributes.get("style"), list(s.content)] for n, s in dataset.splits.items()}
        said = [dataset.fingerprint(), list(dataset.classes), told, seen, weight, most]
    except BobError as error:
        said = [f"{type(error).__name__}: {error}"]
    print(json.dumps(said))
"""


def read(
    address: str,
    home: Path,
    cache: str,
    limit: str,
    entries: list[dict[str, Any]],
    stop: int = 1000,
) -> list[Any]:
    """What a process of its own reads of each entry."""
    specs = "\n".join(
        DatasetSpec.model_validate({"name": "mine", **entry}).model_dump_json() for entry in entries
    )
    settings = {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "BOB_SHARDS_GB": limit,
        "PYTHONPATH": str(CHECKOUT),
    }
    settings |= {"HF_HUB_CACHE": str(home / "files"), "HF_DATASETS_CACHE": str(home / "prepared")}
    command = [sys.executable, "-c", READ, str(home / cache), str(stop)]
    done = subprocess.run(
        command,
        env={**os.environ, **settings},
        input=specs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


LARGEST = max(len(data) for data in repositories()["owner/Carded"].values())
WHOLE = sum(
    len(data) for path, data in repositories()["owner/Carded"].items() if path != "README.md"
)
BUDGET = 1.5 * LARGEST


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Case → what is read of it where all is kept, and where a file and a half may lie on the disk; and of the same cache without the hub."""
    home, entries = tmp_path_factory.mktemp("hub"), list(ENTRIES.values())
    with serving_all(repositories()) as address:
        ways = {
            "kept": read(address, home / "a", "cache", "", entries),
            "half": read(address, home / "b", "cache", str(BUDGET / 1e9), entries[:1], stop=20),
            "streamed": read(address, home / "b", "cache", str(BUDGET / 1e9), entries),
            "small": read(address, home / "c", "cache", str(0.5 * LARGEST / 1e9), entries[:1]),
        }
    ways["cut off"] = read(address, home / "b", "cache", str(BUDGET / 1e9), entries)
    ways["never asked"] = read(
        address, home / "d", "cache", str(BUDGET / 1e9), [*entries[:1], QRELS]
    )
    return {way: dict(zip(ENTRIES, said, strict=False)) for way, said in ways.items()}


@pytest.mark.parametrize("case", ENTRIES)
def test_a_streamed_set_is_the_same_set(case: str, told: dict[str, dict[str, Any]]) -> None:
    """Fingerprint, classes, labels, names, facts, digests, and the bytes of every image; or the same error."""
    kept, streamed = told["kept"][case], told["streamed"][case]
    if len(kept) == 1:
        assert kept[0].split(":")[0] == streamed[0].split(":")[0] == "DatasetError"
    else:
        assert kept[:-1] == streamed[:-1]


def test_it_never_takes_more_of_the_disk_than_it_may(told: dict[str, dict[str, Any]]) -> None:
    """Four files of the same size go through a disk that holds one and a half."""
    most = told["streamed"]["a card says what columns hold"][-1]
    assert 0.9 * LARGEST < most <= BUDGET < WHOLE / 2


def test_images_are_those_that_were_put_in(told: dict[str, dict[str, Any]]) -> None:
    _, classes, splits, seen, *_ = told["streamed"]["a card says what columns hold"]
    expected = {
        "train": [xxhash.xxh3_128_hexdigest(padded(i)) for i in range(36)],
        "test": [xxhash.xxh3_128_hexdigest(padded(100 + i)) for i in range(12)],
    }
    assert classes == ["zebra", "ape"] and seen == expected
    y, ids, style, content = splits["test"]
    assert (y, style, content) == ([0, 1] * 6, ["s0", "s1", "s2"] * 4, expected["test"]) and ids[
        0
    ] == "test/0"


def test_a_row_without_an_image_is_a_bad_image(told: dict[str, dict[str, Any]]) -> None:
    seen = [
        data for split in told["streamed"]["the first file says it"][3].values() for data in split
    ]
    assert [data for data in seen if " " in data] == [
        "UnreadableImageError: dataset 'mine' (owner/Bare), train: column 'image' has no image in row 7."
    ]


def test_reading_goes_on_where_it_stopped(told: dict[str, dict[str, Any]]) -> None:
    """The first twenty images, in a process that ended there, are the beginning of all."""
    half, whole = (told[way]["a card says what columns hold"] for way in ("half", "streamed"))
    assert half[:3] == whole[:3] and half[3] == {name: data[:20] for name, data in whole[3].items()}


def test_what_was_indexed_opens_without_the_hub(told: dict[str, dict[str, Any]]) -> None:
    """Labels and digests are remembered; images that would have to be fetched again say so, one by one."""
    first, again = (told[way]["a card says what columns hold"] for way in ("streamed", "cut off"))
    assert first[:3] == again[:3]
    lost = {data.split(":")[0] for split in again[3].values() for data in split if " " in data}
    assert lost == {"UnavailableError"} and len(again[3]["train"]) == 36
    assert (
        told["cut off"]["query, corpus, qrels"][:3] == told["streamed"]["query, corpus, qrels"][:3]
    )
    assert (
        "not on this machine, and the hub cannot be reached"
        in told["never asked"]["a card says what columns hold"][0]
    )
    assert (
        "not on this machine, and the hub cannot be reached"
        in told["never asked"]["the first file says it"][0]
    ), "the second is QRELS"


def test_the_hub_says_how_much_there_is_to_fetch(told: dict[str, dict[str, Any]]) -> None:
    """The files of all splits; of retrieval, of three configs; of other repositories, all that they hold. Nothing is fetched to know it."""
    files = {
        name: sum(len(data) for path, data in of.items() if path != "README.md")
        for name, of in repositories().items()
    }
    said = {case: lines[4] for case, lines in told["kept"].items() if len(lines) > 1}
    assert (
        said["a card says what columns hold"] == WHOLE == files["owner/Carded"]
        and said["the first file says it"] == files["owner/Bare"]
    )
    assert (
        said["query, corpus, qrels"] == files["owner/Retrieval"]
        and said["not of parquet files"] == files["owner/Folder"]
    )


def test_messages(told: dict[str, dict[str, Any]]) -> None:
    said = {case: lines[0] for case, lines in told["streamed"].items()}
    assert (
        said["no images"]
        == "DatasetError: dataset 'mine' (owner/Words), data/train-0.parquet: column 'image' holds string, not images. "
        "Rename the columns, or name the image column in the entry's source: `image: COLUMN`."
    )
    assert said["no such column"] == (
        "DatasetError: dataset 'mine' (owner/Bare), train: no column 'y'. Columns: image, mask, label. "
        "Rename the column, or correct the entry's source: `label: COLUMN`."
    )
    assert "no column 'styles'; did you mean 'style'?" in said["no such attribute"]
    assert said["no such attribute"].endswith(
        "Rename the column, or correct the entry's source: `attributes: {style: COLUMN}`."
    )
    assert (
        "data/train-00000-of-00003.parquet takes"
        in told["small"]["a card says what columns hold"][0]
    )
    assert "more than BOB_SHARDS_GB=" in told["small"]["a card says what columns hold"][0]
