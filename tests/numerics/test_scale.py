"""Division of features by powers of two, which changes no digit."""

import numpy as np
import pytest

from bob.numerics.scale import divided


@pytest.mark.parametrize(("dtype", "bits"), [("float16", "uint16"), ("float32", "uint32")])
@pytest.mark.parametrize("exponent", [-130, -30, -3, 3, 14, 40, 126, 150])
def test_division_equals_a_shift_of_the_exponent_for_any_bits(dtype, bits, exponent):
    values = np.random.default_rng(0).integers(0, np.iinfo(bits).max, 20_000, dtype=bits)
    rows = values.view(dtype)
    with np.errstate(all="ignore"):  # any bits: infinities and NaN among them
        expected = np.ldexp(rows, -exponent)
        quotient = divided(rows, 2.0**exponent)
    assert quotient.dtype == rows.dtype
    np.testing.assert_array_equal(quotient, expected)
