"""k-NN on compressed features: float32 is the plain task, and names of scores."""

import numpy as np
import pytest

from bob.protocols.compression import PROTOCOL, CompressionSettings
from bob.protocols.knn import PROTOCOL as KNN
from bob.protocols.knn import KnnSettings
from tests.builders.classification import make_problem

SETTINGS = CompressionSettings(
    encodings=("pca_4", "float32", "float16", "binary"), k=5, temperature=0.07
)


def test_float32_is_the_plain_knn_and_few_bytes_lose_accuracy() -> None:
    rng = np.random.default_rng(0)
    means = 0.7 * rng.normal(size=(4, 32))
    y, test_y = rng.integers(4, size=200), rng.integers(4, size=150)
    x, test_x = (
        (means[labels] + rng.normal(size=(len(labels), 32))).astype(np.float32)
        for labels in (y, test_y)
    )
    problem = make_problem(x, y, test_x, test_y)
    result = PROTOCOL.solve(problem, SETTINGS, "cpu")
    outcomes = {part.suffix: part.outcome for part in result.parts}
    knn = KnnSettings(k=(5,), metric="cosine", vote="weighted", temperature=0.07)
    plain = KNN.solve(problem, knn, "cpu").outcome
    assert np.array_equal(outcomes["float32"].rank, plain.rank)
    assert np.array_equal(outcomes[""].rank, outcomes["pca_4"].rank)
    accuracy = {name: (outcome.rank == 0).mean() for name, outcome in outcomes.items()}
    assert accuracy["float16"] == pytest.approx(accuracy["float32"], abs=0.02)
    assert accuracy["binary"] < accuracy["float32"]
    assert result.detail["bytes_per_image"] == {
        "pca_4": 16,
        "float32": 128,
        "float16": 64,
        "binary": 4,
    }
    assert result.parts[1].facets == {"encoding": "pca_4", "bytes": 16}


def test_unknown_and_repeated_encodings_are_refused() -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        CompressionSettings(encodings=("int4",), k=5, temperature=0.07)
    with pytest.raises(ValueError, match="must not repeat an encoding"):
        CompressionSettings(encodings=("int8", "int8"), k=5, temperature=0.07)
