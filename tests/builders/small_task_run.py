"""A run of a small task on the composed scenes, with the baseline of pixels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bob.cli import main


def scores_of_small_run(
    folder: Path, protocol: str, settings: dict[str, Any], metrics: Sequence[str], limit: int
) -> dict[str, float]:
    """Run a task of a protocol on a few scenes and return every score of its record."""
    task = folder / "tasks" / "small.yaml"
    task.parent.mkdir()
    values = {
        "version": 1,
        "protocol": protocol,
        "summary": "A small task.",
        "settings": settings,
        "metrics": [*metrics],
        "datasets": ["openmoji_scenes"],
    }
    task.write_text(json.dumps(values))  # JSON is YAML
    words = f"--backbones raw_pixels --tasks small --limit {limit} --offline --runtime eager"
    places = ["--results", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    assert main(["run", *words.split(), *places, "--tasks-dir", str(task.parent)]) == 0
    (path,) = (folder / "results" / "records").glob("*/*/*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "ok"
    return {score["metric"]: score["value"] for score in record["scores"]}
