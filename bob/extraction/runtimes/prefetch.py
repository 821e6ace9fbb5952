"""Crops onto a graphics card while it computes: a stream of its own copies each batch while the one before is in work.

The processor never waits for a copy: the computing stream does, for that batch's event. Copies overlap only where crops lie in pinned memory.
"""

import torch


class CopiedAhead:
    """The batches of one tensor at a time on a CUDA device, two of them there at once."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._coming: dict[tuple[int, int], tuple[torch.Tensor, torch.cuda.Event]] = {}

    def batch(self, crops: torch.Tensor, start: int, size: int) -> torch.Tensor:
        """`crops[start : start + size]` on the device, for the current stream; the copy of the batch after it is begun. Start at 0."""
        coming = self._coming if start else {}
        batch, copied = coming.get((start, size)) or self._copy(crops, start, size)
        after = start + size
        self._coming = {(after, size): self._copy(crops, after, size)} if after < len(crops) else {}
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(copied)
        batch.record_stream(
            computing
        )  # or the allocator would hand its memory to the next copy as soon as Python drops it
        return batch

    def _copy(
        self, crops: torch.Tensor, start: int, size: int
    ) -> tuple[torch.Tensor, torch.cuda.Event]:
        with torch.cuda.stream(self._stream):
            return crops[start : start + size].to(
                self._device, non_blocking=True
            ), self._stream.record_event()
