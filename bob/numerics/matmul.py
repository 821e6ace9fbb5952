"""Matrix products of a pass over the data.

For float32 torch calls MKL, which leaves half of an AMD processor's vector width unused. oneDNN,
which torch ships too, does not: 180 against 83 GFLOP/s on one core of an EPYC 9005
(614 × 1,280 × 100), at equal accuracy. oneDNN takes transposed views as they are, but is a thousand
times slower on views whose row stride exceeds their row length, which are copied first.
"""

import torch
from torch import Tensor

MIN_SEPARATE_CALL = 1 << 20
"""Multiplications per product from which separate calls beat one batched call."""
_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return  a bᵀ  (m, n) of a (m, k) and b (n, k)."""
    if _ONEDNN and a.dtype == torch.float32 and a.device.type == "cpu":
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            _dense(a), _dense(b), None, "none", [], ""
        )
        return result
    return a @ b.T


def products(a: Tensor, b: Tensor) -> Tensor:
    """Return  a bᵀ  (B, m, n) for each pair of matrices in a (B, m, k) and b (B, n, k)."""
    if a.shape[1] * a.shape[2] * b.shape[1] < MIN_SEPARATE_CALL:
        return a @ b.transpose(1, 2)
    return torch.stack([product(left, right) for left, right in zip(a, b, strict=True)])


def _dense(matrix: Tensor) -> Tensor:
    return matrix if matrix.is_contiguous() or matrix.T.is_contiguous() else matrix.contiguous()
