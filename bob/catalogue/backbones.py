"""The page of all shipped backbones, docs/reference/backbones.md.

`python -m bob.catalogue.backbones > docs/reference/backbones.md` writes it.
"""

import sys
from collections.abc import Iterable

from bob.io.text import short_count
from bob.registry import load_backbones
from bob.specs import BackboneSpec, Pretraining

FAMILIES = {
    "supervised": "Trained with labels",
    "ssl": "Self-supervised",
    "clip": "Image-text",
    "domain": "Specialised on one domain",
    "baseline": "Baselines",
}
HEADER = """# The backbones

Generated from `backbones.yaml` by `python -m bob.catalogue.backbones >
docs/reference/backbones.md`; a test keeps it up to date. {count} entries.

*Params* counts the frozen backbone without a classifier; of an image-text model, its image tower.
*Output* is the output that probes read, and its width. *Seen* lists registered datasets whose
images are part of the pretraining data: scores on them are less meaningful. *Gated* weights require
that you accept their terms on the hub and set HF_TOKEN. Facts that a source does not state are
omitted.
"""
COLUMNS = (
    "name",
    "architecture",
    "training",
    "data (images)",
    "seen",
    "params",
    "input",
    "output",
    "licence",
    "paper",
    "weights",
)


def backbone_page(specs: Iterable[BackboneSpec]) -> str:
    """Return the page in Markdown, with one table per family."""
    entries = list(specs)
    sections = [HEADER.format(count=len(entries))]
    for family, title in FAMILIES.items():
        rows = [_row(spec) for spec in entries if spec.family == family]
        lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
        sections.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(sections)


def _row(spec: BackboneSpec) -> tuple[str, ...]:
    training = spec.pretraining or Pretraining(method="", data="")
    return (
        f"`{spec.name}`",
        f"{spec.loader}: {spec.architecture}",
        training.method or spec.summary,
        training.data + (f" ({short_count(training.images)})" if training.images else ""),
        ", ".join(training.seen),
        short_count(spec.params) if spec.params else "",
        f"{spec.input_px} px" if spec.input_px else "",
        f"{spec.output}, {spec.width:,}" if spec.width else str(spec.output),
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
    source = weights.hub or weights.package or weights.url or weights.file or ""
    if weights.url:
        source = f"[{source.rsplit('/', 1)[-1]}]({source})"
    return f"{source} (gated)" if spec.gated else source


if __name__ == "__main__":
    sys.stdout.write(backbone_page(load_backbones().values()))
