"""Reading checkpoint files as tensors, without running any code in them.

A checkpoint is a `.safetensors` or PyTorch file, or the index of one that is cut into shards.
"""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bob.backbones.weights.file_kinds import (
    PICKLE_START,
    first_bytes,
    is_safetensors,
    require_pytorch,
)
from bob.errors import BackboneError, first_line

PYTORCH_MAGIC = (b"PK", PICKLE_START)
"""First bytes of PyTorch's files: a zip archive, formerly a pickle."""
INDEX_SUFFIX = ".index.json"
"""End of the name of the file that lists the shards of a checkpoint."""
USUAL_KEY = "state_dict"
"""Where training codes put the tensors, and where they are looked for by default."""
AVERAGED_KEYS = ("state_dict_ema", "model_ema")
"""Where timm looks for averaged weights, in this order."""
WRAPPER_PREFIX = "module."
"""Prefix of all tensors that were saved from a data-parallel model."""
SAFE_CLASSES: list[Any] = [argparse.Namespace]
"""Allowed in a pickle besides tensors and plain values.

Training checkpoints of DINO, MAE, iBOT and DeiT contain their command line as a Namespace, which
only has plain attributes.
"""
_AVERAGED = re.compile(r"(^|_)(ema|swa|avg|averaged?|shadow)(_|$)", re.IGNORECASE)
"""Names under which training codes keep averages of the weights."""
_SHARD_NAME = re.compile(r"(?!\.+$)[^/\\\0]+")
SHOWN_BYTES = 20


class Checkpoint(NamedTuple):
    """The tensors of a checkpoint that an entry reads."""

    tensors: dict[str, torch.Tensor]
    notes: tuple[str, ...] = ()
    """What was chosen where the file leaves a choice, and how to choose otherwise."""


def read_checkpoint(name: str, path: Path, key: str | None = None) -> Checkpoint:
    """Read the state dict in a file without running any code in the file.

    Parameters
    ----------
    name
        Name of the backbone, for messages.
    key
        Where the state dict is in the file, with dots for nested mappings. By default it is the
        file itself, or its `state_dict`, or averaged weights beside that: as in timm.
    """
    content = read_file(name, path)
    chosen, notes = (key, ()) if key else _default_key(content)
    values = _at(name, path, content, chosen)
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
    _require_floating_point(name, path, values)
    if chosen not in (None, key, USUAL_KEY):
        values = _named_as(values, content[USUAL_KEY])
    return Checkpoint(dict(values), notes)


