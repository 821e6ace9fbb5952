"""`bob-bench evaluate` and `features`: files become records and a leaderboard, and back.

No score is computed twice, and examples, datasets and models are never confused.
"""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import bob.precomputed.record as precomputed_record
from bob.io.paths import CHECKOUT
from bob.leaderboards.render.figures import STYLE
from bob.records.record import Record
from bob.records.store import RecordStore
from tests.builders.photos import make_photos

Bob = Callable[..., tuple[int, str, str]]
DIGITS = load_digits()
X, Y = DIGITS.data[:400].astype(np.float32), DIGITS.target[:400]
IDS = np.array([f"scan {i}" for i in range(400)])
SPLIT = np.repeat(["train", "val", "test"], [200, 60, 140])
TEST = SPLIT == "test"
SAME: dict[str, Any] = {"y": Y, "ids": IDS, "split": SPLIT}
HALF = X.copy()
HALF[:, 32:] = 0  # the lower half of each digit is missing


def save(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def records(folder: Path) -> dict[tuple[str, str], Record]:
    """Return (task, backbone) → record."""
    stored, damaged = RecordStore(folder / "results").read_all()
    assert not damaged
    assert len({(record.task.name, record.backbone_name) for record in stored}) == len(stored)
    return {(record.task.name, record.backbone_name): record for record in stored}


def score_fields(record: Record) -> list[tuple[Any, ...]]:
    return [
        (score.metric, score.seed, score.value, score.low, score.high, score.n, score.undefined)
        for score in record.scores
    ]


def test_scores_equal_those_of_scikit_learn(bob: Bob, tmp_path: Path) -> None:
    code, out, err = bob(
        "evaluate",
        save(tmp_path / "mine.npz", x=X, **SAME),
        "--dataset",
        "digits",
        "--tasks",
        "linear,knn_euclidean",
    )
    assert (code, err) == (0, "")
    assert "plan: 1 file of features on cpu: 2 cells to do, 0 done" in out
    by_cell = records(tmp_path)
    neighbours, linear = by_cell["knn_euclidean", "mine"], by_cell["linear", "mine"]
    fitted = ~TEST  # validation examples are included in the final fit
    expected = KNeighborsClassifier(5).fit(X[fitted], Y[fitted]).score(X[TEST], Y[TEST])
    assert neighbours.scores[0].value == pytest.approx(expected, abs=1e-12)
    (chosen,) = linear.details
    expected = (
        LogisticRegression(C=chosen["c"], tol=1e-8, max_iter=10_000)
        .fit(X[fitted], Y[fitted])
        .score(X[TEST], Y[TEST])
    )
    assert linear.scores[0].value == pytest.approx(
        expected, abs=1.5 / TEST.sum()
    )  # one image may lie on the border of two classes
    assert linear.scores[0].n == TEST.sum() and linear.dataset is not None
    assert linear.dataset.counts == {"train": 200, "val": 60, "test": 140}


def test_unknown_facts_are_missing_rather_than_zero(bob: Bob, tmp_path: Path) -> None:
    file = save(tmp_path / "mine.npz", x=X.astype(np.float16), **SAME)
    bob("evaluate", file, "--tasks", "knn", "--name", "vit", "--dataset", "digits")
    facts, cost = records(tmp_path)["knn", "vit"].backbone, records(tmp_path)["knn", "vit"].cost
    assert facts is not None and cost is not None
    assert (facts.family, facts.loader, facts.width, facts.precision, facts.weights) == (
        "precomputed",
        "precomputed",
        64,
        "float16",
        "rows of mine.npz",
    )
    assert [facts.params, facts.gflops, facts.weights_mib, facts.licence] == [None] * 4
    assert [
        cost.images,
        cost.decode_seconds,
        cost.forward_seconds,
        cost.images_per_s,
        cost.pass_peak_mib,
    ] == [None] * 5
    row = pd.read_csv(tmp_path / "results" / "leaderboard.csv").iloc[0]
    assert (
        row["family"] == "precomputed"
        and row[["params", "gflops", "weights_mib", "images_per_s"]].isna().all()
    )
    assert "parameters (M) unknown" in bob("recommend", "--max-params", "30M")[1]
    before = records(tmp_path)["knn", "vit"]
    facts_now = ("--family", "ssl", "--params", "22M", "--gflops", "4.6", "--licence", "ours")
    assert (
        "0 cells to do, 1 done"
        in bob(
            "evaluate", file, "--tasks", "knn", "--name", "vit", "--dataset", "digits", *facts_now
        )[1]
    )
    after = records(tmp_path)["knn", "vit"]
    assert after.backbone is not None and (after.family, after.scores, after.key) == (
        "ssl",
        before.scores,
        before.key,
    )
    assert [after.backbone.params, after.backbone.gflops, after.backbone.licence] == [
        22_000_000,
        4.6,
        "ours",
    ]
    assert "Use vit" in bob("recommend", "--max-params", "30M")[1]


def test_a_repeated_file_computes_nothing(bob: Bob, tmp_path: Path) -> None:
    words = (
        "evaluate",
        save(tmp_path / "mine.npz", x=X, **SAME),
        "--tasks",
        "knn,fewshot",
        "--dataset",
        "digits",
    )
    assert "2 cells to do, 0 done" in bob(*words)[1]
    before = {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in (tmp_path / "results" / "records").rglob("*.*")
    }
    order = np.random.default_rng(0).permutation(400)
    save(
        tmp_path / "mine.npz",
        embeddings=X[order],
        labels=Y[order],
        ids=IDS[order],
        split=SPLIT[order],
    )  # the same rows, laid out otherwise
    code, out, _ = bob(*words)
    assert code == 0 and "0 cells to do, 2 done" in out
    assert {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in (tmp_path / "results" / "records").rglob("*.*")
    } == before
    assert "2 cells to do, 0 done" in bob(*words, "--fresh")[1]


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "a value": lambda arrays: {**arrays, "x": np.where(np.arange(400)[:, None] == 399, X + 1, X)},
    "a label": lambda arrays: {**arrays, "y": np.array([*Y[:-1], (Y[-1] + 1) % 10])},
    "a split": lambda arrays: {**arrays, "split": np.array(["val", *SPLIT[1:]])},
    "an id": lambda arrays: {**arrays, "ids": np.array(["another", *IDS[1:]])},
    "a width": lambda arrays: {**arrays, "x": X[:, :63]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_gives_another_key(change: str, bob: Bob, tmp_path: Path) -> None:
    words = ("evaluate", tmp_path / "mine.npz", "--tasks", "knn_euclidean", "--dataset", "digits")
    for arrays in ({"x": X, **SAME}, CHANGES[change]({"x": X, **SAME})):
        save(tmp_path / "mine.npz", **arrays)
        assert "1 cell to do, 0 done" in bob(*words)[1]
    keys = {record.key for record in RecordStore(tmp_path / "results").read_all()[0]}
    assert len(keys) == 2
    assert "1 cell to do, 0 done" in bob(*words, "--revision", "2")[1], (
        "rows of another revision are another backbone's"
    )


def test_the_leaderboard_shows_the_features_evaluated_last(
    bob: Bob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older features that are evaluated again replace the newer ones without being recomputed."""
    days = iter(range(1, 28))
    monkeypatch.setattr("bob.records.provenance._now", lambda: f"2030-01-{next(days):02d}")
    first, second = (
        save(tmp_path / "a" / "mine.npz", x=X, **SAME),
        save(tmp_path / "b" / "mine.npz", x=HALF, **SAME),
    )
    shown = []
    for file in (first, second, first):
        out = bob("evaluate", file, "--tasks", "knn_euclidean", "--dataset", "digits")[1]
        (row,) = pd.read_csv(tmp_path / "results" / "leaderboard.csv").query("primary").itertuples()
        shown.append((row.value, "1 cell to do" in out))
    assert shown[0][0] == shown[2][0] != shown[1][0] and [computed for _, computed in shown] == [
        True,
        True,
        False,
    ]


def test_two_files_are_compared_example_by_example(bob: Bob, tmp_path: Path) -> None:
    """Noise makes all distances differ: scikit-learn has its own rule for ties."""
    rng = np.random.default_rng(1)
    order, noise = rng.permutation(400), 0.01 * rng.normal(size=X.shape).astype(np.float32)
    x, x_half = X + noise, HALF + noise
    whole = save(tmp_path / "whole.npz", x=x, **SAME)
    half = save(
        tmp_path / "half.npz", x=x_half[order], y=Y[order], ids=IDS[order], split=SPLIT[order]
    )
    code, out, _ = bob("evaluate", whole, half, "--dataset", "digits", "--tasks", "knn_euclidean")
    assert (
        code == 0
        and "A: whole\nB: half\n" in out
        and "A better" in out
        and "whole is significantly better in 1, half in 0" in out
        and "Take whole: in task knn_euclidean on the " in out
        and out.rstrip().endswith(f"{tmp_path / 'results' / 'leaderboard.html'}")
    )
    (comparison,) = json.loads(bob("compare", "whole", "half", "--json")[1])["settings"]
    right = [
        KNeighborsClassifier(5).fit(rows[~TEST], Y[~TEST]).predict(rows[TEST]) == Y[TEST]
        for rows in (x, x_half)
    ]
    only = [(right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()]
    assert comparison["difference"]["p"] == pytest.approx(
        binomtest(only[0], sum(only)).pvalue, rel=1e-9
    )  # exact McNemar
    assert comparison["a"] - comparison["b"] == pytest.approx(right[0].mean() - right[1].mean())


def test_different_examples_never_share_a_column(bob: Bob, tmp_path: Path) -> None:
    words = ("--dataset", "digits", "--tasks", "knn_euclidean")
    a, b = (
        save(tmp_path / "a.npz", x=X, **SAME),
        save(tmp_path / "b.npz", x=X, **{**SAME, "ids": np.arange(400)}),
    )
    code, _, err = bob("evaluate", a, b, *words)
    assert code == 2 and "hold different examples: 800 of them are in only one of the files" in err
    assert bob("evaluate", a, *words)[0] == 0
    code, _, err = bob("evaluate", b, *words)
    assert (
        code == 2
        and "holds 'a' on other examples under the name 'digits' "
        "(200 train, 60 val, 140 test; here 200 train, 60 val, 140 test)"
        in err
    )
    assert "Give this dataset another name with --dataset" in err
    assert set(records(tmp_path)) == {("knn_euclidean", "a")}
    assert bob("evaluate", b, "--dataset", "digits2", "--tasks", "knn_euclidean")[0] == 0
    assert bob("compare", "a", "b")[0] == 2, "they share no setting"


def test_all_models_may_move_to_other_examples_together(bob: Bob, tmp_path: Path) -> None:
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for ids in (IDS, np.array([f"new {name}" for name in IDS])):
        for file, x in zip(files, (X, HALF), strict=True):
            save(file, x=x, **{**SAME, "ids": ids})
        assert bob("evaluate", *files, "--dataset", "digits", "--tasks", "knn_euclidean")[0] == 0
    assert len(RecordStore(tmp_path / "results").read_all()[0]) == 4
    rows = pd.read_csv(tmp_path / "results" / "leaderboard.csv").query("primary")
    assert len(rows) == 2 and rows["dataset_fingerprint"].nunique() == 1


def test_names_of_files_never_replace_backbones_or_datasets_that_were_run(
    bob: Bob, tmp_path: Path, photos: Path
) -> None:
    (tmp_path / "more.yaml").write_text(
        "pixels: {family: baseline, loader: baseline, architecture: raw_pixels}\n"
    )
    bob(
        "run",
        "--data",
        photos,
        "--registry",
        tmp_path / "more.yaml",
        "--backbones",
        "pixels",
        "--tasks",
        "knn",
    )
    file = save(tmp_path / "mine.npz", x=X, **SAME)
    code, _, err = bob(
        "evaluate", file, "--dataset", "digits", "--tasks", "knn", "--name", "pixels"
    )
    assert (
        code == 2
        and "holds a backbone 'pixels' that was run here (raw_pixels) "
        "and may not have computed these rows; choose another --name"
        in err
    )
    code, _, err = bob("evaluate", file, "--dataset", "photos", "--tasks", "knn")
    assert code == 2 and "holds 'pixels' on other examples under the name 'photos'" in err
    assert "give their images with --data" in err


def test_an_interrupted_evaluation_can_be_resumed(
    bob: Bob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "evaluate",
        save(tmp_path / "mine.npz", x=X, **SAME),
        "--tasks",
        "knn,knn_euclidean",
        "--dataset",
        "digits",
    )
    write, calls = RecordStore.write, []

    def stop_at_the_second(*arguments: Any) -> Path:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "write", stop_at_the_second)
        assert bob(*words)[0] == 130
    assert len(records(tmp_path)) == 1 and (tmp_path / "results" / "leaderboard.csv").exists()
    assert "1 cell to do, 1 done" in bob(*words)[1]
    assert len(records(tmp_path)) == 2


def test_scores_that_cannot_be_defined_say_why_and_the_rest_continues(
    bob: Bob, tmp_path: Path
) -> None:
    file = save(
        tmp_path / "mine.npz",
        x_train=X[:10],
        y_train=np.arange(10),
        x_test=X[10:20],
        y_test=np.arange(10),
    )
    code, out, _ = bob("evaluate", file, "--tasks", "linear,knn_euclidean")
    by_cell = records(tmp_path)
    assert code == 0 and by_cell["knn_euclidean", "mine"].scores[0].value is not None
    reason = "each of the 10 classes has a single train image"
    assert {score.value for score in by_cell["linear", "mine"].scores} == {None}
    assert all(reason in str(score.undefined) for score in by_cell["linear", "mine"].scores)
    assert (
        f"undefined (no train images can be held out to choose settings on: {reason}"
        in " ".join(out.split())
    )


def test_an_exception_in_a_protocol_is_a_failed_record(
    bob: Bob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precomputed_record, "solve_on_features", lambda *_: 1 / 0)
    assert bob("evaluate", save(tmp_path / "mine.npz", x=X, **SAME), "--tasks", "knn")[0] == 1
    assert records(tmp_path)["knn", "mine"].reason == "ZeroDivisionError: division by zero"


def test_tasks_that_need_images_are_noted_and_skipped(bob: Bob, tmp_path: Path) -> None:
    file = save(tmp_path / "mine.npz", x=X, **SAME)
    code, out, err = bob(
        "evaluate", file, "--tasks", "zeroshot,resize_normalise,corruptions,ood,knn_euclidean"
    )
    assert code == 0 and set(records(tmp_path)) == {("knn_euclidean", "mine")}
    assert (
        "not applicable: task 'zeroshot': needs" in err
        and "only features are available" in err
        and "digits" not in out
    )


def test_a_dataset_that_no_task_applies_to_is_an_error(bob: Bob, tmp_path: Path) -> None:
    file = save(tmp_path / "mine.npz", x=X, y=np.zeros(400, int), split=SPLIT)
    code, _, err = bob("evaluate", file, "--tasks", "linear,knn")
    assert code == 2 and "no task applies to the dataset; see the reasons above" in err
    for task in ("linear", "knn"):
        assert f"not applicable: task {task!r}: needs at least two classes" in err
    assert bob("evaluate", file, "--tasks", "zeroshot")[0] == 2, "zero-shot needs two classes too"
    assert not (tmp_path / "results" / "records").exists()


# --- features of images on this machine


@pytest.fixture
def run(bob: Bob, tmp_path: Path) -> Path:
    """Return a table of photographs with groups on which `raw_pixels` was run with two seeds.

    Each seed holds out other train images.
    """
    make_photos(tmp_path / "images", per_class=20)
    files = sorted((tmp_path / "images").rglob("*.png"))
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},patient {i // 2}"
        for i, path in enumerate(files)
    ]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label,group", *rows]))
    assert (
        bob(
            "run",
            "--data",
            tmp_path / "photos.csv",
            "--backbones",
            "raw_pixels",
            "--tasks",
            "linear,knn,retrieval",
            "--seeds",
            "0,1",
        )[0]
        == 0
    )
    return tmp_path / "photos.csv"


def test_exported_features_give_the_scores_of_the_run(bob: Bob, tmp_path: Path, run: Path) -> None:
    """With the images, and on a machine without them."""
    tasks = ("--tasks", "linear,knn,retrieval", "--seeds", "0,1")
    for name, file, dataset in (
        ("beside", "pixels.npz", ("--data", run)),
        ("alone", "pixels.safetensors", ("--dataset", "photos")),
    ):
        code, out, _ = bob("features", "raw_pixels", "--data", run, "--to", tmp_path / file)
        assert code == 0 and "60 rows of 768 values" in out
        assert bob("evaluate", tmp_path / file, "--name", name, *dataset, *tasks)[0] == 0
    by_cell = records(tmp_path)
    assert len(by_cell) == 9
    for task in ("linear", "knn", "retrieval"):
        expected = by_cell[task, "raw_pixels"]
        for name in ("beside", "alone"):
            record = by_cell[task, name]
            assert score_fields(record) == score_fields(expected)
            assert [detail | {"seconds": 0} for detail in record.details] == [
                detail | {"seconds": 0} for detail in expected.details
            ]
            assert record.dataset is not None and expected.dataset is not None
            assert (record.dataset.fingerprint, record.dataset.counts) == (
                expected.dataset.fingerprint,
                expected.dataset.counts,
            )
    board = pd.read_csv(tmp_path / "results" / "leaderboard_wide.csv")
    assert sorted(board["backbone"]) == ["alone", "beside", "raw_pixels"]
    settings = json.loads(bob("compare", "raw_pixels", "beside", "--json")[1])["settings"]
    assert len(settings) == 3
    assert all(setting["difference"]["value"] == 0 for setting in settings)


def test_precomputed_features_are_ranked_beside_a_run(bob: Bob, tmp_path: Path, run: Path) -> None:
    bob("features", "raw_pixels", "--data", run, "--to", tmp_path / "pixels.npz")
    with np.load(tmp_path / "pixels.npz") as arrays:
        ids, x = arrays["ids"], arrays["x"]
    elsewhere = np.array([f"/cluster/me/{name}" for name in ids[::-1]])
    mine = save(tmp_path / "mine.npz", x=x[::-1, :9], ids=elsewhere)
    code, out, err = bob("evaluate", mine, "--data", run, "--tasks", "knn")
    assert (code, err) == (0, "") and re.search(
        r"mine .*\n.*raw_pixels \(baseline\)|raw_pixels \(baseline\).*\n.*mine ", out
    )
    save(tmp_path / "mine.npz", x=x[1:, :9], ids=ids[1:])
    code, _, err = bob("evaluate", mine, "--data", run, "--tasks", "knn")
    assert code == 2 and "has no row for 1 of" in err and "--skip-missing" in err
    code, _, err = bob("evaluate", mine, "--data", run, "--tasks", "knn", "--skip-missing")
    assert code == 0 and "these images are excluded" in err
    (tmp_path / "photos.csv").write_text(
        "\n".join((tmp_path / "photos.csv").read_text().splitlines()[:-2])
    )
    code, _, err = bob("evaluate", mine, "--data", run, "--tasks", "knn", "--skip-missing")
    assert (
        code == 2
        and "Have its images or their shifts changed" in err
        and "name another folder with --results" in err
    )
    excluded = [
        record.dataset.bad_images
        for record in RecordStore(tmp_path / "results").read_all()[0]
        if record.dataset and record.dataset.bad_images
    ]
    assert excluded == [{next(iter(excluded[0])): [f"{ids[0]}: has no row in the file"]}]


def test_features_of_a_registered_dataset_use_its_splits(
    bob: Bob, tmp_path: Path, photos: Path
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "datasets.yaml").write_text(
        f"ours:\n  licence: CC0\n  source: {{reader: folder, path: {photos}}}\n"
    )
    words = ("--tasks-dir", tmp_path / "tasks", "--tasks", "knn")
    bob("run", "--datasets", "ours", "--backbones", "raw_pixels", *words)
    assert bob("features", "raw_pixels", "ours", "--to", tmp_path / "f.npz", *words[:2])[0] == 0
    assert bob("evaluate", tmp_path / "f.npz", "--dataset", "ours", *words)[0] == 0
    by_cell = records(tmp_path)
    assert score_fields(by_cell["knn", "f"]) == score_fields(by_cell["knn", "raw_pixels"])
    from_file, from_images = (by_cell["knn", name].dataset for name in ("f", "raw_pixels"))
    assert from_images and from_images.report
    assert from_file == from_images.model_copy(update={"report": None})


def test_show_notes_missing_images(bob: Bob, tmp_path: Path) -> None:
    bob(
        "evaluate",
        save(tmp_path / "mine.npz", x=X, **SAME),
        "--tasks",
        "knn",
        "--dataset",
        "digits",
    )
    key = records(tmp_path)["knn", "mine"].key
    assert (
        json.loads(bob("show", key[:12], "--json")[1])["backbone"]["weights"] == "rows of mine.npz"
    )
    code, _, err = bob("show", key[:12], "--images")
    assert code == 0 and "no images: dataset 'digits' is not in the registry" in err


def test_results_folders_merge(bob: Bob, tmp_path: Path) -> None:
    for name, x in (("whole", X), ("half", HALF)):
        bob(
            "evaluate",
            save(tmp_path / f"{name}.npz", x=x, **SAME),
            "--tasks",
            "knn",
            "--dataset",
            "digits",
        )
        (tmp_path / "results").rename(tmp_path / name)
    assert bob("leaderboard", tmp_path / "whole", tmp_path / "half")[0] == 0
    rows = pd.read_csv(tmp_path / "results" / "ranking.csv")
    assert list(rows["backbone"]) == ["whole", "half"] and set(rows["basis"]) == {"examples"}, (
        "distinguished on the same examples"
    )


def test_page_and_figures_have_a_style_for_every_family() -> None:
    families = {
        name
        for literal in get_args(Record.model_fields["family"].annotation)
        for name in get_args(literal)
    }
    assert {"precomputed", "external", "clip"} <= families
    families -= {"fused"}  # rows beside the backbones, which are never drawn
    page = CHECKOUT / "bob" / "leaderboards" / "page"
    shapes, boxes, colours = (
        (page / name).read_text()
        for name in ("scripts/dom.js", "scripts/controls.js", "styles/base.css")
    )
    for family in families:
        assert (
            f'  {family}: "M' in shapes
            and f'"{family}"' in boxes
            and colours.count(f"--{family}: #") == 3
        )
    assert families - {"baseline"} == set(STYLE)


# --- invalid arguments


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "give files of features, or one file per split with --train FILE --test FILE"),
    "both": (
        ("mine.npz", "--train", "mine.npz"),
        "give files of features, or one file per split with --train FILE",
    ),
    "no train": (
        ("--test", "mine.npz"),
        "--train is missing; --val and --test are used together with it",
    ),
    "a name for two": (
        ("mine.npz", "other.npz", "--name", "a"),
        "--name must give 2 files different names, separated by commas; got 'a'",
    ),
    "one name twice": (
        ("mine.npz", "other.npz", "--name", "a,a"),
        "different names, separated by commas; got 'a', 'a'",
    ),
    "a registered name": (
        ("mine.npz", "--name", "raw_pixels"),
        "--name 'raw_pixels' is a registered backbone, which may not have computed these rows",
    ),
    "no name": (
        ("mine.npz", "--name", "a/b"),
        "--name 'a/b' is not a valid name: use only letters, digits",
    ),
    "no dataset name": (
        ("mine.npz", "--dataset", "a/b"),
        "--dataset 'a/b' is not a valid name: use only letters, digits",
    ),
    "two datasets": (
        ("mine.npz", "--dataset", "a", "--data", "b"),
        "--data and --dataset each name a dataset; give one of them",
    ),
    "several without a dataset": (
        ("mine.npz", "other.npz"),
        "several files: name the examples that they share with --dataset NAME",
    ),
    "facts of several": (
        ("mine.npz", "other.npz", "--params", "2M"),
        "--params describes one model, but there are 2 files",
    ),
    "skipping": (
        ("mine.npz", "--skip-missing"),
        "--skip-missing needs the images of a dataset",
    ),
    "a task": (("mine.npz", "--tasks", "lineer"), "unknown task 'lineer'; did you mean 'linear'"),
    "a dataset elsewhere": (
        ("mine.npz", "--dataset", "cifar10"),
        "Download it with `bob-bench datasets prefetch cifar10`; or give --dataset another name",
    ),
    "a file": (("mine.npy",), r"mine\.npy: there is no such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_arguments_are_errors(
    name: str, bob: Bob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, message = WRONG[name]
    save(tmp_path / "mine.npz", x=X, y=Y)
    monkeypatch.chdir(tmp_path)
    code, _, err = bob("evaluate", *words)
    assert code == 2 and re.search(message, err)
    assert not (tmp_path / "results" / "records").exists()


WRONG_EXPORT: dict[str, tuple[tuple[str, ...], str]] = {
    "a format": (
        ("raw_pixels", "--data", "photos", "--to", "f.csv"),
        r"--to 'f\.csv': must end in \.npz or \.safetensors",
    ),
    "no dataset": (
        ("raw_pixels", "--to", "f.npz"),
        "name a registered dataset, or give your images with --data",
    ),
    "several backbones": (
        ("family:baseline", "--data", "photos", "--to", "f.npz"),
        r"'family:baseline' selects \d+ backbones; a file holds the features of one",
    ),
    "several datasets": (
        ("raw_pixels", "group:samples", "--to", "f.npz"),
        r"'group:samples' selects \d+ datasets; name one",
    ),
    "not stored": (
        ("raw_pixels", "--data", "photos", "--to", "f.npz"),
        r"1 shard of 'raw_pixels' on 'photos', train, is not stored below '.*'\. "
        "Run `bob-bench run --backbones raw_pixels --tasks knn`",
    ),
    "several labels": (
        ("raw_pixels", "--data", "several.csv", "--to", "f.npz"),
        "'several': some images have several labels or none, which feature",
    ),
}


@pytest.mark.parametrize("name", WRONG_EXPORT)
def test_features_that_cannot_be_exported_are_an_error(
    name: str, bob: Bob, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, message = WRONG_EXPORT[name]
    files = [
        f"photos/class{c}/00{i}.png,{'a|b' if i % 2 else 'a'},{'test' if i > 5 else 'train'}"
        for c in range(3)
        for i in range(9)
    ]
    (tmp_path / "several.csv").write_text("\n".join(["path,labels,split", *files]))
    monkeypatch.chdir(tmp_path)
    code, _, err = bob("features", *words)
    assert code == 2 and re.search(message, err)
    assert not list(tmp_path.glob("f.*"))


def test_commands_of_the_documentation_run(
    bob: Bob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the blocks of docs/how_to/own_features.md in order, beside a folder `photos/`."""
    text = (CHECKOUT / "docs" / "how_to" / "own_features.md").read_text()
    make_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    ran = 0
    for kind, block in re.findall(r"```(python|sh)\n(.*?)```", text, flags=re.DOTALL):
        if kind == "python":
            exec(compile(block, "docs/how_to/own_features.md", "exec"), session)
            continue
        for line in block.strip().splitlines():
            assert bob(*shlex.split(line, comments=True)[1:])[0] == 0, line
            ran += 1
    assert ran >= 5
