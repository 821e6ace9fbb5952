"""What the terminal shows: progress as lines or as a live display, and repeated reasons."""

import io
import re

import pytest

from bob.commands.terminal import Terminal, counted, duration
from bob.engine.progress import OVERHEAD, ClusterState, RemotelyEmbedded
from bob.engine.racing.run import RaceStart
from bob.engine.racing.schedule import RaceStep
from bob.engine.work import Work
from bob.extraction.progress import Spent
from bob.records.record import Score
from bob.records.store import RecordStore
from bob.statistics.standing import RaceStanding
from tests.builders.leaderboard_records import dataset, record, task


def test_a_reason_of_several_lines_is_abridged_when_repeated(capfd):
    terminal = Terminal()
    for backbone in ("a", "b"):
        terminal.cell_ends(record(backbone, status="failed", reason="two files:\n  x\n  y"))
    err = capfd.readouterr().err
    assert err.count("two files:") == 2 and err.count("  x\n") == 1 and "(as above)" in err


def test_messages_are_printed_without_markup(capfd):
    Terminal().print("[bold]x[/bold]")
    Terminal().note("[y/N]")
    assert capfd.readouterr() == ("[bold]x[/bold]\n", "note [y/N]\n")


def test_what_several_machines_notice_is_printed_once(capfd):
    terminal = Terminal()
    for text in ("8 threads", "4 threads", "8 threads"):
        terminal.notice(text)
    assert capfd.readouterr().err == "note 8 threads\nnote 4 threads\n"


def test_a_run_on_a_cluster_states_nodes_speed_and_time_left(capfd):
    """4 workers share the 50 images that are left of 100, which take a second each."""
    terminal = Terminal()
    terminal.run_begins(Work({("photos", "train", "a"): 100}, {"a": 1.0}, cells=0))
    terminal.last_line = float("-inf")
    done = RemotelyEmbedded("photos", "train", "a", 50, 50.0)
    terminal.cluster(ClusterState(2, 4, 0, 0, 7.0), [done])
    left = duration(OVERHEAD * 50 / 4)
    line = f"2 nodes, 4 workers, 0 scoring, 7 images/s; 50 % of the run, 0 of 0 cells, about {left}"
    assert line in capfd.readouterr().out


def test_numbers_and_durations_as_text():
    assert [counted(1, "cell"), counted(2000, "cell")] == ["1 cell", "2,000 cells"]
    assert [duration(40), duration(360), duration(10800)] == ["40 s", "6 min", "3.0 h"]


@pytest.mark.parametrize(
    ("metric", "result", "text"),
    [
        ("top1", (0.854, 0.84, 0.867), "top1 85.4 % [84.0–86.7]"),
        ("few_shot_top1", (0.2, None, None), "few_shot_top1 20.0 %"),  # equal draws
        ("log_loss", (1.25, 1.0, 1.5), "log_loss 1.250 [1.000–1.500]"),
        ("top1", (None, None, None), "undefined (no images)"),
    ],
)
def test_the_line_of_a_cell_has_its_value_with_or_without_an_interval(capfd, metric, result, text):
    value, low, high = result
    undefined = None if value is not None else "no images"
    first = Score(
        metric=metric,
        seed=None,
        value=value,
        low=low,
        high=high,
        n=10,
        interval="none" if low is None else "wilson",
        undefined=undefined,
    )
    Terminal().cell_ends(record("a", task=task(metrics=(metric,)), scores=(first,)))
    assert capfd.readouterr().out.strip().endswith(f"a: {text}")


