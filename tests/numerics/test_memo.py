"""Results are kept by the contents of arguments, and the oldest are forgotten."""

import numpy as np
import pytest

from bob.numerics import memo
from bob.numerics.memo import Memo, contents_digest

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_equal_contents_are_computed_once() -> None:
    results, calls = Memo[int](2), []

    def compute() -> int:
        calls.append(1)
        return len(calls)

    assert results.result((ROWS, 2, "cpu"), compute) == 1
    assert results.result((ROWS.copy(), 2, "cpu"), compute) == 1
    assert results.result((ROWS, 3, "cpu"), compute) == 2
    results.clear()
    assert results.result((ROWS, 2, "cpu"), compute) == 3


def test_the_result_that_was_not_used_for_longest_is_forgotten() -> None:
    results = Memo[int](2)
    for argument in (1, 2, 1, 3):
        results.result((argument,), lambda value=argument: value)  # type: ignore[misc]
    assert [results.result((argument,), lambda: 0) for argument in (1, 3, 2)] == [1, 3, 0]


@pytest.mark.parametrize(
    "other",
    [
        (ROWS.astype(np.float64), None),
        (ROWS.reshape(3, 4), None),
        (ROWS + np.float32(1), None),
        (ROWS, 0),
        (ROWS, ()),
        (ROWS, "None"),
        (ROWS, None, None),
        (ROWS, (None,)),
        (ROWS, np.array(0)),
    ],
)
def test_other_contents_have_other_digests(other: tuple[object, ...]) -> None:
    assert contents_digest(other) != contents_digest((ROWS, None))


def test_digests_do_not_depend_on_the_layout_or_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = contents_digest((ROWS,))
    assert contents_digest((np.asfortranarray(ROWS),)) == expected
    monkeypatch.setattr(memo, "BLOCK_ELEMENTS", 6)
    assert contents_digest((np.repeat(ROWS, 2, axis=1)[:, ::2],)) == expected


def test_other_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="an array, a number, a text or None is expected; got <"):
        contents_digest((object(),))
