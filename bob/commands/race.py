"""`bob-bench race`: a race of models on given predictions. Does not import torch."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from bob.commands.terminal import Terminal, counted
from bob.errors import OK, ConfigError
from bob.numerics.arrays import Bools
from bob.statistics.racing import RaceResult, race_matrix, random_order

LEAST_BLOCK = 10


def run(arguments: argparse.Namespace) -> int:
    """Print the survivors of a race, and what was dropped when.

    ConfigError where the files are not predictions, labels and names of the same shape.
    """
    right = right_answers(arguments.matrix, arguments.labels)
    count, models = right.shape
    names = _names(arguments.names, models)
    block = arguments.look_every or max(LEAST_BLOCK, count // 100)
    end = min(count, arguments.budget or count)
    result = race_matrix(
        right[random_order(count, arguments.seed)],
        [*range(block, end, block), end],
        arguments.race_error,
        arguments.indifference,
        count if arguments.target == "test-set" else None,
    )
    terminal = Terminal()
    if arguments.json:
        terminal.write_line(json.dumps(race_json(result, names, count, arguments), indent=1))
    else:
        terminal.render(_table(result, names))
        for sentence in race_sentences(result, names, count, arguments):
            terminal.print(sentence)
    return OK


def right_answers(matrix: Path, labels: Path) -> Bools:
    """Return (N, K) whether each of K models has each of N examples right."""
    predicted, y = _array("--matrix", matrix), _array("--labels", labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if predicted.ndim != 2 or y.ndim != 1 or len(predicted) != len(y):
        turned = predicted.ndim == 2 and y.ndim == 1 and predicted.shape[1] == len(y)
        advice = " Transpose the matrix." if turned else ""
        raise ConfigError(
            f"--matrix must be (examples × models) and --labels (examples); got {predicted.shape} "
            f"and {y.shape}.{advice}"
        )
    if not len(y) or predicted.shape[1] < 2:
        raise ConfigError(
            f"--matrix {str(matrix)!r}: a race needs an example and two models; got "
            f"{predicted.shape}."
        )
    if (predicted.dtype.kind == "U") != (y.dtype.kind == "U"):
        raise ConfigError(
            f"--matrix holds {predicted.dtype} and --labels {y.dtype}; give both as integers, or "
            "both as text."
        )
    return np.asarray(predicted == y[:, None])


def _array(flag: str, path: Path) -> NDArray[Any]:
    """Return the classes in a .npy file: integers, whole numbers as floats, or text."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{flag} {str(path)!r}: is not a readable .npy file ({error})."
        ) from error
    if not isinstance(array, np.ndarray):
        raise ConfigError(f"{flag} {str(path)!r}: must be one .npy array, not an archive.")
    is_whole = array.dtype.kind == "f" and bool((np.mod(array, 1) == 0).all())
    if array.dtype.kind not in "iubU" and not is_whole:
        raise ConfigError(
            f"{flag} {str(path)!r}: must hold classes, as integers or text; got {array.dtype} "
            "with values that are no classes."
        )
    return array


def _names(path: Path | None, models: int) -> Sequence[str]:
    if path is None:
        return [f"model {i}" for i in range(models)]
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--names {str(path)!r}: cannot be read ({error}).") from error
    names = [name.strip() for name in names if name.strip()]
    if len(names) != models or len(set(names)) != models:
        raise ConfigError(
            f"--names {str(path)!r}: must hold {models} different names, one per line; got "
            f"{len(names)}, {len(set(names))} of them different."
        )
    return names


def race_json(
    result: RaceResult, names: Sequence[str], count: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return a race as plain values; accuracies are of the examples seen."""
    everything = count * len(names)
    return {
        "examples": count,
        "models": len(names),
        "target": arguments.target,
        "error": arguments.race_error,
        "indifference": arguments.indifference,
        "seed": arguments.seed,
        "examples_seen": result.examples,
        "survivors": [
            {"model": names[i], "column": i, "accuracy": int(result.right[i]) / result.examples}
            for i in result.survivors
        ],
        "dropped": [
            {
                "model": names[drop.backbone],
                "column": drop.backbone,
                "examples": drop.examples,
                "accuracy": drop.right / drop.examples,
                "rival": names[drop.rival],
                "rival_accuracy": drop.rival_right / drop.examples,
                "log_evidence": drop.log_evidence,
            }
            for drop in result.drops
        ],
        "evaluations": result.evaluations,
        "evaluations_of_all": everything,
        "evaluations_saved": 1 - result.evaluations / everything,
    }


def race_sentences(
    result: RaceResult, names: Sequence[str], count: int, arguments: argparse.Namespace
) -> list[str]:
    """Return what a race has shown, and what it saved."""
    everything = count * len(names)
    share = 100 * result.evaluations / everything
    beyond = f" by more than {arguments.indifference:g}" if arguments.indifference else ""
    what = "these examples" if arguments.target == "test-set" else "the population sampled"
    return [
        f"{counted(len(result.survivors), 'survivor')} of {len(names)}; "
        f"{result.examples:,} of {counted(count, 'example')} seen; "
        f"{result.evaluations:,} of {everything:,} evaluations ({share:.0f} %).",
        "With a probability of at least "
        f"{100 * (1 - arguments.race_error):g} %, each dropped model is worse{beyond} than some "
        f"other model on {what}.",
    ]


def _table(result: RaceResult, names: Sequence[str]) -> Table:
    table = Table()
    for title in ("model", "", "accuracy", "rival", "its accuracy"):
        table.add_column(title, justify="right" if "accuracy" in title else "left")
    for i in result.survivors:
        accuracy = f"{100 * result.right[i] / result.examples:.1f} %"
        table.add_row(Text(names[i], style="bold"), "survives", accuracy, "", "")
    for drop in reversed(result.drops):
        table.add_row(
            Text(names[drop.backbone]),
            f"dropped at {drop.examples:,}",
            f"{100 * drop.right / drop.examples:.1f} %",
            Text(names[drop.rival]),
            f"{100 * drop.rival_right / drop.examples:.1f} %",
            style="dim",
        )
    return table
