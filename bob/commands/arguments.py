"""Conversion of arguments that several commands share: devices and the user's images."""

from collections.abc import Sequence

import torch

from bob.datasets.open import spec_from_data_flag
from bob.errors import ConfigError
from bob.registry import Registry, Selected
from bob.specs import DatasetSpec


def local_datasets(paths: Sequence[str], registry: Registry) -> list[Selected[DatasetSpec]]:
    """Return the datasets of `--data`, without duplicates.

    ConfigError if two of them, or one and a registered dataset, have the same name: the leaderboard
    would treat them as one dataset.
    """
    if "" in paths:
        raise ConfigError("--data '': give a folder with a subfolder per class, or a table.")
    specs: list[DatasetSpec] = []
    for spec in map(spec_from_data_flag, paths):
        if spec not in specs:
            specs.append(spec)
    names = [spec.name for spec in specs]
    if registered := [name for name in names if name in registry.datasets]:
        raise ConfigError(
            f"--data: {registered[0]!r} is the name of a registered dataset; "
            "rename the folder or table."
        )
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"--data: {names.count(repeated[0])} folders or tables are named {repeated[0]!r}; "
            "rename all but one."
        )
    return [Selected(spec, exact=True) for spec in specs]


def parse_devices(text: str, precision: str) -> list[str]:
    """Return the devices of `--device`: one, or several of one kind on this machine.

    Examples are `cuda:0,cuda:1` and `cuda:all`. `cpu,cpu` stands for two device workers on one CPU,
    which only tests need. ConfigError if a device cannot be used, or not with the precision.
    """
    if text == "cuda:all":
        names = [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cuda:0"]
    else:
        names = text.split(",")
    devices = [usable_device(name) for name in names]
    kinds = {device.split(":")[0] for device in devices}
    repeated = len(set(devices)) < len(devices) and "cpu" not in devices
    if len(kinds) > 1 or repeated:
        raise ConfigError(
            f"--device {text!r} must name different devices of one kind, such as cuda:0,cuda:1."
        )
    if precision == "tf32" and not devices[0].startswith("cuda"):
        raise ConfigError(f"--precision 'tf32' needs a CUDA device; got {text!r}. Use float32.")
    return devices


def usable_device(name: str) -> str:
    """Return the name of a device after checking that it works; `auto` picks the best one.

    Also disables TF32 in cuDNN: float32 then means float32, and features agree between devices.
    """
    torch.backends.cudnn.allow_tf32 = False
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"--device {name!r} is not usable here ({reason}); use auto or cpu."
        ) from error
    return name
