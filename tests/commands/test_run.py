"""`bob-bench run`: files, skips, messages and exit codes; a second run computes nothing."""

import csv
import json
from pathlib import Path

import pytest

from bob.cli import main
from bob.commands.plan_report import skips_text
from bob.datasets.content.images import decode
from bob.errors import FAILED, OK, USAGE
from bob.plan import Skip
from bob.records.store import RecordStore
from tests.builders.photos import BASELINES, make_photos

UNAVAILABLE = "resnet18_a1_in1k"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_writes_records_and_leaderboards(bob, photos, tmp_path):
    code, out, _ = bob("run", "--data", photos, "--backbones", BASELINES, "--tasks", "linear,knn")
    assert code == OK
    assert "4 cells to do, 0 done" in out
    for name in ("leaderboard.csv", "leaderboard_wide.csv", "leaderboard.md", "leaderboard.html"):
        assert (tmp_path / "results" / name).stat().st_size > 0
    found = {(row["backbone"], row["task"], row["dataset"]) for row in rows(tmp_path / "results")}
    assert found == {
        (backbone, task, "photos")
        for backbone in BASELINES.split(",")
        for task in ("linear", "knn")
    }
    ranking = [row for row in rows(tmp_path / "results") if row["metric"] == "top1"]
    assert all(
        float(row["low"]) <= float(row["value"]) <= float(row["high"]) and row["n"] == "12"
        for row in ranking
    )


def test_a_repeated_command_computes_nothing_and_opens_no_image(bob, photos, tmp_path, monkeypatch):
    command = ("run", "--data", photos, "--backbones", BASELINES, "--tasks", "linear,knn")
    bob(*command)
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "records").rglob("*.json")
    }

    def refuse(*_):
        raise AssertionError("an image was opened")

    monkeypatch.setattr("bob.datasets.dataset.decode", refuse)
    monkeypatch.setattr("bob.datasets.content.digests.read_file", refuse)
    monkeypatch.setattr("bob.engine.embedding.load_planned", refuse)
    code, out, _ = bob(*command)
    assert code == OK
    assert "0 cells to do, 4 done" in out
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_tasks_are_scored_from_stored_features_without_an_image(bob, photos, tmp_path, monkeypatch):
    """These read train alone, train and test, and images at another size."""
    tasks = "knn,diagnostics,incremental,one_class,resize_normalise,retrieval"
    command = ("run", "--data", photos, "--backbones", "channel_statistics", "--tasks", tasks)
    assert bob(*command)[0] == OK
    (tmp_path / "results").rename(tmp_path / "first")

    def refuse(*_):
        raise AssertionError("an image was opened")

    monkeypatch.setattr("bob.datasets.dataset.decode", refuse)
    monkeypatch.setattr("bob.engine.embedding.load_planned", refuse)
    code, out, _ = bob(*command)
    assert code == OK and "6 cells to do, 0 done" in out and " 0 images to decode" in out
    assert {row["task"] for row in rows(tmp_path / "results")} == set(tasks.split(","))


@pytest.fixture
def tied_run(photos, tmp_path):
    """The command of a run of two entries of one backbone, which are statistically tied."""
    entry = "{family: ssl, loader: baseline, architecture: raw_pixels"
    registry = tmp_path / "mine.yaml"
    registry.write_text(f"a: {entry}}}\nb: {entry}, preprocessing: {{input_px: 192}}}}\n")
    words = ("--registry", registry, "--backbones", "a,b", "--tasks", "knn")
    return ("run", "--data", photos, *words)


def test_a_run_ends_with_the_tables_of_the_leaderboard(bob, tied_run):
    """And with what to take: both are right on the same images of 12.

    Tango's limits without a discordant image are ± z² / (n + z²) = 3.84 / 15.84 = 24.2 points.
    """
    _, run, _ = bob(*tied_run)
    _, leaderboard, _ = bob("leaderboard")
    tables = leaderboard[leaderboard.index("knn: top1") :]
    assert "≈ statistically tied with the best" in tables
    conclusion = " ".join(run.partition(tables)[2].split())
    assert conclusion.startswith("Take a or b: in task knn on the 12 test examples of photos they ")
    assert "(b: 0.0 points behind, 95 % interval -24.2 to 24.2)" in conclusion


