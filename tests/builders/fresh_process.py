"""Python programs in processes of their own that do not import PyTorch anew.

A first run imports libraries for seven seconds of processor time. Here, one process imports them
once and every program forks from it: multiprocessing's fork server. A program whose environment
names another hub, home, cache or folder of packages imports Bob, timm and the hub's client anew, so
that they read it as in a new process. The number of threads is that of the session.
"""

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

ROOT = Path(__file__).parents[2]
READ_ON_IMPORT = ("HF_", "HOME", "MPL", "XDG_")
"""First letters of the variables that some modules read when they are imported."""
READERS = {"bob", "datasets", "huggingface_hub", "matplotlib", "tests", "timm", "transformers"}
"""Packages that read them, and those that import from these."""


class Program:
    """A program that was started in a process of its own."""

    def __init__(self, words: Sequence[str], process: ForkServerProcess, streams: Path) -> None:
        self._words, self._process, self._streams = [*words], process, streams

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def ends_within(self, seconds: float) -> bool:
        self._process.join(seconds)
        return not self._process.is_alive()

    def wait(self, seconds: float | None = None) -> "subprocess.CompletedProcess[str]":
        """Return the exit code of the program and what it wrote, when it has ended.

        A process that a signal ended has the negative number of the signal as its exit code.
        AssertionError if it runs for longer than that.
        """
        self._process.join(seconds)
        out, err = (
            (self._streams / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")
        )
        assert self._process.exitcode is not None, f"runs for more than {seconds} s: {err}"
        return subprocess.CompletedProcess(self._words, self._process.exitcode, out, err)


@contextlib.contextmanager
def running_python(
    words: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    folder: Path = ROOT,
    text: str = "",
) -> Iterator[Program]:
    """Start `python WORDS...` in a folder, and kill it at the end if it still runs.

    The words begin with -m MODULE or -c PROGRAM. `text` is the standard input.
    """
    with tempfile.TemporaryDirectory() as place:
        streams = [Path(place) / name for name in ("stdin", "stdout", "stderr")]
        for stream in streams:
            stream.write_text(text if stream.name == "stdin" else "", encoding="utf-8")
        arguments = ([*words], {**environment}, str(folder), [*map(str, streams)])
        process = _fork_server().Process(target=_program, args=arguments)
        process.start()
        try:
            yield Program(words, process, Path(place))
        finally:
            if process.is_alive():
                process.kill()
            process.join()


def run_python(
    words: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    folder: Path = ROOT,
    text: str = "",
) -> "subprocess.CompletedProcess[str]":
    """Run `python WORDS...` to its end; see `running_python` and `Program.wait`."""
    with running_python(words, environment, folder, text) as program:
        return program.wait()


def _fork_server() -> ForkServerContext:
    """Return the context whose server has imported the libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.builders.preloaded"])
    return context


def _program(
    words: list[str], environment: dict[str, str], folder: str, streams: list[str]
) -> None:
    """Replace streams, environment and folder, and run the program as `python` does."""
    for number, stream in enumerate(streams):
        os.dup2(os.open(stream, os.O_RDWR), number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )
    if _read_on_import(environment) != _read_on_import(os.environ):
        for module in [name for name in sys.modules if name.partition(".")[0] in READERS]:
            del sys.modules[module]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    kind, program, *arguments = words
    sys.argv = [kind, *arguments]
    if kind == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})


def _read_on_import(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that modules read, and the folders of other packages than this one."""
    read = {name: text for name, text in environment.items() if name.startswith(READ_ON_IMPORT)}
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    return read | {folder: "" for folder in folders if folder not in ("", str(ROOT))}
