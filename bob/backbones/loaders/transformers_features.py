"""The outputs of a vision model of transformers: pooled rows, feature maps and keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from bob.backbones.backbone import refuse_outputs
from bob.errors import OutputError
from bob.specs import DEFAULT, GRID, KEYS, Output

MAP_OUTPUTS = (DEFAULT, GRID)
TOKEN_OUTPUTS = (
    Output(pool="cls"),
    Output(pool="mean_patch"),
    Output(pool="cls+mean_patch"),
    GRID,
)
KEY_PROJECTIONS = ("k_proj", "key")
"""Names of the projection of keys in the library's models."""
INTERPOLATE = "interpolate_pos_encoding"
"""Argument with which some models resample their position embedding, which else they do not."""
MASK_RATIO, NOISE = "mask_ratio", "noise"
"""The share of patches that a masked autoencoder leaves out, and the argument that orders them."""


class TransformersFeatures(nn.Module):
    """The last hidden states of a vision model: rows (B, D) or grids (B, H, W, D).

    Of tokens (B, N, D), `cls` is the first and the patches are the last (H / patch) x (W / patch),
    so that register tokens are excluded. Of feature maps (B, D, H, W), `default` is the mean over
    positions. Some models apply their final norm to the row that their classifier reads and not to
    the hidden states (CLIP to the class token, ConvNeXt to the mean): here it is applied to all
    tokens, and to the mean. A masked autoencoder sees all patches, in their order. Intermediate
    layers are not offered: whether the final norm applies to them differs between model types.
    `keys` are those of the patch tokens in the last attention, as its projection gives them: before
    their rotation, where there is any.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        *,
        is_bgr: bool = False,
        interpolates: bool = False,
        final_norm: str | None = None,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name
        self.final_norm = final_norm
        """Path of the norm that the model applies to what its classifier reads alone."""
        config: Any = self.model.config
        self.is_masked = getattr(config, MASK_RATIO, None) is not None
        if self.is_masked:
            config.mask_ratio = 0.0
        self.is_bgr = is_bgr
        """Whether the model sees the channels as blue, green, red."""
        self.options = {INTERPOLATE: True} if interpolates else {}

    def patch_px(self) -> int | None:
        """Return the side of a patch in pixels; None for models without patches."""
        side = getattr(self.model.config, "patch_size", None)
        return None if side is None else height_width(side)[0]

    def forward(self, x: torch.Tensor, outputs: Sequence[Output]) -> dict[Output, torch.Tensor]:
        pixels = x.flip(1) if self.is_bgr else x
        keys: list[torch.Tensor] = []
        projection = self._key_projection() if KEYS in outputs else None
        handle = projection and projection.register_forward_hook(
            lambda _module, _inputs, result: keys.append(result)
        )
        try:
            states = self.states(pixels)
        finally:
            if handle:
                handle.remove()
        available, kind = self.available(states, x.shape[-2:])
        refuse_outputs(self.name, outputs, available, kind)
        if states.ndim == 4:
            return {output: self._from_map(states, output) for output in outputs}
        if keys and keys[-1].shape[:-1] != states.shape[:-1]:
            raise OutputError(
                f"backbone {self.name!r}: output 'keys' needs a last attention over all patches; "
                f"its keys have the shape {tuple(keys[-1].shape)}, the tokens "
                f"{tuple(states.shape)}."
            )
        return {
            output: self._from_tokens(keys[-1], GRID, x.shape[-2:])
            if output == KEYS
            else self._from_tokens(states, output, x.shape[-2:])
            for output in outputs
        }

    def states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states: tokens (B, N, D) after the final norm, or maps."""
        options: dict[str, Any] = dict(self.options)
        if self.is_masked:
            height, width = self._grid(pixels.shape[-2:])
            in_order = torch.arange(height * width, device=pixels.device, dtype=pixels.dtype)
            options[NOISE] = in_order.expand(len(pixels), -1)
        states: torch.Tensor = self.model(pixel_values=pixels, **options).last_hidden_state
        return states if states.ndim == 4 else self._normed(states)

    def _normed(self, rows: torch.Tensor) -> torch.Tensor:
        if self.final_norm is None:
            return rows
        normed: torch.Tensor = self.model.get_submodule(self.final_norm)(rows)
        return normed

    def _key_projection(self) -> nn.Module | None:
        """Return the projection of keys of the last of the numbered layers; None without one.

        A pooling head, which has a projection too, is not numbered.
        """
        projections = [
            module
            for path, module in self.model.named_modules()
            if path.split(".")[-1] in KEY_PROJECTIONS
            and any(part.isdigit() for part in path.split("."))
        ]
        return projections[-1] if projections else None

    def available(
        self, states: torch.Tensor, size_px: Sequence[int]
    ) -> tuple[tuple[Output, ...], str]:
        """Return the outputs that can be read from hidden states, and what kind of model it is."""
        if states.ndim == 4:
            return MAP_OUTPUTS, "a model with feature maps"
        height, width = self._grid(size_px)
        outputs = (*TOKEN_OUTPUTS, *([KEYS] if self._key_projection() else []))
        if states.shape[1] > height * width:
            return outputs, "a model with tokens"
        without_class = tuple(output for output in outputs if "cls" not in output.pool)
        return without_class, "a model without a class token"

    def _grid(self, size_px: Sequence[int]) -> tuple[int, int]:
        """Return the number of patches along height and width; OutputError without patches."""
        if getattr(self.model.config, "patch_size", None) is None:
            raise OutputError(
                f"backbone {self.name!r}: its tokens are no patches of one size, so that none can "
                "be read. Is it in timm, with loader timm?"
            )
        patch_px = height_width(self.model.config.patch_size)
        return size_px[0] // patch_px[0], size_px[1] // patch_px[1]

    def _from_map(self, states: torch.Tensor, output: Output) -> torch.Tensor:
        if output.is_grid:
            return states.permute(0, 2, 3, 1)
        return self._normed(states.mean(dim=(2, 3)))

    def _from_tokens(
        self, states: torch.Tensor, output: Output, size_px: Sequence[int]
    ) -> torch.Tensor:
        height, width = self._grid(size_px)
        patches = states[:, -height * width :]
        if output.is_grid:
            return patches.reshape(len(states), height, width, -1)
        parts = {"cls": states[:, 0], "mean_patch": patches.mean(dim=1)}
        return torch.cat([parts[part] for part in output.pool.split("+")], dim=1)


def height_width(value: Any) -> tuple[int, int]:
    """Return (height, width) of a size, which configurations state as a number, pair or mapping."""
    if isinstance(value, Mapping):
        return int(value["height"]), int(value["width"])
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) else (value, value)