def test_another_task_uses_the_stored_features(bob, photos, monkeypatch):
    bob("run", "--data", photos, "--backbones", BASELINES, "--tasks", "knn")
    monkeypatch.setattr(
        "bob.engine.embedding.load_planned",
        lambda *_, **__: pytest.fail("features were extracted again"),
    )
    code, out, _ = bob("run", "--data", photos, "--backbones", BASELINES, "--tasks", "linear")
    assert code == OK
    assert "0 rows to embed" in out


def test_fresh_recomputes_features_and_scores(bob, photos):
    bob("run", "--data", photos, "--backbones", BASELINES, "--tasks", "knn")
    _, out, _ = bob("run", "--data", photos, "--backbones", BASELINES, "--tasks", "knn", "--fresh")
    assert "2 cells to do, 0 done" in out
    assert "120 rows to embed" in out  # 60 images, 2 backbones


def test_a_dry_run_prints_the_plan_and_computes_nothing(bob, photos, tmp_path):
    code, out, _ = bob(
        "run", "--data", photos, "--backbones", BASELINES, "--tasks", "linear,knn", "--dry-run"
    )
    assert code == OK
    assert "4 cells to do, 0 done" in out and "120 rows to embed" in out
    assert not (tmp_path / "results").exists()


def test_a_dry_run_lists_downloads_and_downloads_nothing(bob, photos, monkeypatch):
    monkeypatch.setattr("bob.io.hub._downloaded", lambda *_, **__: pytest.fail("the hub was asked"))
    code, out, _ = bob(
        "run",
        "--data",
        photos,
        "--datasets",
        "cifar10",
        "--backbones",
        f"raw_pixels,{UNAVAILABLE}",
        "--tasks",
        "knn",
        "--dry-run",
    )
    assert code == OK
    assert (
        f"not on this machine, to be downloaded first, and not in this plan: cifar10, {UNAVAILABLE}"
        in out
    )
    assert "plan: 1 backbone × 1 task × 1 dataset on" in out


def test_a_plan_as_json_is_alone_on_standard_output(bob, photos, monkeypatch):
    monkeypatch.setattr("bob.io.hub._downloaded", lambda *_, **__: pytest.fail("the hub was asked"))
    backbones = ["--backbones", f"raw_pixels,{UNAVAILABLE}", "--tasks", "knn"]
    code, out, err = bob("run", "--data", photos, *backbones, "--dry-run", "--json")
    assert code == OK
    assert list(json.loads(out)["backbones"]) == ["raw_pixels"]
    assert f"to be downloaded first, and not in this plan: {UNAVAILABLE}" in err


def test_parts_of_a_plan_are_carried_out_where_folders_can_be_shared(
    bob, photos, tmp_path, monkeypatch
):
    """Two parts have a backbone each; a file system without hard links is refused before both."""
    chosen = ["--backbones", "raw_pixels,channel_statistics", "--tasks", "knn"]
    _, text, _ = bob("run", "--data", photos, *chosen, "--offline", "--dry-run", "--json")
    (tmp_path / "plan.json").write_text(text)
    words = ["run", "--plan", tmp_path / "plan.json", "--offline", "--part"]

    def refuse(*_):
        raise OSError(1, "not permitted")

    with monkeypatch.context() as patch:
        patch.setattr("os.link", refuse)
        code, _, err = bob(*words, "1/2")
        assert code == USAGE and "hard links are not possible (not permitted)" in err
        assert bob(*words, "1/2", "--dry-run")[0] == OK
        patch.setenv("SLURM_ARRAY_TASK_ID", "3")  # the same command in every task, without a plan
        code, _, err = bob("run", "--data", photos, *chosen, "--offline")
        assert code == USAGE and "hard links are not possible (not permitted)" in err
    for part, backbones in (
        ("2/2", ["raw_pixels"]),
        ("1/2", ["channel_statistics", "raw_pixels"]),
    ):
        assert bob(*words, part)[0] == OK
        records, _ = RecordStore(tmp_path / "results").read_all()
        assert sorted(record.backbone_name for record in records) == backbones