def _require_floating_point(name: str, path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Raise BackboneError for quantised weights, which mean nothing without their scales."""
    for parameter, tensor in state.items():
        is_quantised = not tensor.is_floating_point() or tensor.dtype.itemsize == 1
        if is_quantised and parameter.endswith(("weight", "bias")):
            raise BackboneError(
                f"backbone {name!r}: {str(path)!r} holds {parameter} as "
                f"{str(tensor.dtype).removeprefix('torch.')}: its weights are quantised. Save them "
                "as float32, float16 or bfloat16, multiplied by their scales."
            )


def without_wrapper(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors without the prefix of a data-parallel model, if all of them have it."""
    if not all(name.startswith(WRAPPER_PREFIX) for name in state):
        return dict(state)
    return {name.removeprefix(WRAPPER_PREFIX): tensor for name, tensor in state.items()}


def read_file(name: str, path: Path) -> Any:
    """Read the content of a checkpoint file: tensors, and plain values beside them."""
    if path.name.endswith(INDEX_SUFFIX):
        return _read_shards(name, path)
    try:
        if is_safetensors(path):
            return load_file(path)
        require_pytorch(name, path)
        with torch.serialization.safe_globals(SAFE_CLASSES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except BackboneError:
        raise
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _damaged_error(name, path, f"; {_cause(error)}") from error
    except Exception as error:  # pickle.UnpicklingError, raised by torch
        if not first_bytes(path).startswith(PYTORCH_MAGIC):
            raise _damaged_error(name, path) from error
        raise BackboneError(
            f"backbone {name!r}: {str(path)!r} contains more than tensors{_foreign_names(path)}, "
            "and a pickle can run code: not loaded. If you trust its author, load it with "
            "torch.load in your own interpreter and save its state dict with "
            "safetensors.torch.save_file."
        ) from error


def shards_of(name: str, index: Path) -> list[Path]:
    """Return the shards that an index names."""
    return [index.with_name(file) for file in _tensors_by_shard(name, index)]


def _read_shards(name: str, index: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of all shards; BackboneError unless each holds what the index says."""
    state: dict[str, torch.Tensor] = {}
    for file, expected in _tensors_by_shard(name, index).items():
        shard = index.with_name(file)
        if not shard.is_file():
            raise BackboneError(
                f"backbone {name!r}: the shard {str(shard)!r} is missing; {index.name!r} lists it."
            )
        tensors = read_file(name, shard)
        if not isinstance(tensors, dict) or (lacking := expected - set(tensors)):
            raise BackboneError(
                f"backbone {name!r}: the shard {str(shard)!r} lacks {min(lacking)!r}; "
                f"{index.name!r} says that it contains it."
            )
        state |= {tensor: tensors[tensor] for tensor in tensors if tensor in expected}
    return state


def _tensors_by_shard(name: str, index: Path) -> dict[str, set[str]]:
    """Return the names of tensors by shard, as the index of `save_pretrained` lists them.

    BackboneError where it is another file, or refers to a file that is not beside it.
    """
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        pairs = [(str(file), str(tensor)) for tensor, file in weight_map.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"backbone {name!r}: {str(index)!r} is not the index of a sharded checkpoint: it has "
            "no 'weight_map' of tensors to files."
        ) from error
    shards: dict[str, set[str]] = {}
    for file, tensor in pairs:
        if not _SHARD_NAME.fullmatch(file) or file.endswith(INDEX_SUFFIX):
            raise BackboneError(
                f"backbone {name!r}: {str(index)!r} refers to {file!r}; the shards of a "
                "checkpoint are files beside their index."
            )
        shards.setdefault(file, set()).add(tensor)
    return shards


def _default_key(content: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return where the state dict is by default, and a note where there are two.

    Averaged weights are preferred, as in timm, whose training saves them as `state_dict_ema`.
    """
    if not isinstance(content, dict) or not isinstance(content.get(USUAL_KEY), dict):
        return None, ()
    others = [
        key
        for key, values in content.items()
        if key != USUAL_KEY and _AVERAGED.search(str(key)) and _holds_tensors(values)
    ]
    averaged = [key for key in others if _names(content[key]) == _names(content[USUAL_KEY])]
    if averaged:
        first = next((key for key in AVERAGED_KEYS if key in averaged), averaged[0])
        return first, (
            f"the averaged weights at {first!r} of its file are read, as in timm, not those at "
            f"{USUAL_KEY!r}; to read these, write weights.state_dict: {USUAL_KEY}",
        )
    notes = [
        f"the weights at {USUAL_KEY!r} of its file are read, not what is at {key!r} beside them; "
        f"to read that, write weights.state_dict: {key}"
        for key in others
    ]
    return USUAL_KEY, tuple(notes)


def _holds_tensors(values: Any) -> bool:
    inner = values.values() if isinstance(values, dict) else values
    return isinstance(values, dict | list | tuple) and any(
        isinstance(value, torch.Tensor) or (value is not values and _holds_tensors(value))
        for value in inner
    )


def _names(values: Any) -> set[str] | None:
    """Return the names in a state dict, without a wrapper's prefix; None if it is none."""
    if not isinstance(values, dict) or not values:
        return None
    if not all(isinstance(tensor, torch.Tensor) for tensor in values.values()):
        return None
    return set(without_wrapper(values))


def _named_as(
    values: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]
) -> Mapping[str, torch.Tensor]:
    """Return averaged weights under the names of the weights beside them."""
    if set(values) == set(others):
        return values
    plain = without_wrapper(values)
    return plain if set(plain) == set(others) else {WRAPPER_PREFIX + k: v for k, v in plain.items()}


def _at(name: str, path: Path, values: Any, key: str | None) -> Any:
    """Return the value at a dotted key of nested mappings; None is the file itself."""
    if key is None or (isinstance(values, dict) and isinstance(values.get(key), dict)):
        return values if key is None else values[key]
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


def _damaged_error(name: str, path: Path, cause: str = "") -> BackboneError:
    """Describe a file that is not a checkpoint.

    The first bytes are quoted because they reveal what the file is.
    """
    return BackboneError(
        f"backbone {name!r}: {str(path)!r} is not a complete checkpoint: truncated, damaged, "
        f"or of another format (it begins with {first_bytes(path)[:SHOWN_BYTES]!r}{cause})."
    )


def _cause(error: Exception) -> str:
    """Return an error's type and message, without PyTorch's advice to run the file's code."""
    text = first_line(error)
    return type(error).__name__ + ("" if "weights_only" in text else f": {text}")


def _foreign_names(path: Path) -> str:
    """Return the names that a pickle refers to besides those of tensors, in parentheses."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # an older PyTorch, or a pickle that cannot be scanned
        return ""
    foreign = [name for name in names if name != "argparse.Namespace"]
    return f" ({', '.join(foreign[:3])})" if foreign else ""
