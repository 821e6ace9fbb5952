"""The only module of the leaderboard that touches the disk."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bob.errors import StoreError
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
    return [_replace(folder / name, text) for name, text in texts.items()]


def _replace(path: Path, text: str) -> Path:
    """Writes aside, then renames."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(text.encode("utf-8"))
        aside.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}). Free some space or choose another folder with --results.") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return path
