"""Instance masks of backbones and of their random twins; needs `samples`.

    python benchmarks/instance_masks.py [--quick] [--backbones NAME,NAME] [--train N] [--test N]
        [--px 448]

For each backbone and the architecture at its random initialisation, the maps of N train and N test
scenes of `openmoji_scenes` are computed once, in eager PyTorch, and held in memory. `detect_masks`
then trains both of its heads on them with its shipped settings.

Printed for each: AP of masks with its interval over test images, AP50, the bounds of AP (boxes that
are found filled, masks in true boxes, true masks at the head's resolution), AP of boxes, and
processor seconds of the forward passes and of both heads. `--quick` takes 12 and 8 scenes at 224 px
and one backbone, to see that the script runs.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from dense import all_maps, scenes
from detectors import parse, twin_of, with_boxes

from bob.datasets.dataset import Dataset
from bob.metrics.boxes import box_ap
from bob.metrics.instance_masks import mask_ap, mask_ap_50
from bob.metrics.intervals import interval
from bob.outcomes import BoxMatches
from bob.protocols.dense import MapSettings, squashed
from bob.protocols.detect_fcos import DetectFcosProblem
from bob.protocols.detect_masks import BOUNDS, PROTOCOL, DetectMasksSettings
from bob.registry import load_registry
from bob.specs import BackboneSpec


def main() -> None:
    """Score the masks of each backbone and of its twin."""
    arguments = parse()
    registry = load_registry()
    data = scenes(arguments)
    print(f"{arguments.train} train and {arguments.test} test images at {arguments.px} px")
    columns = ["backbone", "AP", "AP50", *BOUNDS, "AP of boxes", "forward, s", "heads, s"]
    print(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}", flush=True)
    settings = registry.tasks["detect_masks"].settings
    assert isinstance(settings, DetectMasksSettings)
    rows = []
    for name in arguments.backbones.split(","):
        for backbone in (registry.backbones[name], twin_of(registry.backbones[name])):
            spec = squashed(backbone, MapSettings(input_px=arguments.px))
            rows.append(row_of(spec, data, settings))
            print(text_of(rows[-1]), flush=True)
    facts = {name: vars(arguments)[name] for name in ("train", "test", "px")}
    print(json.dumps({**facts, "rows": rows}))


def row_of(spec: BackboneSpec, data: Dataset, settings: DetectMasksSettings) -> dict[str, Any]:
    """Return the scores of a backbone, and processor seconds."""
    maps, forward = all_maps(spec, data)
    images = {name: with_boxes(data, name, of) for name, of in maps.items()}
    problem = DetectFcosProblem(data.classes, images.pop("train"), images, 0)
    begin = time.process_time()
    result = PROTOCOL.solve(problem, settings, "cpu")
    seconds = time.process_time() - begin
    value, low, high, _ = interval("mask_ap", result.outcome, 0)
    outcomes = {part.suffix: part.outcome for part in result.parts if part.suffix}
    (boxes,) = (part.outcome for part in result.parts if isinstance(part.outcome, BoxMatches))
    return {
        "backbone": spec.name,
        "grid": result.detail["grid"],
        "mask_ap": value,
        "low": low,
        "high": high,
        "mask_ap_50": mask_ap_50(result.outcome),
        **{bound: mask_ap(outcomes[bound]) for bound in BOUNDS},  # type: ignore[arg-type]
        "box_ap": box_ap(boxes),
        "forward_seconds": forward,
        "head_seconds": seconds,
    }


def text_of(row: Mapping[str, Any]) -> str:
    """Return a row of the table, in percent."""
    limits = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    cells = [f"`{row['backbone']}`", f"{100 * row['mask_ap']:.1f} {limits}"]
    cells += [f"{100 * row[name]:.1f}" for name in ("mask_ap_50", *BOUNDS, "box_ap")]
    cells += [f"{row[name]:.0f}" for name in ("forward_seconds", "head_seconds")]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
