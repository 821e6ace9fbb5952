"""The preprocessing grid: needs and keys, known answers, gains by hand, sizes that a backbone refuses, end to end."""

import json
from pathlib import Path

import numpy as np
import pytest

from bob.datasets.dataset import Dataset, Split
from bob.errors import UndefinedError
from bob.features.store import Effort, Features
from bob.metrics.paired_preprocessing import METRICS, top1_gain
from bob.outcomes import Varied
from bob.protocols.protocol import Problem
from bob.protocols.resize_normalise import Setting, resize_normalise
from bob.specs import BackboneSpec, LinearSettings, TaskSpec
from bob.specs.settings import ResizeNormaliseSettings
from bob.wiring.grid import RESIZE_NORMALISE

PROBE = LinearSettings(log10_c=(-2.0, 2.0, 3), held_out=0.25, tolerance=1e-3)
SETTINGS = ResizeNormaliseSettings(input_px=(64,), normalisation=("own", "none"), k=3, probe=PROBE)
FLOOR = BackboneSpec.model_validate(
    {
        "name": "raw_pixels",
        "family": "baseline",
        "loader": "floor",
        "architecture": "raw_pixels",
        "preprocessing": {"crop_pct": 0.9},
    }
)
TASK = TaskSpec(
    name="g",
    version=1,
    protocol="resize_normalise",
    summary="",
    settings=SETTINGS,
    metrics=("top1", "top1_gain"),
    datasets=("all",),
)


def dataset(n: int = 12) -> Dataset:
    def split(name: str) -> Split:
        return Split(
            [f"{name}{i}" for i in range(n)],
            np.arange(n) % 2,
            [f"{name}{i}" for i in range(n)],
            lambda i: b"",
        )

    return Dataset("d", ("a", "b"), {"train": split("train"), "test": split("test")})


def problem(y: np.ndarray, mirrored: bool) -> Problem:
    x = np.eye(2, dtype=np.float32)[y] + 0.1 * np.random.default_rng(0).normal(
        size=(len(y), 2)
    ).astype(np.float32)
    return Problem(x, y, np.arange(len(y)) < 4, x[:, ::-1].copy() if mirrored else x, y, 2)


def test_gain_by_hand() -> None:
    """Own right on 0 and 1, the other way on 1, 2 and 3: two gained, one lost, of five."""
    outcome = Varied(np.array([1, 1, 0, 0, 0], bool), np.array([0, 1, 1, 1, 0], bool))
    assert top1_gain(outcome) == pytest.approx(1 / 5)
    (metric,) = METRICS
    assert metric.each is not None and metric.each(outcome).tolist() == [-1, 0, 1, 1, 0]
    assert top1_gain(
        Varied.from_arrays(outcome.to_arrays()).take(np.array([0, 0, 2]))
    ) == pytest.approx(-1 / 3)
    with pytest.raises(UndefinedError, match="there are no test examples"):
        top1_gain(outcome.take(np.array([], int)))
    with pytest.raises(ValueError, match=r"own and other must both have shape \(N,\)"):
        Varied(np.ones(2, bool), np.ones(3, bool))


def test_every_head_at_every_setting_and_gains_against_the_own_one() -> None:
    y = np.arange(20) % 2
    grid = [
        Setting("own", "own", problem(y, False)),
        Setting(64, "none", problem(y, True)),
        Setting(8, "own", None, "the backbone cannot be fed 8 px"),
    ]
    parts = resize_normalise(SETTINGS, grid, "cpu").parts
    by_name = {(part.suffix, part.metrics): part for part in parts[1:]}
    assert (parts[0].outcome.rank == 0).all()  # type: ignore[union-attr]
    for head in ("knn_euclidean", "knn_cosine", "linear"):
        assert (by_name[f"{head}_own_own", ("top1",)].outcome.rank == 0).all()  # type: ignore[union-attr]
        assert (f"{head}_own_own", ("top1_gain",)) not in by_name
        assert top1_gain(by_name[f"{head}_64px_none", ("top1_gain",)].outcome) == -1.0  # type: ignore[arg-type]
        assert by_name[f"{head}_64px_none", ("top1",)].facets == {
            "head": head,
            "input_px": 64,
            "normalisation": "none",
        }
        for metric in ("top1", "top1_gain"):
            refused = by_name[f"{head}_8px_own", (metric,)]
            assert (
                refused.outcome is None and refused.undefined == "the backbone cannot be fed 8 px"
            )


def test_needs_are_variants_that_keep_what_the_grid_does_not_change() -> None:
    needs = RESIZE_NORMALISE.needs(TASK, dataset(), FLOOR)
    assert [need.name for need in needs] == ["train", "test"] * 4
    assert [need.optional for need in needs] == [False] * 4 + [True] * 4  # type: ignore[union-attr]
    seen = [need.backbone.preprocessing for need in needs[::2]]
    assert [(one.input_px, one.mean, one.crop_pct) for one in seen] == [
        (None, None, 0.9),
        (None, (0.0, 0.0, 0.0), 0.9),
        (64, None, 0.9),
        (64, (0.0, 0.0, 0.0), 0.9),
    ]
    assert needs[0].backbone is FLOOR  # so that its rows are those of the other tasks


def test_refused_sizes_are_undefined_and_the_rest_is_answered() -> None:
    data, needs = (
        dataset(),
        [
            need
            for need in RESIZE_NORMALISE.needs(TASK, dataset(), FLOOR)
            if need.backbone.preprocessing.input_px is None
        ],
    )
    rows = np.eye(2, dtype=np.float32)[data.splits["test"].y]
    result = RESIZE_NORMALISE.solve(
        TASK, data, needs, lambda need: Features(rows, np.arange(12), {}, Effort()), 0, "cpu"
    )
    undefined = {part.suffix: part.undefined for part in result.parts if part.outcome is None}
    assert set(undefined) == {
        f"{head}_64px_{norm}"
        for head in ("knn_euclidean", "knn_cosine", "linear")
        for norm in ("own", "none")
    }
    assert set(undefined.values()) == {"the backbone cannot be fed 64 px"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"input_px": (64, 64)}, r"input_px must differ; got \[64, 64\]"),
        (
            {"normalisation": ("none",)},
            "normalisation must hold 'own', against which the others are compared",
        ),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ResizeNormaliseSettings.model_validate({**SETTINGS.model_dump(), **changes})


def test_end_to_end_the_own_setting_shares_the_rows_of_other_tasks(
    tmp_path: Path, photos: Path, bob, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    asked = ["run", "--data", photos, "--backbones", "raw_pixels", "--tasks"]
    assert bob(*asked, "knn_euclidean")[0] == 0
    stored = len(list((tmp_path / "cache" / "features").iterdir()))
    assert bob(*asked, "resize_normalise")[0] == 0
    assert (
        len(list((tmp_path / "cache" / "features").iterdir())) - stored == 2 * 3
    )  # train and test at the three other settings
    scores = {}
    for path in (tmp_path / "results").rglob("*.json"):
        record = json.loads(path.read_text())
        scores |= {
            (record["task"]["name"], score["metric"]): score["value"] for score in record["scores"]
        }
    assert (
        scores["resize_normalise", "top1"]
        == scores["resize_normalise", "top1_knn_euclidean_own_own"]
        == scores["knn_euclidean", "top1"]
    )
    assert scores["resize_normalise", "top1_gain_linear_112px_none"] == pytest.approx(
        scores["resize_normalise", "top1_linear_112px_none"]
        - scores["resize_normalise", "top1_linear_own_own"]
    )
