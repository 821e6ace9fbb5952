"""In a notebook, `bob.run` shows a bar; elsewhere it is silent."""

import sys
import types
from pathlib import Path

import pytest

import bob
from tests.builders.photos import make_photos


def run_quietly(folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Run a task on a small folder and return what was written to standard error."""
    make_photos(folder / "photos", per_class=4)
    capfd.readouterr()
    places = {"results": folder / "results", "cache": folder / "cache"}
    bob.run("raw_pixels", "knn", data=folder / "photos", runtime="eager", **places)
    return capfd.readouterr().err


def test_a_notebook_has_a_bar_that_ends_full(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    shown = run_quietly(tmp_path, capfd)
    assert "embedding photos train" in shown or "scoring" in shown
    assert "100 %, 1 of 1 cells, 0 s left" in shown


def test_elsewhere_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_quietly(tmp_path, capfd) == ""
