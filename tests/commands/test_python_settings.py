"""`bob.run` and `bob.evaluate` refuse what the command line refuses, with one of bob's errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bob
from bob.engine.scoring_pool import ScoringPool
from bob.errors import ConfigError
from bob.plan import Workspace


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": (-1,)}, r"seeds\.0: .* 0; got -1"),
        ({"seeds": ()}, "one or several different numbers"),
        ({"seeds": (0, 0)}, "different numbers"),
        ({"limit": 0}, "limit: .* 1; got 0"),
        ({"precision": "float8"}, "precision must be one of .*got 'float8'"),
        ({"alpha": "grey"}, "alpha must be one of .*got 'grey'"),
        ({"runtime": "fastest"}, "runtime must be one of auto, eager.*got 'fastest'"),
        ({"race": True, "race_error": 0}, "error of a race must be between 0 and 1; got 0"),
        ({"race": True, "indifference": 1.0}, r"between -1 and 1; got 1\.0"),
        ({"race": True, "race_seed": -1}, "must be at least 0; got -1"),
        ({"race": True, "certify": "all"}, "certifies drops, best, tie; got 'all'"),
        ({"race": True, "certify": "tie", "indifference": 0.1}, "no indifference above 0"),
        ({"race": True, "budget": 0}, "at least 1 image; got 0"),
        ({"budget": 100}, "belong to race=True"),
        ({"certify": "tie"}, "belong to race=True"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(
    photos: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    places = {"results": tmp_path / "results", "cache": tmp_path / "cache"}
    with pytest.raises(ConfigError, match=message):
        bob.run("raw_pixels", "knn", data=photos, **places, **settings)
    assert not (tmp_path / "results").exists()


def test_a_run_scores_in_as_many_processes_as_the_command(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One per core of PyTorch; none is started for a few cells."""
    sizes = list[int]()
    start = ScoringPool.__init__

    def watched(pool: ScoringPool, workspace: Workspace, size: int) -> None:
        sizes.append(size)
        start(pool, workspace, size)

    monkeypatch.setattr(ScoringPool, "__init__", watched)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    places = {"results": tmp_path / "results", "cache": tmp_path / "cache"}
    bob.run("raw_pixels", "knn", data=photos, runtime="eager", **places)
    assert sizes == [3]


@pytest.mark.parametrize("seeds", [(), (-1,), (0, 0), (0.5,)], ids=str)
def test_seeds_of_features_are_refused_too(seeds: Any) -> None:
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    with pytest.raises(ConfigError, match=r"bob\.evaluate: seeds"):
        bob.evaluate((x, y), tasks="linear", seeds=seeds)
