"""State dicts: safe reading, strict matching with an architecture, and hashing."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bob.errors import BackboneError, first_line

State = Mapping[str, torch.Tensor]
PYTORCH_MAGIC = (b"PK", b"\x80")
"""First bytes of PyTorch's files: a zip archive, formerly a pickle."""
MAX_LISTED = 3
"""Number of mismatches that a message lists."""
SAFE_CLASSES: list[Any] = [argparse.Namespace]
"""Allowed in a pickle besides tensors and plain values.

Training checkpoints of DINO, MAE, iBOT and DeiT contain their command line as a Namespace, which
only has plain attributes.
"""


def read_tensors(name: str, path: Path, key: str | None = None) -> dict[str, torch.Tensor]:
    """Read the state dict in a safetensors or PyTorch file without running any code in the file.

    Parameters
    ----------
    name
        Name of the backbone, for messages.
    key
        Where the state dict is in the file, with dots for nested mappings; by default the file
        itself or its `state_dict`.
    """
    values = _at(name, path, read_file(name, path), key)
    if (
        not isinstance(values, dict)
        or not values
        or not all(isinstance(tensor, torch.Tensor) for tensor in values.values())
    ):
        place = f" at {key!r}" if key else ""
        raise BackboneError(
            f"backbone {name!r}: {str(path)!r} contains no state dict "
            f"(a mapping of names to tensors){place}.{_key_hint(values)}"
        )
    return dict(values)


def read_file(name: str, path: Path) -> Any:
    """Read the content of a checkpoint file: tensors, and plain values beside them."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(SAFE_CLASSES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        cause = f"; {type(error).__name__}: {first_line(error)}"
        raise _damaged_error(name, path, cause) from error
    except Exception as error:  # pickle.UnpicklingError, raised by torch
        if not _first_bytes(path).startswith(PYTORCH_MAGIC):
            raise _damaged_error(name, path) from error
        raise BackboneError(
            f"backbone {name!r}: {str(path)!r} contains more than tensors, and a pickle can run "
            "code: not loaded. If you trust its author, load it with torch.load in your own "
            "interpreter and save its state dict with safetensors.torch.save_file."
        ) from error


def _damaged_error(name: str, path: Path, cause: str = "") -> BackboneError:
    """Describe a file that is not a checkpoint, such as a saved web page or Git LFS pointer.

    The first bytes are quoted because they reveal what the file is.
    """
    return BackboneError(
        f"backbone {name!r}: {str(path)!r} is not a complete checkpoint: truncated, damaged, "
        f"or of another format (it begins with {_first_bytes(path)!r}{cause})."
    )


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(20)
    except OSError:
        return b""


def load_strictly(name: str, module: nn.Module, state: State, architecture: str) -> None:
    """Load the tensors into the module; BackboneError unless all names and shapes agree.

    So no parameter keeps its initial value.
    """
    if problems := mismatches(state, module.state_dict()):
        raise mismatch_error(name, architecture, problems)
    module.load_state_dict(dict(state))


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
    more = f" and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
    return BackboneError(
        f"backbone {name!r}: the checkpoint does not fit architecture {architecture!r}: "
        f"{'; '.join(problems[:MAX_LISTED])}{more}."
    )


def match_in_order(name: str, state: State, expected: State) -> dict[str, torch.Tensor]:
    """Rename the file's tensors to the architecture's names, one to one in file order.

    Raises BackboneError unless the number of tensors and all shapes agree.
    """
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


def _at(name: str, path: Path, values: Any, key: str | None) -> Any:
    """Return the value at a dotted key of nested mappings; None is the usual `state_dict`."""
    if key is None:
        if isinstance(values, dict) and isinstance(values.get("state_dict"), dict):
            return values["state_dict"]
        return values
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            raise BackboneError(
                f"backbone {name!r}: {str(path)!r} contains nothing at weights.state_dict {key!r}."
                f"{_key_hint(values)}"
            )
        values = values[part]
    return values


def _key_hint(values: Any) -> str:
    """Suggest keys at which the state dict might be instead."""
    if not isinstance(values, dict):
        return ""
    keys = [str(key) for key, value in values.items() if isinstance(value, dict)]
    if not keys:
        return ""
    return f" It contains mappings at: {', '.join(keys[:6])}; name one as weights.state_dict."
