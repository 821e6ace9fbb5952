"""Weights from a hub: found in its cache without asking, downloaded from a hub on the loopback interface, and every refusal with its remedy."""

import contextlib
import errno
import hashlib
import json
import os
import subprocess
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
from bob.io.download import fetch
from bob.io.hub import _answers, hub_file, hub_reachable
from bob.io.paths import download_path
from bob.registry import load_backbones
from bob.specs import BackboneSpec
from bob.specs.yaml import build
from tests.builders.loopback_hub import COMMIT, Answering, running, serving_all

LITE0 = load_backbones()["efficientnet_lite0_in1k"]

REFUSED = {
    "owner/gated": (403, "GatedRepo"),
    "owner/unknown": (401, "RepoNotFound"),
    "owner/moved": (404, "RevisionNotFound"),
    "owner/broken": (500, ""),
}
SMALL = "resnet10t"
OLD = "a" * 40
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
    spec = build(BackboneSpec, {"name": "mine", "family": "ssl", "loader": "timm", "architecture": sys.argv[2], "weights": weights}, "test")
    try:
        print(card(spec, Path(sys.argv[1]), "cpu", "float32", offline=False).weights_hash)
    except UnavailableError as error:
        print(error)
"""


@contextlib.contextmanager
def serving(file: bytes) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with `model.safetensors` in `owner/small`, and the paths that it was asked for."""
    asked: list[str] = []

    class Hub(Answering):
        def do_GET(self) -> None:  # noqa: N802
            asked.append(self.path)
            refused = next((answer for name, answer in REFUSED.items() if name in self.path), None)
            if refused:
                self.answer(b"", refused[0], **({"X-Error-Code": refused[1]} if refused[1] else {}))
            elif self.path.startswith("/owner/small/resolve/") and self.path.endswith(
                "/model.safetensors"
            ):
                self.answer(file, ETag='"0123456789abcdef"')
            else:
                self.answer(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

    with running(Hub) as address:
        yield address, asked


def cards(address: str, tmp_path: Path, *hubs: str) -> list[str]:
    """What a fresh process finds, a line per repository: the hub's client reads the address on import."""
    settings = {
        "HF_ENDPOINT": address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "cache"), ARCHITECTURE, *hubs]
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_weights_come_from_the_hub_once_and_then_from_its_cache(tmp_path):
    model = timm.create_model(SMALL)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    model.reset_classifier(0)
    with serving((tmp_path / "model.safetensors").read_bytes()) as (address, asked):
        (found,) = cards(address, tmp_path, "owner/small")
        asked.clear()
        (again,) = cards(address, tmp_path, "owner/small")
        assert not any("owner/small" in path for path in asked), (
            "the hub is not asked where its cache suffices"
        )
    (without,) = cards(address, tmp_path, "owner/small")
    expected = tensor_hash({f"model.{name}": tensor for name, tensor in model.state_dict().items()})
    assert found == again == without == expected


def test_refusals_are_told_with_the_remedy(tmp_path):
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
        "holds none of model.safetensors, pytorch_model.bin; name its file as weights.file" in empty
    )


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path):
    with serving(b"") as (address, _):
        pass
    several = cards(address, tmp_path, "owner/small", "owner/other")
    assert all(
        "is not on this machine and the hub cannot be reached. Run once with a network, or set HF_HOME to a copy"
        in line
        for line in several
    )


