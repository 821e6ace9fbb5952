"""A protocol of another package: installed, it runs end to end without an edit in `bob/`."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from bob.errors import ConfigError
from bob.metrics import METRICS
from bob.protocols import load_protocols, protocol_named
from tests.builders.fresh_process import run_python
from tests.builders.photos import make_photos
from tests.builders.toy_protocol import PROTOCOL, install

ROOT = Path(__file__).parents[2]


def bob_bench(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process that has the toy package installed in `folder`."""
    places = ["--results", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return run_python(["-m", "bob", *words, *places], environment)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    make_photos(folder / "photos")
    return folder


def test_a_protocol_of_another_package_runs_end_to_end(installed):
    """Planned, solved, stored, scored with an interval and shown by its own metric's name."""
    words = ["--data", str(installed / "photos"), "--backbones", "raw_pixels,channel_statistics"]
    tasks = ["--tasks", "nearest", "--tasks-dir", str(installed / "tasks")]
    done = bob_bench(installed, "run", *words, *tasks)
    assert done.returncode == 0, done.stderr
    assert "nearest: hit_rate" in done.stdout
    (path, _) = sorted((installed / "results" / "records" / "nearest").rglob("*.json"))
    record = json.loads(path.read_text())
    (score,) = record["scores"]
    assert score["metric"] == "hit_rate" and score["low"] <= score["value"] <= score["high"]
    assert record["details"] == [{"seed": 0, "dimension": 0, "caveats": []}]
    again = bob_bench(installed, "run", *words, *tasks)
    assert "0 cells to do, 2 done" in again.stdout
    compared = bob_bench(installed, "compare", "raw_pixels", "channel_statistics")
    assert compared.returncode == 0 and "hit_rate" in compared.stdout


def test_a_protocol_with_a_taken_name_is_refused(installed, tmp_path):
    info = tmp_path / "toy_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bob.protocols]\nx = bob.protocols.knn:PROTOCOL\n")
    done = bob_bench(tmp_path, "list", "tasks")
    assert done.returncode == 2
    assert done.stderr == "error: protocol 'knn' exists already: choose another name.\n"


def test_an_entry_point_that_is_no_protocol_is_refused(tmp_path):
    info = tmp_path / "toy_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bob.protocols]\nx = bob.protocols.knn:KnnSettings\n")
    done = bob_bench(tmp_path, "list", "tasks")
    assert done.returncode == 2
    assert "entry point 'x' of group 'bob.protocols' must be a Protocol" in done.stderr


def test_the_package_knows_nothing_of_the_toy():
    assert PROTOCOL.name not in load_protocols() and "hit_rate" not in METRICS
    with pytest.raises(ConfigError, match="unknown protocol 'nearest_in_one_dimension'"):
        protocol_named(PROTOCOL.name)
