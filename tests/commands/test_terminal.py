"""Progress on the terminal: rates, the bottleneck, the time left, and repeated reasons."""

from bob.commands.terminal import Terminal, ThroughputMeter, counted, duration
from bob.extraction.progress import Spent
from tests.builders.leaderboard_records import record


def test_the_meter_names_the_bottleneck():
    """100 images in 10 s.

    Decoding took 20 s of cores, 7 s of which were waited for; forward passes 2 s; writing 0.5 s: 5
    images/s per core, 50, 200.
    """
    now = [0.0]
    meter = ThroughputMeter(200, clock=lambda: now[0])
    meter.add(50, Spent())
    assert meter.rate() == "", "features that were stored before have no speed"
    now[0] = 10.0
    meter.add(100, Spent(decode_seconds=20.0, waited_seconds=7.0, forward_seconds=2.0))
    meter.add(0, Spent(write_seconds=0.5))
    stages = "decode 5 per core, forward 50, write 200"
    assert meter.rate() == f"10 images/s ({stages}; bottleneck decode)"
    assert meter.time_left() == "5 s left"


def test_the_time_left_excludes_the_first_block():
    """The first 20 images take 60 s, compiling among them; the next 20 take 2 s: 6 s for 60."""
    now = [0.0]
    meter = ThroughputMeter(100, clock=lambda: now[0])
    now[0] = 60.0
    meter.add(20, Spent(forward_seconds=50.0))
    assert meter.time_left() == "4 min left"
    now[0] = 62.0
    meter.add(20, Spent(forward_seconds=2.0))
    assert meter.time_left() == "6 s left"


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


def test_numbers_and_durations_as_text():
    assert [counted(1, "cell"), counted(2000, "cell")] == ["1 cell", "2,000 cells"]
    assert [duration(40), duration(360), duration(10800)] == ["40 s", "6 min", "3.0 h"]
