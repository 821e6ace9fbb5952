"""What there is to do: cells, and the features that they need. What several cells need is one key, and is embedded once."""

from dataclasses import dataclass, field, replace
from typing import Literal

from bob.backbones.card import Card
from bob.datasets.dataset import Dataset
from bob.features.key import FeatureKey
from bob.plan.keys import feature_key, text_key, whole_of
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec
from bob.wiring import Need, Needs, TextNeed


@dataclass(frozen=True, eq=False)
class Cell:
    """One backbone × task × dataset. `key` is the digest of everything its scores depend on."""

    backbone: BackboneSpec
    task: TaskSpec
    dataset: DatasetSpec
    key: str
    needs: Needs = ()
    """The features that it is made from."""


@dataclass(frozen=True)
class Skip:
    """A backbone or dataset that cannot be had here. `exact`: it was asked for by its own name, so that this is an error."""

    kind: str
    name: str
    reason: str
    exact: bool


@dataclass
class Plan:
    """What there is to do, and what is known about it."""

    todo: list[Cell] = field(default_factory=list)
    done: list[Cell] = field(default_factory=list)
    broken: list[tuple[Cell, str]] = field(default_factory=list)
    """Cells that fail before they start, with the reason."""
    not_applicable: list[tuple[Cell, str]] = field(default_factory=list)
    """Cells of backbones that cannot be asked this, with the reason."""
    unsuited: list[str] = field(default_factory=list)
    """Why a task does not run on a dataset that cannot carry it."""
    skipped: list[Skip] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)
    """Backbones with more parameters than were asked for."""
    backbones: list[BackboneSpec] = field(default_factory=list)
    """The registry's entries that are here and work."""
    cards: dict[BackboneSpec, Card] = field(default_factory=dict)
    """Of these, and of what differs from them in preprocessing or pooling."""
    refused: set[BackboneSpec] = field(default_factory=set)
    """Variants in preprocessing that a backbone does not take."""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    stored: Literal["float32", "float16"] = "float32"
    """How feature rows are kept."""

    def datasets_to_do(self) -> list[str]:
        return list(dict.fromkeys(cell.dataset.name for cell in self.todo))

    def image_needs(self, dataset: str) -> dict[str, list[Need]]:
        """What the dataset's open cells need, each key once, by the images that are embedded: those in one list are decoded together."""
        needs = {
            self.key_of(need).digest(): need
            for need in self._open_needs(dataset)
            if isinstance(need, Need)
        }
        together: dict[str, list[Need]] = {}
        for need in needs.values():
            name, split = whole_of(need)
            together.setdefault(f"{name} {split.images_fingerprint()}", []).append(need)
        return together

    def text_needs(self, dataset: str) -> list[TextNeed]:
        """The sentences that the dataset's open cells need, each key once."""
        needs = {
            self.key_of(need).digest(): need
            for need in self._open_needs(dataset)
            if isinstance(need, TextNeed)
        }
        return list(needs.values())

    def _open_needs(self, dataset: str) -> list[Need | TextNeed]:
        return [need for cell in self.todo if cell.dataset.name == dataset for need in cell.needs]

    def key_of(self, need: Need | TextNeed) -> FeatureKey:
        """The key of the rows that a need is read from; a view's are those of the split that it is part of."""
        known = self.cards[need.backbone]
        if isinstance(need, TextNeed):
            return replace(text_key(known, need.texts), stored=self.stored)
        name, split = whole_of(need)
        return replace(feature_key(known, need.backbone.pooling, name, split), stored=self.stored)
