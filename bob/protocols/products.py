"""The matrix products of a pass.

For float32 torch calls MKL, which leaves half of an AMD processor's vector width unused. oneDNN, which torch carries too, does not: 180 against
83 GFLOP/s on one core of an EPYC 9005 (614 × 1,280 × 100), equally exact. It takes transposed views as they are.
"""

import torch
from torch import Tensor

_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: Tensor, b: Tensor) -> Tensor:
    """(m, n): a (m, k) times the transpose of b (n, k)."""
    if _ONEDNN and a.dtype == torch.float32 and a.device.type == "cpu":
        result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
        return result
    return a @ b.T
