"""Effective robustness in the leaderboard's files: against numpy's line, whose pool it is, and what has no reference."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bob.leaderboard.board import make_board
from bob.leaderboard.render.markdown import to_markdown
from bob.leaderboard.write import write_board
from bob.records.record import Record
from tests.builders.leaderboard_records import facts, record, score, task

OWN = {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.8}
SHIFTED = {"a": 0.35, "b": 0.5, "c": 0.5, "d": 0.7}
OOD = task("ood", metrics=("shifted_top1", "drop", "top1"))


def under_shift(name: str, own: float, shifted: float, **changes: object) -> Record:
    """Scores named as the protocol names them."""
    parts = (
        score("top1_test", own, facets={"shift": "test"}),
        score("top1_poly", shifted, facets={"shift": "poly"}),
        score("drop_poly", own - shifted, facets={"shift": "poly"}),
    )
    return record(name, task=OOD, scores=(score("shifted_top1", shifted), *parts), **changes)


def pool() -> list[Record]:
    return [under_shift(name, OWN[name], SHIFTED[name]) for name in OWN]


def logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1 - share))


def expected(own: list[float], shifted: list[float]) -> tuple[np.ndarray, float, float]:
    """Residuals, slope and intercept by numpy's least squares."""
    slope, intercept = np.polyfit(logit(np.array(own)), logit(np.array(shifted)), 1)
    line = intercept + slope * logit(np.array(list(OWN.values())))
    return np.array(list(SHIFTED.values())) - 1 / (1 + np.exp(-line)), slope, intercept


def read(records: list[Record], folder: Path) -> pd.DataFrame:
    write_board(make_board(records), folder)
    return pd.read_csv(folder / "robustness.csv").set_index("backbone")


def test_the_file_against_numpys_line(tmp_path: Path) -> None:
    rows = read(pool(), tmp_path)
    residual, slope, intercept = expected(list(OWN.values()), list(SHIFTED.values()))
    assert rows.effective_robustness[list(OWN)].to_numpy() == pytest.approx(residual)
    assert rows.effective_robustness.is_monotonic_decreasing
    assert (rows.slope.iloc[0], rows.intercept.iloc[0]) == pytest.approx((slope, intercept))
    assert set(rows.metric) == {"top1_poly"} and set(rows.reference) == {
        "top1_test"
    }  # a drop is no accuracy
    assert rows.change["a"] == pytest.approx(0.35 - 0.5)


def test_a_floor_has_a_value_but_draws_no_line(tmp_path: Path) -> None:
    floor = under_shift("pixels", 0.3, 0.29, family="baseline", backbone=facts("pixels"))
    rows = read([*pool(), floor], tmp_path)
    residual, slope, intercept = expected(list(OWN.values()), list(SHIFTED.values()))
    assert rows.effective_robustness[list(OWN)].to_numpy() == pytest.approx(residual)
    assert rows.draws_line.to_dict() == {
        "a": True,
        "b": True,
        "c": True,
        "d": True,
        "pixels": False,
    }
    line = intercept + slope * logit(np.array(0.3))
    assert rows.effective_robustness["pixels"] == pytest.approx(0.29 - 1 / (1 + np.exp(-line)))


def test_a_perfect_score_has_no_logit(tmp_path: Path) -> None:
    rows = read([*pool(), under_shift("perfect", 1.0, 0.9)], tmp_path)
    assert np.isnan(rows.effective_robustness["perfect"]) and not rows.draws_line["perfect"]
    assert rows.index[-1] == "perfect"


def test_two_backbones_draw_no_line(tmp_path: Path) -> None:
    board = make_board(pool()[:2])
    assert [one.pool for one in board.robustness] == [()]
    assert "Effective robustness" not in to_markdown(board)
    assert read(pool()[:2], tmp_path).effective_robustness.isna().all()


def test_without_shifts_there_is_no_file(tmp_path: Path) -> None:
    assert tmp_path / "robustness.csv" not in write_board(make_board([record("a", 0.5)]), tmp_path)


def test_markdown_names_the_pool() -> None:
    text = to_markdown(make_board(pool()))
    residual, _, _ = expected(list(OWN.values()), list(SHIFTED.values()))
    assert "## Effective robustness: ood, top1" in text and "Pool: a, b, c, d." in text
    assert f"| b | {100 * residual[1]:+.1f} |" in text


def test_a_score_narrowed_to_the_shifts_classes_is_the_reference() -> None:
    narrowed = [
        held.model_copy(
            update={
                "scores": (
                    *held.scores,
                    score("top1_test_poly", 0.9, facets={"shift": "test", "classes_of": "poly"}),
                )
            }
        )
        for held in pool()
    ]
    (found,) = make_board(narrowed).robustness
    assert found.reference == "top1_test_poly"
