"""Views of a split, which share its feature rows, and shifts that refer to other entries."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset, Split
from bob.datasets.open import limited, open_dataset, with_attributes
from bob.errors import ConfigError, DatasetError
from bob.features.store import Effort, Features
from bob.specs import DatasetSpec, FolderSource, ShiftSpec


def make_split(n: int = 6) -> Split:
    """Return images a0, b1, a2, b3, ... of two kinds."""
    kinds = tuple("ab"[i % 2] for i in range(n))
    ids = tuple(f"{kind}{i}" for i, kind in enumerate(kinds))
    return Split(
        ids,
        np.arange(n) % 3,
        tuple(f"digest {i}" for i in ids),
        lambda i: ids[i].encode(),
        attributes={"kind": kinds},
    )


def test_view_reads_its_images_and_knows_their_positions():
    whole = make_split()
    part = with_attributes("test", whole, {"kind": ["b"]}, "d")
    assert part.ids == ("b1", "b3", "b5") and part.read(1) == b"b3" and part.y.tolist() == [1, 0, 2]
    assert part.origin is not None and (
        part.origin.name,
        part.origin.split,
        part.origin.positions.tolist(),
    ) == ("test", whole, [1, 3, 5])


def test_view_of_a_view_refers_to_the_parent_split():
    whole = make_split()
    inner = with_attributes("test", whole, {"kind": ["b"]}, "d").part("mine", np.array([2, 0]))
    assert inner.ids == ("b5", "b1")
    assert inner.origin is not None and (
        inner.origin.name,
        inner.origin.split,
        inner.origin.positions.tolist(),
    ) == ("test", whole, [5, 1])


def test_taken_images_share_no_rows():
    assert make_split().take(np.array([1, 2])).origin is None


def test_rows_of_a_view_are_rows_of_the_parent():
    """The parent holds rows of images 0, 1, 2, 4 (3 is unreadable), the view images 4, 3, 0."""
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    parent = Features([rows], np.array([0, 1, 2, 4]), {3: "broken"}, Effort())
    view = parent.view(np.array([4, 3, 0]))
    assert view.rows.tolist() == [[6, 7], [0, 1]]
    assert view.positions.tolist() == [0, 2] and view.bad == {1: "broken"}


def test_unknown_attribute_or_value_is_reported():
    with pytest.raises(
        DatasetError, match=r"where names the attribute 'kinds'; did you mean 'kind'\?"
    ):
        with_attributes("test", make_split(), {"kinds": ["b"]}, "d")
    with pytest.raises(
        DatasetError, match=r"dataset 'd': no image of test has \{'kind': \['c'\]\}"
    ):
        with_attributes("test", make_split(), {"kind": ["c"]}, "d")


# --- shifts


@pytest.fixture
def entries(tmp_path, monkeypatch) -> dict[str, DatasetSpec]:
    """`home` has classes x, y, z; `away` has z and x, in this order; `strange` has q."""
    sets = {"home": ("x", "y", "z"), "away": ("z", "x"), "strange": ("q", "x")}

    def read(spec: DatasetSpec, cache: Path, offline: bool, alpha: object) -> Dataset:
        split = make_split(6)
        split = dataclasses.replace(
            split,
            y=split.y % len(sets[spec.name]),
            content=tuple(f"{spec.name} {c}" for c in split.content),
        )
        return Dataset(spec.name, sets[spec.name], {"train": split, "test": split})

    monkeypatch.setattr("bob.datasets.open._read", read)
    return {
        name: DatasetSpec(name=name, source=FolderSource(reader="folder", path=name))
        for name in sets
    }


def with_shift(entries: dict[str, DatasetSpec], **values: object) -> Dataset:
    spec = entries["home"].model_copy(
        update={"shifts": {"moved": ShiftSpec.model_validate(values)}}
    )
    return open_dataset(spec, Path("unused"), entries=entries)


def test_classes_of_a_shift_are_matched_by_name(entries):
    """The labels are 0 1 2 0 1 2 modulo 2: 0 1 0 0 1 0.

    In `away`, z is 0 and x is 1; in `home`, x is 0 and z is 2. Only these two are scored.
    """
    shift = with_shift(entries, dataset="away").shifts["moved"]
    assert (
        shift.split.y.tolist() == [2, 0, 2, 2, 0, 2]
        and shift.classes == (0, 2)
        and shift.kind == "shift"
    )


def test_shift_may_be_another_view_of_the_same_images(entries):
    spec = entries["home"].model_copy(
        update={"where": {"kind": ("a",)}, "shifts": {"b": ShiftSpec(where={"kind": ("b",)})}}
    )
    dataset = open_dataset(spec, Path("unused"), entries=entries)
    assert dataset.splits["test"].ids == ("a0", "a2", "a4") and dataset.shifts["b"].split.ids == (
        "b1",
        "b3",
        "b5",
    )
    assert dataset.shifts["b"].classes is None
    origins = [dataset.splits["test"].origin, dataset.shifts["b"].split.origin]
    assert all(origin is not None and origin.name == "test" for origin in origins)
    assert (
        origins[0] is not None and origins[1] is not None and origins[0].split is origins[1].split
    ), "both share one set of rows"


def test_far_images_need_no_common_class(entries):
    assert with_shift(entries, dataset="strange", kind="far").shifts["moved"].kind == "far"
    with pytest.raises(
        DatasetError,
        match=r"shifts.moved holds the classes \['q'\], which the dataset does not have",
    ):
        with_shift(entries, dataset="strange")


def test_shift_to_an_unknown_dataset_or_split_is_reported(entries):
    with pytest.raises(
        ConfigError, match=r"shifts.moved refers to an unknown dataset 'awa'; did you mean 'away'\?"
    ):
        with_shift(entries, dataset="awa")
    with pytest.raises(ConfigError, match=r"refers to the split 'val', which 'away' does not have"):
        with_shift(entries, dataset="away", split="val")


def test_shift_is_part_of_the_fingerprint(entries):
    plain = open_dataset(entries["home"], Path("unused"), entries=entries).fingerprint()
    prints = {
        plain,
        *(
            with_shift(entries, **values).fingerprint()
            for values in ({"dataset": "away"}, {"dataset": "away", "kind": "far"})
        ),
    }
    assert len(prints) == 3


def test_limit_applies_to_shifts(entries):
    small = limited(with_shift(entries, dataset="away"), 2)
    assert len(small.shifts["moved"].split) == 2


def test_dry_run_decodes_each_image_once_for_all_tasks(bob, photos):
    """Two backbones and any number of tasks decode each file once and embed it twice."""
    files = len([path for path in photos.rglob("*") if path.is_file()])
    for tasks in ("linear", "linear,knn,fewshot,episodes,retrieval,retrieval_whitened"):
        _, out, _ = bob(
            "run",
            "--data",
            photos,
            "--backbones",
            "raw_pixels,channel_statistics",
            "--tasks",
            tasks,
            "--dry-run",
        )
        assert f"{files} images to decode, {2 * files} rows to embed" in out, tasks
