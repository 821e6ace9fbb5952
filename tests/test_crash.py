"""A run killed at random moments, and then run to its end, ends in the same leaderboard as a run that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_photos

from bob.leaderboard.table import MACHINE

KILLS = 20
BACKBONES = "channel_statistics,raw_pixels,random_convolution"
MAIN = Path(__file__).parents[1] / "run_benchmark.py"


def start(photos: Path, folder: Path) -> "subprocess.Popen[str]":
    places = ["--results", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    command = [sys.executable, str(MAIN), "--data", str(photos), "--backbones", BACKBONES, "--tasks", "knn,linear", "--offline", *places]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> None:
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def kill_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Whether the process was still at work when it was killed."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    finally:
        assert process.stderr is not None
        process.stderr.close()
    return False


def leaderboard(folder: Path) -> bytes:
    """The tidy table without the columns that tell of time and machine, as bytes."""
    table = pd.read_csv(folder / "results" / "leaderboard.csv", dtype=str, keep_default_na=False)
    return table.drop(columns=list(MACHINE)).to_csv(index=False).encode()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,400 small images: three shards of train, so that there is something to lose."""
    return make_photos(tmp_path_factory.mktemp("data") / "photos", per_class=800, side_px=6)


def test_a_run_killed_twenty_times_ends_as_an_undisturbed_one(photos, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    began = time.monotonic()
    finish(start(photos, undisturbed))
    whole_run = time.monotonic() - began

    moments = random.Random(0)
    at_work = sum(kill_after(start(photos, killed), moments.uniform(0.2, 1.0) * whole_run) for _ in range(KILLS))
    assert at_work > KILLS // 4, "most kills must hit a run at work, or this test shows nothing"
    finish(start(photos, killed))
    assert leaderboard(killed) == leaderboard(undisturbed)


def test_two_processes_at_once_give_the_leaderboard_of_one(photos, tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    finish(start(photos, alone))
    for process in [start(photos, shared), start(photos, shared)]:
        finish(process)
    finish(start(photos, shared))
    assert leaderboard(shared) == leaderboard(alone)
    shards = sorted(path.name for path in (shared / "cache" / "features").rglob("*.safetensors"))
    assert shards == sorted(path.name for path in (alone / "cache" / "features").rglob("*.safetensors"))


def test_ctrl_c_ends_a_run_with_its_own_exit_code(photos, tmp_path):
    process = start(photos, tmp_path)
    assert process.stderr is not None
    cards = tmp_path / "cache" / "backbones"
    while not cards.exists() and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "stopped. The same command goes on where it stopped." in err, err
    assert "Traceback" not in err
