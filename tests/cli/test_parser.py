"""The command line parses, dispatches and explains itself; help and lists stay light."""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bob.commands
from bob.cli import bound_terminal_size, main
from bob.cli.parser import COMMANDS, build_parser
from bob.cli.quantities import count, period, size
from bob.errors import USAGE
from bob.io.waiting import WAIT_VARIABLES, wait_passively

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]
DAY = 86400.0


def help_texts(name: str) -> dict[str, str | None]:
    """Return the help text of every argument of a command, by its flag or metavar."""
    parser = argparse.ArgumentParser()
    next(module for module in COMMANDS if module.__name__.endswith(f".{name}")).add_arguments(
        parser
    )
    return {
        "/".join(action.option_strings) or str(action.metavar or action.dest): action.help
        for action in parser._actions
    }


def test_every_command_has_a_module_of_its_name():
    shared = {"__init__", "arguments", "plan_report", "recorded_images", "terminal"}
    files = {path.stem for path in Path(bob.commands.__path__[0]).glob("*.py")}
    assert files - shared == set(NAMES)
    for name in NAMES:
        assert callable(importlib.import_module(f"bob.commands.{name}").run)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_argument_has_a_help_text(name):
    module = importlib.import_module(f"bob.cli.{name}")
    assert module.HELP[0].islower() and not module.HELP.endswith(".")
    assert module.DESCRIPTION[0].isupper() and module.DESCRIPTION.endswith(".")
    assert all(help_texts(name).values()), help_texts(name)


@pytest.mark.parametrize("name", NAMES)
def test_help_states_every_default_value(name):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"bob.cli.{name}").add_arguments(parser)
    for action in parser._actions:
        if action.option_strings and action.default not in (None, False, [], argparse.SUPPRESS):
            assert "default: " in str(action.help), action.option_strings


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["list", "backbones"], ["list", "tasks"], ["list", "datasets"]],
)
def test_help_and_lists_load_nothing_heavy(words):
    program = (
        "import sys, bob.cli\n"
        "try: bob.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "timm", "pandas", "datasets", "sklearn", "scipy", "faiss", "matplotlib"}
    heavy |= {"rich"}
    assert not heavy & set(done.stderr.split())
    assert done.stdout


def test_without_a_command_the_help_is_an_error(capfd):
    assert main([]) == USAGE
    out, err = capfd.readouterr()
    assert "commands:" in err and not out


@pytest.mark.parametrize(
    "words",
    [
        ["race", "--matrix", "m", "--labels", "y", "--seed", "-1"],
        ["fuse", "a,b", "--seed", "-1"],
        ["probe", "a", "--to", "p.safetensors", "--seed", "-1"],
    ],
    ids=lambda words: words[0],
)
def test_no_seed_is_below_0(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == USAGE
    assert "'-1' is not a whole number of at least 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "0"], "is not a whole number of at least 1"),
        (["--seeds", "1,1"], "is not a list of different whole numbers"),
        (["--seeds", "1,01"], "is not a list of different whole numbers"),
        (["--race-seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["--max-params", "big"], "is not a number such as 30M"),
        (
            ["--bakbones", "all"],
            "error: unrecognized arguments: --bakbones all; did you mean '--backbones'? "
            "Run `bob-bench run --help` for usage.",
        ),
        (["--seed=3"], "unrecognized arguments: --seed=3; did you mean '--seeds'?"),
        (["--alpha", "whit"], "; did you mean 'white'? Run `bob-bench run --help` for usage."),
        (["stray"], "unrecognized arguments: stray. Run `bob-bench run --help`"),
    ],
)
def test_invalid_arguments_are_errors_of_one_line(capfd, words, message):
    with pytest.raises(SystemExit, match="2"):
        main(["run", *words])
    err = capfd.readouterr().err
    assert message in err and len(err.splitlines()) == 1


def test_the_parsed_command_names_its_module_and_parser():
    arguments = build_parser().parse_args(["list", "tasks"])
    assert arguments.command == "list" and arguments.parser.prog == "bob-bench list"


@pytest.mark.parametrize(("text", "expected"), [("500M", 500 * 2**20), ("1.5G", 1.5 * 2**30)])
def test_sizes_are_in_bytes(text, expected):
    assert size(text) == expected


def test_periods_are_in_seconds():
    assert [period("12h"), period("30d"), period("2w")] == [12 * 3600, 30 * DAY, 14 * DAY]


@pytest.mark.parametrize("text", ["", "30", "d", "3x", "-1d"])
def test_an_invalid_period_is_an_error(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time such as 12h, 30d or 8w"):
        period(text)


@pytest.mark.parametrize("text", ["", "M", "x", "-1", "-3M", "nan", "inf", "1e999"])
def test_a_count_is_a_finite_number_of_at_least_0(text):
    assert [count("30M"), count("1.5K"), count("0")] == [30_000_000, 1500, 0]
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number such as 30M or 500K"):
        count(text)


@pytest.mark.parametrize("text", ["", "4,5", "-1", "nan", "inf", "1e999"])
@pytest.mark.parametrize("flag", ["--max-gflops", "--max-peak-mib", "--min-images-per-s"])
def test_a_limit_is_a_finite_number_of_at_least_0(
    flag: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = vars(build_parser().parse_args(["recommend", flag, "4.5"]))
    assert arguments[flag[2:].replace("-", "_")] == 4.5
    with pytest.raises(SystemExit, match="2"):
        main(["recommend", f"{flag}={text}"])
    assert f"argument {flag}: {text!r} is not a number of at least 0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(name):
    environment = {}
    wait_passively(environment)
    assert environment == {"OMP_WAIT_POLICY": "PASSIVE"}
    environment = {name: "7"}
    wait_passively(environment)
    assert environment == {name: "7"}


def test_the_policy_is_set_before_openmp_is_loaded():
    """By the first function of `bob`, and by the command line; not by `import bob` alone."""
    program = (
        "import bob, os, sys\n"
        "print('OMP_WAIT_POLICY' in os.environ)\n"
        "bob.BobError\n"
        "print(os.environ.pop('OMP_WAIT_POLICY'), 'torch' in sys.modules)\n"
        "from bob.cli import main\n"
        "assert main(['list', 'tasks']) == 0\n"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in WAIT_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["False", "PASSIVE False"] and lines[-1] == "PASSIVE False"


@pytest.mark.parametrize(
    ("text", "bounded"),
    [
        ("80", "80"),
        ("1", "20"),
        ("019", "20"),
        ("0", None),
        ("-5", None),
        ("", None),
        ("wide", None),
        ("²", None),  # a digit that is no number
        ("9" * 5_000, "10000"),
    ],
)
def test_a_stated_size_of_the_terminal_is_one_that_tables_fit_in(
    text: str, bounded: str | None
) -> None:
    environment = {"COLUMNS": text, "LINES": text, "TERM": "dumb"}
    bound_terminal_size(environment)
    stated = {} if bounded is None else {"COLUMNS": bounded, "LINES": bounded}
    assert environment == {**stated, "TERM": "dumb"}
