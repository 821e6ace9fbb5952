"""The fastest runtime of an architecture on this machine, saved with the evidence for it."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bob.errors import StoreError
from bob.extraction.device import device_name, threads
from bob.io.digest import digest
from bob.io.exclusive import exclusive
from bob.io.files import read_regular, write_atomically
from bob.specs import Output

LIBRARIES = ("torch", "openvino", "onnxruntime")


@dataclass(frozen=True)
class Trial:
    """What one runtime achieved at one batch size."""

    runtime: str
    batch_size: int
    setup_seconds: float = 0.0
    """Time that it took to prepare, first images included."""
    seconds_per_image: float | None = None
    """The fastest of several measurements; None where it is not used."""
    problem: str | None = None
    """Why it is not used."""

    @property
    def text(self) -> str:
        """The trial as a person reads it."""
        name = f"{self.runtime}, batches of {self.batch_size}"
        if self.seconds_per_image is None:
            return f"{name}: {self.problem}"
        return f"{name}: {1 / self.seconds_per_image:,.0f} images/s"


@dataclass(frozen=True)
class Choice:
    """The fastest runtime and batch size among those that were tried."""

    runtime: str
    batch_size: int
    seconds_per_image: float
    trials: tuple[Trial, ...] = ()
    is_disturbed: bool = False
    """Whether other processes took the processor in every measurement."""

    def seconds(self, images: int) -> float:
        """Return the time for some images, preparation included."""
        return self._setup_seconds() + images * self.seconds_per_image

    def eager_seconds(self, images: int) -> float:
        """Return the time that eager PyTorch takes for some images."""
        speeds = [
            trial.seconds_per_image
            for trial in self.trials
            if trial.runtime == "eager" and trial.seconds_per_image is not None
        ]
        return images * min(speeds, default=self.seconds_per_image)

    def _setup_seconds(self) -> float:
        return next(
            (
                trial.setup_seconds
                for trial in self.trials
                if (trial.runtime, trial.batch_size) == (self.runtime, self.batch_size)
            ),
            0.0,
        )


@dataclass(frozen=True)
class ChoiceFile:
    """Where the choice for one forward pass is saved, and the conditions under which it holds.

    Speed does not depend on the weights, so that all weights of an architecture share one choice.
    It depends on the threads and on the libraries that compute.
    """

    folder: Path
    conditions: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / f"{digest(self.conditions)}.json"

    @property
    def conditions_on_any_model(self) -> str:
        """The digest of the conditions without the model of the device."""
        return _without_model(self.conditions)

    def load(self) -> Choice | None:
        """Return the saved choice; None where none is saved, or none that can be read."""
        saved = _read(self.path)
        return saved[1] if saved else None

    def save(self, choice: Choice) -> None:
        """Save a choice; a full or read-only disk loses the choice but does not stop the run."""
        content = {"conditions": self.conditions, "choice": asdict(choice)}
        with contextlib.suppress(StoreError):
            write_atomically(self.path, json.dumps(content, indent=1).encode())

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep other processes from choosing meanwhile; without effect on a read-only disk."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        is_writable = os.access(self.folder, os.W_OK)
        lock = self.path.with_suffix(".lock")
        with exclusive(lock) if is_writable else contextlib.nullcontext():
            yield


def choice_file(
    cache: Path,
    forward: Mapping[str, Any],
    geometry: Mapping[str, Any],
    outputs: Sequence[Output],
    device: torch.device,
    precision: str,
) -> ChoiceFile:
    """Return the file of a choice for a forward pass and a geometry, as a card states them."""
    architecture = str(forward.get("architecture", ""))
    if forward.get("loader") == "timm":
        architecture = architecture.partition(".")[0]  # without the tag of the weights
    conditions = {
        "forward": {**forward, "architecture": architecture},
        "input_px": geometry.get("input_px"),
        "outputs": sorted(map(str, outputs)),
        "precision": precision,
        "device": [device.type, device_name(device), threads(device)],
        "libraries": {name: _version(name) for name in LIBRARIES},
    }
    return ChoiceFile(_folder(cache), conditions)


def saved_choices(cache: Path) -> list[tuple[Mapping[str, Any], Choice]]:
    """Return the conditions and the choice of every file that can be read, by architecture."""
    found = [saved for path in _folder(cache).glob("*.json") if (saved := _read(path))]
    return sorted(found, key=lambda saved: json.dumps(saved[0], sort_keys=True))


def choices_of_models(cache: Path) -> dict[str, dict[str, Choice]]:
    """Return saved choices by `ChoiceFile.conditions_on_any_model` and by model of device."""
    found: dict[str, dict[str, Choice]] = {}
    for conditions, choice in saved_choices(cache):
        match conditions.get("device"):
            case [str(), str(model), int()]:
                found.setdefault(_without_model(conditions), {})[model] = choice
    return found


def _without_model(conditions: Mapping[str, Any]) -> str:
    kind, _, count = conditions["device"]
    return digest({**conditions, "device": [kind, count]})


def _folder(cache: Path) -> Path:
    return cache / "runtimes"


def _read(path: Path) -> tuple[Mapping[str, Any], Choice] | None:
    try:
        content = json.loads(read_regular(path))
        values = content["choice"]
        trials = tuple(Trial(**trial) for trial in values["trials"])
        return dict(content["conditions"]), Choice(**{**values, "trials": trials})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def runtime_versions() -> dict[str, str]:
    """Return the versions of the installed libraries that compute forward passes."""
    versions = {name: _version(name) for name in LIBRARIES}
    return {name: found for name, found in versions.items() if found}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
