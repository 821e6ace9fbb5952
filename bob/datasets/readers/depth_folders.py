"""Images with a depth map each: two folders of files with the same names, such as

    rooms/images/train/a.jpg       rooms/depths/train/a.png
    rooms/images/test/b.jpg        rooms/depths/test/b.png

Depth maps are PNG files with one channel of 16 bits; 0 is unknown.
"""

import dataclasses
from pathlib import Path

from bob.datasets.listing import ImageListing
from bob.datasets.readers.depth_lists import depths_of_files
from bob.datasets.readers.paired_files import PairedFiles
from bob.datasets.readers.paired_folders import PairedFolders
from bob.specs import DepthFoldersSource

_LAYOUT = (
    "Expected images/NAME.jpg and depths/NAME.png, or images/train/NAME.jpg and "
    "depths/train/NAME.png."
)


def list_depth_folders(
    source: DepthFoldersSource, root: Path, cache: Path, test_split: str | None = None
) -> ImageListing:
    """List images that have depth maps. DatasetError where one of the two is missing.

    `test_split` is the folder that serves as the test split.
    """
    depths, suffix = source.depths, source.depth_suffix
    folders = PairedFolders(source, root, depths, suffix, test_split, "depth map", _LAYOUT)
    folders.require_folders()
    pairs, unread = folders.pairs()
    files = PairedFiles.of(root, pairs, cache)
    listing = files.listing(folders.where, unread)
    depths_of = depths_of_files(files, source)
    return dataclasses.replace(listing, depths=depths_of, test_split=test_split)
