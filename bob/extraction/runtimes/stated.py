"""Runtimes that a plan states, as plain data: all processes that carry it out compute alike."""

from typing import Literal

from pydantic import Field

from bob.specs.yaml import Closed

RuntimeName = Literal["eager", "openvino", "onnxruntime", "compile"]


class RuntimeChoice(Closed):
    """How a backbone embeds on one model of device."""

    runtime: RuntimeName
    batch_size: int = Field(ge=1)
    threads: int = Field(ge=1)
    """Processor threads of its forward pass, 1 on a graphics card."""
