"""Stored records: what is read is what was written, and nothing odd stops a reader."""

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from bob.errors import ConfigError, StoreError
from bob.records.record import Record
from bob.records.record_file import CHANGED
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import dataset, failed, record, task

Bob = Callable[..., tuple[int, str, str]]
ARRAYS = {"0.correct": np.arange(8) % 2 == 0}


@pytest.fixture
def stored(tmp_path: Path) -> tuple[RecordStore, Record, Path]:
    """Return a store with one record and its arrays, the record, and the path of its JSON file."""
    store = RecordStore(tmp_path / "results")
    path = store.write(record("a", 0.5), ARRAYS)
    ((read,), _) = store.read_all()
    return store, read, path


def find(store: RecordStore, of: Record) -> Record | None:
    return store.find(of.task.name, of.dataset_name, of.backbone_name, of.key)


def test_a_record_is_read_as_it_was_written(stored: tuple[RecordStore, Record, Path]) -> None:
    store, read, path = stored
    assert read == record("a", 0.5).model_copy(update={"arrays": read.arrays})
    assert read.arrays is not None
    assert read.arrays.size == path.with_suffix(".safetensors").stat().st_size
    assert find(store, read) == read
    assert store.arrays(read)["0.correct"].tolist() == ARRAYS["0.correct"].tolist()


def test_records_share_their_equal_facts_and_are_otherwise_their_own(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "results")
    for name in ("a", "b"):
        store.write(record(name, 0.5), ARRAYS)
    (first, second), _ = store.read_all()
    assert first.dataset is second.dataset and first.task is second.task
    assert first.backbone is not second.backbone
    score, other = first.scores[0], second.scores[0]
    assert score.model_fields_set is other.model_fields_set
    changed = score.model_copy(update={"undefined": "for a reason"})
    assert score.model_fields_set == other.model_fields_set
    assert "undefined" in changed.model_fields_set
    assert first == find(store, first)


def test_facts_that_are_read_once_are_those_of_every_record(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "results")
    written = [
        record("a", 0.5),
        record("b", 0.25),
        failed("c").model_copy(update={"dataset": None}),
    ]
    written += [record("a", 0.5, task=task("knn")), record("d", 0.5, dataset=dataset("other"))]
    for each in written:
        store.write(each, {})
    records, problems = store.read_all()
    assert not problems and len(records) == len(written)
    for read in records:
        assert read in written and read == find(store, read)


def sealed(text: str) -> bytes:
    """Return the JSON text of a record with a checksum that is right."""
    rest = text.encode().partition(b",")[2]
    return b'{\n "checksum": "%s",' % xxhash.xxh3_128_hexdigest(rest).encode() + rest


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"split_origin": {', '"split_origin": {"x": NaN,', "a number is not finite"),
        ('"provenance": {', '"provenance": {"x": 1e999,', "a number is not finite"),
        ('"settings": {}', '"settings": {"x": 12345678901234567890}', "beyond 64 bits"),
        ('"classes": 2', '"classes": -2', "dataset.classes: Input should be greater than"),
        ('"schema_version": 2', '"schema_version": 3', "schema_version 3; this version reads 2"),
        ('"family": "supervised",\n "task"', '"family": "external",\n "task"', "never stored"),
    ],
)
def test_a_right_checksum_makes_no_wrong_record_right(
    stored: tuple[RecordStore, Record, Path], before: str, after: str, message: str
) -> None:
    store, read, path = stored
    text = path.read_text()
    assert before in text
    path.write_bytes(sealed(text))
    assert store.read_all() == ([read], [])
    path.write_bytes(sealed(text.replace(before, after)))
    (records, (problem,)) = store.read_all()
    assert records == [] and message in problem
    assert find(store, read) is None


# --- damage


@pytest.mark.parametrize("damage", ["truncated", "flipped", "longer", "missing", "another's"])
def test_a_record_with_damaged_arrays_does_not_count_as_done(
    stored: tuple[RecordStore, Record, Path], damage: str
) -> None:
    store, read, path = stored
    arrays = path.with_suffix(".safetensors")
    data = bytearray(arrays.read_bytes())
    data[-1] ^= 1
    other = store.write(record("b", 0.5), {"0.correct": ~ARRAYS["0.correct"]})
    {
        "truncated": lambda: arrays.write_bytes(data[:-1]),
        "flipped": lambda: arrays.write_bytes(data),
        "longer": lambda: arrays.write_bytes(data + b"\0"),
        "missing": arrays.unlink,
        "another's": lambda: arrays.write_bytes(other.with_suffix(".safetensors").read_bytes()),
    }[damage]()
    assert find(store, read) is None
    with pytest.raises(StoreError, match=r"\.safetensors: (was damaged|is missing)"):
        store.headline_arrays(read)


def test_arrays_that_another_process_replaced_with_their_record_are_read(
    stored: tuple[RecordStore, Record, Path],
) -> None:
    store, read, _ = stored
    store.write(record("a", 0.5), {"0.correct": np.ones(8, bool)})
    assert store.headline_arrays(read)["0.correct"].all()


