"""Lines of `list` fit the terminal, and are complete in a pipe."""

from bob.commands.list import aligned

ROWS = [
    ("knn", "v2", "core", "Weighted vote of the nearest neighbours as in DINO."),
    ("retrieval", "v2", "", "Leave-one-out retrieval of the same class."),
]
DROPPED = (("groups", 2), ("version", 1))


def test_a_pipe_has_every_column_on_one_line() -> None:
    assert list(aligned(ROWS, DROPPED, None)) == [
        "knn        v2  core  Weighted vote of the nearest neighbours as in DINO.",
        "retrieval  v2        Leave-one-out retrieval of the same class.",
    ]


def test_a_terminal_wraps_the_last_column() -> None:
    """The first columns take 9 + 2 + 2 + 2 + 4 + 2 characters: 21 of 64."""
    assert list(aligned(ROWS, DROPPED, 64)) == [
        "knn        v2  core  Weighted vote of the nearest neighbours as",
        "                     in DINO.",
        "retrieval  v2        Leave-one-out retrieval of the same class.",
    ]


def test_a_narrow_terminal_leaves_columns_out_and_says_so() -> None:
    """40 characters for the last column leave 15 of 55: without groups, names and versions."""
    lines = list(aligned(ROWS, DROPPED, 55))
    assert lines[0] == "knn        v2  Weighted vote of the nearest neighbours"
    assert lines[-1] == "Not shown: groups; a wider terminal or --json has all."
    assert max(map(len, lines)) <= 55
    lines = list(aligned(ROWS, DROPPED, 52))
    assert lines[0] == "knn        Weighted vote of the nearest neighbours"
    assert lines[-1] == "Not shown: groups, version; a wider terminal or --json has all."
