"""A run killed at random moments, and then run to its end, ends in the same leaderboard as a run that nobody disturbed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import FLOORS, make_photos

from bob.leaderboard.table import MACHINE

KILLS = 20
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A run over 1,400 small images: two shards of train, so that there is something to lose."""
    photos = make_photos(tmp_path_factory.mktemp("data") / "photos", per_class=700, classes=2, side_px=6)
    return ["run", "--data", str(photos), "--backbones", FLOORS, "--tasks", "knn,linear", "--offline"]


def start(words: list[str], folder: Path) -> "subprocess.Popen[str]":
    places = ["--results", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    command = [sys.executable, "-m", "bob", *words, *places]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)


def heed_ctrl_c() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: "subprocess.Popen[str]") -> None:
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def leaderboard(folder: Path) -> bytes:
    """The tidy table without the columns that tell of time and machine, as bytes."""
    table = pd.read_csv(folder / "results" / "leaderboard.csv", dtype=str, keep_default_na=False)
    return table.drop(columns=list(MACHINE)).to_csv(index=False).encode()


def test_a_run_killed_twenty_times_ends_as_an_undisturbed_one(words, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    command = [sys.executable, str(HERE / "killed_runs.py"), "0", str(KILLS), str(undisturbed), str(killed), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= KILLS // 2, "most kills must hit a run at work, or this test shows nothing"
    assert leaderboard(killed) == leaderboard(undisturbed)


def test_two_processes_at_once_give_the_leaderboard_of_one(words, tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    finish(start(words, alone))
    for process in [start(words, shared), start(words, shared)]:
        finish(process)
    finish(start(words, shared))
    assert leaderboard(shared) == leaderboard(alone)
    shards = sorted(path.name for path in (shared / "cache" / "features").rglob("*.safetensors"))
    assert shards == sorted(path.name for path in (alone / "cache" / "features").rglob("*.safetensors"))


def test_ctrl_c_ends_a_run_with_its_own_exit_code(words, tmp_path):
    """The signal comes when the first backbone has been met, so in the middle of things."""
    process = start(words, tmp_path)
    cards = tmp_path / "cache" / "backbones"
    while not cards.exists() and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "stopped. The same command goes on where it stopped." in err, err
    assert "Traceback" not in err