def test_a_pinned_revision_is_what_comes_and_doctor_fetches_it(tmp_path):
    """The repository has moved on: `main` holds other weights than the commit that the entry names."""
    old, new = timm.create_model(SMALL), timm.create_model(SMALL)
    commits = {OLD: (OLD, save(old.state_dict())), "main": (COMMIT, save(new.state_dict()))}

    class Hub(Answering):
        def do_GET(self) -> None:  # noqa: N802
            _, _, _, what, revision, *file = (self.path + "/////").split("/")[:6]
            if what == "resolve" and file == ["model.safetensors"] and revision in commits:
                commit, body = commits[revision]
                self.answer(
                    body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', **{"X-Repo-Commit": commit}
                )
            else:
                self.answer(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

    entry = f"mine: {{family: ssl, loader: timm, architecture: {SMALL}, weights: {{hub: owner/small, revision: {OLD}}}}}\n"
    (tmp_path / "mine.yaml").write_text(entry)
    with running(Hub) as address:
        settings = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        words = ["doctor", "mine", "--registry", str(tmp_path / "mine.yaml"), "--download"]
        done = subprocess.run(
            [sys.executable, "-m", "bob", *words],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
        )
        found = cards(address, tmp_path, f"owner/small@{OLD}", "owner/small")
    for model in (old, new):
        model.reset_classifier(0)
    assert found == [
        tensor_hash({f"model.{name}": tensor for name, tensor in model.state_dict().items()})
        for model in (old, new)
    ]
    assert [
        path.name
        for path in (tmp_path / "home" / "hub" / "models--owner--small" / "snapshots").iterdir()
    ].count(OLD) == 1
    assert f"runs: weights from hub owner/small@{OLD} with hash {found[0]}" in done.stdout


def test_any_answer_means_that_the_hub_is_there(monkeypatch):
    with serving(b"") as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert not hub_reachable() and not asked, "HF_HUB_OFFLINE forbids to ask"
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        assert hub_reachable() and hub_reachable() and len(asked) == 1
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert not hub_reachable()


def test_each_library_s_own_layout_comes_from_the_hub(tmp_path):
    """A model of timm's, of open_clip's and of transformers', each described by its repository alone; then the same without a hub."""
    command = [
        sys.executable,
        "-m",
        "bob",
        "doctor",
        "of_timm,of_open_clip,of_transformers",
        "--registry",
        str(tmp_path / "mine.yaml"),
    ]
    (tmp_path / "mine.yaml").write_text(
        "of_timm: {family: ssl, loader: timm, architecture: 'hf-hub:owner/timm'}\n"
        "of_open_clip: {family: clip, loader: open_clip, architecture: 'hf-hub:owner/clip'}\n"
        "of_transformers: {family: ssl, loader: transformers, architecture: dinov2, weights: {hub: owner/dino}, pooling: cls}\n"
    )
    with serving_all(hub_layouts(tmp_path)) as address:
        settings = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        first = subprocess.run(
            [*command, "--download"],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (first.returncode, first.stdout.count(": well\n")) == (0, 3), first.stdout + first.stderr
    again = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert (again.returncode, again.stdout) == (0, first.stdout), "the cache suffices"


def hub_layouts(folder: Path) -> dict[str, dict[str, bytes]]:
    """Repositories as the libraries write them: file → content."""
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
    described = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    return {
        "owner/timm": {
            "config.json": (folder / "config.json").read_bytes(),
            "model.safetensors": save(small.state_dict()),
        },
        "owner/clip": {
            "open_clip_config.json": json.dumps(described).encode(),
            "open_clip_model.safetensors": save(clip.state_dict()),
        },
        "owner/dino": {**dino, "preprocessor_config.json": json.dumps(processor).encode()},
    }


# --- failures on the way


class Troubled(Answering):
    """`owner/NAME/resolve/main/model.safetensors`, where NAME tells what goes wrong. Set: `file`, `stalled`, `asked`."""

    file: bytes
    stalled: threading.Event
    asked: list[tuple[str, str | None, str | None]]

    def do_GET(self) -> None:  # noqa: N802
        self.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        begin = int(
            (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0]
        )
        if not self.path.endswith("model.safetensors") or (
            "gated" in self.path and self.headers.get("Authorization") != "Bearer secret"
        ):
            status, code = (401, "GatedRepo") if "gated" in self.path else (404, "EntryNotFound")
            self.answer(b"", status, **{"X-Error-Code": code})
            return
        digest = hashlib.sha256(
            b"another file" if "corrupt" in self.path else self.file
        ).hexdigest()
        self.send_response(206 if begin else 200)
        for name, value in {
            "Content-Length": len(self.file) - begin,
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{digest}"',
            "X-Linked-Etag": f'"{digest}"',
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.send_body(begin)

    do_HEAD = do_GET  # noqa: N815

    def send_body(self, begin: int) -> None:
        """Three quarters are more than the 10 MB at a time in which the hub's client keeps what has come."""
        broken = "truncated" in self.path or "stalled" in self.path
        self.wfile.write(
            self.file[begin : len(self.file) * 3 // 4]
            if broken and not begin
            else self.file[begin:]
        )
        if "stalled" in self.path and not begin:
            self.stalled.wait(30)
        if broken and not begin:
            self.close_connection = True


@pytest.fixture(scope="module")
def lite0() -> bytes:
    """The EfficientNet-Lite0 sample in timm's hub layout: safetensors under timm's names."""
    file = find_weights(LITE0, offline=True)
    names = timm.create_model(LITE0.architecture).state_dict()
    values = [value.contiguous() for value in torch.load(file, weights_only=True).values()]
    return save(dict(zip(names, values, strict=True)))


@contextlib.contextmanager
def trouble(file: bytes) -> Iterator[tuple[str, list[tuple[str, str | None, str | None]]]]:
    hub = type("Hub", (Troubled,), {"file": file, "stalled": threading.Event(), "asked": []})
    with running(hub) as address:
        try:
            yield address, hub.asked
        finally:
            hub.stalled.set()


def test_lite0_from_the_hub_is_lite0_from_the_package(tmp_path, lite0, monkeypatch):
    """A connection that stalls or breaks is gone on with, a wrong file is never taken for the right one, a token opens a gated repository."""
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
    with trouble(lite0) as (address, asked):
        *found, corrupt = cards(address, tmp_path, *names)
    package = load_backbone(LITE0, "cpu", "float32", offline=True)
    assert found == [tensor_hash(package.module.state_dict())] * 4
    assert [path.split("/")[2] for path, begin, _ in asked if begin and begin != "bytes=0-"] == [
        "stalled",
        "truncated",
    ]
    assert (
        "'model.safetensors' arrived with another SHA-256 than the hub states, and was removed. Run again"
        in corrupt
    )
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
        load_backbone(spec, "cpu", "float32", offline=True).embed(crops, ["default"])["default"]
        for spec in (LITE0, hub, checkpoint)
    ]
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])


def test_a_gated_repository_without_a_token_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with trouble(b"") as (address, _):
        (line,) = cards(address, tmp_path, "owner/gated-lite0")
    assert "'owner/gated-lite0' is gated: accept its terms on its page and set HF_TOKEN" in line


def test_a_full_disk_is_told_with_the_remedy(monkeypatch):
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    monkeypatch.setattr("bob.io.hub.hub_reachable", lambda: True)
    with pytest.raises(
        UnavailableError,
        match=r"the disk is full. Free some space, or set HF_HOME to a folder on another disk",
    ):
        hub_file("backbone 'mine'", "owner/none", ["model.safetensors"], offline=False)


# --- files from the web


class Web(Answering):
    """`/NAME/weights.pth`, where NAME tells what goes wrong. Set: `stalled`, `asked`."""

    stalled: threading.Event
    asked: list[str | None]

    def do_GET(self) -> None:  # noqa: N802
        self.asked.append(self.headers.get("Range"))
        begin, name = int((self.headers.get("Range") or "bytes=0-")[6:-1]), self.path.split("/")[1]
        if name.isdecimal():
            self.answer(b"", int(name))
        elif begin >= len(CONTENT):
            self.answer(b"", 416)
        else:
            self.send_response(206)
            self.send_header("Content-Length", str(len(CONTENT) - begin))
            self.end_headers()
            if name != "dead":
                self.wfile.write(
                    CONTENT[begin:] if name == "whole" or begin else CONTENT[: len(CONTENT) // 2]
                )
            if (name == "stalled" and not begin) or name == "dead":
                self.stalled.wait(30)
            self.close_connection = True


CONTENT = bytes(range(256)) * 64


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setenv("BOB_CACHE", str(tmp_path))
    monkeypatch.setattr("bob.io.download.PATIENCE_SECONDS", 0.3)
    site = type("Site", (Web,), {"stalled": threading.Event(), "asked": []})
    with running(site) as address:
        yield address, site.asked
        site.stalled.set()


def get(url: str, sha256: str | None = None, offline: bool = False) -> bytes:
    return fetch("backbone 'mine'", url, sha256, offline=offline).read_bytes()


def test_a_file_from_the_web_is_downloaded_once(web):
    address, asked = web
    assert (
        get(f"{address}/whole/w.pth", hashlib.sha256(CONTENT).hexdigest())
        == get(f"{address}/whole/w.pth")
        == CONTENT
    )
    assert len(asked) == 1
    assert get(f"{address}/whole/w.pth?other") == CONTENT and len(asked) == 2, (
        "another address is another file"
    )


@pytest.mark.parametrize("name", ["truncated", "stalled"])
def test_a_download_goes_on_where_it_broke(web, name):
    address, asked = web
    assert get(f"{address}/{name}/w.pth", hashlib.sha256(CONTENT).hexdigest()) == CONTENT
    assert asked == ["bytes=0-", f"bytes={len(CONTENT) // 2}-"]


def test_a_download_goes_on_in_another_run(web):
    address, asked = web
    part = download_path(f"{address}/whole/w.pth").with_name("w.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:100])
    assert get(f"{address}/whole/w.pth") == CONTENT and asked == ["bytes=100-"]


def test_a_part_that_is_longer_than_the_file_is_begun_anew(web):
    address, _ = web
    part = download_path(f"{address}/whole/w.pth").with_name("w.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT + b"more")
    assert get(f"{address}/whole/w.pth") == CONTENT


def test_a_full_disk_stops_a_download(web):
    address, asked = web
    part = download_path(f"{address}/whole/w.pth").with_name("w.pth.part")
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")  # every write fails as on a full disk
    with pytest.raises(
        UnavailableError, match=r"the disk is full. Free some space, or set BOB_CACHE"
    ):
        get(f"{address}/whole/w.pth")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("404", r"does not exist \(HTTP 404\); correct weights.url"),
        ("401", r"needs a login \(HTTP 401\)"),
        ("418", r"is answered with status 418"),
        ("500", r"is answered with status 500"),
        ("dead", r"was not downloaded \(.*timed out.*\). Run again to go on"),
    ],
)
def test_what_went_wrong_on_the_web_is_told(web, name, message):
    with pytest.raises(UnavailableError, match=message):
        get(f"{web[0]}/{name}/w.pth")


def test_another_file_than_meant_is_refused_and_removed(web):
    with pytest.raises(UnavailableError, match=r"has SHA-256 .*not weights.sha256 0000.*: removed"):
        get(f"{web[0]}/whole/w.pth", "0" * 64)
    assert not list(download_path(f"{web[0]}/whole/w.pth").parent.glob("w*"))


def test_offline_asks_nobody(web):
    address, asked = web
    with pytest.raises(
        UnavailableError,
        match=r"is not on this machine. Run once without --offline, or put the file at",
    ):
        get(f"{address}/whole/w.pth", offline=True)
    assert not asked


@pytest.fixture(autouse=True)
def ask_anew():
    _answers.cache_clear()
    yield
    _answers.cache_clear()
