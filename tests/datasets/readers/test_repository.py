"""One tiny repository per layout that the hub's datasets have, on a hub on the loopback interface.

Each loads correctly, or its error names the remedy.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest

from bob.specs import DatasetSpec
from tests.builders.hub_process import huggingface_source, run_with_hub
from tests.builders.images import png
from tests.builders.loopback_hub import COMMIT, serving_all
from tests.builders.tars import tar_bytes

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
    """Return a tar of samples s0000, s0001, ... with an image and the other files each."""
    members = []
    for i in range(n):
        members.append((f"s{i:04d}.{image}", png(first + i)))
        members += [(f"s{i:04d}.{ext}", values[i].encode()) for ext, values in others.items()]
    return tar_bytes(members)


def parquet(
    tmp_path: Path,
    images: int | None = None,
    first: int = 0,
    names: list[str] | None = None,
    **columns: Any,
) -> bytes:
    """Return a Parquet file as `datasets` writes it, with so many images."""
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


def tars(hub: str, **changes: Any) -> dict[str, Any]:
    files = {"train": "train/*.tar", "test": "test/*.tar"}
    return {"reader": "webdataset", "hub": hub, "revision": COMMIT, "data_files": files, **changes}


# case → (entry, beginning of the output)
CASES: Mapping[str, tuple[dict[str, Any], str]] = {
    "parquet with ClassLabel": (
        {"source": huggingface_source("owner/ClassLabel")},
        "['zebra', 'ape'] {'train': 8, 'test': 2}",
    ),
    "parquet with text labels": (
        {"source": huggingface_source("owner/Text")},
        "['b9', 'b10'] {'train': 8, 'test': 2}",
    ),
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
    "no revision means the current one": (
        {"source": tars("owner/Tars", revision=None)},
        "['0', '1'] {'train': 8, 'test': 4}",
    ),
    "revision prefix": (
        {"source": tars("owner/Tars", revision=None, revision_prefix=COMMIT[:7])},
        "['0', '1'] {'train'",
    ),
    "two image extensions": (
        {"source": tars("owner/Mixed")},
        "dataset 'mine' (owner/Mixed): images are .png files in train/0.tar and .jpg files in "
        "test/0.tar. Name one extension as the entry's 'image'.",
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
        {"source": huggingface_source("owner/Script")},
        "dataset 'mine' (owner/Script): Dataset scripts are no longer supported, but found "
        "Script.py. Name a revision after its conversion to Parquet",
    ),
    "gated": (
        {"source": huggingface_source("owner/Gated")},
        "dataset 'mine' (owner/Gated): the repository is gated. Accept its terms on its hub page",
    ),
    "gated tars": (
        {"source": tars("owner/Gated")},
        "dataset 'mine' (owner/Gated): the repository is gated. Accept its terms on its hub page",
    ),
    "revision gone": (
        {"source": huggingface_source("owner/Moved")},
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
    "changed since": (
        {"source": huggingface_source("owner/Text", revision=None, revision_prefix="fedcba9")},
        f"dataset 'mine' (owner/Text): the repository has changed: its current commit is "
        f"'{COMMIT}', and the entry was written for 'fedcba9'",
    ),
    "tars changed since": (
        {"source": tars("owner/Tars", revision=None, revision_prefix="fedcba9")},
        f"dataset 'mine' (owner/Tars): the repository has changed: its current commit is "
        f"'{COMMIT}'",
    ),
    "wrong counts": (
        {"source": tars("owner/Tars"), "counts": {"train": 8, "test": 5}, "classes": 2},
        "dataset 'mine' is not as its registry entry declares: test holds 4 images, declared 5.",
    ),
    "wrong classes": (
        {"source": huggingface_source("owner/ClassLabel"), "classes": 3},
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
    available = dataset_unavailable_reason(spec) is None
    try:
        dataset = open_dataset(spec, pathlib.Path(sys.argv[1]), offline=len(sys.argv) > 2)
        starts = {
            split.read(i)[:4].hex() for split in dataset.splits.values() for i in range(len(split))
        }
        assert starts <= {"89504e47"}, starts
        sizes = {name: len(split) for name, split in dataset.splits.items()}
        judgements = dict(dataset.judgements) if dataset.judgements else ''
        output = f"{list(dataset.classes)} {sizes} {judgements}"
    except BobError as error:
        output = str(error)
    print(json.dumps([output, available]))
"""


def outputs(
    entries: list[dict[str, Any]], address: str, tmp_path: Path, *options: str
) -> list[tuple[str, bool]]:
    """Open each entry in a fresh process; return its output and whether it seemed available."""
    specs = "\n".join(
        DatasetSpec.model_validate({"name": "mine", **entry}).model_dump_json() for entry in entries
    )
    lines = run_with_hub(
        OPEN, address, tmp_path / "home", str(tmp_path / "cache"), *options, text=specs
    )
    return [tuple(json.loads(line)) for line in lines]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Case → its output with the hub, and then with the same cache without the hub."""
    folder = tmp_path_factory.mktemp("hub")
    entries = [entry for entry, _ in CASES.values()]
    with serving_all(repositories(folder)) as address:
        online = outputs(entries, address, folder)
    offline = outputs(entries, address, folder, "offline")
    return {
        case: (first, second)
        for case, (first, _), (second, _) in zip(CASES, online, offline, strict=True)
    }


@pytest.mark.parametrize("case", CASES)
def test_each_layout_loads_or_names_the_remedy(
    case: str, opened: dict[str, tuple[str, str]]
) -> None:
    assert opened[case][0].startswith(CASES[case][1])


@pytest.mark.parametrize(
    "case", [case for case, (_, expected) in CASES.items() if expected.startswith("[")]
)
def test_datasets_fetched_once_open_without_the_hub(
    case: str, opened: dict[str, tuple[str, str]]
) -> None:
    assert opened[case][1] == opened[case][0]
