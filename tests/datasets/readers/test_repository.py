"""One tiny repository per layout that the hub's datasets have, on a hub on the loopback interface: each loads right, or says what to do."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest

from bob.io.paths import CHECKOUT
from bob.specs import DatasetSpec
from tests.builders.images import png
from tests.builders.loopback_hub import COMMIT, serving_all

README = """---
configs:
- config_name: query
  data_files: [{split: test, path: query/*.parquet}]
- config_name: corpus
  data_files: [{split: corpus, path: corpus/*.parquet}]
- config_name: qrels
  data_files: [{split: test, path: qrels/*.parquet}]
---
"""


def tar_of(first: int, n: int, image: str = "png", **others: list[str]) -> bytes:
    """Samples s0000 ... with an image each, and a file for each of the others."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for i in range(n):
            files = {
                image: png(first + i),
                **{extension: values[i].encode() for extension, values in others.items()},
            }
            for extension, data in files.items():
                member = tarfile.TarInfo(f"s{i:04d}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def parquet(
    tmp_path: Path,
    images: int | None = None,
    first: int = 0,
    names: list[str] | None = None,
    **columns: Any,
) -> bytes:
    """A parquet file as `datasets` writes it, with so many images."""
    pictures = (
        {"image": [{"bytes": png(first + i), "path": None} for i in range(images or 0)]}
        if images
        else {}
    )
    table = datasets.Dataset.from_dict({**pictures, **columns})
    table = table.cast_column("image", datasets.Image()) if images else table
    table = table.cast_column("label", datasets.ClassLabel(names=names)) if names else table
    table.to_parquet(str(tmp_path / "made.parquet"))
    return (tmp_path / "made.parquet").read_bytes()


def repositories(tmp_path: Path) -> dict[str, dict[str, bytes]]:
    digits = ["0", "1"] * 2
    return {
        "owner/ClassLabel": {
            "data/train-0.parquet": parquet(tmp_path, 10, label=[1, 0] * 5, names=["zebra", "ape"])
        },
        "owner/Text": {"data/train-0.parquet": parquet(tmp_path, 10, label=["b10", "b9"] * 5)},
        "owner/Tars": {
            "train/0.tar": tar_of(0, 4, cls=digits),
            "train/1.tar": tar_of(4, 4, cls=digits),
            "train/nshards.txt": b"2",
            "test/0.tar": tar_of(8, 4, cls=digits),
            "test/nshards.txt": b"1",
            "classnames.txt": b"zebra\nape\n",
        },
        "owner/Mixed": {
            "train/0.tar": tar_of(0, 4, cls=digits),
            "test/0.tar": tar_of(8, 4, image="jpg", cls=digits),
        },
        "owner/Retrieval": {
            "README.md": README.encode(),
            "query/0.parquet": parquet(tmp_path, 2, id=["q1", "q2"]),
            "corpus/0.parquet": parquet(tmp_path, 3, 10, id=["c1", "c2", "c3"]),
            "qrels/0.parquet": parquet(
                tmp_path,
                **{
                    "query-id": ["q2", "q1", "q1"],
                    "corpus-id": ["c3", "c1", "c2"],
                    "score": [1, 1, 0],
                },
            ),
        },
        "owner/Script": {"Script.py": b"import datasets\n"},
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


def tars(hub: str, **changes: Any) -> dict[str, Any]:
    files = {"train": "train/*.tar", "test": "test/*.tar"}
    return {"reader": "webdataset", "hub": hub, "revision": COMMIT, "data_files": files, **changes}


# what → (entry, how what is said of it begins)
CASES: Mapping[str, tuple[dict[str, Any], str]] = {
    "parquet with ClassLabel": (
        {"source": source("owner/ClassLabel")},
        "['zebra', 'ape'] {'train': 8, 'test': 2}",
    ),
    "parquet without": ({"source": source("owner/Text")}, "['b9', 'b10'] {'train': 8, 'test': 2}"),
    "one tar beside nshards.txt": (
        {
            "source": tars(
                "owner/Tars", data_files={"test": "test/*.tar"}, names_file="classnames.txt"
            )
        },
        "['zebra', 'ape'] {'test': 4}",
    ),
    "many tars and one": (
        {"source": tars("owner/Tars", names_file="classnames.txt")},
        "['zebra', 'ape'] {'train': 8, 'test': 4}",
    ),
    "no revision is what there is now": (
        {"source": tars("owner/Tars", revision=None)},
        "['0', '1'] {'train': 8, 'test': 4}",
    ),
    "the beginning of the commit": (
        {"source": tars("owner/Tars", revision=None, revision_prefix=COMMIT[:7])},
        "['0', '1'] {'train'",
    ),
    "images of two kinds": (
        {"source": tars("owner/Mixed")},
        "dataset 'mine' (owner/Mixed): images are .png files in train/0.tar and .jpg files in test/0.tar. Name one extension as the entry's 'image'.",
    ),
    "no such tar": (
        {"source": tars("owner/Tars", data_files={"test": "val/*.tar"})},
        "dataset 'mine' (owner/Tars): no file matches 'val/*.tar'. Files: ",
    ),
    "query, corpus, qrels": (
        {
            "source": {"reader": "qrels", "hub": "owner/Retrieval", "revision": COMMIT},
            "kind": "retrieval",
        },
        "[] {'query': 2, 'gallery': 3} {'positive': [(0,), (2,)]}",
    ),
    "script only": (
        {"source": source("owner/Script")},
        "dataset 'mine' (owner/Script): Dataset scripts are no longer supported, but found Script.py Name a revision after its conversion to Parquet",
    ),
    "gated": (
        {"source": source("owner/Gated")},
        "dataset 'mine' (owner/Gated): the repository is gated. Accept its terms on its hub page",
    ),
    "gated tars": (
        {"source": tars("owner/Gated")},
        "dataset 'mine' (owner/Gated): the repository is gated. Accept its terms on its hub page",
    ),
    "revision gone": (
        {"source": source("owner/Moved")},
        f"dataset 'mine' (owner/Moved): the hub has no revision '{COMMIT}' of this repository.",
    ),
    "revision of tars gone": (
        {"source": tars("owner/Moved")},
        f"dataset 'mine' (owner/Moved): the hub has no revision '{COMMIT}' of this repository.",
    ),
    "no such tars": (
        {"source": tars("owner/Unknown")},
        "dataset 'mine' (owner/Unknown): the hub has no such dataset, or it is private.",
    ),
    "moved since": (
        {"source": source("owner/Text", revision=None, revision_prefix="fedcba9")},
        f"dataset 'mine' (owner/Text): the repository has changed: its current commit is '{COMMIT}', and the entry was written for 'fedcba9'",
    ),
    "tars moved since": (
        {"source": tars("owner/Tars", revision=None, revision_prefix="fedcba9")},
        f"dataset 'mine' (owner/Tars): the repository has changed: its current commit is '{COMMIT}'",
    ),
    "wrong counts": (
        {"source": tars("owner/Tars"), "counts": {"train": 8, "test": 5}, "classes": 2},
        "dataset 'mine' is not as its registry entry declares: test holds 4 images, declared 5.",
    ),
    "wrong classes": (
        {"source": source("owner/ClassLabel"), "classes": 3},
        "dataset 'mine' is not as its registry entry declares: there are 2 classes, declared 3.",
    ),
}

OPEN = """
import json, pathlib, sys
from bob.datasets.availability import dataset_unavailable_reason
from bob.datasets.open import open_dataset
from bob.errors import BobError
from bob.specs import DatasetSpec

for text in sys.stdin.read().splitlines():
    spec = DatasetSpec.model_validate_json(text)
    here = dataset_unavailable_reason(spec) is None
    try:
        found = open_dataset(spec, pathlib.Path(sys.argv[1]), offline=len(sys.argv) > 2)
        digests = [split.read(i)[:4].hex() for split in found.splits.values() for i in range(len(split))]
        assert set(digests) <= {"89504e47"}, digests
        sizes = {name: len(split) for name, split in found.splits.items()}
        said = f"{list(found.classes)} {sizes} {dict(found.judgements) if found.judgements else ''}"
    except BobError as error:
        said = str(error)
    print(json.dumps([said, here]))
"""


def said_of(
    entries: list[dict[str, Any]], address: str, tmp_path: Path, *options: str
) -> list[tuple[str, bool]]:
    """What a fresh process says of each entry, and whether it thought to have it: the hub's client reads the hub's address on import."""
    home = {
        "HF_ENDPOINT": address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(CHECKOUT),
    }
    specs = "\n".join(
        DatasetSpec.model_validate({"name": "mine", **entry}).model_dump_json() for entry in entries
    )
    command = [sys.executable, "-c", OPEN, str(tmp_path / "cache"), *options]
    done = subprocess.run(
        command,
        env={**os.environ, **home},
        input=specs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Case → what is said with the hub, and then of the same cache without it."""
    folder = tmp_path_factory.mktemp("hub")
    entries = [entry for entry, _ in CASES.values()]
    with serving_all(repositories(folder)) as address:
        first = said_of(entries, address, folder)
    again = said_of(entries, address, folder, "offline")
    return {
        case: (before, after)
        for case, (before, _), (after, _) in zip(CASES, first, again, strict=True)
    }


@pytest.mark.parametrize("case", CASES)
def test_each_layout_loads_or_says_what_to_do(case: str, said: dict[str, tuple[str, str]]) -> None:
    assert said[case][0].startswith(CASES[case][1])


@pytest.mark.parametrize(
    "case", [case for case, (_, expected) in CASES.items() if expected.startswith("[")]
)
def test_what_was_fetched_once_opens_without_the_hub(
    case: str, said: dict[str, tuple[str, str]]
) -> None:
    assert said[case][1] == said[case][0]
