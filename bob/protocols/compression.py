"""Representation on a budget: k-NN accuracy of features with fewer bits, or fewer features.

Rows of length 1 are encoded as float16, int8 or signs, or reduced to the first principal components
of train (`bob.numerics.compression`), and classified by DINO's weighted k-NN vote (`bob.protocols.
knn`) with one k. Nothing is chosen. The number of bytes per image is a facet of every score. The
headline is the encoding that is named first; principal components cost the same for every backbone,
however wide its features are.

The encodings are the common ones of vector search (Jegou et al. 2011, doi:10.1109/TPAMI.2010.57;
scalar quantisation as in faiss). No time is measured here: exact search time is proportional to the
bytes that are read.
"""

from typing import Annotated

from pydantic import Field, field_validator

from bob.protocols.caveats import features_checked
from bob.protocols.classification import ClassificationProblem, Classifier, answers_of
from bob.protocols.knn import KnnSettings, knn_predictions
from bob.protocols.protocol import Answers, Result, ResultPart
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

Encoding = Annotated[str, Field(pattern=r"^(float32|float16|int8|binary|pca_[1-9][0-9]*)$")]


class CompressionSettings(Closed):
    """Settings of compressed features."""

    encodings: tuple[Encoding, ...] = Field(strict=False, min_length=1)
    """`float32`, `float16`, `int8`, `binary` or `pca_D` with a number D; the first one ranks."""
    k: Count
    """Number of neighbours that vote."""
    temperature: Annotated[float, Field(gt=0)]
    """Temperature of the votes."""

    @field_validator("encodings")
    @classmethod
    def _differ(cls, encodings: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(encodings)) < len(encodings):
            raise ValueError(f"must not repeat an encoding; got {list(encodings)!r}")
        return encodings


class CompressedFeatures(Classifier[CompressionSettings]):
    """The k-NN accuracy of every encoding."""

    name = "compression"
    settings = CompressionSettings

    def solve(
        self, problem: ClassificationProblem, settings: CompressionSettings, device: str
    ) -> Result:
        from bob.numerics.compression import Compressor

        checked = features_checked(train=problem.x, test=problem.test_x)
        votes = KnnSettings(
            k=(settings.k,), metric="cosine", vote="weighted", temperature=settings.temperature
        )
        compressor = Compressor(problem.x, problem.test_x)
        parts: list[ResultPart] = []
        sizes: dict[str, int] = {}
        answers: dict[str, Answers] = {}
        for encoding in settings.encodings:
            rows = compressor.encoded(encoding)
            outcome = knn_predictions(problem, rows.train, rows.test, votes, device)
            sizes[encoding] = rows.bytes_per_image
            facets: dict[str, str | int] = {"encoding": encoding, "bytes": rows.bytes_per_image}
            if not parts:
                parts.append(ResultPart(outcome, facets=facets))
                answers = {"": answers_of(outcome)}
            parts.append(ResultPart(outcome, encoding, "ranking", facets, stored=True))
        return Result(tuple(parts), {"bytes_per_image": sizes}, checked, answers)


PROTOCOL = CompressedFeatures()
