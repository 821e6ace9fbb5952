"""The sample datasets, which install from the package index: `pip install 'bob-bench[samples]'`.

Their test split is documented and does not change: the automatic rule (`bob.datasets.splits`) with share 0.25 and seed 0 on the packages' own files.

* elpv: electroluminescence photographs of solar cells (Deitsch et al. 2019, arXiv:1807.02894), defective iff the experts' probability is over 0.5.
* openmoji: emoji drawings by category, without skin-tone variants. Drawn in colour on white, 256 px.
* textiles: simulated images of woven textile without defect (nominal), with a local one, with a global one (Megahed et al. 2025, arXiv:2501.12596).
"""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from bob.datasets.assemble import Listing, assemble
from bob.datasets.availability import SAMPLE_FILES, missing_packages
from bob.datasets.dataset import Dataset
from bob.datasets.fingerprints import content_digest, file_digests, read_file
from bob.errors import UnavailableError
from bob.paths import in_package
from bob.specs import SampleSource

TEST_SHARE = 0.25
DEFECT_PROBABILITY = 0.5
"""The labels are 0, 1/3, 2/3 and 1; a cell above it counts as defective, as in the paper."""
RENDER_PX = 256
BACKGROUND = "white"
"""The page's colour under the drawings, which leave it bare; on black, their black lines would vanish."""


def read_sample(name: str, source: SampleSource, cache: Path) -> Dataset:
    """The sample of the source's reader."""
    if missing := missing_packages(source):
        raise UnavailableError(f"dataset {name!r}: {missing}")
    paths = [in_package(distribution, file) for distribution, file in SAMPLE_FILES[source.reader]]
    listing = {"elpv": _elpv, "openmoji": _openmoji, "textiles": _textiles}[source.reader]([path for path in paths if path], cache)
    return assemble(name, listing, kind="documented", share=TEST_SHARE)


def _elpv(paths: list[Path], cache: Path) -> Listing:
    """Rows of labels.csv: image path, probability of a defect, cell type (mono- or polycrystalline), separated by blanks."""
    rows = [line.split() for line in paths[0].read_text(encoding="utf-8").splitlines()]
    files = [paths[0].parent / path for path, _, _ in rows]
    return Listing(
        where="sample elpv",
        ids=[path for path, _, _ in rows],
        labels=["defective" if float(probability) > DEFECT_PROBABILITY else "functional" for _, probability, _ in rows],
        content=file_digests(paths[0].parent, files, cache),
        read=lambda i: read_file(files[i]),
        splits=["train"] * len(rows),
        classes=("functional", "defective"),
        attributes={"cell_type": [cell_type for _, _, cell_type in rows]},
    )


def _textiles(paths: list[Path], cache: Path) -> Listing:
    """One folder of JPEGs per class."""
    classes = ("nominal", "local", "global")
    files = [path for label in classes for path in sorted((paths[0] / label).glob("*.jpg"))]
    return Listing(
        where="sample textiles",
        ids=[path.relative_to(paths[0]).as_posix() for path in files],
        labels=[path.parent.name for path in files],
        content=file_digests(paths[0], files, cache),
        read=lambda i: read_file(files[i]),
        splits=["train"] * len(files),
        classes=classes,
    )


def _openmoji(paths: list[Path], cache: Path) -> Listing:
    """Drawings by emoji category. The split is drawn on the SVG files alone, so that another version of the renderer leaves it."""
    svg, table, _ = paths
    emoji = [(found, entry) for entry in json.loads(table.read_text(encoding="utf-8")) if (found := _drawing(entry, svg))]
    files = [path for path, _ in emoji]
    drawn, renderer = file_digests(svg, files, cache), _renderer()
    return Listing(
        where="sample openmoji",
        ids=[f"{path.stem} {entry['name']}" for path, entry in emoji],
        labels=[entry["category"] for _, entry in emoji],
        content=[content_digest(f"{digest} {renderer}".encode()) for digest in drawn],
        read=lambda i: _render(files[i]),
        splits=["train"] * len(emoji),
        attributes={"name": [str(entry["name"]) for _, entry in emoji]},
        drawn=drawn,
    )


def _drawing(entry: dict[str, Any], svg: Path) -> Path | None:
    """The drawing of an emoji, by its code or by its older code without variation selectors. 'Component' holds bare skin tones, no emoji."""
    codes = [] if entry["category"] == "Component" else [entry["unified"], entry.get("non_qualified")]
    return next((svg / f"{code}.svg" for code in codes if code and (svg / f"{code}.svg").exists()), None)


def _renderer() -> str:
    """Everything beside the SVG that shapes the pixels."""
    return f"resvg-py {importlib.metadata.version('resvg-py')} {RENDER_PX} px on {BACKGROUND}"


def _render(svg: Path) -> bytes:
    """PNG bytes of a drawing."""
    import resvg_py

    text = read_file(svg).decode("utf-8")
    return bytes(resvg_py.svg_to_bytes(svg_string=text, width=RENDER_PX, height=RENDER_PX, background=BACKGROUND, skip_system_fonts=True))
