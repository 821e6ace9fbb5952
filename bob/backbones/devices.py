"""Names of devices, checked before anything is loaded on them."""

from typing import Any

import torch

from bob.errors import ConfigError


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


def disable_tf32() -> None:
    """Let float32 mean float32 in this process, so that features agree between devices.

    TF32 is on by default in cuDNN, and in matrix products where the environment says so. A user's
    code can switch it on anywhere, and bfloat16 products on a CPU.
    """
    backends: Any = torch.backends
    if hasattr(backends, "fp32_precision"):  # PyTorch 2.9; what is "none" inherits from the first
        for place in (backends, backends.cudnn, backends.mkldnn):
            place.fp32_precision = "none"
        for operation in (backends.mkldnn.conv, backends.mkldnn.rnn):
            operation.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = False


def usable_device(name: str) -> str:
    """Return the name of a device after checking that it works; `auto` picks the best one.

    Also disables TF32.
    """
    disable_tf32()
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].removesuffix(".")
        if reason.startswith(("Expected one of", "Invalid device string")):
            reason = "there are cpu, cuda, cuda:1 and mps"
        raise ConfigError(
            f"--device {name!r} is not usable here ({reason}); use auto or cpu."
        ) from error
    return name
