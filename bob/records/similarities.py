"""How alike the features of backbones are, which `bob-bench similarity` keeps in a results folder.

`similarity/DATASET.SPLIT.json` holds the pairs of all calls on the images of one split.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, FiniteFloat, ValidationError

from bob.errors import first_line
from bob.io.digest import digest
from bob.io.files import write_atomically
from bob.records.record import BackboneFacts, Name, NonNegative
from bob.records.store import path_part
from bob.specs.yaml import Closed

FOLDER = "similarity"
IDENTITY = {"weights_hash", "output", "precision", "width", "geometry", "normalisation"}
"""The facts of a backbone on which its features of an image depend."""


class SimilarPair(Closed):
    """How alike the features of backbones a and b are, with 95 % limits; None where undefined."""

    a: Name
    b: Name
    images: NonNegative
    cka: FiniteFloat | None
    cka_low: FiniteFloat | None
    cka_high: FiniteFloat | None
    mutual_knn: FiniteFloat | None
    mutual_knn_low: FiniteFloat | None
    mutual_knn_high: FiniteFloat | None
    rsa: FiniteFloat | None
    rsa_low: FiniteFloat | None
    rsa_high: FiniteFloat | None

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.a, self.b))


class Similarities(Closed):
    """Pairs of backbones on images of one split, and what identifies both."""

    dataset: Name
    split: Name
    fingerprints: tuple[str, ...] = Field(strict=False)
    """Those that records of the dataset have: without its shifts, and with all of them."""
    backbones: dict[Name, str]
    """The `features_digest` of each backbone."""
    pairs: tuple[SimilarPair, ...] = Field(strict=False)

    def updated(self, newer: "Similarities") -> "Similarities":
        """Return the newer pairs, and those of these that are of the same images and features."""
        if newer.fingerprints != self.fingerprints:
            return newer
        same = {
            name: features
            for name, features in self.backbones.items()
            if newer.backbones.get(name, features) == features
        }
        replaced = {pair.names for pair in newer.pairs}
        kept = [
            pair for pair in self.pairs if pair.names <= same.keys() and pair.names not in replaced
        ]
        return newer.model_copy(
            update={"backbones": same | newer.backbones, "pairs": (*newer.pairs, *kept)}
        )


def features_digest(backbone: BackboneFacts) -> str:
    """Return what identifies the features that a backbone computes of an image."""
    return digest(backbone.model_dump(mode="json", include=IDENTITY))


def keep_similarities(results: Path, similarities: Similarities) -> Path:
    """Add pairs to those that a results folder has of the same images, and return the file."""
    name = f"{path_part(similarities.dataset)}.{path_part(similarities.split)}.json"
    path = results / FOLDER / name
    earlier, _ = _read([path])
    merged = combined([*earlier, similarities])[0]
    write_atomically(path, merged.model_dump_json(indent=1).encode())
    return path


def read_similarities(results: Path) -> tuple[list[Similarities], list[str]]:
    """Return what a results folder has, in path order, and a message for each unreadable file."""
    return _read(sorted((results / FOLDER).glob("*.json")))


def combined(similarities: Iterable[Similarities]) -> list[Similarities]:
    """Return one of each dataset and split, with the pairs of all that fit the last one."""
    by_images: dict[tuple[str, str], Similarities] = {}
    for one in similarities:
        images = one.dataset, one.split
        by_images[images] = by_images.get(images, one).updated(one)
    return list(by_images.values())


def _read(paths: Iterable[Path]) -> tuple[list[Similarities], list[str]]:
    similarities, problems = [], []
    for path in paths:
        try:
            similarities.append(Similarities.model_validate_json(path.read_bytes()))
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            problems.append(
                f"{path}: is left out, as it cannot be read ({first_line(error)}); "
                "`bob-bench similarity` writes it again."
            )
    return similarities, problems
