"""Names of the datasets that `--data` makes: of a path, and of the flags beside it."""

import re
from collections.abc import Iterator, Sequence

from bob.datasets.readers.tree import is_parquet
from bob.io.digest import digest
from bob.io.files import slug
from bob.io.paths import user_path
from bob.specs import DataOptions
from bob.specs.data_options import LABEL

NO_OPTIONS = DataOptions()
LONGEST = 40
"""Most characters that options add to a name; of a longer text, the beginning and a digest."""
_DIGEST = 6
_SHOWN = 30
"""Most characters of what is shown of such a name before its digest."""
_SIDES = ("train", "val", "test", "shift")
_ENDS_LIKE_A_FLAG = re.compile(rf"_(?:{'|'.join(DataOptions.model_fields)})$")


def own_dataset_name(path: str, options: DataOptions = NO_OPTIONS) -> str:
    """Return the name of the dataset of `--data PATH`.

    It is the last part of the path, with a part for each option that makes another dataset of the
    same images: the column of `--label`, and any other flag with its values, as in
    `scans_species` and `scans_train-site-north_group-patient`. The order of values does not matter.
    Options that differ have names that differ: where the text could be read in two ways, or is
    longer than `LONGEST`, the name ends with a digest of the options.
    """
    place = user_path(path).absolute()
    if place.is_dir():
        name = place.resolve().name
    else:
        is_table = place.suffix.lower() == ".csv" or is_parquet(place)
        name = place.stem if is_table else place.name
    parts = list(_parts(options))
    if not parts:
        return slug(name)
    text = "_".join("-".join(map(slug, part)) for part in parts)
    if len(text) > LONGEST or not all(_is_plain(word) for part in parts for word in part):
        text = f"{text[: LONGEST - _DIGEST - 1]}-{digest(parts)[:_DIGEST]}"
    return f"{slug(name)}_{text}"


def shown_dataset(name: str) -> str:
    """Return the name of a dataset for lines and tables.

    A long name that ends with a digest is cut before it, after the last word that has room:
    `emoji_train-vendor-apple_shift-vendor-goo-ddd5af` becomes
    `emoji_train-vendor-apple_shift…ddd5af`. The digest still tells it from all others, and the glob
    `emoji*ddd5af` selects it.
    """
    start, _, end = name.rpartition("-")
    is_digest = len(end) == _DIGEST and set(end) <= set("0123456789abcdef")
    if not is_digest or len(start) <= _SHOWN:
        return name
    words = re.findall(r"[-_]?[^-_]*", start)
    shown = ""
    for word in words:
        if len(shown + word) > _SHOWN:
            break
        shown += word
    return f"{shown or start[:_SHOWN]}…{end}"


def _parts(options: DataOptions) -> Iterator[Sequence[str]]:
    """Yield the words of each part of a name, in an order that does not depend on the flags'."""
    if options.label is not None:
        yield (options.label,)
    if options.retrieve is not None:
        yield "retrieve", options.retrieve
    levels = options.levels[:-1] if options.levels[-1:] == (LABEL,) else options.levels
    if levels:  # the classes are below them in any case
        yield "levels", *levels
    for side in _SIDES:
        if side == "test" and options.test == options.train:
            continue  # what train admits is tested by default
        for column, values in sorted(getattr(options, side).items()):
            yield side, column, *sorted(values)
    if options.group is not None:
        yield "group", options.group
    if options.boxes is not None:
        yield "boxes", options.boxes.removesuffix(".json")
    if options.test_split is not None:
        yield "test", options.test_split
    if options.normal:
        yield "normal", *sorted(options.normal)
    if options.depth is not None:
        yield "depth", *(f"{value:g}" for value in options.depth)


def _is_plain(word: str) -> bool:
    """Return whether a name shows a word as it is, and where it ends."""
    return word == slug(word) and "-" not in word and not _ENDS_LIKE_A_FLAG.search(word)