class Screen:
    """Standard output as a terminal of some columns."""

    def __init__(self, columns: int) -> None:
        from rich.console import Console

        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=True, width=columns, height=24)

    def lines(self) -> list[str]:
        """Return what was written, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.file.getvalue()).splitlines()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_live_progress_is_complete_at_any_width(monkeypatch, columns):
    """What is being done, the cells, the share and the time left; nothing is cut."""
    terminal, screen = Terminal(), Screen(columns)
    terminal.out = screen.console
    terminal.run_begins(Work({("a-long-name-of-photos", "train", "b"): 1_000}, {"b": 0.1}, 4))
    terminal.pass_begins("a-long-name-of-photos", "train", 1_000, ["b"])
    for _ in range(2):
        terminal.forwarded("b", 100, 10.0)
        terminal.embedded(100, Spent(forward_seconds=10.0))
    terminal.live.refresh()
    written = " ".join(screen.lines())
    terminal.run_ends()
    joined = re.sub(r"\s+", "", written)
    assert "embeddinga-long-name-of-photostrain,1backbone:200/1,000images" in joined
    assert "0of4cells" in joined and "about84sleft" in joined
    assert all(len(line) <= columns for line in screen.lines())
    assert "-:--:--" not in written and " 0 images/s" not in written


def test_errors_stand_above_a_live_display_that_shares_their_terminal():
    """Written past it, they begin in its last line, and are erased with it."""
    terminal, screen, errors = Terminal(), Screen(80), Screen(80)
    terminal.out, terminal.err = screen.console, errors.console
    with terminal.checking() as show_check:
        show_check("resnet[50]")
        terminal.note("while checking")
    terminal.run_begins(Work({}, {}, 1))
    terminal.error("a [bold] failure")
    terminal.run_ends()
    terminal.error("afterwards")
    assert {"note while checking", "error a [bold] failure"} <= {*screen.lines()}
    assert errors.lines() == ["error afterwards"]


STANDINGS = (
    RaceStanding("a-good-backbone", 0.8, 0.7, 0.9, 50, 60, 0.0),
    RaceStanding("a-poor-backbone", 0.4, 0.3, 0.5, 50, 60, 1.0, is_dropped=True),
)
STEP = RaceStep({"train": 40, "test": 20}, {"train": 30}, {"test": range(20)})


@pytest.mark.parametrize("columns", [45, 120])
def test_a_live_race_shows_intervals_what_was_dropped_and_what_was_saved(columns):
    """The dropped backbone saves 240 of 300 images, at 0.5 s each."""
    terminal, screen = Terminal(), Screen(columns)
    terminal.out = screen.console
    terminal.race_begins(RaceStart("knn", "photos", 2, 3, 300))
    terminal.forwarded("a-poor-backbone", 60, 30.0)
    terminal.race_step(STEP, (), STANDINGS)
    terminal.live.refresh()
    written = "".join("".join(screen.lines()).split())
    terminal.race_stops()
    assert terminal.live is None
    for text in ("80.0%[70.0–90.0]", "droppedat60", "evidencetodrop"):
        assert text in written, text
    assert ("█" in written) == (columns > 45)
    assert "240images×backbonessaved,about2min" in written
    assert all(len(line) <= columns for line in screen.lines())


def test_a_race_in_a_pipe_is_plain_lines(capfd):
    terminal = Terminal()
    terminal.race_begins(RaceStart("knn", "photos", 2, 3, 300))
    terminal.race_step(STEP, (), STANDINGS)
    terminal.race_stops()
    assert capfd.readouterr().out.splitlines() == [
        "race: knn on photos, 2 backbones",
        "  at 60 images (40 train, 20 test): 1 left; 240 images × backbones saved",
        "    best so far: a-good-backbone 80.0 % [70.0–90.0]",
    ]


def test_stages_are_shown_until_images_are_embedded():
    terminal = Terminal()
    terminal.run_begins(Work({}, {}, 1))
    terminal.pass_begins("photos", "train", 10, ["b"])
    terminal.stage("tuning", "b")
    assert terminal._progress_lines()[0] == "tuning b"
    terminal.stage("embedding", "b")
    expected = "embedding photos train, 1 backbone: 0/10 images"
    assert terminal._progress_lines()[0] == expected
    terminal.pass_ends()
    terminal.stage("scoring", "knn · photos · b")
    assert terminal._progress_lines()[0] == "scoring knn · photos · b"


def test_in_a_pipe_a_line_is_printed_every_30_seconds(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr("bob.commands.terminal.time.monotonic", lambda: now[0])
    terminal = Terminal()
    terminal.run_begins(Work({("photos", "train", "b"): 100}, {"b": 1.0}, 2))
    terminal.pass_begins("photos", "train", 100, ["b"])
    for _ in range(10):
        now[0] += 10.0
        terminal.forwarded("b", 10, 10.0)
        terminal.embedded(10, Spent(forward_seconds=10.0))
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "embedding photos train, 1 backbone, 100 images"
    assert len(lines) == 3, "at 40 and 80 seconds"
    assert lines[1].startswith(
        "  embedding photos train, 1 backbone: 30/100 images, 1.5 s per image; "
    )
    assert lines[1].endswith("0 of 2 cells, about 62 s left")


def test_a_listed_record_has_its_value_in_its_unit(bob, tmp_path):
    store = RecordStore(tmp_path / "results")
    for name, metric, value in (("a", "top1", 0.5), ("b", "log_loss", 1.25)):
        store.write(record(name, value, task=task(metric, metrics=(metric,))), {})
    _, out, _ = bob("list", "records")
    assert [line.split()[-2:] for line in out.splitlines()] == [
        ["log_loss", "1.250"],
        ["50.0", "%"],
    ]


@pytest.mark.parametrize(("columns", "width"), [(None, 120), ("60", 60), ("wide", 120), ("0", 120)])
def test_tables_in_a_pipe_are_as_wide_as_columns_states(monkeypatch, columns, width):
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    terminal = Terminal()
    assert terminal.out.width == width
    assert terminal.line_width == (width if columns == "60" else None)


def test_a_cell_is_printed_with_the_short_name_of_its_dataset(capfd):
    name = "emoji_train-vendor-apple_shift-vendor-goo-ddd5af"
    Terminal().cell_ends(record("a", 0.8, dataset=dataset(name)))
    assert (
        "linear · emoji_train-vendor-apple_shift…ddd5af · a: top1 80.0 %" in capfd.readouterr().out
    )
