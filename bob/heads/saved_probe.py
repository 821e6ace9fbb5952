"""A probe with everything that is needed to predict: the content of `head.safetensors`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bob.datasets.content.images import Alpha
from bob.errors import ConfigError
from bob.io.files import write_atomically
from bob.numerics.arrays import Doubles
from bob.specs import BackboneSpec
from bob.specs.yaml import Closed

VERSION: Literal[1] = 1
_KEY = "bob_bench_probe"


class ProbeFacts(Closed):
    """What a saved probe belongs to; JSON in the header of its file."""

    version: Literal[1] = VERSION
    classes: tuple[str, ...] = Field(strict=False)
    """C class names, in the order of the rows of the weights."""
    backbone: BackboneSpec
    """The entry of the backbone, so that predicting needs no registry."""
    weights_hash: str
    geometry: dict[str, Any]
    """input_px, crop_pct, crop_mode, interpolation."""
    normalisation: dict[str, Any]
    """mean, std."""
    precision: Literal["float32", "tf32", "bfloat16", "float16"]
    preprocessing: Literal["exact", "fast"]
    alpha: Alpha
    """The background on which transparent images are laid."""
    runtime: str
    """The runtime that embedded the train images; others agree to 1e-5."""
    batch_size: int | None = None
    temperature: float | None = None
    """Divides the logits of calibrated probabilities; None where no single share was held out."""
    c: float | None = None
    """scikit-learn's C of a logistic probe."""
    l2_per_example: float | None = None
    """Penalty of a ridge probe, whose outputs have no probabilities without a temperature."""
    dataset: str
    fingerprint: str
    task: str
    seed: int
    score: str
    """The recorded score as text, with its interval."""
    record: str
    """Key of the record."""
    provenance: dict[str, Any] = {}

    @property
    def is_ridge(self) -> bool:
        return self.l2_per_example is not None


class SavedProbe:
    """Weights (C, D) and biases (C,), both float64, with their facts."""

    def __init__(self, weight: Doubles, bias: Doubles, facts: ProbeFacts) -> None:
        self.weight, self.bias, self.facts = weight, bias, facts

    def write(self, path: Path) -> None:
        """Write the probe as .safetensors, atomically."""
        tensors = {"weight": np.ascontiguousarray(self.weight), "bias": self.bias}
        write_atomically(path, save(tensors, {_KEY: self.facts.model_dump_json()}))


def read_probe(path: Path) -> SavedProbe:
    """Read a probe that `SavedProbe.write` wrote; ConfigError where the file is none."""
    if not path.is_file():
        raise ConfigError(f"{str(path)!r}: no such file. Write one with `bob-bench probe`.")
    try:
        with safe_open(path, framework="numpy") as file:
            header: Mapping[str, str] = file.metadata() or {}
            if _KEY not in header:
                raise ConfigError(
                    f"{str(path)!r} is not a probe of bob-bench: its header lacks {_KEY!r}. "
                    "Write one with `bob-bench probe`."
                )
            facts = ProbeFacts.model_validate(json.loads(header[_KEY]))
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
    except (SafetensorError, OSError, ValueError, ValidationError) as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(
            f"{str(path)!r} is not a probe of this version of bob-bench ({problem}). Write it "
            "again with `bob-bench probe`."
        ) from error
    expected = len(facts.classes)
    if weight.ndim != 2 or weight.shape[0] != expected or bias.shape != (expected,):
        raise ConfigError(
            f"{str(path)!r}: weights {weight.shape} and biases {bias.shape} do not fit "
            f"{expected} classes. Write the file again with `bob-bench probe`."
        )
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ConfigError(f"{str(path)!r}: some weights are not finite; write the file again.")
    return SavedProbe(weight, bias, facts)
