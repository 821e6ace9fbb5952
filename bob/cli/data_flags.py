"""Flags that say how `--data` becomes a dataset: columns, and conditions on their values."""

import argparse
import math

SIDES = {
    "train": "train images: those with one of the values (default: all that no other flag admits)",
    "val": "images on which settings are chosen (default: a part of train)",
    "test": "test images; those that train admits too are divided automatically, 80 to 20 "
    "(default: what train admits)",
    "shift": "further test sets, one for each value, for the task ood",
}
Condition = tuple[str, tuple[str, ...]]


def add_data_options(parser: "argparse._ActionsContainer") -> None:
    """Add the flags that choose columns and splits of `--data`."""
    add_test_split(parser)
    parser.add_argument(
        "--levels",
        metavar="NAME,NAME",
        type=_names,
        default=(),
        help="names of the levels of folders in --data, the uppermost first: vendor,label for "
        "apple/cat/1.png (default: the classes alone)",
    )
    parser.add_argument(
        "--label",
        metavar="COLUMN",
        action="append",
        default=[],
        help="column of --data, or level of folders, with the classes; repeatable: each is a "
        "dataset of its own (default: label)",
    )
    parser.add_argument(
        "--group",
        metavar="COLUMN",
        help="column of --data whose equal values are never divided between train and test, such "
        "as a patient (default: group, where there is one)",
    )
    parser.add_argument(
        "--depth",
        metavar="STEPS,LEAST,MOST",
        type=_depth,
        help="of depth maps in --data, what they hold for a metre, and the least and most depth in "
        "metres that count: 1000,0.1,10 for millimetres",
    )
    parser.add_argument(
        "--boxes",
        metavar="FILE",
        help="COCO JSON file with the boxes of the images in --data, in that folder or as a path; "
        "for task detect",
    )
    for side, help_text in SIDES.items():
        parser.add_argument(
            f"--{side}",
            metavar="COLUMN=VALUE,...",
            type=_condition,
            action="append",
            default=[],
            help=f"{help_text}; repeatable",
        )


def add_retrieve(parser: "argparse._ActionsContainer") -> None:
    """Add the flag that asks for the retrieval of images with the same value."""
    parser.add_argument(
        "--retrieve",
        metavar="COLUMN",
        action="append",
        default=[],
        help="column of --data whose equal values are to be retrieved among all images, from "
        "another --group where there are groups; runs the tasks of retrieval in place of others; "
        "repeatable",
    )


def add_test_split(parser: "argparse._ActionsContainer") -> None:
    """Add the flag that chooses the test split of `--data`."""
    parser.add_argument(
        "--test-split",
        metavar="NAME",
        help="split of --data to test on, by its name or that of its folder, e.g. val or holdout "
        "(default: test, or images drawn from train where there is none)",
    )


def add_normal(parser: "argparse._ActionsContainer") -> None:
    """Add the flag that names the normal classes of `--data`."""
    parser.add_argument(
        "--normal",
        metavar="CLASS",
        action="append",
        default=[],
        help="class of --data that is normal, for task anomaly: all others are anomalies; "
        "repeatable (default: the only class of train, where it has one)",
    )


def _condition(text: str) -> Condition:
    """Parse a condition: 'vendor=google,twitter'."""
    column, _, values = text.partition("=")
    parts = tuple(value.strip() for value in values.split(","))
    if not column.strip() or not all(parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a condition such as vendor=apple or vendor=google,twitter"
        )
    return column.strip(), parts


def _depth(text: str) -> tuple[float, ...]:
    """Parse a scale and a range of depth: '1000,0.1,10'."""
    try:
        steps, least, most = map(float, text.split(","))
    except ValueError:
        steps = least = most = math.nan
    if not (0 < steps < math.inf and 0 < least < most < math.inf):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not STEPS,LEAST,MOST such as 1000,0.1,10: three positive numbers, of "
            "which MOST is larger than LEAST"
        )
    return steps, least, most


def _names(text: str) -> tuple[str, ...]:
    """Parse a list of different names."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names")
    return names
