"""Runs on a cluster of two fake nodes: the same results, whatever happens to a node."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
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
import time
from pathlib import Path

import torch

import bob.io.leases

HERE, NODE = Path(__file__).parent, os.environ.get("NODE_NAME")
VICTIM = HERE / "victim"


class Mean(torch.nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([scale]))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.scale * x.mean(dim=(2, 3))


class EndsNode(Mean):
    def forward(self, x):
        if self.calls == 100 and VICTIM.exists():
            meet()
        if self.calls == 131 and VICTIM.exists() and NODE == "second":
            VICTIM.unlink()
            os.kill(int(os.environ["RAY_RAYLET_PID"]), 9)
            os.kill(os.getpid(), 9)
        return super().forward(x)


class EndsProcess(Mean):
    def forward(self, x):
        if NODE and len(x) == 4:
            os._exit(1)
        return super().forward(x)


def meet():
    (HERE / NODE).touch()
    for _ in range(12_000):
        if (HERE / "first").exists() and (HERE / "second").exists():
            return
        time.sleep(0.01)
    raise TimeoutError("no worker on another node")


def of(module, stale_seconds):
    bob.io.leases.STALE_SECONDS = stale_seconds
    pixels = dict(input_px=16, crop_pct=1.0, crop_mode="center", interpolation="bilinear")
    return module, pixels | dict(mean=[0.0] * 3, std=[1.0] * 3)


def ends_node():
    return of(EndsNode(), float("inf"))


def ends_process():
    return of(EndsProcess(), 0.0)


def differs():
    if not NODE or is_check():
        return of(Mean(1.0), 0.0)
    meet()
    return of(Mean(2.0 if NODE == "second" else 1.0), 0.0)


def is_check():
    try:
        (HERE / "checked").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""
"""Backbones: one ends the second node in the second span of a split, if a file exists, while the
first node embeds the other split; leases then never become stale. One ends its process on any node
in a batch of 4 images. One has other weights on the second node, and loads when both nodes load it,
but for the first time, when the run compares it with the plan. With these two, a lease is stale as
soon as it does not change."""
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
            nodes.add("second")
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


def registry(folder: Path, *builders: str) -> list[str]:
    """Write the entries of some backbones of `CODE`; return the flags that select them."""
    (folder / "fragile.py").write_text(CODE)
    build = f"{{family: ssl, loader: python, architecture: '{folder}/fragile.py:"
    entries = [f"{name}: {build}{name}'}}\n" for name in builders]
    (folder / "fragile.yaml").write_text("".join([*entries, COARSE]))
    backbones = ",".join([*builders, "coarse"])
    return [f"--registry={folder}/fragile.yaml", "--allow-code", "--backbones", backbones]


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


def wait_for(condition: Callable[[], object], running: Program) -> None:
    while not condition():
        assert not running.ends_within(0.1), "it ended before"


def lease_to_another(folder: Path, *backbones: str) -> list[Path]:
    """Lease the first spans of the plan's features to a process of a machine that is gone."""
    passes = json.loads((folder / "plan.json").read_text())["passes"]
    forwards = [forward for each in passes for forward in each["forwards"]]
    keys = [f["outputs"]["default"] for f in forwards if f["backbone"] in backbones]
    leases = [folder / "cache" / "features" / key[:2] / key / "000000.lease" for key in keys]
    owner = {"machine": "a third node", "pid": 1, "born": 0.0, "nonce": "its own", "beats": 7}
    for lease in leases:
        lease.parent.mkdir(parents=True)
        lease.write_text(json.dumps(owner))
    return leases


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return the folder of a run in one process, and the words of the run.

    Both splits have a second span. Only a file `victim` in the folder disturbs a later run.
    """
    folder = tmp_path_factory.mktemp("undisturbed")
    for split, side_px in (("train", 6), ("test", 7)):
        make_photos(folder / "photos" / split, per_class=536, classes=2, side_px=side_px)
    words = [*registry(folder, "ends_node"), "--data", str(folder / "photos"), "--tasks", "knn"]
    done = bob_run(folder, *words)
    assert done.returncode == 0, done.stderr
    return folder, words


def test_a_backbone_that_ends_its_process_or_has_other_weights_on_a_node_fails_alone(
    nodes: FakeNodes, tmp_path: Path
) -> None:
    """It ends in the second of two batches of the test split, and begins with the other backbones.

    The third attempt is each backbone's own. When the run begins, features are leased to a process
    of a machine that is gone.
    """
    photos = make_photos(tmp_path / "photos")
    words = [*registry(tmp_path, "ends_process", "differs"), "--data", str(photos)]
    plan = planned(tmp_path, *words, "--tasks", "knn")
    leases = lease_to_another(tmp_path, "ends_process", "coarse")
    assert len(leases) == 4  # two backbones, two splits
    done = bob_run(tmp_path, *plan, address=nodes.address)
    assert done.returncode == 1, done.stderr
    by_backbone = {record["backbone_name"]: record for record in records(tmp_path).values()}
    statuses = {name: record["status"] for name, record in by_backbone.items()}
    assert statuses == {"ends_process": "failed", "differs": "failed", "coarse": "ok"}
    assert "its machine was lost 3 times" in str(by_backbone["ends_process"]["reason"])
    assert "'differs': has other weights than when" in str(by_backbone["differs"]["reason"])
    assert not [*tmp_path.rglob("*.lease")]


def test_ctrl_c_ends_a_run_that_any_engine_resumes(
    nodes: FakeNodes, undisturbed: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """The signal goes to the driver alone, after the first shard was stored.

    A run that was complete before the signal reached it has nothing to resume.
    """
    folder, words = undisturbed
    with cluster_run(nodes, tmp_path, *words) as running:
        wait_for(lambda: [*tmp_path.glob("cache/features/*/*/*.safetensors")], running)
        running.send_signal(signal.SIGINT)
        done = running.wait(60)
    assert done.returncode in (0, 130) and "Traceback" not in done.stderr, done.stderr
    assert ("to resume" in done.stderr) == (done.returncode == 130)
    assert not [*tmp_path.rglob("*.lease")]
    done = bob_run(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert_same_results(tmp_path, folder)


def test_a_cluster_gives_the_bytes_of_one_process_although_a_node_is_killed(
    nodes: FakeNodes, undisturbed: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """It ends in the second of two spans; another node joins afterwards.

    The leases that it leaves are of another machine for the other nodes, and never become stale.
    """
    folder, words = undisturbed
    victim = folder / "victim"
    victim.touch()
    with cluster_run(nodes, tmp_path, *words) as running:
        wait_for(lambda: not victim.exists(), running)
        nodes.add("third")
        done = running.wait(300)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_results(tmp_path, folder)
    assert not [*tmp_path.rglob("*.lease")]
