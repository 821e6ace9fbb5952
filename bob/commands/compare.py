"""`bob-bench recommend` and `bob-bench compare`: the leaderboard's answers in the terminal, or as JSON. Loads no torch."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from bob.commands.leaderboard import Gathered, gather
from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, ConfigError
from bob.io.files import slug
from bob.leaderboard.advice import Advice, advise, sentences
from bob.leaderboard.cells import cells, comparable
from bob.leaderboard.limits import Limits, choose
from bob.leaderboard.pairwise import Comparison, Duel, compare, tally
from bob.leaderboard.render.ranking_table import pool_text
from bob.leaderboard.render.text import limits_words, value_text
from bob.records.record import Record
from bob.specs.yaml import nearest


def recommend(arguments: argparse.Namespace) -> int:
    """The pick, its tie group and what one gives up. The exit code is 1 where no backbone meets the limits."""
    gathered, records = _asked(arguments)
    limits = Limits(
        max_params=arguments.max_params,
        max_gflops=arguments.max_gflops,
        max_width=arguments.max_width,
        max_peak_mib=arguments.max_peak_mib,
        min_images_per_s=arguments.min_images_per_s,
        licence=arguments.licence,
        device=arguments.device,
    )
    advice = advise(records, limits, gathered.evidence, gathered.outcomes)
    terminal = Terminal()
    if arguments.json:
        terminal.raw(json.dumps(advice_json(advice), indent=1))
    else:
        for sentence in sentences(advice):
            terminal.say(sentence)
    return OK if advice.pick else FAILED


def compare_two(arguments: argparse.Namespace) -> int:
    """Paired tests of two backbones, setting by setting and over all."""
    gathered, records = _asked(arguments)
    kept, _ = comparable(records)
    names = sorted({record.backbone_name for record in kept})
    for name in (arguments.a, arguments.b):
        if name not in names:
            raise ConfigError(f"no records of backbone {name!r}{nearest(name, names)} There are records of: {', '.join(names)}.")
    if arguments.a == arguments.b:
        raise ConfigError(f"backbone {arguments.a!r} is given twice; name two.")
    found = compare(arguments.a, arguments.b, cells(kept), gathered.outcomes)
    if not found.duels:
        raise ConfigError(f"{found.a!r} and {found.b!r} share no setting in which both have a value.")
    terminal = Terminal()
    if arguments.json:
        terminal.raw(json.dumps(comparison_json(found), indent=1))
    else:
        terminal.show(comparison_table(found))
        for sentence in comparison_sentences(found):
            terminal.say(sentence)
    return OK


def _asked(arguments: argparse.Namespace) -> tuple[Gathered, list[Record]]:
    """The records of the tasks and datasets that were asked for."""
    gathered = gather([arguments.results])
    if not gathered.records:
        raise ConfigError(f"{arguments.results}: holds no records; run `bob-bench run` first, or name the folder with --results.")
    datasets = ",".join([*([arguments.datasets] if arguments.datasets else []), *map(_dataset_name, arguments.data)])
    return gathered, choose(gathered.records, arguments.tasks, datasets)


def _dataset_name(data: str) -> str:
    """The name under which `--data` puts a folder or table into the records."""
    path = Path(data).expanduser()
    return slug(path.stem if path.suffix.lower() == ".csv" else path.absolute().name)


def advice_json(advice: Advice) -> dict[str, Any]:
    """Everything that the sentences say, as plain values."""
    return {
        "limits": dataclasses.asdict(advice.limits),
        "device": advice.device,
        "pool": pool_text(advice.ranking),
        "settings": [str(column) for column in advice.ranking.settings],
        "basis": advice.ranking.basis,
        "pick": dataclasses.asdict(advice.pick) | {"costs": advice.costs} if advice.pick else None,
        "tied": [dataclasses.asdict(trade) for trade in advice.tied],
        "without_limits": dataclasses.asdict(advice.given_up) if advice.given_up else None,
        "left_out": advice.ranking.left_out,
        "excluded": advice.excluded,
        "floor_is_better": {str(column): floor for column, floor in advice.no_better.items()},
        "sentences": sentences(advice),
    }


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Every duel and the overall difference, as plain values; differences are a minus b."""
    duels = [
        {"task": duel.column.task, "dataset": duel.column.dataset, "metric": duel.metric, "a": duel.a, "b": duel.b, "p_holm": duel.p}
        | {"difference": duel.difference._asdict() if duel.difference else None, "verdict": _verdict(duel, found.a, found.b)}
        for duel in found.duels
    ]
    return {"a": found.a, "b": found.b, "settings": duels, "overall": dataclasses.asdict(found.overall) if found.overall else None}


def comparison_table(found: Comparison) -> Table:
    """Backbones stand as A and B in it: their names would take the room of the numbers."""
    table = Table(title=Text(f"A: {found.a}\nB: {found.b}"), title_justify="left")
    for head in ("setting", "metric", "A", "B", "A - B, 95 %", "p", "p (Holm)", "verdict"):
        table.add_column(head, overflow="fold", no_wrap=head.startswith(("A", "B", "p")))
    for duel in found.duels:
        table.add_row(*map(Text, _fields(duel)))
    return table


def _fields(duel: Duel) -> list[str]:
    gap = duel.difference
    difference = "–" if gap is None else limits_words(duel.metric, gap.value, gap.low, gap.high)
    p = ["–", "–"] if gap is None or duel.p is None else [_p_text(gap.p), _p_text(duel.p)]
    verdict = _verdict(duel, "A", "B")
    return [str(duel.column), duel.metric, value_text(duel.metric, duel.a), value_text(duel.metric, duel.b), difference, *p, verdict]


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(duel: Duel, a: str, b: str) -> str:
    if duel.p is None:
        return "not tested: no per-example results of the same examples"
    return {1: f"{a} is better", -1: f"{b} is better", 0: "not told apart"}[duel.winner]


TEST_TEXT = {
    "mcnemar": "exact McNemar",
    "sign_flip": "sign-flip permutation",
    "t": "paired t",
    "bootstrap": "paired bootstrap",
}


def comparison_sentences(found: Comparison) -> list[str]:
    """Which tests, how many wins, and the mean difference."""
    count, tests = tally(found.duels), sorted({TEST_TEXT[duel.difference.test] for duel in found.duels if duel.difference})
    tested = len(found.duels) - count["untested"]
    lines = [f"Tests on the same examples: {', '.join(tests)}; p adjusted for {tested} settings (Holm)."] if tests else []
    undecided = f"not told apart in {count['neither']}, not tested in {count['untested']}"
    lines.append(f"{found.a} is better in {count['a']}, {found.b} in {count['b']}, {undecided}.")
    overall = found.overall
    if overall is None:
        return [*lines, "No mean over settings: their metrics are on different scales."]
    source = {"datasets": "over the datasets", "examples": "over the examples; too few datasets to test over them", "none": ""}[overall.basis]
    told = "not known how sure: too few datasets, and no per-example results" if overall.low is None else source
    return [*lines, f"Mean difference over {len(found.duels)} settings: {limits_words('top1', overall.value, overall.low, overall.high)} ({told})."]
