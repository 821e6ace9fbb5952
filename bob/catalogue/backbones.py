"""backbones.yaml as a page of Markdown tables: `python -m bob.catalogue.backbones > docs/backbones.md`."""

import sys
from collections.abc import Iterable

from bob.registry import load_backbones
from bob.specs import BackboneSpec, Pretraining

FAMILIES = {
    "supervised": "Trained with labels",
    "ssl": "Self-supervised",
    "clip": "Image-text",
    "domain": "Made for one domain",
    "baseline": "Floors",
}
HEADER = """# The backbones

Generated from `backbones.yaml` by `python -m bob.catalogue.backbones > docs/backbones.md`; a test keeps it fresh. {count} entries.

Params are the frozen body's, without a classifier; of an image-text model, the image tower's. *Reads* is the pooling that probes read and its
width. *Seen* names datasets of ours whose images are in the pretraining data: scores on them say less. *Gated* weights need their terms accepted
on the hub, and HF_TOKEN. What a source does not state is left out.
"""
COLUMNS = (
    "name",
    "architecture",
    "training",
    "data (images)",
    "seen",
    "params",
    "input",
    "reads",
    "licence",
    "paper",
    "weights",
)


def backbone_page(specs: Iterable[BackboneSpec]) -> str:
    """The whole page, a table per family."""
    entries = list(specs)
    parts = [HEADER.format(count=len(entries))]
    for family, title in FAMILIES.items():
        rows = [_row(spec) for spec in entries if spec.family == family]
        lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _row(spec: BackboneSpec) -> tuple[str, ...]:
    training = spec.pretraining or Pretraining(method="", data="")
    return (
        f"`{spec.name}`",
        f"{spec.loader}: {spec.architecture}",
        training.method or spec.summary,
        training.data + (f" ({_short(training.images)})" if training.images else ""),
        ", ".join(training.seen),
        _short(spec.params) if spec.params else "",
        f"{spec.input_px} px" if spec.input_px else "",
        f"{spec.pooling}, {spec.width:,}" if spec.width else spec.pooling,
        spec.licence or "",
        spec.paper or "",
        _weights(spec),
    )


def _weights(spec: BackboneSpec) -> str:
    weights = spec.weights
    if weights is None:
        return ""
    if weights.random is not None:
        return f"random, seed {weights.random}"
    place = weights.hub or weights.package or weights.url or weights.file or ""
    return (f"[{place.rsplit('/', 1)[-1]}]({place})" if weights.url else place) + (
        " (gated)" if spec.gated else ""
    )


def _short(count: int) -> str:
    """1281167 as 1.28 M."""
    for size, unit in ((1_000_000_000, " G"), (1_000_000, " M"), (1_000, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


if __name__ == "__main__":
    sys.stdout.write(backbone_page(load_backbones().values()))
