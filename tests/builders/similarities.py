"""How alike the features of backbones are, with given values."""

from bob.records.similarities import Similarities, SimilarPair, features_digest
from tests.builders.leaderboard_records import facts


def similar_pair(a: str, b: str, cka: float | None, images: int = 650) -> SimilarPair:
    """Return a pair with the interval `cka` ± 0.1, half of it in common, and `cka` − 0.2 as RSA."""
    limits: dict[str, float | None] = {"cka_low": None, "cka_high": None, "rsa": None}
    if cka is not None:
        limits = {"cka_low": cka - 0.1, "cka_high": cka + 0.1, "rsa": cka - 0.2}
    return SimilarPair(
        a=a,
        b=b,
        images=images,
        cka=cka,
        mutual_knn=0.5,
        mutual_knn_low=0.4,
        mutual_knn_high=0.6,
        rsa_low=None,
        rsa_high=None,
        **limits,
    )


def similarities(*pairs: SimilarPair, **changes: object) -> Similarities:
    """Return pairs on the test images of `elpv`, of backbones as `facts` returns them."""
    names = sorted({name for pair in pairs for name in pair.names})
    fields = {
        "dataset": "elpv",
        "split": "test",
        "fingerprints": ("print-1",),
        "backbones": {name: features_digest(facts(name)) for name in names},
        "pairs": pairs,
    }
    return Similarities.model_validate({**fields, **changes})
