"""Prefetching: a separate stream copies each batch to a graphics card while it computes another.

The processor never waits for a copy: the computing stream does, for that batch's event. Copies
overlap only where crops are in pinned memory.
"""

import torch


class Prefetcher:
    """Copies the batches of one tensor at a time to a CUDA device, where two exist at once."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._next: dict[tuple[int, int], tuple[torch.Tensor, torch.cuda.Event]] = {}

    def batch(self, crops: torch.Tensor, start: int, size: int) -> torch.Tensor:
        """Return `crops[start : start + size]` on the device, for the current stream.

        Starts to copy the batch after it. The first call for a tensor has `start` 0.
        """
        prefetched = self._next if start else {}
        batch, copied = prefetched.get((start, size)) or self._copy(crops, start, size)
        after = start + size
        self._next = {(after, size): self._copy(crops, after, size)} if after < len(crops) else {}
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(copied)
        # Otherwise the allocator would hand the memory to the next copy once Python drops it.
        batch.record_stream(computing)
        return batch

    def _copy(
        self, crops: torch.Tensor, start: int, size: int
    ) -> tuple[torch.Tensor, torch.cuda.Event]:
        with torch.cuda.stream(self._stream):
            batch = crops[start : start + size].to(self._device, non_blocking=True)
            return batch, self._stream.record_event()
