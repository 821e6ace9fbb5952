"""The matrix products of a pass.

For float32 torch calls MKL, which leaves half of an AMD processor's vector width unused. oneDNN, which torch carries too, does not: 180 against
83 GFLOP/s on one core of an EPYC 9005 (614 × 1,280 × 100), equally exact. It takes transposed views as they are, but is a
thousand times slower on views whose rows lie further apart than they are long.
"""

import torch
from torch import Tensor

WORTH = 1 << 20
"""Multiplications of one product in a batch from which a call for it alone repays itself."""
_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: Tensor, b: Tensor) -> Tensor:
    """(m, n): a (m, k) times the transpose of b (n, k)."""
    if _ONEDNN and a.dtype == torch.float32 and a.device.type == "cpu":
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            _dense(a), _dense(b), None, "none", [], ""
        )
        return result
    return a @ b.T


def products(a: Tensor, b: Tensor) -> Tensor:
    """(B, m, n): of each a (m, k) with the transpose of its b (n, k)."""
    if a.shape[1] * a.shape[2] * b.shape[1] < WORTH:
        return a @ b.transpose(1, 2)
    return torch.stack([product(one, other) for one, other in zip(a, b, strict=True)])


def _dense(matrix: Tensor) -> Tensor:
    return matrix if matrix.is_contiguous() or matrix.T.is_contiguous() else matrix.contiguous()
