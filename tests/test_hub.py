"""Weights from a hub: found in its cache without asking, downloaded from a hub on the loopback interface, and every refusal with its remedy."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
from loopback_hub import Answering, running
from safetensors.torch import save_file

from bob.backbones.weights import tensor_hash
from bob.hub import _answers, hub_reachable

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

    class Hub(Answering):
        def do_GET(self) -> None:  # noqa: N802
            asked.append(self.path)
            refused = next((answer for name, answer in REFUSED.items() if name in self.path), None)
            if refused:
                self.answer(b"", refused[0], **({"X-Error-Code": refused[1]} if refused[1] else {}))
            elif self.path.startswith("/owner/small/resolve/") and self.path.endswith("/model.safetensors"):
                self.answer(file, ETag='"0123456789abcdef"')
            else:
                self.answer(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

    with running(Hub) as address:
        yield address, asked


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
    expected = tensor_hash({f"model.{name}": tensor for name, tensor in model.state_dict().items()})
    assert found == again == without == expected


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
