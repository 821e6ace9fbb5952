"""Runs on a cluster of two fake nodes: the same results, whatever happens to a node."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.builders.fresh_process import Program, run_python, running_python
from tests.builders.photos import make_photos
from tests.builders.ray_nodes import FakeNodes
from tests.builders.request_counter import RequestCounter

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
}
METADATA = "http://169.254.169.254/"
"""Address at which a cloud describes a machine to itself; Ray asks it which accelerators there are.
It is link-local: no request leaves the network of the machine."""
CODE = """
import os
from pathlib import Path

import torch

VICTIM = Path({victim!r})


class Mean(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > {calls} and VICTIM.exists():
            end()
        return self.scale * x.mean(dim=(2, 3))


def end():
    if VICTIM.name == "process":
        os._exit(1)
    try:
        VICTIM.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getppid(), 9)  # the manager of the node
    os.kill(os.getpid(), 9)


def build():
    pixels = dict(input_px=16, crop_pct=1.0, crop_mode="center", interpolation="bilinear")
    return Mean(), pixels | dict(mean=[0.0] * 3, std=[1.0] * 3)
"""
"""A backbone that ends its process, or its node once, at a later call and while a file exists."""
COARSE = (
    "coarse: {family: baseline, loader: baseline, architecture: raw_pixels,"
    " preprocessing: {input_px: 32}}\n"
)
"""The baseline of pixels on small crops: a thousand of them take a fraction of a second."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[FakeNodes]:
    """Two nodes; at the end, no process of the cluster or of a run has sent usage statistics.

    Requests to other machines go to a proxy here, and statistics to a sink here; both count what
    they receive. That the sink can count is Ray's own doing: a cluster that was not started by
    `ray.init` reports once, at its start, that its statistics are off. The documented address is a
    closed port for this reason.
    """
    with RequestCounter() as proxy, RequestCounter() as sink:
        through_proxy = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": proxy.url})
        )
        through_proxy.open("http://statistics.invalid/", b"{}").close()
        assert proxy.requests.pop() == "POST http://statistics.invalid/"
        here = f"127.0.0.1,localhost,{socket.gethostbyname(socket.gethostname())}"
        values = {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url, "NO_PROXY": here}
        ENVIRONMENT.update(values | {name.lower(): value for name, value in values.items()})
        ENVIRONMENT["RAY_USAGE_STATS_REPORT_URL"] = sink.url
        with FakeNodes(ENVIRONMENT) as nodes:
            nodes.add()
            nodes.add()
            yield nodes
        assert [sent for sent in proxy.requests if METADATA not in sent] == []
        assert sink.requests == ["POST /"]


def command(folder: Path, *words: str) -> list[str]:
    """Return the words of a run with results and cache in a folder, alike at any speed."""
    fixed = ["--device", "cpu", "--runtime", "eager", "--batch-size", "8", "--offline"]
    places = ["--results", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    return ["-m", "bob", "run", *words, *fixed, *places]


def bob_run(folder: Path, *words: str, address: str = "") -> "subprocess.CompletedProcess[str]":
    """Run in one process, or on the cluster at an address."""
    engine = ["--engine", "ray"] if address else []
    return run_python(command(folder, *words, *engine), {**ENVIRONMENT, "RAY_ADDRESS": address})


def cluster_run(
    nodes: FakeNodes, folder: Path, *words: str
) -> "contextlib.AbstractContextManager[Program]":
    """Begin a run on the cluster."""
    environment = {**ENVIRONMENT, "RAY_ADDRESS": nodes.address}
    return running_python(command(folder, *words, "--engine", "ray"), environment)


def fragile(folder: Path, victim: str, calls: int) -> list[str]:
    """Write the entry of a backbone that ends `victim`; return the flags that select it."""
    code, registry = folder / "fragile.py", folder / "fragile.yaml"
    code.write_text(CODE.format(victim=str(folder / victim), calls=calls))
    entry = f"fragile: {{family: ssl, loader: python, architecture: '{code}:build'}}\n"
    registry.write_text(entry + COARSE)
    return ["--registry", str(registry), "--allow-code", "--backbones", "fragile,coarse"]


def planned(folder: Path, *words: str) -> list[str]:
    """Plan a run and return the flags that carry the plan out."""
    done = bob_run(folder, *words, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    (folder / "plan.json").write_text(done.stdout)
    return ["--plan", str(folder / "plan.json"), "--allow-code"]


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


def test_a_backbone_that_ends_its_process_fails_after_three_attempts_alone(
    nodes: FakeNodes, tmp_path: Path
) -> None:
    """The baseline is in the same unit at first; the third attempt is each backbone's own."""
    photos = make_photos(tmp_path / "photos")
    words = [*fragile(tmp_path, "process", 0), "--data", str(photos), "--tasks", "knn"]
    plan = planned(tmp_path, *words)
    (tmp_path / "process").touch()
    done = bob_run(tmp_path, *plan, address=nodes.address)
    assert done.returncode == 1, done.stderr
    by_backbone = {record["backbone_name"]: record for record in records(tmp_path).values()}
    assert by_backbone["fragile"]["status"] == "failed"
    assert "its machine was lost 3 times" in str(by_backbone["fragile"]["reason"])
    assert by_backbone["coarse"]["status"] == "ok"


def test_ctrl_c_ends_a_run_that_any_engine_resumes(nodes: FakeNodes, tmp_path: Path) -> None:
    """The signal goes to the driver alone, after the first shard was stored.

    A run that was complete before the signal reached it has nothing to resume.
    """
    photos = make_photos(tmp_path / "photos", per_class=700, classes=2, side_px=6)
    (tmp_path / "coarse.yaml").write_text(COARSE)
    words = ["--registry", str(tmp_path / "coarse.yaml"), "--backbones", "coarse"]
    words += ["--data", str(photos), "--tasks", "knn"]
    done = bob_run(tmp_path / "local", *words)
    assert done.returncode == 0, done.stderr
    with cluster_run(nodes, tmp_path / "ray", *words) as running:
        while not [*tmp_path.glob("ray/cache/features/*/*/*.safetensors")]:
            assert not running.ends_within(0.1), "it ended before the first shard"
        running.send_signal(signal.SIGINT)
        done = running.wait(60)
    assert done.returncode in (0, 130) and "Traceback" not in done.stderr, done.stderr
    assert ("to resume" in done.stderr) == (done.returncode == 130)
    assert not [*tmp_path.rglob("*.lease")]
    done = bob_run(tmp_path / "ray", *words)
    assert done.returncode == 0, done.stderr
    assert_same_results(tmp_path / "ray", tmp_path / "local")


def test_a_cluster_gives_the_bytes_of_one_process_although_a_node_is_killed(
    nodes: FakeNodes, tmp_path: Path
) -> None:
    """It ends in the second of two spans; another node joins afterwards."""
    photos = make_photos(tmp_path / "photos", per_class=700, classes=2, side_px=6)
    words = [*fragile(tmp_path, "node", 132), "--data", str(photos), "--tasks", "knn,linear"]
    done = bob_run(tmp_path / "local", *words)
    assert done.returncode == 0, done.stderr
    (tmp_path / "node").touch()
    with cluster_run(nodes, tmp_path / "ray", *words) as running:
        nodes.add()
        done = running.wait(300)
    assert (done.returncode, done.stderr) == (0, "") and not (tmp_path / "node").exists()
    assert_same_results(tmp_path / "ray", tmp_path / "local")
    assert not [*tmp_path.rglob("*.lease")]
