"""`bob-bench predict`: predict the classes of images with a saved probe, as a CSV table."""

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bob.backbones.availability import require_code_permission
from bob.backbones.devices import parse_devices
from bob.commands.arguments import require_output_file
from bob.commands.terminal import Terminal, counted
from bob.datasets.readers.tree import EXTENSIONS, EXTENSIONS_TEXT, scan
from bob.errors import FAILED, OK, ConfigError
from bob.extraction.passes import auto_workers
from bob.heads.predict import ProbePredictions, load_recorded, predict
from bob.heads.saved_probe import SavedProbe, read_probe
from bob.io.files import write_output
from bob.io.names import printable
from bob.leaderboards.render.csv_text import csv_text


def run(arguments: argparse.Namespace) -> int:
    """Write one row per image. Returns FAILED if an image cannot be read."""
    terminal = Terminal()
    probe = read_probe(arguments.probe)
    require_code_permission([probe.facts.backbone], arguments.allow_code)
    files, names = image_files(arguments.images)
    require_output_file("--to", arguments.to, (arguments.probe, arguments.images, *files))
    (device,) = parse_devices(arguments.device, probe.facts.precision)
    backbone = load_recorded(probe.facts, device, offline=arguments.offline)
    predictions = predict(probe, backbone, files, auto_workers())
    frame = table(probe, predictions, names, every_class=arguments.probabilities)
    write_output(arguments.to, csv_text(frame).encode())
    for problem in predictions.problems.values():
        terminal.error(problem)
    terminal.print(
        f"{counted(len(files) - len(predictions.problems), 'image')} of {len(files):,} predicted "
        f"by {probe.facts.backbone.name} with the probe of {probe.facts.dataset} "
        f"({probe.facts.score})"
    )
    terminal.print_written([arguments.to])
    return FAILED if predictions.problems else OK


def image_files(place: Path) -> tuple[list[Path], list[str]]:
    """Return the image files of a file, folder or CSV table, and the names by which rows go.

    Bytes of names that are not UTF-8 are escaped.
    ConfigError where there are none.
    """
    if not place.exists():
        raise ConfigError(f"--images {str(place)!r}: no such file or folder.")
    if place.is_dir():
        files = scan(place).all_images()
        names = [printable(path.relative_to(place).as_posix()) for path in files]
    elif place.suffix.lower() == ".csv":
        names = list(_paths(place))
        files = [place.parent / name for name in names]
    elif place.suffix.lower() in EXTENSIONS:
        files, names = [place], [printable(place.name)]
    else:
        files, names = [], []
    if not files:
        raise ConfigError(
            f"--images {str(place)!r}: holds no images ({EXTENSIONS_TEXT}); give an image, a "
            "folder, or a CSV file with a column path."
        )
    return files, names


def _paths(table: Path) -> Iterator[str]:
    """Yield the cells of the column path; ConfigError where one is empty or absent."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "path" not in (reader.fieldnames or ()):
                columns = ", ".join(map(repr, reader.fieldnames or ())) or "none"
                raise ConfigError(f"--images {str(table)!r}: no column 'path'; columns: {columns}.")
            for row in reader:
                if not row["path"]:  # None in a row with fewer fields
                    raise ConfigError(
                        f"--images {str(table)!r}: line {reader.line_num} has no path."
                    )
                yield row["path"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"--images {str(table)!r}: cannot be read ({error}).") from error


def table(
    probe: SavedProbe,
    predictions: ProbePredictions,
    names: Sequence[str],
    *,
    every_class: bool = False,
) -> pd.DataFrame:
    """Return one row per image: path, predicted, confidence, calibrated_confidence, problem.

    `confidence` is the probability whose calibration a run scores, which a ridge probe lacks;
    without a temperature, the calibrated column is left out. `every_class` adds a column `p_CLASS`
    of each class where there are probabilities.
    """
    classes, temperature = probe.facts.classes, probe.facts.temperature
    readable = np.isfinite(predictions.logits).all(1)
    best = np.where(readable, np.nan_to_num(predictions.logits).argmax(1), -1)
    rows = np.arange(len(best))
    columns: dict[str, object] = {
        "path": list(names),
        "predicted": [classes[c] if c >= 0 else None for c in best.tolist()],
    }
    if not probe.facts.is_ridge:
        columns["confidence"] = predictions.probabilities()[rows, best]
    calibrated = predictions.probabilities(temperature or 1.0)
    if temperature is not None:
        columns["calibrated_confidence"] = calibrated[rows, best]
    if every_class and (temperature is not None or not probe.facts.is_ridge):
        columns |= {f"p_{name}": calibrated[:, c] for c, name in enumerate(classes)}
    columns["problem"] = [predictions.problems.get(i) for i in rows.tolist()]
    return pd.DataFrame(columns)
