"""PCA whitening against scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bob.errors import UndefinedError
from bob.numerics.whitening import fit_whitening


@pytest.mark.parametrize(("n", "d", "dimensions"), [(200, 8, 8), (200, 8, 3), (5, 8, 8)])
def test_whitening_equals_scikit_learn_s_up_to_signs(n: int, d: int, dimensions: int) -> None:
    rng = np.random.default_rng(n + d)
    x = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 10).astype(np.float32)
    ours = fit_whitening(x, dimensions)
    reached = ours.projection.shape[1]
    assert reached == min(dimensions, n - 1)
    theirs = PCA(reached, whiten=True, svd_solver="full").fit(x.astype(np.float64)).transform(x)
    assert np.abs(ours.apply(x)) == pytest.approx(np.abs(theirs), abs=2e-3)


def test_whitening_needs_rows_that_differ() -> None:
    with pytest.raises(UndefinedError, match="the 4 rows here are all equal"):
        fit_whitening(np.ones((4, 3), np.float32), 2)
