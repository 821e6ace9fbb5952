"""What stored features and scores are a function of."""

from collections.abc import Sequence

from bob.backbones.card_data import Card
from bob.backbones.pixels.libraries import pixel_libraries
from bob.datasets.dataset import Split
from bob.errors import NotApplicableError
from bob.features.key import FeatureKey
from bob.io.digest import digest
from bob.specs import EMBEDDING, Output, TaskSpec
from bob.specs.yaml import plain

UNSCORED_FIELDS = ("summary", "datasets", "groups", "additions")
"""Fields of a task that change no score."""


def feature_key(
    card: Card, output: Output, split_name: str, split: Split, stored: str = "float32"
) -> FeatureKey:
    """Return the key of the features of a split's images."""
    return FeatureKey(
        weights_hash=card.weights_hash,
        forward=card.forward,
        geometry=card.geometry,
        normalisation=card.normalisation,
        output=str(output),
        shape=card.shape,
        precision=card.precision,
        images=split.images_fingerprint,
        count=len(split),
        split=split_name,
        stored=stored,  # type: ignore[arg-type]
        alpha=split.alpha_used,
        pixels=pixel_libraries(card.geometry),
    )


def text_key(card: Card, texts: Sequence[str], stored: str = "float32") -> FeatureKey:
    """Return the key of embedded texts, which lie in the space of the output `embedding`."""
    if card.text is None:
        reason = card.text_problem or "the backbone has no text tower."
        raise NotApplicableError(reason, subject="backbone")
    tower = {name: value for name, value in card.text.items() if name != "weights_hash"}
    return FeatureKey(
        weights_hash=card.text["weights_hash"],
        forward=card.forward | tower,
        geometry={},
        normalisation={},
        output=str(EMBEDDING),
        shape=card.shape,
        precision=card.precision,
        images=digest(list(texts)),
        count=len(texts),
        split="texts",
        stored=stored,  # type: ignore[arg-type]
    )


def result_key(
    features: Sequence[tuple[str, str]],
    dataset_fingerprint: str,
    task: TaskSpec,
    seeds: Sequence[int],
    limit: int | None = None,
) -> str:
    """Return the key of a record: everything that its scores depend on.

    `features` are the names and the digests of the features that it reads; the fingerprint covers
    labels and splits.
    """
    settings = {name: value for name, value in plain(task).items() if name not in UNSCORED_FIELDS}
    return digest(
        {
            "features": [list(pair) for pair in features],
            "dataset": dataset_fingerprint,
            "task": settings,
            "seeds": tuple(seeds),
            "limit": limit,
        }
    )
