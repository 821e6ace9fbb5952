"""Rows of feature files: those asked for, without a second copy of all of them."""

import tracemalloc

import numpy as np

from bob.precomputed.columns import FeatureTable
from bob.precomputed.rows import Examples
from tests.builders.large_plans import make_dataset


def test_rows_of_several_tables_are_converted_in_parts() -> None:
    """A million rows of 512 features in float16 would otherwise take 6 GiB in place of 3."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200_000, 32)).astype(np.float16)
    tables = [FeatureTable("a", x[:150_000], "float16"), FeatureTable("b", x[150_000:], "float16")]
    examples = Examples(make_dataset("photos", 2, 2), tables, {})
    indices = rng.permutation(len(x))
    tracemalloc.start()
    rows = examples.rows(indices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.dtype == np.float32 and np.array_equal(rows, x[indices])
    assert peak < 1.3 * rows.nbytes
