"""Effective robustness in the leaderboard's files, against numpy's least-squares line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bob.leaderboards.board import make_board
from bob.leaderboards.render.markdown import to_markdown
from bob.leaderboards.write import write_board
from bob.records.record import Record
from tests.builders.leaderboard_records import facts, record, score, task

ORIGINAL = {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.8}
SHIFTED = {"a": 0.35, "b": 0.5, "c": 0.5, "d": 0.7}
OOD = task("ood", metrics=("shifted_top1", "drop", "top1"))


def shifted_record(name: str, original: float, shifted: float, **changes: Any) -> Record:
    """Return a record whose scores are named as the protocol `ood` names them."""
    parts = (
        score("top1_test", original, facets={"shift": "test"}),
        score("top1_poly", shifted, facets={"shift": "poly"}),
        score("drop_poly", original - shifted, facets={"shift": "poly"}),
    )
    return record(name, task=OOD, scores=(score("shifted_top1", shifted), *parts), **changes)


def pool() -> list[Record]:
    return [shifted_record(name, ORIGINAL[name], SHIFTED[name]) for name in ORIGINAL]


def logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1 - share))


def expected_fit() -> tuple[np.ndarray, float, float]:
    """Return the residuals, slope and intercept of numpy's least-squares line through the pool."""
    x, y = np.array(list(ORIGINAL.values())), np.array(list(SHIFTED.values()))
    slope, intercept = np.polyfit(logit(x), logit(y), 1)
    line = intercept + slope * logit(x)
    return y - 1 / (1 + np.exp(-line)), slope, intercept


def robustness_csv(records: list[Record], folder: Path) -> pd.DataFrame:
    write_board(make_board(records), folder)
    return pd.read_csv(folder / "robustness.csv").set_index("backbone")


def test_the_file_agrees_with_numpys_line(tmp_path: Path) -> None:
    rows = robustness_csv(pool(), tmp_path)
    residuals, slope, intercept = expected_fit()
    assert rows.effective_robustness[list(ORIGINAL)].to_numpy() == pytest.approx(residuals)
    assert rows.effective_robustness.is_monotonic_decreasing
    assert (rows.slope.iloc[0], rows.intercept.iloc[0]) == pytest.approx((slope, intercept))
    assert set(rows.metric) == {"top1_poly"}  # a drop is not an accuracy
    assert set(rows.reference) == {"top1_test"}
    assert rows.change["a"] == pytest.approx(0.35 - 0.5)


def test_a_baseline_has_a_value_but_does_not_affect_the_line(tmp_path: Path) -> None:
    baseline = shifted_record("pixels", 0.3, 0.29, family="baseline", backbone=facts("pixels"))
    rows = robustness_csv([*pool(), baseline], tmp_path)
    residuals, slope, intercept = expected_fit()
    assert rows.effective_robustness[list(ORIGINAL)].to_numpy() == pytest.approx(residuals)
    in_pool = dict.fromkeys(ORIGINAL, True) | {"pixels": False}
    assert rows.draws_line.to_dict() == in_pool
    line = intercept + slope * logit(np.array(0.3))
    assert rows.effective_robustness["pixels"] == pytest.approx(0.29 - 1 / (1 + np.exp(-line)))


def test_a_perfect_score_has_no_effective_robustness(tmp_path: Path) -> None:
    rows = robustness_csv([*pool(), shifted_record("perfect", 1.0, 0.9)], tmp_path)
    assert np.isnan(rows.effective_robustness["perfect"])  # its logit is infinite
    assert not rows.draws_line["perfect"]
    assert rows.index[-1] == "perfect"


def test_two_backbones_are_too_few_for_a_line(tmp_path: Path) -> None:
    board = make_board(pool()[:2])
    assert [robustness.pool for robustness in board.robustness] == [()]
    assert "Effective robustness" not in to_markdown(board)
    assert robustness_csv(pool()[:2], tmp_path).effective_robustness.isna().all()


def test_there_is_no_file_without_shifts(tmp_path: Path) -> None:
    assert tmp_path / "robustness.csv" not in write_board(make_board([record("a", 0.5)]), tmp_path)


def test_markdown_names_the_pool() -> None:
    text = to_markdown(make_board(pool()))
    residuals, _, _ = expected_fit()
    assert "## Effective robustness: ood, top1" in text
    assert "Pool: a, b, c, d." in text
    assert f"| b | {100 * residuals[1]:+.1f} |" in text


def test_a_score_on_the_shifts_classes_is_the_reference() -> None:
    restricted = score("top1_test_poly", 0.9, facets={"shift": "test", "classes_of": "poly"})
    records = [
        pooled.model_copy(update={"scores": (*pooled.scores, restricted)}) for pooled in pool()
    ]
    (robustness,) = make_board(records).robustness
    assert robustness.reference == "top1_test_poly"
