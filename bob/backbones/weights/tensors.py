"""State dicts: read safely, compared with an architecture name by name, and hashed."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bob.errors import BackboneError

State = Mapping[str, torch.Tensor]
MAGIC = (b"PK", b"\x80")
"""How PyTorch's files begin: a zip archive, formerly a pickle."""
MAX_LISTED = 3
"""Differences that a message lists."""
HARMLESS: list[Any] = [argparse.Namespace]
"""What training checkpoints of DINO, MAE, iBOT and DeiT hold besides tensors: their command line, a bag of plain attributes."""


def read_tensors(name: str, path: Path, where: str | None = None) -> dict[str, torch.Tensor]:
    """The state dict in a safetensors or PyTorch file; nothing in the file is run.

    `where` is its place in the file, dots going deeper; by default the file itself or its `state_dict`.
    """
    values = _at(name, path, read_file(name, path), where)
    if (
        not isinstance(values, dict)
        or not values
        or not all(isinstance(tensor, torch.Tensor) for tensor in values.values())
    ):
        place = f" at {where!r}" if where else ""
        raise BackboneError(
            f"backbone {name!r}: {str(path)!r} holds no state dict (a mapping of names to tensors){place}.{_places(values)}"
        )
    return dict(values)


def read_file(name: str, path: Path) -> Any:
    """What a checkpoint file holds: tensors, and plain values beside them."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _not_whole(name, path, f"; {type(error).__name__}: {_first_line(error)}") from error
    except Exception as error:  # torch raises pickle.UnpicklingError, which is pickle's to import
        if not _beginning(path).startswith(MAGIC):
            raise _not_whole(name, path) from error
        raise BackboneError(
            f"backbone {name!r}: {str(path)!r} holds more than tensors, and a pickle can run code: not loaded. If you trust its author, "
            "load it with torch.load in a session of your own and save its state dict with safetensors.torch.save_file."
        ) from error


def _not_whole(name: str, path: Path, more: str = "") -> BackboneError:
    """A page or a pointer that was saved in place of the file shows in its first bytes."""
    why = f"it begins with {_beginning(path)!r}{more}"
    return BackboneError(
        f"backbone {name!r}: {str(path)!r} is not a whole checkpoint: cut short, damaged, or of another format ({why})."
    )


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(20)
    except OSError:
        return b""


def load_strictly(name: str, module: nn.Module, state: State, architecture: str) -> None:
    """Loads the tensors into the module; every name and shape must agree, so that nothing stays at its initial value."""
    if other := mismatches(state, module.state_dict()):
        raise mismatch_error(name, architecture, other)
    module.load_state_dict(dict(state))


def mismatches(state: State, wanted: State) -> list[str]:
    """What keeps a state dict from fitting an architecture: missing and unexpected names, other shapes."""
    missing = [f"missing {name}" for name in wanted if name not in state]
    unexpected = [f"unexpected {name}" for name in state if name not in wanted]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    return [*missing, *unexpected, *shapes]


def mismatch_error(name: str, architecture: str, other: list[str]) -> BackboneError:
    more = f" and {len(other) - MAX_LISTED} more" if len(other) > MAX_LISTED else ""
    return BackboneError(
        f"backbone {name!r}: the checkpoint does not fit architecture {architecture!r}: {'; '.join(other[:MAX_LISTED])}{more}."
    )


def match_in_order(name: str, state: State, wanted: State) -> dict[str, torch.Tensor]:
    """The file's tensors under the architecture's names, one to one in file order; every shape must agree."""
    if len(state) != len(wanted):
        raise BackboneError(
            f"backbone {name!r}: the file holds {len(state)} tensors, its architecture has {len(wanted)}; they cannot be matched in order."
        )
    renamed = dict(zip(wanted, state.values(), strict=True))
    if other := mismatches(renamed, wanted):
        raise BackboneError(
            f"backbone {name!r}: the file does not fit its architecture in order: {'; '.join(other[:MAX_LISTED])}."
        )
    return renamed


def tensor_hash(state: State) -> str:
    """Hex digest (xxh3-128) of names, shapes, types and values, whatever their order in the file."""
    digest = xxhash.xxh3_128()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _at(name: str, path: Path, values: Any, where: str | None) -> Any:
    if where is None:
        return (
            values["state_dict"]
            if isinstance(values, dict) and isinstance(values.get("state_dict"), dict)
            else values
        )
    for part in where.split("."):
        if not isinstance(values, dict) or part not in values:
            raise BackboneError(
                f"backbone {name!r}: {str(path)!r} holds nothing at weights.state_dict {where!r}.{_places(values)}"
            )
        values = values[part]
    return values


def _places(values: Any) -> str:
    """Where else one might look."""
    inner = (
        [str(key) for key, value in values.items() if isinstance(value, dict)]
        if isinstance(values, dict)
        else []
    )
    return (
        f" It holds mappings at: {', '.join(inner[:6])}; name one as weights.state_dict."
        if inner
        else ""
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