def test_a_quiet_run_prints_its_page_and_conclusion_alone(bob, tied_run, tmp_path):
    code, out, _ = bob(*tied_run)
    assert code == OK and "plan: " in out and "knn · photos" in out
    code, quiet, _ = bob(*tied_run, "--quiet")
    page = tmp_path / "results" / "leaderboard.html"
    first, *conclusion = quiet.splitlines()
    assert (code, first) == (OK, f"written: {page}")
    assert conclusion[0].startswith("Take a or b: ")
    last = f"Charts, and how each number was made: {page}"
    assert out.endswith("\n".join(["", *conclusion, last, ""]))
    code, text, _ = bob(*tied_run, "--json")
    values = json.loads(text)
    assert (code, values["page"]) == (OK, str(page))
    assert " ".join(values["conclusion"]) == " ".join(conclusion)
    assert values["settings"] == ["knn/photos"]
    code, _, err = bob(*tied_run, "--dry-run", "--quiet")
    assert code == 2 and "--quiet leaves out the plan" in err


def test_unavailable_members_of_a_group_are_skipped(bob, photos):
    code, _, err = bob(
        "run", "--data", photos, "--backbones", f"{BASELINES},resnet*_in1k", "--tasks", "knn"
    )
    assert code == OK
    assert (
        f"backbone '{UNAVAILABLE}': hub repository 'timm/resnet18.a1_in1k' is not on this machine"
        in err
        and "Run once with a network" in err
    )


def test_skips_for_similar_reasons_share_a_line():
    def skip(kind: str, name: str, why: str) -> Skip:
        return Skip(kind=kind, name=name, reason=f"{kind} {name!r}: {why}", exact=False)

    few = [skip("dataset", name, f"hub {name!r} cannot be reached. Try again.") for name in "xyz"]
    many = [
        skip("backbone", name, f"https://host/{name}.pth is not here. Run once.") for name in "abcd"
    ]
    lines = skips_text([*few, *many, skip("backbone", "e", "gated.")])
    assert lines == [
        *(each.reason for each in few),
        "4 backbones for similar reasons, such as: "
        "backbone 'a': https://host/a.pth is not here. Run once. The others: b, c, d",
        "backbone 'e': gated.",
    ]


def test_an_unavailable_backbone_named_exactly_is_an_error_with_the_remedy(bob, photos):
    code, out, err = bob(
        "run", "--data", photos, "--backbones", f"raw_pixels,{UNAVAILABLE}", "--tasks", "knn"
    )
    assert code == FAILED
    assert (
        f"missing: backbone '{UNAVAILABLE}'" in err
        and "Run once with a network, or set HF_HOME to a copy" in err
    )
    assert "1 cell to do" in out, "the other backbone is still run"


def test_backbones_above_max_params_are_excluded(bob, photos):
    _, out, _ = bob(
        "run",
        "--data",
        photos,
        "--backbones",
        f"raw_pixels,{UNAVAILABLE}",
        "--tasks",
        "knn",
        "--max-params",
        "1M",
    )
    assert "plan: 1 backbone ×" in out


def test_excluded_backbones_are_named(bob, photos):
    code, out, err = bob(
        "run",
        "--data",
        photos,
        "--backbones",
        "efficientnet_lite0_in1k",
        "--tasks",
        "knn",
        "--max-params",
        "1K",
    )
    assert code == OK and "plan: 0 backbones × 0 tasks" in out and "0 cells to do" in out
    assert (
        "excluded by --max-params: efficientnet_lite0_in1k" in err and "no backbone to run" in err
    )


