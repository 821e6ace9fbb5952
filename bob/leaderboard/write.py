"""The only module of the leaderboard that touches the disk."""

from collections.abc import Sequence
from pathlib import Path

from bob.files import write_whole
from bob.leaderboard.html import to_html
from bob.leaderboard.markdown import to_markdown
from bob.leaderboard.table import tidy, wide
from bob.records import Record


def write_leaderboard(records: Sequence[Record], folder: Path) -> list[Path]:
    """Writes leaderboard.csv, leaderboard_wide.csv, leaderboard.md and leaderboard.html into `folder`; each is replaced at once or not at all.

    UTF-8 with LF line ends. CSV floats are the shortest text that reads back as the same float.
    """
    texts = {
        "leaderboard.csv": tidy(records).to_csv(index=False, lineterminator="\n"),
        "leaderboard_wide.csv": wide(records).to_csv(index=False, lineterminator="\n"),
        "leaderboard.md": to_markdown(records),
        "leaderboard.html": to_html(records),
    }
    for name, text in texts.items():
        write_whole(folder / name, text.encode("utf-8"))
    return [folder / name for name in texts]
