"""COCO JSON files with boxes and masks."""

import json
import random
from pathlib import Path

from PIL import Image

from bob.datasets.readers.coco import list_coco
from bob.specs import CocoSource
from tests.fuzz.mutate import damaged, damaged_values
from tests.fuzz.target import Case

SIZE = (10, 12)
SEGMENTATIONS = (
    [[2, 1, 8, 1, 8, 4.5, 2, 4]],
    {"size": [*SIZE], "counts": [13, 5, 102]},
    {"size": [*SIZE], "counts": "=5V3"},
)
"""Polygons, runs, and runs as text: 13, 5, and 102 in two characters."""


def prepare(folder: Path) -> Case:
    """Damage the annotations of an image: what is accepted has one mask of its size per box."""
    Image.new("RGB", SIZE[::-1]).save(folder / "1.png")
    annotations = [
        {"image_id": 1, "category_id": 2, "bbox": [2, 1, 6, 3], "segmentation": of}
        for of in SEGMENTATIONS
    ]
    image = {"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}
    sound = {
        "images": [image],
        "annotations": annotations,
        "categories": [{"id": 2, "name": "cat"}],
    }
    source = CocoSource(reader="coco", path=str(folder), annotations={"test": "boxes.json"})

    def case(rng: random.Random) -> bool:
        if rng.random() < 0.8:
            data = json.dumps(damaged_values(sound, rng)).encode()
        else:
            data = damaged(json.dumps(sound).encode(), rng)
        (folder / "boxes.json").write_bytes(data)
        sets = list_coco(source, folder, folder / "cache").boxes
        assert sets is not None
        for i in range(len(sets)):
            boxes = sets.read(i)
            masks = None if sets.masks is None else sets.masks(i)
            expected = (len(boxes.labels), *SIZE)
            assert masks is None or masks.shape == expected, "masks do not fit boxes"
        return True

    return case
