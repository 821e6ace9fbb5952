"""The command line: flags and values in any combination."""

import argparse
import contextlib
import io
import os
import random
from collections.abc import Sequence
from pathlib import Path

from bob.cli import main
from bob.cli.parser import build_parser
from tests.builders.feature_files import IDS, SPLIT, X, Y, npz
from tests.builders.leaderboard_records import facts
from tests.builders.photos import make_photos
from tests.builders.stored_sweep import sample_correct, store
from tests.fuzz.mutate import HOSTILE_TEXTS
from tests.fuzz.target import Case

WORDS = [text for text in HOSTILE_TEXTS if "\0" not in text and "/" not in text]
"""No argument can hold NUL, and nothing may be written outside the folder of the fuzzer."""
LEFT_OUT = {"--help", "-h", "--version", "--allow-code", "--yes", "--download"}
HEAVY = {"run", "evaluate", "doctor", "datasets", "features"}
"""Commands that compute: seconds where the others take milliseconds."""
NAMES = (
    "raw_pixels",
    "channel_statistics",
    "knn",
    "linear",
    "photos",
    "elpv",
    "a",
    "b",
    "c",
    "top1",
)


def prepare(folder: Path) -> Case:
    """Combine flags of the real parser with sound and hostile values, on a small sweep."""
    make_photos(folder / "photos", per_class=4, side_px=8)
    (folder / "files").mkdir()
    features = npz(folder / "files", x=X, y=Y, ids=IDS, split=SPLIT)
    for seed, name in enumerate("abc"):
        correct = dict.fromkeys(
            [("linear", "elpv"), ("knn", "textiles")], sample_correct(0.7, seed)
        )
        store(folder / "results", name, correct, backbone=facts(name))
    values: tuple[str, ...] = (
        *NAMES,
        str(folder / "photos"),
        str(features),
        str(folder),
        str(folder / "nowhere"),
    )
    values += ("1", "2", "3", "0.5", "30M", "10G", "7d", "1/2", "cpu", "auto", "0,1", "a,b")
    commands = _commands()
    light = [name for name in commands if name not in HEAVY]

    def case(rng: random.Random) -> bool:
        name = rng.choice(light if rng.random() < 0.85 else [*commands])
        words = [name, *_words(commands[name], values, rng)]
        if name == "run":
            words += ["--backbones", "raw_pixels", "--offline", "--dry-run"]
            words += ["--data", str(folder / "photos"), "--tasks", "knn"]
        if name == "datasets":
            words += ["--offline"]
        flags = {flag for action in commands[name]._actions for flag in action.option_strings}
        for flag, place in (("--results", "results"), ("--cache-dir", "cache")):
            if flag in flags:
                words += [flag, str(folder / place)]
        if name == "doctor":
            words += ["raw_pixels"]
        before = Path.cwd()
        os.chdir(folder / "files")
        try:
            return _call(words)
        finally:
            os.chdir(before)

    return case


def _commands() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def _words(parser: argparse.ArgumentParser, values: Sequence[str], rng: random.Random) -> list[str]:
    words: list[str] = []
    for action in rng.sample(parser._actions, min(len(parser._actions), rng.randrange(5))):
        flags = [flag for flag in action.option_strings if flag.startswith("--")]
        if action.option_strings and not set(action.option_strings) & LEFT_OUT:
            words.append(rng.choice(flags))
        takes_value = action.nargs != 0
        for _ in range(rng.choice((1, 1, 1, 0, 2)) if takes_value else 0):
            words.append(_value(action, values, rng))
    return words


def _value(action: argparse.Action, values: Sequence[str], rng: random.Random) -> str:
    if action.choices and rng.random() < 0.7:
        return str(rng.choice([*action.choices]))
    if rng.random() < 0.4:
        return rng.choice(WORDS)
    return rng.choice(values)


def _call(words: Sequence[str]) -> bool:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as error:  # argparse's own
            code = error.code  # type: ignore[assignment]
    text = out.getvalue() + err.getvalue()
    assert code in (0, 1, 2), f"{words}: exit code {code}"
    assert "Traceback" not in text, f"{words}: {text}"
    assert code == 0 or err.getvalue().strip() or code == 1, f"{words}: no message"
    return code == 0
