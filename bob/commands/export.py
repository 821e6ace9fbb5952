"""`bob-bench export`: backbone and probe as an ONNX graph, or as a program for timm."""

import argparse

from bob.backbones.availability import require_code_permission
from bob.commands.arguments import require_output_file
from bob.commands.terminal import Terminal
from bob.errors import OK, ConfigError
from bob.heads.onnx_graph import export_onnx
from bob.heads.predict import load_recorded
from bob.heads.python_code import export_python, weights_beside
from bob.heads.saved_probe import read_probe


def run(arguments: argparse.Namespace) -> int:
    """Write the requested files; ConfigError if none is requested, or if one would not work."""
    if arguments.onnx is None and arguments.python is None:
        raise ConfigError("give --onnx FILE or --python FILE, or both.")
    if arguments.python is not None and arguments.python.suffix != ".py":
        raise ConfigError(f"--python {str(arguments.python)!r}: must end in .py.")
    terminal = Terminal()
    probe = read_probe(arguments.probe)
    weights = probe.facts.backbone.weights
    read = [arguments.probe, *([weights.file] if weights and weights.file else [])]
    require_output_file("--onnx", arguments.onnx, read)
    if arguments.python is not None:
        for written in (arguments.python, weights_beside(arguments.python)):
            require_output_file("--python", written, read)
    if probe.facts.is_ridge and probe.facts.temperature is None:
        raise ConfigError(
            f"{str(arguments.probe)!r}: the outputs of a ridge probe without a temperature have no "
            "probabilities to export; save the probe of the task linear instead."
        )
    require_code_permission([probe.facts.backbone], arguments.allow_code)
    if arguments.python is not None:
        plain = load_recorded(probe.facts, "cpu", offline=arguments.offline, folded=False)
        terminal.print_written(export_python(probe, plain, arguments.python))
    if arguments.onnx is not None:
        backbone = load_recorded(probe.facts, "cpu", offline=arguments.offline)
        difference = export_onnx(probe, backbone, arguments.onnx)
        terminal.print(f"outputs of the graph differ from the probe's by at most {difference:.1g}")
        terminal.print_written([arguments.onnx])
    return OK
