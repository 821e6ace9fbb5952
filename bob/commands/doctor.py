"""`bob-bench doctor`: checks of the registry entries of backbones, before hours are spent on them.

Names and shapes are checked without weights and without network access. Backbones whose weights are
on this machine are also loaded and run.
"""

import argparse
from collections.abc import Iterator, Sequence
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
"""Optional fields that every entry should state, because the leaderboard shows them."""
BUILT_WITHOUT_WEIGHTS = ("timm", "open_clip", "checkpoint", "transformers", "baseline")
"""Loaders whose architecture can be built without weights."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of a registry entry."""

    verdict: Verdict
    text: str


def run(arguments: argparse.Namespace) -> int:
    """Check the selected backbones. Returns FAILED if anything is wrong."""
    terminal = Terminal()
    backbones = load_backbones(arguments.registry)
    selected = select(arguments.names, backbones, "backbone", backbone_labels)
    specs = [selected_backbone.spec for selected_backbone in selected]
    require_code_permission(specs, arguments.allow_code)
    passed = 0
    for spec in specs:
        results = list(examine(spec, download=arguments.download, device=arguments.device))
        is_wrong = any(result.verdict == "wrong" for result in results)
        passed += not is_wrong
        if is_wrong or len(specs) == 1:
            _print_results(terminal, spec, results)
        else:
            _print_passed(terminal, spec, results)
    terminal.print(f"passed: {passed} of {len(specs)}")
    return OK if passed == len(specs) else FAILED


def examine(spec: BackboneSpec, *, download: bool, device: str) -> Iterator[CheckResult]:
    """Check the facts of an entry, its names in the library, the architecture, and a run.

    Later checks are skipped if an earlier one shows that they would fail for the same reason.
    `download` allows missing weights to be downloaded for the run.
    """
    missing = [name for name in FACTS if getattr(spec, name) is None]
    if missing:
        yield CheckResult("unknown", f"the entry does not state {', '.join(missing)}")
    else:
        yield CheckResult("good", "the entry states all facts")
    if problems := id_problems(spec):
        yield from (CheckResult("wrong", problem) for problem in problems)
        return
    if spec.loader in BUILT_WITHOUT_WEIGHTS:
        architecture = _check_architecture(spec)
        yield architecture
        if architecture.verdict == "wrong":
            return
    yield from _check_run(spec, download=download, device=device)


def measure_architecture(spec: BackboneSpec) -> tuple[int, int, int]:
    """Return input side in px, feature width and number of parameters, without the weights."""
    skeleton = outline(spec, offline=True)
    geometry = skeleton.geometry
    x = torch.zeros((1, 3, geometry.height_px, geometry.width_px), device="meta")
    with torch.inference_mode():
        features = skeleton.module(x, [spec.output])[spec.output]
    params = sum(parameter.numel() for parameter in skeleton.module.parameters())
    return geometry.height_px, features.shape[-1], params


def _check_architecture(spec: BackboneSpec) -> CheckResult:
    """Build the architecture on the meta device, and compare it with the declared sizes."""
    try:
        input_px, width, params = measure_architecture(spec)
    except UnavailableError as error:
        return CheckResult("unknown", str(error))
    except BobError as error:
        return CheckResult("wrong", str(error))
    except Exception as error:  # from the library: an unsupported option or size
        reason = f"{type(error).__name__}: {error}"
        return CheckResult("wrong", f"architecture {spec.architecture!r} does not build: {reason}")
    if contradictions := spec.contradictions(input_px, width, params):
        return CheckResult("wrong", "; ".join(contradictions))
    output = f"output {spec.output} of width {width:,}"
    return CheckResult("good", f"builds: input {input_px} px, {output}, {params:,} parameters")


def _check_run(spec: BackboneSpec, *, download: bool, device: str) -> Iterator[CheckResult]:
    """Load the weights if they are here or may be downloaded, and run the backbone."""
    absence = backbone_unavailable_reason(spec)
    if absence and not download:
        is_local_file = spec.weights is not None and source_text(spec.weights).startswith("file ")
        yield CheckResult("wrong" if is_local_file else "unknown", f"weights: {absence}")
        return
    try:
        backbone = load_backbone(spec, device, "float32", offline=not download)
        width = backbone.check()[-1]
        digest = tensor_hash(backbone.module.state_dict())
        weights = f"weights from {source_text(spec.weights)} with hash {digest}"
        yield CheckResult("good", f"runs: {weights}, features of width {width:,}")
        for note in backbone.notes:
            yield CheckResult("good", f"note: {note}")
        if backbone.has_text:
            width = backbone.embed_texts(["a photo"]).shape[1]
            tokenizer = backbone.text.tokenizer
            yield CheckResult("good", f"text tower: width {width:,}, tokenizer {tokenizer}")
    except UnavailableError as error:
        yield CheckResult("wrong" if download else "unknown", str(error))
    except BobError as error:
        yield CheckResult("wrong", str(error))
    except Exception as error:  # the code of a module may raise anything
        yield CheckResult("wrong", f"fails while it runs: {type(error).__name__}: {error}")


def _print_results(terminal: Terminal, spec: BackboneSpec, results: Sequence[CheckResult]) -> None:
    terminal.write_line(spec.name)
    for result in results:
        terminal.write_line(f"  {result.verdict:8}{result.text}")


def _print_passed(terminal: Terminal, spec: BackboneSpec, results: Sequence[CheckResult]) -> None:
    was_run = any(result.text.startswith("runs") for result in results)
    suffix = "" if was_run else ", but not run: its weights are not on this machine"
    terminal.write_line(f"{spec.name}: passed{suffix}")
