"""ImageNet's validation images with several labels each: ReaL (Beyer et al. 2020, arXiv:2006.07159), as timm ships them.

Row n of the labels belongs to ILSVRC2012_val_{n+1:08d}; images that the annotators gave no label (3,163 of 50,000) are left out, as in the paper.
"""

import json
import re
from pathlib import Path

from bob.datasets.class_names import class_list
from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.listing import ImageListing
from bob.errors import DatasetError, UnavailableError
from bob.io.paths import in_package

LABELS = ("timm", "timm/data/_info/imagenet_real_labels.json")
_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def list_real(folder: Path, cache: Path) -> ImageListing:
    """The images below a folder, at any depth."""
    numbered = {
        int(match[1]): path
        for path in folder.rglob("ILSVRC2012_val_*.JPEG")
        if (match := _NAME.fullmatch(path.name))
    }
    if not numbered:
        raise DatasetError(f"folder '{folder}': holds no ILSVRC2012_val_00000001.JPEG or the like.")
    labels, names = real_labels(), class_list("imagenet_1k")
    kept = [number for number in sorted(numbered) if number <= len(labels) and labels[number - 1]]
    files = [numbered[number] for number in kept]
    return ImageListing(
        where=f"folder '{folder}'",
        ids=[path.name for path in files],
        label_sets=[[names[c] for c in labels[number - 1]] for number in kept],
        classes=names,
        content=file_digests(folder, files, cache),
        read=lambda i: read_file(files[i]),
        splits=["test"] * len(files),
        notes=[f"{len(numbered) - len(kept)} images without a label are left out"],
    )


def real_labels() -> list[list[int]]:
    """For each of the 50,000 images the classes that it shows."""
    path = in_package(*LABELS)
    if path is None:
        raise UnavailableError(
            "ReaL's labels come with timm, which does not hold timm/data/_info/imagenet_real_labels.json here. Install timm 1.0."
        )
    labels: list[list[int]] = json.loads(path.read_bytes())
    return labels
