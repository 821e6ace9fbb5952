"""Arguments."""

from collections.abc import Sequence

import torch

from bob.datasets.open import spec_from_data_flag
from bob.errors import ConfigError
from bob.registry import Registry, Selected
from bob.specs import DatasetSpec


def own_images(paths: Sequence[str], registry: Registry) -> list[Selected[DatasetSpec]]:
    """One's own folders and tables, each once; two of one name would be one dataset on the leaderboard."""
    if "" in paths:
        raise ConfigError("--data '': give a folder of class folders, or a table.")
    given = [spec_from_data_flag(path) for path in paths]
    own = [spec for i, spec in enumerate(given) if spec not in given[:i]]
    names = [spec.name for spec in own]
    if clash := [name for name in names if name in registry.datasets]:
        raise ConfigError(
            f"--data: {clash[0]!r} is the name of a registered dataset; rename the folder or table."
        )
    if doubled := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"--data: {names.count(doubled[0])} folders or tables are named {doubled[0]!r}; rename all but one."
        )
    return [Selected(spec, True) for spec in own]


def _devices(asked: str, precision: str) -> list[str]:
    """One device, or several of one machine: `cuda:0,cuda:1`, `cuda:all`, `cpu,cpu` (two lanes, of use for tests alone)."""
    names = (
        [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cuda:0"]
        if asked == "cuda:all"
        else asked.split(",")
    )
    devices = [usable_device(name) for name in names]
    if len({device.split(":")[0] for device in devices}) > 1 or (
        len(set(devices)) < len(devices) and "cpu" not in devices
    ):
        raise ConfigError(
            f"--device {asked!r} must name different devices of one kind, such as cuda:0,cuda:1."
        )
    if precision == "tf32" and not devices[0].startswith("cuda"):
        raise ConfigError(f"--precision 'tf32' needs a CUDA device; got {asked!r}. Use float32.")
    return devices


def usable_device(asked: str) -> str:
    """The device, checked; float32 means float32 on it, so that rows agree between devices."""
    torch.backends.cudnn.allow_tf32 = False
    if asked == "auto":
        return (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--device {asked!r} is not usable here ({str(error).splitlines()[0]}); use auto or cpu."
        ) from error
    return asked
