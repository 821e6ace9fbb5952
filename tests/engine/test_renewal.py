"""A run whose cells are finished already decides what leaderboards show, as any other run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bob
from bob.records.record import created
from bob.records.store import RecordStore
from tests.builders.photos import BASELINES, make_photos


def keys(scores: pd.DataFrame) -> set[str]:
    return set(scores.record_key)


class Runs:
    """Runs of two baselines on one folder of images, each a day after the one before."""

    def __init__(self, folder: Path) -> None:
        self.images = make_photos(folder / "photos", per_class=10)
        self.results, self.cache = folder / "results", folder / "cache"
        self.days = 0

    def run(self, backbones: str = BASELINES, task: str = "knn", **settings: Any) -> set[str]:
        """Return the keys of the records of a run."""
        places = {"data": self.images, "results": self.results, "cache": self.cache}
        scores = bob.run(backbones, task, **places, **settings)
        self.days += 1
        records = RecordStore(self.results)
        for record in records.read_all()[0]:
            if not created(record).startswith("2000"):
                day = {**record.provenance, "created": f"2000-01-{self.days:02}T00:00:00+00:00"}
                records.write(record.model_copy(update={"provenance": day}), {})
        return keys(scores)

    def shown(self) -> set[str]:
        """Return the keys of the records that a leaderboard shows."""
        return keys(bob.leaderboard(self.results))

    def texts(self) -> Mapping[Path, str]:
        return {path: path.read_text() for path in self.results.glob("records/*/*/*.json")}

    def swap_two_images(self) -> None:
        """Exchange an image of one class and one of another; once more restores them."""
        first, second = (self.images / name / "000.png" for name in ("class0", "class1"))
        one, other = first.read_bytes(), second.read_bytes()
        first.write_bytes(other)
        second.write_bytes(one)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_restored_images_have_their_scores_again(runs: Runs) -> None:
    before = runs.run()
    runs.swap_two_images()
    changed = runs.run()
    assert runs.shown() == changed
    assert not before & changed
    runs.swap_two_images()
    assert runs.run() == before
    assert runs.shown() == before


def test_a_task_on_images_that_were_changed_since_is_not_shown(runs: Runs) -> None:
    knn = runs.run()
    runs.swap_two_images()
    ridge = runs.run(task="ridge")
    assert runs.shown() == ridge
    runs.swap_two_images()
    assert runs.run() == knn
    assert runs.shown() == knn


def test_the_seeds_of_the_last_run_are_shown(runs: Runs) -> None:
    one = runs.run(seeds=(0,))
    several = runs.run(seeds=(0, 1))
    assert runs.shown() == several
    assert runs.run(seeds=(0,)) == one
    assert runs.shown() == one


def test_records_that_are_shown_already_are_not_written_again(runs: Runs) -> None:
    runs.run("raw_pixels")
    runs.run("channel_statistics")
    before = runs.texts()
    runs.run(BASELINES)
    assert runs.texts() == before


def test_a_run_with_a_limit_is_not_shown_in_place_of_a_full_one(runs: Runs) -> None:
    limited = runs.run(limit=12)
    full = runs.run()
    assert runs.run(limit=12) == limited
    assert runs.shown() == full
    before = runs.texts()
    runs.run(limit=12)
    assert runs.texts() == before