@pytest.mark.parametrize("seed", range(60))
def test_no_flipped_byte_of_a_record_passes_unnoticed(
    stored: tuple[RecordStore, Record, Path], seed: int
) -> None:
    store, read, path = stored
    data, rng = bytearray(path.read_bytes()), random.Random(seed)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    (records, (problem,)) = store.read_all()
    assert records == [] and problem.startswith(str(path))
    assert find(store, read) is None


def test_a_record_edited_by_hand_is_read_without_its_checksum(
    stored: tuple[RecordStore, Record, Path],
) -> None:
    store, _, path = stored
    edited = path.read_text().replace('"value": 0.5', '"value": 0.25')
    path.write_text(edited)
    assert store.read_all() == ([], [f"{path}: {CHANGED}"])
    for layout in (None, 1, 2):  # as an editor or a script writes it
        path.write_text(json.dumps(json.loads(edited), indent=layout))
        assert store.read_all() == ([], [f"{path}: {CHANGED}"])
    path.write_text(edited)
    path.write_text(re.sub(r' "checksum": ".*",\n', "", edited))
    ((read,), problems) = store.read_all()
    assert read.scores[0].value == 0.25 and problems == []


def edit(path: Path, **changes: Any) -> None:
    """Change entries of a record, given by their path with `__` between keys."""
    values = json.loads(path.read_text())
    del values["checksum"]
    for place, value in changes.items():
        *outer, last = place.split("__")
        inner: Any = values
        for part in outer:
            inner = inner[int(part) if part.isdigit() else part]
        inner[last] = value
    path.write_text(json.dumps(values))


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "a later version": ({"schema_version": 99}, "schema_version 99; this version reads 2"),
    "an earlier version": ({"schema_version": 1, "arrays": "x"}, "schema_version 1; this version"),
    "an unknown key": ({"extra": 1}, "extra: Extra inputs are not permitted"),
    "no metric": ({"task__metrics": []}, "task.metrics: Tuple should have at least 1 item"),
    "text as crop_pct": ({"backbone__geometry__crop_pct": "x"}, "crop_pct must be a number"),
    "text as pixels": ({"backbone__geometry__input_px": "x"}, "input_px must be pixels"),
    "infinite std": (
        {"backbone__normalisation": {"std": [float("inf")]}},
        "a number is not finite",
    ),
    "NaN as value": ({"scores__0__value": float("nan")}, "a number is not finite"),
    "NaN in details": ({"details__0__c": float("nan")}, "a number is not finite"),
    "infinite details": ({"details__0__c": "1e999"}, "a number is not finite"),
    "an integer beyond 64 bits": ({"task__settings": {"k": 10**30}}, "beyond 64 bits"),
    "an integer of 5,000 digits": ({"task__settings": {"k": "9" * 5000}}, "number out of range"),
    "a negative number of examples": ({"scores__0__n": -1}, "greater than or equal to 0"),
    "a number of examples beyond 2^53": ({"scores__0__n": 10**17}, "less than or equal"),
    "negative parameters": ({"backbone__params": -5}, "greater than or equal to 0"),
    "no name": ({"backbone_name": ""}, "backbone_name: String should have at least 1 character"),
    "a published number": ({"external": "paper.csv"}, "published results are never stored"),
}


@pytest.mark.parametrize("oddity", ODD)
def test_an_odd_record_is_set_aside_with_the_reason(
    stored: tuple[RecordStore, Record, Path], bob: Bob, oddity: str
) -> None:
    store, _, path = stored
    store.write(record("b", 0.75), {})
    changes, message = ODD[oddity]
    edit(path, **changes)
    if oddity in ("infinite details", "an integer of 5,000 digits"):
        path.write_text(re.sub(r'"(1e999|9{5000})"', r"\1", path.read_text()))
    (records, (problem,)) = store.read_all()
    assert [read.backbone_name for read in records] == ["b"]
    assert re.search(message, problem) and "is not a record of this version" in problem
    code, _, err = bob("leaderboard")
    assert code == 0 and str(path) in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores__0__value": 5.0, "scores__0__high": 5.0}, "top1 is 5.0 .* between 0 and 1"),
        ({"scores__0__low": -0.5}, "top1 lies between 0 and 1"),
        ({"scores__0__low": 0.9, "scores__0__high": 0.95}, r"top1 is 0.5 \[0.9, 0.95\]"),
    ],
)
def test_a_score_beyond_its_metric_s_range_is_set_aside_with_the_reason(
    stored: tuple[RecordStore, Record, Path], bob: Bob, changes: dict[str, Any], message: str
) -> None:
    store, _, path = stored
    store.write(record("b", 0.75), {})
    edit(path, **changes)
    code, out, err = bob("leaderboard")
    assert code == 0
    assert re.search(message, err) and "is set aside" in err
    assert "1 record is damaged and left out" in " ".join(out.split())
    assert "a,supervised" not in (store.results / "leaderboard.csv").read_text()


