"""The plan of a run as text: what is left out and why, notes, and the estimated cost."""

import re
from collections.abc import Sequence

from bob.commands.terminal import Terminal, counted, duration
from bob.engine.estimate import estimate
from bob.leaderboards.render.data_report import summary_line
from bob.plan import Plan, Skip, Workspace

SKIPS_LISTED = 3
"""Most skips for similar reasons that are printed on a line each; more share one line."""
_NAMES = re.compile(r"'[^']*'|\([^)]*\)|https?://\S+")
"""Names and addresses, which are ignored when reasons are compared."""


def print_plan(terminal: Terminal, plan: Plan, workspace: Workspace) -> None:
    """Print what is left out and why, notes on datasets and backbones, and the estimated cost."""
    _print_left_out(terminal, plan)
    for name in plan.datasets_to_do():
        terminal.print(summary_line(name, workspace.report(name)))
        for note in workspace.dataset(name).notes:
            terminal.note(f"dataset {name}: {note}")
    for name in sorted({cell.backbone for cell in plan.cells}):
        for note in workspace.card(plan.backbones[name]).notes:
            terminal.note(f"backbone {name}: {note}")
    if any(plan.all_cells()) or not plan.unsuited:
        _print_work(terminal, plan, workspace)


def _print_left_out(terminal: Terminal, plan: Plan) -> None:
    """Print what is missing, skipped, excluded, failed or not applicable, with reasons."""
    for skip in plan.skipped:
        if skip.exact:
            terminal.error(f"missing: {skip.reason}")
    for text in skips_text([skip for skip in plan.skipped if not skip.exact]):
        terminal.note(f"skipped: {text}")
    if plan.too_large:
        terminal.note(f"excluded by --max-params: {', '.join(plan.too_large)}")
    for reason in dict.fromkeys(unscored.reason for unscored in plan.failed):
        terminal.error(reason)
    for reason in (*plan.unsuited, *_not_applicable(plan)):
        terminal.note(f"not applicable: {reason}")


def _print_work(terminal: Terminal, plan: Plan, workspace: Workspace) -> None:
    """Print the numbers of cells, and the estimated cost of those to score."""
    cells = list(plan.all_cells())
    sizes = [
        counted(len({cell.backbone for cell in cells}), "backbone"),
        counted(len({cell.task for cell in cells}), "task"),
        counted(len({cell.dataset for cell in cells}), "dataset"),
    ]
    terminal.print(
        f"plan: {' × '.join(sizes)} on {workspace.machine.device}: "
        f"{counted(len(plan.cells), 'cell')} to do, {len(plan.done)} done"
    )
    if plan.lacking:
        terminal.print(
            f"      {counted(plan.lacking, 'record')} among these cells: their tasks have gained "
            "scores since, which are added from stored features"
        )
    if not cells:
        terminal.note("no backbone to run; `bob-bench list backbones` shows those on this machine")
    if plan.cells:
        expected = estimate(plan, workspace)
        mib = f"{expected.disk_bytes / 2**20:.0f} MiB of features and statistics"
        terminal.print(
            f"      {expected.work.decoded:,} images to decode, {expected.rows:,} rows to embed, "
            f"{mib}; estimated time {duration(expected.work.seconds)}"
        )


def _not_applicable(plan: Plan) -> list[str]:
    """Return one line per reason, with the names of the backbones it applies to."""
    names: dict[str, set[str]] = {}
    for unscored in plan.not_applicable:
        names.setdefault(unscored.reason, set()).add(unscored.cell.backbone)
    return [f"{reason} {', '.join(sorted(backbones))}" for reason, backbones in names.items()]


def skips_text(skips: Sequence[Skip]) -> list[str]:
    """Return one line per skip, or one for all skips whose reasons differ in names only."""
    groups: dict[str, list[Skip]] = {}
    for skip in skips:
        groups.setdefault(f"{skip.kind} {_NAMES.sub('', skip.reason)}", []).append(skip)
    return [text for group in groups.values() for text in _similar_skips_text(group)]


def _similar_skips_text(skips: Sequence[Skip]) -> list[str]:
    if len(skips) <= SKIPS_LISTED:
        return [skip.reason for skip in skips]
    first, *others = skips
    return [
        f"{len(skips)} {first.kind}s for similar reasons, such as: {first.reason} "
        f"The others: {', '.join(skip.name for skip in others)}"
    ]
