"""The matrix products of a pass.

For float32 torch calls MKL, which leaves half of an AMD processor's vector width unused. oneDNN, which torch carries too, does not: 180 against
83 GFLOP/s on one core of an EPYC 9005 (614 × 1,280 × 100), equally exact. It takes transposed views as they are, but is a
thousand times slower on views whose rows lie further apart than they are long.
"""

import torch
from torch import Tensor

_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: Tensor, b: Tensor) -> Tensor:
    """(m, n): a (m, k) times the transpose of b (n, k)."""
    if _ONEDNN and a.dtype == torch.float32 and a.device.type == "cpu":
        result: Tensor = torch.ops.mkldnn._linear_pointwise(_dense(a), _dense(b), None, "none", [], "")
        return result
    return a @ b.T


def _dense(matrix: Tensor) -> Tensor:
    return matrix if matrix.is_contiguous() or matrix.T.is_contiguous() else matrix.contiguous()
