"""Images with a file each that holds the targets of their pixels: masks or depth maps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from bob.datasets.content.digests import file_digests, read_file
from bob.datasets.content.images import require_same_size
from bob.datasets.content.planned import planned_reader
from bob.datasets.content.target_cache import TargetCache
from bob.datasets.listing import ImageListing
from bob.errors import DatasetError
from bob.io.names import printable, some_names
from bob.specs import Role

TargetT = TypeVar("TargetT", bound=NDArray[Any])


@dataclass(frozen=True)
class TargetPair:
    """An image and the file of its targets."""

    image: Path
    target: Path
    split: Role


def listed_names(file: Path) -> list[str]:
    """Return the first word of each line of a list; DatasetError where it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"'{printable(str(file))}': cannot be read ({error}).") from error
    return [line.split()[0] for line in lines if line.strip()]


def require_files(where: str, what: str, paths: Sequence[Path]) -> None:
    """Raise DatasetError where files do not exist; `what` names them, as in `the lists`."""
    if missing := [path for path in paths if not path.is_file()]:
        names = some_names([str(path) for path in missing])
        raise DatasetError(f"{where}: {what} name files that do not exist: {names}.")


def require_pairs(where: str, pairs: Sequence[TargetPair]) -> None:
    """Raise DatasetError where files of listed pairs do not exist."""
    files = [*(pair.image for pair in pairs), *(pair.target for pair in pairs)]
    require_files(where, "the lists", files)


@dataclass(frozen=True, eq=False)
class PairedFiles:
    """N pairs of files, in their order."""

    images: Sequence[Path]
    targets: Sequence[Path]
    splits: Sequence[Role]
    ids: Sequence[str]
    """Paths of the images below the dataset's folder."""
    names: Sequence[str]
    """Paths of the targets below it."""
    content: Sequence[str]
    """Digests of the images."""
    digests: Sequence[str]
    """Digests of the targets."""

    @classmethod
    def of(cls, root: Path, pairs: Sequence[TargetPair], cache: Path) -> "PairedFiles":
        """List the files of pairs below a folder."""
        images, targets = [pair.image for pair in pairs], [pair.target for pair in pairs]
        ids, names = (
            [printable(path.relative_to(root).as_posix()) for path in paths]
            for paths in (images, targets)
        )
        splits = [pair.split for pair in pairs]
        content, digests = (file_digests(root, paths, cache) for paths in (images, targets))
        return cls(images, targets, splits, ids, names, content, digests)

    def read_image(self, i: int) -> bytes:
        """Return the encoded image."""
        return read_file(self.images[i])

    def digests_read_with(self, meaning: str) -> list[str]:
        """Return the digests of the targets and of what gives their bytes a meaning.

        Statistics are stored by these digests: whatever of an entry changes how a file is read
        belongs to them.
        """
        return [f"{digest} {meaning}" for digest in self.digests]

    def listing(self, where: str, unread: Mapping[str, int]) -> ImageListing:
        """Return the listing of the images, without their targets."""
        return ImageListing(
            where=where,
            ids=self.ids,
            content=self.content,
            read=self.read_image,
            splits=self.splits,
            unread=unread,
        )

    def target_reader(
        self, what: str, decode: Callable[[bytes, str], TargetT]
    ) -> TargetCache[TargetT]:
        """Return a function from a position to the targets (H, W) of an image's pixels.

        `decode` makes them of a file's bytes and its name; `what` they are appears in the error
        where they have another size than the image.
        """
        read_planned = planned_reader(
            lambda i: read_file(self.targets[i]), self.digests, self.names
        )

        def read(i: int) -> TargetT:
            target = decode(read_planned(i), self.names[i])
            image = self.read_image(i)
            require_same_size(what, self.names[i], target.shape, image, self.ids[i])
            return target

        return TargetCache(read)
