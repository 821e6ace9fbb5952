"""ImageNet's validation images with the label sets of ReaL, as timm ships them.

ReaL: Beyer et al. 2020, arXiv:2006.07159. Row n of the labels belongs to ILSVRC2012_val_{n+1:08d}.
Images to which the annotators gave no label (3,163 of 50,000) are excluded, as in the paper.
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
    """List the validation images below a folder, at any depth."""
    numbered: dict[int, Path] = {}
    for path in sorted(folder.rglob("ILSVRC2012_val_*.JPEG")):
        if match := _NAME.fullmatch(path.name):
            other = numbered.setdefault(int(match[1]), path)
            if other != path:
                raise DatasetError(
                    f"folder '{folder}': {path.name} is there twice, as '{other}' and '{path}'. "
                    "Keep one of them."
                )
    if not numbered:
        raise DatasetError(
            f"folder '{folder}': no ILSVRC2012_val_00000001.JPEG or similar. Give the folder of "
            f"ImageNet's validation images."
        )
    labels, names = real_labels(), class_list("imagenet_1k")
    labelled = [
        number for number in sorted(numbered) if number <= len(labels) and labels[number - 1]
    ]
    files = [numbered[number] for number in labelled]
    return ImageListing(
        where=f"folder '{folder}'",
        ids=[path.name for path in files],
        label_sets=[[names[c] for c in labels[number - 1]] for number in labelled],
        classes=names,
        content=file_digests(folder, files, cache),
        read=lambda i: read_file(files[i]),
        splits=["test"] * len(files),
        notes=[f"excluded images without a label: {len(numbered) - len(labelled)}"],
    )


def real_labels() -> list[list[int]]:
    """Return the class indices of each of the 50,000 validation images."""
    path = in_package(*LABELS)
    if path is None:
        raise UnavailableError(
            f"ReaL's labels come with timm, but {LABELS[1]} is not in its installed version. "
            f"Run: pip install 'timm>=1.0'"
        )
    labels: list[list[int]] = json.loads(path.read_bytes())
    return labels
