"""Weights from the hub: cached, downloaded from a loopback server, or refused with a remedy."""

import contextlib
import errno
import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from timm.models._hub import save_config_for_hf
from transformers import AutoConfig, AutoModel

from bob.backbones.card import load_backbone
from bob.backbones.weights.locate import find_weights
from bob.backbones.weights.tensors import tensor_hash
from bob.errors import UnavailableError
from bob.io.hub import _responds, hub_file, hub_reachable
from bob.registry import load_backbones
from bob.specs import DEFAULT, BackboneSpec
from bob.specs.yaml import build
from tests.builders.fresh_process import run_python
from tests.builders.loopback_hub import COMMIT, Handler, running, serving_all

LITE0 = load_backbones()["efficientnet_lite0_in1k"]
REFUSED = {
    "owner/gated": (403, "GatedRepo"),
    "owner/unknown": (401, "RepoNotFound"),
    "owner/moved": (404, "RevisionNotFound"),
    "owner/broken": (500, ""),
}
SMALL = "resnet10t"
OLD_COMMIT = "a" * 40
ARCHITECTURE = SMALL
PROGRAM = """
import sys
from pathlib import Path
from bob.backbones.card import card
from bob.errors import UnavailableError
from bob.specs.yaml import build
from bob.specs import BackboneSpec
for hub in sys.argv[3:]:
    hub, _, revision = hub.partition("@")
    weights = {"hub": hub} | ({"revision": revision} if revision else {})
    values = {"name": "mine", "family": "ssl", "loader": "timm", "architecture": sys.argv[2]}
    spec = build(BackboneSpec, values | {"weights": weights}, "test")
    try:
        print(card(spec, Path(sys.argv[1]), "cpu", "float32", offline=False).weights_hash)
    except UnavailableError as error:
        print(error)
"""


