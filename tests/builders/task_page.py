"""The reference of task files, from the task files, the protocols and the metrics.

`python -m tests.builders.task_page` writes docs/reference/tasks.md; a test keeps it up to date.
"""

import ast
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from bob.metrics import METRICS
from bob.protocols import load_protocols
from bob.registry import load_registry
from bob.specs import TaskSpec
from bob.specs.yaml import Closed

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tasks.md"
INTRODUCTION = """\
# Task files

This page is generated from `tasks/`, the protocols and the metrics by
`python -m tests.builders.task_page`; a test keeps it up to date.

A task is one setting of one protocol: a YAML file named after the task, in `tasks/` or in a folder
that `--tasks-dir` names. Unknown keys, wrong types and metrics that do not read the protocol's
outcomes are errors that name the file and the key. [How to add a task or a
protocol](../how_to/own_task.md) has a complete example.

```yaml
# tasks/knn_euclidean.yaml
{example}```
"""
WORDS = {bool: "true or false", float: "number", int: "integer", str: "text"}


def task_page() -> str:
    """Return the reference as Markdown."""
    tasks = [chosen for _, chosen in sorted(load_registry().tasks.items())]
    example = (PAGE.parents[2] / "tasks" / "knn_euclidean.yaml").read_text(encoding="utf-8")
    parts = [
        INTRODUCTION.format(example=example),
        "## Keys\n",
        *(row for row in _fields(TaskSpec) if not row.startswith("| `name`")),
        "\n## Tasks\n",
        *_tasks(tasks),
        "\n## Settings of the protocols\n",
        "The docstring of each module states the paper, the official code and every difference.\n",
        *_protocols(),
        "## Metrics\n",
        "Kinds of intervals are explained in [statistics](../explanation/statistics.md).\n",
        *_metrics(),
        "",
    ]
    return "\n".join(parts)


def _tasks(tasks: list[TaskSpec]) -> Iterator[str]:
    yield "`core` tasks run when no task is named.\n"
    yield "| task | protocol | version | core | ranks by | what it does |"
    yield "|---|---|---|---|---|---|"
    for task in tasks:
        core = "yes" if "core" in task.groups else ""
        facts = [f"`{task.name}`", task.protocol, task.version, core, f"`{task.metrics[0]}`"]
        yield _row([*facts, task.summary])


def _protocols() -> Iterator[str]:
    for name, protocol in sorted(load_protocols().items()):
        module = type(protocol).__module__.replace(".", "/") + ".py"
        kinds = ", ".join(sorted(protocol.kinds))
        yield f"### {name}\n\n`{module}`. Datasets: {kinds}.\n"
        yield from _fields(protocol.settings)
        yield ""


def _fields(model: type[Closed]) -> Iterator[str]:
    """Yield a table of the fields of a model and of the models that it extends."""
    yield "| key | value | meaning |\n|---|---|---|"
    classes = [c for c in reversed(model.__mro__) if issubclass(c, Closed) and c is not Closed]
    for cls in classes:
        (body,) = ast.parse(inspect.getsource(cls)).body
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                yield _field(model, field.target.id, after)


def _field(model: type[Closed], name: str, after: ast.stmt | None) -> str:
    """Return the row of a field, whose docstring is the statement `after` it."""
    meaning = ""
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        meaning = inspect.cleandoc(str(after.value.value))
    facts = model.model_fields[name]
    default = "" if facts.is_required() else f" (default: {_default(facts.default)})"
    value = _type(facts.annotation) + _bounds(facts.metadata)
    return _row([f"`{name}`", value + default, meaning])


def _default(value: object) -> str:
    if value is None or value == ():
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(annotation: Any) -> str:
    """Return a type as words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0]) + _bounds(parts[1:])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"list of {_type(parts[0])}" if parts[-1] is ... else f"[{_each(parts)}]"
    if parts:
        return " or ".join(_type(part) for part in parts if part is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, Closed):
        name = annotation.__name__
        return "mapping" if annotation is Closed else f"mapping, as {name.removesuffix('Settings')}"
    return WORDS[annotation]


def _each(parts: Sequence[Any]) -> str:
    return ", ".join(map(_type, parts))


def _bounds(metadata: Sequence[Any]) -> str:
    """Return the bounds of a number as words; one constraint may hold several."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    constraints = [c for item in metadata for c in getattr(item, "metadata", [item])]
    found = [
        f"{sign} {getattr(constraint, name)}"
        for constraint in constraints
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]
    return f" {' and '.join(found)}" if found else ""


def _metrics() -> Iterator[str]:
    yield "| metric | reads | better | interval | what it is |\n|---|---|---|---|---|"
    for name, metric in METRICS.items():
        better = "higher" if metric.higher_is_better else "lower"
        facts = [f"`{name}`", f"`{metric.outcome.__name__}`", better, metric.interval]
        yield _row([*facts, metric.summary])


def _row(cells: list[object]) -> str:
    texts = (str(cell).replace("\n", " ").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(texts)} |"


if __name__ == "__main__":
    PAGE.write_text(task_page(), encoding="utf-8")
