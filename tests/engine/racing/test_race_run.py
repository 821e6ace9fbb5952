"""`run --race` on images: who is dropped, what survivors score, and what an interruption leaves."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bob as bob_package
from bob.engine.racing import completion, contest
from bob.errors import INTERRUPTED, OK, USAGE, BobError, ConfigError, NotApplicableError
from bob.extraction.embedder import Embedder
from bob.features.store import FeatureStore
from bob.records.store import RecordStore
from tests.builders.photos import BASELINES
from tests.builders.stripes import make_stripes


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stripes(tmp_path_factory.mktemp("images") / "stripes")


@pytest.fixture(scope="module")
def more_stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """800 images, of which 160 are test images."""
    return make_stripes(tmp_path_factory.mktemp("more images") / "stripes", per_class=400)


def command(stripes: Path, *more: str) -> tuple[str, ...]:
    flags = ("--backbones", BASELINES, "--tasks", "knn", "--device", "cpu")
    return ("run", "--data", str(stripes), *flags, *more)


def records(results: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (results / "records").rglob("*.json")]
    return {record["backbone_name"]: record for record in found}


def test_the_loser_is_dropped_and_the_winner_scores_as_in_an_ordinary_run(
    bob, stripes, tmp_path, monkeypatch
):
    code, out, _ = bob(*command(stripes, "--race"))
    assert code == OK
    assert "dropped channel_statistics at " in out and "survivors, run in full: raw_pixels" in out
    assert "at least 95 %, each dropped model is worse than some other model, with" in out
    assert "embedding stripes train, 1 backbone" not in out  # its images were embedded in the race
    embedded = re.findall(r"(\d+) backbones?, (\d+) images?$", out, re.MULTILINE)
    spent, ordinary_images = re.findall(r"([\d,]+) images × .* without a race, ([\d,]+)", out)[0]
    assert int(spent.replace(",", "")) == sum(int(b) * int(images) for b, images in embedded)
    assert int(ordinary_images.replace(",", "")) == 2 * len([*stripes.rglob("*.png")])
    raced = records(tmp_path / "results")
    loser = raced["channel_statistics"]
    assert (loser["status"], loser["scores"]) == ("dropped", [])
    with (tmp_path / "results" / "leaderboard.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["backbone"] == "channel_statistics"]
    assert all(row["status"] == "dropped" and row["value"] == "" for row in rows)
    images, text = loser["reason"].split()[1], (tmp_path / "results/leaderboard.md").read_text()
    assert f"dropped at {images} images" in text
    (details,) = loser["details"]
    assert details["images"] == int(images.replace(",", ""))
    right, scored = details["value"] * details["scored"], details["scored"]
    assert f": {right:,.0f} of {scored:,} right, raw_pixels " in loser["reason"]
    assert details["rival"] == "raw_pixels"

    (tmp_path / "cache").rename(tmp_path / "cache of the race")
    (tmp_path / "results").rename(tmp_path / "results of the race")
    assert bob(*command(stripes))[0] == OK
    ordinary = records(tmp_path / "results")
    assert raced["raw_pixels"]["scores"] == ordinary["raw_pixels"]["scores"]
    assert raced["raw_pixels"]["key"] == ordinary["raw_pixels"]["key"]
    assert ordinary["channel_statistics"]["key"] == loser["key"]

    for name in ("results", "cache"):
        (tmp_path / name).rename(tmp_path / f"{name} of an ordinary run")
    (tmp_path / "cache of the race").rename(tmp_path / "cache")
    (tmp_path / "results of the race").rename(tmp_path / "results")
    assert "1 cell to do, 1 done" in bob(*command(stripes))[1]
    rescored = records(tmp_path / "results")["channel_statistics"]
    assert rescored["scores"] == ordinary["channel_statistics"]["scores"]

    (tmp_path / "results").rename(tmp_path / "results of the race and what it dropped")
    monkeypatch.setattr(Embedder, "embed", lambda *_: pytest.fail("one cache embeds images twice"))
    assert bob(*command(stripes))[0] == OK
    assert {name: of["scores"] for name, of in records(tmp_path / "results").items()} == {
        name: of["scores"] for name, of in ordinary.items()
    }


@pytest.mark.parametrize(("task", "images"), [("knn", "stripes"), ("retrieval", "more_stripes")])
def test_a_race_killed_at_several_points_resumes_to_the_same_decisions(
    bob, request, tmp_path, monkeypatch, task, images
):
    """While features are stored, while backbones are scored, before a dropped one has its record,
    and before the blocks of a survivor become its full split."""
    race = command(request.getfixturevalue(images), "--race", "--tasks", task)
    bob(*race)
    undisturbed = records(tmp_path / "results")
    (tmp_path / "cache").rename(tmp_path / "undisturbed cache")
    (tmp_path / "results").rename(tmp_path / "undisturbed results")
    for place, name, last_call in [
        (FeatureStore, "write", 2),
        (contest, "example_values", 2),
        (RecordStore, "write", 1),
        (completion, "_store", 1),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, killed_at(getattr(place, name), last_call))
            assert bob(*race)[0] == INTERRUPTED, name
    assert bob(*race)[0] == OK
    resumed = records(tmp_path / "results")
    assert resumed["channel_statistics"]["status"] == "dropped"
    for name in ("channel_statistics", "raw_pixels"):
        assert resumed[name]["reason"] == undisturbed[name]["reason"]
        assert resumed[name]["details"] == undisturbed[name]["details"]
        assert resumed[name]["scores"] == undisturbed[name]["scores"]


def killed_at(function: Callable[..., Any], last_call: int) -> Callable[..., Any]:
    """Return a function that is interrupted instead of its n-th call."""
    calls: list[object] = []

    def killed(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == last_call:
            raise KeyboardInterrupt
        return function(*arguments)

    return killed


def test_retrieval_is_raced_by_precisions_in_a_gallery_of_earlier_images(
    bob, more_stripes, tmp_path
):
    """Of 160 test images, the first gallery is 10, and 10 queries follow in each step.

    Nothing is staked on the first eight queries.
    """
    code, out, _ = bob(*command(more_stripes, "--race", "--tasks", "retrieval"))
    assert code == OK
    race = out.split("race: ")[1].split("survivors")[0]
    assert "stripes test 0-20 (random order)" in race and "train" not in race
    reason = records(tmp_path / "results")["channel_statistics"]["reason"]
    queries = int(reason.split()[1]) - 10
    assert queries in range(20, 150, 10) and f"% of {queries} queries, raw_pixels 100.0 %" in reason


def test_a_race_from_python_takes_the_decisions_of_the_command_line(bob, stripes, tmp_path):
    out = bob(*command(stripes, "--race", "--race-seed", "3", "--certify", "tie"))[1]
    assert "the best model is less than " in out and " percentage points better than one of" in out
    of_command_line = records(tmp_path / "results")
    scores = bob_package.run(
        BASELINES,
        "knn",
        data=stripes,
        device="cpu",
        race=True,
        race_seed=3,
        certify="tie",
        results=tmp_path / "of python",
        cache=tmp_path / "cache of python",
    )
    statuses = scores.set_index("backbone").status.to_dict()
    assert statuses == {"channel_statistics": "dropped", "raw_pixels": "ok"}
    of_python = records(tmp_path / "of python")
    for name, record in of_command_line.items():
        assert of_python[name]["reason"] == record["reason"]
        assert of_python[name]["scores"] == record["scores"]


def test_a_race_from_python_ends_within_its_budget_and_refuses_other_tasks(stripes, tmp_path):
    places = {"results": tmp_path / "results", "cache": tmp_path / "cache"}

    def race(tasks: str, **options: Any) -> Any:
        data = {"data": stripes, "device": "cpu", "race": True}
        return bob_package.run(BASELINES, tasks, **data, **places, **options)

    assert len(race("knn", budget=60)) == 0
    with pytest.raises(NotApplicableError, match="task 'fewshot' cannot be raced"):
        race("knn,fewshot")
    with pytest.raises(ConfigError, match="leave out fresh=True"):
        race("knn", fresh=True)


def test_survivors_are_embedded_again_where_batches_decide_the_last_bits(
    bob, stripes, tmp_path, monkeypatch
):
    monkeypatch.setattr(completion, "_has_sample", lambda *_: False)
    code, out, err = bob(*command(stripes, "--race"))
    assert code == OK
    assert "raw_pixels: a sample of stripes embedded in an ordinary run has other bits" in err
    assert "embedding stripes train, 1 backbone" in out
    assert records(tmp_path / "results")["raw_pixels"]["status"] == "ok"


def test_what_is_stored_or_has_no_rival_costs_no_race(bob, stripes, tmp_path):
    """One backbone is run as without --race; stored features are no images to embed."""
    single = ("--race", "--backbones", "raw_pixels")
    _, out, err = bob(*command(stripes, *single))
    assert "no race, as there are too few images (of each class), a single backbone" in " ".join(
        (out + err).split()
    )
    assert "(stratified order)" not in out and "(listed order)" not in out
    assert bob(*command(stripes))[0] == OK
    (tmp_path / "results").rename(tmp_path / "results of an ordinary run")
    out = bob(*command(stripes, "--race"))[1]
    assert "dropped channel_statistics" in out
    assert "all features were stored: nothing to embed" in out


def test_a_budget_ends_the_race_before_more_images(bob, stripes, tmp_path):
    code, out, _ = bob(*command(stripes, "--race", "--budget", "60"))
    assert code == OK
    assert "the budget is spent; not dropped: channel_statistics, raw_pixels" in out
    assert records(tmp_path / "results") == {}


def test_a_backbone_that_fails_leaves_the_race_and_is_a_failed_record(
    bob, stripes, tmp_path, monkeypatch
):
    embed = Embedder.embed

    def failing(self: Embedder, *arguments: Any) -> Any:
        if "channel_statistics" in str(self.backbone.forward_facts()):
            raise BobError("out of luck")
        return embed(self, *arguments)

    monkeypatch.setattr(Embedder, "embed", failing)
    err = bob(*command(stripes, "--race"))[2]
    assert "channel_statistics leaves the race, and is run in full" in err
    found = records(tmp_path / "results")
    assert found["channel_statistics"]["status"] == "failed"
    assert found["raw_pixels"]["status"] == "ok", found["raw_pixels"]["reason"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--budget", "30m"), "--budget belongs to --race"),
        (("--certify", "best"), "--certify belongs to --race"),
        (("--race", "--plan", "x.json"), "leave out --plan"),
        (("--race", "--engine", "ray"), "--race runs in this process"),
        (("--race", "--fresh"), "leave out --fresh"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(bob, stripes, flags, message):
    code, _, err = bob(*command(stripes, *flags))
    assert code == USAGE and message in err


def test_tasks_that_cannot_be_raced_are_refused(bob, stripes):
    for task in ("fewshot", "retrieval_whitened"):
        code, _, err = bob(*command(stripes, "--race", "--tasks", task))
        assert code == USAGE and f"task '{task}' cannot be raced" in err
