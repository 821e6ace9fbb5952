"""What stored rows and scores are a function of."""

from collections.abc import Iterable, Sequence

from bob.backbones.card import Card
from bob.backbones.pixels.geometry import pixels_by
from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.features.key import FeatureKey
from bob.io.digest import digest
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.yaml import plain
from bob.wiring import WIRING, Need


def feature_key(known: Card, pooling: str, split_name: str, split: Split) -> FeatureKey:
    return FeatureKey(
        weights_hash=known.weights_hash,
        forward=known.forward,
        geometry=known.geometry,
        normalisation=known.normalisation,
        pooling=pooling,
        precision=known.precision,
        images=split.images_fingerprint(),
        split=split_name,
        pixels=pixels_by(known.geometry),
    )


def text_key(known: Card, texts: Sequence[str]) -> FeatureKey:
    """Rows of the text tower, which lie in the space of the pooling `embedding`."""
    if known.text is None:
        raise NotApplicableError(
            known.text_problem or "the backbone has no text tower.", of="backbone"
        )
    tower = known.text
    return FeatureKey(
        weights_hash=tower["weights_hash"],
        forward=known.forward
        | {name: value for name, value in tower.items() if name != "weights_hash"},
        geometry={},
        normalisation={},
        pooling="embedding",
        precision=known.precision,
        images=digest(list(texts)),
        split="texts",
    )


def whole_of(need: Need) -> tuple[str, Split]:
    """The name and the split whose rows are stored for a need."""
    origin = need.split.origin
    return (origin.name, origin.split) if origin else (need.name, need.split)


def unpooled(spec: BackboneSpec) -> BackboneSpec:
    """What a forward pass depends on: backbones that differ in pooling alone share one."""
    return spec.model_copy(update={"pooling": "default", "width": None})


def seeds_of(seeds: tuple[int, ...], task: TaskSpec, dataset: Dataset) -> tuple[int, ...]:
    """One seed where nothing is drawn: another would change nothing."""
    return seeds if WIRING[task.protocol].draws(task, dataset) else seeds[:1]


def result_key(
    features: Iterable[tuple[str, str]],
    dataset: Dataset,
    task: TaskSpec,
    seeds: Sequence[int],
    limit: int | None = None,
) -> str:
    """The same, of the name and the digest of the rows of each need."""
    return digest(
        {
            "features": [[name, rows] for name, rows in features],
            "dataset": dataset.fingerprint(),
            "task": {
                name: value
                for name, value in plain(task).items()
                if name not in ("summary", "datasets", "groups")
            },
            "seeds": tuple(seeds),
            "limit": limit,
        }
    )
