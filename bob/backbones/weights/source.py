"""Where weights come from, as text."""

from pathlib import Path

from bob.specs import Weights


def source_text(weights: Weights | None) -> str:
    """Return where the weights come from, as text for records and messages."""
    if weights is None:
        return "none"
    if weights.random is not None:
        return f"random initialisation, seed {weights.random}"
    if weights.hub:
        file = f" {weights.file}" if weights.file else ""
        return f"hub {weights.hub}" + (f"@{weights.revision}" if weights.revision else "") + file
    if weights.tag:
        return f"open_clip tag {weights.tag}"
    if weights.url:
        return f"url {weights.url}"
    if weights.package:
        return f"package {weights.package}"
    return f"file {Path(str(weights.file)).name}"