def test_files_that_are_not_images_are_noted_in_the_plan(bob, tmp_path):
    folder = make_photos(tmp_path / "mine", per_class=5, classes=2, side_px=8)
    (next(folder.iterdir()) / "phone.heic").write_bytes(b"x")
    _, _, err = bob(
        "run", "--data", folder, "--backbones", "raw_pixels", "--tasks", "knn", "--dry-run"
    )
    assert "note dataset mine: skipped files: .heic (1)" in " ".join(err.split())


def test_a_repeated_folder_is_one_dataset_and_two_folders_of_one_name_are_an_error(
    bob, photos, tmp_path
):
    _, out, _ = bob(
        "run",
        "--data",
        photos,
        "--data",
        f"{photos}/",
        "--backbones",
        "raw_pixels",
        "--tasks",
        "knn",
    )
    assert "1 cell to do" in out
    other = make_photos(tmp_path / "elsewhere" / "photos", per_class=5)
    code, _, err = bob(
        "run", "--data", photos, "--data", other, "--backbones", "raw_pixels", "--tasks", "knn"
    )
    assert (
        code == USAGE
        and "--data: 2 folders or tables are named 'photos'; rename all but one" in err
    )


@pytest.mark.parametrize("flag", ["--results", "--cache-dir"])
def test_a_folder_that_is_written_among_the_images_is_refused(
    photos, tmp_path, capfd, monkeypatch, flag
):
    """As from inside the folder of images: the second run would have one class more."""
    monkeypatch.chdir(photos)
    places = {"--results": "../results", "--cache-dir": "../cache", flag: "own/out"}
    flags = [word for pair in places.items() for word in pair]
    command = ["run", "--data", ".", "--backbones", "raw_pixels", "--tasks", "knn"]
    assert main([*command, *flags]) == USAGE
    assert f"{flag} 'own/out' is inside --data '.'" in " ".join(capfd.readouterr().err.split())
    assert not (photos / "own").exists()
    assert main([*command, *flags, flag, "../own"]) == OK
    assert (tmp_path / "own").exists()


