"""How many threads a step has."""

import numpy as np
import pytest
import scipy.linalg.lapack  # its BLAS is limited, too
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from bob.numerics.linear.path_solver import prepare
from bob.numerics.threads import map_stripes, one_computing_thread, torch_threads, useful_threads
from bob.numerics.tridiagonal import Tridiagonal


def blas_threads() -> set[int]:
    """Return the threads of each loaded BLAS."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.mark.parametrize(
    ("multiply_adds", "threads"),
    [(0, 1), (2**27, 1), (2**28 - 1, 1), (2**28, 2), (2**29, 4), (2**40, 4)],
)
def test_each_thread_has_at_least_2_to_27_multiply_adds(multiply_adds: int, threads: int) -> None:
    assert useful_threads(multiply_adds, available=4) == threads


def test_passes_of_a_small_probe_are_not_shared() -> None:
    """100 rows x 64 features x 3 classes are 19,200 multiply-adds; 2^20 classes are 6.7e9."""
    rng = np.random.default_rng(0)
    with torch_threads(2):
        problem = prepare(rng.standard_normal((100, 64)), np.arange(100) % 3, 3, "cpu")
        assert (problem.threads, problem.workers) == (2, 1)
        problem.classes = 2**20
        assert problem.workers == 2


def test_lapack_has_one_thread_for_arrays_of_medium_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 rows are of medium size, 2,049 are large; the number is restored."""
    seen: list[set[int]] = []
    real = scipy.linalg.lapack.dsytrd

    def watched(*arguments: object, **options: object) -> object:
        seen.append(blas_threads())
        return real(*arguments, **options)

    monkeypatch.setattr(scipy.linalg.lapack, "dsytrd", watched)
    monkeypatch.setattr("bob.numerics.tridiagonal.ONE_THREAD_ROWS", 300)
    with threadpool_limits(2, "blas"):
        for rows in (256, 301):
            Tridiagonal.of(np.eye(rows))
        assert blas_threads() == {2}
    assert seen == [{1}, {2}]


def test_limits_end_with_their_context() -> None:
    with threadpool_limits(2, "blas"), torch_threads(2):
        with one_computing_thread():
            assert (blas_threads(), torch.get_num_threads()) == ({1}, 1)
        assert (blas_threads(), torch.get_num_threads()) == ({2}, 2)
        counts = map_stripes(lambda some: (list(some), torch.get_num_threads()), range(5), 2)
        assert counts == [([0, 1], 1), ([2, 3, 4], 1)]
        assert torch.get_num_threads() == 2