# --- what stands where a record is expected


def obstruct(path: Path, obstacle: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if obstacle == "folder":
        path.mkdir()
        (path / "precious.txt").write_text("precious")
    elif obstacle == "link loop":
        path.symlink_to(path)
    elif obstacle == "broken link":
        path.symlink_to(path.with_name("nowhere"))
    elif obstacle == "pipe":
        os.mkfifo(path)
    elif obstacle == "link to a folder":
        path.symlink_to(path.parent)


OBSTACLES = ["folder", "link loop", "broken link", "pipe", "link to a folder"]


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_no_command_stops_at_what_is_no_record(
    stored: tuple[RecordStore, Record, Path], bob: Bob, obstacle: str
) -> None:
    store, _, path = stored
    store.write(record("b", 0.75), {})
    store.write(record("c", 0.5), {})
    obstruct(path, obstacle)
    for command in (("leaderboard",), ("list", "records"), ("compare", "b", "c"), ("recommend",)):
        code, out, err = bob(*command)
        assert code == 0 and "b" in out
        assert f"{path}: " in err.replace("\n", ""), command


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_a_run_stores_its_record_where_something_else_stood(
    photos: Path, bob: Bob, tmp_path: Path, obstacle: str
) -> None:
    command = ("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    bob(*command)
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    whole = json.loads(path.read_text())["scores"]
    obstruct(path, obstacle)
    code, out, err = bob(*command)
    assert code == 0 and "1 cell to do" in out
    assert json.loads(path.read_text())["scores"] == whole
    if obstacle == "folder":  # its content is not lost
        (precious,) = path.parent.rglob("precious.txt")
        assert f"{precious.parent}: is a folder, not a record; remove it" in err.replace("\n", "")


@pytest.mark.parametrize("level", ["records", "records/linear", "records/linear/elpv"])
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), None])
def test_a_folder_that_cannot_be_listed_is_named(
    stored: tuple[RecordStore, Record, Path],
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    error: OSError | None,
) -> None:
    """Without permission, or because it is a link to itself; root may list everything."""
    store, _, _ = stored
    folder = store.results / level
    if error is None:
        folder.rename(folder.with_name("moved"))
        folder.symlink_to(folder)
    else:
        listed = os.scandir

        def scandir(path: Path) -> Any:
            if path == folder:
                raise error
            return listed(path)

        monkeypatch.setattr(os, "scandir", scandir)
    records, problems = store.read_all()
    assert records == [] or error is None
    assert any(problem.startswith(f"{folder}: cannot be read (") for problem in problems)


def test_an_unreadable_record_is_named(
    stored: tuple[RecordStore, Record, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read, path = stored
    read_bytes = Path.read_bytes

    def refuse(of: Path) -> bytes:
        if of == path:
            raise PermissionError(13, "Permission denied")
        return read_bytes(of)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert store.read_all() == ([], [f"{path}: cannot be read (Permission denied)."])
    assert find(store, read) is None


def test_a_record_without_arrays_leaves_none_of_an_earlier_one(
    stored: tuple[RecordStore, Record, Path],
) -> None:
    store, _, path = stored
    store.write(record("a", 0.5), {})
    assert not path.with_suffix(".safetensors").exists()
    ((read,), _) = store.read_all()
    assert read.arrays is None and store.arrays(read) == {}


def test_arrays_to_show_are_those_of_the_first_seed(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    names = ("2.rank", "2.shown.score", "10.shown.score", "2.worst_group.right", "plain")
    store.write(record("a"), {name: np.array([i]) for i, name in enumerate(names)})
    store.write(record("b"), {name: np.zeros(1) for name in ("0.rank", "0.worst_group.right")})
    a, b = store.read_all()[0]
    assert {name: of.tolist() for name, of in store.shown_arrays(a).items()} == {"score": [1]}
    assert store.shown_arrays(b) == {}


def test_a_key_under_two_names_is_found_and_two_keys_are_not_one(tmp_path: Path) -> None:
    """A folder and a table of the same images give records of one key."""
    store = RecordStore(tmp_path / "results")
    one = record("a", 0.5)
    twin = record("a", 0.5, dataset_name="twin")
    assert twin.key == one.key
    other = record("b", 0.5).model_copy(update={"key": "0" * 32})
    for each in (twin, one, other):
        store.write(each, {})
    names = {record.dataset_name for record in store.read_all()[0] if record.key == one.key}
    assert names == {one.dataset_name, "twin"}
    for name in names:
        found = store.with_prefix(
            one.key[:12], lambda record, name=name: record.dataset_name == name
        )
        assert found.dataset_name == name
    assert store.with_prefix(one.key).key == one.key
    with pytest.raises(ConfigError, match="2 records have a key that begins with ''"):
        store.with_prefix("")
