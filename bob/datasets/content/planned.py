"""Images are embedded only if their bytes are those that the run was planned for.

Keys of features are made of the digests that a dataset is listed with. What is read later is
compared with them, so that no features of other bytes get into the store under a key.
"""

from collections.abc import Callable, Sequence

from bob.datasets.content.digests import content_digest, is_unreadable
from bob.errors import ChangedImageError, UnreadableImageError, first_line
from bob.io.names import printable

AGAIN = "Run the same command again."


def planned_reader(
    read: Callable[[int], bytes], digests: Sequence[str], names: Sequence[str]
) -> Callable[[int], bytes]:
    """Return a function from a position to the bytes of an image, which are those of its digest.

    It raises ChangedImageError where an image has other bytes than its digest in `digests` (N,), or
    cannot be read though it could; UnreadableImageError where it could not be read before either.
    """

    def read_planned(position: int) -> bytes:
        try:
            data = read(position)
        except (UnreadableImageError, OSError) as error:
            if is_unreadable(digests[position]):
                raise
            raise ChangedImageError(
                f"image {_shown(names[position])} could be read when the run was planned, and now "
                f"cannot ({first_line(error).rstrip('.')}). {AGAIN}"
            ) from error
        require_planned_bytes(content_digest(data), digests[position], names[position])
        return data

    return read_planned


def require_planned_bytes(digest: str, planned: str, name: str) -> None:
    """Raise ChangedImageError where an image has another digest than the planned one."""
    if digest == planned:
        return
    if is_unreadable(planned):
        reason = "could not be read when the run was planned, and now can."
    else:
        reason = "has other bytes than when the run was planned: it was overwritten."
    raise ChangedImageError(f"image {_shown(name)} {reason} {AGAIN}")


def _shown(name: str) -> str:
    return f"'{printable(name)}'"
