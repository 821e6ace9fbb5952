"""Records: their JSON, and their per-example arrays."""

import contextlib
import io
import json
import random
import shutil
from pathlib import Path

from bob.cli import main
from bob.leaderboards.gather import gather
from tests.builders.leaderboard_records import facts
from tests.builders.stored_sweep import sample_correct, store
from tests.fuzz.mutate import damaged, damaged_text, damaged_values
from tests.fuzz.target import Case

CELLS = [("linear", "elpv"), ("knn", "textiles")]
COMMANDS = (
    ("leaderboard",),
    ("recommend",),
    ("compare", "a", "b"),
    ("show", "a"),
    ("list", "records"),
)


def prepare(folder: Path) -> Case:
    """Damage one file of a small sweep, and read it as every command does."""
    sound = folder / "sound"
    for seed, name in enumerate("abc"):
        correct = dict.fromkeys(CELLS, sample_correct(0.7 + 0.05 * seed, seed, 60))
        store(sound, name, correct, backbone=facts(name))
    before = gather([sound])
    expected = {record.key for record in before.records}
    values_of = {record.key: before.per_example(record) for record in before.records}
    files = sorted(path.relative_to(sound) for path in (sound / "records").rglob("*.*"))

    def case(rng: random.Random) -> bool:
        results = folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(sound, results)
        path = results / rng.choice(files)
        data = path.read_bytes()
        way = rng.randrange(3) if path.suffix == ".json" else 0
        if way == 0:
            path.write_bytes(damaged(data, rng))
        elif way == 1:
            path.write_bytes(damaged_text(data.decode(), rng).encode("utf-8", "surrogatepass"))
        else:  # a record that somebody has edited, without the checksum
            values = damaged_values(json.loads(data), rng)
            values = {key: value for key, value in values.items() if key != "checksum"}
            path.write_text(json.dumps(values), encoding="utf-8", errors="surrogatepass")
        if rng.random() < 0.15:
            return _run(rng.choice(COMMANDS), results, folder)
        gathered = gather([results])
        gathered.board()
        values = {record.key: gathered.per_example(record) for record in gathered.records}
        if way < 2 and b'"checksum"' in path.read_bytes()[:40] and not gathered.problems:
            assert set(values) == expected, "a record is missing without a word"
            assert tuple(gathered.records) == tuple(before.records), "a record is another"
        if path.suffix == ".safetensors" and not gathered.problems:
            assert all((values[key] == values_of[key]).all() for key in expected)
        return not gathered.problems

    return case


def _run(words: tuple[str, ...], results: Path, folder: Path) -> bool:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words, "--results", str(results)])
    assert code in (0, 1, 2), code
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return code == 0
