"""Retrieval datasets as published: judged landmarks, products by class, queries in a list."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bob.datasets.limit import limited
from bob.datasets.open import open_dataset
from bob.engine.scores import scores
from bob.errors import DatasetError, UnreadableImageError
from bob.features.store import Effort, Features
from bob.protocols.needs import Inputs
from bob.protocols.retrieval import PROTOCOL
from bob.registry import load_registry
from bob.specs import BackboneSpec, DatasetSpec, FolderSource, RevisitedSource, TableSource
from tests.builders.images import make_class_folders, png

# two queries, four gallery images; the second query has no easy positive
TRUTH: dict[str, Any] = {
    "qimlist": ["q0", "q1"],
    "imlist": ["g0", "g1", "g2", "g3"],
    "gnd": [
        {"bbx": [2.0, 1.0, 7.6, 5.2], "easy": [0], "hard": [2, 3], "junk": [1]},
        {"bbx": [0.0, 0.0, 4.0, 4.0], "easy": [], "hard": [1], "junk": []},
    ],
}


def landmarks(folder: Path) -> Path:
    """Write images of 12 x 8 px whose pixels all differ, as PNG files with the extension .jpg."""
    folder.mkdir()
    for n, name in enumerate([*TRUTH["qimlist"], *TRUTH["imlist"]]):
        pixels = (np.arange(96, dtype=np.uint8).reshape(8, 12) + n)[:, :, None].repeat(3, 2)
        Image.fromarray(pixels).save(folder / f"{name}.jpg", "PNG")
    return folder


def entry(folder: Path, truth: str) -> DatasetSpec:
    source = RevisitedSource(reader="revisited", path=str(folder), ground_truth=truth)
    return DatasetSpec(
        name="landmarks", source=source, kind="retrieval", counts={"query": 2, "gallery": 4}
    )


def as_arrays() -> dict[str, Any]:
    return {
        **TRUTH,
        "gnd": [{key: np.array(value) for key, value in query.items()} for query in TRUTH["gnd"]],
    }


def write(form: str, path: Path) -> None:
    if form == "json":
        path.write_text(json.dumps(TRUTH))
    elif form == "mat":
        gnd = np.array(
            [(a["bbx"], a["easy"], a["hard"], a["junk"]) for a in TRUTH["gnd"]],
            dtype=[(k, object) for k in ("bbx", "easy", "hard", "junk")],
        )
        savemat(
            path,
            {
                "qimlist": np.array(TRUTH["qimlist"], object),
                "imlist": np.array(TRUTH["imlist"], object),
                "gnd": gnd,
            },
        )
    else:
        protocol = int(form[-1])
        path.write_bytes(
            pickle.dumps(as_arrays() if "arrays" in form else TRUTH, protocol=protocol)
        )


@pytest.mark.parametrize(
    "form", ["json", "mat", "pickle of lists 2", "pickle of arrays 2", "pickle of arrays 5"]
)
def test_landmarks_are_read(form: str, tmp_path: Path) -> None:
    folder = landmarks(tmp_path / "jpg")
    truth = f"../gnd.{form if form in ('json', 'mat') else 'pkl'}"
    write(form, folder / truth)
    dataset = open_dataset(entry(folder, truth), tmp_path / "cache")
    assert dataset.judgements == {"easy": [(0,), ()], "hard": [(2, 3), (1,)], "junk": [(1,), ()]}
    assert dataset.splits["gallery"].ids == tuple(f"gallery/{name}" for name in TRUTH["imlist"])
    query = np.asarray(Image.open(io.BytesIO(dataset.splits["query"].read(0))))
    whole = np.asarray(Image.open(folder / "q0.jpg"))
    np.testing.assert_array_equal(
        query, whole[1:5, 2:8]
    )  # left 2, upper 1, right 7.6 -> 8, lower 5.2 -> 5
    assert dataset.splits["gallery"].read(2) == (folder / "g2.jpg").read_bytes()


def test_content_of_a_query_depends_on_its_box(tmp_path: Path) -> None:
    folder = landmarks(tmp_path / "jpg")
    write("json", folder / "gnd.json")
    before = open_dataset(entry(folder, "gnd.json"), tmp_path / "cache").splits
    moved = {**TRUTH, "gnd": [{**TRUTH["gnd"][0], "bbx": [0, 0, 3, 3]}, TRUTH["gnd"][1]]}
    (folder / "gnd.json").write_text(json.dumps(moved))
    after = open_dataset(entry(folder, "gnd.json"), tmp_path / "cache").splits
    assert [
        a == b for a, b in zip(before["query"].content, after["query"].content, strict=True)
    ] == [False, True]
    assert before["gallery"].images_fingerprint == after["gallery"].images_fingerprint


def official_scores(
    ranked: list[int], easy: list[int], hard: list[int], junk: list[int]
) -> dict[str, dict[str, float] | None]:
    """Return AP and P@1, 5, 10 of a query under the three protocols, by the published rules.

    Ignored images are removed from the ranking.
    """
    result: dict[str, dict[str, float] | None] = {}
    for name, positive, ignored in (
        ("easy", easy, junk + hard),
        ("medium", easy + hard, junk),
        ("hard", hard, junk + easy),
    ):
        places = [
            place
            for place, item in enumerate(item for item in ranked if item not in ignored)
            if item in positive
        ]
        area = 0.0
        for nth, place in enumerate(places):
            area += (nth / place if place else 1.0) / 2 / len(positive) + (nth + 1) / (
                place + 1
            ) / 2 / len(positive)
        at = {
            k: sum(place < min(k, places[-1] + 1) for place in places) / min(k, places[-1] + 1)
            for k in (1, 5, 10)
            if places
        }
        result[name] = (
            {"ap": area, **{f"p{k}": value for k, value in at.items()}} if positive else None
        )
    return result


def test_landmark_task_scores_like_the_official_evaluation(tmp_path: Path) -> None:
    """From a ground truth on disk to the scores of the shipped task.

    The second query has no easy image and is not part of that mean.
    """
    folder = landmarks(tmp_path / "jpg")
    write("pickle of lists 2", folder / "gnd.pkl")
    dataset = open_dataset(entry(folder, "gnd.pkl"), tmp_path / "cache")
    task = load_registry([], []).tasks["retrieval_landmarks"]
    rng = np.random.default_rng(3)
    rows = {
        "query": rng.normal(size=(2, 5)).astype(np.float32),
        "gallery": rng.normal(size=(4, 5)).astype(np.float32),
    }
    features = {
        name: Features([values], np.arange(len(values)), {}, Effort())
        for name, values in rows.items()
    }
    inputs = Inputs(features=lambda need: features[need.name], statistics=lambda need: {})
    backbone = BackboneSpec(
        name="b", loader="baseline", architecture="raw_pixels", family="baseline"
    )
    needs = PROTOCOL.needs(task.settings, dataset, backbone)
    problem = PROTOCOL.build(task.settings, dataset, needs, inputs, seed=0)
    result = PROTOCOL.solve(problem, task.settings, "cpu")
    ours = {
        score.metric: score.value
        for part in result.parts
        for score in scores(part, task.metrics, None)
    }
    cosine = [
        [q @ g / np.linalg.norm(q) / np.linalg.norm(g) for g in rows["gallery"]]
        for q in rows["query"]
    ]
    by_query = [
        official_scores(
            sorted(range(4), key=lambda j: -line[j]), query["easy"], query["hard"], query["junk"]
        )
        for line, query in zip(cosine, TRUTH["gnd"], strict=True)
    ]
    for name, infix in (("medium", ""), ("easy", "easy_"), ("hard", "hard_")):
        defined = [values for each in by_query if (values := each[name]) is not None]
        assert len(defined) == (1 if name == "easy" else 2)
        assert ours[f"mean_ap_trapezoid_{infix}".strip("_")] == pytest.approx(
            np.mean([values["ap"] for values in defined]), abs=1e-12
        )
        for k in (1, 5, 10):
            assert ours[f"precision_until_{infix}k{k}"] == pytest.approx(
                np.mean([values[f"p{k}"] for values in defined]), abs=1e-12
            )


WRONG = [
    (
        {**TRUTH, "gnd": TRUTH["gnd"][:1]},
        "gnd must hold one entry per query; got 1 entries for 2 queries",
    ),
    (
        {**TRUTH, "gnd": [{"hard": [4]}, {"hard": []}]},
        "'hard' names the gallery position 4; positions of the 4 images run from 0 to 3",
    ),
    ({**TRUTH, "gnd": [{}, {}]}, "no judgements; gnd must hold one of easy, hard, junk, ok"),
    (
        {**TRUTH, "gnd": [{"bbx": [2, 1, 2, 5], "easy": [0]}, {"easy": [1]}]},
        r"must contain .*a box from \(2, 1\) to \(2, 5\)",
    ),
    (
        {**TRUTH, "gnd": [{"bbx": [0, 0, 1e9, 1e9], "easy": [0]}, {"easy": [1]}]},
        r"must contain .*a box from \(0, 0\) to \(1000000000, 1000000000\)",
    ),
    ({"imlist": []}, "must contain imlist, qimlist and gnd"),
]


@pytest.mark.parametrize(("truth", "message"), WRONG)
def test_wrong_ground_truth_is_reported(
    truth: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = landmarks(tmp_path / "jpg")
    (folder / "gnd.json").write_text(json.dumps(truth))
    with pytest.raises(DatasetError, match=message):
        open_dataset(entry(folder, "gnd.json"), tmp_path / "cache")
    (folder / "gnd.json").write_text("no json")
    with pytest.raises(DatasetError, match=r"gnd\.json': not valid JSON"):
        open_dataset(entry(folder, "gnd.json"), tmp_path / "cache")


def test_a_name_that_no_file_can_have_is_an_unreadable_image(tmp_path: Path) -> None:
    folder = landmarks(tmp_path / "jpg")
    truth = {**TRUTH, "imlist": ["g0", "g\0", "g2", "g3"]}
    (folder / "gnd.json").write_text(json.dumps(truth))
    gallery = open_dataset(entry(folder, "gnd.json"), tmp_path / "cache").splits["gallery"]
    with pytest.raises(UnreadableImageError, match=r"cannot be read .embedded null byte"):
        gallery.read(1)


def test_a_box_outside_its_image_is_an_unreadable_query(tmp_path: Path) -> None:
    folder = landmarks(tmp_path / "jpg")
    outside = {"bbx": [12, 0, 20, 8], "easy": [0]}
    truth = {**TRUTH, "gnd": [outside, TRUTH["gnd"][1]]}
    (folder / "gnd.json").write_text(json.dumps(truth))
    query = open_dataset(entry(folder, "gnd.json"), tmp_path / "cache").splits["query"]
    with pytest.raises(UnreadableImageError, match=r"is 12 x 8 px: the box .*\(12, 0\) .* outside"):
        query.read(0)
    assert query.read(1)


def test_missing_ground_truth_is_reported(tmp_path: Path) -> None:
    folder = landmarks(tmp_path / "jpg")
    with pytest.raises(
        DatasetError, match=r"^ground truth '.*gnd\.pkl' cannot be read \(No such file"
    ):
        open_dataset(entry(folder, "gnd.pkl"), tmp_path / "cache")


# --- by class


def test_class_range_selects_the_classes_of_metric_learning(tmp_path: Path) -> None:
    """CUB and Cars: the last classes of train and test together; every image is a query."""
    make_class_folders(
        tmp_path / "birds",
        train__1=3,
        train__2=3,
        train__10=3,
        train__20=2,
        test__1=1,
        test__2=2,
        test__10=2,
        test__20=4,
    )
    source = FolderSource(
        reader="folder", path=str(tmp_path / "birds"), splits={"test": "."}, levels=("given",)
    )
    spec = DatasetSpec(
        name="birds",
        source=source,
        kind="retrieval",
        class_range=(2, 4),
        classes=2,
        counts={"test": 11},
    )
    dataset = open_dataset(spec, tmp_path / "cache")
    assert dataset.classes == ("10", "20") and list(dataset.splits) == ["test"]
    assert np.bincount(dataset.splits["test"].y).tolist() == [5, 6]
    assert {name.split("/")[1] for name in dataset.splits["test"].ids} == {"10", "20"}


def products(tmp_path: Path) -> Path:
    for name in ("a_final", "b_final"):
        make_class_folders(tmp_path / "sop", **{name: 3})
    return tmp_path / "sop"


def test_list_separated_by_blanks_is_read(tmp_path: Path) -> None:
    """Stanford Online Products has its own header and columns."""
    folder = products(tmp_path)
    rows = [
        "image_id class_id super_class_id path",
        "1 11319 1 a_final/0.png",
        "2 11319 1 a_final/1.png",
        "3 11320 1 b_final/0.png",
    ]
    (folder / "Ebay_test.txt").write_text("\n".join(rows) + "\n")
    columns: Any = {"label": "class_id"}
    source = TableSource(
        reader="table",
        path=str(folder / "Ebay_test.txt"),
        separator="blank",
        columns=columns,
        split="test",
    )
    dataset = open_dataset(
        DatasetSpec(name="sop", source=source, kind="retrieval"), tmp_path / "cache"
    )
    assert dataset.classes == ("11319", "11320") and dataset.splits["test"].y.tolist() == [0, 0, 1]
    assert dataset.splits["test"].attributes["super_class_id"] == ("1", "1", "1")


def test_list_of_queries_and_gallery_is_read(tmp_path: Path) -> None:
    """In-shop has a line with the count above the header; its train rows are skipped."""
    folder = products(tmp_path)
    rows = [
        "6",
        "image_name item_id evaluation_status",
        "a_final/0.png id1 train",
        "a_final/1.png id2 query",
        "b_final/0.png id2 gallery",
    ]
    (folder / "list.txt").write_text(
        "\n".join([*rows, "b_final/1.png id3 gallery", "b_final/2.png id3 query"]) + "\n"
    )
    columns: Any = {"path": "image_name", "label": "item_id", "split": "evaluation_status"}
    splits: Any = {"train": "-", "query": "query", "gallery": "gallery"}
    source = TableSource(
        reader="table",
        path=str(folder / "list.txt"),
        separator="blank",
        skip=1,
        columns=columns,
        splits=splits,
    )
    dataset = open_dataset(
        DatasetSpec(name="inshop", source=source, kind="retrieval"), tmp_path / "cache"
    )
    assert {name: split.y.tolist() for name, split in dataset.splits.items()} == {
        "query": [0, 1],
        "gallery": [0, 1],
    }
    (folder / "list.txt").write_text("\n".join([*rows, "b_final/1.png id3 galery"]) + "\n")
    with pytest.raises(DatasetError, match="row 6: unknown split 'galery'; did you mean 'gallery'"):
        open_dataset(
            DatasetSpec(name="inshop", source=source, kind="retrieval"), tmp_path / "cache"
        )


def test_limit_keeps_the_answers_of_its_queries(tmp_path: Path) -> None:
    """5 of 20 queries are kept, and their answers are in the gallery of 5.

    Image 3 * q answers query q, and image 3 * q + 1 is junk.
    """
    names = {"qimlist": [f"q{q}" for q in range(20)], "imlist": [f"g{g}" for g in range(60)]}
    gnd = [{"easy": [3 * q], "hard": [], "junk": [3 * q + 1]} for q in range(20)]
    (tmp_path / "jpg").mkdir()
    for n, name in enumerate([*names["qimlist"], *names["imlist"]]):
        (tmp_path / "jpg" / f"{name}.jpg").write_bytes(png(n))
    (tmp_path / "jpg" / "gnd.json").write_text(json.dumps({**names, "gnd": gnd}))
    source = RevisitedSource(
        reader="revisited", path=str(tmp_path / "jpg"), ground_truth="gnd.json"
    )
    small = limited(
        open_dataset(DatasetSpec(name="x", source=source, kind="retrieval"), tmp_path / "cache"), 5
    )
    assert (
        len(small.splits["query"]) == 5
        and len(small.splits["gallery"]) == 5
        and small.judgements is not None
    )
    for query, name in enumerate(small.splits["query"].ids):
        (answer,) = small.judgements["easy"][query]
        assert small.splits["gallery"].ids[answer] == f"gallery/g{3 * int(name[7:])}"
    assert small.judgements["junk"] == [()] * 5
