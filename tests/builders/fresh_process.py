"""Python programs in processes of their own that do not import PyTorch anew.

A first run imports libraries for seven seconds of processor time. Here, one process imports them
once and every program forks from it: multiprocessing's fork server. Bob itself, timm and the hub's
client are not among them, so that they read the environment as in a new process. The number of
threads is that of the session.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRELOADED = (
    "faiss",
    "pyarrow.pandas_compat",
    "scipy.stats",
    "sklearn.linear_model",
    "torch._dynamo",
    "torch.utils.flop_counter",
    "torchvision.transforms",
)


def run_python(
    words: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    folder: Path = ROOT,
    text: str = "",
) -> "subprocess.CompletedProcess[str]":
    """Run `python WORDS...` in a folder and return its exit code and what it wrote.

    The words begin with -m MODULE or -c PROGRAM. `text` is the standard input. A process that a
    signal ended has the negative number of the signal as its exit code.
    """
    with tempfile.TemporaryDirectory() as place:
        streams = [Path(place) / name for name in ("stdin", "stdout", "stderr")]
        for stream in streams:
            stream.write_text(text if stream.name == "stdin" else "", encoding="utf-8")
        arguments = ([*words], {**environment}, str(folder), [*map(str, streams)])
        process = _fork_server().Process(target=_program, args=arguments)
        process.start()
        process.join()
        out, err = (stream.read_text(encoding="utf-8") for stream in streams[1:])
        assert process.exitcode is not None
        return subprocess.CompletedProcess([*words], process.exitcode, out, err)


def _fork_server() -> ForkServerContext:
    """Return the context whose server has imported the libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
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