def test_an_unwritable_results_folder_is_an_error_before_planning(
    photos, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(
        "bob.commands.run.make_plan", lambda *_: pytest.fail("planned before the check")
    )
    (tmp_path / "file").write_text("")
    for where, remedy in (
        (tmp_path / "file", "it is a file: name a folder"),
        (tmp_path / "file" / "below", "it is a file, or is below one"),
    ):
        code = main(
            [
                "run",
                "--data",
                str(photos),
                "--backbones",
                "raw_pixels",
                "--results",
                str(where),
                "--cache-dir",
                str(tmp_path / "cache"),
            ]
        )
        err = capfd.readouterr().err
        assert (
            code == USAGE
            and f"error: {where}: cannot be written; {remedy}" in err
            and "Traceback" not in err
        )


def test_a_backbone_that_does_not_load_fails_alone(bob, photos, tmp_path):
    """An option that timm does not support, and a user's function that raises."""
    (tmp_path / "own.py").write_text("def make(): raise ZeroDivisionError('no luck')\n")
    (tmp_path / "mine.yaml").write_text(
        "option: {family: ssl, loader: timm, architecture: resnet10t, weights: {random: 0}, "
        "options: {no_such_option: 3}}\n"
        "raises: {family: ssl, loader: python, architecture: 'own.py:make'}\n"
    )
    words = (
        "--backbones",
        "raw_pixels,option,raises",
        "--registry",
        tmp_path / "mine.yaml",
        "--allow-code",
    )
    code, _, err = bob("run", "--data", photos, "--tasks", "knn", *words)
    assert code == FAILED
    assert (
        "backbone 'option': does not load: TypeError: " in err
        and "backbone 'raises': does not load: ZeroDivisionError: no luck" in err
    )
    assert {row["backbone"]: row["status"] for row in rows(tmp_path / "results")} == {
        "raw_pixels": "ok",
        "option": "failed",
        "raises": "failed",
    }


def test_a_reason_of_several_lines_is_printed_once(bob, photos):
    whole = next((photos / "class0").glob("*.png")).read_bytes()
    for i in range(2):  # damaged behind the header, which only decoding finds
        (photos / "class0" / f"bad{i}.png").write_bytes(whole[:200] + whole[-12:])
    _, _, err = bob("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn,linear")
    assert (
        err.count("image 'class0/bad0.png' cannot be decoded") == 1
        and err.count("2 images cannot be used:") == 2
        and "(as above)" in err
    )


def test_a_file_that_is_cut_short_ends_the_run_before_it_embeds(bob, photos):
    whole = next((photos / "class0").glob("*.png")).read_bytes()
    (photos / "class0" / "cut.png").write_bytes(whole[:200])
    words = ("--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    code, out, err = bob("run", *words)
    assert code == FAILED and "embedding" not in out
    assert "image 'class0/cut.png' cannot be decoded" in err
    assert bob("run", *words, "--skip-bad-images")[0] == OK


def test_scores_do_not_depend_on_folders_or_time(bob, photos, tmp_path, capfd):
    words = [
        "run",
        "--data",
        str(photos),
        "--backbones",
        BASELINES,
        "--tasks",
        "linear,knn,fewshot,retrieval",
        "--seeds",
        "0,1",
    ]
    scores = []
    for name in ("one", "two"):
        assert (
            main(
                [
                    *words,
                    "--results",
                    str(tmp_path / name),
                    "--cache-dir",
                    str(tmp_path / f"cache {name}"),
                ]
            )
            == OK
        )
        columns = ("task", "backbone", "metric", "seed", "value", "low", "high", "n", "record_key")
        scores.append([[row[column] for column in columns] for row in rows(tmp_path / name)])
    assert scores[0] == scores[1] and len(scores[0]) > 20


def test_seeds_are_rows_of_the_leaderboard(bob, photos, tmp_path):
    bob(
        "run",
        "--data",
        photos,
        "--backbones",
        "raw_pixels",
        "--tasks",
        "linear",
        "--seeds",
        "0,1,2",
    )
    assert [row["seed"] for row in rows(tmp_path / "results") if row["metric"] == "top1"] == [
        "0",
        "1",
        "2",
    ]


def test_a_deterministic_task_has_no_seed(bob, photos, tmp_path):
    bob(
        "run",
        "--data",
        photos,
        "--backbones",
        "raw_pixels",
        "--tasks",
        "knn_euclidean",
        "--seeds",
        "0,1,2",
    )
    assert [row["seed"] for row in rows(tmp_path / "results") if row["metric"] == "top1"] == [""]


def test_a_limit_makes_another_record(bob, photos, tmp_path):
    bob("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    _, out, _ = bob(
        "run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn", "--limit", "9"
    )
    assert "1 cell to do" in out and "18 rows to embed" in out
    assert len(list((tmp_path / "results" / "records").rglob("*.json"))) == 2


def test_records_hold_provenance_and_cost(bob, photos, tmp_path):
    bob("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    (record,), _ = RecordStore(tmp_path / "results").read_all()
    assert (
        record.backbone is not None
        and record.backbone.width == 768
        and record.backbone.geometry["input_px"] == 224
    )
    assert record.dataset is not None and record.dataset.counts == {"train": 48, "test": 12}
    assert record.cost is not None and record.cost.images == 60 and record.cost.images_per_s
    assert {"created", "bob", "git", "python", "libraries"} <= set(record.provenance)
    arrays = RecordStore(tmp_path / "results").arrays(record)
    assert float((arrays["0.rank"] == 0).mean()) == next(
        score.value for score in record.scores if score.metric == "top1"
    )


def test_list_and_show_print_json(bob, photos):
    bob("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    _, out, _ = bob("list", "records", "--json")
    (row,) = json.loads(out)
    assert (row["backbone"], row["task"], row["status"]) == ("raw_pixels", "knn", "ok")
    _, out, _ = bob("show", row["key"][:10], "--json")
    assert json.loads(out)["key"] == row["key"]
    code, _, err = bob("show", "zzz")
    assert code == USAGE and "0 records have a key that begins with 'zzz'" in err


def test_lists_state_availability_on_this_machine(bob):
    _, out, _ = bob("list", "backbones", "--json")
    absent = {row["name"]: row["absent"] for row in json.loads(out)}
    assert absent["raw_pixels"] is None and "hub timm/resnet18.a1_in1k" in absent[UNAVAILABLE]
    assert "elpv" in bob("list", "datasets")[1] and "knn" in bob("list", "tasks")[1]


def test_a_leaderboard_needs_records(bob):
    code, _, err = bob("leaderboard")
    assert code == USAGE and "holds no records" in err


def test_a_damaged_record_is_noted_and_recomputed(bob, photos, tmp_path):
    command = ("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    bob(*command)
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    whole = json.loads(path.read_text())
    path.write_text(path.read_text()[:500])
    _, _, err = bob("list", "records")
    assert "was edited or damaged after it was written" in err
    assert "1 cell to do" in bob(*command)[1]
    assert json.loads(path.read_text())["scores"] == whole["scores"]


def test_a_record_with_an_impossible_score_is_computed_again(bob, photos, tmp_path):
    command = ("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    bob(*command)
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    whole = json.loads(path.read_text())
    edited = {name: value for name, value in whole.items() if name != "checksum"}
    edited["scores"] = [score | {"value": 5.0} for score in whole["scores"]]
    path.write_text(json.dumps(edited))
    assert "1 cell to do" in bob(*command)[1]
    assert json.loads(path.read_text())["scores"] == whole["scores"]


def test_a_failed_cell_is_a_failed_record_and_the_rest_continues(
    bob, tmp_path, photos, monkeypatch
):
    def broken(*_):
        raise RuntimeError("no luck")

    monkeypatch.setattr("bob.protocols.linear.LinearProbe.solve", broken)
    code, _, err = bob(
        "run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "linear,knn"
    )
    assert code == FAILED and "RuntimeError: no luck" in err
    status = {row["task"]: (row["status"], row["reason"]) for row in rows(tmp_path / "results")}
    assert status == {"linear": ("failed", "RuntimeError: no luck"), "knn": ("ok", "")}
    monkeypatch.undo()
    code, out, _ = bob(
        "run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "linear,knn"
    )
    assert code == OK and "1 cell to do, 1 done" in out
    assert {row["status"] for row in rows(tmp_path / "results")} == {"ok"}


def test_a_failing_reader_fails_its_dataset_alone(bob, photos, tmp_path, monkeypatch):
    other = make_photos(tmp_path / "other", per_class=9)

    def broken(data, name, alpha):
        if b"tEXtbroken" in data:
            raise ZeroDivisionError("no luck")
        return decode(data, name, alpha)

    (photos / "class0" / "000.png").write_bytes(
        (photos / "class0" / "000.png").read_bytes() + b"tEXtbroken"
    )
    monkeypatch.setattr("bob.datasets.dataset.decode", broken)
    code, _, err = bob(
        "run", "--data", photos, "--data", other, "--backbones", BASELINES, "--tasks", "knn"
    )
    assert code == FAILED and "ZeroDivisionError: no luck" in err
    assert {row["dataset"]: row["status"] for row in rows(tmp_path / "results")} == {
        "photos": "failed",
        "other": "ok",
    }


def test_fail_fast_stops_at_the_first_failure(bob, tmp_path, photos, monkeypatch):
    monkeypatch.setattr("bob.protocols.knn.KNearestNeighbours.solve", lambda *_: 1 / 0)
    code, _, _ = bob(
        "run", "--data", photos, "--backbones", BASELINES, "--tasks", "knn", "--fail-fast"
    )
    assert code == FAILED
    assert len(list((tmp_path / "results" / "records").rglob("*.json"))) == 1


def test_an_interrupted_run_can_be_resumed(bob, photos, monkeypatch):
    from bob.engine.scoring import Scoring
    from bob.errors import INTERRUPTED

    command = ("run", "--data", photos, "--backbones", BASELINES, "--tasks", "knn")
    real, done = Scoring.record_of, []

    def interrupted(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(Scoring, "record_of", interrupted)
    code, _, err = bob(*command)
    assert code == INTERRUPTED and "run the same command again to resume" in err
    monkeypatch.undo()
    assert "1 cell to do, 1 done" in bob(*command)[1]


def test_unreadable_images_fail_the_dataset_and_are_named(bob, photos, tmp_path):
    (photos / "class0" / "text.jpg").write_text("not an image")
    (photos / "class1" / "empty.png").write_bytes(b"")
    code, _, err = bob("run", "--data", photos, "--backbones", "raw_pixels", "--tasks", "knn")
    assert code == FAILED
    assert "class0/text.jpg" in err or "class1/empty.png" in err
    assert "--skip-bad-images" in err


def test_skipped_unreadable_images_are_counted(bob, photos, tmp_path):
    (photos / "class0" / "text.jpg").write_text("not an image")
    command = ("run", "--data", photos, "--backbones", BASELINES, "--tasks", "knn")
    code, _, _ = bob(*command, "--skip-bad-images")
    assert code == OK
    assert {row["bad_images"] for row in rows(tmp_path / "results")} == {"1"}
    assert {int(row["train"]) + int(row["test"]) for row in rows(tmp_path / "results")} == {60}
    assert "1 unreadable image excluded" in (tmp_path / "results" / "leaderboard.md").read_text()
    code, _, err = bob(*command)
    assert code == FAILED and "text.jpg" in err, "without the flag an unreadable image is an error"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbones", "raw_pixel"], "unknown backbone 'raw_pixel'; did you mean 'raw_pixels'?"),
        (["--tasks", "lineer"], "unknown task 'lineer'; did you mean 'linear'?"),
        (["--datasets", "elvp"], "unknown dataset 'elvp'; did you mean 'elpv'?"),
        (
            ["--backbones", "family:clop"],
            "no backbone in 'family:clop'; did you mean 'family:clip'?",
        ),
        (["--backbones", "zz*"], "no backbone matches 'zz*'"),
        (["--backbones", ","], "no backbone named"),
        (["--datasets", ""], "no dataset named"),
        (
            ["--backbones", "dinov2_vits14"],
            "unknown backbone 'dinov2_vits14'; did you mean 'vits14_dinov2_lvd142m'?",
        ),
        (
            ["--backbones", "vit_small_patch14_dinov2.lvd142m"],
            "; it is registered as 'vits14_dinov2_lvd142m'.",
        ),
        (["--device", "cuda:7"], "--device 'cuda:7' is not usable here"),
        (["--device", "gpu"], "'gpu' is not usable here (there are cpu, cuda, cuda:1 and mps)"),
        (["--data", ""], "--data '': give a folder with a subfolder per class, or a table."),
        (["--data", "nowhere"], "no such file or folder"),
        (["--registry", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["--tasks-dir", "nowhere"], "nowhere: is not a folder of task files"),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(bob, words, message):
    code, _, err = bob("run", *words)
    assert code == USAGE
    assert message in err and "Traceback" not in err


def test_a_folder_named_like_a_registered_dataset_is_an_error(bob, tmp_path):
    code, _, err = bob("run", "--data", make_photos(tmp_path / "elpv"))
    assert code == USAGE and "'elpv' is the name of a registered dataset" in err
