"""`bob-bench doctor`: checks of the registry entries of backbones, before hours are spent on them.

For a checkpoint, the entry is written.

Names and shapes are checked without weights and without network access. Backbones whose weights are
on this machine are also loaded and run.
"""

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import yaml

from bob.backbones.availability import backbone_unavailable_reason, require_code_permission
from bob.backbones.card import load_backbone
from bob.backbones.draft_entry import WEIGHT_FILES, DraftEntry, draft_entry
from bob.backbones.loaders.load import outline
from bob.backbones.loaders.transformers import CONFIG
from bob.backbones.weights.identity import id_problems
from bob.backbones.weights.source import source_text
from bob.backbones.weights.tensors import tensor_hash
from bob.commands.arguments import require_output_file
from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, BobError, ConfigError, UnavailableError
from bob.io.files import write_atomically
from bob.io.paths import user_path
from bob.registry import backbone_labels, load_backbones, select
from bob.specs import BackboneSpec

Verdict = Literal["good", "wrong", "unknown"]
FACTS = ("pretraining", "licence", "paper", "input_px", "width", "params")
"""Optional fields that every entry should state, because the leaderboard shows them."""
KEYS = (
    *("family", "loader", "architecture", "options", "weights", "output", "preprocessing"),
    *("width", "params"),
)
"""Keys of a written entry, in this order."""
CHECKPOINT_SUFFIXES = (".bin", ".ckpt", ".onnx", ".pt", ".pth", ".safetensors", ".tar")
"""Ends of names that are those of files, and of no backbone."""
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
    place = user_path(arguments.names)
    if arguments.names not in backbones and place.exists():
        return _write_entry(arguments, place, backbones, terminal)
    _require_no_entry_flags(arguments)
    if arguments.names not in backbones and place.suffix in CHECKPOINT_SUFFIXES:
        raise ConfigError(f"{arguments.names!r}: no such file. Check the path.")
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


def _require_no_entry_flags(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for flags of an entry without a checkpoint."""
    for flag in ("architecture", "name", "output", "to"):
        if getattr(arguments, flag) is not None:
            raise ConfigError(
                f"--{flag} belongs to `doctor FILE`, which writes the entry of a checkpoint; "
                f"{arguments.names!r} is no file here."
            )


def _write_entry(
    arguments: argparse.Namespace,
    place: Path,
    backbones: Mapping[str, BackboneSpec],
    terminal: Terminal,
) -> int:
    """Write the entry of a checkpoint, or print it, and check it as any other."""
    files = (place / name for name in (*WEIGHT_FILES, CONFIG))
    require_output_file("--to", arguments.to, (place, *files))
    draft = draft_entry(
        place, arguments.architecture, arguments.name, arguments.family, arguments.output
    )
    if draft.spec.name in backbones:
        raise ConfigError(f"{draft.spec.name!r} is registered already; give another --name.")
    text = entry_text(draft, arguments.to.parent if arguments.to else None)
    if arguments.to is None:
        terminal.write(text)
    else:
        _add_entry(arguments.to, draft.spec.name, text)
    for note in draft.notes:
        terminal.note(note)
    results = list(examine(draft.spec, download=False, device=arguments.device))
    _print_results(terminal, draft.spec, results)
    if arguments.to is not None:
        terminal.print_written([arguments.to])
        terminal.print(
            f"next: bob-bench run --registry {shlex.quote(str(arguments.to))} --backbones "
            f"{draft.spec.name} --data YOUR_IMAGES"
        )
    return FAILED if any(result.verdict == "wrong" for result in results) else OK


def entry_text(draft: DraftEntry, folder: Path | None) -> str:
    """Return an entry as YAML; the path of its weights is relative to `folder`, where given.

    Keys that only its author knows are comments.
    """
    values = {key: draft.values[key] for key in KEYS if key in draft.values}
    if folder is not None:
        file = os.path.relpath(draft.values["weights"]["file"], folder.absolute())
        values["weights"] = {**draft.values["weights"], "file": file}
    body = yaml.safe_dump({draft.spec.name: values}, sort_keys=False, width=96)
    return (
        f"{body}  # pretraining: {{method: , data: , seen: []}}  # seen: datasets that are in it\n"
        "  # licence:\n  # paper:\n"
    )


def _add_entry(file: Path, name: str, text: str) -> None:
    """Write a registry file, or add an entry to the one that is there."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    if name in (yaml.safe_load(before) or {}):
        raise ConfigError(f"{str(file)!r} has an entry {name!r} already; give another --name.")
    gap = "\n" if before and not before.endswith("\n\n") else ""
    write_atomically(file, f"{before}{gap}{text}".encode())


def examine(spec: BackboneSpec, *, download: bool, device: str) -> Iterator[CheckResult]:
    """Check the facts of an entry, its names in the library, the architecture, and a run.

    Later checks are skipped if an earlier one shows that they would fail for the same reason.
    `download` allows missing weights to be downloaded for the run.
    """
    missing = [
        name
        for name in FACTS
        if getattr(spec, name) is None
        and not (name == "input_px" and spec.preprocessing and spec.preprocessing.input_px)
    ]
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
