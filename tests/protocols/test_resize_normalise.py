"""The preprocessing grid: needs, known answers, refused sizes, and one run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset
from bob.metrics.paired_preprocessing import top1_gain
from bob.numerics.arrays import Ints
from bob.outcomes import ClassPredictions, PairedPreprocessing
from bob.protocols import FeatureNeed
from bob.protocols.classification import ClassificationProblem
from bob.protocols.linear import LinearSettings
from bob.protocols.protocol import ResultPart
from bob.protocols.resize_normalise import PROTOCOL, GridPoint, ResizeNormaliseSettings
from bob.specs import Preprocessing
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

PROBE = LinearSettings(log10_c=(-2.0, 2.0, 3), held_out=0.25, tolerance=1e-3)
SETTINGS = ResizeNormaliseSettings(input_px=(64,), normalisation=("own", "none"), k=3, probe=PROBE)
CROPPED = BASELINE.variant(preprocessing=Preprocessing(crop_pct=0.9))
HEADS = ("knn_euclidean", "knn_cosine", "linear")


def dataset(n: int = 12) -> Dataset:
    y = [i % 2 for i in range(n)]
    return make_dataset(
        {name: make_split([f"{name}{i}" for i in range(n)], y) for name in ("train", "test")}
    )


def make_problem(y: Ints, mirrored: bool) -> ClassificationProblem:
    """Return a problem that is solved by its test rows, or missed where they are mirrored."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(len(y), 2)).astype(np.float32)
    x = np.eye(2, dtype=np.float32)[y] + noise
    test_x = x[:, ::-1].copy() if mirrored else x
    return ClassificationProblem(x, y, np.arange(len(y)) < 4, test_x, y, 2)


def all_right(part: ResultPart) -> bool:
    assert isinstance(part.outcome, ClassPredictions)
    return bool((part.outcome.rank == 0).all())


def test_every_head_has_its_accuracy_and_its_gain_over_the_backbone_s_own_preprocessing() -> None:
    y, refusal = np.arange(20) % 2, "the backbone does not accept inputs of 8 px"
    grid = [
        GridPoint("own", "own", make_problem(y, mirrored=False)),
        GridPoint(64, "none", make_problem(y, mirrored=True)),
        GridPoint(8, "own", None, refusal),
    ]
    headline, *parts = PROTOCOL.solve(grid, SETTINGS, "cpu").parts
    by_name = {(part.suffix, part.metrics): part for part in parts}
    assert all_right(headline)
    for head in HEADS:
        assert all_right(by_name[f"{head}_own_own", ("top1",)])
        assert (f"{head}_own_own", ("top1_gain",)) not in by_name
        gain = by_name[f"{head}_64px_none", ("top1_gain",)].outcome
        assert isinstance(gain, PairedPreprocessing) and top1_gain(gain) == -1.0
        assert by_name[f"{head}_64px_none", ("top1",)].facets == {
            "head": head,
            "input_px": 64,
            "normalisation": "none",
        }
        for metric in ("top1", "top1_gain"):
            refused = by_name[f"{head}_8px_own", (metric,)]
            assert refused.outcome is None and refused.undefined == refusal


def test_needs_are_variants_that_keep_the_rest_of_the_preprocessing() -> None:
    needs = PROTOCOL.needs(SETTINGS, dataset(), CROPPED)
    assert [need.name for need in needs] == ["train", "test"] * 4
    assert [need.optional for need in needs] == [False] * 4 + [True] * 4
    variants = [need.backbone.preprocessing for need in needs[::2]]
    black = (0.0, 0.0, 0.0)
    assert [(values.input_px, values.mean, values.crop_pct) for values in variants] == [
        (None, None, 0.9),
        (None, black, 0.9),
        (64, None, 0.9),
        (64, black, 0.9),
    ]
    assert needs[0].backbone is CROPPED, "its features are those of the other tasks"


def test_refused_sizes_are_undefined_and_the_other_points_are_scored() -> None:
    data = dataset()
    needs = [
        need
        for need in PROTOCOL.needs(SETTINGS, data, CROPPED)
        if isinstance(need, FeatureNeed) and need.backbone.preprocessing.input_px is None
    ]
    rows = np.eye(2, dtype=np.float32)[data.splits["test"].y]
    inputs = make_inputs({name: features_from(rows) for name in ("train", "test")})
    problem = PROTOCOL.build(SETTINGS, data, needs, inputs, seed=0)
    result = PROTOCOL.solve(problem, SETTINGS, "cpu")
    undefined = {part.suffix: part.undefined for part in result.parts if part.outcome is None}
    assert set(undefined) == {f"{head}_64px_{norm}" for head in HEADS for norm in ("own", "none")}
    assert set(undefined.values()) == {"the backbone does not accept inputs of 64 px"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_px": (64, 64)}, r"input_px must differ; got \[64, 64\]"),
        (
            {"normalisation": ("none",)},
            "normalisation must hold 'own', against which the others are compared",
        ),
    ],
)
def test_inconsistent_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResizeNormaliseSettings.model_validate({**SETTINGS.model_dump(), **changes})


def test_in_a_run_the_backbone_s_own_preprocessing_shares_the_features_of_other_tasks(
    tmp_path: Path,
    photos: Path,
    bob: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only train and test at the three other points of the grid are computed."""
    monkeypatch.chdir(tmp_path)
    features = tmp_path / "cache" / "features"
    command = ["run", "--data", photos, "--backbones", "raw_pixels", "--tasks"]
    assert bob(*command, "knn_euclidean")[0] == 0
    stored = len(list(features.glob("*/*")))
    assert bob(*command, "resize_normalise")[0] == 0
    assert len(list(features.glob("*/*"))) - stored == 2 * 3
    scores: dict[tuple[str, str], float] = {}
    for path in (tmp_path / "results").rglob("*.json"):
        record = json.loads(path.read_text())
        task = record["task"]["name"]
        scores |= {(task, score["metric"]): score["value"] for score in record["scores"]}
    assert scores["resize_normalise", "top1"] == scores["knn_euclidean", "top1"]
    assert (
        scores["resize_normalise", "top1"]
        == scores["resize_normalise", "top1_knn_euclidean_own_own"]
    )
    assert scores["resize_normalise", "top1_gain_linear_112px_none"] == pytest.approx(
        scores["resize_normalise", "top1_linear_112px_none"]
        - scores["resize_normalise", "top1_linear_own_own"]
    )
