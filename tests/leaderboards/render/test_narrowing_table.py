"""Tables of fixed columns: which are left out in a narrow terminal, and that no number is cut."""

import io

import pytest
from rich.console import Console

from bob.leaderboards.render.narrowing_table import NarrowingColumn, NarrowingTable

NAMES = ("linear/elpv_mono", "retrieval_instance/openmoji_instances")


def printed(width: int) -> list[str]:
    """Return a table of 16 to 36 characters of names and four columns of 10 characters."""
    columns = [
        NarrowingColumn("setting", NAMES, is_name=True),
        NarrowingColumn("value", ("12.345 678", "98.765 432"), rank=1),
        NarrowingColumn("gap", ("11.111 111", "22.222 222")),
        NarrowingColumn("p", ("33.333 333", "44.444 444"), rank=3),
        NarrowingColumn("q", ("55.555 555", "66.666 666"), rank=2),
    ]
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(NarrowingTable("title", columns, "--json has all"))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(120, ""), (80, ""), (65, "p"), (55, "p, q"), (42, "value, p, q"), (40, "value, p, q")],
)
def test_columns_are_left_out_by_rank(width: int, left_out: str) -> None:
    """A column takes 3 characters more: 4 of 13 and a name of 14 + 3 make 70 with the border."""
    lines = printed(width)
    assert max(map(len, lines)) <= width
    said = [line for line in lines if line.startswith("Not shown")]
    assert said == ([f"Not shown: {left_out}; --json has all."] if left_out else [])
    text = "\n".join(lines)
    shown = {"value": "12.345 678", "p": "33.333 333", "q": "55.555 555", "gap": "22.222 222"}
    for heading, number in shown.items():
        assert (number in text) == (heading not in left_out.split(", "))


def test_names_are_wrapped_after_separators() -> None:
    lines = [line.split("│")[1].strip() for line in printed(70) if line.startswith("│")]
    assert "".join(lines) == "".join(NAMES)
    assert "linear/elpv_" in lines and "retrieval_" in lines
