"""Dense tasks of one dataset share one decoding and one forward pass of each image."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from bob.backbones.loaders.baselines import BASELINES, PREPROCESSING, RawPixels
from bob.cli import main
from bob.datasets import dataset as dataset_module
from bob.datasets.open import open_dataset
from bob.protocols.dense import squashed
from bob.protocols.depth_statistics import DepthSums
from bob.protocols.segment import SegmentSettings
from bob.records.store import RecordStore
from bob.registry import load_registry
from tests.builders.backbone_entries import entry, load

NAME = "counting_pixels"
IMAGES = 5
FITTED = 4
"""Train images that are not held out: a fifth of them is."""


class CountingPixels(RawPixels):
    """Raw pixels that count how often each image is embedded, by the bytes of its crop."""

    name = NAME
    embedded: Counter[bytes] = Counter()

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        pixels = (x * PREPROCESSING["std"][0] + PREPROCESSING["mean"][0]) * 255  # type: ignore[index]
        self.embedded.update(crop.tobytes() for crop in pixels.round().to(torch.uint8).numpy())
        return super().grid(x)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each image is decoded, by its name."""
    names: Counter[str] = Counter()
    decode = dataset_module.decode

    def counted(data: bytes, name: str, *others: Any) -> Any:
        names.update([name])
        return decode(data, name, *others)

    monkeypatch.setattr(dataset_module, "decode", counted)
    monkeypatch.setitem(BASELINES, NAME, lambda _: CountingPixels())
    CountingPixels.embedded.clear()
    return names


def run(folder: Path, tasks: str) -> None:
    registry = folder / "counting.yaml"
    values = {"family": "baseline", "loader": "baseline", "architecture": NAME}
    registry.write_text(json.dumps({NAME: values}))
    words = f"--backbones {NAME} --tasks {tasks} --datasets openmoji_depth --limit {IMAGES}"
    places = ["--registry", registry, "--results", folder / "results", "--cache-dir", folder / "c"]
    assert main(["run", *words.split(), "--offline", *map(str, places)]) == 0


def crops(names: Iterable[str], cache: Path) -> list[bytes]:
    """Return the crops of these images, as the tasks' backbone sees them."""
    registry = load_registry()
    settings = registry.tasks["segment"].settings
    assert isinstance(settings, SegmentSettings)
    geometry = load(squashed(entry("baseline", NAME), settings)).geometry
    data = open_dataset(registry.datasets["openmoji_depth"], cache, entries=registry.datasets)
    splits = [*data.splits.values(), data.shifts["line"].split]
    place = {name: (split, i) for split in splits for i, name in enumerate(split.ids)}
    images = [split.decode(i) for split, i in map(place.__getitem__, names)]
    return [geometry.crop(image).numpy().tobytes() for image in images]


def test_segmentation_and_depth_decode_and_embed_each_image_once(
    tmp_path: Path, shared_cache: Path, decoded: Counter[str]
) -> None:
    """Train, test and the test images as line art.

    A task that comes later embeds again what its own scores are counted on: all but the images to
    fit, whose sums are stored.
    """
    run(tmp_path, "segment,depth")
    names = list(decoded)
    assert len(names) == 3 * IMAGES and set(decoded.values()) == {1}
    images = crops(names, shared_cache)
    assert [CountingPixels.embedded[image] for image in images] == [1] * len(names)
    run(tmp_path, "segment_ridge")
    again = [CountingPixels.embedded[image] for image in images]
    assert sorted(again) == [1] * FITTED + [2] * (len(names) - FITTED)


def test_statistics_that_fail_leave_those_of_other_tasks(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums of depth fail on the train images; all of segmentation is scored."""

    def fail(self: DepthSums, *arguments: Any) -> None:
        raise ValueError("no luck")

    monkeypatch.setattr(DepthSums, "update", fail)
    words = "--backbones raw_pixels --tasks segment,depth --datasets openmoji_depth --limit 5"
    places = ["--results", tmp_path / "results", "--cache-dir", tmp_path / "cache"]
    assert main(["run", *words.split(), "--offline", *map(str, places)]) == 1
    records = {record.task.name: record for record in RecordStore(tmp_path / "results").select()}
    assert records["segment"].status == "ok"
    assert records["depth"].status == "failed"
    assert str(records["depth"].reason).endswith("failed while embedding: ValueError: no luck")


def test_merging_shards_one_by_one_gives_the_scores_of_merging_them_together(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three spans of two images, of every accumulator that is merged in dense tasks."""
    monkeypatch.setattr("bob.features.sharding.SPAN_IMAGES", 2)
    scores: list[dict[tuple[str, str], float | None]] = []
    for shards in (8, 1):
        monkeypatch.setattr("bob.features.store.MERGED_SHARDS", shards)
        tasks = "--tasks segment,segment_knn,depth,detect,correspondence"
        words = f"--backbones raw_pixels {tasks} --datasets openmoji_depth,openmoji_pairs"
        results = tmp_path / str(shards)
        places = ["--results", results, "--cache-dir", tmp_path / "cache", "--offline"]
        assert main(["run", *words.split(), "--limit", "5", *map(str, places)]) == 0
        scores.append(
            {
                (record.key, score.metric): score.value
                for record in RecordStore(results).select()
                for score in record.scores
            }
        )
    assert scores[0] == scores[1] and len({key for key, _ in scores[0]}) == 5
