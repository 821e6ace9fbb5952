"""`bob-bench doctor`: what is right and what is wrong with backbones' entries, in plain words, before hours are spent on them.

Names and shapes are checked without weights and without a network; weights that are on this machine are loaded and run.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from bob.backbones.availability import backbone_unavailable_reason, require_code_permission
from bob.backbones.card import load_backbone
from bob.backbones.loaders.load import outline
from bob.backbones.weights.identity import id_problems
from bob.backbones.weights.locate import source_text
from bob.backbones.weights.tensors import tensor_hash
from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, BobError, UnavailableError
from bob.registry import backbone_labels, load_backbones, select
from bob.specs import BackboneSpec

Verdict = Literal["good", "wrong", "unknown"]
FACTS = ("pretraining", "licence", "paper", "input_px", "width", "params")
"""What an entry should tell about itself; the leaderboard shows it."""
BUILT_WITHOUT_WEIGHTS = ("timm", "open_clip", "checkpoint", "transformers", "baseline")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    verdict: Verdict
    words: str


def run(arguments: argparse.Namespace) -> int:
    """Looks at the named backbones; the exit code tells whether anything is wrong."""
    terminal = Terminal()
    chosen = [
        one.spec
        for one in select(
            arguments.names, load_backbones(arguments.registry), "backbone", backbone_labels
        )
    ]
    require_code_permission(chosen, arguments.allow_code)
    patients = {"well": 0, "ill": 0}
    for spec in chosen:
        findings = list(examine(spec, download=arguments.download, device=arguments.device))
        wrong = any(finding.verdict == "wrong" for finding in findings)
        patients["ill" if wrong else "well"] += 1
        _tell(terminal, spec, findings, whole=wrong or len(chosen) == 1)
    terminal.print(f"well: {patients['well']} of {len(chosen)}")
    return FAILED if patients["ill"] else OK


def examine(spec: BackboneSpec, *, download: bool, device: str) -> Iterator[Finding]:
    """What the entry says, what its library says, what it builds, and what it does."""
    missing = [name for name in FACTS if getattr(spec, name) is None]
    yield (
        Finding("unknown", f"the entry does not tell {', '.join(missing)}")
        if missing
        else Finding("good", "the entry tells all about itself")
    )
    if problems := id_problems(spec):
        yield from (Finding("wrong", problem) for problem in problems)
        return
    if spec.loader in BUILT_WITHOUT_WEIGHTS:
        yield (built := _built(spec))
        if built.verdict == "wrong":
            return  # and it would fail for the same reason while it is loaded
    yield from _run(spec, download=download, device=device)


def _built(spec: BackboneSpec) -> Finding:
    """The architecture on the meta device, against what the entry declares."""
    try:
        input_px, width, params = measure_architecture(spec)
    except UnavailableError as error:
        return Finding("unknown", str(error))
    except BobError as error:
        return Finding("wrong", str(error))
    except Exception as error:  # a library's own errors: an option that it does not know, a size that it cannot build
        return Finding(
            "wrong",
            f"architecture {spec.architecture!r} does not build: {type(error).__name__}: {error}",
        )
    if other := spec.contradictions(input_px, width, params):
        return Finding("wrong", "; ".join(other))
    return Finding(
        "good",
        f"builds: {input_px} px in, output {spec.output} of width {width:,}, {params:,} parameters",
    )


def measure_architecture(spec: BackboneSpec) -> tuple[int, int, int]:
    """Input side, feature width and parameters of the architecture, without its weights."""
    built = outline(spec, offline=True)
    geometry = built.geometry
    x = torch.zeros((1, 3, geometry.height_px, geometry.width_px), device="meta")
    with torch.inference_mode():
        rows = built.module(x, [spec.output])[spec.output]
    return (
        geometry.height_px,
        rows.shape[1],
        sum(parameter.numel() for parameter in built.module.parameters()),
    )


def _run(spec: BackboneSpec, *, download: bool, device: str) -> Iterator[Finding]:
    """The weights, a forward pass, and the text tower, where they are here or may be fetched."""
    absent = backbone_unavailable_reason(spec)
    if absent and not download:
        own_file = spec.weights is not None and source_text(spec.weights).startswith("file ")
        yield Finding("wrong" if own_file else "unknown", f"weights: {absent}")
        return
    try:
        backbone = load_backbone(spec, device, "float32", offline=not download)
        shape = backbone.check()
        digest = tensor_hash(backbone.module.state_dict())
        yield Finding(
            "good",
            f"runs: weights from {source_text(spec.weights)} with hash {digest}, rows of width {shape[-1]:,}",
        )
        if backbone.has_text:
            yield Finding(
                "good",
                f"has a text tower: {backbone.embed_texts(['a photo']).shape[1]:,} wide, tokenizer {backbone.text.tokenizer}",
            )
    except UnavailableError as error:
        yield Finding("wrong" if download else "unknown", str(error))
    except BobError as error:
        yield Finding("wrong", str(error))
    except Exception as error:  # a module's own code can raise anything
        yield Finding("wrong", f"fails while it runs: {type(error).__name__}: {error}")


def _tell(terminal: Terminal, spec: BackboneSpec, findings: list[Finding], *, whole: bool) -> None:
    """Every finding of one backbone; of many, a line each, and every finding where something is wrong."""
    if whole:
        terminal.write_line(f"{spec.name}")
        for finding in findings:
            terminal.write_line(f"  {finding.verdict:8}{finding.words}")
        return
    ran = any(finding.words.startswith("runs") for finding in findings)
    terminal.write_line(
        f"{spec.name}: well" + ("" if ran else ", but for its weights, which are not here")
    )
