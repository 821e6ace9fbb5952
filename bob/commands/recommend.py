"""`bob-bench recommend`: the best backbone within limits. Does not import torch."""

import argparse
import dataclasses
import json
from typing import Any

from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK
from bob.leaderboards.advice import Advice, advise
from bob.leaderboards.gather import gather_selection
from bob.leaderboards.limits import BackboneLimits
from bob.leaderboards.render.advice import advice_sentences
from bob.leaderboards.render.ranking_table import pool_text


def run(arguments: argparse.Namespace) -> int:
    """Print the recommended backbone, those tied with it, and what the limits cost.

    Returns FAILED if no backbone meets the limits.
    """
    gathered, records = gather_selection(
        arguments.results, arguments.tasks, arguments.datasets, arguments.data
    )
    limits = BackboneLimits(
        max_params=arguments.max_params,
        max_gflops=arguments.max_gflops,
        max_width=arguments.max_width,
        max_peak_mib=arguments.max_peak_mib,
        min_images_per_s=arguments.min_images_per_s,
        licence=arguments.licence,
        device=arguments.device,
        runtime=arguments.runtime,
    )
    advice = advise(records, limits, gathered.per_example)
    terminal = Terminal()
    for problem in gathered.problems:
        terminal.note(problem)
    if arguments.json:
        terminal.write_line(json.dumps(advice_json(advice), indent=1))
    else:
        for sentence in advice_sentences(advice):
            terminal.print(sentence)
    return OK if advice.pick else FAILED


def advice_json(advice: Advice) -> dict[str, Any]:
    """Return a recommendation as plain values, with its sentences."""
    pick, without_limits = advice.pick, advice.without_limits
    return {
        "limits": dataclasses.asdict(advice.limits),
        "speeds": advice.conditions._asdict() if advice.conditions else None,
        "pool": pool_text(advice.ranking),
        "settings": [str(column) for column in advice.ranking.settings],
        "basis": advice.ranking.basis,
        "candidates": advice.candidates,
        "pick": dataclasses.asdict(pick) | {"costs": advice.costs} if pick else None,
        "tied": [dataclasses.asdict(alternative) for alternative in advice.tied],
        "not_tested": advice.untested,
        "without_limits": dataclasses.asdict(without_limits) if without_limits else None,
        "left_out": advice.incomplete,
        "excluded": advice.excluded,
        "not_comparable": advice.not_comparable,
        "baseline_is_better": {
            str(column): dataclasses.asdict(baseline)
            for column, baseline in advice.better_baselines.items()
        },
        "sentences": advice_sentences(advice),
    }
