"""A run killed at any change on the disk, and then run to its end, ends as if undisturbed."""

import json
from pathlib import Path

import pandas as pd
import pytest

from bob.leaderboards.render.tidy_table import MACHINE
from tests.builders.fresh_process import run_python
from tests.builders.photos import BASELINES, make_photos

KILLS = 10


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run over 50 small images: two shards of train, so that there is something to lose."""
    photos = make_photos(
        tmp_path_factory.mktemp("data") / "photos", per_class=25, classes=2, side_px=6
    )
    return [
        "run",
        "--data",
        str(photos),
        "--backbones",
        BASELINES,
        "--tasks",
        "knn,ridge",
        "--offline",
    ]


def leaderboard(folder: Path) -> bytes:
    """The tidy table without the columns that tell of time and machine, as bytes."""
    table = pd.read_csv(folder / "results" / "leaderboard.csv", dtype=str, keep_default_na=False)
    return table.drop(columns=list(MACHINE)).to_csv(index=False).encode()


def test_a_run_killed_ten_times_ends_as_an_undisturbed_one(words, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    arguments = ["0", str(KILLS), str(undisturbed), str(killed), *words]
    done = run_python(["-m", "tests.builders.killed_runs", *arguments])
    assert done.returncode == 0, done.stderr
    hits, changes = map(int, done.stdout.split())
    assert changes > 100 and hits >= KILLS // 2, (
        "most runs must have work left when they are killed, or this test shows nothing"
    )
    assert leaderboard(killed) == leaderboard(undisturbed)


def test_every_stage_killed_at_random_ends_as_an_undisturbed_one():
    """Extraction, scoring, publishing and a move of the cache; `make crash` kills 200 runs."""
    done = run_python(["-m", "tests.builders.crash_harness", "--seed", "3", "--kills", "8"])
    assert done.returncode == 0, done.stdout + done.stderr
    totals = done.stdout.splitlines()[-1]
    assert "; 0 faults" in totals and ": 0 of" not in totals and ", 0 of" not in totals, totals


def test_two_processes_at_once_give_the_leaderboard_of_one(words, tmp_path):
    """And write each shard once between them."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    done = run_python(["-m", "tests.builders.counted_run", str(alone), str(shared), *words])
    assert done.returncode == 0, done.stderr
    expected, first, second, again = json.loads(done.stdout)
    assert sorted(first + second) == sorted(expected) and len(expected) == len(set(expected)) > 4
    assert again == []
    assert leaderboard(shared) == leaderboard(alone)
    shards = sorted(path.name for path in (shared / "cache" / "features").rglob("*.safetensors"))
    assert shards == sorted(
        path.name for path in (alone / "cache" / "features").rglob("*.safetensors")
    )


AT_ONCE = """
import random, sys
from tests.builders.killed_runs import SHARE, run, run_at_once
alone, shared, *command = sys.argv[1:]
command += ["--results", "{folder}/results", "--cache-dir", "{folder}/cache"]
_, changes = run(command, alone)
moments = random.Random(0)
for number in range(2):
    kills = [moments.randint(1, changes // SHARE) for _ in range(2)]
    *killed, last = run_at_once(command, f"{shared}{number}", *kills, 0)
    run(command, f"{shared}{number}")  # which clears what the killed ones left
    print(*(was_killed for was_killed, _ in killed), last[0])
"""


def test_a_run_beside_runs_that_are_killed_gives_the_leaderboard_of_one(words, tmp_path):
    """Three at once on one cache and one results folder, two of which are killed, twice."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    done = run_python(["-c", AT_ONCE, str(alone), str(shared), *words])
    assert done.returncode == 0, done.stderr
    killed = [line.split() for line in done.stdout.splitlines()]
    assert [last for *_, last in killed] == ["False"] * 2
    assert sum(each.count("True") for each in killed) >= 2, "most must have work left when killed"
    for number in range(2):
        assert leaderboard(tmp_path / f"shared{number}") == leaderboard(alone)
    assert not [*tmp_path.rglob("*.lease")]


INTERRUPTED = """
import os, signal, sys
# A shell starts its background jobs deaf to it, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from bob.cli import main
from tests.builders.killed_runs import at_change, cut_into_small_spans
cut_into_small_spans()
at_change(sys.argv[1], int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGINT))
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("below", "number"), [("cache/backbones", 2), ("cache/features", 12), ("results", 4)]
)
def test_ctrl_c_ends_a_run_with_its_own_exit_code(words, tmp_path, below, number):
    """The signal comes while backbones are met, while shards are written, and while records are."""
    places = ["--results", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    moment = [str(tmp_path / below), str(number)]
    done = run_python(["-c", INTERRUPTED, *moment, *words, *places])
    assert (
        done.returncode == 130
        and "interrupted; run the same command again to resume" in done.stderr
    ), done.stderr
    assert "Traceback" not in done.stderr
