"""Weights from a hub: found in its cache without asking, downloaded from a hub on the loopback interface, and every refusal with its remedy."""

import contextlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from bob.backbones.weights import tensor_hash
from bob.hub import _answers, hub_reachable

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSED = {
    "owner/gated": (403, "GatedRepo"),
    "owner/unknown": (401, "RepoNotFound"),
    "owner/moved": (404, "RevisionNotFound"),
    "owner/broken": (500, ""),
}
SMALL = "resnet10t"
PROGRAM = """
import sys
from pathlib import Path
from bob.backbones.card import card
from bob.errors import UnavailableError
from bob.parse import build
from bob.specs import BackboneSpec
for hub in sys.argv[2:]:
    weights = {"hub": hub, "revision": "gone"} if hub == "owner/moved" else {"hub": hub}
    spec = build(BackboneSpec, {"name": "mine", "family": "ssl", "loader": "timm", "architecture": "resnet10t", "weights": weights}, "test")
    try:
        print(card(spec, Path(sys.argv[1]), "cpu", "float32", offline=False).weights_hash)
    except UnavailableError as error:
        print(error)
"""


@contextlib.contextmanager
def serving(file: bytes) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with `model.safetensors` in `owner/small`, and the paths that it was asked for."""
    asked: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            refused = next((answer for name, answer in REFUSED.items() if name in self.path), None)
            if refused:
                self.answer(b"", refused[0], **({"X-Error-Code": refused[1]} if refused[1] else {}))
            elif self.path.startswith("/owner/small/resolve/") and self.path.endswith("/model.safetensors"):
                self.answer(file, ETag='"0123456789abcdef"')
            else:
                self.answer(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

        def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cards(address: str, tmp_path: Path, *hubs: str) -> list[str]:
    """What a fresh process finds, a line per repository: the hub's client reads the address on import."""
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "cache"), *hubs]
    return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True).stdout.splitlines()


def test_weights_come_from_the_hub_once_and_then_from_its_cache(tmp_path):
    model = timm.create_model(SMALL)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    model.reset_classifier(0)
    with serving((tmp_path / "model.safetensors").read_bytes()) as (address, asked):
        (found,) = cards(address, tmp_path, "owner/small")
        asked.clear()
        (again,) = cards(address, tmp_path, "owner/small")
        assert not any("owner/small" in path for path in asked), "the hub is not asked where its cache suffices"
    (without,) = cards(address, tmp_path, "owner/small")
    assert found == again == without
    assert len(found) == len(tensor_hash(model.state_dict()))


def test_refusals_are_told_with_the_remedy(tmp_path):
    with serving(b"") as (address, _):
        gated, unknown, moved, empty = cards(address, tmp_path, "owner/gated", "owner/unknown", "owner/moved", "owner/other")
    assert "'owner/gated' is gated: accept its terms on its page and set HF_TOKEN" in gated
    assert "'owner/unknown' does not exist, or is private: correct weights.hub, or set HF_TOKEN" in unknown
    assert "'owner/moved' has no revision 'gone': correct weights.revision" in moved
    assert "holds none of model.safetensors, pytorch_model.bin; name its file as weights.file" in empty


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path):
    with serving(b"") as (address, _):
        pass
    several = cards(address, tmp_path, "owner/small", "owner/other")
    assert all("is not on this machine and the hub cannot be reached. Run once with a network, or set HF_HOME to a copy" in line for line in several)


def test_any_answer_means_that_the_hub_is_there(monkeypatch):
    with serving(b"") as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert not hub_reachable() and not asked, "HF_HUB_OFFLINE forbids to ask"
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        assert hub_reachable() and hub_reachable() and len(asked) == 1
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert not hub_reachable()


@pytest.fixture(autouse=True)
def ask_anew():
    _answers.cache_clear()
    yield
    _answers.cache_clear()