@contextlib.contextmanager
def serving(file: bytes) -> Iterator[tuple[str, list[str]]]:
    """Serve `model.safetensors` in `owner/small`; yield the address and the requested paths."""
    requests: list[str] = []

    class Hub(Handler):
        def do_GET(self) -> None:  # noqa: N802
            requests.append(self.path)
            refusal = next((code for name, code in REFUSED.items() if name in self.path), None)
            if refusal:
                status, code = refusal
                self.respond(b"", status, **({"X-Error-Code": code} if code else {}))
            elif self.path.startswith("/owner/small/resolve/") and self.path.endswith(
                "/model.safetensors"
            ):
                self.respond(file, ETag='"0123456789abcdef"')
            else:
                self.respond(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

    with running(Hub) as address:
        yield address, requests


def hub_environment(address: str, folder: Path) -> dict[str, str]:
    """Return the environment of a process that uses the hub at `address` and a cache of its own."""
    settings = {
        "HF_ENDPOINT": address,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    return {**os.environ, **settings}


def cards(address: str, tmp_path: Path, *hubs: str) -> list[str]:
    """Return what a new process prints, a line per repository.

    The hub's client reads the address on import, hence the process.
    """
    words = ["-c", PROGRAM, str(tmp_path / "cache"), ARCHITECTURE, *hubs]
    done = run_python(words, hub_environment(address, tmp_path))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_weights_are_downloaded_once_and_then_read_from_the_cache(tmp_path):
    model = timm.create_model(SMALL)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    model.reset_classifier(0)
    with serving((tmp_path / "model.safetensors").read_bytes()) as (address, requests):
        (first,) = cards(address, tmp_path, "owner/small")
        requests.clear()
        (second,) = cards(address, tmp_path, "owner/small")
        assert not any("owner/small" in path for path in requests), (
            "no request where the cache suffices"
        )
    (offline,) = cards(address, tmp_path, "owner/small")
    expected = tensor_hash({f"model.{name}": tensor for name, tensor in model.state_dict().items()})
    assert first == second == offline == expected


def test_refusals_are_reported_with_a_remedy(tmp_path):
    with serving(b"") as (address, _):
        gated, unknown, moved, empty = cards(
            address, tmp_path, "owner/gated", "owner/unknown", "owner/moved@gone", "owner/other"
        )
    assert "'owner/gated' is gated: accept its terms on its page and set HF_TOKEN" in gated
    assert (
        "'owner/unknown' does not exist, or is private: correct weights.hub, or set HF_TOKEN"
        in unknown
    )
    assert "'owner/moved' has no revision 'gone': correct weights.revision" in moved
    assert (
        "contains none of model.safetensors, pytorch_model.bin; name its file as weights.file"
        in empty
    )


def test_a_hub_that_does_not_respond_is_reported_for_each_repository(tmp_path):
    with serving(b"") as (address, _):
        pass
    lines = cards(address, tmp_path, "owner/small", "owner/other")
    message = (
        "is not on this machine and the hub cannot be reached. "
        "Run once with a network, or set HF_HOME to a copy"
    )
    assert len(lines) == 2 and all(message in line for line in lines)


def test_a_pinned_revision_is_downloaded_also_by_doctor(tmp_path):
    """The repository's `main` has other weights than the commit that the entry names."""
    old, new = timm.create_model(SMALL), timm.create_model(SMALL)
    commits = {
        OLD_COMMIT: (OLD_COMMIT, save(old.state_dict())),
        "main": (COMMIT, save(new.state_dict())),
    }

    class Hub(Handler):
        def do_GET(self) -> None:  # noqa: N802
            _, _, _, action, revision, *file = (self.path + "/////").split("/")[:6]
            if action == "resolve" and file == ["model.safetensors"] and revision in commits:
                commit, body = commits[revision]
                self.respond(
                    body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', **{"X-Repo-Commit": commit}
                )
            else:
                self.respond(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

    (tmp_path / "mine.yaml").write_text(
        f"mine: {{family: ssl, loader: timm, architecture: {SMALL}, "
        f"weights: {{hub: owner/small, revision: {OLD_COMMIT}}}}}\n"
    )
    with running(Hub) as address:
        arguments = ["doctor", "mine", "--registry", str(tmp_path / "mine.yaml"), "--download"]
        doctor = run_python(["-m", "bob", *arguments], hub_environment(address, tmp_path))
        hashes = cards(address, tmp_path, f"owner/small@{OLD_COMMIT}", "owner/small")
    for model in (old, new):
        model.reset_classifier(0)
    assert hashes == [
        tensor_hash({f"model.{name}": tensor for name, tensor in model.state_dict().items()})
        for model in (old, new)
    ]
    assert [
        path.name
        for path in (tmp_path / "home" / "hub" / "models--owner--small" / "snapshots").iterdir()
    ].count(OLD_COMMIT) == 1
    assert f"runs: weights from hub owner/small@{OLD_COMMIT} with hash {hashes[0]}" in doctor.stdout


def test_any_response_means_that_the_hub_is_reachable(monkeypatch):
    with serving(b"") as (address, requests):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert not hub_reachable() and not requests, "HF_HUB_OFFLINE forbids requests"
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        assert hub_reachable() and hub_reachable() and len(requests) == 1
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert not hub_reachable()


def test_repositories_in_each_library_s_layout_load_online_and_from_the_cache(tmp_path):
    """A timm, an open_clip and a transformers repository, each described by its own files."""
    names = "of_timm,of_open_clip,of_transformers"
    command = ["-m", "bob", "doctor", names, "--registry", str(tmp_path / "mine.yaml")]
    (tmp_path / "mine.yaml").write_text(
        "of_timm: {family: ssl, loader: timm, architecture: 'hf-hub:owner/timm'}\n"
        "of_open_clip: {family: clip, loader: open_clip, architecture: 'hf-hub:owner/clip'}\n"
        "of_transformers: {family: ssl, loader: transformers, architecture: dinov2, "
        "weights: {hub: owner/dino}, output: cls}\n"
    )
    with serving_all(hub_layouts(tmp_path)) as address:
        environment = hub_environment(address, tmp_path)
        first = run_python([*command, "--download"], environment)
    assert (first.returncode, first.stdout.count(": passed\n")) == (0, 3), (
        first.stdout + first.stderr
    )
    offline = run_python(command, environment)
    assert (offline.returncode, offline.stdout) == (0, first.stdout), "the cache suffices"


def hub_layouts(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return repositories as the libraries write them: repository → file → content."""
    small = timm.create_model("test_resnet", num_classes=0)
    save_config_for_hf(small, folder / "config.json")
    towers = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 64, "head_width": 32}
    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": towers, "text_cfg": text}
    clip = open_clip.CLIP(**config)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    AutoModel.from_config(AutoConfig.for_model("dinov2", **sizes)).save_pretrained(folder / "dino")
    processor = {
        "size": {"height": 28, "width": 28},
        "resample": 3,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    dino = {path.name: path.read_bytes() for path in (folder / "dino").iterdir()}
    clip_config = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    return {
        "owner/timm": {
            "config.json": (folder / "config.json").read_bytes(),
            "model.safetensors": save(small.state_dict()),
        },
        "owner/clip": {
            "open_clip_config.json": json.dumps(clip_config).encode(),
            "open_clip_model.safetensors": save(clip.state_dict()),
        },
        "owner/dino": {**dino, "preprocessor_config.json": json.dumps(processor).encode()},
    }


# --- faulty connections


class FaultyHub(Handler):
    """Serves `owner/NAME/resolve/main/model.safetensors`, where NAME says what goes wrong.

    Subclasses set the attributes.
    """

    file: bytes
    stalled: threading.Event
    requests: list[tuple[str, str | None, str | None]]

    def do_GET(self) -> None:  # noqa: N802
        self.requests.append(
            (self.path, self.headers.get("Range"), self.headers.get("Authorization"))
        )
        start = int(
            (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0]
        )
        if not self.path.endswith("model.safetensors") or (
            "gated" in self.path and self.headers.get("Authorization") != "Bearer secret"
        ):
            status, code = (401, "GatedRepo") if "gated" in self.path else (404, "EntryNotFound")
            self.respond(b"", status, **{"X-Error-Code": code})
            return
        digest = hashlib.sha256(
            b"another file" if "corrupt" in self.path else self.file
        ).hexdigest()
        self.send_response(206 if start else 200)
        for name, value in {
            "Content-Length": len(self.file) - start,
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{digest}"',
            "X-Linked-Etag": f'"{digest}"',
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.send_body(start)

    do_HEAD = do_GET  # noqa: N815

    def send_body(self, start: int) -> None:
        """Send three quarters: more than the 10 MB in which the hub's client saves its progress."""
        broken = "truncated" in self.path or "stalled" in self.path
        self.wfile.write(
            self.file[start : len(self.file) * 3 // 4]
            if broken and not start
            else self.file[start:]
        )
        if "stalled" in self.path and not start:
            self.stalled.wait(30)
        if broken and not start:
            self.close_connection = True


@pytest.fixture(scope="module")
def lite0() -> bytes:
    """The EfficientNet-Lite0 sample in timm's hub layout: safetensors under timm's names."""
    file = find_weights(LITE0, offline=True)
    names = timm.create_model(LITE0.architecture).state_dict()
    values = [value.contiguous() for value in torch.load(file, weights_only=True).values()]
    return save(dict(zip(names, values, strict=True)))


@contextlib.contextmanager
def faulty_hub(file: bytes) -> Iterator[tuple[str, list[tuple[str, str | None, str | None]]]]:
    """Yield the address of a FaultyHub and its requests: path, range, authorisation."""
    hub = type("Hub", (FaultyHub,), {"file": file, "stalled": threading.Event(), "requests": []})
    with running(hub) as address:
        try:
            yield address, hub.requests
        finally:
            hub.stalled.set()


def test_weights_survive_faulty_connections_and_equal_those_of_the_package(
    tmp_path, lite0, monkeypatch
):
    """Broken downloads resume, corrupt files are refused, and a token opens a repository."""
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr(sys.modules[__name__], "ARCHITECTURE", LITE0.architecture)
    names = [
        "owner/whole",
        "owner/stalled",
        "owner/truncated",
        "owner/gated-lite0",
        "owner/corrupt",
    ]
    with faulty_hub(lite0) as (address, requests):
        *hashes, corrupt = cards(address, tmp_path, *names)
    package = load_backbone(LITE0, "cpu", "float32", offline=True)
    assert hashes == [tensor_hash(package.module.state_dict())] * 4
    resumed = [path.split("/")[2] for path, part, _ in requests if part not in (None, "bytes=0-")]
    assert resumed == ["stalled", "truncated"]
    assert (
        "'model.safetensors' arrived with another SHA-256 than the hub states, "
        "and was removed. Run again"
    ) in corrupt
    assert not list(
        (tmp_path / "home" / "hub" / "models--owner--corrupt" / "snapshots").glob(
            "*/model.safetensors"
        )
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    (tmp_path / "lite0.safetensors").write_bytes(lite0)
    values = {"name": "mine", "family": "supervised", "architecture": "tf_efficientnet_lite0"}
    hub = build(
        BackboneSpec, {**values, "loader": "timm", "weights": {"hub": "owner/whole"}}, "test"
    )
    file = {"file": str(tmp_path / "lite0.safetensors"), "drop": ["classifier."]}
    checkpoint = build(BackboneSpec, {**values, "loader": "checkpoint", "weights": file}, "test")
    crops = torch.randint(
        256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    rows = [
        load_backbone(spec, "cpu", "float32", offline=True).embed(crops, [DEFAULT])[DEFAULT]
        for spec in (LITE0, hub, checkpoint)
    ]
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])


def test_a_gated_repository_without_a_token_is_reported_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with faulty_hub(b"") as (address, _):
        (line,) = cards(address, tmp_path, "owner/gated-lite0")
    assert "'owner/gated-lite0' is gated: accept its terms on its page and set HF_TOKEN" in line


def test_a_full_disk_is_reported_with_a_remedy(monkeypatch):
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    monkeypatch.setattr("bob.io.hub.hub_reachable", lambda: True)
    with pytest.raises(
        UnavailableError,
        match=r"the disk is full. Free some space, or set HF_HOME to a folder on another disk",
    ):
        hub_file("backbone 'mine'", "owner/none", ["model.safetensors"], offline=False)


@pytest.fixture(autouse=True)
def forget_reachability():
    _responds.cache_clear()
    yield
    _responds.cache_clear()
