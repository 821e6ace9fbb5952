"""Runs on a cluster of two fake nodes: the same results, whatever happens to a node."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.builders.photos import BASELINES, make_photos
from tests.builders.ray_nodes import FakeNodes

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
}
CODE = '''
import os
from pathlib import Path

import torch


class Mean(torch.nn.Module):
    """The mean colour; the first call per entry leaves a file, and ends something."""

    def __init__(self, folder, ends):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.folder, self.ends = folder, ends

    def forward(self, x):
        if Path(self.folder, "armed").exists():
            if self.ends == "process":
                os._exit(1)
            try:
                Path(self.folder, "node").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getppid(), 9)  # the node's manager, and with it the node
                while True:
                    pass
        return self.scale * x.mean(dim=(2, 3))


def build(folder, ends):
    return Mean(folder, ends)
'''


@pytest.fixture(scope="module")
def nodes() -> Iterator[FakeNodes]:
    with FakeNodes(ENVIRONMENT) as nodes:
        nodes.add()
        nodes.add()
        yield nodes


def bob_run(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with results and cache in a folder, reproducibly."""
    fixed = ["--device", "cpu", "--runtime", "eager", "--batch-size", "8", "--offline"]
    places = ["--results", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    return subprocess.run(
        [sys.executable, "-m", "bob", "run", *words, *fixed, *places],
        capture_output=True,
        text=True,
        timeout=300,
        env={**ENVIRONMENT, **environment},
    )


def features(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    root = folder / "cache" / "features"
    return {str(path.relative_to(root)): load_file(path) for path in root.rglob("*.safetensors")}


def records(folder: Path) -> dict[str, dict[str, object]]:
    """Records without what depends on time and machine."""
    root = folder / "results" / "records"
    read = {str(p.relative_to(root)): json.loads(p.read_text()) for p in root.rglob("*.json")}
    for record in read.values():
        for name in ("checksum", "cost"):
            del record[name]
        del record["provenance"]["created"]
    return read


def assert_same_results(one: Path, other: Path) -> None:
    ours, theirs = features(one), features(other)
    assert ours.keys() == theirs.keys() and ours
    for name, arrays in ours.items():
        assert arrays.keys() == theirs[name].keys()
        for key, values in arrays.items():
            assert values.tobytes() == theirs[name][key].tobytes(), (name, key)
    assert records(one) == records(other) and records(one)
    for path in (one / "results" / "records").rglob("*.safetensors"):
        twin = other / path.relative_to(one)
        assert path.read_bytes() == twin.read_bytes()
    for table in ("leaderboard.md", "leaderboard_wide.csv"):
        assert (one / "results" / table).read_bytes() == (other / "results" / table).read_bytes()


def test_a_cluster_gives_the_bytes_of_one_process(nodes: FakeNodes, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    words = ["--data", str(photos), "--backbones", BASELINES, "--tasks", "knn,linear"]
    done = bob_run(tmp_path / "local", *words)
    assert done.returncode == 0, done.stderr
    done = bob_run(tmp_path / "ray", *words, "--engine", "ray", RAY_ADDRESS=nodes.address)
    assert done.returncode == 0, done.stderr
    assert_same_results(tmp_path / "ray", tmp_path / "local")
    assert not [*tmp_path.rglob("*.lease")]
