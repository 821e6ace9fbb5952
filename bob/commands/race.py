"""`bob-bench race` on given predictions, and what `bob-bench run --race` adds to a run."""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bob.commands.terminal import Terminal
from bob.errors import OK, ConfigError, NotApplicableError
from bob.leaderboards.render.race import matrix_sentences, matrix_table
from bob.numerics.arrays import Bools
from bob.statistics.races import RaceResult, race_matrix, random_order

if TYPE_CHECKING:
    from bob.engine.engine import Engine
    from bob.plan import Plan, Request, Workspace
    from bob.records.record import Record

LEAST_BLOCK = 10


def run(arguments: argparse.Namespace) -> int:
    """Print the survivors of a race, and what was dropped when.

    ConfigError where the files are not predictions, labels and names of the same shape.
    """
    check_claim(arguments)
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
        arguments.certify,
    )
    terminal = Terminal()
    if arguments.json:
        terminal.write_line(json.dumps(race_json(result, names, count, arguments), indent=1))
    else:
        terminal.render(matrix_table(result, names))
        for sentence in matrix_sentences(
            result,
            models,
            count,
            arguments.race_error,
            arguments.target,
            arguments.certify,
        ):
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
    for kind, remedy in (("U", "both as text"), ("b", "classes, not right and wrong")):
        if (predicted.dtype.kind == kind) != (y.dtype.kind == kind):
            raise ConfigError(
                f"--matrix holds {predicted.dtype} and --labels {y.dtype}; give both as integers, "
                f"or {remedy}."
            )
    right = np.asarray(predicted == y[:, None])
    if not right.any():
        raise ConfigError(
            f"no prediction in --matrix {str(matrix)!r} is right: do it and --labels count classes "
            "in the same way? The first ones are "
            f"{predicted[0, 0].item()!r} and {y[0].item()!r}."
        )
    return right


def _array(flag: str, path: Path) -> NDArray[Any]:
    """Return the classes in a .npy file: integers, whole numbers as floats, or text."""
    try:
        with np.errstate(over="ignore"):  # a size that no file has
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError) as error:
        problem = str(error)
        if "pickled" in problem or "objects" in problem:
            problem = "it holds Python objects, or is damaged; save integers or text"
        raise ConfigError(
            f"{flag} {str(path)!r}: is not a readable .npy file ({problem})."
        ) from error
    if not isinstance(array, np.ndarray):
        raise ConfigError(f"{flag} {str(path)!r}: must be one .npy array, not an archive.")
    is_whole = array.dtype.kind == "f" and bool((np.floor(array) == array).all())
    is_whole &= bool(np.isfinite(array).all()) if is_whole else False
    if array.dtype.kind not in "iubU" and not is_whole:
        advice = ", such as the argmax of probabilities" if array.dtype.kind == "f" else ""
        raise ConfigError(
            f"{flag} {str(path)!r}: must hold classes, as integers or text{advice}; got "
            f"{array.dtype} with values that are no classes."
        )
    return array


def _names(path: Path | None, models: int) -> Sequence[str]:
    if path is None:
        return [f"model {i}" for i in range(models)]
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
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
        "indifference": result.margin,
        "certified": arguments.certify,
        "seed": arguments.seed,
        "examples_seen": result.examples,
        "survivors": [
            {"model": names[i], "column": i, "accuracy": float(result.sums[i]) / result.examples}
            for i in result.survivors
        ],
        "dropped": [
            {
                "model": names[drop.backbone],
                "column": drop.backbone,
                "examples": drop.examples,
                "accuracy": drop.value / drop.examples,
                "rival": names[drop.rival],
                "rival_accuracy": drop.rival_value / drop.examples,
                "log_evidence": drop.log_evidence,
            }
            for drop in result.drops
        ],
        "evaluations": result.evaluations,
        "evaluations_of_all": everything,
        "evaluations_saved": 1 - result.evaluations / everything,
    }


def check_claim(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for a claim about ties that no race can make."""
    if arguments.certify != "tie":
        return
    if arguments.indifference > 0:
        raise ConfigError(
            "--certify tie lets go of ties, and takes no --indifference above 0; got "
            f"{arguments.indifference:g}."
        )
    if getattr(arguments, "target", None) == "test-set":
        raise ConfigError("--certify tie is about the population; leave out --target test-set.")


def check_flags(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for flags of `run` that do not go together with or without --race."""
    if not arguments.race:
        changed = {
            "--indifference": arguments.indifference,
            "--certify": arguments.certify != "drops",
            "--budget": any(arguments.budget),
            "--race-seed": arguments.race_seed,
        }
        for flag, value in changed.items():
            if value:
                raise ConfigError(f"{flag} belongs to --race.")
        return
    check_claim(arguments)
    if arguments.plan:
        raise ConfigError("--race makes a plan of its own as it goes; leave out --plan.")
    if arguments.fresh:
        raise ConfigError("--race resumes from stored features; leave out --fresh.")
    if arguments.engine != "local":
        raise ConfigError(f"--race runs in this process; got --engine {arguments.engine!r}.")


def raceable(request: "Request", terminal: Terminal) -> "Request":
    """Return the request with those of its tasks that can be raced, and note the others.

    NotApplicableError where there is none.
    """
    from bob.engine.racing.trial import require_raceable

    tasks, problems = [], []
    for task in request.tasks:
        try:
            require_raceable(task)
            tasks.append(task)
        except NotApplicableError as error:
            problems.append((task.name, error))
    if not tasks:
        raise NotApplicableError("\n".join(str(error) for _, error in problems))
    if problems:
        names = ", ".join(name for name, _ in problems)
        terminal.note(f"left out, since they cannot be raced: {names}")
    return dataclasses.replace(request, tasks=tasks)


def race_records(
    arguments: argparse.Namespace,
    plan: "Plan",
    workspace: "Workspace",
    engine: "Engine",
    terminal: Terminal,
) -> "Iterator[Record]":
    """Carry out a plan with races, and yield its records."""
    from bob.engine.racing.contest import RaceSettings
    from bob.engine.racing.run import RaceBudget, RaceRun

    settings = RaceSettings(
        arguments.race_error, arguments.indifference, arguments.race_seed, arguments.certify
    )
    budget = RaceBudget(arguments.budget.seconds, arguments.budget.images)
    return RaceRun(plan, workspace, engine, terminal, settings, budget).run()
