"""State dicts: strict matching with an architecture, and hashing."""

from collections.abc import Mapping

import torch
import xxhash
from torch import nn

from bob.errors import BackboneError

State = Mapping[str, torch.Tensor]
MAX_LISTED = 3
"""Number of mismatches that a message lists."""
COUNTER = "num_batches_tracked"
"""BatchNorm's count of training batches, which no frozen forward reads. PyTorch before 0.4.1 and
converters from other frameworks write none."""


def load_strictly(name: str, module: nn.Module, state: State, architecture: str) -> None:
    """Load the tensors into the module; BackboneError unless all names and shapes agree.

    So no parameter keeps its initial value. Counters of BatchNorm may be missing.
    """
    expected = module.state_dict()
    fitting = with_counters(state, expected)
    if problems := mismatches(fitting, expected):
        raise mismatch_error(name, architecture, problems)
    module.load_state_dict(fitting)


def with_counters(state: State, expected: State) -> dict[str, torch.Tensor]:
    """Return the tensors with exactly the counters of BatchNorm that an architecture has.

    Those that are missing are 0, as at the beginning of training.
    """
    fitting = {
        name: tensor for name, tensor in state.items() if name in expected or not _is_counter(name)
    }
    missing = [name for name in expected if _is_counter(name) and name not in state]
    return fitting | {name: torch.tensor(0) for name in missing}


def without_counters(state: State) -> dict[str, torch.Tensor]:
    """Return the tensors but for BatchNorm's counters."""
    return {name: tensor for name, tensor in state.items() if not _is_counter(name)}


def _is_counter(name: str) -> bool:
    return name.rpartition(".")[2] == COUNTER


def mismatches(state: State, expected: State) -> list[str]:
    """List why a state dict does not fit an architecture: missing or unexpected names, shapes."""
    missing = [f"missing {name}" for name in expected if name not in state]
    unexpected = [f"unexpected {name}" for name in state if name not in expected]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    return [*missing, *unexpected, *shapes]


def mismatch_error(name: str, architecture: str, problems: list[str]) -> BackboneError:
    """Return an error that lists the first mismatches and counts the others."""
    return BackboneError(
        f"backbone {name!r}: the checkpoint does not fit architecture {architecture!r}: "
        f"{listed(problems)}."
    )


def listed(problems: list[str]) -> str:
    """Return the first mismatches, and the number of the others."""
    more = f" and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
    return f"{'; '.join(problems[:MAX_LISTED])}{more}"


def match_in_order(name: str, state: State, expected: State) -> dict[str, torch.Tensor]:
    """Rename the file's tensors to the architecture's names, one to one in file order.

    Raises BackboneError unless the number of tensors and all shapes agree. Where only one side has
    counters of BatchNorm, neither's are matched.
    """
    if len(state) != len(expected):
        state, expected = without_counters(state), without_counters(expected)
    if len(state) != len(expected):
        raise BackboneError(
            f"backbone {name!r}: the file contains {len(state)} tensors, its architecture has "
            f"{len(expected)}; they cannot be matched in order."
        )
    renamed = dict(zip(expected, state.values(), strict=True))
    if problems := mismatches(renamed, expected):
        raise BackboneError(
            f"backbone {name!r}: the file does not fit its architecture in order: "
            f"{'; '.join(problems[:MAX_LISTED])}."
        )
    return renamed


def tensor_hash(state: State) -> str:
    """Return the hex digest (xxh3-128) of names, shapes, dtypes and values, in any file order."""
    digest = xxhash.xxh3_128()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
