"""Commands read per-example arrays only if they are those that were recorded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.stored_sweep import sample_correct, store

Bob = Callable[..., tuple[int, str, str]]
CELL = [("linear", "elpv")]


@pytest.mark.parametrize(
    "words",
    [("leaderboard",), ("recommend",), ("compare", "small", "large")],
    ids=lambda words: words[0],
)
def test_arrays_that_were_changed_after_they_were_recorded_are_named(
    bob: Bob, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """One flipped bit turns a wrong prediction into a right one: the file still reads."""
    results = tmp_path / "results"
    for seed, name in enumerate(("small", "large")):
        store(results, name, dict.fromkeys(CELL, sample_correct(0.7, seed)))
    (path,) = (results / "records" / "linear").rglob("small.*.safetensors")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    _, out, err = bob(*words)
    text = " ".join((out + err).split())
    assert "damaged after it was written" in text and "The next run computes the cell again" in text
    assert "Traceback" not in text
